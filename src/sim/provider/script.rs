//! What the agent says, in order, and which tools it reaches for.
//!
//! Knows nothing of audio formats or events, nor of how far a conversation is.

use crate::speech::{self, Sentence};

/// The agent's part in every conversation, whichever endpoint it is held over.
#[derive(Debug, Clone)]
pub struct Script {
    /// Said when nothing has been said yet.
    pub greeting: Sentence,
    /// Said one per response, over and over.
    pub answers: Vec<Sentence>,
    /// Tool calls made instead of an answer, provided the client declares the tool.
    pub calls: Vec<ScriptedCall>,
}

/// A tool call in the place of the answer to the caller's `turn`-th utterance, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedCall {
    pub turn: usize,
    pub name: String,
    /// JSON text, streamed in pieces.
    pub arguments: String,
}

impl Default for Script {
    /// The night desk of a hotel, without tools.
    fn default() -> Self {
        let mut sentences = speech::sentences();
        let greeting = sentences.next().expect("the embedded sentences start with a greeting");
        Self { greeting, answers: sentences.collect(), calls: Vec::new() }
    }
}

impl Script {
    /// The night desk, as the demo's caller meets it.
    pub fn demo() -> Self {
        Self::default()
    }
}
