//! A caller speaks, the agent answers, and nothing is lost on the way.

use std::time::Duration;

use serde_json::Value;
use tandem_actors::call::decide::EndReason;
use tandem_actors::engine::AudioChoice;
use tandem_actors::testing::{CallOptions, CarrierPeer, Dial, Universe};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Audio bytes in the media messages that the carrier got until now, and the names of the marks.
fn played(carrier: &mut CarrierPeer) -> (usize, Vec<String>) {
    let (mut bytes, mut marks) = (0, Vec::new());
    for message in carrier.peer.drain_json() {
        match message["event"].as_str() {
            Some("media") => {
                let payload = message["media"]["payload"].as_str().expect("media carries a payload");
                bytes += tandem_wire::audio::decoded_len(payload);
            }
            Some("mark") => {
                marks.push(message["mark"]["name"].as_str().expect("a mark has a name").to_owned());
            }
            _ => {}
        }
    }
    (bytes, marks)
}

#[actix_rt::test]
async fn what_the_caller_says_while_the_provider_is_dialled_is_not_lost() {
    let mut universe = Universe::new();
    universe.plan_dials([Dial::After(ms(1_500))]);
    let (mut carrier, _call) = universe.call(CallOptions::default()).await;
    for n in 0..100 {
        carrier.speak(20, n);
        universe.advance(ms(20)).await;
    }
    let mut provider = universe.provider().await;
    carrier.speak(20, 100);
    universe.advance(ms(500)).await;
    assert!(provider.heard().is_empty(), "no audio before the session's format is agreed");
    provider.agree().await;
    universe.advance(ms(1)).await;
    let expected: Vec<u8> = (0..=100).flat_map(|n| [n; 160]).collect();
    assert_eq!(provider.heard(), expected);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!((report.end.clone(), report.discrepancies.clone()), (EndReason::CallerHungUp, vec![]));
}

#[actix_rt::test]
async fn the_agent_greets_and_is_paced_towards_the_carrier() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(CallOptions::default()).await;
    let mut provider = universe.provider().await;
    let session = provider.agree().await;
    assert_eq!(session["audio"]["input"]["format"]["type"], "audio/pcmu");
    let greeting = provider.expect("response.create").await;
    assert!(greeting["response"]["instructions"].as_str().unwrap().contains("Good evening."));
    provider.respond("r1", "a1", 3_000);

    universe.advance(ms(1)).await;
    let (at_once, _) = played(&mut carrier);
    assert_eq!(at_once, 400 * 8, "the lead is filled and no more");
    universe.advance(ms(1_000)).await;
    let (later, _) = played(&mut carrier);
    assert!((later / 8).abs_diff(1_000) <= 100, "then it goes on in real time: {later}");
    universe.advance(ms(5_000)).await;
    let (rest, _) = played(&mut carrier);
    assert_eq!(at_once + later + rest, 3_000 * 8);
    carrier.hang_up();
    assert_eq!(universe.report().await.discrepancies, []);
}

#[actix_rt::test]
async fn an_interruption_clears_the_carrier_and_truncates_at_what_was_heard() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(CallOptions::default()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.expect("response.create").await;
    provider.respond("r1", "a1", 5_000);
    provider.transcript("r1", "a1", "one two three four five six seven eight nine ten");
    universe.advance(ms(1_730)).await;
    played(&mut carrier);

    provider.speech_started("u1");
    universe.advance(ms(1)).await;
    let messages = carrier.peer.drain_json();
    assert_eq!(messages.iter().filter(|message| message["event"] == "clear").count(), 1);
    assert!(messages.iter().all(|message| message["event"] != "media"));
    let truncate = provider.expect("conversation.item.truncate").await;
    assert_eq!((&truncate["item_id"], &truncate["content_index"]), (&Value::from("a1"), &Value::from(0)));
    let heard = truncate["audio_end_ms"].as_u64().unwrap();
    assert!(heard.abs_diff(1_740) <= 2, "half a tick of 20 ms still sounds after the clear: {heard}");

    universe.advance(ms(1_000)).await;
    assert_eq!(played(&mut carrier).0, 0, "nothing of the old response follows");
    provider.speech_stopped("u1");
    provider.respond("r2", "a2", 500);
    universe.advance(ms(1_000)).await;
    assert_eq!(played(&mut carrier).0, 500 * 8);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!(report.discrepancies, []);
    assert_eq!(report.ledger.turns().next().unwrap().heard_text(), "one two three");
}

#[actix_rt::test]
async fn a_response_that_was_heard_to_its_end_is_not_truncated() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(CallOptions::default()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.expect("response.create").await;
    provider.respond("r1", "a1", 500);
    universe.advance(ms(600)).await;
    for mark in played(&mut carrier).1 {
        carrier.echo(&mark);
    }
    universe.advance(ms(1_000)).await;
    provider.speech_started("u1");
    universe.advance(ms(100)).await;
    assert!(carrier.peer.drain_json().is_empty(), "there was nothing to clear");
    let events = provider.peer.drain_json();
    assert!(events.iter().all(|event| event["type"] != "conversation.item.truncate"), "{events:?}");
    carrier.hang_up();
    assert_eq!(universe.report().await.discrepancies, []);
}

#[actix_rt::test]
async fn with_transcoding_the_provider_hears_24_khz_and_the_caller_hears_all() {
    let mut universe = Universe::new();
    let options = CallOptions { audio: AudioChoice::Pcm24, ..CallOptions::default() };
    let (mut carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    let session = provider.agree().await;
    assert_eq!(session["audio"]["output"]["format"]["rate"], 24_000);
    carrier.speak(1_000, 0x55);
    universe.advance(ms(10)).await;
    assert_eq!(provider.heard().len(), 1_000 * 48);
    // 100 ms at 24 kHz, cut at odd bytes
    let audio = [0x21; 4_800];
    provider.response_created("r1");
    for piece in audio.chunks(1_001) {
        provider.delta("r1", "a1", piece);
    }
    provider.audio_done("r1", "a1");
    provider.response_done("r1", "completed");
    universe.advance(ms(500)).await;
    let (bytes, _) = played(&mut carrier);
    assert!((800..=800 + 17).contains(&bytes), "100 ms and the filter's tail of 2 ms: {bytes}");
    carrier.hang_up();
    assert_eq!(universe.report().await.discrepancies, []);
}

#[actix_rt::test]
async fn with_transcoding_too_nothing_of_a_long_handshake_is_lost() {
    let mut universe = Universe::new();
    universe.plan_dials([Dial::After(ms(3_500))]);
    let options = CallOptions { audio: AudioChoice::Pcm24, ..CallOptions::default() };
    let (mut carrier, _call) = universe.call(options).await;
    for _ in 0..175 {
        carrier.speak(20, 0x55);
        universe.advance(ms(20)).await;
    }
    let mut provider = universe.provider().await;
    provider.agree().await;
    let mut heard = 0;
    for _ in 0..10 {
        carrier.speak(20, 0x55);
        universe.advance(ms(20)).await;
        heard += provider.heard().len();
    }
    assert_eq!(heard, 185 * 960, "every frame of the handshake, and those that came after");
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!((report.discrepancies.clone(), report.sheet.engines[0].1.frames_shed), (vec![], 0));
}

#[actix_rt::test]
async fn with_transcoding_too_a_whole_answer_may_come_in_one_message() {
    let mut universe = Universe::new();
    let options = CallOptions { audio: AudioChoice::Pcm24, ..CallOptions::default() };
    let (mut carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.expect("response.create").await;
    provider.response_created("r1");
    provider.delta("r1", "a1", &vec![0x21; 8_000 * 48]);
    provider.audio_done("r1", "a1");
    provider.response_done("r1", "completed");
    let mut bytes = 0;
    for _ in 0..100 {
        carrier.speak(100, 0xFF);
        universe.advance(ms(100)).await;
        bytes += played(&mut carrier).0;
    }
    assert!((8_000 * 8..8_000 * 8 + 20).contains(&bytes), "eight seconds and the filter's tail: {bytes}");
    assert!(provider.peer.drain_json().iter().all(|event| event["type"] != "response.cancel"));
    carrier.hang_up();
    assert_eq!(universe.report().await.discrepancies, []);
}

#[actix_rt::test]
async fn a_stop_of_another_stream_does_not_end_the_call() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(CallOptions::default()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    carrier
        .peer
        .say(&serde_json::json!({"event": "stop", "streamSid": "MZother", "stop": {"callSid": "CAother"}}));
    carrier.speak(100, 0x12);
    universe.advance(ms(50)).await;
    assert_eq!(provider.heard().len(), 800);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!(report.sheet.legs[0].ignored.foreign_stream, 1);
}
