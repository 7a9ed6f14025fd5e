//! The spool's directory as it is found: whose it is, which segments it holds, and where numbers go on.
//!
//! It refuses to know the running spool. What it cannot read it leaves where it is, counts and names.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::disk;
use super::error::SpoolError;
use super::layout::{self, HEAD_BYTES, Head, Piece, RECORD_BYTES_MIN};
use super::segments::{NUMBER_MAX, NUMBERS_PER_SEGMENT, SEGMENT_BYTES_MAX, Segment, Segments};

const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
const IDENTITY_DRAFT: &str = "identity.new";
const SUFFIX: &str = ".spool";

pub(super) struct Directory {
    /// Held as long as somebody writes or reads here.
    pub(super) lock: File,
    pub(super) spool: Uuid,
    pub(super) segments: Segments,
    /// Files that cannot be ours, or cannot be read.
    pub(super) foreign: u64,
}

pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{SUFFIX}"))
}

/// Opens the directory, made when it is missing. A new spool gets the identity `fresh`.
pub(super) fn open(dir: &Path, fresh: Uuid) -> Result<Directory, SpoolError> {
    let failed = |source| SpoolError::Open { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::create(dir.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(SpoolError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    read(dir, lock, fresh).map_err(failed)
}

fn read(dir: &Path, lock: File, fresh: Uuid) -> io::Result<Directory> {
    let Listed { found, foreign } = list(dir)?;
    let spool = identity(dir, &found, fresh)?;
    let is_ours = |file: &&Found| match file.head {
        Ok(head_opt) => head_opt.is_none_or(|head| head.spool == spool),
        Err(_) => false,
    };
    let not_ours: Vec<&Found> = found.iter().filter(|file| !is_ours(file)).collect();
    for file in &not_ours {
        tracing::warn!(file = %segment_path(dir, file.first).display(), "not a segment of this spool: left alone");
    }
    let ours: Vec<&Found> = found.iter().filter(is_ours).collect();
    let end_opt = ours.last().map(|last| end_of(dir, spool, last)).transpose()?;
    let segment = |(at, file): (usize, &&Found)| {
        let records = match ours.get(at + 1) {
            Some(following) => file.records_before(following),
            None => end_opt.map_or(0, |end| end.records),
        };
        Segment { first: file.first, records, bytes: file.bytes }
    };
    let kept: VecDeque<Segment> = ours.iter().enumerate().map(segment).collect();
    let next = end_opt.map_or(1, |end| end.next);
    // A file that is not ours keeps its name, which no segment of ours may get.
    let next = not_ours.iter().map(|file| file.first + NUMBERS_PER_SEGMENT).fold(next, u64::max);
    let foreign = foreign + not_ours.len() as u64;
    Ok(Directory { lock, spool, segments: Segments::new(kept, next), foreign })
}

struct Listed {
    /// What has a segment's name, by number.
    found: Vec<Found>,
    foreign: u64,
}

struct Found {
    first: u64,
    bytes: u64,
    /// Absent when it is damaged; an error when the file cannot be read.
    head: io::Result<Option<Head>>,
}

impl Found {
    /// What it holds, told by where the following one begins. When that one cannot tell how many numbers were left out
    /// in between, it is a bound.
    fn records_before(&self, following: &Self) -> u64 {
        let numbers = following.first - self.first;
        match following.head {
            Ok(Some(head)) => numbers.saturating_sub(head.left_out),
            _ => numbers.min(self.bytes / RECORD_BYTES_MIN as u64),
        }
    }
}

fn list(dir: &Path) -> io::Result<Listed> {
    let mut listed = Listed { found: Vec::new(), foreign: 0 };
    for entry in fs::read_dir(dir)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = name.to_string_lossy();
        if let Some(first) = number_of(&name) {
            let head = head(&path);
            let bytes = fs::metadata(&path).map_or(0, |told| told.len());
            listed.found.push(Found { first, bytes, head });
        } else if ![LOCK, IDENTITY, IDENTITY_DRAFT].contains(&&*name) {
            tracing::warn!(file = %path.display(), "a file that no spool has: left alone");
            listed.foreign += 1;
        }
    }
    listed.found.sort_by_key(|file| file.first);
    Ok(listed)
}

/// Numbers of names leave room for those behind them: a name that does not is not ours.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?;
    let number = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
    (1..2 * NUMBER_MAX).contains(&number).then_some(number)
}

fn head(path: &Path) -> io::Result<Option<Head>> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(layout::read_head(&bytes))
}

/// From its file; if that is lost, from the newest segment that tells it.
fn identity(dir: &Path, found: &[Found], fresh: Uuid) -> io::Result<Uuid> {
    let written_opt = match fs::read(dir.join(IDENTITY)) {
        Ok(bytes) => str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(spool) = written_opt {
        return Ok(spool);
    }
    let told_opt = found.iter().rev().find_map(|file| file.head.as_ref().ok()?.map(|head| head.spool));
    let spool = told_opt.unwrap_or(fresh);
    disk::write_whole(dir, IDENTITY, IDENTITY_DRAFT, &format!("{spool}\n"))?;
    Ok(spool)
}

/// How the last segment ends.
#[derive(Clone, Copy)]
struct End {
    /// Numbers that are known to be used.
    records: u64,
    /// Where numbers go on: behind these when it ends with a last word, else behind all that it could hold.
    next: u64,
}

/// A process that was killed has synced nothing for a while: what is read here is durable before it counts.
fn end_of(dir: &Path, spool: Uuid, file: &Found) -> io::Result<End> {
    let opened = File::open(segment_path(dir, file.first))?;
    opened.sync_data()?;
    let mut bytes = Vec::new();
    opened.take(SEGMENT_BYTES_MAX + RECORD_BYTES_MIN as u64).read_to_end(&mut bytes)?;
    let numbers = Segment { first: file.first, records: 0, bytes: 0 }.numbers();
    let mut at = if layout::read_head(&bytes).is_some() { HEAD_BYTES } else { 0 };
    let (mut next, mut is_last_word) = (file.first, false);
    while at < bytes.len() {
        (at, is_last_word) = match layout::piece(spool, &numbers, &bytes, at, true) {
            Piece::Record { number, payload } => {
                next = next.max(number + 1);
                (payload.end, false)
            }
            Piece::End { next: told, end } => {
                next = next.max(told);
                (end, true)
            }
            Piece::Damaged { end } => (end, false),
            Piece::Cut => (bytes.len(), false),
        };
    }
    Ok(End {
        records: next - file.first,
        next: if is_last_word { next } else { file.first + NUMBERS_PER_SEGMENT },
    })
}

#[cfg(test)]
mod tests;
