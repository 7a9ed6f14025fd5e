//! The simulated provider as a client on a socket meets it: upgrades, endings, and every fault that can be
//! ordered.

use std::{io, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tandem_sim::{
    provider::{Fault, Provider, ProviderOptions, SocketEnd},
    speech,
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

mod http;
mod trouble;

/// How long anything that has to happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn provider(faults: &[&str]) -> Provider {
    let faults = faults.iter().map(|spec| spec.parse::<Fault>().unwrap()).collect();
    let options = ProviderOptions {
        faults,
        first_audio_delay: Duration::from_millis(20),
        ..ProviderOptions::default()
    };
    Provider::start(ProviderOptions { speed: f32::INFINITY, ..options }).await.unwrap()
}

struct Client(WebSocketStream<TcpStream>);

/// Connects as a proper client would, with changes to the headers.
async fn try_connect(
    provider: &Provider,
    query: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<Client, Error> {
    let mut request = format!("{}{query}", provider.realtime_url()).into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    let tcp = TcpStream::connect(provider.addr()).await?;
    Ok(Client(timeout(PATIENCE, client_async(request, tcp)).await.expect("an answer to the upgrade")?.0))
}

const KEY: (&str, &str) = ("authorization", "Bearer sk-test");

async fn connect(provider: &Provider) -> Client {
    try_connect(provider, "?model=gpt-realtime-2.1", &[KEY]).await.unwrap()
}

impl Client {
    async fn send(&mut self, event: Value) {
        self.0.send(Message::text(event.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Option<Result<Message, Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("something to happen")
    }

    /// The next event of a kind, past all others.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let message =
                self.next().await.unwrap_or_else(|| panic!("the socket ended before {kind}")).unwrap();
            let Message::Text(text) = message else { panic!("{message:?} before {kind}") };
            let event: Value = serde_json::from_str(&text).unwrap();
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// Reads to the end: the close code, or how it broke.
    async fn end(&mut self) -> Result<u16, Error> {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(frame))) => return Ok(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(Error::ConnectionClosed),
            }
        }
    }

    async fn use_phone_audio(&mut self) {
        let pcmu = json!({"format": {"type": "audio/pcmu"}});
        let session = json!({"type": "realtime", "audio": {"input": pcmu, "output": pcmu}});
        self.send(json!({"type": "session.update", "session": session})).await;
        self.until("session.updated").await;
    }
}

fn is_reset(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

async fn eventually_no_session_is_open(provider: &Provider) {
    let closed = async {
        while provider.open_sessions() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.expect("all sessions to close");
}

// -------------------------------------------------------------------------------------------------- sessions

async fn a_conversation() {
    let provider = provider(&[]).await;
    let mut client = connect(&provider).await;
    assert_eq!(client.until("session.created").await["session"]["model"], "gpt-realtime-2.1");
    client.use_phone_audio().await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await;
    let question = speech::sentence("castle").unwrap().audio;
    let line = [&[0xFF; 1_600][..], question, &[0xFF; 8_000]].concat();
    for frame in line.chunks(160) {
        client
            .send(json!({"type": "input_audio_buffer.append", "audio": BASE64_STANDARD.encode(frame)}))
            .await;
    }
    client.until("input_audio_buffer.speech_started").await;
    let done = client.until("response.done").await;
    let answer = speech::sentence("late-arrival").unwrap();
    assert_eq!(done["response"]["output"][0]["content"][0]["transcript"], answer.text);
    client.0.close(None).await.unwrap();
    eventually_no_session_is_open(&provider).await;
    let sessions = provider.sessions();
    let session = &sessions[0];
    assert_eq!(sessions.len(), 1);
    assert_eq!(session.audio, line);
    assert_eq!((session.turns.len(), session.responses.len()), (1, 2));
    assert_eq!(session.responses[1].generated_ms, answer.audio.len() as u64 / 8);
    assert_eq!(session.client_events.len() as u64, session.appends + 2);
    assert_eq!((session.violations.len(), session.errors_sent.len()), (0, 0));
    assert_eq!(session.end, Some(SocketEnd::Closed { code: 1005, reason: String::new() }));
    provider.stop().await;
}

#[tokio::test]
async fn a_conversation_works_on_one_thread() {
    a_conversation().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_works_on_several_threads() {
    a_conversation().await;
}

#[tokio::test]
async fn an_upgrade_without_what_it_needs_is_refused() {
    let provider = provider(&[]).await;
    for (query, headers, status) in [
        ("?model=m", &[][..], 401),
        ("", &[KEY], 400),
        ("/sessions?model=m", &[KEY], 404),
        ("?intent=transcription", &[KEY], 400),
    ] {
        match try_connect(&provider, query, headers).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{query}"),
            other => panic!("{query}: {:?}", other.map(|_| "connected")),
        }
    }
    assert_eq!((provider.sessions().len(), provider.connections()), (0, 4));
}

#[tokio::test]
async fn only_the_configured_key_is_accepted() {
    let options = ProviderOptions { api_key: Some("sk-right".to_owned()), ..ProviderOptions::default() };
    let provider = Provider::start(options).await.unwrap();
    assert!(
        matches!(try_connect(&provider, "?model=m", &[KEY]).await, Err(Error::Http(response)) if response.status() == 401)
    );
    assert!(try_connect(&provider, "?model=m", &[("authorization", "Bearer sk-right")]).await.is_ok());
    let browser = ("sec-websocket-protocol", "realtime, openai-insecure-api-key.sk-right");
    assert!(try_connect(&provider, "?model=m", &[browser]).await.is_ok());
}

#[tokio::test]
async fn the_beta_dialect_is_shut_off_unless_it_is_wanted() {
    let beta = ("openai-beta", "realtime=v1");
    let modern = provider(&[]).await;
    let mut client = try_connect(&modern, "?model=m", &[KEY, beta]).await.unwrap();
    assert_eq!(client.until("error").await["error"]["code"], "beta_api_shape_disabled");
    assert_eq!(client.end().await.unwrap(), 4000);
    assert_eq!(modern.sessions().len(), 0);

    let options =
        ProviderOptions { beta: true, first_audio_delay: Duration::ZERO, ..ProviderOptions::default() };
    let lenient = Provider::start(options).await.unwrap();
    let mut client = try_connect(&lenient, "?model=m", &[KEY, beta]).await.unwrap();
    assert_eq!(client.until("session.created").await["session"]["input_audio_format"], "pcm16");
    client.send(json!({"type": "session.update", "session": {"output_audio_format": "g711_ulaw", "voice": "echo"}})).await;
    assert_eq!(client.until("session.updated").await["session"]["output_audio_format"], "g711_ulaw");
    client.send(json!({"type": "response.create", "response": {"modalities": ["audio", "text"]}})).await;
    assert_eq!(client.until("conversation.item.created").await["item"]["role"], "assistant");
    client.until("response.audio.delta").await;
    let done = client.until("response.done").await;
    assert_eq!(done["response"]["output"][0]["content"][0]["type"], "audio");
    assert_eq!(done["response"]["modalities"], json!(["audio", "text"]));
    let mut modern = connect(&lenient).await;
    assert_eq!(modern.until("session.created").await["session"]["type"], "realtime");
}

#[tokio::test]
async fn pings_are_answered() {
    let provider = provider(&[]).await;
    let mut client = connect(&provider).await;
    client.0.send(Message::Ping("hello".into())).await.unwrap();
    loop {
        if let Message::Pong(payload) = client.next().await.unwrap().unwrap() {
            assert_eq!(&payload[..], b"hello");
            return;
        }
    }
}

#[tokio::test]
async fn stopping_closes_every_socket_and_frees_the_port() {
    let provider = provider(&["half-open-after:0@2"]).await;
    let mut live = connect(&provider).await;
    let mut half_open = connect(&provider).await;
    live.until("session.created").await;
    let addr = provider.addr();
    provider.stop().await;
    assert_eq!(live.end().await.unwrap(), 1001);
    assert!(half_open.end().await.is_err(), "cut, without a close frame");
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_dropped_provider_leaves_nothing_behind() {
    let provider = provider(&[]).await;
    let mut client = connect(&provider).await;
    client.until("session.created").await;
    drop(provider);
    assert!(client.end().await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_nothing() {
    let provider = provider(&[]).await;
    let mut client = connect(&provider).await;
    client.use_phone_audio().await;
    for _ in 0..40 {
        let response = json!({"conversation": "none"});
        client.send(json!({"type": "response.create", "response": response})).await;
    }
    // 40 responses of 32 KB of audio fill every buffer on the way, while the client only writes.
    for _ in 0..200 {
        client
            .send(json!({"type": "input_audio_buffer.append", "audio": BASE64_STANDARD.encode([0xFF; 160])}))
            .await;
    }
    let mut bytes = 0;
    for _ in 0..40 {
        let mut response = String::new();
        while response != "response.done" {
            let Message::Text(text) = client.next().await.unwrap().unwrap() else { continue };
            let event: Value = serde_json::from_str(&text).unwrap();
            event["type"].as_str().unwrap().clone_into(&mut response);
            bytes += event["delta"]
                .as_str()
                .filter(|_| response == "response.output_audio.delta")
                .map_or(0, |delta| BASE64_STANDARD.decode(delta).unwrap().len());
        }
    }
    assert_eq!(bytes, 40 * speech::sentence("greeting").unwrap().audio.len());
}

// ---------------------------------------------------------------------------------------------------- faults

#[tokio::test]
async fn a_refused_connection_is_gone_before_it_is_upgraded() {
    let provider = provider(&["refuse"]).await;
    assert!(try_connect(&provider, "?model=m", &[KEY]).await.is_err());
    assert_eq!((provider.connections(), provider.sessions().len()), (1, 0));
}

#[tokio::test]
async fn an_upgrade_is_answered_with_the_ordered_status() {
    let provider = provider(&["http:401@1", "http:429@2", "http:503@3"]).await;
    for status in [401, 429, 503] {
        match try_connect(&provider, "?model=m", &[KEY]).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), status);
                let body: Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
                assert!(body["error"]["code"].is_string(), "{body}");
            }
            other => panic!("{status}: {:?}", other.map(|_| "connected")),
        }
    }
    connect(&provider).await.until("session.created").await;
}

#[tokio::test]
async fn delays_are_kept() {
    let provider = provider(&["delay:150@1", "session-delay:200@2"]).await;
    let began = Instant::now();
    connect(&provider).await;
    assert!(began.elapsed() >= Duration::from_millis(150));
    let mut late = connect(&provider).await;
    let began = Instant::now();
    late.until("session.created").await;
    // The session opened a moment before its client knew.
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
}

/// Nothing comes for half a second, whatever is sent.
async fn is_silent(client: &mut Client) -> bool {
    client.send(json!({"type": "response.create"})).await;
    timeout(Duration::from_millis(500), client.0.next()).await.is_err()
}

#[tokio::test]
async fn a_stalled_session_says_nothing_more_but_answers_pings() {
    let provider = provider(&["stall@1", "stall-after:0.2@2"]).await;
    let mut stalled = connect(&provider).await;
    assert!(is_silent(&mut stalled).await);
    stalled.0.send(Message::Ping("still there?".into())).await.unwrap();
    assert!(matches!(stalled.next().await, Some(Ok(Message::Pong(_)))));
    let mut later = connect(&provider).await;
    later.until("session.created").await;
    later.until("conversation.created").await;
    tokio::time::sleep_until(provider.sessions()[1].opened_at + Duration::from_millis(250)).await;
    assert!(is_silent(&mut later).await);
}

#[tokio::test]
async fn a_half_open_socket_answers_nothing_at_all() {
    let provider = provider(&["half-open-after:0.1"]).await;
    let mut client = connect(&provider).await;
    client.until("conversation.created").await;
    eventually_no_session_is_open(&provider).await;
    client.0.send(Message::Ping("still there?".into())).await.unwrap();
    assert!(is_silent(&mut client).await);
    assert_eq!(provider.sessions()[0].end, Some(SocketEnd::ByUs("half-open")));
}

#[tokio::test]
async fn sessions_end_in_the_ordered_ways() {
    let provider = provider(&["drop-after:0.1@1", "reset-after:0.1@2", "expire-after:0.1@3"]).await;
    assert_eq!(connect(&provider).await.end().await.unwrap(), 1011);
    let error = connect(&provider).await.end().await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    let mut expiring = connect(&provider).await;
    assert_eq!(expiring.until("error").await["error"]["code"], "session_expired");
    assert_eq!(expiring.end().await.unwrap(), 1001);
    eventually_no_session_is_open(&provider).await;
    let ends: Vec<_> = provider.sessions().into_iter().map(|session| session.end.unwrap()).collect();
    assert_eq!(ends, ["drop", "reset", "expired"].map(SocketEnd::ByUs));
}

#[tokio::test]
async fn garbage_comes_between_events_and_the_session_goes_on() {
    let provider = provider(&["garbage-after:0"]).await;
    let mut client = connect(&provider).await;
    client.send(json!({"type": "response.create"})).await;
    let (mut binary, mut not_json, mut odd, mut audio) = (0, 0, 0, 0);
    loop {
        match client.next().await.unwrap().unwrap() {
            Message::Binary(_) => binary += 1,
            Message::Text(text) => match serde_json::from_str::<Value>(&text) {
                Err(_) => not_json += 1,
                Ok(event) => match event["type"].as_str() {
                    Some("response.done") => break,
                    Some("response.output_audio.delta") if event["delta"].is_string() => audio += 1,
                    Some(known) if !known.contains("rumour") && event["event_id"].is_string() => {}
                    _ => odd += 1,
                },
            },
            other => panic!("{other:?}"),
        }
    }
    assert!(binary > 1 && not_json > 1 && odd > 3 && audio > 5, "{binary} {not_json} {odd} {audio}");
}

#[tokio::test]
async fn a_port_in_use_is_said_at_the_start() {
    let provider = provider(&[]).await;
    let options = ProviderOptions { listen: provider.addr(), ..ProviderOptions::default() };
    assert_eq!(Provider::start(options).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
