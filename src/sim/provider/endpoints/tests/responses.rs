//! Responses: the same mind, and events that are counted.

use super::*;

fn ask(input: &Value, more: &Value) -> Value {
    let mut body = json!({"model": "gpt-6.1-sol", "input": input, "instructions": "You are the night desk."});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn respond(input: &Value, more: &Value) -> Answer {
    Bench::new().post("responses", &ask(input, more))
}

fn question() -> Value {
    json!([
        {"role": "assistant", "content": line("late-arrival")},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And what is there to see?"}]},
    ])
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[test]
fn the_answer_follows_from_the_input_alone() {
    let said =
        |input: &Value| json_of(&respond(input, &json!({})))["output"][0]["content"][0]["text"].clone();
    assert_eq!(said(&json!("Hello?")), line("late-arrival"));
    assert_eq!(said(&json!([{"role": "developer", "content": "Greet."}])), line("greeting"));
    assert_eq!(said(&question()), line("old-town"));
    let mut broken = question();
    let heard = json!({"type": "output_text", "text": "Happily. You could start at the fish market, which"});
    broken.as_array_mut().unwrap().push(json!({"role": "assistant", "content": [heard]}));
    assert!(said(&broken).as_str().unwrap().starts_with("opens at six"));
}

#[test]
fn a_stream_has_the_documented_events_in_order_and_counts_them() {
    let answer = respond(&question(), &json!({"stream": true}));
    let (events, end) = events(&answer);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!(end, None, "there is no [DONE] here");
    assert!((0..).zip(&events).all(|(n, event)| event["sequence_number"] == n));
    let names: Vec<String> =
        text(&answer).lines().filter_map(|line| line.strip_prefix("event: ").map(str::to_owned)).collect();
    assert!(events.iter().zip(&names).all(|(event, name)| event["type"] == **name));
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, line("old-town"));
    let response = &events.last().unwrap()["response"];
    assert_eq!(
        (&response["status"], &response["instructions"]),
        (&json!("completed"), &json!("You are the night desk."))
    );
    assert_eq!(response["output"][0]["content"][0]["text"], line("old-town"));
    assert_eq!(response["usage"]["output_tokens"], line("old-town").len().div_ceil(4));
    let (first, created) = (answer.pieces[2].0, answer.pieces[0].0);
    assert_eq!((answer.after, created, first), (Duration::ZERO, Duration::ZERO, Duration::from_millis(200)));
}

#[test]
fn a_limit_on_tokens_leaves_the_response_incomplete() {
    let (events, _) = events(&respond(&question(), &json!({"stream": true, "max_output_tokens": 16})));
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], line("old-town")[..64]);
    assert_eq!(last["response"]["usage"]["output_tokens"], 16);
}

#[test]
fn a_scripted_tool_is_called_once_and_its_result_answered() {
    let bench = Bench::with_call();
    let tools = json!([{"type": "function", "name": "room_status", "parameters": {"type": "object"}}]);
    let mut input = json!([{"role": "user", "content": "Is room 204 free?"}]);
    let (events, _) =
        events(&bench.post("responses", &ask(&input, &json!({"stream": true, "tools": tools}))));
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let call = events.last().unwrap()["response"]["output"][0].clone();
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!((&call["name"], &call["arguments"]), (&json!("room_status"), &json!(deltas)));
    let output =
        json!({"type": "function_call_output", "call_id": call["call_id"], "output": "{\"free\":true}"});
    input.as_array_mut().unwrap().extend([call, output]);
    let answer = json_of(&bench.post("responses", &ask(&input, &json!({"tools": tools}))));
    assert_eq!(answer["output"][0]["content"][0]["text"], line("late-arrival"));
}

#[test]
fn an_error_in_mid_stream_is_an_event_of_its_number() {
    let body = ask(&question(), &json!({"stream": true}));
    let (events, _) = events(&Bench::with_fault("error").post("responses", &body));
    assert_eq!(events.last().unwrap()["type"], "error");
    assert!((0..).zip(&events).all(|(n, event)| event["sequence_number"] == n));
}
