//! The turn engine: a chat model that answers in words, one turn at a time. The carrier does the hearing and the speaking.
//!
//! [`session`] is one answer in the making as a pure state machine; [`speakable`] makes of a model's text what can be
//! said on a phone; [`actor`] owns the model's stream and carries out what the session decides.
//!
//! It obeys the contract of engines as far as words go: facts go up as `FromEngine`, and an engine that cannot go on
//! says so, ends and stops. It has no lanes and no socket, so there is nothing to be ready or to finish.

pub mod actor;
pub mod session;
pub mod speakable;

pub use actor::{AnswerCaller, TurnSession};
