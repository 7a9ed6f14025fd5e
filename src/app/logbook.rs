//! The journal of a running switch: opened with its spool, written into the tables by a thread of its own, and closed in
//! order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use secrecy::ExposeSecret;
use tandem_actors::ports::{Clock, Ids};
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{StartError, hexadecimal, random_bytes};
use crate::config::Config;
use crate::identity::Identity;
use crate::journal::{Archive, Journal, JournalSetup, LastWord, RunningCall, Writer};
use crate::spool::{Spool, SpoolLimits};
use crate::store::Store;

/// At the end the tables get so long to take what is left. What they have not taken stays in the spool.
const LAST_ENTRIES_MAX: Duration = Duration::from_secs(5);

/// What runs is written down so often: a kill takes along what came since. Of 500 calls it is 16 KB each time.
const RUNNING_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Logbook {
    journal: Arc<Journal>,
    /// Writes down what runs, until this is dropped.
    running: (Sender<()>, JoinHandle<()>),
    spool: Spool,
    /// Tells when all of a closed spool is written.
    written: oneshot::Receiver<()>,
    /// With a database that goes with the process goes its spool.
    _temporary_opt: Option<TempDir>,
}

impl Logbook {
    pub(super) async fn open(
        config: &Config,
        store: &Store,
        clock: &Arc<dyn Clock>,
        ids: &Arc<dyn Ids>,
    ) -> Result<Self, StartError> {
        let temporary_opt = is_in_memory(config).then(TempDir::new).transpose()?;
        let folder =
            temporary_opt.as_ref().map_or_else(|| folder(config), |folder| folder.path().join("spool"));
        let secret = store.keep_identity_secret(&hexadecimal(&random_bytes::<32>())).await?;
        let (spool, reader) = Spool::open(&folder, SpoolLimits::default(), ids.call_id().0)?;
        let archive: Arc<dyn Archive> = Arc::new(store.clone());
        let (writer, standing) = Writer::new(reader, Arc::clone(&archive));
        let receipts = writer.receipts();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (written_tx, written) = oneshot::channel();
        let write = move || {
            runtime.block_on(writer.run());
            written_tx.send(()).ok(); // nobody may wait for it
        };
        thread::Builder::new().name("journal".to_owned()).spawn(write)?;
        let journal = Journal::new(JournalSetup {
            spool: spool.clone(),
            calls_max: config.limits.calls_max as usize,
            archive,
            standing,
            receipts,
            identity: Identity::new(secret.into()),
            keeps_numbers: config.database.keep_numbers,
            call_max: Duration::from_secs(config.limits.call_seconds_max.into()),
            clock: Arc::clone(clock),
            ids: Arc::clone(ids),
        });
        let journal = Arc::new(journal);
        let (word, left_opt) = LastWord::open(&folder, ids.call_id().0)?;
        if let Some(left) = left_opt {
            tracing::warn!(calls = left.calls.len(), at = %left.at, "the process before this one was killed");
            journal.left(left);
        }
        let (stop, stopped) = mpsc::channel();
        let (running, now) = (Arc::clone(&journal), Arc::clone(clock));
        let say = move || keep_saying(word, &running, &*now, &stopped);
        let saying = thread::Builder::new().name("running".to_owned()).spawn(say)?;
        let running = (stop, saying);
        Ok(Self { journal, running, spool, written, _temporary_opt: temporary_opt })
    }

    /// Takes what happens in calls, what they use, how they end and what comes of them; knows who calls, and forgets who is
    /// to be forgotten.
    pub(super) fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.journal)
    }

    /// Knows callers by their numbers.
    pub(super) fn callers(&self) -> impl Fn(&str) -> Option<Uuid> + Send + Sync + use<> {
        let journal = Arc::clone(&self.journal);
        move |from| journal.user_of(Some(from))
    }

    /// For whoever watches the spool.
    pub(super) fn spool(&self) -> Spool {
        self.spool.clone()
    }

    /// Everything that happened is on disk when this returns, and in the tables if they are to be had.
    pub(super) async fn close(self) {
        let Self { running: (stop, saying), spool, written, .. } = self;
        drop(stop);
        let closed = tokio::task::spawn_blocking(move || {
            if saying.join().is_err() {
                tracing::error!("what runs was not written down to the end");
            }
            spool.close()
        });
        match closed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "what happened last may be lost"),
            Err(error) => tracing::error!(%error, "what happened last may be lost"),
        }
        if tokio::time::timeout(LAST_ENTRIES_MAX, written).await.is_err() {
            tracing::warn!("the database has not taken all that happened; the next start writes the rest");
        }
    }
}

/// Until it is stopped; then nothing runs. The first failure of several is told.
fn keep_saying(mut word: LastWord, journal: &Journal, clock: &dyn Clock, stopped: &Receiver<()>) {
    let mut fails = false;
    let mut say = |calls: &[RunningCall]| match word.say(clock.now(), calls) {
        Ok(()) => fails = false,
        Err(error) if !std::mem::replace(&mut fails, true) => {
            tracing::error!(%error, "what runs cannot be written down: a kill would take 30 s of each call along");
        }
        Err(_) => {}
    };
    while stopped.recv_timeout(RUNNING_EVERY) == Err(RecvTimeoutError::Timeout) {
        if let Some(calls) = journal.running() {
            say(&calls);
        }
    }
    say(&[]);
}

fn is_in_memory(config: &Config) -> bool {
    config.database.url.expose_secret() == "sqlite::memory:"
}

fn folder(config: &Config) -> PathBuf {
    let url = config.database.url.expose_secret();
    match (config.database.spool.as_str(), url.strip_prefix("sqlite://")) {
        ("", Some(file)) => format!("{file}.spool").into(),
        ("", None) => "tandem.spool".into(),
        (folder, _) => folder.into(),
    }
}
