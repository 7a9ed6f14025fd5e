//! The draw of a call: a number in \[0, 1) that is the same wherever and whenever it is asked for.
//!
//! It refuses to know rules and modes. A generator would be a die: a repeated webhook could get another mode.

use sha2::{Digest, Sha256};

use super::rules::Per;

/// What a carrier writes where a number should be, when the caller's is withheld: words of SIP and of carriers, and the
/// digits that Twilio gives for ANONYMOUS, RESTRICTED (also seen with its last digits the other way round), BLOCKED,
/// UNKNOWN and UNAVAILABLE: the words on a phone's keys.
const WITHHELD: [&str; 13] = [
    "anonymous",
    "restricted",
    "blocked",
    "unknown",
    "unavailable",
    "private",
    "withheld",
    "+266696687",
    "+7378742833",
    "+7378742883",
    "+2562533",
    "+8656696",
    "+86282452253",
];

/// The number by which a caller is told from others; none when it is withheld. All withheld callers together must not
/// share one draw.
pub fn caller_key(from_opt: Option<&str>) -> Option<&str> {
    let number = from_opt?.trim();
    let withheld = number.is_empty() || WITHHELD.iter().any(|word| word.eq_ignore_ascii_case(number));
    (!withheld).then_some(number)
}

/// SHA-256 over domain, salt, rule name, kind of key and key, each behind its length (64 bits, big-endian) so that no
/// two differ only in where one ends. The first 53 bits, as many as an `f64` holds exactly, over 2^53.
///
/// The rule's name keeps rules apart: whoever was first to try one roll-out is not first in the next. `rule` is empty
/// for the default.
pub fn draw(salt: &str, rule: &str, per: Per, key: &str) -> f64 {
    let kind = match per {
        Per::Call => "call",
        Per::Caller => "caller",
    };
    let mut hash = Sha256::new();
    for part in ["tandem draw 1", salt, rule, kind, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    (u64::from_be_bytes(*first) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with another implementation, twelve lines of Python on `hashlib` and `struct`. If one of these changes,
    /// every sticky caller of every installation changes arms.
    #[test]
    fn a_draw_is_the_same_on_every_node_and_in_every_version() {
        for (salt, rule, per, key, expected) in [
            ("", "", Per::Call, "", 0.452_807_240_132_334_75),
            ("salt", "", Per::Call, "CA00000000000000000000000000000001", 0.994_429_110_955_342_6),
            ("salt", "roll-out", Per::Caller, "+15550100", 0.163_137_073_868_756_87),
        ] {
            let drawn = draw(salt, rule, per, key);
            assert_eq!(drawn.to_bits(), f64::to_bits(expected), "{salt} {rule} {per:?} {key}: {drawn}");
        }
    }

    #[test]
    fn whatever_goes_into_a_draw_changes_it() {
        let one = draw("salt", "rule", Per::Call, "key");
        for other in [
            draw("tlas", "rule", Per::Call, "key"),
            draw("salt", "elur", Per::Call, "key"),
            draw("salt", "rule", Per::Caller, "key"),
            draw("salt", "rule", Per::Call, "yek"),
            draw("saltr", "ule", Per::Call, "key"),
        ] {
            assert!((one - other).abs() > 1e-9);
        }
    }

    #[test]
    fn a_withheld_number_is_nobodys() {
        for withheld in [None, Some(""), Some("  "), Some("Anonymous"), Some("unknown"), Some("+266696687")] {
            assert_eq!(caller_key(withheld), None, "{withheld:?}");
        }
        for number in ["+15550100", " +15550100 ", "client:anna", "sip:anna@example.com"] {
            assert_eq!(caller_key(Some(number)), Some(number.trim()));
        }
    }
}
