use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_wire::openai::Dialect;

use super::*;
use crate::agent::{Agent, TurnDetection, TurnDetectionKind};
use crate::call::opening::opening;
use crate::ledger::Ledger;

fn agent(interrupt_response: bool) -> Agent {
    Agent {
        name: "night desk".to_owned(),
        instructions: "You are the night desk.".to_owned(),
        greeting: String::new(),
        voice: "marin".to_owned(),
        language: "en".to_owned(),
        model: "gpt-realtime-2.1".to_owned(),
        transcription_model: "gpt-transcribe".to_owned(),
        turn_detection: TurnDetection {
            kind: TurnDetectionKind::ServerVad {
                threshold: 0.5,
                prefix_padding: Duration::from_millis(300),
                silence: Duration::from_millis(500),
                idle_timeout: None,
            },
            interrupt_response,
        },
        noise_reduction: None,
        reasoning_effort: None,
        output_tokens_max: None,
        farewell: String::new(),
        too_costly: String::new(),
    }
}

/// A session, what it has been told and what it answered.
struct Script {
    session: Session,
    effects: Vec<Effect>,
}

impl Script {
    fn opened(agent: Agent, ledger: Ledger) -> Self {
        let begin = Begin {
            agent: Arc::new(agent),
            opening: opening(&ledger, false),
            ledger,
            generation: Generation(0),
            first_part: Part(10),
            ready_max: Duration::from_secs(8),
        };
        Self { session: Session::new(begin, AudioChoice::Pcmu), effects: Vec::new() }
    }

    fn ready() -> Self {
        let mut script = Self::ready_with(agent(true), Ledger::default());
        script.effects.clear();
        script
    }

    fn ready_with(agent: Agent, ledger: Ledger) -> Self {
        let mut script = Self::opened(agent, ledger);
        script.tell(&json!({"type": "session.created", "session": {"id": "s"}}));
        script.tell(&updated("audio/pcmu"));
        assert!(script.session.is_ready());
        script
    }

    fn tell(&mut self, event: &Value) {
        let text = event.to_string();
        let event = ServerEvent::parse(&text).expect("the script is well-formed");
        self.session.on_event(event, &mut self.effects);
    }

    fn audio(&mut self, response: &str, item: &str, ms: usize) -> Option<Tag> {
        let delta = json!({
            "type": "response.output_audio.delta", "response_id": response, "item_id": item,
            "output_index": 0, "content_index": 0, "delta": ""
        })
        .to_string();
        let Ok(ServerEvent::OutputAudioDelta(delta)) = ServerEvent::parse(&delta) else { unreachable!() };
        let tag = self.session.place(&delta, &mut self.effects)?;
        self.session.took(tag.part, ms * 8);
        Some(tag)
    }

    fn created(&mut self, response: &str) {
        self.tell(
            &json!({"type": "response.created", "response": {"id": response, "status": "in_progress"}}),
        );
    }

    fn done(&mut self, response: &str, status: &str) {
        self.tell(&json!({"type": "response.done", "response": {"id": response, "status": status}}));
    }

    fn audio_done(&mut self, response: &str, item: &str) {
        self.tell(&json!({
            "type": "response.output_audio.done", "response_id": response, "item_id": item,
            "output_index": 0, "content_index": 0
        }));
    }

    fn speech_started(&mut self) {
        self.tell(&json!({"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 0}));
    }

    fn error(&mut self, kind: &str, code: &str, message: &str, event_id: Option<&str>) {
        self.tell(&json!({
            "type": "error",
            "error": {"type": kind, "code": code, "message": message, "event_id": event_id}
        }));
    }

    /// What was sent since the last look, as JSON.
    fn sent(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.effects)
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send(event, _) => Some(serde_json::from_str(&event.to_json(Dialect::Ga)).unwrap()),
                _ => None,
            })
            .collect()
    }

    fn failure(&self) -> Option<&EngineFailure> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Tell(EngineFact::Failed(failure)) => Some(failure),
            _ => None,
        })
    }

    fn sent_of(&mut self, kind: &str) -> Vec<Value> {
        self.sent().into_iter().filter(|event| event["type"] == kind).collect()
    }

    /// Audio end of every truncation since the last look.
    fn truncations(&mut self) -> Vec<(String, u64)> {
        self.sent_of("conversation.item.truncate")
            .iter()
            .map(|event| {
                (event["item_id"].as_str().unwrap().to_owned(), event["audio_end_ms"].as_u64().unwrap())
            })
            .collect()
    }

    fn interrupted_at(&mut self, part: u32, ms: u64) {
        let heard = Heard { part: Part(part), samples: ms * 8 + 7 };
        self.session.interrupted(Some(heard), &mut self.effects);
    }
}

fn updated(format: &str) -> Value {
    json!({"type": "session.updated", "session": {
        "id": "s",
        "audio": {"input": {"format": {"type": format}}, "output": {"format": {"type": format}}}
    }})
}

fn ended(parts: &[(u32, u64)]) -> Vec<Effect> {
    parts
        .iter()
        .map(|(part, audio_ms)| {
            Effect::Tell(EngineFact::AgentEnded { part: Part(*part), audio_ms: *audio_ms })
        })
        .collect()
}

// ---------------------------------------------------------------- opening

#[test]
fn settings_are_sent_first_and_audio_waits_until_they_are_in_force() {
    let mut script = Script::opened(agent(true), Ledger::default());
    assert!(!script.session.is_ready());
    script.tell(&json!({"type": "session.created", "session": {"id": "s"}}));
    let sent = script.sent();
    assert_eq!((sent.len(), &sent[0]["type"]), (1, &json!("session.update")));
    assert_eq!(sent[0]["session"]["type"], "realtime");
    assert!(!script.session.is_ready());
    script.tell(&updated("audio/pcmu"));
    assert!(script.session.is_ready());
    assert_eq!(script.effects, [Effect::Tell(EngineFact::Ready { session: "s".to_owned() })]);
}

#[test]
fn a_session_in_another_format_fails_instead_of_sounding_like_static() {
    let mut script = Script::opened(agent(true), Ledger::default());
    script.tell(&json!({"type": "session.created", "session": {}}));
    script.tell(&updated("audio/pcm"));
    let failure = script.failure().unwrap();
    assert_eq!((failure.kind, failure.retry), (FailureKind::FormatMismatch, false));
    assert!(!script.session.is_ready());
}

#[test]
fn a_format_that_changes_later_fails_the_session_too() {
    let mut script = Script::ready();
    script.tell(&updated("audio/pcm"));
    assert_eq!(script.failure().unwrap().kind, FailureKind::FormatMismatch);
}

#[test]
fn a_provider_of_the_old_dialect_is_understood() {
    let mut script = Script::opened(agent(true), Ledger::default());
    script.tell(&json!({"type": "session.created", "session": {"id": "s"}}));
    script.tell(&json!({"type": "session.updated", "session": {
        "id": "s", "input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"
    }}));
    assert!(script.session.is_ready());
}

#[test]
fn refused_settings_fail_the_session() {
    let mut script = Script::opened(agent(true), Ledger::default());
    script.tell(&json!({"type": "session.created", "session": {}}));
    script.error("invalid_request_error", "unknown_parameter", "no such field", Some("settings"));
    let failure = script.failure().unwrap();
    assert_eq!((failure.kind, failure.retry), (FailureKind::SettingsRejected, false));
}

#[test]
fn a_new_call_is_greeted_and_a_resumed_one_is_not() {
    let mut greeting = agent(true);
    greeting.greeting = "Good evening.".to_owned();
    let mut script = Script::ready_with(greeting.clone(), Ledger::default());
    let sent = script.sent_of("response.create");
    assert!(sent[0]["response"]["instructions"].as_str().unwrap().contains("Good evening."));

    let mut ledger = Ledger::default();
    ledger.agent_began("a", Part(1), 0);
    ledger.said(Speaker::Agent, "a", "Good evening.", 0);
    ledger.agent_ended(Part(1), 900);
    let mut script = Script::ready_with(greeting, ledger);
    let sent = script.sent();
    assert!(sent.iter().all(|event| event["type"] != "response.create"), "the caller is to speak");
}

#[test]
fn a_successor_is_told_what_was_heard_and_goes_on_when_an_answer_is_owed() {
    let mut ledger = Ledger::default();
    ledger.agent_began("a", Part(1), 0);
    ledger.said(Speaker::Agent, "a", "One two three four", 0);
    ledger.agent_ended(Part(1), 4_000);
    ledger.cut(Part(1)..=Part(9), Some(Heard { part: Part(1), samples: 16_000 }));
    ledger.caller_began("u", 0);
    ledger.said(Speaker::Caller, "u", "Wait.", 0);
    let mut script = Script::ready_with(agent(true), ledger);
    let sent = script.sent();
    let items: Vec<_> = sent
        .iter()
        .filter(|event| event["type"] == "conversation.item.create")
        .map(|event| (&event["item"]["role"], &event["item"]["content"][0]["text"]))
        .collect();
    assert_eq!(items, [(&json!("assistant"), &json!("One two")), (&json!("user"), &json!("Wait."))]);
    assert_eq!(sent.last().unwrap()["type"], "response.create");
}

// ---------------------------------------------------------------- interruption

#[test]
fn an_interrupted_response_is_truncated_at_what_was_heard_rounded_down() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a", 3_000);
    script.speech_started();
    script.interrupted_at(10, 1_234);
    assert_eq!(script.truncations(), [("a".to_owned(), 1_234)]);
}

#[test]
fn what_comes_late_of_an_interrupted_response_is_dropped_and_counted() {
    let mut script = Script::ready();
    script.created("r");
    let before = script.audio("r", "a", 100).unwrap();
    script.speech_started();
    assert_eq!(script.audio("r", "a", 100), None);
    assert_eq!(script.session.stale_deltas, 1);
    script.done("r", "cancelled");
    assert_eq!(script.audio("r", "a", 100), None);
    script.created("r2");
    let after = script.audio("r2", "a2", 100).unwrap();
    assert!(after.generation > before.generation);
}

#[test]
fn a_response_that_was_made_faster_than_it_plays_is_truncated_without_a_cancel() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a", 5_000);
    script.audio_done("r", "a");
    script.done("r", "completed");
    script.speech_started();
    script.interrupted_at(10, 700);
    let sent = script.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["audio_end_ms"], 700);
}

#[test]
fn a_part_that_was_heard_to_its_end_is_left_alone() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a", 1_000);
    script.audio_done("r", "a");
    script.done("r", "completed");
    script.speech_started();
    script.interrupted_at(10, 1_000);
    assert_eq!(script.sent(), Vec::<Value>::new());
}

#[test]
fn of_overlapping_items_the_playing_one_is_cut_and_later_ones_are_emptied() {
    let mut script = Script::ready();
    script.created("r");
    for (item, ms) in [("a1", 1_000), ("a2", 1_000), ("a3", 1_000)] {
        script.audio("r", item, ms);
        script.audio_done("r", item);
    }
    script.done("r", "completed");
    script.speech_started();
    script.interrupted_at(11, 400);
    assert_eq!(script.truncations(), [("a2".to_owned(), 400), ("a3".to_owned(), 0)]);
}

#[test]
fn audio_that_never_left_the_lane_is_truncated_to_nothing() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a", 1_000);
    script.speech_started();
    script.session.interrupted(None, &mut script.effects);
    assert_eq!(script.truncations(), [("a".to_owned(), 0)]);
}

#[test]
fn never_more_is_claimed_to_be_heard_than_was_received() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a", 300);
    script.speech_started();
    script.interrupted_at(10, 9_999);
    assert_eq!(script.truncations(), [("a".to_owned(), 300)]);
}

#[test]
fn a_second_interruption_does_not_truncate_again() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a", 1_000);
    script.speech_started();
    script.interrupted_at(10, 100);
    script.sent();
    script.speech_started();
    script.session.interrupted(None, &mut script.effects);
    assert_eq!(script.truncations(), []);
}

#[test]
fn an_agent_whose_provider_does_not_interrupt_is_cancelled_by_us_once() {
    let mut script = Script::ready_with(agent(false), Ledger::default());
    script.effects.clear();
    script.created("r");
    script.audio("r", "a", 1_000);
    script.speech_started();
    script.interrupted_at(10, 100);
    let sent = script.sent();
    let kinds: Vec<_> = sent.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["response.cancel", "conversation.item.truncate"]);
    assert_eq!(sent[0]["response_id"], "r");
    script.speech_started();
    script.interrupted_at(10, 100);
    assert_eq!(script.sent(), Vec::<Value>::new());
}

#[test]
fn a_response_requested_before_the_caller_spoke_is_cancelled_when_it_appears() {
    let mut script = Script::ready();
    script.session.prompt("Say goodbye.".to_owned(), &mut script.effects);
    script.speech_started();
    script.session.interrupted(None, &mut script.effects);
    script.sent();
    script.created("r");
    assert_eq!(script.sent()[0]["response_id"], "r");
    assert_eq!(script.audio("r", "a", 100), None);
}

#[test]
fn a_refused_truncation_is_resent_once_with_the_providers_own_figure() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a", 1_000);
    script.speech_started();
    script.interrupted_at(10, 900);
    script.sent();
    let message = "Audio content of 850ms is already shorter than 900ms";
    script.error("invalid_request_error", "invalid_value", message, Some("truncate-1"));
    assert_eq!(script.truncations(), [("a".to_owned(), 850)]);
    script.error("invalid_request_error", "invalid_value", message, Some("truncate-1"));
    assert_eq!(script.truncations(), []);
    assert!(script.failure().is_none());
}

// ---------------------------------------------------------------- the one response slot

#[test]
fn a_prompt_waits_for_the_running_response() {
    let mut script = Script::ready();
    script.created("r");
    script.session.prompt("Say goodbye.".to_owned(), &mut script.effects);
    assert_eq!(script.sent(), Vec::<Value>::new());
    script.done("r", "completed");
    assert_eq!(script.sent()[0]["type"], "response.create");
}

#[test]
fn a_prompt_that_lost_the_race_is_asked_again_when_the_winner_is_done() {
    let mut script = Script::ready();
    script.session.prompt("Say goodbye.".to_owned(), &mut script.effects);
    script.created("automatic");
    script.sent();
    script.error("invalid_request_error", "conversation_already_has_active_response", "", Some("respond"));
    assert_eq!(script.sent(), Vec::<Value>::new());
    script.done("automatic", "completed");
    assert_eq!(script.sent()[0]["type"], "response.create");
}

#[test]
fn a_refusal_that_comes_after_the_winner_is_done_is_answered_at_once() {
    let mut script = Script::ready();
    script.session.prompt("Say goodbye.".to_owned(), &mut script.effects);
    script.sent();
    script.error("invalid_request_error", "conversation_already_has_active_response", "", Some("respond"));
    assert_eq!(script.sent()[0]["type"], "response.create", "else nothing would ever ask again");
}

#[test]
fn the_end_of_a_response_ends_its_parts_once() {
    let mut script = Script::ready();
    script.created("r");
    let tag = script.audio("r", "a", 250).unwrap();
    script.effects.clear();
    script.audio_done("r", "a");
    script.done("r", "completed");
    let mut expected: Vec<_> = [Effect::EndOfPart(tag)].into_iter().chain(ended(&[(10, 250)])).collect();
    expected.push(Effect::Tell(EngineFact::ResponseEnded));
    assert_eq!(script.effects, expected);
}

#[test]
fn a_response_without_an_end_of_audio_still_ends() {
    let mut script = Script::ready();
    script.created("r");
    let tag = script.audio("r", "a", 250).unwrap();
    script.done("r", "incomplete");
    assert!(script.effects.contains(&Effect::EndOfPart(tag)));
}

// ---------------------------------------------------------------- errors

#[test]
fn benign_errors_are_counted_and_nothing_else() {
    let codes = [
        "response_cancel_not_active",
        "input_audio_buffer_commit_empty",
        "item_truncate_invalid_item_id",
        "conversation_already_has_active_response",
    ];
    let mut script = Script::ready();
    for code in codes {
        script.error("invalid_request_error", code, "", None);
    }
    assert!(script.failure().is_none());
    assert_eq!(script.session.benign_errors, codes.len() as u64);
}

#[test]
fn failures_say_whether_another_try_is_worth_it() {
    let table = [
        ("invalid_request_error", "session_expired", FailureKind::SessionExpired, true),
        ("invalid_request_error", "invalid_api_key", FailureKind::Unauthorized, false),
        ("insufficient_quota", "insufficient_quota", FailureKind::RateLimited, false),
        ("server_error", "", FailureKind::Provider, true),
    ];
    for (kind, code, expected, retry) in table {
        let mut script = Script::ready();
        script.error(kind, code, "", None);
        let failure = script.failure().unwrap_or_else(|| panic!("{kind} {code} fails"));
        assert_eq!((failure.kind, failure.retry), (expected, retry), "{kind} {code}");
    }
}

#[test]
fn a_rate_limit_inside_a_finished_response_is_seen_as_a_failure() {
    let mut script = Script::ready();
    script.created("r");
    script.tell(&json!({"type": "response.done", "response": {
        "id": "r", "status": "failed",
        "status_details": {"type": "failed", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "slow down"}}
    }}));
    let failure = script.failure().unwrap();
    assert_eq!((failure.kind, failure.retry), (FailureKind::RateLimited, false));
}

#[test]
fn a_refused_request_of_ours_does_not_end_the_call() {
    let mut script = Script::ready();
    script.error("invalid_request_error", "invalid_value", "bad item", None);
    assert!(script.failure().is_none());
    assert!(script.session.is_ready());
}

#[test]
fn unknown_events_are_counted() {
    let mut script = Script::ready();
    script.tell(&json!({"type": "response.hologram.delta", "delta": 1}));
    assert_eq!(script.session.unknown_events, 1);
}

#[test]
fn a_full_lane_ends_the_response_aloud_and_tells_the_provider_how_much_was_kept() {
    let mut script = Script::ready();
    script.created("r");
    let tag = script.audio("r", "a", 2_000).unwrap();
    script.session.overflowed(tag.part, &mut script.effects);
    assert!(script.effects.contains(&Effect::EndOfPart(tag)));
    let sent = script.sent();
    assert_eq!((&sent[0]["type"], &sent[1]["audio_end_ms"]), (&json!("response.cancel"), &json!(2_000)));
    assert_eq!(script.audio("r", "a", 100), None);
}

// ---------------------------------------------------------------- transcripts

#[test]
fn words_of_a_cut_off_answer_are_kept_although_its_transcript_never_ends() {
    let mut script = Script::ready();
    script.created("r");
    for delta in ["We are ", "open "] {
        script.tell(&json!({
            "type": "response.output_audio_transcript.delta", "response_id": "r", "item_id": "a",
            "output_index": 0, "content_index": 0, "delta": delta
        }));
    }
    script.done("r", "cancelled");
    let said = EngineFact::Said { who: Speaker::Agent, item: "a".to_owned(), text: "We are open".to_owned() };
    assert!(script.effects.contains(&Effect::Tell(said)));
}

#[test]
fn a_successor_goes_on_with_a_sentence_that_its_predecessor_did_not_finish() {
    let mut ledger = Ledger::default();
    ledger.agent_began("a", Part(1), 0);
    ledger.said(Speaker::Agent, "a", "We are open", 0);
    let mut script = Script::ready_with(agent(true), ledger);
    assert_eq!(script.sent_of("response.create").len(), 1);
}

#[test]
fn words_of_a_session_that_fails_in_mid_sentence_are_kept() {
    let mut script = Script::ready();
    script.created("r");
    script.tell(&json!({
        "type": "response.output_audio_transcript.delta", "response_id": "r", "item_id": "a",
        "output_index": 0, "content_index": 0, "delta": "We are open"
    }));
    script.error("server_error", "", "", None);
    let said = EngineFact::Said { who: Speaker::Agent, item: "a".to_owned(), text: "We are open".to_owned() };
    assert!(script.effects.contains(&Effect::Tell(said)));
    assert!(script.failure().is_some());
}

#[test]
fn a_refused_request_takes_its_cancellation_with_it() {
    for code in ["conversation_already_has_active_response", "invalid_value"] {
        let mut script = Script::ready();
        script.session.prompt("Say hello.".to_owned(), &mut script.effects);
        script.speech_started();
        script.session.interrupted(None, &mut script.effects);
        script.error("invalid_request_error", code, "", Some("respond"));
        script.session.wanted = None;
        script.session.slot = Slot::Free;
        script.created("answer");
        assert!(script.audio("answer", "a", 100).is_some(), "{code}: the answer to the caller is heard");
    }
}

#[test]
fn an_item_that_begins_after_its_response_was_interrupted_is_truncated_to_nothing() {
    let mut script = Script::ready();
    script.created("r");
    script.audio("r", "a1", 500);
    script.speech_started();
    script.interrupted_at(10, 200);
    assert_eq!(script.truncations(), [("a1".to_owned(), 200)]);
    assert_eq!(script.audio("r", "a1", 100), None, "late audio of an item that is cut already");
    assert_eq!(script.audio("r", "a2", 300), None);
    assert_eq!(script.audio("r", "a2", 300), None);
    script.done("r", "cancelled");
    assert_eq!(script.truncations(), [("a2".to_owned(), 0)]);
}

#[test]
fn only_what_we_asked_for_counts_as_prompted() {
    let prompted = |script: &Script| {
        script.effects.iter().find_map(|effect| match effect {
            Effect::Tell(EngineFact::AgentBegan { prompted, .. }) => Some(*prompted),
            _ => None,
        })
    };
    let mut script = Script::ready();
    script.session.prompt("Say goodbye.".to_owned(), &mut script.effects);
    script.created("ours");
    script.audio("ours", "a", 100);
    assert_eq!(prompted(&script), Some(true));

    let mut script = Script::ready();
    script.created("automatic");
    script.audio("automatic", "a", 100);
    assert_eq!(prompted(&script), Some(false));
}

// ---------------------------------------------------------------- what is used

#[test]
fn what_writing_down_the_caller_took_is_told_as_the_provider_counts_it() {
    let mut heard = Usage { total_tokens: 30, input_tokens: 25, output_tokens: 5, ..Usage::default() };
    heard.input_token_details.audio_tokens = 25;
    heard.output_token_details.text_tokens = 5;
    let tokens = json!({
        "type": "tokens", "total_tokens": 30, "input_tokens": 25, "output_tokens": 5,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 25}
    });
    for (usage, amount) in [
        (tokens, Amount::Tokens(heard)),
        (json!({"type": "duration", "seconds": 2.5}), Amount::Audio(Duration::from_millis(2_500))),
        (json!({"type": "duration", "seconds": -2.5}), Amount::Untold),
        (json!({"type": "duration", "seconds": 1e300}), Amount::Untold),
        (Value::Null, Amount::Untold),
    ] {
        let mut script = Script::ready();
        script.tell(&json!({
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "u1", "content_index": 0, "transcript": "Hello", "usage": usage
        }));
        let said = EngineFact::Said { who: Speaker::Caller, item: "u1".to_owned(), text: "Hello".to_owned() };
        let used = EngineFact::Used(Used { work: Work::Hearing, amount });
        assert_eq!(script.effects, [Effect::Tell(said), Effect::Tell(used)]);
    }
}
