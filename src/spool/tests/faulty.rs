//! A disk over real files that fails as it is told, and remembers what was synced.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::disk::{Disk, SegmentFile, SystemDisk};

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<Faults>>);

#[derive(Default)]
pub(crate) struct Faults {
    /// Bytes until the disk is full: a write beyond them writes a part.
    pub(crate) room_opt: Option<usize>,
    failing: HashSet<Operation>,
    pub(crate) syncs: usize,
    /// Lengths that survive a power cut.
    pub(crate) durable: HashMap<PathBuf, u64>,
    /// Done once, before the next write.
    pub(crate) before_write: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Create,
    SyncDirectory,
    Sync,
    Truncate,
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: Box<dyn SegmentFile>,
}

impl FaultyDisk {
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap()
    }
}

impl Faults {
    pub(crate) fn fail(&mut self, operation: Operation, fails: bool) {
        if fails {
            self.failing.insert(operation);
        } else {
            self.failing.remove(&operation);
        }
    }

    fn attempt(&self, operation: Operation) -> io::Result<()> {
        let fails = self.failing.contains(&operation);
        if fails { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        self.faults().attempt(Operation::Create)?;
        let file = SystemDisk.create(path)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        self.faults().attempt(Operation::SyncDirectory)?;
        SystemDisk.sync_directory(dir)
    }
}

impl SegmentFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before_opt = self.disk.faults().before_write.take();
        if let Some(before) = before_opt {
            before();
        }
        let room = self.disk.faults().room_opt.unwrap_or(usize::MAX);
        let written = bytes.len().min(room);
        self.file.write(&bytes[..written])?;
        if let Some(room) = &mut self.disk.faults().room_opt {
            *room -= written;
        }
        if written < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.faults().attempt(Operation::Truncate)?;
        self.file.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.faults().attempt(Operation::Sync)?;
        let length = File::open(&self.path)?.metadata()?.len();
        let mut faults = self.disk.faults();
        faults.syncs += 1;
        faults.durable.insert(self.path.clone(), length);
        Ok(())
    }
}
