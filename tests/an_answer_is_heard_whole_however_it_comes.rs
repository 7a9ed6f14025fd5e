//! The caller hears the agent's sentences from their first sample to their last, without a gap, a click or a word twice:
//! whether the provider makes them in real time or all at once, in pieces of any size, with and without transcoding.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/ear.rs"]
mod ear;
#[path = "world/likeness.rs"]
mod likeness;
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_media::g711;
use tandem_sim::carrier::{CallRecord, HangUp};
use tandem_sim::provider::{ProviderOptions, Script};
use tandem_sim::speech::{self, Sentence};

use ear::heard_whole;
use likeness::{ALIKE, likeness};
use world::{World, place};

/// Of 3.9 s.
fn greeting() -> Sentence {
    speech::sentence("late-arrival").unwrap()
}

/// Calls providers of every pace, and listens to the greeting.
async fn listen(audio: &str) -> Vec<CallRecord> {
    let paces = [(1.5, &[][..]), (3.0, &["odd-chunks"]), (f32::INFINITY, &[])];
    let calls = paces.map(|(speed, faults)| async move {
        let script = Script { greeting: greeting(), ..Script::default() };
        let faults = faults.iter().map(|fault: &&str| fault.parse().unwrap()).collect();
        let provider = ProviderOptions { script, speed, faults, ..ProviderOptions::default() };
        let mut world = World::start(provider, &[("TANDEM__OPENAI__AUDIO", audio)]).await;
        let mut plan = world.plan(0, 0);
        plan.hang_up = HangUp::At(Duration::from_millis(4_600));
        let call = place(plan).await;
        assert_eq!((&world.report(&call).await.discrepancies[..], &call.warnings[..]), (&[][..], &[][..]));
        world.close().await;
        call
    });
    join_all(calls).await
}

#[actix_rt::test]
async fn mu_law_arrives_as_it_was_made() {
    for call in listen("pcmu").await {
        assert!(heard_whole(&call, greeting().text));
        assert_eq!(call.played_ms, greeting().audio.len() as u64 / 8, "nothing is heard twice");
    }
}

#[actix_rt::test]
async fn transcoded_audio_arrives_in_its_place() {
    let said: Vec<i16> = greeting().audio.iter().map(|&code| g711::ulaw_decode(code)).collect();
    for call in listen("pcm24").await {
        let began = call.heard.iter().position(|sample| *sample != 0).expect("a greeting");
        // The filter rings for 3 ms before the first sample that was loud enough for a code.
        let likeness = likeness(&said, &call.heard[began.saturating_sub(24)..]);
        assert!(likeness > ALIKE, "what was heard is like what was said by {likeness}");
        assert!(call.played_ms.abs_diff(said.len() as u64 / 8) <= 4, "{} ms were played", call.played_ms);
    }
}
