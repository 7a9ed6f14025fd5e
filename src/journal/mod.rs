//! The journal: what happens in calls, on its way into the database.
//!
//! What happens is appended to the spool before anything else, as JSON, and written into the tables in batches: a process
//! that is killed loses what happened in its last moments, and a database that is down loses nothing. Whoever goes on with
//! a call asks here for its record: the newest calls are in memory, the others in the tables.
//!
//! It refuses to know tables (`store`) and files (`spool`).
//!
//! | file | what it holds |
//! |---|---|
//! | `entry.rs` | what stands in it |
//! | `recent.rs` | the newest calls, in memory |
//! | `difference.rs` | what has changed in a ledger |
//! | `batch.rs` | entries made ready to be written |
//! | `running.rs` | what runs in live calls and is in no entry yet |
//! | `writer.rs` | from the spool into the tables |

mod batch;
mod difference;
mod entry;
mod recent;
mod running;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use tandem_actors::call::timeline::What;
use tandem_actors::ledger::Ledger;
use tandem_actors::ports::{CallId, CallStore, Clock, Ids, UsageSpool};
use tandem_actors::record::CallRecord;
use tandem_actors::router::CallFacts;
use tandem_actors::usage::Run;
use tandem_actors::usage::event::UsageEvent;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::identity::{Identity, e164};
use crate::outcomes::Outcomes;
use crate::spool::Spool;
use recent::RecentCalls;
use running::RunningCalls;

pub(crate) use batch::Batch;
pub(crate) use entry::{
    CallEntry, EndingEntry, Entry, EventEntry, OutcomeEntry, RunningCall, RunningEntry, TurnKey, UsageEntry,
    User,
};
pub(crate) use writer::{Standing, Writer};

/// Who asks for a call is a carrier that waits for its answer, 15 s at most, with somebody on the line. A database that
/// takes longer is not waited for: the call begins anew.
const FIND_MAX: Duration = Duration::from_secs(1);

/// Where what happens in calls is written down. One per process, shared by all threads.
pub(crate) struct Journal {
    spool: Spool,
    recent: RecentCalls,
    running: RunningCalls,
    /// This life of the process.
    process: Uuid,
    archive: Arc<dyn Archive>,
    standing: watch::Receiver<Standing>,
    identity: Identity,
    keeps_numbers: bool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// What a journal is made of.
pub(crate) struct JournalSetup {
    pub(crate) spool: Spool,
    /// For a node with so many seats.
    pub(crate) calls_max: usize,
    pub(crate) archive: Arc<dyn Archive>,
    /// How far the spool is written.
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) identity: Identity,
    /// Whether numbers are written down, or only whom they stand for.
    pub(crate) keeps_numbers: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
}

impl Journal {
    pub(crate) fn new(setup: JournalSetup) -> Self {
        let JournalSetup { spool, calls_max, archive, standing, identity, keeps_numbers, clock, ids } = setup;
        let (recent, running) = (RecentCalls::new(calls_max), RunningCalls::default());
        let process = ids.call_id().0;
        Self { spool, recent, running, process, archive, standing, identity, keeps_numbers, clock, ids }
    }

    fn write_down(&self, entry: &Entry) {
        match serde_json::to_vec(entry) {
            Ok(written) => self.spool.append(written),
            Err(error) => tracing::error!(%error, "what happened cannot be written down"),
        }
    }

    /// Who calls from this number, if it is one.
    pub(crate) fn caller(&self, from: &str) -> Option<Uuid> {
        self.user(Some(from)).map(|user| user.id)
    }

    fn user(&self, from_opt: Option<&str>) -> Option<User> {
        let number = e164(from_opt?)?;
        Some(User { id: self.identity.user(&number), phone_opt: self.keeps_numbers.then_some(number) })
    }

    /// From the tables, once they hold what an earlier process has left in the spool.
    async fn find_in_archive(
        archive: Arc<dyn Archive>,
        mut standing: watch::Receiver<Standing>,
        call_sid: String,
    ) -> Result<Option<CallRecord>, ArchiveError> {
        let found = async {
            standing.wait_for(|standing| *standing != Standing::Behind).await.ok(); // its writer has gone: ask anyhow
            archive.find(&call_sid).await
        };
        let waited = |_| ArchiveError::passing(format!("no answer within {FIND_MAX:?}"));
        tokio::time::timeout(FIND_MAX, found).await.map_err(waited)?
    }
}

impl CallStore for Journal {
    fn keep(&self, record: CallRecord) {
        let before = self.recent.ledger(&record.call_sid, record.id);
        let mut entry = call_entry(&before, &record, self.user(record.from_opt.as_deref()), self.clock.now());
        if !self.keeps_numbers {
            (entry.from_opt, entry.to_opt) = (None, None);
        }
        self.write_down(&Entry::Call(Box::new(entry)));
        self.recent.keep(record);
    }

    fn find(&self, call_sid: &str) -> LocalBoxFuture<'static, Option<CallRecord>> {
        if let Some(record) = self.recent.find(call_sid) {
            return std::future::ready(Some(record)).boxed_local();
        }
        let found =
            Self::find_in_archive(Arc::clone(&self.archive), self.standing.clone(), call_sid.to_owned());
        let call_sid = call_sid.to_owned();
        async move {
            found.await.unwrap_or_else(|error| {
                tracing::warn!(call_sid, %error, "call cannot be looked up: it begins anew");
                None
            })
        }
        .boxed_local()
    }

    fn over(&self, call_sid: &str) {
        self.write_down(&Entry::Over { call_sid: call_sid.to_owned(), at: self.clock.now() });
        self.recent.over(call_sid);
    }

    fn note(&self, call: CallId, at: Duration, what: &What) {
        let Ok(what) = serde_json::to_value(what) else { return };
        let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let (id, at) = (self.ids.event_id(), self.clock.now());
        self.write_down(&Entry::Event(EventEntry { id, at, call, at_us, what }));
    }
}

impl UsageSpool for Journal {
    fn append(&self, event: UsageEvent) {
        let user = self.user(self.recent.from(event.call).as_deref());
        self.write_down(&Entry::Usage(Box::new(UsageEntry { user_opt: user.map(|user| user.id), event })));
    }

    fn running(&self, call: CallId, run_opt: Option<Run>) {
        self.running.note(call, run_opt);
    }
}

impl Journal {
    /// Writes down what runs and is in no usage event yet. Several times a second; what a process that is killed loses of
    /// it, is what came after the last time.
    pub(crate) fn note_running(&self) {
        if let Some(calls) = self.running.stock(Instant::now()) {
            self.write_running(calls);
        }
    }

    /// Nothing runs any more, or not yet.
    pub(crate) fn note_nothing_runs(&self) {
        self.write_running(Vec::new());
    }

    fn write_running(&self, calls: Vec<RunningCall>) {
        let (process, at) = (self.process, self.clock.now());
        self.write_down(&Entry::Running(RunningEntry { process, at, calls }));
    }

    /// An actor's part in a call is over, and maybe the call with it.
    pub(crate) fn ended(&self, facts: &CallFacts, is_last: bool) {
        self.write_down(&Entry::Ending(Box::new(EndingEntry {
            id: self.ids.event_id(),
            at: self.clock.now(),
            call: facts.call,
            agent: facts.agent.clone(),
            mode: facts.mode,
            is_last,
            failed: facts.observation.failed,
            early_hang_up: facts.observation.early_hang_up,
            response_ms: facts.observation.response_ms.clone(),
        })));
    }
}

impl Outcomes for Journal {
    fn tell(&self, call: CallId, reward: f64, note: String) {
        self.write_down(&Entry::Outcome(OutcomeEntry { call, at: self.clock.now(), reward, note }));
    }
}

/// The tables that the journal is written into. One per process, shared by all threads.
pub(crate) trait Archive: Send + Sync {
    /// The number of the last entry of this spool that stands in the tables; 0 when there is none.
    fn written(&self, spool: Uuid) -> LocalBoxFuture<'static, Result<u64, ArchiveError>>;

    /// Writes what came from a spool, up to the entry of this number: all of it or nothing. What has been written
    /// before is not written again.
    fn write(
        &self,
        spool: Uuid,
        number: u64,
        batch: Batch,
    ) -> LocalBoxFuture<'static, Result<(), ArchiveError>>;

    /// The newest call that the carrier names so.
    fn find(&self, call_sid: &str) -> LocalBoxFuture<'static, Result<Option<CallRecord>, ArchiveError>>;
}

/// Why, in words, and whether it may do at another time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct ArchiveError {
    pub(crate) why: String,
    /// The database is not to be had now. Otherwise what was to be written is what is wrong.
    pub(crate) passes: bool,
}

impl ArchiveError {
    pub(crate) fn passing(why: String) -> Self {
        Self { why, passes: true }
    }
}

/// What is to be written of a call whose ledger was written as `before`.
pub(crate) fn call_entry(
    before: &Ledger,
    record: &CallRecord,
    user_opt: Option<User>,
    at: Timestamp,
) -> CallEntry {
    let (turns, retracted) = difference::difference(before, &record.ledger);
    CallEntry {
        id: record.id,
        at,
        call_sid: record.call_sid.clone(),
        user_opt,
        agent: record.agent.clone(),
        from_opt: record.from_opt.clone(),
        to_opt: record.to_opt.clone(),
        started_at: record.started_at,
        routed: record.routed,
        rule_opt: record.rule_opt.clone(),
        mode: record.mode,
        failed: record.failed.clone(),
        spent: record.spent,
        questions_opt: record.turns_opt.clone(),
        state: record.state.clone(),
        turns,
        retracted,
    }
}

#[cfg(test)]
mod tests;
