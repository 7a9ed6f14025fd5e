//! The phone's leg: Twilio Media Streams.
//!
//! [`opening`] waits for the stream to say which call it is; [`stream`] is the actor; [`intake`] fills what the
//! carrier left out; [`loudness`] notices that somebody speaks. What the caller has heard is reckoned by `tandem_media::playout`.

pub mod intake;
pub mod loudness;
pub mod opening;
pub mod stream;

pub use opening::{OpeningError, open};
pub use stream::TwilioStream;
