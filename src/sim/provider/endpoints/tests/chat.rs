//! Chat completions: one mind with the realtime sessions, whole and in pieces.

use super::*;

fn ask(messages: &Value, more: &Value) -> Value {
    let mut body = json!({"model": "gpt-6-luna", "messages": messages});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn chat(messages: &Value, more: &Value) -> Answer {
    Bench::new().post("chat/completions", &ask(messages, more))
}

fn said(messages: &Value) -> String {
    let answer = json_of(&chat(messages, &json!({})));
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// The conversation up to the question that the longest line answers.
fn question() -> Value {
    json!([
        {"role": "system", "content": "You are the night desk."},
        {"role": "assistant", "content": line("late-arrival")},
        {"role": "user", "content": [{"type": "text", "text": "And what is there to see?"}]},
    ])
}

fn tools() -> Value {
    let function = json!({"name": "room_status", "parameters": {"type": "object"}});
    json!({"tools": [{"type": "function", "function": function}], "reasoning_effort": "none"})
}

#[test]
fn the_answer_follows_from_the_messages_alone() {
    assert_eq!(said(&json!([{"role": "developer", "content": "Greet."}])), line("greeting"));
    assert_eq!(said(&json!([{"role": "user", "content": "Hello?"}])), line("late-arrival"));
    assert_eq!(said(&question()), line("old-town"));
    let mut broken = question();
    let heard =
        json!({"role": "assistant", "content": [{"type": "text", "text": "Happily. You could start at"}]});
    broken.as_array_mut().unwrap().push(heard);
    assert!(said(&broken).starts_with("the fish market, which"), "{}", said(&broken));
    broken.as_array_mut().unwrap().push(json!({"role": "user", "content": "Sorry, the castle?"}));
    assert_eq!(said(&broken), line("castle"));
}

#[test]
fn a_stream_says_the_same_in_pieces_and_what_it_cost() {
    let answer = chat(&question(), &json!({"stream": true, "stream_options": {"include_usage": true}}));
    let (chunks, end) = events(&answer);
    assert_eq!(end.as_deref(), Some("[DONE]"));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let content: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(content, line("old-town"));
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(others.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(
        others
            .iter()
            .all(|chunk| chunk["usage"].is_null() && chunk.as_object().unwrap().contains_key("usage"))
    );
    assert_eq!(last["choices"], json!([]));
    let whole = json_of(&chat(&question(), &json!({})));
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(last["usage"]["completion_tokens"], line("old-town").len().div_ceil(4));
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["object"] == "chat.completion.chunk")
    );
}

#[test]
fn obfuscation_and_usage_are_as_the_client_wants_them() {
    let (chunks, _) = events(&chat(&question(), &json!({"stream": true})));
    let hidden = |chunk: &Value| {
        let content = chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        content.len() + chunk["obfuscation"].as_str().unwrap().len()
    };
    assert!(chunks.iter().all(|chunk| hidden(chunk) == 16 && chunk.get("usage").is_none()));
    let off = json!({"stream": true, "stream_options": {"include_obfuscation": false}});
    assert!(events(&chat(&question(), &off)).0.iter().all(|chunk| chunk.get("obfuscation").is_none()));
}

#[test]
fn tokens_come_after_the_first_delay_at_the_ordered_rate() {
    let options = ProviderOptions {
        first_token_delay: Duration::from_millis(300),
        tokens_per_second: 50.0,
        ..ProviderOptions::default()
    };
    let bench = Bench::with(options);
    let streamed = bench.post("chat/completions", &ask(&question(), &json!({"stream": true})));
    assert_eq!(streamed.after, Duration::from_millis(300));
    for (n, (at, _)) in (0..).zip(&streamed.pieces[..20]) {
        assert_eq!(*at, Duration::from_millis(20) * n);
    }
    let tokens = u32::try_from(line("old-town").len().div_ceil(4)).unwrap();
    let whole = bench.post("chat/completions", &ask(&question(), &json!({})));
    assert_eq!(whole.after, Duration::from_millis(300) + Duration::from_millis(20) * tokens);
    let at_once =
        Bench::with(ProviderOptions { tokens_per_second: f32::INFINITY, ..ProviderOptions::default() });
    let streamed = at_once.post("chat/completions", &ask(&question(), &json!({"stream": true})));
    assert!(streamed.pieces.iter().all(|(at, _)| at.is_zero()));
}

#[test]
fn a_limit_on_tokens_cuts_the_answer() {
    for limit in ["max_completion_tokens", "max_tokens"] {
        let mut body = ask(&question(), &json!({limit: 5}));
        body["model"] = json!("llama-3.3");
        let answer = json_of(&Bench::new().post("chat/completions", &body));
        assert_eq!(answer["choices"][0]["message"]["content"], line("old-town")[..20]);
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 5);
    }
    let answer = json_of(&chat(&question(), &json!({"max_completion_tokens": 5_000})));
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_scripted_tool_is_called_once_and_its_result_answered() {
    let bench = Bench::with_call();
    let mut more = tools();
    more["stream"] = json!(true);
    let mut messages = json!([{"role": "user", "content": "Is room 204 free?"}]);
    let (chunks, _) = events(&bench.post("chat/completions", &ask(&messages, &more)));
    let calls: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!((&calls[0]["index"], &calls[0]["function"]["name"]), (&json!(0), &json!("room_status")));
    let arguments: String =
        calls.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(arguments, r#"{"room":"204","night":"tonight"}"#);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    let whole = json_of(&bench.post("chat/completions", &ask(&messages, &tools())));
    let message = whole["choices"][0]["message"].clone();
    assert_eq!(
        (&message["content"], &message["tool_calls"][0]["function"]["arguments"]),
        (&Value::Null, &json!(arguments))
    );
    let result =
        json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "{\"free\":true}"});
    messages.as_array_mut().unwrap().extend([message, result]);
    let answer = json_of(&bench.post("chat/completions", &ask(&messages, &tools())));
    assert_eq!(answer["choices"][0]["message"]["content"], line("late-arrival"));
}

#[test]
fn a_tool_is_called_when_the_client_insists() {
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "room_status"}})] {
        let mut more = tools();
        more["tool_choice"] = choice;
        let answer = json_of(&chat(&question(), &more));
        assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "room_status");
    }
}

#[test]
fn an_answer_can_be_ordered_empty_or_endless() {
    let body = ask(&question(), &json!({}));
    let answer = json_of(&Bench::with_fault("empty").post("chat/completions", &body));
    assert_eq!(
        (&answer["choices"][0]["message"]["content"], &answer["choices"][0]["finish_reason"]),
        (&json!(""), &json!("stop"))
    );
    let (chunks, end) = events(
        &Bench::with_fault("empty").post("chat/completions", &ask(&question(), &json!({"stream": true}))),
    );
    assert_eq!((chunks.len(), end.as_deref()), (2, Some("[DONE]")), "a role and an end");
    let answer = json_of(&Bench::with_fault("words:10000").post("chat/completions", &body));
    assert_eq!(answer["choices"][0]["message"]["content"].as_str().unwrap().split(' ').count(), 10_000);
}

#[test]
fn an_error_in_mid_stream_is_an_event_without_an_end() {
    let body = ask(&question(), &json!({"stream": true}));
    let (chunks, end) = events(&Bench::with_fault("error").post("chat/completions", &body));
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((last["error"]["code"].as_str(), end), (Some("server_error"), None));
    assert!(others.len() > 10 && others.iter().all(|chunk| chunk["choices"].is_array()));
}
