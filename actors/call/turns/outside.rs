//! What the outside must provide to a traditional call besides a model and a store: somebody who turns words into sound
//! that the carrier can fetch.
//!
//! It refuses to know how that is done.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use crate::ports::ModelId;

/// Makes clips of words, in one agent's voice. Shared by all its calls of all threads.
pub trait Narrator: Send + Sync {
    /// Whose voice it is.
    fn model(&self) -> ModelId;

    /// Has `text` spoken, unless it was before.
    fn narrate(&self, text: &str) -> Narration;
}

/// A clip in the making.
pub struct Narration {
    /// There within the few seconds that a caller can be kept waiting. Nothing when the words cannot be spoken by then,
    /// and the carrier has to say them.
    pub clip: LocalBoxFuture<'static, Option<ClipId>>,
    /// A model is asked to speak for it, and paid.
    pub is_new: bool,
}

/// Names a clip: 128 random bits, as whoever knows them can listen.
///
/// Written as text: serde cannot buffer an `u128`, as it has to where an enum is told by a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ClipId(pub u128);

impl From<ClipId> for String {
    fn from(id: ClipId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ClipId {
    type Error = std::num::ParseIntError;

    fn try_from(digits: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&digits, 16).map(Self)
    }
}

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
