//! `tandem storm --webhooks`: how long a voice webhook waits for its answer while many calls ring.
//! It does not know what becomes of the calls: nobody comes to their sockets.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use tandem_sim::provider::{Provider, ProviderOptions};
use tandem_wire::signature;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::cost::{Cost, Snapshot};
use super::process::{Cores, Measured, free_address};

/// Evenly, whether the answers come or not.
const PER_SECOND: u32 = 200;

/// The first ones open connections and databases.
const WARM_UP: Duration = Duration::from_secs(2);

/// Longer than any answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The longest answer told apart from longer ones.
const MICROSECONDS_MAX: u64 = 5_000_000;

const TOKEN: &str = "storm";

/// What the answers took, by the kind of call that they began.
#[derive(Serialize, Debug)]
pub(super) struct Report {
    per_second: u32,
    seconds: u64,
    release_build: bool,
    /// Why the figures say little about the switch, if they do.
    unusable: Option<String>,
    /// Of one core, by the switch.
    switch_percent: f64,
    media: Answers,
    traditional: Answers,
}

#[derive(Serialize, Debug)]
struct Answers {
    count: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Media,
    Traditional,
}

/// Rings so many seconds long at a switch on a core of its own, with every mode that has a webhook and the router's even
/// draw between them.
pub(super) async fn play(seconds: u64, cores: &Cores, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    progress("starting");
    let provider = provider_on_a_thread_of_its_own()?;
    let address = free_address()?;
    let home = tempfile::tempdir()?; // a file, as in earnest: in memory, readers wait for writers
    let environment = [
        ("TANDEM__SERVER__LISTEN", address.to_string()),
        ("TANDEM__SERVER__PUBLIC_URL", format!("http://{address}")),
        ("TANDEM__SERVER__WORKERS", "1".to_owned()),
        ("TANDEM__LIMITS__CALLS_MAX", "100000".to_owned()),
        ("TANDEM__OPENAI__REALTIME_URL", provider.realtime_url()),
        ("TANDEM__OPENAI__BASE_URL", provider.http_base()),
        ("REALTIME_API_PROBABILITY", "0.5".to_owned()),
        ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
        ("OPENAI_API_KEY", "storm".to_owned()),
        ("DATABASE_URL", format!("sqlite://{}", home.path().join("storm.db").display())),
        ("RUST_LOG", "error".to_owned()),
    ];
    let mut switch = Measured::start(cores, &["serve"], &environment)?;
    switch.ready(address).await?;
    let idle = switch.usage()?;
    progress("warming up");
    ring(0, WARM_UP.as_secs(), address).await?;
    progress(&format!("{PER_SECOND} webhooks a second for {seconds} s"));
    let before = Snapshot::take(&switch)?;
    let answers = ring(u32::MAX / 2, seconds, address).await?;
    let after = Snapshot::take(&switch)?;
    let cost = Cost::between(&before, &after, idle, switch.usage()?, 1);
    let logged = (switch.log_lines() > 0).then(|| switch.log_end());
    switch.stop().await?;
    if let Some(log_end) = logged {
        bail!("the switch logged errors, the last of them:\n{log_end}");
    }
    let of = |kind| Answers::of(answers.iter().filter(|(of, _)| *of == kind).map(|(_, took)| *took));
    Ok(Report {
        per_second: PER_SECOND,
        seconds,
        release_build: !cfg!(debug_assertions),
        unusable: cost.unusable_because(),
        switch_percent: cost.cpu_ms_per_call_second / 10.0,
        media: of(Kind::Media)?,
        traditional: of(Kind::Traditional)?,
    })
}

/// Models that take no time. What they do must not delay those who measure.
fn provider_on_a_thread_of_its_own() -> Result<Provider> {
    let (started, provider) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let options = ProviderOptions {
                first_audio_delay: Duration::ZERO,
                speed: f32::INFINITY,
                first_token_delay: Duration::ZERO,
                tokens_per_second: f32::INFINITY,
                ..ProviderOptions::default()
            };
            started.send(Provider::start(options).await).ok(); // who asked has gone: so does this thread
            std::future::pending::<std::io::Result<()>>().await
        })
    });
    Ok(provider.recv().context("the provider's thread")??)
}

/// Rings evenly. Answers come whenever they do; each is timed from when it was due, so that a late one counts.
async fn ring(first: u32, seconds: u64, address: SocketAddr) -> Result<Vec<(Kind, Duration)>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut asking = JoinSet::new();
    let start = Instant::now();
    let count = PER_SECOND * u32::try_from(seconds)?;
    for n in 0..count {
        let due = start + Duration::from_secs(1) * n / PER_SECOND;
        sleep_until(due).await;
        asking.spawn(ask(client.clone(), address, first + n, due));
    }
    let answered = async {
        let mut answers = Vec::new();
        while let Some(answer) = asking.join_next().await {
            answers.push(answer??);
        }
        Ok(answers)
    };
    tokio::select! {
        answers = answered => answers,
        () = sleep(ANSWERED_WITHIN) => bail!("not every webhook was answered within {ANSWERED_WITHIN:?}"),
    }
}

async fn ask(
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    n: u32,
    due: Instant,
) -> Result<(Kind, Duration)> {
    let url = format!("http://{address}/twilio/voice");
    let form = format!(
        "AccountSid=AC0123456789abcdef0123456789abcdef&CallSid=CA{n:032x}&CallStatus=ringing&Direction=inbound\
         &From=%2B12065550188&To=%2B14155550142"
    );
    let request = Request::post(&url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("X-Twilio-Signature", signature::sign(TOKEN, &url, form.as_bytes()))
        .body(Full::from(form))?;
    let answer = client.request(request).await?;
    let status = answer.status();
    let document = answer.into_body().collect().await?.to_bytes();
    let took = due.elapsed();
    ensure!(status.is_success(), "a webhook was answered with {status}");
    let document = String::from_utf8_lossy(&document);
    if document.contains("<Connect") {
        Ok((Kind::Media, took))
    } else {
        ensure!(document.contains("<Gather"), "a webhook was answered with {document}");
        Ok((Kind::Traditional, took))
    }
}

impl Answers {
    fn of(times: impl Iterator<Item = Duration>) -> Result<Self> {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, MICROSECONDS_MAX, 3)?;
        for took in times {
            histogram.saturating_record(u64::try_from(took.as_micros())?.max(1));
        }
        let ms = |microseconds: u64| microseconds as f64 / 1e3;
        Ok(Self {
            count: histogram.len(),
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            max_ms: ms(histogram.max()),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = if self.release_build { "release build" } else { "DEBUG build: not worth comparing" };
        writeln!(
            f,
            "{} voice webhooks a second for {} s, signed, one worker thread, {build}",
            self.per_second, self.seconds
        )?;
        writeln!(f, "the switch used {:.0} % of a core\n", self.switch_percent)?;
        writeln!(f, "{:<22}{:>8}{:>10}{:>10}{:>10}", "answer, ms", "count", "p50", "p99", "max")?;
        for (name, answers) in [("media: connect", &self.media), ("traditional: gather", &self.traditional)] {
            let Answers { count, p50_ms, p99_ms, max_ms } = answers;
            writeln!(f, "{name:<22}{count:>8}{p50_ms:>10.2}{p99_ms:>10.2}{max_ms:>10.2}")?;
        }
        match &self.unusable {
            Some(reason) => writeln!(f, "\nUNUSABLE: {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_told_in_milliseconds_and_the_slowest_is_not_forgotten() {
        let times = (1..=1_000_u64).map(Duration::from_micros).chain([Duration::from_mins(1)]);
        let answers = Answers::of(times).unwrap();
        assert_eq!(answers.count, 1_001);
        assert!((answers.p50_ms - 0.5).abs() < 0.01 && (answers.p99_ms - 0.991).abs() < 0.01, "{answers:?}");
        assert!(answers.max_ms >= 5_000.0, "{answers:?}");
    }
}
