//! The endpoints beside the Realtime API as a client on a socket meets them.

use reqwest::{Client, Response};
use tandem_sim::provider::{Endpoint, RequestEnd, RequestRecord};

use super::*;

fn chat(stream: bool) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hello?"}], "stream": stream})
}

/// The first answer of the script.
fn answer() -> &'static str {
    speech::sentence("late-arrival").unwrap().text
}

/// A provider that loses no time, except where a fault says so.
async fn prompt(faults: &[&str]) -> Provider {
    let options = ProviderOptions {
        faults: faults.iter().map(|spec| spec.parse().unwrap()).collect(),
        first_token_delay: Duration::ZERO,
        tokens_per_second: f32::INFINITY,
        first_speech_delay: Duration::ZERO,
        speech_speed: f32::INFINITY,
        ..ProviderOptions::default()
    };
    Provider::start(options).await.unwrap()
}

async fn try_post(provider: &Provider, path: &str, body: &Value) -> reqwest::Result<Response> {
    let url = format!("{}/{path}", provider.http_base());
    let request = Client::new().post(url).header("authorization", "Bearer k").header("xi-api-key", "k");
    timeout(PATIENCE, request.body(body.to_string()).send()).await.expect("a head")
}

async fn post(provider: &Provider, path: &str, body: &Value) -> Response {
    try_post(provider, path, body).await.unwrap()
}

async fn text(response: Response) -> reqwest::Result<String> {
    timeout(PATIENCE, response.text()).await.expect("an end")
}

/// The words of a streamed chat, as far as they came.
fn words(stream: &str) -> String {
    let chunks =
        stream.split("\n\n").filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok());
    chunks
        .filter_map(|chunk: Value| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

/// What arrives until the answer ends, and how it does; `None` if nothing more comes for so long.
async fn arrives(mut response: Response, wait: Duration) -> (Vec<u8>, Option<reqwest::Result<()>>) {
    let mut arrived = Vec::new();
    loop {
        match timeout(wait, response.chunk()).await {
            Err(_) => return (arrived, None),
            Ok(Ok(Some(piece))) => arrived.extend_from_slice(&piece),
            Ok(Ok(None)) => return (arrived, Some(Ok(()))),
            Ok(Err(error)) => return (arrived, Some(Err(error))),
        }
    }
}

/// Long enough for what is ready to arrive, and short enough to be waited for.
const STALL: Duration = Duration::from_millis(500);

async fn eventually_ended(provider: &Provider) -> Vec<RequestRecord> {
    let ended = async {
        loop {
            let requests = provider.requests();
            if requests.iter().all(|request| request.end.is_some()) {
                return requests;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ended).await.expect("all requests to end")
}

#[tokio::test]
async fn all_endpoints_answer_on_the_port_of_the_sessions() {
    let provider = prompt(&[]).await;
    let mut session = connect(&provider).await;
    session.until("session.created").await;
    let models =
        Client::new().get(format!("{}/models", provider.http_base())).header("authorization", "Bearer k");
    assert!(text(models.send().await.unwrap()).await.unwrap().contains("gpt-realtime-2.1"));
    let said = text(post(&provider, "chat/completions", &chat(true)).await).await.unwrap();
    assert_eq!((words(&said).as_str(), said.ends_with("data: [DONE]\n\n")), (answer(), true));
    let input = json!({"model": "m", "input": "Hello?"});
    assert!(text(post(&provider, "responses", &input).await).await.unwrap().contains(answer()));
    let spoken = json!({"model": "m", "voice": "v", "input": answer(), "response_format": "pcm"});
    let response = post(&provider, "audio/speech", &spoken).await;
    assert_eq!(response.headers()["content-type"], "audio/pcm");
    let sentence = speech::sentence("late-arrival").unwrap().audio.len();
    assert!(response.bytes().await.unwrap().len().abs_diff(sentence * 6) < 100);
    let path = "text-to-speech/rachel/stream?output_format=ulaw_8000";
    let response = post(&provider, path, &json!({"text": answer()})).await;
    assert_eq!(response.bytes().await.unwrap().len(), sentence);
    session.send(json!({"type": "response.create"})).await;
    session.until("response.done").await;
    assert_eq!(provider.connections(), 1, "only sessions are counted");
    provider.stop().await;
}

#[tokio::test]
async fn every_request_is_on_record_with_how_it_ended() {
    let provider = prompt(&[]).await;
    let before = Instant::now();
    text(post(&provider, "chat/completions", &chat(false)).await).await.unwrap();
    text(post(&provider, "responses", &json!({"model": "m"})).await).await.unwrap();
    let path = "text-to-speech/rachel?output_format=pcm_8000";
    post(&provider, path, &json!({"text": "Hello."})).await.bytes().await.unwrap();
    let requests = eventually_ended(&provider).await;
    let seen: Vec<_> = requests.iter().map(|one| (one.endpoint, one.status, one.end.unwrap().0)).collect();
    assert_eq!(
        seen,
        [
            (Endpoint::Chat, Some(200), RequestEnd::Complete),
            (Endpoint::Responses, Some(400), RequestEnd::Complete),
            (Endpoint::ElevenLabs, Some(200), RequestEnd::Complete),
        ]
    );
    assert_eq!(requests[0].body, chat(false));
    assert_eq!(requests[2].path, format!("/v1/{path}"));
    assert!(requests.iter().all(|one| before <= one.at && one.at <= one.first_byte_at.unwrap()));
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_at_once() {
    let options = ProviderOptions {
        tokens_per_second: 1.0,
        first_token_delay: Duration::ZERO,
        ..ProviderOptions::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let mut response = post(&provider, "chat/completions", &chat(true)).await;
    assert!(response.chunk().await.unwrap().is_some());
    assert_eq!(provider.requests()[0].end, None);
    drop(response);
    assert_eq!(eventually_ended(&provider).await[0].end.unwrap().0, RequestEnd::Abandoned);

    let waiting =
        ProviderOptions { first_token_delay: Duration::from_mins(10), ..ProviderOptions::default() };
    let provider = Provider::start(waiting).await.unwrap();
    let asked = tokio::spawn({
        let url = format!("{}/chat/completions", provider.http_base());
        async move {
            Client::new()
                .post(url)
                .header("authorization", "Bearer k")
                .body(chat(true).to_string())
                .send()
                .await
        }
    });
    let arrived = async {
        while provider.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("the request");
    asked.abort();
    assert_eq!(eventually_ended(&provider).await[0].end.unwrap().0, RequestEnd::Abandoned);
}

#[tokio::test]
async fn pieces_arrive_when_they_are_made() {
    let options = ProviderOptions {
        first_token_delay: Duration::from_millis(100),
        tokens_per_second: 4.0,
        ..ProviderOptions::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let began = Instant::now();
    let mut response = post(&provider, "chat/completions", &chat(true)).await;
    let first = response.chunk().await.unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(100));
    // The whole answer takes six seconds.
    assert!(words(str::from_utf8(&first).unwrap()).len() < answer().len() / 2, "not all at once");
    response.chunk().await.unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist_are_told_so() {
    let provider = prompt(&[]).await;
    for (method, path, status) in
        [("GET", "chat/completions", 405), ("POST", "models", 405), ("POST", "completions", 404)]
    {
        let url = format!("{}/{path}", provider.http_base());
        let response = Client::new().request(method.parse().unwrap(), url).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert!(text(response).await.unwrap().starts_with("{\"error\":{"));
    }
    let url = format!("{}/realtime?model=m", provider.http_base());
    let plain = Client::new().get(url).header("authorization", "Bearer k").send().await.unwrap();
    assert_eq!(plain.status(), 400, "a session without an upgrade");
    // The client may be told, or find the connection closed while it still writes.
    drop(try_post(&provider, "responses", &json!({"input": "x".repeat(26 << 20)})).await);
    assert_eq!(eventually_ended(&provider).await[0].status, Some(413));
}

// ---------------------------------------------------------------------------------------------------- faults

#[tokio::test]
async fn an_ordered_fault_strikes_the_ordered_request_of_its_endpoint() {
    let provider = prompt(&["chat/http:429@1", "any/http:503@3"]).await;
    let mut statuses = Vec::new();
    for path in ["chat/completions", "responses", "chat/completions", "chat/completions"] {
        statuses.push(post(&provider, path, &chat(true)).await.status().as_u16());
    }
    assert_eq!(statuses, [429, 400, 503, 200]);
}

#[tokio::test]
async fn a_refused_request_is_read_and_not_answered() {
    let provider = prompt(&["chat/refuse"]).await;
    assert!(try_post(&provider, "chat/completions", &chat(true)).await.is_err());
    let request = &eventually_ended(&provider).await[0];
    assert_eq!(
        (&request.body, request.status, request.end.unwrap().0),
        (&chat(true), None, RequestEnd::ByUs)
    );
}

#[tokio::test]
async fn a_first_byte_can_be_late() {
    let provider = prompt(&["chat/delay:200"]).await;
    let began = Instant::now();
    let said = text(post(&provider, "chat/completions", &chat(true)).await).await.unwrap();
    assert_eq!((words(&said).as_str(), began.elapsed() >= Duration::from_millis(200)), (answer(), true));
}

#[tokio::test]
async fn an_answer_can_stall_or_break_in_the_middle() {
    let provider = prompt(&["chat/stall@1", "chat/break@2", "speech/break:20", "responses/stall:0"]).await;
    for (stalls, wait) in [(true, STALL), (false, PATIENCE)] {
        let (arrived, end) = arrives(post(&provider, "chat/completions", &chat(true)).await, wait).await;
        let heard = words(str::from_utf8(&arrived).unwrap());
        assert!(answer().starts_with(&heard) && (20..70).contains(&heard.len()), "{heard:?}");
        match end {
            None => assert!(stalls, "it stalled"),
            Some(end) => assert!(!stalls && end.is_err(), "{end:?}"),
        }
    }
    let spoken = json!({"model": "m", "voice": "v", "input": answer(), "response_format": "pcm"});
    let (arrived, end) = arrives(post(&provider, "audio/speech", &spoken).await, PATIENCE).await;
    assert!(end.unwrap().is_err() && arrived.len() > 1_000, "{} bytes", arrived.len());
    let input = json!({"model": "m", "input": "Hello?", "stream": true});
    let (arrived, end) = arrives(post(&provider, "responses", &input).await, STALL).await;
    assert!(arrived.is_empty() && end.is_none(), "a head and nothing behind it");
    let ends = eventually_ended(&provider).await;
    assert!(ends.iter().all(|request| request.end.unwrap().0 == RequestEnd::ByUs));
}

#[tokio::test]
async fn an_answer_can_turn_into_an_error_or_into_garbage() {
    let provider = prompt(&["chat/error@1", "chat/garbage:30@2", "chat/garbage:0@3"]).await;
    let failed = text(post(&provider, "chat/completions", &chat(true)).await).await.unwrap();
    assert!(failed.contains("data: {\"error\":{") && !failed.contains("[DONE]"), "{failed}");
    let garbled = text(post(&provider, "chat/completions", &chat(true)).await).await.unwrap();
    assert!(!words(&garbled).is_empty() && garbled.ends_with("</html>\n\n"), "{garbled}");
    let garbage = text(post(&provider, "chat/completions", &chat(false)).await).await.unwrap();
    assert!(serde_json::from_str::<Value>(&garbage).is_err());
}

#[tokio::test]
async fn ten_thousand_words_come_through() {
    let provider = prompt(&["chat/words:10000"]).await;
    let said = text(post(&provider, "chat/completions", &chat(true)).await).await.unwrap();
    assert_eq!(words(&said).split(' ').count(), 10_000);
}
