//! Remembering: when a call is over, what was heard in it becomes the caller's memory.
//!
//! It refuses to know how a memory is worded (`memory`) and kept (`journal`), and to be on anybody's way: calls are over
//! when they come here, and wait in a queue of their own.
//!
//! Memories of one user are made one after the other, each from the one before, also while that is on its way into the
//! tables. A database that is away is asked again until it answers.
//!
//! A model is asked when there is one. When it fails, or takes too long, the memory is extracted; what the model used is
//! paid for all the same, and recorded as the call's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::mode::Mode;
use tandem_actors::ports::{CallId, ChatModel, ChatPiece, ChatRequest, ChatStop, ModelError, ModelId};
use tandem_actors::usage::{Amount, Item, Recording, Used, Work};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::journal::{ArchiveError, Journal, MemoryEntry, Remembered};
use crate::memory::{self, Line};

/// Memories in the making: 1,000 calls of three minutes end 5.5 times a second, and a model takes two seconds.
const MAKING_MAX: usize = 16;

/// Calls that wait for it. All of 500 calls may end at once; they are made in a minute. At 30 KB of talk each it is 15 MB.
const WAITING_MAX: usize = 512;

/// For a memory as it stands. Nobody waits for it, but those behind.
const READ_MAX: Duration = Duration::from_secs(2);

/// Until a database that did not give it is asked again: as long as the journal waits at most.
const AWAY: Duration = Duration::from_secs(5);

/// A memory stands in the tables long before, if they are to be had.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);

/// For a model's answer: 300 tokens take a few seconds; some models think before.
const MODEL_MAX: Duration = Duration::from_secs(20);

/// At the end of the process, for what is being made.
const LAST_MAX: Duration = Duration::from_secs(5);

/// The end of the queue that calls are handed in at.
pub(super) struct Remembering {
    /// Absent once it is closed.
    waiting: Mutex<Option<mpsc::Sender<Job>>>,
    journal: Arc<Journal>,
    /// Calls that nobody remembers because the queue was full.
    forgone: AtomicU64,
    closing: Arc<watch::Sender<bool>>,
    done: watch::Receiver<bool>,
}

/// What memories are made with.
pub(super) struct Scribe {
    pub(super) journal: Arc<Journal>,
    /// Without one they are extracted.
    pub(super) model_opt: Option<Arc<dyn ChatModel>>,
    pub(super) agent: String,
    pub(super) characters_max: usize,
    pub(super) recording: Recording,
}

/// A call to be remembered.
struct Job {
    call: CallId,
    user: Uuid,
    mode: Mode,
    heard: Vec<Line>,
}

/// Why a model made no memory.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("model did not answer within {0:?}")]
    Late(Duration),
    #[error("model's answer was cut: {0:?}")]
    Cut(ChatStop),
    #[error("model's answer is empty")]
    Empty,
}

impl Remembering {
    pub(super) fn start(scribe: Scribe) -> Self {
        let (waiting, mut jobs) = mpsc::channel(WAITING_MAX);
        let (done_tx, done) = watch::channel(false);
        let (journal, closing) = (Arc::clone(&scribe.journal), Arc::new(watch::Sender::new(false)));
        let desk = Desk::new(scribe, MODEL_MAX, Arc::clone(&closing));
        actix_rt::spawn(async move {
            let jobs = stream::poll_fn(move |context| jobs.poll_recv(context));
            jobs.for_each_concurrent(MAKING_MAX, |job| desk.remember(job)).await;
            done_tx.send_replace(true);
        });
        Self { waiting: Mutex::new(Some(waiting)), journal, forgone: AtomicU64::new(0), closing, done }
    }

    /// Takes a call that has ended here, unless it goes on elsewhere, or there is nothing to remember, or nobody.
    pub(super) fn consider(&self, report: &CallReport) {
        if report.end.goes_on() || report.end == EndReason::NoStream {
            return;
        }
        let Some(user) = self.journal.caller(report.id) else { return };
        let heard = memory::heard(&report.ledger);
        if heard.is_empty() {
            return;
        }
        self.hand_in(Job { call: report.id, user, mode: report.mode, heard });
    }

    fn hand_in(&self, job: Job) {
        let call = job.call;
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_ref().is_none_or(|waiting| waiting.try_send(job).is_err()) {
            let forgone = self.forgone.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(call_id = %call, forgone, "call is not remembered: {WAITING_MAX} others wait for it");
        }
    }

    /// What waits is remembered without asking a model; what is being made gets a moment.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut done = self.done.clone();
        let is_done = tokio::time::timeout(LAST_MAX, done.wait_for(|is_done| *is_done)).await;
        if !matches!(is_done, Ok(Ok(_))) {
            tracing::warn!("calls that ended last are not remembered");
        }
    }
}

/// Where memories are made.
struct Desk {
    scribe: Scribe,
    model_max: Duration,
    closing: Arc<watch::Sender<bool>>,
    /// Times that a model was asked in vain.
    failures: AtomicU64,
    /// Of users whose memory is being made, or may not stand in the tables yet.
    seats: Mutex<HashMap<Uuid, Seat>>,
}

/// Where the memory of one user is made, by one at a time.
struct Seat {
    last: Arc<tokio::sync::Mutex<Option<Made>>>,
    since: Instant,
}

/// What was made last.
struct Made {
    memory: Remembered,
    /// What stood in the tables when the first was made that did not stand there yet.
    base_opt: Option<Timestamp>,
    /// So much had been forgotten before.
    erasures: u64,
}

impl Made {
    /// Nothing newer stands in the tables, nor has gone from them what it was made from.
    fn is_on_its_way(&self, stands_at: Option<Timestamp>, erasures: u64) -> bool {
        self.erasures == erasures && self.base_opt <= stands_at && stands_at < Some(self.memory.at)
    }
}

impl Desk {
    fn new(scribe: Scribe, model_max: Duration, closing: Arc<watch::Sender<bool>>) -> Self {
        Self { scribe, model_max, closing, failures: AtomicU64::new(0), seats: Mutex::default() }
    }

    async fn remember(&self, job: Job) {
        let seat = self.seat(job.user);
        let mut last = seat.lock().await;
        let erasures = self.scribe.journal.erasures();
        let Some(stands_opt) = self.look_up(&job).await else { return };
        let stands_at = stands_opt.as_ref().map(|stands| stands.at);
        last.take_if(|made| !made.is_on_its_way(stands_at, erasures));
        let (before_opt, base_opt) = match &*last {
            Some(made) => (Some(made.memory.clone()), made.base_opt),
            None => (stands_opt, stands_at),
        };
        if let Some(memory) = self.make(&job, before_opt).await {
            *last = Some(Made { memory, base_opt, erasures });
        }
        drop(last);
        drop(seat);
        self.leave(job.user);
    }

    /// Has the call remembered, unless there is nothing new.
    async fn make(&self, job: &Job, before_opt: Option<Remembered>) -> Option<Remembered> {
        let Scribe { journal, agent, characters_max, recording, .. } = &self.scribe;
        let (before, before_opt) = before_opt.map(|before| (before.text, before.at)).unzip();
        let before = before.unwrap_or_default();
        let text_opt = match self.ask_model(job, &before).await {
            Some(made_opt) => made_opt,
            None => Some(memory::extract(&before, &job.heard, *characters_max)),
        };
        let text = text_opt.filter(|text| !text.is_empty() && *text != before)?;
        let (user, call, at) = (job.user, job.call, later_than(before_opt, recording.clock.now()));
        tracing::debug!(call_id = %call, characters = text.chars().count(), "call is remembered");
        let (agent, made) = (agent.clone(), Remembered { text: text.clone(), at });
        journal.remember(MemoryEntry { user, agent, call, at, text, before_opt });
        Some(made)
    }

    /// The memory as it stands in the tables, if there is one; `None` when they cannot be read. What cannot be read must
    /// not be overwritten.
    async fn look_up(&self, job: &Job) -> Option<Option<Remembered>> {
        let Scribe { journal, agent, .. } = &self.scribe;
        let mut closing = self.closing.subscribe();
        loop {
            let is_last = *closing.borrow();
            let known = journal.acquaintance(job.user, agent, job.call, Timestamp::MAX);
            let known = tokio::time::timeout(READ_MAX, known).await;
            let late = |_| Err(ArchiveError::passing(format!("no answer within {READ_MAX:?}")));
            match known.unwrap_or_else(late) {
                Ok(known) => return Some(known.memory_opt),
                Err(error) if error.passes && !is_last => {
                    tracing::debug!(call_id = %job.call, %error, "call is not remembered yet");
                    // Whether it is closing or not: it is asked again.
                    tokio::time::timeout(AWAY, closing.wait_for(|is_closing| *is_closing)).await.ok();
                }
                Err(error) => {
                    tracing::warn!(call_id = %job.call, %error, "call is not remembered");
                    return None;
                }
            }
        }
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<Uuid, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self, user: Uuid) -> Arc<tokio::sync::Mutex<Option<Made>>> {
        let mut seats = self.seats();
        let seat = seats.entry(user).or_insert_with(|| Seat { last: Arc::default(), since: Instant::now() });
        Arc::clone(&seat.last)
    }

    /// The tables could be read, so they have what was made long ago.
    fn leave(&self, user: Uuid) {
        let (mut seats, now) = (self.seats(), Instant::now());
        if let Some(seat) = seats.get_mut(&user) {
            seat.since = now;
        }
        seats.retain(|_, seat| Arc::strong_count(&seat.last) > 1 || now - seat.since < WRITTEN_WITHIN);
    }

    /// What the model makes of it, which may be nothing; `None` when it is to be made without a model.
    async fn ask_model(&self, job: &Job, before: &str) -> Option<Option<String>> {
        let model = self.scribe.model_opt.as_ref().filter(|_| !*self.closing.borrow())?;
        let request = memory::request(before, &job.heard, self.scribe.characters_max);
        let mut amount_opt = None;
        let asked = tokio::time::timeout(self.model_max, answer(&**model, request, &mut amount_opt)).await;
        if let Some(amount) = amount_opt {
            self.record(job, model.model(), amount);
        }
        let made = asked.unwrap_or(Err(Unmade::Late(self.model_max))).and_then(|text| {
            let made_opt = memory::made_by_model(&text, self.scribe.characters_max);
            if made_opt.as_ref().is_some_and(String::is_empty) { Err(Unmade::Empty) } else { Ok(made_opt) }
        });
        match made {
            Ok(made_opt) => Some(made_opt),
            Err(error) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::warn!(call_id = %job.call, %error, failures, "no model remembers the call: it is extracted");
                None
            }
        }
    }

    fn record(&self, job: &Job, model: ModelId, amount: Amount) {
        let Scribe { recording, agent, .. } = &self.scribe;
        let entry = recording.entry(job.mode, Item::Used(model, Used { work: Work::Answering, amount }));
        recording.spool.append(recording.recorder(job.call, agent).record(&entry).event);
    }
}

/// Now, in microseconds as the tables keep it; a memory is later than the one before it also when the clock was set back.
fn later_than(before_opt: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let next = |before: Timestamp| before.saturating_add(SignedDuration::from_micros(1)).unwrap_or(before);
    before_opt.map(next).map_or(now, |next| next.max(now))
}

/// All of a model's answer. `amount_opt` is what it took, also when it fails or is dropped half-way: from when the request
/// goes out until something is told, nobody knows what. A request that was refused took nothing.
async fn answer(
    model: &dyn ChatModel,
    request: ChatRequest,
    amount_opt: &mut Option<Amount>,
) -> Result<String, Unmade> {
    *amount_opt = Some(Amount::Untold);
    let (mut text, mut pieces) = (String::new(), model.answer(request));
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(ChatPiece::Text(more)) => text.push_str(&more),
            Ok(ChatPiece::Done { stop, usage }) => {
                *amount_opt = Some(usage.map_or(Amount::Untold, |usage| Amount::Tokens(usage.into())));
                return match stop {
                    ChatStop::Complete => Ok(text),
                    // Half a memory would take the place of a whole one.
                    ChatStop::Length | ChatStop::Filtered => Err(Unmade::Cut(stop)),
                };
            }
            Err(error) => {
                if is_refusal(&error) {
                    *amount_opt = None;
                }
                return Err(error.into());
            }
        }
    }
    Err(ModelError::Broken("it ended without an end".to_owned()).into())
}

fn is_refusal(error: &ModelError) -> bool {
    match error {
        ModelError::Unreachable(_)
        | ModelError::Unauthorized(_)
        | ModelError::RateLimited
        | ModelError::Status { .. } => true,
        ModelError::Broken(_) | ModelError::Reported { .. } => false,
    }
}

#[cfg(test)]
mod tests;
