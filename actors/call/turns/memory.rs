//! Conversations in memory: enough for one node, whose calls then survive a fault of their own actor.
//!
//! It refuses to outlive the process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use tokio::time::Instant;

use super::Conversation;
use super::outside::{Conversations, ConversationsError};

/// Conversations kept, the latest ones. One takes 3 KB after ten turns, and 35 KB at most (its ledger's 30 KB, and the
/// four answers that may be asked for again): usually 6 MB, never over 72 MB.
const KEPT_MAX: usize = 2_048;

/// A conversation that nobody has touched for so long is over: a turn takes three minutes at most.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// How often those that are over are looked for.
const SWEPT_EVERY: Duration = Duration::from_mins(1);

#[derive(Default)]
pub struct MemoryConversations(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_call: HashMap<String, (Instant, Conversation)>,
    swept_at_opt: Option<Instant>,
}

impl Kept {
    fn keep(&mut self, call_sid: &str, conversation: Conversation, now: Instant) {
        if now.duration_since(*self.swept_at_opt.get_or_insert(now)) >= SWEPT_EVERY {
            self.swept_at_opt = Some(now);
            self.by_call.retain(|_, (at, _)| now.duration_since(*at) < KEPT_FOR);
        }
        if self.by_call.len() >= KEPT_MAX && !self.by_call.contains_key(call_sid) {
            let oldest = self.by_call.iter().min_by_key(|(_, (at, _))| *at).map(|(oldest, _)| oldest.clone());
            oldest.and_then(|oldest| self.by_call.remove(&oldest));
        }
        self.by_call.insert(call_sid.to_owned(), (now, conversation));
    }

    fn recall(&self, call_sid: &str, now: Instant) -> Option<Conversation> {
        let (at, conversation) = self.by_call.get(call_sid)?;
        (now.duration_since(*at) < KEPT_FOR).then(|| conversation.clone())
    }
}

impl Conversations for MemoryConversations {
    fn keep(
        &self,
        call_sid: &str,
        conversation: Conversation,
    ) -> LocalBoxFuture<'static, Result<(), ConversationsError>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(call_sid, conversation, Instant::now());
        ready(Ok(())).boxed_local()
    }

    fn recall(
        &self,
        call_sid: &str,
    ) -> LocalBoxFuture<'static, Result<Option<Conversation>, ConversationsError>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(kept.recall(call_sid, Instant::now()))).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::CallId;

    fn conversation(n: u128) -> Conversation {
        Conversation::new(CallId(uuid::Uuid::from_u128(n)), jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_last_state_of_a_conversation_is_the_one_recalled() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        kept.keep("CA1", conversation(1), now);
        kept.keep("CA1", conversation(2), now + Duration::from_secs(1));
        assert_eq!(kept.recall("CA1", now), Some(conversation(2)));
        assert_eq!(kept.recall("CA2", now), None);
    }

    #[test]
    fn a_conversation_is_kept_as_long_as_it_goes_on() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        kept.keep("CA1", conversation(1), now);
        kept.keep("CA2", conversation(2), now);
        kept.keep("CA1", conversation(1), now + KEPT_FOR / 2);
        assert_eq!(kept.recall("CA2", now + KEPT_FOR), None, "nobody has swept it out, and yet it is over");
        kept.keep("CA3", conversation(3), now + KEPT_FOR);
        assert!(kept.recall("CA1", now + KEPT_FOR).is_some());
        assert_eq!(kept.by_call.len(), 2, "what is over takes no memory");
    }

    #[test]
    fn the_memory_is_bounded_however_many_calls_there_are() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for n in 0..3_000_u32 {
            kept.keep(&format!("CA{n}"), conversation(n.into()), now + Duration::from_millis(n.into()));
        }
        assert_eq!(kept.by_call.len(), KEPT_MAX);
        assert_eq!(kept.recall("CA0", now), None);
        assert_eq!(kept.recall("CA2999", now), Some(conversation(2_999)), "the latest are kept");
    }
}
