use proptest::prelude::*;

use super::*;
use crate::mutation::mutated;
use crate::openai::answer::Role;

const CREATED: &str = r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"output":[],"usage":null}}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":1,"content_index":0,"delta":"One moment","logprobs":[],"obfuscation":"x7"}"#;
const DONE: &str = r#"{"type":"response.output_text.done","sequence_number":5,"item_id":"msg_1","output_index":1,"content_index":0,"text":"One moment"}"#;
const COMPLETED: &str = r#"{"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","object":"response","status":"completed","error":null,"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"content":[{"type":"output_text","text":"hm"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"One moment","annotations":[]}]}],"usage":{"input_tokens":310,"input_tokens_details":{"cached_tokens":256,"cache_write_tokens":0},"output_tokens":22,"output_tokens_details":{"reasoning_tokens":7},"total_tokens":332}}}"#;

fn read(events: &[&str]) -> Result<(String, Option<End>), AnswerError> {
    let mut answer = Answer::default();
    let mut words = String::new();
    for event in events {
        let piece = answer.read(event)?;
        words.push_str(&piece.words);
        if piece.end_opt.is_some() {
            return Ok((words, piece.end_opt));
        }
    }
    Ok((words, None))
}

fn stop(events: &[&str]) -> Option<Stop> {
    read(events).unwrap().1.map(|end| end.stop)
}

fn ended(kind: &str, response: &str) -> String {
    format!(r#"{{"type":"response.{kind}","response":{response}}}"#)
}

fn complete() -> End {
    let usage = AnswerUsage { input_tokens: 310, cached_input_tokens: 256, output_tokens: 22 };
    End { stop: Stop::Complete, usage_opt: Some(usage) }
}

#[test]
fn a_request_is_written_as_the_api_describes_it() {
    let message = |role, content| Message { role, content };
    let mut request = Request::new(
        "gpt-6.1-sol",
        "Be brief.",
        vec![message(Role::User, "Hi"), message(Role::Assistant, "Yes?")],
    );
    let plain = concat!(
        r#"{"model":"gpt-6.1-sol","instructions":"Be brief.","#,
        r#""input":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes?"}],"#,
        r#""store":false,"stream":true,"stream_options":{"include_obfuscation":false}}"#
    );
    assert_eq!(request.to_json(), plain);
    request.max_output_tokens = Some(150);
    request.reasoning = Some(Reasoning { effort: "low" });
    let bounded = r#"],"max_output_tokens":150,"reasoning":{"effort":"low"},"store":false,"#;
    assert!(request.to_json().contains(bounded), "{}", request.to_json());
}

#[test]
fn an_answer_streams_to_its_end_with_usage_and_is_said_once() {
    let heard = read(&[CREATED, DELTA, DELTA, DONE, COMPLETED]);
    assert_eq!(heard, Ok(("One momentOne moment".to_owned(), Some(complete()))));
}

#[test]
fn an_answer_without_deltas_is_said_all_the_same() {
    let expected = Ok(("One moment".to_owned(), Some(complete())));
    assert_eq!(read(&[CREATED, DONE, COMPLETED]), expected);
    assert_eq!(read(&[CREATED, COMPLETED]), expected);
    let whole: Value = serde_json::from_str(COMPLETED).unwrap();
    assert_eq!(read(&[&whole["response"].to_string()]), expected);
}

#[test]
fn each_part_is_said_in_the_way_it_comes() {
    assert_eq!(read(&[DELTA, DONE, DONE, DELTA, DONE]).unwrap().0, "One moment".repeat(3));
}

#[test]
fn thoughts_and_refusals_are_never_spoken() {
    let thought = r#"{"type":"response.reasoning_summary_text.delta","delta":"hm"}"#;
    let refusal = r#"{"type":"response.refusal.delta","delta":"I cannot"}"#;
    let refused = r#"{"type":"response.refusal.done","refusal":"I cannot help"}"#;
    assert_eq!(read(&[thought, DELTA, DONE, COMPLETED]), Ok(("One moment".to_owned(), Some(complete()))));
    let part = ended(
        "completed",
        r#"{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]}"#,
    );
    for refusal in [refusal, refused, &part] {
        let (words, end) = read(&[refusal, &ended("completed", "{}")]).unwrap();
        assert_eq!((words.as_str(), end.unwrap().stop), ("", Stop::Filtered), "{refusal}");
    }
}

#[test]
fn each_incomplete_end_has_its_meaning() {
    let incomplete = |reason: &str| {
        let details = format!(r#"{{"status":"incomplete","incomplete_details":{reason}}}"#);
        stop(&[DELTA, &ended("incomplete", &details)])
    };
    assert_eq!(incomplete(r#"{"reason":"max_output_tokens"}"#), Some(Stop::Length));
    assert_eq!(incomplete(r#"{"reason":"content_filter"}"#), Some(Stop::Filtered));
    assert_eq!(incomplete("null"), Some(Stop::Filtered));
}

#[test]
fn the_event_names_the_end_if_the_response_does_not() {
    assert_eq!(stop(&[DELTA, &ended("completed", "{}")]), Some(Stop::Complete));
    assert_eq!(stop(&[DELTA, &ended("incomplete", "null")]), Some(Stop::Filtered));
    assert!(matches!(read(&[DELTA, &ended("failed", "{}")]), Err(AnswerError::Reported(_))));
}

#[test]
fn a_stream_without_a_terminal_event_has_no_end() {
    assert_eq!(stop(&[CREATED, DELTA, DONE, "[DONE]"]), None);
    assert_eq!(stop(&[r#"{"object":"response","status":"queued"}"#]), None);
}

#[test]
fn an_error_is_one_however_it_is_written() {
    let failed =
        ended("failed", r#"{"status":"failed","error":{"code":"server_error","message":"overloaded"}}"#);
    for (event, code) in [
        (failed.as_str(), "server_error"),
        (
            r#"{"type":"error","sequence_number":2,"code":"server_error","message":"overloaded","param":null}"#,
            "server_error",
        ),
        (
            r#"{"type":"error","error":{"type":"t","code":"server_error","message":"overloaded"}}"#,
            "server_error",
        ),
        (r#"{"error":{"code":500,"message":"overloaded"}}"#, "500"),
    ] {
        let Err(AnswerError::Reported(error)) = read(&[DELTA, event]) else {
            panic!("{event} passes for an answer")
        };
        assert_eq!((error.code.as_deref(), error.message.as_str()), (Some(code), "overloaded"), "{event}");
    }
    let Err(AnswerError::Reported(error)) = read(&[r#"{"object":"response","status":"cancelled"}"#]) else {
        panic!("a cancelled response passes for an answer")
    };
    assert_eq!(error.code.as_deref(), Some("failed"));
}

#[test]
fn what_is_unknown_is_passed_over_and_what_is_no_json_is_not() {
    for odd in ["{}", "[]", "7", r#"{"type":7}"#, r#"{"type":"response.audio.delta","delta":"AAAA"}"#] {
        assert_eq!(read(&[odd, DELTA]).unwrap().0, "One moment", "{odd}");
    }
    assert_eq!(read(&["data"]), Err(AnswerError::NotJson));
}

proptest! {
    #[test]
    fn broken_events_never_panic(
        events in prop::collection::vec(mutated([CREATED, DELTA, DONE, COMPLETED].map(str::to_owned).to_vec()), 0..6),
    ) {
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        drop(read(&events));
    }
}
