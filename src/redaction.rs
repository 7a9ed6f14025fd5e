//! Redaction: words without what would tell who spoke them.
//!
//! Pure, and by rule: it knows how numbers, addresses and names are usually said in English, and no more. It refuses to
//! promise that nobody can be recognised: whoever trains a model on people's words should have read them.
//!
//! | what | becomes |
//! |---|---|
//! | four digits and more, with what stands between them; three and more that are spelt | `[number]` |
//! | an address of mail, or of a page | `[address]` |
//! | what follows "my name is" and its like, as long as it is capitalised | `[name]` |

/// Fewer digits are a price, an hour, or a number of guests.
const DIGITS_MIN: usize = 4;

/// Fewer are a quantity.
const SPELT_MIN: usize = 3;

/// A name has so many words at most.
const NAME_WORDS_MAX: usize = 3;

const SPELT: [&str; 13] = [
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double", "triple",
];

const INTRODUCTIONS: [&[&str]; 5] =
    [&["my", "name", "is"], &["my", "name's"], &["this", "is"], &["i", "am"], &["i'm"]];

/// What a word is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Digits(usize),
    Spelt,
    Address,
    Plain,
}

pub(crate) fn redacted(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let taken = match sort(word) {
            Sort::Address => instead(&mut out, "[address]", word, 1),
            Sort::Digits(_) => {
                number(&mut out, &words[at..], |sort| matches!(sort, Sort::Digits(_)), DIGITS_MIN)
            }
            Sort::Spelt => number(&mut out, &words[at..], |sort| sort == Sort::Spelt, SPELT_MIN),
            Sort::Plain => 0,
        };
        if taken == 0 {
            out.push((*word).to_owned());
        }
        at += taken.max(1);
        at += name(&mut out, &words[..at], &words[at..]);
    }
    out.join(" ")
}

fn sort(word: &str) -> Sort {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let is_mail = word.split_once('@').is_some_and(|(_, host)| host.contains('.'));
    if is_mail || word.starts_with("http://") || word.starts_with("https://") || word.starts_with("www.") {
        Sort::Address
    } else if word.contains(':') {
        Sort::Plain // a time
    } else if digits > 0 {
        Sort::Digits(digits)
    } else if SPELT.contains(&bare(word).as_str()) {
        Sort::Spelt
    } else {
        Sort::Plain
    }
}

/// Redacts a run of words if together they are so long; tells how many they were.
fn number(out: &mut Vec<String>, words: &[&str], belongs: impl Fn(Sort) -> bool, min: usize) -> usize {
    let run: Vec<&str> = words.iter().copied().take_while(|word| belongs(sort(word))).collect();
    let length: usize = run
        .iter()
        .map(|word| match sort(word) {
            Sort::Digits(digits) => digits,
            _ => 1,
        })
        .sum();
    match run.last() {
        Some(last) if length >= min => instead(out, "[number]", last, run.len()),
        _ => 0,
    }
}

/// Redacts the name that follows on words that introduce one; tells how many words it has.
fn name(out: &mut Vec<String>, said: &[&str], next: &[&str]) -> usize {
    let introduces = |introduction: &&[&str]| {
        said.len() >= introduction.len()
            && said[said.len() - introduction.len()..]
                .iter()
                .map(|word| bare(word))
                .eq(introduction.iter().copied())
    };
    let is_closed = said.last().is_none_or(|word| word.ends_with(['.', '?', '!']));
    if is_closed || !INTRODUCTIONS.iter().any(introduces) {
        return 0;
    }
    let is_name = |word: &&&str| word.starts_with(char::is_uppercase) && bare(word) != "i";
    let (mut words, mut last_opt) = (0, None);
    for word in next.iter().take(NAME_WORDS_MAX).take_while(is_name) {
        (words, last_opt) = (words + 1, Some(*word));
        if word.ends_with(['.', ',', '?', '!', ';']) {
            break;
        }
    }
    last_opt.map_or(0, |last| instead(out, "[name]", last, words))
}

/// Writes a mark with the punctuation of the last of the words that it stands for.
fn instead(out: &mut Vec<String>, mark: &str, last: &str, words: usize) -> usize {
    let end = last.trim_end_matches(['.', ',', '?', '!', ';']).len();
    out.push(format!("{mark}{}", &last[end..]));
    words
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().replace('\u{2019}', "'")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_addresses_and_names_are_taken_out_and_the_rest_stays() {
        for (said, kept) in [
            ("My number is +1 (206) 555-0188.", "My number is [number]."),
            ("Booking code AB12-CD34, please", "Booking code [number], please"),
            (
                "two guests at 12:30 on the 5th for 120 dollars",
                "two guests at 12:30 on the 5th for 120 dollars",
            ),
            ("it is five five oh, one two", "it is [number]"),
            ("one or two nights", "one or two nights"),
            ("mail ann.lee@example.org!", "mail [address]!"),
            ("see https://example.org/x?y=1 now", "see [address] now"),
            ("Hello, my name is Ann Lee, and I am late", "Hello, my name is [name], and I am late"),
            ("This is Bob. I need a room", "This is [name]. I need a room"),
            ("I\u{2019}m Zoë van Dam", "I\u{2019}m [name] van Dam"),
            ("this is the night desk", "this is the night desk"),
            ("Who is it? I am. Good", "Who is it? I am. Good"),
            ("", ""),
        ] {
            assert_eq!(redacted(said), kept, "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_long_number_survives_and_nothing_panics(before in ".{0,40}", number in "[0-9]{4}[0-9 ]{0,16}", after in ".{0,40}") {
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
            let said = format!("call {number} now");
            prop_assert_eq!(digits(&redacted(&said)), 0);
            redacted(&format!("{before}{number}{after}"));
        }
    }
}
