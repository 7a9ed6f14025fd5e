//! Remembering: when a call is over, what was heard in it becomes the caller's memory.
//!
//! It refuses to know how a memory is worded (`memory`) and kept (`journal`), and to be on anybody's way: calls are over
//! when they come here, and wait in a queue of their own.
//!
//! A model is asked when there is one. When it fails, or takes too long, the memory is extracted; what the model used is
//! paid for all the same, and recorded as the call's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::mode::Mode;
use tandem_actors::ports::{CallId, ChatModel, ChatPiece, ChatRequest, ModelError, ModelId};
use tandem_actors::usage::{Amount, Item, Recording, Used, Work};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::journal::{Journal, MemoryEntry, Remembered};
use crate::memory::{self, Line};

/// Memories in the making: 1,000 calls of three minutes end 5.5 times a second, and a model takes two seconds.
const MAKING_MAX: usize = 16;

/// Calls that wait for it. All of 500 calls may end at once; they are made in a minute. At 30 KB of talk each it is 15 MB.
const WAITING_MAX: usize = 512;

/// For a memory as it stands. Nobody waits for it, but those behind.
const READ_MAX: Duration = Duration::from_secs(2);

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
    closing: Arc<AtomicBool>,
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
}

impl Remembering {
    pub(super) fn start(scribe: Scribe) -> Self {
        let (waiting, mut jobs) = mpsc::channel(WAITING_MAX);
        let (done_tx, done) = watch::channel(false);
        let (journal, closing) = (Arc::clone(&scribe.journal), Arc::<AtomicBool>::default());
        let desk =
            Desk { scribe, model_max: MODEL_MAX, closing: Arc::clone(&closing), failures: AtomicU64::new(0) };
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
        self.closing.store(true, Ordering::Relaxed);
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
    closing: Arc<AtomicBool>,
    /// Times that a model was asked in vain.
    failures: AtomicU64,
}

impl Desk {
    async fn remember(&self, job: Job) {
        let Scribe { journal, agent, characters_max, recording, .. } = &self.scribe;
        let known = journal.acquaintance(job.user, agent, job.call, Timestamp::MAX);
        let known = match tokio::time::timeout(READ_MAX, known).await {
            Ok(Ok(known)) => known,
            // What cannot be read must not be overwritten.
            Ok(Err(error)) => return tracing::warn!(call_id = %job.call, %error, "call is not remembered"),
            Err(_) => {
                let waited = READ_MAX;
                return tracing::warn!(call_id = %job.call, ?waited, "call is not remembered: no answer");
            }
        };
        let (before, before_opt) = match known.memory_opt {
            Some(Remembered { text, at }) => (text, Some(at)),
            None => (String::new(), None),
        };
        let text_opt = match self.ask_model(&job, &before).await {
            Some(made_opt) => made_opt,
            None => Some(memory::extract(&before, &job.heard, *characters_max)),
        };
        let Some(text) = text_opt.filter(|text| !text.is_empty() && *text != before) else { return };
        let (user, call, at) = (job.user, job.call, recording.clock.now());
        tracing::debug!(call_id = %call, characters = text.chars().count(), "call is remembered");
        journal.remember(MemoryEntry { user, agent: agent.clone(), call, at, text, before_opt });
    }

    /// What the model makes of it, which may be nothing; `None` when it is to be made without a model.
    async fn ask_model(&self, job: &Job, before: &str) -> Option<Option<String>> {
        let model = self.scribe.model_opt.as_ref().filter(|_| !self.closing.load(Ordering::Relaxed))?;
        let request = memory::request(before, &job.heard, self.scribe.characters_max);
        let mut amount_opt = None;
        let asked = tokio::time::timeout(self.model_max, answer(&**model, request, &mut amount_opt)).await;
        if let Some(amount) = amount_opt {
            self.record(job, model.model(), amount);
        }
        match asked.unwrap_or(Err(Unmade::Late(self.model_max))) {
            Ok(text) => Some(memory::made_by_model(&text, self.scribe.characters_max)),
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
            Ok(ChatPiece::Done { usage, .. }) => {
                *amount_opt = Some(usage.map_or(Amount::Untold, |usage| Amount::Tokens(usage.into())));
                return Ok(text);
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
