//! A caller who speaks from the first moment is heard from the first word, however long the provider's handshake takes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/likeness.rs"]
mod likeness;
#[path = "world/sessions.rs"]
mod sessions;
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_media::g711;
use tandem_sim::carrier::{CallRecord, HangUp};
use tandem_sim::provider::{ProviderOptions, SessionRecord};

use likeness::{ALIKE, likeness};
use sessions::sessions;
use world::{QUESTION_MS, World, place};

/// Providers that are slow to answer the upgrade, and one that is slow to open the session behind it.
fn slow_providers() -> [ProviderOptions; 4] {
    let answers_after = |ms| ProviderOptions { handshake_delay: Duration::from_millis(ms), ..quick() };
    let opens_late = ProviderOptions { faults: vec!["session-delay:1000".parse().unwrap()], ..quick() };
    [answers_after(150), answers_after(1_000), answers_after(3_000), opens_late]
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
    let session = sessions(&world).await.pop().expect("a session");
    world.close().await;
    assert_eq!((session.appends_before_updated, &session.violations[..]), (0, &[][..]));
    (call, session)
}

#[actix_rt::test]
async fn every_byte_from_the_first_frame_reaches_the_provider_once_and_in_order() {
    for (call, session) in join_all(slow_providers().map(|provider| call(provider, "pcmu"))).await {
        let said: Vec<u8> = call.said.iter().map(|&sample| g711::ulaw_encode(sample)).collect();
        assert_to_the_end(&call, session.audio.len() as u64 / 8);
        let foreign = session.audio.iter().zip(&said).position(|(heard, said)| heard != said);
        assert_eq!(foreign, None, "first byte that the caller did not say");
    }
}

#[actix_rt::test]
async fn transcoded_audio_is_as_complete() {
    for (call, session) in join_all(slow_providers().map(|provider| call(provider, "pcm24"))).await {
        assert_to_the_end(&call, session.audio_received_ms);
        let wide = session.audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        // A phone has nothing above 4 kHz, so every third sample is the 8 kHz signal again.
        let heard: Vec<i16> = wide.step_by(3).collect();
        let likeness = likeness(&call.said, &heard);
        assert!(likeness > ALIKE, "what was heard is like what was said by {likeness}");
    }
}

/// All that was said was heard, but for what is on its way when the caller hangs up: three frames of 20 ms.
fn assert_to_the_end(call: &CallRecord, heard_ms: u64) {
    const LAST_WORD_MS: u64 = 60;
    let said_ms = call.said.len() as u64 / 8;
    assert!((said_ms - LAST_WORD_MS..=said_ms).contains(&heard_ms), "{heard_ms} of {said_ms} ms were heard");
}
