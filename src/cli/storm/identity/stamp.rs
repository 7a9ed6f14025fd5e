//! Identity written into mu-law bytes, for a path that must not change a single one of them.
//! It does not know whether a frame is late, doubled or missing.

/// 20 ms of mu-law at 8 kHz: 8 bytes per ms.
const FRAME_BYTES: usize = 160;
/// A byte lasts 1 s / 8,000.
const BYTE_US: u64 = 125;
/// Not a run of samples that silence or speech would hold by chance (1 in 2^32 per byte, and the filler must follow).
const MAGIC: [u8; 4] = [0x00, 0x80, 0x5a, 0xa5];
/// Magic, track, number: three words of four bytes.
const HEADER_BYTES: usize = 12;
/// Near-silence in mu-law, so that a level meter on the path sees a quiet caller.
const FILLER: u8 = 0x7e;

/// Appends the frame.
pub(super) fn write(track: u32, number: u32, audio: &mut Vec<u8>) {
    let frame = audio.len();
    audio.extend_from_slice(&MAGIC);
    audio.extend_from_slice(&track.to_le_bytes());
    audio.extend_from_slice(&number.to_le_bytes());
    audio.resize(frame + FRAME_BYTES, FILLER);
}

/// Finds frames in a byte stream, at any alignment.
#[derive(Default)]
pub(in super::super) struct Reader {
    pending: Vec<u8>,
    foreign_bytes: u64,
}

impl Reader {
    pub(super) fn hear(&mut self, audio: &[u8], mut found: impl FnMut(u32, u32)) {
        self.pending.extend_from_slice(audio);
        let mut at = 0;
        while let Some(frame) = self.pending[at..].first_chunk() {
            if let Some((track, number)) = read(frame) {
                found(track, number);
                at += FRAME_BYTES;
            } else {
                self.foreign_bytes += 1;
                at += 1;
            }
        }
        self.pending.drain(..at);
    }

    pub(super) fn take_foreign_us(&mut self) -> u64 {
        std::mem::take(&mut self.foreign_bytes) * BYTE_US
    }
}

/// A frame whose every byte is as it was sent.
fn read(frame: &[u8; FRAME_BYTES]) -> Option<(u32, u32)> {
    let (header, filler) = frame.split_at(HEADER_BYTES);
    let intact = header.starts_with(&MAGIC) && filler.iter().all(|byte| *byte == FILLER);
    let word = |at: usize| header[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    if intact { Some((word(4)?, word(8)?)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(reader: &mut Reader, audio: &[u8]) -> Vec<(u32, u32)> {
        let mut frames = Vec::new();
        reader.hear(audio, |track, number| frames.push((track, number)));
        frames
    }

    fn frames(track: u32, numbers: std::ops::Range<u32>) -> Vec<u8> {
        let mut audio = Vec::new();
        numbers.for_each(|number| write(track, number, &mut audio));
        audio
    }

    #[test]
    fn frames_are_recognised_however_they_are_cut() {
        let audio = frames(7, 0..20);
        for cut in [1, 79, 160, 333, audio.len()] {
            let mut reader = Reader::default();
            let found: Vec<_> = audio.chunks(cut).flat_map(|part| heard(&mut reader, part)).collect();
            assert_eq!(found, (0..20).map(|number| (7, number)).collect::<Vec<_>>(), "cut every {cut} bytes");
            assert_eq!(reader.take_foreign_us(), 0);
        }
    }

    #[test]
    fn silence_put_in_between_is_foreign_and_hides_no_frame() {
        let mut audio = frames(7, 0..1);
        audio.extend([0xff; 83]);
        audio.extend(frames(7, 1..2));
        let mut reader = Reader::default();
        assert_eq!(heard(&mut reader, &audio), [(7, 0), (7, 1)]);
        assert_eq!(reader.take_foreign_us(), 83 * 125);
    }

    #[test]
    fn a_frame_with_one_changed_byte_is_not_the_frame_that_was_sent() {
        let mut audio = frames(7, 0..3);
        audio[160 + 100] ^= 1;
        let mut reader = Reader::default();
        assert_eq!(heard(&mut reader, &audio), [(7, 0), (7, 2)]);
        assert_eq!(reader.take_foreign_us(), 20_000);
    }
}
