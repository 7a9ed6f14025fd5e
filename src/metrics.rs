//! Metrics: what the switch counts, as a scraper reads it at `/metrics`.
//!
//! It refuses to be a global: a process may run several switches, as tests do, and each has its own figures. So the call
//! tree knows no metrics. It tells events to ports, and what stands behind those counts them here.
//!
//! | file | what it holds |
//! |---|---|
//! | `table.rs` | every metric there is |
//! | `names.rs` | values of labels, of which there are only so many |
//! | `usage.rs` | what is counted of usage events |
//! | `standing.rs` | what is looked up when somebody scrapes |

pub mod names;
pub mod standing;
pub mod table;
pub mod usage;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::table::{Kind, Metric};
use crate::money::Microusd;

/// Histograms gather samples until somebody scrapes or this has passed; scrapers come every 15 s or so.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

const METADATA: Metadata<'static> = Metadata::new("tandem", Level::INFO, None);

/// One per switch, shared by all threads.
pub struct Metrics {
    recorder: PrometheusRecorder,
    shown: PrometheusHandle,
    looks: Mutex<Vec<Look>>,
}

/// Brings up to date what nobody counts as it happens.
type Look = Arc<dyn Fn(&Metrics) + Send + Sync>;

impl Metrics {
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        for Metric { name, kind, says, .. } in table::ALL {
            let (name, says) = ((*name).into(), (*says).into());
            match kind {
                Kind::Counter | Kind::Money => recorder.describe_counter(name, None, says),
                Kind::Gauge => recorder.describe_gauge(name, None, says),
            }
        }
        let shown = recorder.handle();
        Self { recorder, shown, looks: Mutex::default() }
    }

    /// From now on `look` is taken before every scrape.
    pub fn look_at(&self, look: impl Fn(&Self) + Send + Sync + 'static) {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(look));
    }

    /// The counter of a metric with these values for its labels.
    pub fn counter(&self, metric: &Metric, values: &[&str]) -> Counter {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        self.recorder.register_counter(&key(metric, values), &METADATA)
    }

    pub fn gauge(&self, metric: &Metric) -> Gauge {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        self.recorder.register_gauge(&key(metric, &[]), &METADATA)
    }

    /// So much more was paid.
    pub fn pay(&self, metric: &Metric, values: &[&str], microusd: u64) {
        debug_assert_eq!(metric.kind, Kind::Money, "{}", metric.name);
        self.recorder.register_counter(&key(metric, values), &METADATA).increment(microusd);
    }

    /// Everything, in Prometheus' text format.
    pub fn scrape(&self) -> String {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for look in looks {
            look(self);
        }
        in_dollars(&self.shown.render())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs for as long as anybody has the metrics.
pub async fn keep_up(metrics: Weak<Metrics>) {
    while let Some(metrics) = metrics.upgrade() {
        metrics.shown.run_upkeep();
        drop(metrics);
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}

fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(values).map(|(&name, &value)| Label::new(name, value.to_owned()));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

/// Counters count whole numbers, and money is exact in micro-dollars: so it is counted in those, and shown in dollars as
/// its metrics are named.
fn in_dollars(counted: &str) -> String {
    let money = |line: &str| {
        let (name, _) = line.split_once(['{', ' '])?;
        table::ALL.iter().find(|metric| metric.kind == Kind::Money && metric.name == name)?;
        let (series, microusd) = line.rsplit_once(' ')?;
        let microusd: u64 = microusd.parse().ok()?;
        Some(format!("{series} {}", i64::from(Microusd::from(microusd)) as f64 / 1e6))
    };
    counted.lines().map(|line| money(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_counted_exactly_and_shown_in_dollars() {
        let metrics = Metrics::new();
        for microusd in [1, 250_000, 1_000_000] {
            metrics.pay(&table::COST_USD, &["an \"odd\" {name} 7", "realtime"], microusd);
        }
        let text = metrics.scrape();
        let series = r#"tandem_cost_usd_total{provider="an \"odd\" {name} 7",mode="realtime"} 1.250001"#;
        assert!(text.lines().any(|line| line == series), "{text}");
    }

    #[test]
    fn every_metric_is_shown_with_its_type_and_what_it_says() {
        let metrics = Metrics::new();
        for metric in table::ALL {
            let values: Vec<&str> = metric.labels.iter().map(|_| "x").collect();
            match metric.kind {
                Kind::Counter => metrics.counter(metric, &values).increment(1),
                Kind::Money => metrics.pay(metric, &values, 1),
                Kind::Gauge => metrics.gauge(metric).set(1.0),
            }
        }
        let text = metrics.scrape();
        for Metric { name, kind, says, .. } in table::ALL {
            let kind = if *kind == Kind::Gauge { "gauge" } else { "counter" };
            assert!(
                text.contains(&format!("# HELP {name} {says}\n# TYPE {name} {kind}\n")),
                "{name}: {text}"
            );
        }
    }

    #[test]
    fn what_stands_is_looked_up_at_every_scrape() {
        let metrics = Metrics::new();
        let looks = std::sync::atomic::AtomicU32::new(0);
        metrics.look_at(move |metrics| {
            let look = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            metrics.gauge(&table::PRICES_VERSION).set(f64::from(look));
        });
        for expected in ["tandem_prices_version 0\n", "tandem_prices_version 1\n"] {
            let text = metrics.scrape();
            assert!(text.contains(expected), "{text}");
        }
    }
}
