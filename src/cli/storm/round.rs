//! One round: something in the middle, calls through it, and the figures it came to.
//! It does not know whether other rounds follow, nor how the figures are shown.
//!
//! ```text
//!             this process                  measured process               this process
//!  carrier ── media socket, per call ──▶  switch, or bare relay  ── session, per call ──▶ provider
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::cost::{Cost, Snapshot};
use super::identity::{Choir, Format, Voice};
use super::process::{Cores, Measured, free_address};
use super::stats::{Direction, Failure, Failures, Reckoning};
use super::{carrier, provider};

/// Calls begin 10 ms apart: 100 a second.
const CALL_SPACING: Duration = Duration::from_millis(10);
/// From the last call's beginning until all must be talking; a provider may take 3 s to shake hands.
const TALKING_WITHIN: Duration = Duration::from_secs(15);
/// Between the last call's first words and the measurement: first buffers and first answers are no steady state.
const SETTLING: Duration = Duration::from_secs(2);
/// For what is on its way when everyone falls silent; more than any lead a switch holds.
const DRAINING: Duration = Duration::from_secs(2);
/// Between the last socket's end and the last look at memory.
const RESTING: Duration = Duration::from_secs(1);

/// What the provider's sessions speak.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ValueEnum, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Audio {
    /// Mu-law, 8 kHz, as the telephone: nothing is transcoded.
    Pcmu,
    /// PCM16, 24 kHz: every frame is resampled.
    Pcm24,
}

/// What the calls go through.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum Middle {
    Switch,
    Relay,
}

/// How far a round has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Talk,
    /// Nobody speaks; everybody listens to the end.
    Drain,
    /// Carriers hang up; sockets may close.
    HangUp,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) calls: u32,
    pub(super) seconds: u64,
    pub(super) audio: Audio,
    pub(super) middle: Middle,
}

/// What all sockets of a round share.
pub(super) struct Load {
    pub(super) audio: Audio,
    pub(super) middle: Middle,
    pub(super) up: Arc<Direction>,
    pub(super) down: Arc<Direction>,
    pub(super) failures: Failures,
    pub(super) sessions_open: AtomicU32,
    phase: watch::Receiver<Phase>,
}

/// What a round came to.
#[derive(Serialize, Clone, Debug)]
pub(super) struct Round {
    pub(super) middle: Middle,
    pub(super) calls: u32,
    pub(super) calls_talking: u32,
    pub(super) cost: Cost,
    /// Why the figures of cost and delay say little about the process in the middle, if they do.
    pub(super) unusable: Option<String>,
    pub(super) up: Reckoning,
    pub(super) down: Reckoning,
    pub(super) failures: Vec<FailureCount>,
    pub(super) log_lines: usize,
    pub(super) log_end: String,
}

#[derive(Serialize, Clone, Debug)]
pub(super) struct FailureCount {
    pub(super) kind: String,
    pub(super) count: u64,
    pub(super) first: String,
}

/// Plays one round and reports each of its stages.
pub(super) async fn play(plan: Plan, cores: &Cores, progress: &mut dyn FnMut(&str)) -> Result<Round> {
    let (phase, watched) = watch::channel(Phase::Talk);
    let load = Arc::new(Load::new(plan, watched));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = listener.local_addr()?;
    let mut neighbours = JoinSet::new();
    neighbours.spawn(provider::serve(listener, Arc::clone(&load)));

    progress("starting");
    let (measured, address) = start_middle(plan, upstream, cores).await?;
    let idle = measured.usage()?;
    let mut calls = place_calls(&load, plan, address, progress).await;
    let calls_talking = load.talking();
    if calls_talking == 0 {
        let cause =
            load.failures.list().into_iter().map(|(failure, _, first)| format!("{failure}: {first}")).next();
        bail!(
            "no call came to talk ({})\n{}",
            cause.unwrap_or_else(|| "no reason given".into()),
            measured.log_end()
        );
    }
    let mute = u64::from(plan.calls - calls_talking).saturating_sub(load.failures.count());
    load.failures.add(Failure::Mute, mute, "no frame arrived, in one direction or both");
    progress("settling");
    sleep(SETTLING).await;

    load.directions().for_each(|direction| direction.open_window(Instant::now()));
    let before = Snapshot::take(&measured)?;
    for second in 1..=plan.seconds {
        progress(&format!("{calls_talking} calls talking, {second} of {} s", plan.seconds));
        sleep_until(before.at + Duration::from_secs(second)).await;
    }
    let after = Snapshot::take(&measured)?;
    load.directions().for_each(|direction| direction.close_window(Instant::now()));

    progress("draining");
    phase.send_replace(Phase::Drain);
    sleep(DRAINING).await;
    let (up, down) = (load.up.reckon(), load.down.reckon());
    progress("hanging up");
    phase.send_replace(Phase::HangUp);
    while calls.join_next().await.is_some() {}
    load.all_sessions_closed().await;
    sleep(RESTING).await;
    let cost = Cost::between(&before, &after, idle, measured.usage()?, calls_talking);
    let round = Round {
        middle: plan.middle,
        calls: plan.calls,
        calls_talking,
        unusable: cost.unusable_because(),
        cost,
        up,
        down,
        failures: load.failures.list().into_iter().map(FailureCount::from).collect(),
        log_lines: measured.log_lines(),
        log_end: measured.log_end(),
    };
    measured.stop().await?;
    Ok(round)
}

async fn start_middle(plan: Plan, upstream: SocketAddr, cores: &Cores) -> Result<(Measured, SocketAddr)> {
    match plan.middle {
        Middle::Relay => {
            let mut relay =
                Measured::start(cores, &["storm-relay", "--upstream", &upstream.to_string()], &[])?;
            let address = relay.announced_address().await?;
            Ok((relay, address))
        }
        Middle::Switch => {
            let address = free_address()?;
            let environment = [
                ("TANDEM__SERVER__LISTEN", address.to_string()),
                ("TANDEM__SERVER__PUBLIC_URL", format!("http://{address}")),
                ("TANDEM__SERVER__WORKERS", "1".to_owned()),
                ("TANDEM__LIMITS__CALLS_MAX", plan.calls.to_string()),
                ("TANDEM__OPENAI__REALTIME_URL", format!("ws://{upstream}/v1/realtime")),
                ("TANDEM__OPENAI__AUDIO", plan.audio.to_string()),
                ("TANDEM__TWILIO__VALIDATE_SIGNATURES", "false".to_owned()),
                ("OPENAI_API_KEY", "storm".to_owned()),
                ("RUST_LOG", "warn".to_owned()),
            ];
            let mut switch = Measured::start(cores, &["serve"], &environment)?;
            switch.ready(address).await?;
            Ok((switch, address))
        }
    }
}

/// Places the calls evenly and returns when all of them talk, or have had the time to.
async fn place_calls(
    load: &Arc<Load>,
    plan: Plan,
    address: SocketAddr,
    progress: &mut dyn FnMut(&str),
) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    let start = Instant::now();
    for call in 0..plan.calls {
        sleep_until(start + CALL_SPACING * call).await;
        calls.spawn(carrier::call(Arc::clone(load), address));
        if call % 100 == 0 {
            progress(&format!("{call} of {} calls placed", plan.calls));
        }
    }
    let deadline = Instant::now() + TALKING_WITHIN;
    while load.talking() < plan.calls && Instant::now() < deadline && !load.is_hopeless(plan.calls) {
        progress(&format!("{} of {} calls talking", load.talking(), plan.calls));
        sleep(Duration::from_millis(100)).await;
    }
    calls
}

impl Round {
    /// Whether every call stood and every frame arrived once and in its place.
    pub(super) fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.up.is_clean() && self.down.is_clean()
    }
}

impl Load {
    pub(super) fn new(plan: Plan, phase: watch::Receiver<Phase>) -> Self {
        let now = Instant::now();
        let (carrier, provider) = match (plan.middle, plan.audio) {
            (Middle::Switch, Audio::Pcm24) => (tones(Format::Mulaw), tones(Format::Pcm24)),
            (Middle::Switch, Audio::Pcmu) | (Middle::Relay, _) => (Voice::Stamps, Voice::Stamps),
        };
        Self {
            audio: plan.audio,
            middle: plan.middle,
            up: Direction::new(now, carrier.clone(), provider.clone()),
            down: Direction::new(now, provider, carrier),
            failures: Failures::default(),
            sessions_open: AtomicU32::new(0),
            phase,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    fn directions(&self) -> impl Iterator<Item = &Direction> {
        [&*self.up, &*self.down].into_iter()
    }

    /// Calls heard at both ends.
    pub(super) fn talking(&self) -> u32 {
        self.up.linked().min(self.down.linked())
    }

    /// Whether waiting for the rest makes no sense: all that do not talk have already failed.
    fn is_hopeless(&self, calls: u32) -> bool {
        u64::from(self.talking()) + self.failures.count() >= u64::from(calls)
    }

    /// Waits for the switch to close its sessions, and books those it left open.
    pub(super) async fn all_sessions_closed(&self) {
        let deadline = Instant::now() + carrier::PATIENCE;
        while self.sessions_open.load(Relaxed) > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        let open = self.sessions_open.load(Relaxed);
        self.failures.add(
            Failure::LeftOpen,
            open.into(),
            "the provider's socket, 5 s after the caller hung up",
        );
    }
}

impl Audio {
    /// The `type` of the provider's audio format.
    pub(super) fn provider_format(self) -> &'static str {
        match self {
            Audio::Pcmu => "audio/pcmu",
            Audio::Pcm24 => "audio/pcm",
        }
    }
}

impl fmt::Display for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Audio::Pcmu => "pcmu",
            Audio::Pcm24 => "pcm24",
        })
    }
}

impl From<(Failure, u64, String)> for FailureCount {
    fn from((kind, count, first): (Failure, u64, String)) -> Self {
        Self { kind: kind.to_string(), count, first }
    }
}

fn tones(format: Format) -> Voice {
    Voice::Tones(Arc::new(Choir::new(format)))
}
