//! The watch over the file of prices: it is read again when it has changed.
//!
//! It refuses to judge what is in it.
//!
//! A file is looked at from outside once a second, and read when it has changed and looks the same twice: one that is
//! being written would be taken for a whole list with half of its models. So a change is in use within two seconds. The
//! same state is read once, and what is wrong with it told once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tandem_actors::ports::Clock;

use super::{PriceList, PricesError, PricesInUse};

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub struct Watch {
    file: PathBuf,
    prices: Arc<PricesInUse>,
    clock: Arc<dyn Clock>,
    /// How the file looked when it was read last.
    read: Look,
    /// How it looked the last time, if that was another look.
    changed_opt: Option<Look>,
}

/// A file from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Absent,
    Present { bytes: u64, modified_opt: Option<SystemTime> },
    Hidden(io::ErrorKind),
}

impl Watch {
    /// Reads the list to begin with.
    pub fn begin(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, PricesError> {
        let read = Look::at(file); // before it is read: what changes meanwhile is seen next time
        let prices = Arc::new(PricesInUse::begin(file)?);
        Ok(Self { file: file.to_owned(), prices, clock, read, changed_opt: None })
    }

    pub fn prices(&self) -> Arc<PricesInUse> {
        Arc::clone(&self.prices)
    }

    fn look(&mut self) {
        let look = Look::at(&self.file);
        if look == self.read {
            self.changed_opt = None;
        } else if self.changed_opt.replace(look) == Some(look) {
            (self.read, self.changed_opt) = (look, None);
            self.prices.offer(&self.file, PriceList::of_file(&self.file), self.clock.now());
        }
    }
}

/// Watches until it is dropped. Disks may hang: they are waited for on a thread that nobody else waits for.
pub async fn keep_watch(mut watch: Watch) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let looking = tokio::task::spawn_blocking(move || {
            watch.look();
            watch
        });
        watch = match looking.await {
            Ok(watch) => watch,
            Err(error) => return tracing::error!(%error, "prices stay as they are until the next start"),
        };
    }
}

impl Look {
    fn at(file: &Path) -> Self {
        match fs::metadata(file) {
            Ok(seen) => Self::Present { bytes: seen.len(), modified_opt: seen.modified().ok() },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Hidden(error.kind()),
        }
    }
}

#[cfg(test)]
mod tests;
