//! A caller who cuts in silences the agent within 200 ms, and the provider learns to within 20 ms how much of the answer
//! he had heard: measured at the carrier's ear, on lines good and bad, at moments easy and hard.

mod world;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tandem_actors::call::CallReport;
use tandem_sim::carrier::{CallPlan, CallRecord, CallerAudio, CarrierFault, HangUp};
use tandem_sim::provider::{ProviderOptions, Script, SessionRecord};
use tandem_sim::speech;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use world::{World, place};

/// One frame and one tick of a carrier, in ms.
const TICK_MS: u64 = 20;

/// Without marks there is only the time since the first audio left: the carrier begins to play it up to a tick later, and
/// what sounds when the clear comes is heard to the end of its tick, of which half is reckoned with.
const WITHOUT_MARKS_MS: u64 = TICK_MS + TICK_MS / 2;

/// The agent must be silent so long after the caller began to speak, the provider's detection included.
const SILENT_AFTER_MS: u64 = 200;

/// The caller cuts in for so long.
const WORD_MS: usize = 560;

/// The greeting of 2335 ms sounds from about 260 ms on, and the provider notices speech after 60 to 80 ms. So the caller
/// cuts in when words begin at these times, in ms:
const MOMENTS: [&[usize]; 8] = [
    &[260],          // within the first 100 ms of the answer
    &[300],          // likewise
    &[700],          // while it is being made
    &[1_500],        // after it was made, unless it is made in real time
    &[2_430],        // 100 ms before its end
    &[2_470],        // 60 ms before its end
    &[2_750],        // after its end
    &[1_000, 2_825], // in its middle, and again 500 ms into the next answer
];

struct Line {
    audio: &'static str,
    /// How much faster than real time answers are made.
    speed: f32,
    network: &'static str,
    faults: &'static [CarrierFault],
    bound_ms: u64,
}

const GOOD: Line = Line { audio: "pcmu", speed: 3.0, network: "", faults: &[], bound_ms: TICK_MS };

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
    let faults = &[CarrierFault::NoMarks];
    interrupt(Line { faults, speed: 1.0, bound_ms: WITHOUT_MARKS_MS, ..GOOD }).await;
}

/// Calls at all moments at once, and judges each.
async fn interrupt(line: Line) {
    let greeting = speech::sentence("breakfast").unwrap();
    let script = Script { greeting, ..Script::default() };
    let provider = ProviderOptions { script, speed: line.speed, ..ProviderOptions::default() };
    let mut world = World::start(provider, &[("TANDEM__OPENAI__AUDIO", line.audio)]).await;
    let witness = Witness::of(&world).await;
    let plans: Vec<_> = MOMENTS.iter().map(|words| plan(&world, &line, words)).collect();
    let calls = join_all(plans.into_iter().map(place)).await;
    let sessions = world.provider.sessions();
    for (words, call) in MOMENTS.iter().zip(&calls) {
        let report = world.report(call).await;
        assert_eq!((&report.discrepancies[..], &call.warnings[..]), (&[][..], &[][..]));
        let session = served(&report, &sessions);
        println!(
            "{:?}",
            report
                .timeline
                .events()
                .iter()
                .filter(|e| {
                    let t = format!("{:?}", e.what);
                    t.contains("CallerSp")
                        || t.contains("Interru")
                        || t.contains("Trunc")
                        || t.contains("FirstOn")
                })
                .map(|e| (e.at().as_micros() as f64 / 1e3, &e.what))
                .collect::<Vec<_>>()
        );
        assert_eq!((&session.errors_sent[..], &session.violations[..]), (&[][..], &[][..]));
        assert_silenced(call, words, &witness);
        assert_truncated(call, session, line.bound_ms, &witness);
    }
    drop(witness);
    world.close().await;
}

/// A caller who says a word at each of these times.
fn plan(world: &World, line: &Line, words: &[usize]) -> CallPlan {
    let said = words.iter().fold(Vec::new(), |mut said, &word_ms| {
        said.resize(word_ms * 8, 0);
        said.extend_from_slice(world.plan(0, WORD_MS).caller.samples());
        said
    });
    CallPlan {
        caller: said.into_iter().collect::<CallerAudio>(),
        network: line.network.parse().unwrap(),
        faults: line.faults.to_vec(),
        hang_up: HangUp::AfterAudio { linger: Duration::from_millis(200) },
        ..world.plan(0, 0)
    }
}

/// The session behind a call: which it is, is the one thing that the switch is asked.
fn served<'a>(report: &CallReport, sessions: &'a [SessionRecord]) -> &'a SessionRecord {
    let item = &report.ledger.turns().first().expect("a greeting").item;
    let made =
        |session: &&SessionRecord| session.responses.iter().any(|response| response.items.contains(item));
    sessions.iter().find(made).expect("a session that made it")
}

fn assert_silenced(call: &CallRecord, words: &[usize], witness: &Witness) {
    let late_ms = 0;
    for word_ms in words {
        let silent = (word_ms + usize::try_from(SILENT_AFTER_MS + late_ms).unwrap()) * 8;
        let heard = &call.heard[silent..(word_ms + WORD_MS) * 8];
        let last = heard.iter().rposition(|sample| *sample != 0);
        assert_eq!(
            last.map(|at| SILENT_AFTER_MS as usize + at / 8),
            None,
            "ms after which the agent still spoke"
        );
    }
}

fn assert_truncated(call: &CallRecord, session: &SessionRecord, bound_ms: u64, witness: &Witness) {
    let mut played_before = 0;
    let answers = session.responses.iter().filter(|response| response.generated_ms > 0);
    for (clear, answer) in call.cleared.iter().zip(answers) {
        let heard_ms = clear.played_ms_total - played_before;
        played_before = clear.played_ms_total;
        let truncation =
            session.truncations.iter().find(|truncation| answer.items.contains(&truncation.item_id));
        let late = truncation.map(|t| {
            let w =
                |ms| witness.late_between(t.at - Duration::from_millis(ms), t.at + Duration::from_millis(20));
            (w(30), w(220), w(1000))
        });
        let rel = (clear.at - call.stream_started.unwrap()).as_micros() as f64 / 1e3;
        println!(
            "clear at {rel} marks {:?}",
            call.marks()
                .map(|(at, n)| ((at - call.stream_started.unwrap()).as_micros() as f64 / 1e3, n))
                .filter(|m| m.0 < rel + 1.0 && m.0 > rel - 450.0)
                .collect::<Vec<_>>()
        );
        println!(
            "{late:?} {heard_ms} of {} {} {:?}",
            answer.generated_ms,
            answer.status,
            truncation.map(|t| (t.audio_end_ms, t.audio_end_ms as i64 - heard_ms as i64, t.accepted))
        );
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
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

    /// The longest that anything may have been held up in this time.
    fn late_between(&self, from: Instant, to: Instant) -> Duration {
        let seen = self.seen.borrow();
        let meanwhile = seen.iter().filter(|(due, came)| *came >= from && *due <= to);
        meanwhile.map(|(due, came)| *came - *due).max().unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.asking.abort();
    }
}
