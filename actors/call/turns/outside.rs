//! What the outside must provide to a traditional call: a place where conversations are kept between webhooks, and
//! somebody who turns words into sound that the carrier can fetch.
//!
//! It refuses to know how either is done.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use super::Conversation;

/// Keeps conversations, so that any node can take any turn. One per process, shared by all calls of all threads.
pub trait Conversations: Send + Sync {
    /// Keeps the conversation of the call that the carrier names so, in place of an earlier state of it. A call keeps
    /// one state after the other, never two at a time.
    fn keep(
        &self,
        call_sid: &str,
        conversation: Conversation,
    ) -> LocalBoxFuture<'static, Result<(), ConversationsError>>;

    /// The last state that was kept; nothing for a call that nobody has heard of, or long ago.
    fn recall(
        &self,
        call_sid: &str,
    ) -> LocalBoxFuture<'static, Result<Option<Conversation>, ConversationsError>>;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("conversations cannot be reached: {0}")]
pub struct ConversationsError(pub String);

/// Makes clips of words, in one agent's voice. Shared by all its calls of all threads.
pub trait Narrator: Send + Sync {
    /// Has `text` spoken. Answers within the few seconds that a caller can be kept waiting: with nothing when it cannot
    /// be spoken by then, and the carrier has to say it.
    fn narrate(&self, text: &str) -> LocalBoxFuture<'static, Option<ClipId>>;
}

/// Names a clip: 128 random bits, as whoever knows them can listen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClipId(pub u128);

impl fmt::Display for ClipId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClipId")
    }
}
