//! The cascade engine: a model that listens, one that thinks and one that speaks, behind one another, over HTTP.
//!
//! [`session`] is the conversation as a pure state machine; `ears` finds utterances in frames, `sentences` cuts thoughts
//! into what can be spoken, `mouth` makes frames of speech; `errands` keeps what models were asked; [`actor`] owns the
//! lanes and carries out what the session decides. To the call it looks like any other engine.

pub mod actor;
mod answer;
mod ears;
mod errands;
mod mouth;
mod sentences;
pub mod session;

pub use actor::{CascadeModels, CascadeSession, CascadeWiring};

#[cfg(test)]
mod tests;
