//! Tickets: a media socket shows one to prove that it belongs to a call this switch answered.
//! Knows no clock and no list of used tickets: the time comes in, and single use is its keeper's to enforce.
//!
//! The text travels as a TwiML `<Parameter>`, so it is short and plain: base64url of
//!
//! | bytes | |
//! |---|---|
//! | 32 | HMAC-SHA256 of all that follows |
//! | 8 | end of validity, Unix seconds, big-endian |
//! | 16 | nonce, big-endian |
//! | rest | call id, UTF-8 |

use std::fmt;

use base64::engine::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Longest text that is looked at. With its name it must stay below the carrier's 500 characters per parameter; it has
/// room for a call id of 400 / 4 * 3 - 32 - 8 - 16 = 244 bytes, where a UUID has 36.
pub const TEXT_LEN_MAX: usize = 400;

/// So that no other message signed with the same key passes for a ticket.
const PURPOSE: &[u8] = b"tandem media ticket\0";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub call_id: String,
    /// Chosen at random: it makes the ticket unique, and is what its keeper remembers as used.
    pub nonce: u128,
    /// First second, Unix time, at which the ticket is no longer good.
    pub expires_unix_s: u64,
}

/// Why a ticket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketError {
    /// Not the text of a ticket at all.
    Malformed,
    /// Not signed with our key, or changed since.
    Forged,
    Expired,
}

/// Signs a ticket. The text has 4/3 of 56 bytes and the call id: 123 characters for a UUID. One whose call id is too
/// long for [`TEXT_LEN_MAX`] will not be opened again.
pub fn seal(key: &[u8], ticket: &Ticket) -> String {
    let mut claim = Vec::with_capacity(8 + 16 + ticket.call_id.len());
    claim.extend(ticket.expires_unix_s.to_be_bytes());
    claim.extend(ticket.nonce.to_be_bytes());
    claim.extend(ticket.call_id.as_bytes());
    let tag = mac(key, &claim).finalize().into_bytes();
    URL_SAFE_NO_PAD.encode([&tag, claim.as_slice()].concat())
}

/// Opens a ticket at the time `now_unix_s`.
pub fn open(key: &[u8], text: &str, now_unix_s: u64) -> Result<Ticket, TicketError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(TicketError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketError::Malformed)?;
    let (tag, claim) = bytes.split_first_chunk::<32>().ok_or(TicketError::Malformed)?;
    let (expires, rest) = claim.split_first_chunk::<8>().ok_or(TicketError::Malformed)?;
    let (nonce, call_id) = rest.split_first_chunk::<16>().ok_or(TicketError::Malformed)?;
    // In constant time.
    mac(key, claim).verify_slice(tag).map_err(|_| TicketError::Forged)?;
    let expires_unix_s = u64::from_be_bytes(*expires);
    if now_unix_s >= expires_unix_s {
        return Err(TicketError::Expired);
    }
    let call_id = String::from_utf8(call_id.to_vec()).map_err(|_| TicketError::Malformed)?;
    Ok(Ticket { call_id, nonce: u128::from_be_bytes(*nonce), expires_unix_s })
}

fn mac(key: &[u8], claim: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.chain_update(PURPOSE).chain_update(claim)
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "ticket is malformed",
            Self::Forged => "ticket is forged",
            Self::Expired => "ticket has expired",
        })
    }
}

impl std::error::Error for TicketError {}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"a key of the switch";

    fn ticket() -> Ticket {
        let call_id = "0193d2f5-6c1e-7a40-9b11-5f2d3c4b5a69".to_owned();
        Ticket { call_id, nonce: 0x0123_4567_89ab_cdef_0011_2233_4455_6677, expires_unix_s: 1_795_000_060 }
    }

    #[test]
    fn a_sealed_ticket_opens_until_its_last_second() {
        let text = seal(KEY, &ticket());
        assert_eq!(open(KEY, &text, 1_795_000_000), Ok(ticket()));
        assert_eq!(open(KEY, &text, 1_795_000_059), Ok(ticket()));
        assert_eq!(open(KEY, &text, 1_795_000_060), Err(TicketError::Expired));
    }

    #[test]
    fn the_text_of_a_uuid_call_is_short_and_needs_no_escaping() {
        let text = seal(KEY, &ticket());
        assert_eq!(text.len(), 123);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }

    #[test]
    fn a_change_of_any_character_is_noticed() {
        let text = seal(KEY, &ticket());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(open(KEY, &changed, 0).is_err(), "character {at}");
        }
    }

    #[test]
    fn another_key_opens_nothing_even_when_the_ticket_has_expired() {
        let text = seal(b"another key", &ticket());
        assert_eq!(open(KEY, &text, 0), Err(TicketError::Forged));
        assert_eq!(open(KEY, &text, u64::MAX), Err(TicketError::Forged));
    }

    #[test]
    fn what_is_no_ticket_is_malformed() {
        let long = "A".repeat(TEXT_LEN_MAX + 1);
        for text in ["", "A", "not base64!", "c2hvcnQ", &"A".repeat(74), &long] {
            assert_eq!(open(KEY, text, 0), Err(TicketError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn the_longest_call_id_opens_and_a_longer_one_does_not() {
        let sealed = |len| seal(KEY, &Ticket { call_id: "x".repeat(len), ..ticket() });
        assert_eq!(sealed(244).len(), TEXT_LEN_MAX);
        assert!(open(KEY, &sealed(244), 0).is_ok());
        assert_eq!(open(KEY, &sealed(245), 0), Err(TicketError::Malformed));
    }

    #[test]
    fn a_signature_of_ours_over_something_else_is_no_ticket() {
        let claim = [0xff; 32];
        let tag = Hmac::<Sha256>::new_from_slice(KEY).unwrap().chain_update(claim).finalize().into_bytes();
        let text = URL_SAFE_NO_PAD.encode([&tag[..], &claim].concat());
        assert_eq!(open(KEY, &text, 0), Err(TicketError::Forged));
    }

    #[test]
    fn a_signed_call_id_that_is_no_text_is_malformed() {
        let claim = [0xff; 32];
        let tag = mac(KEY, &claim).finalize().into_bytes();
        let text = URL_SAFE_NO_PAD.encode([&tag[..], &claim].concat());
        assert_eq!(open(KEY, &text, 0), Err(TicketError::Malformed));
    }
}
