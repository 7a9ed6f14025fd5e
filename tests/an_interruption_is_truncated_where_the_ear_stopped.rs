//! A caller who cuts in silences the agent within 200 ms, and the provider learns to within 20 ms how much of the answer
//! he had heard: measured at the carrier's ear, on lines good and bad, at moments easy and hard.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/sessions.rs"]
mod sessions;
mod world;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tandem_actors::call::CallReport;
use tandem_sim::carrier::{CallPlan, CallRecord, CarrierEvent, CarrierFault, Clear, HangUp};
use tandem_sim::provider::{ProviderOptions, Script, SessionRecord, Truncation};
use tandem_sim::speech;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use sessions::sessions;
use world::{World, place};

/// What a carrier plays at a time, and so the grain of what can be heard.
const TICK: Duration = Duration::from_millis(20);

/// Between the ear and what the provider is told, once a mark of the answer has come back.
const PROVEN: Duration = TICK;

/// Until then there is only the time since the first audio left. The carrier begins to play it up to a tick later, and
/// what sounds when the clear comes is heard to the end of its tick, of which half is reckoned with. What the carrier
/// waits by itself comes on top.
const UNPROVEN: Duration = Duration::from_millis(30);

/// So little is not worth a cut, which would delete the transcript of all that was heard.
const LEFT_ALONE: Duration = TICK;

/// The agent is silent so long after the caller began to speak, the provider's detection included.
const SILENT_AFTER: Duration = Duration::from_millis(200);

/// The caller cuts in for so long.
const WORD_MS: usize = 560;

/// When the caller begins to say a word, in ms. The greeting of 2335 ms sounds from about 260 ms on, and the provider
/// notices speech after 60 to 80 ms.
const MOMENTS: [&[u64]; 8] = [
    &[260],          // within the first 100 ms of the answer
    &[300],          // likewise
    &[700],          // while it is made
    &[1_500],        // after it was made, unless it is made in real time
    &[2_430],        // 100 ms before its end
    &[2_470],        // 60 ms before its end
    &[2_750],        // after its end
    &[1_000, 2_825], // in its middle, and again half a second into the next answer
];

struct Line {
    audio: &'static str,
    /// How much faster than real time answers are made.
    speed: f32,
    network: &'static str,
    faults: &'static [CarrierFault],
}

const GOOD: Line = Line { audio: "pcmu", speed: 3.0, network: "", faults: &[] };

#[actix_rt::test]
async fn on_a_good_line() {
    interrupt(GOOD).await;
}

#[actix_rt::test]
async fn with_transcoded_audio() {
    interrupt(Line { audio: "pcm24", ..GOOD }).await;
}

#[actix_rt::test]
async fn on_a_line_with_jitter_whose_playback_starts_late() {
    interrupt(Line { network: "jitter:30,start:60", speed: f32::INFINITY, ..GOOD }).await;
}

#[actix_rt::test]
async fn without_marks() {
    interrupt(Line { faults: &[CarrierFault::NoMarks], speed: 1.0, ..GOOD }).await;
}

/// Calls at all moments at once, and judges each.
async fn interrupt(line: Line) {
    let greeting = speech::sentence("breakfast").unwrap();
    let script = Script { greeting, ..Script::default() };
    let provider = ProviderOptions { script, speed: line.speed, ..ProviderOptions::default() };
    let mut world = World::start(provider, &[("TANDEM__OPENAI__AUDIO", line.audio)]).await;
    let witness = Witness::of(&world).await;
    let plans: Vec<_> = MOMENTS.iter().map(|words| plan(&world, &line, words)).collect();
    let calls = join_all(plans.iter().cloned().map(place)).await;
    let sessions = sessions(&world).await;
    for ((words, plan), call) in MOMENTS.iter().zip(&plans).zip(&calls) {
        let report = world.report(call).await;
        assert_eq!((&report.discrepancies[..], &call.warnings[..]), (&[][..], &[][..]));
        let session = served(&report, &sessions);
        assert_eq!((&session.errors_sent[..], &session.violations[..]), (&[][..], &[][..]));
        assert_silenced(call, words, session, &witness);
        assert_truncated(call, plan.network.playback_start_delay, session, &witness);
    }
    drop(witness);
    world.close().await;
}

/// A caller who says a word at each of these times.
fn plan(world: &World, line: &Line, words: &[u64]) -> CallPlan {
    let voice = world.plan(0, WORD_MS).caller;
    let said = words.iter().fold(Vec::new(), |mut said, &at_ms| {
        said.resize(samples(Duration::from_millis(at_ms)), 0);
        said.extend_from_slice(voice.samples());
        said
    });
    CallPlan {
        caller: said.into_iter().collect(),
        network: line.network.parse().unwrap(),
        faults: line.faults.to_vec(),
        hang_up: HangUp::AfterAudio { linger: Duration::from_millis(200) },
        ..world.plan(0, 0)
    }
}

/// The session behind a call: which it is, is the one thing that the switch is asked.
fn served<'a>(report: &CallReport, sessions: &'a [SessionRecord]) -> &'a SessionRecord {
    let item = &report.ledger.turns().next().expect("a greeting").item;
    let made =
        |session: &&SessionRecord| session.responses.iter().any(|response| response.items.contains(item));
    sessions.iter().find(made).expect("a session that made it")
}

/// While the caller speaks, from the moment on by which he must have silenced the agent, he hears nothing.
fn assert_silenced(call: &CallRecord, words: &[u64], session: &SessionRecord, witness: &Witness) {
    let late = witness.late_since(session.responses[0].first_audio_at);
    for begun in words.iter().map(|&at_ms| Duration::from_millis(at_ms)) {
        let silenced = samples(begun + SILENT_AFTER + late);
        let heard = call.heard.get(silenced..samples(begun) + WORD_MS * 8).unwrap_or_default();
        let heard = heard.iter().filter(|sample| **sample != 0);
        assert_eq!(heard.count(), 0, "samples heard later than {SILENT_AFTER:?} after {begun:?}");
    }
}

/// The n-th clear cuts the n-th answer: what was heard of it is what was played since the clear before. Answers that were
/// heard to their end are not cut.
fn assert_truncated(call: &CallRecord, start_delay: Duration, session: &SessionRecord, witness: &Witness) {
    let answers = session.responses.iter().filter(|answer| answer.generated_ms > 0);
    let mut cut = 0;
    let mut played_before = 0;
    for (clear, answer) in call.cleared.iter().zip(answers) {
        let heard_ms = clear.played_ms_total - played_before;
        played_before = clear.played_ms_total;
        let reckoned = if is_proven(call, clear) { PROVEN } else { UNPROVEN + start_delay };
        let bound = reckoned + witness.late_since(answer.first_audio_at);
        let is_its = |truncation: &&Truncation| answer.items.contains(&truncation.item_id);
        if let Some(truncation) = session.truncations.iter().find(is_its) {
            cut += 1;
            let error = Duration::from_millis(truncation.audio_end_ms.abs_diff(heard_ms));
            assert!(
                truncation.accepted && error <= bound,
                "{heard_ms} ms heard, {truncation:?}, bound {bound:?}"
            );
            assert!(!is_over(call, clear), "heard to its end, and cut: {truncation:?}");
        } else {
            let unheard = Duration::from_millis(answer.generated_ms.saturating_sub(heard_ms));
            assert!(unheard <= LEFT_ALONE + bound, "{heard_ms} ms heard of {answer:?}, and it is not cut");
        }
    }
    assert_eq!(session.truncations.len(), cut, "what is cut was heard");
}

/// Whether a mark of what was playing had come back before the clear.
fn is_proven(call: &CallRecord, clear: &Clear) -> bool {
    let mut before = call.events.iter().rev().filter(|(at, _)| *at < clear.at);
    let newest =
        before.find(|(_, event)| matches!(event, CarrierEvent::AudioBegan | CarrierEvent::MarkEchoed { .. }));
    newest.is_some_and(|(_, event)| matches!(event, CarrierEvent::MarkEchoed { .. }))
}

/// Whether the line had long been silent when the clear came, so that nobody could take what was heard for unheard.
fn is_over(call: &CallRecord, clear: &Clear) -> bool {
    let mut before = call.events.iter().rev().filter(|(at, _)| *at < clear.at);
    let newest =
        before.find(|(_, event)| matches!(event, CarrierEvent::AudioBegan | CarrierEvent::AudioEnded));
    let is_long_ago = |at: Duration| at + 5 * TICK < clear.at;
    newest.is_some_and(|(at, event)| matches!(event, CarrierEvent::AudioEnded) && is_long_ago(*at))
}

fn samples(duration: Duration) -> usize {
    usize::try_from(duration.as_millis() * 8).unwrap()
}

// --- what the machine adds ---------------------------------------------------------------------------------------

/// Asks the switch every few milliseconds whether it lives: how late the answer comes is how late anything may have
/// come, on this thread or on the switch's.
struct Witness {
    asking: JoinHandle<()>,
    /// When an answer was due, and when it came.
    seen: Rc<RefCell<Vec<(Instant, Instant)>>>,
}

impl Witness {
    async fn of(world: &World) -> Self {
        let mut tcp = TcpStream::connect(world.app.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&seen);
        let asking = actix_rt::spawn(async move {
            let mut due = Instant::now();
            loop {
                due = Instant::now().max(due + Duration::from_millis(2));
                sleep_until(due).await;
                tcp.write_all(b"GET /health/live HTTP/1.1\r\nhost: switch\r\n\r\n").await.unwrap();
                let mut answer = [0; 1_024];
                let length = tcp.read(&mut answer).await.unwrap();
                assert!(answer[..length].ends_with(b"}"), "an answer comes in one piece");
                told.borrow_mut().push((due, Instant::now()));
            }
        });
        Self { asking, seen }
    }

    /// The longest that anything may have been held up since then, or ever.
    fn late_since(&self, from: Option<Instant>) -> Duration {
        let seen = self.seen.borrow();
        let since = seen.iter().filter(|(_, came)| from.is_none_or(|from| *came >= from));
        since.map(|(due, came)| *came - *due).max().unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.asking.abort();
    }
}
