//! Prices change while calls go on: what is used after the change costs the new price and says so, what was used before
//! keeps its own. A list that cannot be taken changes nothing, and operators see why.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/operator.rs"]
mod operator;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tandem::clock::{SystemClock, SystemIds};
use tandem::store::Store;
use tandem::usage_log::{UsageLine, UsageLog};
use tandem_actors::call::CallReport;
use tandem_sim::carrier::{CallPlan, HangUp};
use tandem_sim::provider::ProviderOptions;

use operator::read_when;
use world::{World, place};

/// A list of this version, by which a million tokens cost so many dollars, whatever they are.
fn list(version: u32, usd: u32) -> String {
    let kinds = ["text_in", "text_cached_in", "text_out", "audio_in", "audio_cached_in", "audio_out"];
    let tokens = kinds.map(|kind| format!("{kind} = {usd}")).join(", ");
    format!(
        "version = {version}\ndate = \"2026-12-01\"\n[tokens]\n\"gpt-realtime-2.1\" = {{ {tokens} }}\n\
         [minutes]\n\"gpt-transcribe\" = 0\n[carrier]\ninbound_call = 0\nmedia_stream = 0\n"
    )
}

#[actix_rt::test]
async fn a_change_counts_from_its_moment_on_and_a_wrong_one_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (file, database) = (folder.path().join("prices.toml"), folder.path().join("tandem.db"));
    let url = format!("sqlite://{}", database.display());
    fs::write(&file, list(1, 10)).unwrap();
    let settings = [("TANDEM__PRICES__FILE", file.to_str().unwrap()), ("DATABASE_URL", url.as_str())];
    let mut world = World::start(ProviderOptions::default(), &settings).await;
    let first = talk(&mut world).await;

    fs::write(&file, list(2, 20)).unwrap();
    let seen = prices_when(&world, |prices| prices["version"] == 2).await;
    assert_eq!(seen["tokens"]["gpt-realtime-2.1"]["audio_out"], 20.0);
    assert_eq!((seen["origin"].as_str(), &seen["rejected"]), (file.to_str(), &Value::Null));
    let second = talk(&mut world).await;

    fs::write(&file, list(3, 30).replace("[carrier]\n", "[carrier]\noutbound_call = 1\n")).unwrap();
    let seen = prices_when(&world, |prices| !prices["rejected"].is_null()).await;
    let problem = seen["rejected"]["problem"].as_str().unwrap();
    assert!(problem.contains("prices.toml, line 8: unknown field `outbound_call`"), "{problem}");
    assert_eq!((&seen["version"], &seen["date"]), (&2.into(), &"2026-12-01".into()));
    let third = talk(&mut world).await;
    world.close().await;

    let events = used(&url).await;
    for (report, version, usd) in [(&first, 1, 10.0), (&second, 2, 20.0), (&third, 2, 20.0)] {
        let own: Vec<_> = events.iter().filter(|event| event.call == report.id.0).collect();
        let versions: BTreeSet<u32> = own.iter().map(|event| event.price_version).collect();
        assert_eq!(versions, [version].into(), "{own:?}");
        let answers: Vec<_> =
            own.iter().filter(|event| event.event_type == "tokens" && event.cost_usd.is_some()).collect();
        assert!(answers.iter().any(|event| event.quantity > 0), "{own:?}");
        for answer in answers {
            let cost = serde_json::to_value(answer.cost_usd).unwrap().as_f64().unwrap();
            let expected = answer.quantity as f64 * usd / 1e6;
            assert!((cost - expected).abs() < 1e-9, "{cost} for {} tokens at {usd}", answer.quantity);
        }
    }
}

/// A call with a greeting and an answer.
async fn talk(world: &mut World) -> Arc<CallReport> {
    let hang_up = HangUp::AfterAudio { linger: Duration::from_secs(2) };
    let call = place(CallPlan { hang_up, ..world.plan(0, world::QUESTION_MS) }).await;
    world.report(&call).await
}

/// What operators are shown, as soon as it is so.
async fn prices_when(world: &World, is_so: impl Fn(&Value) -> bool) -> Value {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    read(&read_when(world, "/api/v1/prices", |text| is_so(&read(text))).await)
}

async fn used(url: &str) -> Vec<UsageLine> {
    assert!(Path::new(url.trim_start_matches("sqlite://")).exists());
    let store = Store::open(url, Arc::new(SystemClock), Arc::new(SystemIds)).await.unwrap();
    store.usage(None, None, 10_000, None).await.unwrap().entries
}
