use proptest::prelude::*;

use super::*;
use crate::mutation::mutated;
use crate::openai::ApiError;
use crate::openai::answer::Role;

const CONTENT: &str = r#"{"id":"cc1","object":"chat.completion.chunk","created":1795000000,"model":"m","choices":[{"index":0,"delta":{"content":"One moment"},"finish_reason":null}],"usage":null,"obfuscation":"x7"}"#;
const STOP: &str = r#"{"id":"cc1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"cc1","choices":[],"usage":{"prompt_tokens":310,"completion_tokens":22,"total_tokens":332,"prompt_tokens_details":{"cached_tokens":256}}}"#;

/// The words, and how the answer ended: by `[DONE]`, or by the end of the stream.
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
    Ok((words, answer.finish()))
}

fn words(events: &[&str]) -> String {
    read(events).unwrap().0
}

fn stop(events: &[&str]) -> Option<Stop> {
    read(events).unwrap().1.map(|end| end.stop)
}

fn reported(event: &str) -> ApiError {
    let Err(AnswerError::Reported(error)) = read(&[event]) else { panic!("{event} passes for an answer") };
    error
}

fn finishing(reason: &str) -> String {
    format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

#[test]
fn a_request_is_written_as_the_api_describes_it() {
    let message = |role, content| Message { role, content };
    let messages = vec![
        message(Role::System, "Be brief."),
        message(Role::User, "Hi"),
        message(Role::Assistant, "\"Yes\"?"),
    ];
    let mut request = Request::new("gpt-6-luna", messages);
    let plain = concat!(
        r#"{"model":"gpt-6-luna","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},"#,
        r#"{"role":"assistant","content":"\"Yes\"?"}],"stream":true,"#,
        r#""stream_options":{"include_usage":true,"include_obfuscation":false}}"#
    );
    assert_eq!(request.to_json(), plain);
    request.max_completion_tokens = Some(150);
    request.reasoning_effort = Some("none");
    let bounded = r#"],"max_completion_tokens":150,"reasoning_effort":"none","stream":true,"#;
    assert!(request.to_json().contains(bounded), "{}", request.to_json());
    let old = Request { max_tokens: Some(150), ..Request::new("m", vec![]) };
    assert!(old.to_json().contains(r#""messages":[],"max_tokens":150,"stream":true"#), "{}", old.to_json());
}

#[test]
fn an_answer_streams_to_its_end_with_usage() {
    let first = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
    let usage = AnswerUsage { input_tokens: 310, cached_input_tokens: 256, output_tokens: 22 };
    let end = End { stop: Stop::Complete, usage_opt: Some(usage) };
    assert_eq!(
        read(&[first, CONTENT, CONTENT, STOP, USAGE, "[DONE]"]),
        Ok(("One momentOne moment".to_owned(), Some(end)))
    );
}

#[test]
fn each_reason_to_finish_has_its_meaning() {
    for (reason, expected) in [
        ("stop", Stop::Complete),
        ("length", Stop::Length),
        ("content_filter", Stop::Filtered),
        ("eos_token", Stop::Complete),
    ] {
        assert_eq!(stop(&[CONTENT, &finishing(reason)]), Some(expected), "{reason}");
    }
}

#[test]
fn a_stream_may_end_without_done_but_not_without_a_reason() {
    assert_eq!(stop(&[CONTENT, STOP]), Some(Stop::Complete));
    assert_eq!(stop(&[CONTENT, "[DONE]"]), Some(Stop::Complete));
    assert_eq!(stop(&[CONTENT, CONTENT]), None);
    assert_eq!(stop(&[]), None);
}

#[test]
fn usage_is_optional_and_the_last_one_counts() {
    let so_far = r#"{"choices":[],"usage":{"prompt_tokens":310.0,"completion_tokens":"1","prompt_tokens_details":null}}"#;
    let usage = |events: &[&str]| read(events).unwrap().1.unwrap().usage_opt;
    assert_eq!(usage(&[CONTENT, STOP, "[DONE]"]), None);
    let tokens = |cached_input_tokens, output_tokens| AnswerUsage {
        input_tokens: 310,
        cached_input_tokens,
        output_tokens,
    };
    assert_eq!(usage(&[so_far, CONTENT, STOP]), Some(tokens(0, 1)));
    assert_eq!(usage(&[so_far, CONTENT, STOP, USAGE]), Some(tokens(256, 22)));
}

#[test]
fn the_index_may_be_missing_and_other_choices_are_not_spoken() {
    assert_eq!(words(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#]), "a");
    assert_eq!(
        words(&[r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#]),
        "a"
    );
    assert_eq!(words(&[r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#]), "");
}

#[test]
fn an_answer_may_come_whole_and_is_not_said_twice() {
    let whole = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"One moment"},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let usage = AnswerUsage { input_tokens: 3, cached_input_tokens: 0, output_tokens: 2 };
    let end = End { stop: Stop::Length, usage_opt: Some(usage) };
    assert_eq!(read(&[whole]), Ok(("One moment".to_owned(), Some(end))));
    assert_eq!(words(&[CONTENT, whole]), "One moment");
}

#[test]
fn text_in_parts_is_spoken_and_thoughts_are_not() {
    let parts = r#"{"choices":[{"delta":{"content":[{"type":"thinking","text":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"text"}]}}]}"#;
    assert_eq!(words(&[parts]), "ab");
    let thoughts = r#"{"choices":[{"delta":{"content":null,"reasoning_content":"hm","reasoning":"hm"}}]}"#;
    assert_eq!(words(&[thoughts, CONTENT]), "One moment");
}

#[test]
fn a_refusal_is_filtered_and_never_spoken() {
    let refusal = r#"{"choices":[{"delta":{"refusal":"I cannot help"}}]}"#;
    let no_refusal = r#"{"choices":[{"delta":{"content":"","refusal":null}},{"delta":{"refusal":""}}]}"#;
    assert_eq!(words(&[refusal, STOP]), "");
    assert_eq!(stop(&[refusal, STOP]), Some(Stop::Filtered));
    assert_eq!(stop(&[refusal, "[DONE]"]), Some(Stop::Filtered));
    assert_eq!(stop(&[no_refusal, STOP]), Some(Stop::Complete));
}

#[test]
fn an_error_in_mid_stream_is_one_however_it_is_written() {
    let error = reported(r#"{"error":{"message":"overloaded","type":"server_error","code":null}}"#);
    assert_eq!(
        (error.kind.as_str(), error.code, error.message.as_str()),
        ("server_error", None, "overloaded")
    );
    assert_eq!(reported(r#"{"error":"overloaded"}"#).message, "overloaded");
    let error = reported(r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#);
    assert_eq!((error.code.as_deref(), error.message.as_str()), (Some("400"), "too long"));
    for no_error in [r#"{"error":null}"#, r#"{"error":{}}"#, r#"{"error":""}"#, r#"{"error":false}"#] {
        assert_eq!(words(&[no_error]), "", "{no_error}");
    }
}

#[test]
fn what_is_unknown_is_passed_over_and_what_is_no_json_is_not() {
    for odd in [
        "{}",
        "[]",
        "7",
        "null",
        r#"{"choices":7}"#,
        r#"{"choices":[7]}"#,
        r#"{"choices":[{"delta":{"content":7}}]}"#,
    ] {
        assert_eq!(words(&[odd, CONTENT]), "One moment", "{odd}");
    }
    assert_eq!(read(&["{"]), Err(AnswerError::NotJson));
    assert_eq!(read(&[""]), Err(AnswerError::NotJson));
    assert_eq!(AnswerError::NotJson.to_string(), "what came is not JSON");
}

proptest! {
    #[test]
    fn broken_events_never_panic(
        events in prop::collection::vec(mutated([CONTENT, STOP, USAGE, "[DONE]"].map(str::to_owned).to_vec()), 0..6),
    ) {
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        drop(read(&events));
    }

    #[test]
    fn what_the_model_writes_is_what_is_spoken(pieces in prop::collection::vec(any::<String>(), 0..8)) {
        let events: Vec<String> = pieces
            .iter()
            .map(|piece| serde_json::json!({"choices": [{"index": 0, "delta": {"content": piece}}]}).to_string())
            .collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        prop_assert_eq!(words(&events), pieces.concat());
    }
}
