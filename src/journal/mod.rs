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
//! | `last_word.rs` | the same in a file, for whoever comes after a kill |
//! | `writer.rs` | from the spool into the tables |
//! | `receipts.rs` | who waits until an entry stands in them |

mod batch;
mod difference;
mod entry;
mod last_word;
mod receipts;
mod recent;
mod running;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
use crate::users::{Erased, Eraser, Erasure, NotErased};
use recent::RecentCalls;
use running::RunningCalls;

pub(crate) use batch::Batch;
pub(crate) use entry::{
    CallEntry, EndingEntry, Entry, EventEntry, ForgetEntry, LeftEntry, MemoryEntry, OutcomeEntry,
    RunningCall, TurnKey, UsageEntry, User,
};
pub(crate) use last_word::LastWord;
pub(crate) use receipts::Receipts;
pub(crate) use writer::{Standing, Writer};

/// Who asks for a call is a carrier that waits for its answer, 15 s at most, with somebody on the line. A database that
/// takes longer is not waited for: the call begins anew.
const FIND_MAX: Duration = Duration::from_secs(1);

/// An operator who has somebody forgotten waits so long to see it done: the writer gathers for 100 ms, and years of daily
/// calls are erased in one. After it he is told that it will be.
const ERASE_MAX: Duration = Duration::from_secs(5);

/// Where what happens in calls is written down. One per process, shared by all threads.
pub(crate) struct Journal {
    spool: Spool,
    recent: RecentCalls,
    running: RunningCalls,
    archive: Arc<dyn Archive>,
    standing: watch::Receiver<Standing>,
    receipts: Receipts,
    identity: Identity,
    keeps_numbers: bool,
    call_max: Duration,
    /// Times that somebody was to be forgotten.
    erasures: AtomicU64,
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
    /// Of its writer.
    pub(crate) receipts: Receipts,
    pub(crate) identity: Identity,
    /// Whether numbers are written down, or only whom they stand for.
    pub(crate) keeps_numbers: bool,
    /// No call is longer.
    pub(crate) call_max: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
}

impl Journal {
    pub(crate) fn new(setup: JournalSetup) -> Self {
        Self {
            spool: setup.spool,
            recent: RecentCalls::new(setup.calls_max),
            running: RunningCalls::default(),
            archive: setup.archive,
            standing: setup.standing,
            receipts: setup.receipts,
            identity: setup.identity,
            keeps_numbers: setup.keeps_numbers,
            call_max: setup.call_max,
            erasures: AtomicU64::new(0),
            clock: setup.clock,
            ids: setup.ids,
        }
    }

    fn write_down(&self, entry: &Entry) {
        match serde_json::to_vec(entry) {
            Ok(written) => self.spool.append(written),
            Err(error) => tracing::error!(%error, "what happened cannot be written down"),
        }
    }

    fn user(&self, from_opt: Option<&str>) -> Option<User> {
        let number = e164(from_opt?)?;
        Some(User { id: self.identity.user(&number), phone_opt: self.keeps_numbers.then_some(number) })
    }

    /// Who calls from this number, if it is one.
    pub(crate) fn user_of(&self, from_opt: Option<&str>) -> Option<Uuid> {
        Some(self.identity.user(&e164(from_opt?)?))
    }

    /// Who calls, as long as the call is one of the newest and he is not forgotten.
    pub(crate) fn caller(&self, call: CallId) -> Option<Uuid> {
        self.recent.user(call)
    }

    /// What an agent knows of a caller whose call begins; `since` is how long ago he may have called before.
    /// A database that is known to be away is not asked.
    pub(crate) fn acquaintance(
        &self,
        user: Uuid,
        agent: &str,
        call: CallId,
        since: Timestamp,
    ) -> LocalBoxFuture<'static, Result<Acquaintance, ArchiveError>> {
        if *self.standing.borrow() == Standing::Cut {
            let away = ArchiveError::passing("the database cannot be reached".to_owned());
            return std::future::ready(Err(away)).boxed_local();
        }
        self.archive.acquaintance(user, agent.to_owned(), call, since)
    }

    /// Has an agent remember a caller so.
    pub(crate) fn remember(&self, memory: MemoryEntry) {
        self.write_down(&Entry::Memory(Box::new(memory)));
    }

    /// How often somebody was to be forgotten here. Who knows something by heart looks it up again when this has changed.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures.load(Ordering::Relaxed)
    }

    /// A call of his that is not over: here, or, as far as the tables know, elsewhere. What they call live for longer than
    /// a call can be was lost with its node.
    async fn going_on(&self, user: Uuid) -> Option<CallId> {
        let since = self.clock.now().saturating_sub(self.call_max).unwrap_or(Timestamp::MIN);
        let elsewhere = tokio::time::timeout(FIND_MAX, self.archive.going_on(user, since)).await;
        let elsewhere = match elsewhere
            .map_err(|_| ArchiveError::passing(format!("no answer within {FIND_MAX:?}")))
        {
            Ok(Ok(calls)) => calls,
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(%user, %error, "calls of a user who is to be forgotten cannot be looked up");
                Vec::new()
            }
        };
        // The tables may not know yet that one is over. What lives here is asked last: one may have begun meanwhile.
        let elsewhere = elsewhere.into_iter().find(|call| !self.recent.is_over(*call));
        elsewhere.or_else(|| self.recent.going_on(user, since))
    }

    async fn erase_now(&self, user: Uuid, what: Erasure, who: String) -> Result<Erased, NotErased> {
        if what == Erasure::Person {
            if let Some(call) = self.going_on(user).await {
                return Err(NotErased::Live(call));
            }
            self.recent.forget(user);
        }
        self.erasures.fetch_add(1, Ordering::Relaxed);
        let id = self.ids.event_id();
        let receipt = self.receipts.ask(id);
        let entry = Entry::Forget(ForgetEntry { id, at: self.clock.now(), user, what, who });
        let Ok(written) = serde_json::to_vec(&entry) else { return Err(NotErased::Unkept) };
        // When it is written, what stood before it goes with the file.
        if !self.spool.append_apart(written) {
            return Err(NotErased::Unkept);
        }
        if *self.standing.borrow() == Standing::Cut {
            return Ok(Erased::Pending);
        }
        let given = tokio::time::timeout(ERASE_MAX, receipt.given()).await;
        Ok(if given.is_ok() { Erased::Done } else { Erased::Pending })
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
        let user_opt = self.user(record.from_opt.as_deref());
        let user_id_opt = user_opt.as_ref().map(|user| user.id);
        let mut entry = call_entry(&before, &record, user_opt, self.clock.now());
        if !self.keeps_numbers {
            (entry.from_opt, entry.to_opt) = (None, None);
        }
        self.write_down(&Entry::Call(Box::new(entry)));
        self.recent.keep(record, user_id_opt);
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
        let user_opt = self.recent.user(event.call);
        self.write_down(&Entry::Usage(Box::new(UsageEntry { user_opt, event })));
    }

    fn running(&self, call: CallId, run_opt: Option<Run>) {
        self.running.note(call, run_opt);
    }
}

impl Eraser for Journal {
    fn erase(&self, user: Uuid, what: Erasure, who: String) -> LocalBoxFuture<'_, Result<Erased, NotErased>> {
        self.erase_now(user, what, who).boxed_local()
    }
}

impl Journal {
    /// What runs in live calls and is in no usage event yet; nothing when that has been said.
    pub(crate) fn running(&self) -> Option<Vec<RunningCall>> {
        self.running.stock(Instant::now())
    }

    /// Writes down what the process before this one has left.
    pub(crate) fn left(&self, left: LeftEntry) {
        self.write_down(&Entry::Left(left));
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

    /// What is known of a user before this call: what the agent remembers, and whether he had a call since then.
    fn acquaintance(
        &self,
        user: Uuid,
        agent: String,
        call: CallId,
        since: Timestamp,
    ) -> LocalBoxFuture<'static, Result<Acquaintance, ArchiveError>>;

    /// Calls of a user that began since then and are not over.
    fn going_on(
        &self,
        user: Uuid,
        since: Timestamp,
    ) -> LocalBoxFuture<'static, Result<Vec<CallId>, ArchiveError>>;
}

/// What is known of a caller when his call begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acquaintance {
    pub(crate) memory_opt: Option<Remembered>,
    /// He had another call lately.
    pub(crate) callback: bool,
}

/// What an agent remembers, and since when it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) text: String,
    pub(crate) at: Timestamp,
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
