use futures_util::future::join;
use serde_json::{Value, json};

use super::*;
use crate::dial::public_roots;
use crate::dial::scripted::{Asked, Provider, STREAM_HEAD, chunk, plain, within};

/// What was said, and what went wrong after it.
type Heard = (Vec<ChatPiece>, Option<ModelError>);

/// How Chat Completions and Responses report the same usage.
const CHAT_USAGE: &str =
    r#"{"prompt_tokens":310,"completion_tokens":22,"prompt_tokens_details":{"cached_tokens":256}}"#;
const RESPONSE_USAGE: &str =
    r#"{"input_tokens":310,"output_tokens":22,"input_tokens_details":{"cached_tokens":256}}"#;
const USAGE: ChatUsage = ChatUsage { input_tokens: 310, cached_input_tokens: 256, output_tokens: 22 };

const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn options(api: ChatApi) -> ChatOptions {
    let length_field = LengthField::MaxCompletionTokens;
    ChatOptions { api, model: "m".to_owned(), reasoning_effort_opt: None, length_field }
}

fn line(base_url: &str, options: ChatOptions) -> ChatLine {
    ChatLine::new(Connections::new(public_roots()), base_url, None, options).unwrap()
}

fn request() -> ChatRequest {
    let turn = |who, text: &str| ChatTurn { who, text: text.to_owned() };
    ChatRequest {
        instructions: "Be brief.".to_owned(),
        turns: vec![turn(Speaker::Agent, "Hello?"), turn(Speaker::Caller, "Room 204")],
        output_tokens_max: Some(150),
    }
}

async fn listen(line: &ChatLine) -> Heard {
    hear(line.answer(request())).await
}

async fn hear(answer: LocalBoxStream<'static, Result<ChatPiece, ModelError>>) -> Heard {
    let mut pieces: Vec<_> = within(answer.collect()).await;
    let error = pieces.pop_if(|last| last.is_err()).and_then(Result::err);
    (pieces.into_iter().map(|piece| piece.expect("nothing comes after an error")).collect(), error)
}

/// What comes of `answer`, and what was asked.
async fn exchange(options: ChatOptions, answer: &[u8]) -> (Heard, Asked) {
    let (provider, origin) = Provider::new().await;
    join(listen(&line(&format!("{origin}/v1"), options)), provider.answer(answer)).await
}

async fn heard(api: ChatApi, answer: impl AsRef<[u8]>) -> Heard {
    exchange(options(api), answer.as_ref()).await.0
}

/// An answer over Chat Completions, each of `pieces` in a chunk of its own, that comes to its end.
fn streamed(pieces: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let chunks: Vec<u8> = pieces.iter().flat_map(chunk).collect();
    [STREAM_HEAD.as_bytes(), &chunks, &chunk("")].concat()
}

fn says(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
}

/// These words, and then an end of this kind, without usage.
fn said(words: &[&str], end: Result<ChatStop, ModelError>) -> Heard {
    let mut pieces: Vec<_> = words.iter().map(|&words| ChatPiece::Text(words.to_owned())).collect();
    pieces.extend(end.clone().ok().map(|stop| ChatPiece::Done { stop, usage: None }));
    (pieces, end.err())
}

fn broken(why: &str) -> Result<ChatStop, ModelError> {
    Err(ModelError::Broken(why.to_owned()))
}

#[actix_rt::test]
async fn a_conversation_is_asked_over_chat_completions_and_answered() {
    let usage = format!("data: {{\"choices\":[],\"usage\":{CHAT_USAGE}}}\n\n");
    let events = [says("Room"), says(" 204"), STOP.to_owned(), usage, DONE.to_owned()];
    let (heard, asked) = exchange(options(ChatApi::Completions), &streamed(&events)).await;
    let (mut pieces, _) = said(&["Room", " 204"], broken(""));
    pieces.push(ChatPiece::Done { stop: ChatStop::Complete, usage: Some(USAGE) });
    assert_eq!(heard, (pieces, None));
    assert!(asked.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", asked.head);
    assert!(asked.has("content-type: application/json"), "{}", asked.head);
    for absent in ["authorization", "accept-encoding"] {
        assert!(!asked.head.contains(absent), "{}", asked.head);
    }
    let expected = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "Hello?"},
            {"role": "user", "content": "Room 204"},
        ],
        "max_completion_tokens": 150,
        "stream": true,
        "stream_options": {"include_usage": true, "include_obfuscation": false},
    });
    assert_eq!(asked.json(), expected);
}

#[actix_rt::test]
async fn a_conversation_is_asked_over_responses_and_answered() {
    let usage: Value = RESPONSE_USAGE.parse().unwrap();
    let details = json!({"reason": "max_output_tokens"});
    let response = json!({"status": "incomplete", "incomplete_details": details, "usage": usage});
    let events = [
        json!({"type": "response.created", "response": {"status": "in_progress", "error": null}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        json!({"type": "response.output_text.delta", "delta": "Room 204"}),
        json!({"type": "response.output_text.done", "text": "Room 204"}),
        json!({"type": "response.incomplete", "response": response}),
    ]
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()));
    let thinking =
        ChatOptions { reasoning_effort_opt: Some("low".to_owned()), ..options(ChatApi::Responses) };
    let (heard, asked) = exchange(thinking, &streamed(&events)).await;
    let (mut pieces, _) = said(&["Room 204"], broken(""));
    pieces.push(ChatPiece::Done { stop: ChatStop::Length, usage: Some(USAGE) });
    assert_eq!(heard, (pieces, None));
    assert!(asked.head.starts_with("POST /v1/responses HTTP/1.1\r\n"), "{}", asked.head);
    let expected = json!({
        "model": "m",
        "instructions": "Be brief.",
        "input": [{"role": "assistant", "content": "Hello?"}, {"role": "user", "content": "Room 204"}],
        "max_output_tokens": 150,
        "reasoning": {"effort": "low"},
        "store": false,
        "stream": true,
        "stream_options": {"include_obfuscation": false},
    });
    assert_eq!(asked.json(), expected);
}

#[actix_rt::test]
async fn self_hosted_servers_are_told_the_length_in_their_own_word() {
    let older = ChatOptions {
        length_field: LengthField::MaxTokens,
        reasoning_effort_opt: Some("none".to_owned()),
        ..options(ChatApi::Completions)
    };
    let (_, asked) = exchange(older, &streamed(&[DONE])).await;
    let body = asked.json();
    assert_eq!((&body["max_tokens"], &body["max_completion_tokens"]), (&json!(150), &json!(null)));
    assert_eq!(body["reasoning_effort"], "none");
}

#[actix_rt::test]
async fn without_instructions_the_system_says_nothing() {
    let line = line("http://host/v1", options(ChatApi::Completions));
    let request = ChatRequest { instructions: String::new(), output_tokens_max: None, ..request() };
    let body = line.body(&request);
    assert!(!body.contains("system") && !body.contains("max_"), "{body}");
}

#[actix_rt::test]
async fn an_answer_is_the_same_wherever_it_is_cut() {
    let answer = [&says("grö😀"), &says("ßer\n"), STOP, DONE].concat();
    let expected = said(&["grö😀", "ßer\n"], Ok(ChatStop::Complete));
    for answer in [answer.clone(), answer.replace("\n\n", "\r\n\r\n"), answer.replace("\n\n", "\r\r")] {
        for at in 1..answer.len() {
            let (before, after) = answer.as_bytes().split_at(at);
            assert_eq!(
                heard(ChatApi::Completions, streamed(&[before, after])).await,
                expected,
                "cut at {at}"
            );
        }
    }
}

#[actix_rt::test]
async fn an_answer_in_single_bytes_is_heard_too() {
    let answer = [&says("grö😀"), STOP, DONE].concat();
    let bytes: Vec<&[u8]> = answer.as_bytes().chunks(1).collect();
    assert_eq!(heard(ChatApi::Completions, streamed(&bytes)).await, said(&["grö😀"], Ok(ChatStop::Complete)));
}

#[actix_rt::test]
async fn a_server_that_does_not_stream_is_heard_too() {
    let choice = json!({"message": {"content": "One moment"}, "finish_reason": "stop"});
    let chat = json!({"object": "chat.completion", "choices": [choice]});
    let message = json!({"type": "message", "content": [{"type": "output_text", "text": "One moment"}]});
    let response = json!({"object": "response", "status": "completed", "output": [message]});
    for (api, body) in [(ChatApi::Completions, chat), (ChatApi::Responses, response)] {
        let heard = heard(api, plain("200 OK", "application/json", &body.to_string())).await;
        assert_eq!(heard, said(&["One moment"], Ok(ChatStop::Complete)), "{body}");
    }
}

#[actix_rt::test]
async fn an_answer_that_is_done_needs_no_formal_end() {
    let words = says("One moment");
    let no_done = streamed(&[&words, STOP]);
    let no_blank_line = streamed(&[&words, "data: [DONE]"]);
    let cut_off = [STREAM_HEAD.as_bytes(), &chunk(&words), &chunk(STOP), b"ff\r\ndata: {"].concat();
    for answer in [no_done, no_blank_line, cut_off] {
        let heard = heard(ChatApi::Completions, &answer).await;
        assert_eq!(heard, said(&["One moment"], Ok(ChatStop::Complete)), "{}", answer.escape_ascii());
    }
}

#[actix_rt::test]
async fn an_answer_that_is_not_done_has_broken_off() {
    let words = says("One moment");
    let ended = || broken("it ended before it was complete");
    let no_json = || broken("what came is not JSON");
    for (answer, expected) in [
        (streamed(&[&words]), said(&["One moment"], ended())),
        (streamed(&[""; 0]), said(&[], ended())),
        (plain("200 OK", "text/html", "<html>"), said(&[], ended())),
        (plain("200 OK", "application/json", "{}"), said(&[], ended())),
        (streamed(&[&words, "data: {\"cho"]), said(&["One moment"], no_json())),
        (plain("200 OK", "application/json", "data: {}"), said(&[], no_json())),
    ] {
        let heard = heard(ChatApi::Completions, &answer).await;
        assert_eq!(heard, expected, "{}", answer.escape_ascii());
    }
    let cut_off = [STREAM_HEAD.as_bytes(), &chunk(&words), b"ff\r\ndata: {"].concat();
    let (pieces, error) = heard(ChatApi::Completions, cut_off).await;
    assert_eq!(pieces, [ChatPiece::Text("One moment".to_owned())]);
    assert!(matches!(error, Some(ModelError::Broken(_))), "{error:?}");
    let delta = format!("data: {}\n\n", json!({"type": "response.output_text.delta", "delta": "One"}));
    assert_eq!(heard(ChatApi::Responses, streamed(&[&delta, DONE])).await, said(&["One"], ended()));
}

#[actix_rt::test]
async fn an_error_in_mid_answer_is_reported_after_what_was_said() {
    let long = format!("no\n more {}", "x".repeat(300));
    let error = format!("data: {}\n\n", json!({"error": {"code": "server_error", "message": long}}));
    let heard = heard(ChatApi::Completions, streamed(&[says("One"), error])).await;
    let message = format!("no more {}", "x".repeat(192));
    assert_eq!(heard, said(&["One"], Err(ModelError::Reported { code: "server_error".to_owned(), message })));
}

#[actix_rt::test]
async fn an_endless_event_is_not_kept() {
    let endless = ["data: ", &"x".repeat(EVENT_BYTES_MAX)].concat();
    let (_, error) = heard(ChatApi::Completions, streamed(&[&says("One"), &endless])).await;
    assert_eq!(error, broken("an event of more than 262144 bytes").err());
    let endless = plain("200 OK", "application/json", &" ".repeat(EVENT_BYTES_MAX + 1));
    let expected = said(&[], broken("an answer of more than 262144 bytes"));
    assert_eq!(heard(ChatApi::Completions, endless).await, expected);
}

#[actix_rt::test]
async fn nothing_is_asked_twice() {
    let (provider, origin) = Provider::new().await;
    let line = line(&origin, options(ChatApi::Completions));
    let ((_, error), _) = join(listen(&line), provider.answer(b"")).await;
    assert!(matches!(error, Some(ModelError::Unreachable(_))), "{error:?}");
    // Who asks now is the first to do so again.
    let again = ChatRequest { instructions: "Again.".to_owned(), ..request() };
    let answer = streamed(&[DONE]);
    let (_, asked) = join(hear(line.answer(again)), provider.answer(&answer)).await;
    assert_eq!(asked.json()["messages"][0]["content"], "Again.");
}

#[actix_rt::test]
async fn dropping_an_answer_before_it_begins_abandons_the_request() {
    let (provider, origin) = Provider::new().await;
    let mut answer = line(&origin, options(ChatApi::Completions)).answer(request());
    let asking = tokio::task::spawn_local(async move { answer.next().await });
    let mut connection = provider.accept().await;
    connection.asked().await;
    asking.abort();
    connection.gone().await;
}

#[actix_rt::test]
async fn dropping_an_answer_in_its_middle_abandons_the_request() {
    let (provider, origin) = Provider::new().await;
    let mut answer = line(&origin, options(ChatApi::Completions)).answer(request());
    let serve = async {
        let mut connection = provider.accept().await;
        connection.asked().await;
        connection.say(STREAM_HEAD).await;
        connection.say(chunk(says("One"))).await;
        connection
    };
    let (first, mut connection) = join(within(answer.next()), serve).await;
    assert_eq!(first, Some(Ok(ChatPiece::Text("One".to_owned()))));
    drop(answer);
    connection.gone().await;
}
