//! What the agent says, in order, and which tools it reaches for.
//!
//! Knows nothing of audio formats or events.

use crate::speech::{self, Sentence};

/// The agent's part. Each session speaks it from the start.
#[derive(Debug, Clone)]
pub struct Script {
    /// Said when the first response is asked for before the caller has spoken.
    pub greeting: Sentence,
    /// Said one per response, over and over.
    pub answers: Vec<Sentence>,
    /// Tool calls made instead of an answer, provided the session declares the tool.
    pub calls: Vec<ScriptedCall>,
    /// The transcript of the n-th thing the caller says; after these, only how long it was is told.
    pub caller_lines: Vec<String>,
}

/// A tool call in the place of the response that answers the caller's `turn`-th utterance, counted from 1.
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
        Self { greeting, answers: sentences.collect(), calls: Vec::new(), caller_lines: Vec::new() }
    }
}

impl Script {
    /// The night desk, told what the demo's caller says.
    pub fn demo() -> Self {
        Self { caller_lines: speech::demo_caller_lines().map(str::to_owned).collect(), ..Self::default() }
    }
}
