//! What the outside must provide to a traditional call besides a model and a store: somebody who turns words into sound
//! that the carrier can fetch.
//!
//! It refuses to know how that is done.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

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
