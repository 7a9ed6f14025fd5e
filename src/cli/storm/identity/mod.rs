//! Audio that says who it is: each 20 ms frame carries its track and its number to the far end, where it is recognised.
//! It knows nothing of sockets, of time, or of what a missing frame means.
//!
//! A *track* is one direction of one call. Where mu-law crosses untouched the identity is written into the bytes
//! ([`stamp`]); where the path resamples it is sung ([`tones`]).

mod stamp;
mod tones;

use std::sync::Arc;

pub(super) use tones::{Choir, Format};

/// How many tracks and sessions of one direction can be told apart (the tones have 14 bits for it).
pub(super) const TRACKS_MAX: u32 = tones::TRACKS_MAX;

/// Says frames.
#[derive(Clone)]
pub(super) enum Voice {
    Stamps,
    Tones(Arc<Choir>),
}

/// Recognises frames, however they are cut into messages.
pub(super) enum Ear {
    Stamps(stamp::Reader),
    Tones(Box<tones::Reader>),
}

impl Voice {
    /// Appends frame `number` of `track` to `audio`.
    pub(super) fn speak(&self, track: u32, number: u32, audio: &mut Vec<u8>) {
        match self {
            Voice::Stamps => stamp::write(track, number, audio),
            Voice::Tones(choir) => choir.sing(track, number, audio),
        }
    }

    /// The ear that understands this voice, with no memory yet.
    pub(super) fn ear(&self) -> Ear {
        match self {
            Voice::Stamps => Ear::Stamps(stamp::Reader::default()),
            Voice::Tones(choir) => Ear::Tones(Box::new(tones::Reader::new(Arc::clone(choir)))),
        }
    }
}

impl Ear {
    /// Takes the next bytes of the stream and reports every frame they complete as `(track, number)`, in order of
    /// arrival.
    pub(super) fn hear(&mut self, audio: &[u8], found: impl FnMut(u32, u32)) {
        match self {
            Ear::Stamps(reader) => reader.hear(audio, found),
            Ear::Tones(reader) => reader.hear(audio, found),
        }
    }

    /// Microseconds of audio that nobody sent, since the last question.
    pub(super) fn take_foreign_us(&mut self) -> u64 {
        match self {
            Ear::Stamps(reader) => reader.take_foreign_us(),
            Ear::Tones(reader) => reader.take_foreign_us(),
        }
    }
}
