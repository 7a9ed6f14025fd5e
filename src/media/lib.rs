//! Media: audio as arithmetic. Codecs, rate conversion, frames, speech detection, and what the caller has heard.
//! Refuses to know sockets, clocks, serialisers and runtimes: samples in, samples and facts out.
//!
//! | module | question it answers |
//! |---|---|
//! | [`frame`] | how does audio travel on a lane |
//! | [`g711`] | what is a byte from the phone worth |
//! | [`pcm`] | where does a sample begin in a stream of bytes |
//! | [`resample`] | how does 8 kHz become 24 kHz and back |
//! | [`level`] | how loud is it |
//! | [`gate`] | does somebody speak |
//! | [`playout`] | how much of what was sent has the caller heard |

pub mod earcon;
pub mod frame;
pub mod g711;
pub mod gate;
pub mod level;
pub mod pcm;
pub mod playout;
pub mod resample;

pub use frame::{FRAME_MS, Frame, G711Frame, PHONE_RATE, Pcm16kFrame, Pcm24Frame};
pub use resample::{Rate, Resampler};
