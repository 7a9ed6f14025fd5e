//! A thousand faults at random moments of a conversation: the caller hears the agent again within a second and a half,
//! everything he said is understood, and no word of the agent is lost or said twice.
//!
//! Virtual time, in memory, drawn from [`SEED`]. The providers here take no time of their own, so what is measured is
//! ours: the silence at the caller's ear from the fault, or from the end of what was already said, to the agent's next
//! word. The bridging sound is no word.
//!
//! Faults that show themselves (a socket that breaks, an error, an engine that dies) are held to that bound at the 95th
//! percentile. Two others have to be found out first, and are held to the same bound behind it: a provider that is
//! silent when an answer is due (4 s), and one that is gone without a word (5 s, and a second's grain).

#[path = "thousand/conversation.rs"]
mod conversation;
#[path = "thousand/models.rs"]
mod models;
#[path = "thousand/provider.rs"]
mod provider;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use conversation::{Moment, Outcome, live};
use provider::Fault;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_actors::ports::DialError;
use tandem_actors::testing::{Dial, Sabotage};

const SEED: u64 = 1;

/// Of the DESIGN's section 6: from fault to the next agent audio.
const GAP_P95_MAX_MS: u64 = 1_500;

/// An answer that has not begun so long after the caller fell silent will not come.
const STALL_FOUND_MS: u64 = 4_000;

/// A provider that nothing came from for so long is gone; it is looked at once a second.
const HALF_OPEN_FOUND_MS: u64 = 5_000 + 1_000;

/// The conversation without a fault: 10 s.
const LENGTH_MS: u64 = 10_000;

type Named = (&'static str, fn() -> Fault);

const AT_ONCE: [Named; 12] = [
    ("engine panics", || Fault::Sabotage(Sabotage::Panic)),
    ("engine stops", || Fault::Sabotage(Sabotage::Stop)),
    ("engine is killed", || Fault::Sabotage(Sabotage::Kill)),
    ("socket lost", || Fault::Lost(vec![])),
    ("socket gone both ways", || Fault::Gone),
    ("socket closed (1011)", || Fault::Closed(1011)),
    ("session expired (1001)", || Fault::Closed(1001)),
    ("error event", || Fault::Error("server_error", "")),
    ("rate limit: next mode", || Fault::Error("invalid_request_error", "rate_limit_exceeded")),
    ("redial fails: next mode", || {
        Fault::Lost(vec![Dial::Fail(DialError::Unreachable("refused".to_owned()))])
    }),
    ("redial refused (401)", || Fault::Lost(vec![Dial::Fail(DialError::Unauthorized(401))])),
    ("redial takes 0.8 s", || Fault::Lost(vec![Dial::After(Duration::from_millis(800))])),
];

#[actix_rt::test]
async fn a_fault_that_shows_itself_costs_a_moment() {
    let outcomes = strike(800, &AT_ONCE, |rng| Moment::At(rng.random_range(0..LENGTH_MS))).await;
    let table = table(&outcomes);
    eprintln!("{table}");
    let mut gaps: Vec<u64> = outcomes.values().flatten().map(|outcome| outcome.gap_ms).collect();
    assert!(quantile(&mut gaps, 95) < GAP_P95_MAX_MS, "{table}");
}

#[actix_rt::test]
async fn a_provider_that_does_not_answer_is_found_out() {
    let stall: [Named; 1] = [("stall", || Fault::Mute)];
    let outcomes = strike(100, &stall, |rng| Moment::AnswerDue(rng.random_range(1..=2))).await;
    assert_within(STALL_FOUND_MS + GAP_P95_MAX_MS, &outcomes);
}

#[actix_rt::test]
async fn a_provider_that_is_gone_without_a_word_is_found_out() {
    let half_open: [Named; 1] = [("half-open", || Fault::Frozen)];
    let outcomes = strike(100, &half_open, |rng| Moment::At(rng.random_range(0..LENGTH_MS))).await;
    assert_within(HALF_OPEN_FOUND_MS + GAP_P95_MAX_MS, &outcomes);
}

/// Lives so many conversations, each with a fault, and holds each to what must be true of all.
async fn strike(
    count: u64,
    faults: &[Named],
    moment: impl Fn(&mut StdRng) -> Moment,
) -> BTreeMap<&'static str, Vec<Outcome>> {
    let mut outcomes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for n in 0..count {
        let mut rng = StdRng::seed_from_u64(SEED << 32 | n);
        let (name, fault) = faults[rng.random_range(0..faults.len())];
        let moment = moment(&mut rng);
        let outcome = live(fault(), moment).await;
        assert_eq!(outcome.complaints, [""; 0], "{name} {moment:?} (the {n}th)\n{}", outcome.story);
        outcomes.entry(name).or_default().push(outcome);
    }
    outcomes
}

fn assert_within(bound_ms: u64, outcomes: &BTreeMap<&'static str, Vec<Outcome>>) {
    let table = table(outcomes);
    eprintln!("{table}");
    assert!(outcomes.values().flatten().all(|outcome| outcome.gap_ms < bound_ms), "{table}");
}

fn table(outcomes: &BTreeMap<&'static str, Vec<Outcome>>) -> String {
    let mut table =
        format!("{:<26}{:>7}{:>9}{:>9}{:>9}\n", "gap at the ear, ms", "faults", "p50", "p95", "max");
    for (name, outcomes) in outcomes {
        let mut gaps: Vec<u64> = outcomes.iter().map(|outcome| outcome.gap_ms).collect();
        let [p50, p95, max] = [50, 95, 100].map(|percent| quantile(&mut gaps, percent));
        writeln!(table, "{name:<26}{:>7}{p50:>9}{p95:>9}{max:>9}", gaps.len()).expect("a String takes it");
    }
    table
}

fn quantile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100) - 1]
}
