//! Words of a text as two hearings of it have in common: letters and digits in lower case, each with where it
//! stands.
//!
//! Knows no sentence and no sound.

/// One word; `...`, `-` and their like are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) key: String,
    /// Byte offset of its first character, punctuation included.
    pub(crate) start: usize,
}

pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut start = 0;
    let mut words = Vec::new();
    for piece in text.split_inclusive(char::is_whitespace) {
        let key: String =
            piece.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        if !key.is_empty() {
            words.push(Word { key, start });
        }
        start += piece.len();
    }
    words
}

/// Whether two runs of words are the same, wherever they stand.
pub(crate) fn same(a: &[Word], b: &[Word]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_whatever_surrounds_them() {
        let plain = words("good evening harbour house");
        let written = words("  \u{201c}Good evening\u{201d}, Harbour\n-- House!");
        assert!(same(&plain, &written), "{written:?}");
        assert_eq!(plain.iter().map(|word| word.start).collect::<Vec<_>>(), [0, 5, 13, 21]);
        assert_eq!(words(" ... - "), []);
        assert!(!same(&plain, &plain[1..]));
    }
}
