//! Which known key somebody probably meant: the one that is the fewest typing errors away.
//!
//! This file refuses to know what the keys stand for.

/// The candidate nearest to `path`; of equals the first. Empty without candidates. Both are dotted paths, and their
/// last name counts twice: a key in the wrong section leads to the right section rather than to its neighbours.
pub(super) fn nearest<'a>(path: &str, candidates: impl Iterator<Item = &'a str>) -> &'a str {
    let errors =
        |candidate: &&str| distance(path, candidate) + distance(last_name(path), last_name(candidate));
    candidates.min_by_key(errors).unwrap_or_default()
}

fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Levenshtein: how many letters must be put in, taken out or exchanged to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    // row[j]: distance between what is read of `a` and the first j letters of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, letter_a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, letter_b) in b.chars().enumerate() {
            let exchanged = diagonal + usize::from(letter_a != letter_b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_letters_put_in_taken_out_and_exchanged() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a:?} to {b:?}");
            assert_eq!(distance(b, a), expected, "{b:?} to {a:?}");
        }
    }

    #[test]
    fn a_typing_error_finds_its_key() {
        let known = ["server.listen", "server.public_url", "openai.api_key"];
        for (path, expected) in [
            ("server.lisen", "server.listen"),
            ("server.api_key", "openai.api_key"),
            ("public_url", "server.public_url"),
        ] {
            assert_eq!(nearest(path, known.into_iter()), expected);
        }
        assert_eq!(nearest("server.listen", [].into_iter()), "");
    }
}
