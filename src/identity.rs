//! Who calls: a number as it was dialled, and the user that it stands for.
//!
//! It refuses to know what is kept of a user, and where.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// Digits of an international number, ITU-T E.164: at most 15. Fewer than seven are a short code or a mistake.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// What Twilio gives as the number of a caller who withholds his, or whose number cannot be had: the letters of ANONYMOUS,
/// RESTRICTED, BLOCKED, UNKNOWN and UNAVAILABLE on a telephone's keys. They are no person's.
const PLACEHOLDERS: [&str; 5] = ["266696687", "7378742833", "2562533", "8656696", "86282452253"];

/// Makes users of numbers: the same of the same number, on every node that has the same secret. Who knows a user's id but
/// not the secret cannot find his number by trying them all.
pub(crate) struct Identity {
    secret: SecretString,
}

impl Identity {
    pub(crate) fn new(secret: SecretString) -> Self {
        Self { secret }
    }

    /// The user behind a number in E.164.
    pub(crate) fn user(&self, number: &str) -> Uuid {
        let key = Key::new(HMAC_SHA256, self.secret.expose_secret().as_bytes());
        let digest = sign(&key, number.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_ref()[..16]);
        Uuid::new_v8(bytes)
    }
}

/// A number in E.164, however it is written; nothing when it is none: withheld, a SIP address, a client's name.
pub(crate) fn e164(written: &str) -> Option<String> {
    let mut number = String::with_capacity(written.len());
    for character in written.trim().chars() {
        match character {
            '0'..='9' => number.push(character),
            '+' if number.is_empty() => number.push('+'),
            ' ' | '-' | '.' | '(' | ')' | '/' => {}
            _ => return None,
        }
    }
    // The prefix of a call abroad, in most of the world, says the same as a plus.
    let digits = number.strip_prefix('+').or_else(|| number.strip_prefix("00"))?;
    let is_number =
        DIGITS.contains(&digits.len()) && !digits.starts_with('0') && !PLACEHOLDERS.contains(&digits);
    is_number.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        for written in ["+12065550188", " +1 (206) 555-0188 ", "0012065550188", "+1.206.555.0188"] {
            assert_eq!(e164(written).as_deref(), Some("+12065550188"), "{written}");
        }
    }

    #[test]
    fn what_names_no_line_is_no_number() {
        let none = [
            "",
            "anonymous",
            "+",
            "2065550188",
            "+12",
            "+0123456789",
            "+1234567890123456",
            "sip:me@home",
            "client:alice",
            "+1206555o188",
            "1+2065550188",
            "+266696687x",
            "+266696687",
            "+7378742833",
            "+86282452253",
        ];
        for written in none {
            assert_eq!(e164(written), None, "{written}");
        }
    }

    #[test]
    fn a_user_follows_from_number_and_secret() {
        let identity = |secret: &str| Identity::new(secret.to_owned().into());
        let user = identity("one").user("+12065550188");
        assert_eq!((user, user.get_version_num()), (identity("one").user("+12065550188"), 8));
        assert_ne!(user, identity("two").user("+12065550188"));
        assert_ne!(user, identity("one").user("+12065550189"));
    }
}
