//! PCM16 as bytes: little-endian samples in chunks that providers and browsers cut anywhere, also within a sample.
//! Knows no rate and no frame.

/// A stream of bytes that becomes samples. Half a sample at the end of a chunk waits for its other half.
#[derive(Clone, Debug, Default)]
pub struct PcmBytes {
    half: Option<u8>,
}

impl PcmBytes {
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns bytes into samples until one of the two runs out, moves `bytes` past what it took and answers how many
    /// samples it wrote. So one chunk may fill frame after frame, until `bytes` is empty.
    pub fn decode(&mut self, bytes: &mut &[u8], samples: &mut [i16]) -> usize {
        let mut written = 0;
        if let (Some(low), [high, rest @ ..], [sample, ..]) = (self.half, *bytes, &mut *samples) {
            *sample = i16::from_le_bytes([low, *high]);
            *bytes = rest;
            self.half = None;
            written = 1;
        }

        let (pairs, _) = bytes.as_chunks();
        let room = &mut samples[written..];
        let whole = pairs.len().min(room.len());
        for (sample, &pair) in room.iter_mut().zip(pairs) {
            *sample = i16::from_le_bytes(pair);
        }
        *bytes = &bytes[2 * whole..];

        if let (None, [low]) = (self.half, *bytes) {
            self.half = Some(*low);
            *bytes = &[];
        }
        written + whole
    }

    /// Whether half a sample waits. At the end of a stream it means that a byte is missing.
    pub fn pending(&self) -> bool {
        self.half.is_some()
    }

    /// Forgets the waiting half: the next byte begins a sample.
    pub fn reset(&mut self) {
        self.half = None;
    }
}

/// Writes samples as bytes, as many as `out` has room for, and answers how many bytes: two for each sample.
pub fn pcm_to_bytes(samples: &[i16], out: &mut [u8]) -> usize {
    let (pairs, _) = out.as_chunks_mut();
    for (pair, sample) in pairs.iter_mut().zip(samples) {
        *pair = sample.to_le_bytes();
    }
    2 * samples.len().min(pairs.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Pcm24Frame;

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_samples_are_the_same(
            samples: Vec<i16>,
            cuts in prop::collection::vec(0_usize..40, 0..100),
        ) {
            let mut bytes = vec![0; 2 * samples.len()];
            prop_assert_eq!(pcm_to_bytes(&samples, &mut bytes), bytes.len());
            let mut pcm = PcmBytes::new();
            let mut heard = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (mut chunk, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                let mut room = vec![0; chunk.len().div_ceil(2)];
                let written = pcm.decode(&mut chunk, &mut room);
                prop_assert!(chunk.is_empty());
                heard.extend_from_slice(&room[..written]);
            }
            prop_assert_eq!(heard, samples);
            prop_assert!(!pcm.pending());
        }

        #[test]
        fn a_chunk_of_any_size_fills_frame_after_frame(samples in prop::collection::vec(any::<i16>(), 0..2_000)) {
            let mut bytes = vec![0; 2 * samples.len()];
            pcm_to_bytes(&samples, &mut bytes);
            let mut pcm = PcmBytes::new();
            let mut rest = bytes.as_slice();
            let mut heard = Vec::new();
            while !rest.is_empty() {
                let frame = Pcm24Frame::fill_with(|samples| pcm.decode(&mut rest, samples));
                heard.extend_from_slice(frame.as_slice());
            }
            prop_assert_eq!(heard, samples);
        }
    }

    #[test]
    fn an_odd_byte_waits_for_its_other_half() {
        let mut pcm = PcmBytes::new();
        let mut samples = [0; 4];
        assert_eq!(pcm.decode(&mut [0x34, 0x12, 0x78].as_slice(), &mut samples), 1);
        assert!(pcm.pending());
        assert_eq!(pcm.decode(&mut [].as_slice(), &mut samples[1..]), 0);
        assert_eq!(pcm.decode(&mut [0x56].as_slice(), &mut samples[1..]), 1);
        assert!(!pcm.pending());
        assert_eq!(samples, [0x1234, 0x5678, 0, 0]);
    }

    #[test]
    fn without_room_nothing_is_taken_but_a_half_that_may_wait() {
        let mut pcm = PcmBytes::new();
        let mut bytes = [1, 2, 3].as_slice();
        assert_eq!(pcm.decode(&mut bytes, &mut []), 0);
        assert_eq!(bytes, [1, 2, 3]);
        assert_eq!(pcm.decode(&mut [9].as_slice(), &mut []), 0);
        assert_eq!(pcm.decode(&mut bytes, &mut []), 0);
        assert_eq!((bytes, pcm.pending()), ([1, 2, 3].as_slice(), true));
        let mut samples = [0; 2];
        assert_eq!(pcm.decode(&mut bytes, &mut samples), 2);
        assert_eq!(samples, [0x0109, 0x0302]);
    }

    #[test]
    fn a_new_stream_starts_on_a_whole_sample() {
        let mut pcm = PcmBytes::new();
        pcm.decode(&mut [0xAA].as_slice(), &mut []);
        pcm.reset();
        let mut samples = [0; 1];
        assert_eq!(pcm.decode(&mut [0x01, 0x00].as_slice(), &mut samples), 1);
        assert_eq!(samples, [1]);
    }

    #[test]
    fn bytes_without_room_for_a_whole_sample_are_left_alone() {
        let mut out = [0xEE; 3];
        assert_eq!(pcm_to_bytes(&[0x0201, 0x0403], &mut out), 2);
        assert_eq!(out, [0x01, 0x02, 0xEE]);
    }
}
