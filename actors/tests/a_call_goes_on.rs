//! What the caller notices when an engine, a session or a socket is lost: at most a moment.

use std::time::Duration;

use serde_json::{Value, json};
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::What;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::ledger::Speaker;
use tandem_actors::mode::Mode;
use tandem_actors::record::CallState;
use tandem_actors::testing::{CallOptions, CarrierPeer, Dial, ProviderPeer, Universe};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn silent_agent() -> CallOptions {
    let mut options = CallOptions::default();
    options.agent.greeting.clear();
    options
}

/// mu-law codes that went to the carrier until now, in order; their marks are echoed.
fn played(carrier: &mut CarrierPeer) -> Vec<u8> {
    let mut codes = Vec::new();
    for message in carrier.peer.drain_json() {
        if message["event"] == "media" {
            let payload = message["media"]["payload"].as_str().expect("media carries audio");
            let at = codes.len();
            codes.resize(at + tandem_wire::audio::decoded_len(payload), 0);
            tandem_wire::audio::decode_into(payload, &mut codes[at..]).expect("base64");
        } else if message["event"] == "mark" {
            carrier.echo(message["mark"]["name"].as_str().expect("marks have names"));
        }
    }
    codes
}

/// Items that a session was seeded with: role and text.
fn seeds(events: &[Value]) -> Vec<(String, String)> {
    let created = events.iter().filter(|event| event["type"] == "conversation.item.create");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    created.map(|event| (word(&event["item"]["role"]), word(&event["item"]["content"][0]["text"]))).collect()
}

/// Time passes with a carrier and a provider that are there.
async fn pass(universe: &Universe, carrier: &mut CarrierPeer, provider: &ProviderPeer, seconds: u64) {
    for _ in 0..seconds {
        carrier.speak(1_000, 0xFF);
        played(carrier);
        provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(ms(1_000)).await;
    }
}

#[actix_rt::test]
async fn the_greeting_waits_for_the_caller_and_not_the_caller_for_the_greeting() {
    let mut universe = Universe::new();
    let call = universe.ring(CallOptions::default()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.expect("response.create").await;
    provider.respond("r1", "a1", 1_000);
    universe.advance(ms(600)).await;
    let mut carrier = universe.stream(&call);
    universe.advance(ms(1)).await;
    assert!(!played(&mut carrier).is_empty(), "the agent speaks as soon as it can be heard");
    carrier.hang_up();
    assert_eq!(universe.report().await.discrepancies, []);
}

#[actix_rt::test]
async fn an_engine_that_nobody_comes_for_is_closed() {
    let mut universe = Universe::new();
    let _call = universe.ring(CallOptions::default()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.respond("r1", "a1", 1_000);
    for _ in 0..11 {
        provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(ms(1_000)).await;
    }
    let report = universe.report().await;
    assert_eq!((&report.end, report.discrepancies.as_slice()), (&EndReason::NoStream, [].as_slice()));
    assert!(provider.peer.is_gone());
}

#[actix_rt::test]
async fn a_sentence_that_an_engine_heard_half_is_heard_whole_by_the_next() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    carrier.speak(2_000, 0xFF);
    universe.advance(ms(10)).await;
    carrier.speak(600, 0x31);
    universe.advance(ms(10)).await;
    provider.speech_started("u1");
    universe.advance(ms(10)).await;
    carrier.speak(400, 0x32);
    universe.advance(ms(10)).await;
    provider.peer.lose();
    universe.advance(ms(10)).await;
    carrier.speak(400, 0x33);
    let mut successor = universe.provider().await;
    successor.agree().await;
    universe.advance(ms(10)).await;
    let heard: Vec<u8> = successor.heard().into_iter().filter(|code| *code != 0xFF).collect();
    let expected: Vec<u8> =
        [(0x31, 600), (0x32, 400), (0x33, 400)].iter().flat_map(|(code, ms)| vec![*code; ms * 8]).collect();
    assert_eq!(heard, expected);

    successor.speech_started("v1");
    successor.speech_stopped("v1");
    successor.peer.say(&json!({
        "type": "conversation.item.input_audio_transcription.completed", "event_id": "e", "item_id": "v1",
        "content_index": 0, "transcript": "When is breakfast?"
    }));
    successor.respond("r1", "a1", 500);
    universe.advance(ms(1_000)).await;
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!(report.discrepancies, [], "{:?}", report.sheet);
    let said: Vec<_> = report.ledger.turns().map(|turn| (turn.item.as_str(), turn.text.as_str())).collect();
    assert_eq!(said, [("v1", "When is breakfast?"), ("a1", "")], "told once");
}

#[actix_rt::test]
async fn a_question_that_was_understood_is_answered_by_the_next_engine_without_being_heard_again() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    carrier.speak(600, 0x31);
    universe.advance(ms(10)).await;
    provider.speech_started("u1");
    provider.speech_stopped("u1");
    provider.peer.say(&json!({
        "type": "conversation.item.input_audio_transcription.completed", "event_id": "e", "item_id": "u1",
        "content_index": 0, "transcript": "When is breakfast?"
    }));
    universe.advance(ms(10)).await;
    provider.peer.lose();
    let mut successor = universe.provider().await;
    successor.agree().await;
    universe.advance(ms(10)).await;
    let events = successor.peer.drain_json();
    assert_eq!(seeds(&events), [("user".to_owned(), "When is breakfast?".to_owned())]);
    assert!(events.iter().any(|event| event["type"] == "response.create"), "the answer is asked for");
    assert!(
        events.iter().all(|event| event["type"] != "input_audio_buffer.append"),
        "nothing is heard twice"
    );
    carrier.hang_up();
    universe.report().await;
}

#[actix_rt::test]
async fn the_caller_hears_a_sound_when_an_engine_is_lost_before_its_answer() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.speech_started("u1");
    provider.speech_stopped("u1");
    universe.advance(ms(300)).await;
    universe.plan_dials([Dial::After(ms(2_000))]);
    provider.peer.lose();
    universe.advance(ms(1_000)).await;
    assert_eq!(played(&mut carrier).len(), 320 * 8, "once, a third of a second");
    let mut successor = universe.provider().await;
    successor.agree().await;
    universe.advance(ms(10)).await;
    successor.respond("r1", "a1", 500);
    universe.advance(ms(1_000)).await;
    assert_eq!(played(&mut carrier).len(), 500 * 8);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!(report.discrepancies, []);
    let bridged = report.timeline.events().iter().filter(|event| event.what == What::Bridged).count();
    assert_eq!(bridged, 1);
    assert!(report.ledger.turns().all(|turn| turn.audio_ms == 500 || turn.part.is_none()), "it is no turn");
}

#[actix_rt::test]
async fn an_engine_that_does_not_answer_is_replaced_and_then_left() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.speech_started("u1");
    provider.speech_stopped("u1");
    pass(&universe, &mut carrier, &provider, 5).await;
    let mut successor = universe.provider().await;
    successor.agree().await;
    universe.advance(ms(10)).await;
    pass(&universe, &mut carrier, &successor, 5).await;
    let report = universe.report().await;
    assert!(provider.peer.is_gone() && successor.peer.is_gone(), "no session is left open");
    assert_eq!(report.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    assert_eq!(report.discrepancies, []);
    let to = Rung::Mode(Mode::Traditional);
    let record = universe.record(1);
    assert_eq!((record.state, record.failed), (CallState::HandedOver { to }, vec![Mode::Realtime]));
    let last = record.ledger.last().expect("the caller spoke");
    assert_eq!((last.who, last.text.as_str()), (Speaker::Caller, ""), "words that nobody understood");
}

#[actix_rt::test]
async fn an_engine_that_falls_silent_in_the_midst_of_a_sentence_is_replaced_and_the_rest_is_said() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.response_created("r1");
    provider.audio("r1", "a1", 1_000);
    provider.peer.say(&json!({
        "type": "response.output_audio_transcript.delta", "event_id": "e", "response_id": "r1", "item_id": "a1",
        "output_index": 0, "content_index": 0, "delta": "Breakfast is served from"
    }));
    pass(&universe, &mut carrier, &provider, 6).await;
    let mut successor = universe.provider().await;
    successor.agree().await;
    universe.advance(ms(10)).await;
    let events = successor.peer.drain_json();
    assert_eq!(
        seeds(&events),
        [("assistant".to_owned(), "Breakfast is".to_owned())],
        "as much as was voiced"
    );
    assert!(events.iter().any(|event| event["type"] == "response.create"));
    carrier.hang_up();
    assert_eq!(universe.report().await.discrepancies, []);
}

#[actix_rt::test]
async fn a_provider_that_hears_nothing_any_more_is_found_out_when_the_caller_speaks() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    for _ in 0..4 {
        provider.peer.send(tandem_actors::ports::SocketItem::Pong); // its socket lives
        universe.advance(ms(1_000)).await;
    }
    carrier.speak(1_000, 0x21);
    for _ in 0..5 {
        provider.peer.send(tandem_actors::ports::SocketItem::Pong);
        universe.advance(ms(1_000)).await;
    }
    let probe = provider.expect("session.update").await;
    assert_eq!(probe["session"], json!({"type": "realtime"}), "it changes nothing");
    let mut successor = universe.provider().await;
    successor.agree().await;
    universe.advance(ms(10)).await;
    let heard: Vec<u8> = successor.heard().into_iter().filter(|code| *code == 0x21).collect();
    assert_eq!(heard.len(), 1_000 * 8, "what fell on deaf ears is heard again");
    carrier.hang_up();
    assert_eq!(universe.report().await.discrepancies, []);
}

#[actix_rt::test]
async fn what_was_heard_over_an_earlier_socket_stays_heard() {
    let mut universe = Universe::new();
    let (mut carrier, call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.respond("r1", "a1", 1_000);
    for _ in 0..15 {
        played(&mut carrier);
        universe.advance(ms(100)).await;
    }
    carrier.peer.lose();
    universe.advance(ms(500)).await;
    let again = universe.stream(&call);
    universe.advance(ms(10)).await;
    provider.speech_started("u1");
    universe.advance(ms(10)).await;
    let truncations = provider.peer.drain_json();
    let truncations =
        truncations.iter().filter(|event| event["type"] == "conversation.item.truncate").count();
    assert_eq!(truncations, 0, "it was heard to its end");
    again.hang_up();
    let report = universe.report().await;
    assert!(report.ledger.turns().all(|turn| turn.heard == tandem_actors::ledger::Share::All));
}

#[actix_rt::test]
async fn an_answer_without_a_sound_is_asked_for_once_more() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.speech_started("u1");
    provider.speech_stopped("u1");
    provider.response_created("r1");
    provider.response_done("r1", "completed");
    provider.expect("response.create").await;
    provider.respond("r2", "a2", 300);
    universe.advance(ms(1_000)).await;
    assert_eq!(played(&mut carrier).len(), 300 * 8);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!((report.engine_failures, report.discrepancies.as_slice()), (0, [].as_slice()));
}

#[actix_rt::test]
async fn a_lost_socket_is_followed_by_another_and_the_agent_goes_on_where_it_was_cut_off() {
    let mut universe = Universe::new();
    let (mut carrier, call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.response_created("r1");
    for code in 0..50_u8 {
        provider.delta("r1", "a1", &[code; 800]);
    }
    provider.audio_done("r1", "a1");
    provider.response_done("r1", "completed");
    universe.advance(ms(1_010)).await;
    carrier.peer.lose(); // no mark was echoed: what was heard is reckoned by time
    universe.advance(ms(1_500)).await;
    let mut again = universe.stream(&call);
    universe.advance(ms(10)).await;
    let after = played(&mut again);
    let heard = 1_010 * 8;
    let first = usize::from(after[0]) * 800;
    assert!(first <= heard && heard - first <= 800 + 160, "from {first}, {heard} were heard");
    for _ in 0..60 {
        provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(ms(100)).await;
        played(&mut again);
    }
    again.hang_up();
    let report = universe.report().await;
    assert_eq!((&report.end, report.discrepancies.as_slice()), (&EndReason::CallerHungUp, [].as_slice()));
    assert_eq!(report.engine_failures, 0, "the engine has not noticed");
    let played_out =
        report.timeline.events().iter().any(|event| matches!(event.what, What::PlayedOut { .. }));
    assert!(played_out);
}

#[actix_rt::test]
async fn a_socket_that_takes_the_place_of_one_thought_alive_is_the_one_that_counts() {
    let mut universe = Universe::new();
    let (mut carrier, call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    let mut again = universe.stream(&call);
    universe.advance(ms(10)).await;
    provider.respond("r1", "a1", 300);
    universe.advance(ms(10)).await;
    assert!(!played(&mut again).is_empty());
    assert!(played(&mut carrier).is_empty());
    again.hang_up();
    let report = universe.report().await;
    assert_eq!(report.discrepancies, [], "{:?}", report.sheet);
}

#[actix_rt::test]
async fn words_sent_into_a_dead_socket_are_said_again_over_the_next() {
    let mut universe = Universe::new();
    let (mut carrier, call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.response_created("r1");
    for code in 0..30_u8 {
        provider.delta("r1", "a1", &[code; 800]);
    }
    // The carrier plays 8 codes a millisecond, and echoes a mark when it has played what stands before it.
    let (mut sent, mut marks) = (0, Vec::new());
    for played_ms in (0..1_000).step_by(100) {
        for message in carrier.peer.drain_json() {
            match message["event"].as_str() {
                Some("media") => {
                    let payload = message["media"]["payload"].as_str().expect("media carries audio");
                    sent += tandem_wire::audio::decoded_len(payload);
                }
                Some("mark") => {
                    let name = message["mark"]["name"].as_str().expect("marks have names");
                    marks.push((sent, name.to_owned()));
                }
                _ => {}
            }
        }
        marks.retain(|(position, name)| {
            let due = *position <= played_ms * 8;
            if due {
                carrier.echo(name);
            }
            !due
        });
        universe.advance(ms(100)).await;
    }
    universe.advance(ms(500)).await; // nobody is behind the socket any more, and it does not say so
    let mut again = universe.stream(&call);
    universe.advance(ms(10)).await;
    let first_ms = usize::from(played(&mut again)[0]) * 100;
    assert!((700..=900).contains(&first_ms), "played and proven were 900 ms but for a mark: {first_ms} ms");
    again.hang_up();
    let report = universe.report().await;
    assert_eq!(report.discrepancies, [], "{:?}", report.sheet);
}

#[actix_rt::test]
async fn a_session_of_an_hour_is_renewed_in_a_pause_and_no_word_is_lost_or_doubled() {
    let mut universe = Universe::new();
    let mut options = silent_agent();
    options.limits.call_max = Duration::from_hours(3);
    let (mut carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    let mut said = 0_u32;
    let mut sessions = 1;
    let mut heard: Vec<u8> = Vec::new();
    let mut relieved: Option<ProviderPeer> = None;
    // A turn a minute, for two hours and a half: caller, answer, pause. Every turn has words of its own.
    for minute in 0..150_u32 {
        let code = 0x10 + u8::try_from(minute % 64).expect("small");
        let two_sessions = relieved.take().is_some_and(|mut relieved| !relieved.peer.is_gone());
        assert!(!two_sessions, "two sessions at once only for a moment");
        carrier.speak(1_000, code);
        universe.advance(ms(1_000)).await;
        let item = format!("u{minute}");
        provider.speech_started(&item);
        provider.speech_stopped(&item);
        provider.peer.say(&json!({
            "type": "conversation.item.input_audio_transcription.completed", "event_id": "e", "item_id": item,
            "content_index": 0, "transcript": format!("question {minute}")
        }));
        let (response, answer) = (format!("r{minute}"), format!("a{minute}"));
        provider.response_created(&response);
        provider.delta(&response, &answer, &[code; 8_000]);
        provider.transcript(&response, &answer, &format!("answer {minute}"));
        provider.audio_done(&response, &answer);
        provider.response_done(&response, "completed");
        said += 1;
        for _ in 0..59 {
            carrier.speak(1_000, 0xFF);
            heard.extend(played(&mut carrier));
            provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
            universe.advance(ms(1_000)).await;
            if let Some(mut fresh) = universe.dialled() {
                fresh.agree().await;
                universe.advance(ms(1_500)).await;
                let seeded = seeds(&fresh.peer.drain_json());
                assert_eq!(seeded.last(), Some(&("assistant".to_owned(), format!("answer {minute}"))));
                relieved = Some(std::mem::replace(&mut provider, fresh));
                sessions += 1;
            }
        }
    }
    assert_eq!(sessions, 3, "one an hour");
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!(
        (report.engine_failures, report.discrepancies.as_slice()),
        (0, [].as_slice()),
        "{:?}",
        report.sheet
    );
    let words: Vec<u8> = heard.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
    let expected: Vec<u8> =
        (0..said).map(|minute| 0x10 + u8::try_from(minute % 64).expect("small")).collect();
    assert_eq!(words, expected, "the caller heard every answer once");
    assert_eq!(heard.len(), said as usize * 8_000);
    let latest: Vec<_> = report.ledger.turns().rev().take(4).map(|turn| turn.text.clone()).collect();
    assert_eq!(latest, ["answer 149", "question 149", "answer 148", "question 148"]);
}

#[actix_rt::test]
async fn what_was_said_is_heard_to_its_end_before_the_call_leaves_its_socket() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(silent_agent()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    provider.response_created("r1");
    provider.audio("r1", "a1", 2_000);
    universe.advance(ms(100)).await;
    universe
        .plan_dials(std::iter::repeat_n(Dial::Fail(tandem_actors::ports::DialError::Unauthorized(401)), 3));
    provider.peer.lose();
    let mut codes = 0;
    for _ in 0..30 {
        universe.advance(ms(100)).await;
        codes += played(&mut carrier).len();
    }
    assert_eq!(codes, 2_000 * 8, "no sound of ours into it, and nothing cut off");
    let report = universe.report().await;
    assert_eq!(report.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    let CallState::HandedOver { .. } = universe.record(1).state else { panic!("{:?}", universe.record(1)) };
    let last = universe.record(1).ledger.last().cloned().expect("the agent spoke");
    assert!(!last.complete, "the rest is owed");
}
