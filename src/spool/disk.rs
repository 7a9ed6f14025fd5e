//! What the writer asks of the disk, and the system's own. Tests have one that fails when it is told to.
//!
//! It refuses to know what is written.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// Where segments are made.
pub(super) trait Disk: Send {
    /// An empty file. What had its name is gone: the writer uses a name again only when nothing in the file counts.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
    /// Makes the names in a directory survive the machine.
    fn sync_directory(&self, dir: &Path) -> io::Result<()>;
}

/// One segment, open for writing. A failed write may have written a part.
pub(super) trait SegmentFile: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Takes away what lies behind `length`.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

pub(super) struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        sync_directory(dir)
    }
}

impl SegmentFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Puts a small file into a directory whole, or not at all.
pub(super) fn write_whole(dir: &Path, name: &str, draft: &str, text: &str) -> io::Result<()> {
    let mut file = File::create(dir.join(draft))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(dir.join(draft), dir.join(name))?;
    sync_directory(dir)
}
