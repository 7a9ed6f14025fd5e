//! What of a model's text can be said on a phone: no markup, no pictures, whole sentences, and not for ever.
//!
//! It refuses to know the language and who will speak. What it cannot make sense of, it leaves as it is.

/// Letters before a full stop that may be an abbreviation: `Dr.`, `St.`, `e.g.`. A short word at a real end (`Go.`) is
/// taken for one as well, and the cut falls a sentence earlier.
const ABBREVIATION_CHARS_MAX: usize = 2;

/// Text without its markup: emphasis, headings, lists, tables, links, code blocks, tags, emoji. Of an address only
/// the host is said. Where a block ended, a sentence ends.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut in_code = false;
    let mut block_ended = false;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("```").or_else(|| line.strip_prefix("~~~")) {
            in_code ^= !rest.contains("```");
            block_ended = true;
        } else if in_code || is_ruler(line) {
            block_ended = true;
        } else {
            let (line, is_block) = without_marker(line);
            if block_ended || is_block {
                end_sentence(&mut plain);
            }
            block_ended = is_block;
            say_line(line, &mut plain);
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// The whole sentences among the first `chars_max` characters. Without one, whole words; without those, what fits.
/// An unfinished text loses its last, broken sentence, if it has another.
pub fn whole_sentences(text: &str, chars_max: usize, finished: bool) -> &str {
    let limit = text.char_indices().nth(chars_max).map_or(text.len(), |(at, _)| at);
    if finished && limit == text.len() {
        return text;
    }
    let ends = text.char_indices().filter_map(|(at, letter)| sentence_end(text, at, letter));
    if let Some(end) = ends.take_while(|end| *end <= limit).last() {
        return &text[..end];
    }
    if limit == text.len() {
        return text;
    }
    let words = text[..limit].rfind(char::is_whitespace);
    text[..words.unwrap_or(limit)].trim_end()
}

// ------------------------------------------------------------ lines

/// Horizontal rules, underlines of headings, and the line between a table's head and its body.
fn is_ruler(line: &str) -> bool {
    line.is_empty() || line.len() >= 3 && line.chars().all(|mark| "-=*_|: ".contains(mark))
}

/// A line without the mark of a heading, quotation or list; and whether it had one, and so is a block of its own.
/// Numbers of a list are kept: they are words.
fn without_marker(line: &str) -> (&str, bool) {
    let bare = line.trim_start_matches(['#', '>', ' ']);
    let bare = ["- ", "* ", "+ ", "• "].iter().find_map(|bullet| bare.strip_prefix(bullet)).unwrap_or(bare);
    let numbered = bare.split_once(['.', ')']).is_some_and(|(number, rest)| {
        rest.starts_with(' ') && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    (bare, bare.len() < line.len() || numbered || bare.starts_with('|'))
}

fn end_sentence(plain: &mut String) {
    if plain.trim_end().ends_with(|last: char| last.is_alphanumeric() || ")]\"'".contains(last)) {
        plain.truncate(plain.trim_end().len());
        plain.push('.');
    }
}

// ------------------------------------------------------------ within a line

fn say_line(line: &str, plain: &mut String) {
    let cells = line.strip_prefix('|').map(|row| row.strip_suffix('|').unwrap_or(row));
    push_blank(plain);
    match cells {
        None => say(line, plain),
        Some(row) => {
            for (n, cell) in row.split('|').enumerate() {
                if n > 0 {
                    plain.truncate(plain.trim_end().len());
                    plain.push_str(", ");
                }
                say(cell.trim(), plain);
            }
        }
    }
}

fn say(line: &str, plain: &mut String) {
    let mut before = ' ';
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        let next = after.chars().next().unwrap_or(' ');
        let begins_word = !before.is_alphanumeric();
        rest = if let Some((label, behind)) = link(rest) {
            say(label, plain);
            behind
        } else if let Some((host, behind)) = address(rest).filter(|_| begins_word) {
            plain.push_str(host);
            behind
        } else if let Some(behind) = tag(rest) {
            behind
        } else {
            match letter {
                '*' | '~' if before.is_whitespace() && next.is_whitespace() => plain.push(letter),
                '`' | '*' | '~' => {}
                '_' if begins_word || !next.is_alphanumeric() => {}
                '\\' if next.is_ascii_punctuation() => {}
                letter if letter.is_whitespace() => push_blank(plain),
                letter if is_picture(letter) || letter.is_control() => {}
                letter => plain.push(letter),
            }
            after
        };
        before = letter;
    }
}

fn push_blank(plain: &mut String) {
    if !plain.is_empty() && !plain.ends_with(' ') {
        plain.push(' ');
    }
}

/// `[label](target)`, also as a picture, with `!` before it: the label, and what comes behind.
fn link(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("![").or_else(|| text.strip_prefix('['))?;
    let (label, target) = inner.split_at(inner.find(['[', ']'])?);
    let (_, behind) = target.strip_prefix("](")?.split_once(')')?;
    Some((label, behind))
}

/// The host of a web address, and what comes behind the address: the full stop of its sentence, say.
fn address(text: &str) -> Option<(&str, &str)> {
    let bare = ["https://www.", "http://www.", "https://", "http://", "www."];
    let bare = bare.iter().find_map(|scheme| text.strip_prefix(scheme))?;
    let length = bare.find(|end: char| end.is_whitespace() || "<>\"')]".contains(end)).unwrap_or(bare.len());
    let length = bare[..length].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']).len();
    let host = bare[..length].split(['/', '?', '#', ':']).next().unwrap_or_default();
    (!host.is_empty()).then_some((host, &bare[length..]))
}

/// What comes behind a tag such as `<br>` or `</b>`; an address in angle brackets is none.
fn tag(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('<')?;
    let begins = inner.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let (name, end) = inner.split_at(inner.find(['<', '>']).filter(|_| begins)?);
    end.strip_prefix('>').filter(|_| !name.contains("://"))
}

/// Emoji, dingbats, arrows and what joins and colours them. A voice would read out their names.
fn is_picture(letter: char) -> bool {
    matches!(letter,
        '\u{200d}' | '\u{20e3}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e007f}' // joiners, key caps, colours
        | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' // arrows, technical signs
        | '\u{25a0}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' // shapes, dingbats, more arrows
        | '\u{1f000}'..='\u{1faff}')
}

// ------------------------------------------------------------ sentences

/// Where the sentence that `letter`, at `at`, may end is over; quotation marks behind it belong to it.
fn sentence_end(text: &str, at: usize, letter: char) -> Option<usize> {
    let behind = at + letter.len_utf8();
    if "。！？".contains(letter) {
        return Some(behind);
    }
    if !".!?…".contains(letter) || letter == '.' && may_abbreviate(&text[..at]) {
        return None;
    }
    let rest = text[behind..].trim_start_matches(['"', '\'', ')', ']', '”', '’', '»']);
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| text.len() - rest.len())
}

fn may_abbreviate(before: &str) -> bool {
    let letters = before.chars().rev().take_while(|letter| letter.is_alphabetic());
    (1..=ABBREVIATION_CHARS_MAX).contains(&letters.take(ABBREVIATION_CHARS_MAX + 1).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_not_read_out() {
        for (written, said) in [
            ("We open at **seven**, *not* eight.", "We open at seven, not eight."),
            ("# Hours\nSeven to nine.", "Hours. Seven to nine."),
            ("You can:\n- call\n- write\n\nBye.", "You can: call. write. Bye."),
            ("1. Dial one\n2. Wait", "1. Dial one. 2. Wait"),
            ("a wrapped\nline", "a wrapped line"),
            ("> quoted `code` and __bold__ and snake_case", "quoted code and bold and snake_case"),
            ("See [our page](https://a.example/x?y=1) or ![logo](l.png).", "See our page or logo."),
            ("Go to https://www.hotel.example/rooms?id=7. Really.", "Go to hotel.example. Really."),
            (
                "Write to desk@hotel.example (www.hotel.example).",
                "Write to desk@hotel.example (hotel.example).",
            ),
            ("<b>Yes</b><br/> or <https://hotel.example/a>", "Yes or <hotel.example>"),
            ("| Room | Price |\n|---|---|\n| Single | 80 |", "Room, Price. Single, 80"),
            ("Before\n```rust\nlet a = 1;\n```\nAfter", "Before. After"),
            ("2 * 3 is 6, \\*really\\*", "2 * 3 is 6, really"),
            ("Hello 👋🏽 there ☎️ 1️⃣ →  now", "Hello there 1 now"),
            ("Straße, añejo, 日本語。", "Straße, añejo, 日本語。"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("bell\u{7} and\ttab", "bell and tab"),
            ("", ""),
            ("🎉\n---\n\n", ""),
        ] {
            assert_eq!(plain(written), said, "{written}");
        }
    }

    #[test]
    fn whatever_a_model_writes_can_be_read_and_is_within_its_bounds() {
        let pieces = [
            "[", "](", "![", ")", "```", "<", "</a", ">", "https://", "www.", "**", "_", "\n", "|", "---",
            "1. ", "\\", ".", "。", "é", "👋", " ", "word",
        ];
        for (first, second) in pieces.iter().flat_map(|first| pieces.map(|second| (first, second))) {
            for third in pieces {
                let said = plain(&[first, second, third, first, second].concat());
                assert_eq!(said.trim(), said);
                for chars_max in [0, 1, 5] {
                    let cut = whole_sentences(&said, chars_max, false);
                    assert!(said.starts_with(cut) && cut.chars().count() <= chars_max, "{said:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_answer_ends_with_a_whole_sentence() {
        let text = "We open at 7.30 today. Dr. Ames is in! \"Really?\" And then some more words";
        for (chars_max, said) in [
            (1_000, text),
            (66, "We open at 7.30 today. Dr. Ames is in! \"Really?\""),
            (40, "We open at 7.30 today. Dr. Ames is in!"),
            (30, "We open at 7.30 today."),
            (20, "We open at 7.30"),
            (3, "We"),
        ] {
            assert_eq!(whole_sentences(text, chars_max, true), said, "{chars_max}");
        }
    }

    #[test]
    fn an_answer_that_broke_off_is_said_up_to_its_last_whole_sentence() {
        assert_eq!(whole_sentences("We open at seven. And we cl", 100, false), "We open at seven.");
        assert_eq!(whole_sentences("We op", 100, false), "We op", "a part is better than nothing");
    }

    #[test]
    fn text_without_blanks_is_cut_between_characters() {
        assert_eq!(whole_sentences("今日は。七時に開きます。", 6, true), "今日は。");
        assert_eq!(whole_sentences("ありがとう", 3, true), "ありが");
        assert_eq!(whole_sentences("é".repeat(10).as_str(), 4, true), "éééé");
    }
}
