//! Cuts a model's words into sentences as they come, so that the first is spoken while the last is still being thought.
//!
//! It refuses to understand. Where a dot may or may not end a sentence it goes on to the next one: a sentence too long
//! costs a moment, one cut in its middle is heard.

/// A sentence is cut here at the latest, in characters: 13 s of speech at 15 characters a second. Speech models take
/// more, but nothing is heard of a sentence before it is complete.
const CHARS_MAX: usize = 200;

/// End a sentence wherever they stand: CJK, Devanagari, Urdu, Arabic.
const ENDS: [char; 7] = ['。', '！', '？', '｡', '।', '۔', '؟'];

/// End a sentence when something else than its continuation follows.
const STOPS: [char; 4] = ['.', '!', '?', '…'];

/// Belong to the sentence that they follow.
const CLOSERS: [char; 10] = ['"', '\'', ')', ']', '”', '’', '»', '」', '』', '）'];

/// Where a sentence that is too long may be cut, if a blank follows; the wide ones need none.
const CLAUSE_ENDS: [char; 8] = [',', ';', ':', '—', '–', '，', '、', '；'];
const WIDE_CLAUSE_ENDS: [char; 3] = ['，', '、', '；'];

/// Titles, before names in capitals. Other abbreviations are told by the small letter behind them.
const TITLES: [&str; 13] = ["mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "fr", "hr", "nr", "vs", "mme"];

#[derive(Debug, Default)]
pub(super) struct Sentences {
    text: String,
    finished: bool,
}

impl Sentences {
    pub(super) fn push(&mut self, words: &str) {
        self.text.push_str(words);
    }

    /// No more words come: what is left is a sentence.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// The next complete sentence that has anything to pronounce in it.
    pub(super) fn take(&mut self) -> Option<String> {
        loop {
            let end = match self.end() {
                None if self.finished && !self.text.is_empty() => self.text.len(),
                end => end?,
            };
            let sentence: String = self.text.drain(..end).collect();
            if sentence.contains(char::is_alphanumeric) {
                return Some(sentence.trim().to_owned());
            }
        }
    }

    /// Where the first sentence ends, as far as the words that came can tell.
    fn end(&self) -> Option<usize> {
        for (count, (at, c)) in self.text.char_indices().enumerate() {
            let behind = at + c.len_utf8();
            if c == '\n' {
                return Some(behind);
            }
            if ENDS.contains(&c) {
                let end = self.behind_closers(behind);
                return (end < self.text.len()).then_some(end); // a closing quote may still come
            }
            if STOPS.contains(&c) && !(c == '.' && self.is_abbreviation(at)) {
                let end = self.behind_closers(behind);
                if self.another_begins(end) {
                    return Some(end);
                }
            }
            if count + 1 == CHARS_MAX {
                return Some(self.last_clause(behind));
            }
        }
        None
    }

    /// Whether what follows shows that the sentence is over: a blank, and then no small letter.
    fn another_begins(&self, end: usize) -> bool {
        let rest = &self.text[end..];
        rest.starts_with(char::is_whitespace)
            && rest.trim_start().chars().next().is_some_and(|next| !next.is_lowercase())
    }

    fn behind_closers(&self, end: usize) -> usize {
        let rest = &self.text[end..];
        let closes = |c: char| CLOSERS.contains(&c) || STOPS.contains(&c) || ENDS.contains(&c);
        end + rest.find(|c| !closes(c)).unwrap_or(rest.len())
    }

    /// Whether the dot belongs to its word: a title, an initial, `e.g`, or the number of an item in a list.
    fn is_abbreviation(&self, dot: usize) -> bool {
        let before = &self.text[..dot];
        let word = before.rsplit(|c: char| c.is_whitespace() || CLOSERS.contains(&c) || c == '(').next();
        let word = word.unwrap_or_default();
        let first = before.trim_start().len() == word.len();
        let pieces = || word.split('.').map(|piece| piece.chars().count());
        let lettered = word.chars().all(|c| c.is_alphabetic() || c == '.');
        TITLES.contains(&word.to_lowercase().as_str())
            || lettered && !word.is_empty() && pieces().all(|letters| letters == 1)
            || lettered && word.contains('.') && pieces().all(|letters| letters <= 2)
            || first && !word.is_empty() && word.chars().all(|c| c.is_ascii_digit())
    }

    /// Where to cut what has no end: behind the last clause before `limit`, else the last word, else right there.
    fn last_clause(&self, limit: usize) -> usize {
        let text = &self.text[..limit];
        let ends_clause = |&(at, c): &(usize, char)| {
            let behind = at + c.len_utf8();
            CLAUSE_ENDS.contains(&c)
                && (WIDE_CLAUSE_ENDS.contains(&c) || text[behind..].starts_with(char::is_whitespace))
        };
        let clause = text.char_indices().rfind(ends_clause).map(|(at, c)| at + c.len_utf8());
        let start = limit - text.trim_start().len();
        let word = || Some(start + text[start..].rfind(char::is_whitespace)?);
        clause.or_else(word).unwrap_or(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is cut from words that come letter by letter, and at once: it must be the same.
    #[track_caller]
    fn cut(text: &str) -> Vec<String> {
        let mut at_once = Sentences::default();
        at_once.push(text);
        at_once.finish();
        let at_once: Vec<_> = std::iter::from_fn(|| at_once.take()).collect();
        let mut sentences = Sentences::default();
        let mut by_letter = Vec::new();
        for letter in text.chars() {
            sentences.push(letter.encode_utf8(&mut [0; 4]));
            by_letter.extend(std::iter::from_fn(|| sentences.take()));
        }
        sentences.finish();
        by_letter.extend(std::iter::from_fn(|| sentences.take()));
        assert_eq!(by_letter, at_once, "letter by letter");
        at_once
    }

    #[test]
    fn sentences_end_where_they_end() {
        assert_eq!(
            cut("Good evening! How are you? \"Well.\" Breakfast is from seven."),
            ["Good evening!", "How are you?", "\"Well.\"", "Breakfast is from seven."]
        );
        assert_eq!(cut("Wait... What?! No. Yes."), ["Wait...", "What?!", "No.", "Yes."]);
        assert_eq!(cut("One line\nanother line\n\n"), ["One line", "another line"]);
    }

    #[test]
    fn the_first_sentence_is_there_as_soon_as_the_second_begins() {
        let mut sentences = Sentences::default();
        sentences.push("We serve it from seven.");
        assert_eq!(sentences.take(), None, "it may be 7.30");
        sentences.push(" Sh");
        assert_eq!(sentences.take().as_deref(), Some("We serve it from seven."));
        assert_eq!(sentences.take(), None);
    }

    #[test]
    fn a_dot_within_a_sentence_does_not_end_it() {
        for whole in [
            "It costs 3.50 euros, see example.com today.",
            "Ask Dr. Miller or Mrs. J. R. Smith.",
            "It opens at 7 a.m. on Sundays, e.g. Easter.",
            "Kommen Sie z. B. am Montag, d.h. morgen.",
            "1. First the key",
            "Bring towels, soap etc. and a book.",
        ] {
            assert_eq!(cut(whole), [whole]);
        }
    }

    #[test]
    fn scripts_without_blanks_have_sentences_too() {
        assert_eq!(
            cut("こんばんは。「ようこそ！」お元気ですか？はい"),
            ["こんばんは。", "「ようこそ！」", "お元気ですか？", "はい"]
        );
        assert_eq!(cut("नमस्ते। आप कैसे हैं?"), ["नमस्ते।", "आप कैसे हैं?"]);
    }

    #[test]
    fn what_has_no_end_is_cut_at_a_clause_else_at_a_word_else_somewhere() {
        let clauses = cut(&"we have towels, ".repeat(40));
        assert!(clauses.len() > 2 && clauses.iter().all(|clause| clause.ends_with("towels,")), "{clauses:?}");
        let words = cut(&"towels ".repeat(100));
        assert!(words.len() > 2 && words.iter().all(|words| words.ends_with("towels")), "{words:?}");
        for endless in ["a".repeat(1_000), "無".repeat(1_000)] {
            let pieces = cut(&endless);
            assert_eq!(pieces.concat(), endless);
            assert!(pieces.iter().all(|piece| piece.chars().count() <= CHARS_MAX));
        }
    }

    #[test]
    fn what_cannot_be_pronounced_is_no_sentence() {
        assert_eq!(cut("... ** \n---\n 🙂"), [] as [&str; 0]);
        assert_eq!(cut("🙂 Hello. 🙂"), ["🙂 Hello."]);
    }
}
