//! Tickets: what ties a media socket to the call that was answered by webhook. Signed, single-use, short-lived.
//!
//! It refuses to know sockets and webhooks. Single use is per process; a ticket is opened where its socket lands, and
//! a second socket with the same ticket on another node within a minute would need the carrier's own TLS stream.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tandem_actors::ports::CallId;
use tandem_wire::ticket::{self, Ticket, TicketError};

/// From webhook to `start` a carrier takes a second or two; retries and slow proxies are in this.
const LIFETIME_S: u64 = 60;

/// Seals and opens tickets. Shared by all threads.
pub(crate) struct Tickets {
    key: Vec<u8>,
    /// Nonces of tickets that were used and have not expired: at most the calls of one minute.
    used: Mutex<VecDeque<(u64, u128)>>,
}

/// Why a ticket does not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error("ticket is missing")]
    Missing,
    #[error("ticket was not issued here, or was changed")]
    Forged,
    #[error("ticket has expired")]
    Expired,
    #[error("ticket was used before")]
    Used,
    #[error("ticket is for another call")]
    OtherCall,
}

impl Tickets {
    /// Nodes that share `secret` open each other's tickets.
    pub(crate) fn new(secret: &[u8]) -> Self {
        // The prefix keeps this use of the secret apart from the carrier's signatures.
        Self { key: [b"tandem ticket\0", secret].concat(), used: Mutex::default() }
    }

    /// A ticket for the call that the carrier names `call_sid`, and for no other.
    pub(crate) fn seal(&self, call: CallId, call_sid: &str, nonce: u128, now_unix_s: u64) -> String {
        let expires_unix_s = now_unix_s + LIFETIME_S;
        ticket::seal(&self.key, &Ticket { call_id: format!("{call} {call_sid}"), nonce, expires_unix_s })
    }

    /// Opens a ticket, once, for a stream of the call that it was issued for. A stream that does not say which call it
    /// is of is taken at the ticket's word.
    pub(crate) fn open(
        &self,
        text: Option<&str>,
        call_sid: Option<&str>,
        now_unix_s: u64,
    ) -> Result<CallId, NotAdmitted> {
        let ticket =
            ticket::open(&self.key, text.ok_or(NotAdmitted::Missing)?, now_unix_s).map_err(|error| {
                match error {
                    TicketError::Malformed | TicketError::Forged => NotAdmitted::Forged,
                    TicketError::Expired => NotAdmitted::Expired,
                }
            })?;
        let (call, issued_for) = ticket.call_id.split_once(' ').ok_or(NotAdmitted::Forged)?;
        let call = call.parse().map(CallId).map_err(|_| NotAdmitted::Forged)?;
        if call_sid.is_some_and(|call_sid| call_sid != issued_for) {
            return Err(NotAdmitted::OtherCall);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while used.front().is_some_and(|(expires, _)| *expires < now_unix_s) {
            used.pop_front();
        }
        if used.iter().any(|(_, nonce)| *nonce == ticket.nonce) {
            return Err(NotAdmitted::Used);
        }
        used.push_back((ticket.expires_unix_s, ticket.nonce));
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId(uuid::Uuid::from_u128(7));

    #[test]
    fn a_ticket_admits_once() {
        let tickets = Tickets::new(b"token");
        let text = tickets.seal(CALL, "CA1", 1, 1_000);
        assert_eq!(tickets.open(Some(&text), Some("CA1"), 1_001), Ok(CALL));
        assert_eq!(tickets.open(Some(&text), Some("CA1"), 1_002), Err(NotAdmitted::Used));
    }

    #[test]
    fn a_ticket_admits_for_a_minute() {
        let tickets = Tickets::new(b"token");
        let text = tickets.seal(CALL, "CA1", 1, 1_000);
        assert_eq!(tickets.open(Some(&text), Some("CA1"), 1_061), Err(NotAdmitted::Expired));
    }

    #[test]
    fn a_ticket_admits_the_call_it_was_issued_for() {
        let tickets = Tickets::new(b"token");
        let text = tickets.seal(CALL, "CA1", 1, 1_000);
        assert_eq!(tickets.open(Some(&text), Some("CA2"), 1_001), Err(NotAdmitted::OtherCall));
        assert_eq!(
            tickets.open(Some(&text), Some("CA1"), 1_001),
            Ok(CALL),
            "and is not used up by the other's try"
        );
    }

    #[test]
    fn nothing_else_admits() {
        let tickets = Tickets::new(b"token");
        let foreign = Tickets::new(b"other token").seal(CALL, "CA1", 1, 1_000);
        assert_eq!(tickets.open(None, None, 1_000), Err(NotAdmitted::Missing));
        assert_eq!(tickets.open(Some(""), None, 1_000), Err(NotAdmitted::Forged));
        assert_eq!(tickets.open(Some(&foreign), None, 1_000), Err(NotAdmitted::Forged));
    }

    #[test]
    fn used_tickets_are_forgotten_when_they_could_not_be_used_anyway() {
        let tickets = Tickets::new(b"token");
        for n in 0..100_u32 {
            let now = 1_000 + u64::from(n) * 10;
            let text = tickets.seal(CALL, "CA1", n.into(), now);
            tickets.open(Some(&text), None, now).unwrap();
        }
        assert!(tickets.used.lock().unwrap().len() <= 8);
    }
}
