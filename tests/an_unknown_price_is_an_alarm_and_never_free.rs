//! A model that the price list does not know costs nobody knows what: whoever scrapes is told so, whoever looks at the
//! call is, and nowhere does it stand as nothing.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/operator.rs"]
mod operator;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tandem::metrics::table;
use tandem_sim::carrier::{CallPlan, HangUp};
use tandem_sim::provider::ProviderOptions;

use operator::{read, read_when};
use world::{QUESTION_MS, World, place};

/// Neither the model that speaks nor a minute with a stream is in it.
const PRICES: &str = "version = 9\ndate = \"2026-12-01\"\n[minutes]\n\"gpt-transcribe\" = 0.6\n[carrier]\ninbound_call = 0.01\n";

#[actix_rt::test]
async fn whoever_scrapes_is_told_of_a_model_without_a_price() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.toml");
    fs::write(&file, PRICES).unwrap();
    let mut world =
        World::start(ProviderOptions::default(), &[("TANDEM__PRICES__FILE", file.to_str().unwrap())]).await;
    let hang_up = HangUp::AfterAudio { linger: Duration::from_secs(2) };
    let call = place(CallPlan { hang_up, ..world.plan(0, QUESTION_MS) }).await;
    let report = world.report(&call).await;

    let scrape =
        Scrape::of(&read_when(&world, "/metrics", |text| text.contains("\ntandem_spool_depth 0\n")).await);
    let models: BTreeSet<_> = scrape.values("tandem_unpriced_usage_total", "model").into_iter().collect();
    assert_eq!(models, ["gpt-realtime-2.1", "streamed_call"].map(str::to_owned).into());
    let unpriced = scrape.sum("tandem_unpriced_usage_total", "gpt-realtime-2.1");
    assert!(unpriced >= 1.0, "{unpriced}");
    assert!(scrape.sum("tandem_tokens_total", "gpt-realtime-2.1") > 0.0);
    let cost = scrape.sum("tandem_cost_usd_total", "");
    assert!((cost - report.spent.microusd as f64 / 1e6).abs() < 1e-9, "nothing but what has a price: {cost}");
    assert_eq!((report.spent.total_opt(), report.spent.carrier_microusd), (None, 0));
    let stands = ["tandem_prices_version", "tandem_prices_rejected_total", "tandem_spool_refused_total"];
    assert_eq!(stands.map(|name| scrape.sum(name, "").to_string()), ["9", "0", "0"]);

    let told = read(&world, &format!("/api/v1/calls/{}", report.id)).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["unpriced"].as_u64().is_some_and(|unpriced| unpriced > 0), "{told}");
    world.close().await;
}

/// What was scraped, by Prometheus' own rules of the text format.
struct Scrape(Vec<Sample>);

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Every sample belongs to a metric of the table, which was announced before it, and has that metric's labels.
    fn of(text: &str) -> Self {
        let mut announced = BTreeSet::new();
        let mut samples = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# ") {
                announced.insert(rest.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" "));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty());
            let labels: BTreeMap<_, _> = labels
                .map(|label| label.split_once('=').unwrap())
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                .collect();
            assert!(announced.contains(&format!("TYPE {name}")), "{name} has no type");
            assert!(announced.contains(&format!("HELP {name}")), "{name} says nothing");
            let metric = table::ALL.iter().find(|metric| metric.name == name);
            let known: BTreeSet<_> =
                metric.unwrap_or_else(|| panic!("{line}")).labels.iter().copied().collect();
            assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{line}");
            samples.push(Sample { name: name.to_owned(), labels, value: value.parse().unwrap() });
        }
        Self(samples)
    }

    fn values(&self, name: &str, label: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|sample| sample.name == name)
            .map(|sample| sample.labels[label].clone())
            .collect()
    }

    /// The sum over all series, or those of a model.
    fn sum(&self, name: &str, model: &str) -> f64 {
        let is_its = |sample: &&Sample| {
            sample.name == name
                && (model.is_empty() || sample.labels.get("model").is_some_and(|its| its == model))
        };
        self.0.iter().filter(is_its).map(|sample| sample.value).sum()
    }
}
