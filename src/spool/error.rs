//! What can go wrong with a spool as a whole. What goes wrong with records is counted, and told by the alarm.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("spool {dir} is in use: another process runs on it, or this one has opened it before")]
    Locked { dir: PathBuf },
    #[error("spool {dir} cannot be opened: {source}")]
    Open { dir: PathBuf, source: io::Error },
    #[error("spool limits are off: {0}")]
    Limits(&'static str),
    /// At its close; they are counted as lost.
    #[error("spool {dir} ended with {records} records unwritten: {reason}")]
    Unwritten { dir: PathBuf, records: u64, reason: String },
}
