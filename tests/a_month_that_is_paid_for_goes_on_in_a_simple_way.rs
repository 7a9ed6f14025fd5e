//! When a budget of the month is used up, the call that used it up goes on in the cheapest mode there is, and the next
//! calls begin there: nobody is hung up on, everybody is told, and whoever scrapes sees why.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/operator.rs"]
mod operator;
mod world;

use std::fs;

use futures_util::future::join_all;
use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::What;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::mode::Mode;
use tandem_sim::carrier::{CallPlan, CallRecord, HangUp};
use tandem_sim::provider::ProviderOptions;

use operator::read;
use world::{QUESTION_MS, World, place};

/// A token costs a thousandth of a dollar: a greeting is more than a cent.
const PRICES: &str = "version = 9\ndate = \"2026-12-01\"\n[tokens]\n\"gpt-realtime-2.1\" = { text_in = 1000, \
     text_cached_in = 1000, text_out = 1000, audio_in = 1000, audio_cached_in = 1000, audio_out = 1000 }\n";

const GREETED_SIMPLY: &str = "I can only speak in a simple way today. Hello, how can I help you?";

#[actix_rt::test]
async fn calls_go_on_and_begin_in_the_cheapest_mode_when_a_budget_is_used_up() {
    let budgets = [
        ("TANDEM__LIMITS__USER_MONTH_USD_MAX", "user_budget"),
        ("TANDEM__LIMITS__AGENT_MONTH_USD_MAX", "agent_budget"),
        ("TANDEM__LIMITS__MONTH_USD_MAX", "house_budget"),
    ];
    join_all(budgets.map(|(key, reason)| is_used_up(key, reason))).await;
}

async fn is_used_up(key: &str, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.toml");
    fs::write(&file, PRICES).unwrap();
    let settings = [
        ("TANDEM__PRICES__FILE", file.to_str().unwrap()),
        ("TANDEM__AGENT__TRADITIONAL__GATHER_SECONDS", "1"),
        (key, "0.01"),
    ];
    let mut world = World::start(ProviderOptions::default(), &settings).await;
    // They ring before any of them has cost anything, but for the second.
    let first = actix_rt::spawn(place(plan(&world)));
    let began =
        operator::read_when(&world, "/metrics", |text| text.contains("\ntandem_cost_usd_total{")).await;
    assert!(!began.contains(reason), "{began}");
    let second = place(plan(&world)).await;
    let first = first.await.unwrap();

    let parts = [world.report(&first).await, world.report(&first).await];
    let to = Rung::Mode(Mode::Traditional);
    assert_eq!(parts[0].end, EndReason::HandedOver(to), "{reason}");
    assert_eq!(switches(&parts[0]), [reason]);
    assert_eq!((parts[1].mode, &parts[1].end), (Mode::Traditional, &EndReason::CallerIdle));
    let other = world.report(&second).await;
    assert_eq!(
        (other.routed, other.mode, &other.end),
        (Mode::Traditional, Mode::Traditional, &EndReason::CallerIdle)
    );
    assert_eq!(said(&second).first(), Some(&GREETED_SIMPLY), "{reason}");
    assert!(!said(&first).contains(&GREETED_SIMPLY), "who goes on is not greeted again");

    let scraped = read(&world, "/metrics").await;
    for decided in [
        "mode=\"realtime\",reason=\"default\"".to_owned(),
        format!("mode=\"traditional\",reason=\"{reason}\""),
    ] {
        let series = format!("tandem_mode_decisions_total{{{decided}}} 1");
        assert!(scraped.lines().any(|line| line == series), "no {series} in {scraped}");
    }
    world.close().await;
}

/// A caller who asks something, and then says nothing more.
fn plan(world: &World) -> CallPlan {
    CallPlan { hang_up: HangUp::Never, ..world.plan(0, QUESTION_MS) }
}

fn said(call: &CallRecord) -> Vec<&str> {
    call.said_aloud().map(|(_, text)| text).collect()
}

fn switches(report: &CallReport) -> Vec<&str> {
    let events = report.timeline.events().iter();
    let why = events.filter_map(|event| match &event.what {
        What::ModeSwitched { why, .. } => Some(&**why),
        _ => None,
    });
    why.collect()
}
