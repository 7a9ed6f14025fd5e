//! The last word of a process: what ran in its live calls a moment ago, kept in two small files, so that whoever comes after
//! a kill finds it.
//!
//! It refuses to know what becomes of it. The files are written in turn, in place: a kill tears one of them at most, which
//! its checksum tells, and the other holds the word before. Nothing is synced: a killed process leaves what it wrote with
//! the system; a machine that dies takes it along.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crc::{CRC_32_ISCSI, Crc};
use jiff::Timestamp;
use tandem_actors::ports::CallId;
use uuid::Uuid;

use super::entry::{LeftEntry, RunningCall};

const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// `checksum of all behind it: u32, turn: u64, at: i64 (microseconds), process: u128, calls: u32`, little endian, and then
/// the calls.
const HEAD_BYTES: usize = 40;

/// `call: u128, served_ms: u64, heard_ms: u64`
const CALL_BYTES: usize = 32;

/// A file that says it has more is none of ours.
const CALLS_MAX: usize = 1 << 20;

pub(crate) struct LastWord {
    files: [File; 2],
    turn: u64,
    process: Uuid,
    bytes: Vec<u8>,
}

impl LastWord {
    /// Opens or makes the files `<spool>.running-a` and `-b`, and yields what the process before this one has left.
    pub(crate) fn open(spool: &Path, process: Uuid) -> io::Result<(Self, Option<LeftEntry>)> {
        let file = |name: &str| {
            let mut path = spool.as_os_str().to_owned();
            path.push(name);
            File::options().read(true).write(true).create(true).truncate(false).open(path)
        };
        let files = [file(".running-a")?, file(".running-b")?];
        let found = files.iter().filter_map(read).max_by_key(|(turn, _)| *turn);
        let turn = found.as_ref().map_or(0, |(turn, _)| *turn);
        let left_opt = found.map(|(_, left)| left).filter(|left| !left.calls.is_empty());
        Ok((Self { files, turn, process, bytes: Vec::new() }, left_opt))
    }

    pub(crate) fn say(&mut self, at: Timestamp, calls: &[RunningCall]) -> io::Result<()> {
        self.turn += 1;
        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend([0; 4]);
        bytes.extend(self.turn.to_le_bytes());
        bytes.extend(at.as_microsecond().to_le_bytes());
        bytes.extend(self.process.as_u128().to_le_bytes());
        bytes.extend(u32::try_from(calls.len()).unwrap_or(u32::MAX).to_le_bytes());
        for call in calls {
            bytes.extend(call.call.0.as_u128().to_le_bytes());
            bytes.extend(call.served_ms.to_le_bytes());
            bytes.extend(call.heard_ms.to_le_bytes());
        }
        let checksum = CHECKSUM.checksum(&bytes[4..]).to_le_bytes();
        bytes[..4].copy_from_slice(&checksum);
        let which = usize::from(self.turn.is_multiple_of(2));
        self.files[which].write_all_at(bytes, 0)
    }
}

/// The word in a file, and whose turn it was; nothing when there is none, or it is torn.
fn read(file: &File) -> Option<(u64, LeftEntry)> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).ok()?;
    let count = usize::try_from(u32::from_le_bytes(head[36..40].try_into().ok()?)).ok()?;
    let mut calls = vec![0; count.min(CALLS_MAX) * CALL_BYTES];
    file.read_exact_at(&mut calls, HEAD_BYTES as u64).ok()?;
    let mut digest = CHECKSUM.digest();
    digest.update(&head[4..]);
    digest.update(&calls);
    if digest.finalize() != u32::from_le_bytes(head[..4].try_into().ok()?) {
        return None;
    }
    let at = Timestamp::from_microsecond(i64::from_le_bytes(head[12..20].try_into().ok()?)).ok()?;
    let process = Uuid::from_u128(u128::from_le_bytes(head[20..36].try_into().ok()?));
    let calls = calls.chunks_exact(CALL_BYTES).map(call).collect::<Option<_>>()?;
    Some((u64::from_le_bytes(head[4..12].try_into().ok()?), LeftEntry { process, at, calls }))
}

fn call(bytes: &[u8]) -> Option<RunningCall> {
    Some(RunningCall {
        call: CallId(Uuid::from_u128(u128::from_le_bytes(bytes[..16].try_into().ok()?))),
        served_ms: u64::from_le_bytes(bytes[16..24].try_into().ok()?),
        heard_ms: u64::from_le_bytes(bytes[24..32].try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Uuid = Uuid::from_u128(7);

    fn calls(count: u128) -> Vec<RunningCall> {
        (0..count)
            .map(|n| RunningCall { call: CallId(Uuid::from_u128(n)), served_ms: 9, heard_ms: u64::MAX })
            .collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn the_last_word_is_found_and_a_torn_one_is_the_word_before() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("x.spool");
        let (mut word, left_opt) = LastWord::open(&spool, PROCESS).unwrap();
        assert_eq!(left_opt, None);
        for (second, count) in [(1, 500), (2, 3), (3, 600)] {
            word.say(at(second), &calls(count)).unwrap();
        }
        let left = |second, count| Some(LeftEntry { process: PROCESS, at: at(second), calls: calls(count) });
        assert_eq!(LastWord::open(&spool, PROCESS).unwrap().1, left(3, 600));
        word.files[1].write_all_at(b"torn", 4_000).unwrap(); // behind the end of the third
        assert_eq!(LastWord::open(&spool, PROCESS).unwrap().1, left(3, 600));
        word.files[0].write_all_at(b"torn", 4_000).unwrap();
        let (mut next, left_opt) = LastWord::open(&spool, Uuid::from_u128(8)).unwrap();
        assert_eq!(left_opt, left(2, 3));
        next.say(at(9), &[]).unwrap();
        assert_eq!(LastWord::open(&spool, PROCESS).unwrap().1, None, "nothing ran");
    }

    #[test]
    fn whatever_stands_in_the_files_is_read_without_harm() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("x.spool");
        for bytes in [&b""[..], b"short", &[0xFF; 100], &[0; HEAD_BYTES]] {
            std::fs::write(folder.path().join("x.spool.running-a"), bytes).unwrap();
            assert_eq!(LastWord::open(&spool, PROCESS).unwrap().1, None);
        }
        assert!(LastWord::open(Path::new("/nonexistent/x.spool"), PROCESS).is_err());
    }
}
