//! No call is dropped while a rung of its ladder is left, whatever fails and whenever; and no caller waits long to hear
//! that somebody is there.
//!
//! Three hundred callers talk over real sockets to switches that have every mode, and a human behind them. What goes
//! wrong is drawn from a seed: of sessions, of models over HTTP and of the carrier, one to three faults for every call.
//! The seed is always the same unless told otherwise:
//!
//! ```text
//! TANDEM_CHAOS_SEED=7 cargo test --test no_call_is_dropped_while_a_rung_is_left
//! TANDEM_CHAOS_SEED=100 TANDEM_CHAOS_ROUNDS=50 cargo test --test no_call_is_dropped_while_a_rung_is_left
//! ```
//!
//! The second line is a soak: the seeds 100 to 149, one after the other, each about a minute. A seed fixes the faults
//! and their moments; which call of a group a session's fault meets is the scheduler's choice.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "chaos/caller.rs"]
mod caller;
#[path = "chaos/dice.rs"]
mod dice;
#[path = "chaos/verdict.rs"]
mod verdict;
#[path = "chaos/weather.rs"]
mod weather;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tandem_actors::call::CallReport;
use tandem_sim::carrier::{CallRecord, CarrierFault};
use tandem_sim::provider::{Provider, ProviderOptions, Script};
use tandem_sim::speech;
use tokio::time::sleep;

use dice::Dice;
use weather::Weather;
use world::{PATIENCE, World, place};

const SEED: u64 = 1;

/// A group has a switch and providers of its own: one group's weather opens no other's breakers.
const GROUPS: usize = 30;
const CALLS_PER_GROUP: usize = 10;

/// 100 calls at a time hold 350 file descriptors, where many a shell allows 1024.
const GROUPS_AT_ONCE: usize = 10;

/// A call that was lived to its end.
struct Call {
    faults: Vec<CarrierFault>,
    record: CallRecord,
    /// One for every actor that served it.
    reports: Vec<Arc<CallReport>>,
}

struct Group {
    weather: Weather,
    calls: Vec<Call>,
    /// A session, a socket or a call was still open long after the last caller had hung up.
    left: bool,
}

#[test]
fn no_call_is_dropped_while_a_rung_is_left() {
    let first = setting("TANDEM_CHAOS_SEED").unwrap_or(SEED);
    for seed in first..first + setting("TANDEM_CHAOS_ROUNDS").unwrap_or(1) {
        let groups = live_all(seed);
        let complaints: Vec<String> = groups.iter().flat_map(verdict::complaints).collect();
        assert!(
            complaints.is_empty(),
            "TANDEM_CHAOS_SEED={seed}: {} complaints\n{}",
            complaints.len(),
            complaints.join("\n")
        );
        let struck = groups.iter().flat_map(|group| &group.calls).filter(|call| verdict::was_struck(call));
        let struck = struck.count();
        assert!(
            struck > GROUPS * CALLS_PER_GROUP / 2,
            "TANDEM_CHAOS_SEED={seed}: only {struck} calls met a fault"
        );
    }
}

/// Every group on a thread of its own while it lives: a simulated world that is busy must not slow down another.
fn live_all(seed: u64) -> Vec<Group> {
    let taken = AtomicUsize::new(0);
    let live_some = || -> Vec<Group> {
        let numbers = std::iter::repeat_with(|| taken.fetch_add(1, Ordering::Relaxed));
        let numbers = numbers.take_while(|number| *number < GROUPS);
        numbers.map(|number| actix_rt::System::new().block_on(live(seed, number))).collect()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..GROUPS_AT_ONCE).map(|_| scope.spawn(live_some)).collect();
        let lived = threads.into_iter().map(thread::ScopedJoinHandle::join);
        lived.flat_map(|groups| groups.unwrap_or_else(|_| panic!("TANDEM_CHAOS_SEED={seed}"))).collect()
    })
}

async fn live(seed: u64, number: usize) -> Group {
    let mut dice = Dice::new(seed, number);
    let weather = Weather::draw(&mut dice, CALLS_PER_GROUP);
    let models = Provider::start(provider(&weather.models)).await.unwrap();
    let base = models.http_base();
    let settings = [
        ("TANDEM__OPENAI__BASE_URL", base.as_str()),
        ("TANDEM__SPEECH__PROVIDER", "openai"),
        ("TANDEM__TRANSCRIPTION__MODEL", "whisper-1"),
        ("TANDEM__AGENT__HUMAN_NUMBER", "+442071838750"),
        ("REALTIME_API_PROBABILITY", "0.5"),
    ];
    let mut world = World::start(provider(&weather.realtime), &settings).await;
    let plans: Vec<_> = (0..CALLS_PER_GROUP).map(|_| caller::draw(&mut dice, world.plan(0, 0))).collect();
    let faults: Vec<_> = plans.iter().map(|plan| plan.faults.clone()).collect();
    let calls = join_all(plans.into_iter().map(place));
    let (records, ()) = tokio::join!(calls, cut(&weather, &world.provider));
    // Whatever is left shall be told with the calls that left it.
    let left = AssertUnwindSafe(world.is_left_within(PATIENCE)).catch_unwind().await.is_err();
    let mut calls = Vec::new();
    for (faults, record) in faults.into_iter().zip(records) {
        let reports = std::iter::from_fn(|| world.report(&record).now_or_never()).collect();
        calls.push(Call { faults, record, reports });
    }
    if !left {
        world.close().await;
        models.stop().await;
    }
    Group { weather, calls, left }
}

fn provider(faults: &[tandem_sim::provider::Fault]) -> ProviderOptions {
    let [greeting, answers @ ..] =
        ["breakfast", "farewell", "castle", "morning"].map(|id| speech::sentence(id).unwrap());
    let script = Script { greeting, answers: answers.to_vec(), ..Script::default() };
    ProviderOptions { faults: faults.to_vec(), script, ..ProviderOptions::default() }
}

/// Cuts every session off, and has none to be had for a while.
async fn cut(weather: &Weather, provider: &Provider) {
    if let Some((at, lasts)) = weather.cut {
        sleep(at).await;
        provider.kill_realtime();
        sleep(lasts).await;
        provider.heal();
    }
}

#[expect(clippy::disallowed_methods, reason = "the test harness passes no arguments on")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
