//! `tandem storm --failovers N`: how long the caller hears nothing when his engine is lost in mid-sentence and another
//! kind of engine goes on. It does not know when that happened: it goes by what was played at the caller's ear.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tandem_media::{earcon, g711};
use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, CallerAudio, HangUp, place_call};
use tandem_sim::provider::{Fault, FaultKind, Provider, ProviderOptions, Script};
use tandem_sim::speech;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::process::{Cores, Measured, free_address};

/// Calls at the same time.
const BATCH: u32 = 20;

/// The agent's sentence takes 9 s; its session is reset in its midst.
const RESET_MS: std::ops::Range<u64> = 500..6_000;

/// Provider and carrier as fast as speech: what is lost is lost at once, and not hidden by what was made ahead.
const PACE: f32 = 1.05;

/// The sentence, a second for the handshake, and two for what may go wrong.
const CALL: Duration = Duration::from_secs(12);

/// Sessions are dialled within milliseconds.
const DIALLED_WITHIN: Duration = Duration::from_secs(3);

const TOKEN: &str = "storm";

#[derive(Serialize, Debug)]
pub(super) struct Report {
    pub(super) failovers: usize,
    /// Calls that did not last until the caller hung up.
    pub(super) dropped: usize,
    /// Calls in which the sentence was not gone on with.
    pub(super) silenced: usize,
    release_build: bool,
    gap_ms_p50: u64,
    gap_ms_p95: u64,
    gap_ms_max: u64,
}

pub(super) async fn play(failovers: u32, cores: &Cores, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    progress("starting");
    let sentence = speech::sentence("old-town").context("the agent's long sentence")?;
    let provider = Provider::start(ProviderOptions {
        script: Script { greeting: sentence.clone(), ..Script::default() },
        first_audio_delay: Duration::ZERO,
        speed: PACE,
        first_token_delay: Duration::ZERO,
        tokens_per_second: f32::INFINITY,
        first_speech_delay: Duration::ZERO,
        speech_speed: f32::INFINITY,
        ..ProviderOptions::default()
    })
    .await?;
    let address = free_address()?;
    let home = tempfile::tempdir()?; // a file, as in earnest: in memory, readers wait for writers
    let environment = [
        ("TANDEM__SERVER__LISTEN", address.to_string()),
        ("TANDEM__SERVER__PUBLIC_URL", format!("http://{address}")),
        ("TANDEM__SERVER__WORKERS", "1".to_owned()),
        ("TANDEM__OPENAI__REALTIME_URL", provider.realtime_url()),
        ("TANDEM__OPENAI__BASE_URL", provider.http_base()),
        ("TANDEM__SPEECH__PROVIDER", "openai".to_owned()),
        ("TANDEM__TRANSCRIPTION__MODEL", "storm".to_owned()),
        ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
        ("OPENAI_API_KEY", "storm".to_owned()),
        ("DATABASE_URL", format!("sqlite://{}", home.path().join("storm.db").display())),
        ("RUST_LOG", "error".to_owned()),
    ];
    let mut switch = Measured::start(cores, &["serve"], &environment)?;
    switch.ready(address).await?;
    let plan = CallPlan {
        auth_token: Some(TOKEN.to_owned()),
        status_url: Some(format!("http://{address}/twilio/status")),
        hang_up: HangUp::At(CALL),
        ..CallPlan::new(format!("http://{address}/twilio/voice/realtime"), CallerAudio::silence(CALL))
    };
    let mut calls = Vec::new();
    while calls.len() < failovers as usize {
        progress(&format!("{} of {failovers} failovers", calls.len()));
        let batch = BATCH.min(failovers - u32::try_from(calls.len())?);
        calls.extend(play_batch(&provider, &plan, batch, u64::try_from(calls.len())?).await?);
    }
    switch.stop().await?;
    Ok(Report::of(&calls, sentence.duration()))
}

/// So many calls at once. Each session is reset at a moment of its own, and no other can be had: the next rung has to do.
async fn play_batch(
    provider: &Provider,
    plan: &CallPlan,
    batch: u32,
    before: u64,
) -> Result<Vec<CallRecord>> {
    provider.heal();
    for n in 1..=u64::from(batch) {
        let span = RESET_MS.end - RESET_MS.start;
        // Steps of the golden section spread any number of moments evenly.
        let at = RESET_MS.start + (before + n) * (span * 618 / 1_000) % span;
        let kind = FaultKind::ResetAfter(Duration::from_millis(at));
        provider.inject(Fault { kind, nth: Some(usize::try_from(n)?) });
    }
    let dialled = provider.connections() + batch as usize;
    let mut calls = JoinSet::new();
    for _ in 0..batch {
        calls.spawn(place_call(plan.clone(), |_| {}));
    }
    let since = Instant::now();
    while provider.connections() < dialled && since.elapsed() < DIALLED_WITHIN {
        sleep(Duration::from_millis(5)).await;
    }
    provider.inject(FaultKind::Refuse);
    let mut records = Vec::new();
    while let Some(record) = calls.join_next().await {
        records.push(record??);
    }
    Ok(records)
}

impl Report {
    fn of(calls: &[CallRecord], sentence: Duration) -> Self {
        let mut gaps: Vec<u64> = calls.iter().map(|call| longest_gap_ms(&call.heard)).collect();
        gaps.sort_unstable();
        let quantile =
            |percent: usize| gaps.get((gaps.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let whole = sentence * 9 / 10; // a word at the seam may be missing
        Self {
            failovers: calls.len(),
            dropped: calls.iter().filter(|call| call.end != CallEnd::CallerHungUp).count(),
            silenced: calls.iter().filter(|call| Duration::from_millis(call.played_ms) < whole).count(),
            release_build: !cfg!(debug_assertions),
            gap_ms_p50: quantile(50).unwrap_or_default(),
            gap_ms_p95: quantile(95).unwrap_or_default(),
            gap_ms_max: quantile(100).unwrap_or_default(),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.dropped == 0 && self.silenced == 0
    }
}

/// The longest that nothing was played between two sounds of the agent. The switch's own bridging sound is none.
fn longest_gap_ms(heard: &[i16]) -> u64 {
    let bridge = bridging_sound();
    let mut heard = heard.to_vec();
    while let Some(at) = heard.windows(bridge.len()).position(|window| window == bridge) {
        heard[at..at + bridge.len()].fill(0);
    }
    let is_sound = |sample: &i16| *sample != 0;
    let (Some(first), Some(last)) = (heard.iter().position(is_sound), heard.iter().rposition(is_sound))
    else {
        return 0;
    };
    let silences = heard[first..=last].split(is_sound);
    silences.map(|silence| silence.len() as u64 / 8).max().unwrap_or_default()
}

fn bridging_sound() -> Vec<i16> {
    let frames = earcon::still_here();
    frames.iter().flat_map(tandem_media::Frame::as_slice).map(|&code| g711::ulaw_decode(code)).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = if self.release_build { "release build" } else { "DEBUG build: not worth comparing" };
        writeln!(
            f,
            "{} realtime sessions reset in mid-sentence, cascade goes on, models without delay, {build}\n",
            self.failovers
        )?;
        writeln!(
            f,
            "silence at the caller's ear, ms: p50 {}, p95 {}, max {}",
            self.gap_ms_p50, self.gap_ms_p95, self.gap_ms_max
        )?;
        writeln!(f, "calls dropped {}, sentences not gone on with {}", self.dropped, self.silenced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_what_lies_between_two_sounds_of_the_agent() {
        let speech = |ms: usize| vec![1_000; 8 * ms];
        let silence = |ms: usize| vec![0; 8 * ms];
        let heard = [
            silence(500),
            speech(300),
            silence(100),
            speech(50),
            silence(200),
            bridging_sound(),
            silence(80),
            speech(9),
        ];
        assert_eq!(longest_gap_ms(&heard.concat()), 200 + 320 + 80);
        assert_eq!(longest_gap_ms(&silence(100)), 0);
    }
}
