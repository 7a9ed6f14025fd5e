//! A caller who speaks from the first moment is heard from the first word, however long the provider's handshake takes.

mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_media::frame::PHONE_RATE;
use tandem_media::g711;
use tandem_sim::carrier::{CallRecord, HangUp};
use tandem_sim::provider::{ProviderOptions, SessionRecord};

use world::{QUESTION_MS, World, place};

/// Between the last frames and the end of the call: what is on its way when the caller hangs up has no ear to reach.
/// Three frames of 20 ms: one being spoken, one on the wire, one waiting for its turn.
const LAST_WORD_MS: u64 = 60;

/// Providers that are slow to answer the upgrade, and one that is slow to open the session behind it.
fn slow_providers() -> [ProviderOptions; 4] {
    let dialled = |ms| ProviderOptions { handshake_delay: Duration::from_millis(ms), ..quick() };
    let opened = ProviderOptions { faults: vec!["session-delay:1000".parse().unwrap()], ..quick() };
    [dialled(150), dialled(1_000), dialled(3_000), opened]
}

fn quick() -> ProviderOptions {
    ProviderOptions { first_audio_delay: Duration::from_millis(50), ..ProviderOptions::default() }
}

/// Calls a slow provider. The caller asks a question at once and hangs up well after it was passed on.
async fn call(provider: ProviderOptions, audio: &str) -> (CallRecord, SessionRecord) {
    let handshake = provider.handshake_delay;
    let mut world = World::start(provider, &[("TANDEM__OPENAI__AUDIO", audio)]).await;
    let mut plan = world.plan(0, QUESTION_MS);
    plan.hang_up = HangUp::At(Duration::from_millis(2_800).max(handshake + Duration::from_millis(400)));
    let call = place(plan).await;
    assert_eq!(world.report(&call).await.discrepancies, []);
    let session = world.provider.sessions().pop().expect("a session");
    world.close().await;
    assert_eq!((session.appends_before_updated, &session.violations[..]), (0, &[][..]));
    (call, session)
}

#[actix_rt::test]
async fn every_byte_from_the_first_frame_reaches_the_provider_once_and_in_order() {
    for (call, session) in join_all(slow_providers().map(|provider| call(provider, "pcmu"))).await {
        let said: Vec<u8> = call.said.iter().map(|&sample| g711::ulaw_encode(sample)).collect();
        let heard = &session.audio;
        assert!(heard.len() <= said.len(), "{} of {} bytes", heard.len(), said.len());
        let wrong = heard.iter().zip(&said).position(|(heard, said)| heard != said);
        assert_eq!(wrong, None, "first byte that is not the caller's");
        assert_to_the_end(&call, heard.len() as u64 / 8);
    }
}

#[actix_rt::test]
async fn transcoded_audio_is_as_complete() {
    for (call, session) in join_all(slow_providers().map(|provider| call(provider, "pcm24"))).await {
        assert_to_the_end(&call, session.audio_received_ms);
        let wide = session.audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        // A phone has nothing above 4 kHz, so every third sample is the 8 kHz signal again.
        let heard: Vec<f64> = wide.step_by(3).map(f64::from).collect();
        let said: Vec<f64> =
            call.said.iter().map(|&sample| f64::from(g711::ulaw_decode(g711::ulaw_encode(sample)))).collect();
        // A frame that were missing, doubled or out of its place would shift or break what comes after it.
        let likeness = (0..DELAY_MAX).map(|delay| likeness(&said, heard.get(delay..).unwrap_or_default()));
        let best = likeness.fold(0.0, f64::max);
        assert!(best > 0.99, "what was heard is like what was said by {best}");
    }
}

fn assert_to_the_end(call: &CallRecord, heard_ms: u64) {
    let said_ms = call.said.len() as u64 * 1_000 / u64::from(PHONE_RATE);
    assert!(heard_ms + LAST_WORD_MS >= said_ms, "{heard_ms} of {said_ms} ms were heard");
}

/// A resampler may be this late, in samples at 8 kHz: 4 ms.
const DELAY_MAX: usize = 32;

/// Correlation of two signals, 1 when they differ by nothing but loudness.
fn likeness(one: &[f64], other: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let length = one.len().min(other.len());
    let (one, other) = (&one[..length], &other[..length]);
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}
