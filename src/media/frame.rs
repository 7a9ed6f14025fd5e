//! Frames: at most 20 ms of audio in a fixed array, `Copy`, so that no frame on a lane is an allocation.
//! Knows no clock, no codec and no stream: what the samples mean is in the type's name.

use std::fmt;

use crate::g711::ULAW_SILENCE;

/// Length of a full frame in milliseconds.
pub const FRAME_MS: u32 = 20;

/// Sampling rate of the telephone network in hertz.
pub const PHONE_RATE: u32 = 8_000;

/// Samples per millisecond on the phone, and bytes too: G.711 has one byte per sample.
const PHONE_SAMPLES_PER_MS: usize = PHONE_RATE as usize / 1_000;

/// Up to `N` samples of one stream, where `N` is 20 ms. Shorter frames exist: carriers and providers send odd sizes.
#[derive(Clone, Copy)]
pub struct Frame<S, const N: usize> {
    len: u16,
    samples: [S; N],
}

/// 20 ms at 8 kHz: 160 bytes of mu-law or A-law.
pub type G711Frame = Frame<u8, 160>;

/// 20 ms at 16 kHz: 320 samples of linear PCM.
pub type Pcm16kFrame = Frame<i16, 320>;

/// 20 ms at 24 kHz: 480 samples of linear PCM.
pub type Pcm24Frame = Frame<i16, 480>;

impl<S: Copy + Default, const N: usize> Frame<S, N> {
    /// The most samples a frame can hold.
    pub const CAPACITY: usize = {
        assert!(N <= u16::MAX as usize, "a frame counts its samples in 16 bits");
        N
    };

    /// A frame of these samples. More than [`Self::CAPACITY`] of them are the caller's mistake (see [`Self::split`]):
    /// debug builds say so, release builds keep the first `N`.
    pub fn from_slice(samples: &[S]) -> Self {
        debug_assert!(samples.len() <= N, "{} samples for a frame of {N}", samples.len());
        Self::fill_with(|frame| {
            let len = samples.len().min(N);
            frame[..len].copy_from_slice(&samples[..len]);
            len
        })
    }

    /// Cuts any amount of audio into frames: all of them full but the last, and none of them empty.
    pub fn split(samples: &[S]) -> impl Iterator<Item = Self> {
        samples.chunks(Self::CAPACITY).map(Self::from_slice)
    }

    /// A frame written in place, so that a decoder needs no buffer in between. `fill` answers how many samples it
    /// has written from the start; an answer above [`Self::CAPACITY`] counts as a full frame.
    pub fn fill_with(fill: impl FnOnce(&mut [S; N]) -> usize) -> Self {
        let mut samples = [S::default(); N];
        let len = fill(&mut samples).min(Self::CAPACITY);
        let len = u16::try_from(len).expect("the capacity is checked to fit when the type is compiled");
        Self { len, samples }
    }

    pub fn as_slice(&self) -> &[S] {
        &self.samples[..self.len()]
    }

    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Cuts a stream that comes in pieces of any size into full frames; only the last one may be shorter.
///
/// Providers cut where they like. Carriers play in ticks of one frame, and tell how far they are at the end of a tick:
/// with full frames that is also the end of a frame, and nothing is uncertain.
#[derive(Clone, Copy)]
pub struct Framer<S, const N: usize> {
    partial: Frame<S, N>,
}

impl<S: Copy + Default, const N: usize> Framer<S, N> {
    pub fn new() -> Self {
        Self { partial: Frame::fill_with(|_| 0) }
    }

    /// Takes samples in; `full` gets every frame that they complete.
    pub fn push(&mut self, mut samples: &[S], mut full: impl FnMut(Frame<S, N>)) {
        while !samples.is_empty() {
            let at = self.partial.len();
            let (now, later) = samples.split_at(samples.len().min(N - at));
            self.partial.samples[at..at + now.len()].copy_from_slice(now);
            self.partial.len += u16::try_from(now.len()).expect("a frame counts its samples in 16 bits");
            samples = later;
            if self.partial.len() == N {
                full(self.partial);
                self.partial.len = 0;
            }
        }
    }

    /// The stream ends: what is left of it, if anything.
    pub fn flush(&mut self) -> Option<Frame<S, N>> {
        let rest = self.partial;
        self.partial.len = 0;
        (!rest.is_empty()).then_some(rest)
    }
}

impl<S: Copy + Default, const N: usize> Default for Framer<S, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl G711Frame {
    /// mu-law silence of `ms` milliseconds, at most one frame of it.
    pub fn silence(ms: u32) -> Self {
        Self::fill_with(|codes| {
            codes.fill(ULAW_SILENCE);
            ms.min(FRAME_MS) as usize * PHONE_SAMPLES_PER_MS
        })
    }
}

// Equality and debug output see the samples that are there, not the rest of the array.

impl<S: Copy + Default + PartialEq, const N: usize> PartialEq for Frame<S, N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<S: Copy + Default + Eq, const N: usize> Eq for Frame<S, N> {}

impl<S: Copy + Default + fmt::Debug, const N: usize> fmt::Debug for Frame<S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Frame").field(&self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn splitting_audio_loses_and_invents_nothing(audio: Vec<i16>) {
            let frames: Vec<Pcm24Frame> = Frame::split(&audio).collect();
            let joined: Vec<i16> = frames.iter().flat_map(|frame| frame.as_slice().to_vec()).collect();
            prop_assert_eq!(joined, audio);
        }

        #[test]
        fn every_frame_but_the_last_is_full_and_none_is_empty(len in 0_usize..2_000) {
            let lens: Vec<usize> = G711Frame::split(&vec![0; len]).map(|frame| frame.len()).collect();
            prop_assert_eq!(lens.len(), len.div_ceil(160));
            prop_assert!(lens.iter().rev().skip(1).all(|&len| len == 160));
            prop_assert!(lens.iter().all(|&len| len > 0));
        }

        #[test]
        fn whatever_the_pieces_frames_are_full_but_for_the_last(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 0..10),
        ) {
            let mut framer = Framer::<u8, 160>::new();
            let mut frames: Vec<G711Frame> = Vec::new();
            for piece in &pieces {
                framer.push(piece, |frame| frames.push(frame));
            }
            prop_assert!(frames.iter().all(|frame| frame.len() == 160));
            frames.extend(framer.flush());
            prop_assert!(framer.flush().is_none());
            let framed: Vec<u8> = frames.iter().flat_map(|frame| frame.as_slice().to_vec()).collect();
            prop_assert_eq!(framed, pieces.concat());
        }

        #[test]
        fn a_frame_gives_back_the_samples_it_was_made_of(samples in prop::collection::vec(any::<i16>(), 0..=320)) {
            let frame = Pcm16kFrame::from_slice(&samples);
            prop_assert_eq!(frame.as_slice(), &samples);
            prop_assert_eq!(frame.len(), samples.len());
            prop_assert_eq!(frame.is_empty(), samples.is_empty());
        }
    }

    #[test]
    fn what_lies_behind_the_last_sample_makes_no_difference() {
        let short = G711Frame::fill_with(|codes| {
            codes.fill(7);
            2
        });
        assert_eq!(short, G711Frame::from_slice(&[7, 7]));
        assert_ne!(short, G711Frame::from_slice(&[7, 7, 7]));
        assert_eq!(format!("{short:?}"), "Frame([7, 7])");
    }

    #[test]
    fn a_decoder_that_claims_too_much_gets_a_full_frame() {
        assert_eq!(G711Frame::fill_with(|_| usize::MAX).len(), 160);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "161 samples for a frame of 160"))]
    fn too_many_samples_are_told_in_debug_and_cut_in_release() {
        assert_eq!(G711Frame::from_slice(&[1; 161]).len(), 160);
    }

    #[test]
    fn silence_is_mu_law_zero_and_at_most_one_frame() {
        assert_eq!(G711Frame::silence(20), G711Frame::from_slice(&[0xFF; 160]));
        assert_eq!(G711Frame::silence(5).len(), 40);
        assert_eq!(G711Frame::silence(u32::MAX).len(), 160);
        assert!(G711Frame::silence(0).is_empty());
    }
}
