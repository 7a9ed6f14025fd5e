//! The neighbours over real sockets: what they say, what they book when the other side fails them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::round::{Audio, Load, Middle, Phase, Plan};
use super::stats::Failure;
use super::{carrier, process, provider, relay};

/// Nothing here takes a second; a slow machine may take its time.
const DEADLINE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TcpStream>;

fn load(middle: Middle) -> (watch::Sender<Phase>, Arc<Load>) {
    let (phase, watched) = watch::channel(Phase::Talk);
    (phase, Arc::new(Load::new(Plan { calls: 1, seconds: 1, audio: Audio::Pcmu, middle }, watched)))
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// A client's session with a provider, past `session.created` and `conversation.created`.
async fn session(load: &Arc<Load>) -> Socket {
    let (listener, address) = listen().await;
    tokio::spawn(provider::serve(listener, Arc::clone(load)));
    let socket = TcpStream::connect(address).await.expect("the provider listens");
    let (mut socket, _) = client_async("ws://provider/v1/realtime", socket).await.expect("a handshake");
    assert_eq!(hear(&mut socket).await["type"], "session.created");
    assert_eq!(hear(&mut socket).await["type"], "conversation.created");
    socket
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("the socket is open");
}

async fn hear(socket: &mut Socket) -> Value {
    let message = timeout(DEADLINE, socket.next()).await.expect("in time").expect("open").expect("a message");
    serde_json::from_str(message.to_text().expect("text")).expect("JSON")
}

async fn hear_until(socket: &mut Socket, kind: &str) -> Vec<Value> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|event: &Value| event["type"] != kind) {
        heard.push(hear(socket).await);
    }
    heard
}

fn update(format: &str) -> Value {
    let format = json!({"format": {"type": format}});
    json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": format, "output": format}}})
}

async fn booked(load: &Load) -> Vec<(Failure, u64, String)> {
    let wait = async {
        while load.failures.count() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("a failure is booked");
    load.failures.list()
}

#[tokio::test]
async fn calls_through_a_relay_hear_each_other_and_hang_up_without_a_trace() {
    let (phase, load) = load(Middle::Relay);
    let (upstream, upstream_address) = listen().await;
    let (near, address) = listen().await;
    tokio::spawn(provider::serve(upstream, Arc::clone(&load)));
    tokio::spawn(relay::serve(near, upstream_address));
    let calls: Vec<_> = (0..5).map(|_| tokio::spawn(carrier::call(Arc::clone(&load), address))).collect();
    let talking = async {
        while load.talking() < 5 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, talking).await.expect("all talk");
    phase.send_replace(Phase::HangUp);
    for call in calls {
        timeout(DEADLINE, call).await.expect("ends").expect("without a panic");
    }
    load.all_sessions_closed().await;
    assert_eq!(load.failures.list(), []);
    let (up, down) = (load.up.reckon(), load.down.reckon());
    assert_eq!((up.doubled, up.reordered, down.doubled, down.reordered), (0, 0, 0, 0));
    assert!(up.foreign_ms == 0.0 && down.foreign_ms == 0.0);
}

#[tokio::test]
async fn the_carrier_speaks_as_twilio_does_and_echoes_marks() {
    let (phase, load) = load(Middle::Switch);
    let (listener, address) = listen().await;
    let call = tokio::spawn(carrier::call(Arc::clone(&load), address));
    let (socket, _) = listener.accept().await.expect("the carrier connects");
    let mut socket = accept_async(socket).await.expect("a handshake");

    let connected = hear(&mut socket).await;
    assert_eq!(connected, json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}));
    let start = hear(&mut socket).await;
    let stream_sid = start["streamSid"].clone();
    assert_eq!((&start["event"], &start["sequenceNumber"]), (&json!("start"), &json!("1")));
    assert_eq!(start["start"]["streamSid"], stream_sid);
    assert_eq!(
        start["start"]["mediaFormat"],
        json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1})
    );
    for (sequence, chunk, timestamp) in [("2", "1", "0"), ("3", "2", "20"), ("4", "3", "40")] {
        let mut media = hear(&mut socket).await;
        assert_eq!(media["media"]["payload"].take().as_str().map(str::len), Some(216));
        let place = json!({"track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": null});
        assert_eq!(
            media,
            json!({"event": "media", "sequenceNumber": sequence, "streamSid": stream_sid, "media": place})
        );
    }
    say(&mut socket, json!({"event": "mark", "streamSid": stream_sid, "mark": {"name": "g1:\"1\""}})).await;
    let mark = loop {
        let message = hear(&mut socket).await;
        if message["event"] != "media" {
            break message;
        }
    };
    assert_eq!((&mark["event"], &mark["mark"]["name"]), (&json!("mark"), &json!("g1:\"1\"")));
    phase.send_replace(Phase::HangUp);
    let mut last = Value::Null;
    while let Some(Ok(Message::Text(text))) = timeout(DEADLINE, socket.next()).await.expect("in time") {
        last = serde_json::from_str(&text).expect("JSON");
    }
    assert_eq!((&last["event"], &last["stop"]["callSid"]), (&json!("stop"), &start["start"]["callSid"]));
    drop(socket);
    timeout(DEADLINE, call).await.expect("ends").expect("without a panic");
    assert_eq!(load.failures.list(), []);
}

#[tokio::test]
async fn what_no_carrier_understands_is_booked_and_the_call_goes_on() {
    let (_phase, load) = load(Middle::Switch);
    let (listener, address) = listen().await;
    tokio::spawn(carrier::call(Arc::clone(&load), address));
    let mut socket = accept_async(listener.accept().await.expect("connects").0).await.expect("a handshake");
    hear(&mut socket).await;
    let stream_sid = hear(&mut socket).await["streamSid"].clone();
    socket.send(Message::binary(vec![1])).await.expect("open");
    socket.send(Message::text("no JSON")).await.expect("open");
    say(&mut socket, json!({"event": "clear", "streamSid": "MZ-of-another-call"})).await;
    say(&mut socket, json!({"event": "dtmf", "streamSid": stream_sid})).await;
    say(&mut socket, json!({"event": "media", "streamSid": stream_sid, "media": {"payload": "?"}})).await;
    say(&mut socket, json!({"event": "clear", "streamSid": stream_sid})).await;
    say(&mut socket, json!({"event": "mark", "streamSid": stream_sid, "mark": {"name": "after"}})).await;
    while hear(&mut socket).await["event"] != "mark" {}
    let failures = load.failures.list();
    assert_eq!(
        failures.iter().map(|failure| (failure.0, failure.1)).collect::<Vec<_>>(),
        [(Failure::Protocol, 5)]
    );
}

#[tokio::test]
async fn a_refused_call_and_one_closed_early_are_booked() {
    let (_phase, refused) = load(Middle::Switch);
    carrier::call(Arc::clone(&refused), process::free_address().expect("a port")).await;
    assert!(matches!(refused.failures.list()[..], [(Failure::Refused, 1, _)]));

    let (_phase, closed) = load(Middle::Switch);
    let (listener, address) = listen().await;
    tokio::spawn(carrier::call(Arc::clone(&closed), address));
    let mut socket = accept_async(listener.accept().await.expect("connects").0).await.expect("a handshake");
    socket.close(None).await.expect("open");
    assert_eq!(
        booked(&closed).await,
        [(Failure::CarrierLost, 1, "closed by the switch without a reason".into())]
    );
}

#[tokio::test]
async fn a_session_closed_before_the_hang_up_is_booked() {
    let (_phase, load) = load(Middle::Switch);
    let mut socket = session(&load).await;
    socket.close(None).await.expect("open");
    assert_eq!(
        booked(&load).await,
        [(Failure::ProviderLost, 1, "closed by the switch without a reason".into())]
    );
}

#[tokio::test]
async fn an_answer_comes_whole_in_the_order_of_the_protocol() {
    let (_phase, load) = load(Middle::Switch);
    let mut socket = session(&load).await;
    say(&mut socket, update("audio/pcmu")).await;
    let updated = hear(&mut socket).await;
    assert_eq!((&updated["type"], &updated["session"]["id"]), (&json!("session.updated"), &json!("sess_0")));
    assert_eq!(updated["session"]["audio"]["output"]["format"]["type"], "audio/pcmu");

    say(&mut socket, json!({"type": "response.create"})).await;
    let answer = hear_until(&mut socket, "response.done").await;
    let kinds: Vec<_> = answer.iter().filter_map(|event| event["type"].as_str()).collect();
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ];
    assert_eq!(kinds, expected, "the greeting of the first session is one delta long");
    // 800 bytes of mu-law are 100 ms.
    assert_eq!(answer[5]["delta"].as_str().map(str::len), Some(1_068));
    assert_eq!(answer[11]["response"]["status"], "completed");
    assert_eq!(load.failures.list(), []);
}

#[tokio::test]
async fn the_caller_is_said_to_speak_between_the_answers() {
    let (_phase, load) = load(Middle::Switch);
    let mut socket = session(&load).await;
    let mut asked = update("audio/pcmu");
    asked["session"]["audio"]["input"]["transcription"] = json!({"model": "any"});
    say(&mut socket, asked).await;
    let turn = hear_until(&mut socket, "response.created").await;
    let kinds: Vec<_> = turn.iter().filter_map(|event| event["type"].as_str()).collect();
    let expected = [
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn one_answer_at_a_time_and_none_to_cancel_are_errors_as_the_real_ones() {
    let (_phase, load) = load(Middle::Switch);
    let mut socket = session(&load).await;
    say(&mut socket, update("audio/pcmu")).await;
    say(&mut socket, json!({"type": "response.cancel"})).await;
    say(&mut socket, json!({"type": "response.create"})).await;
    say(&mut socket, json!({"type": "response.create"})).await;
    say(&mut socket, json!({"type": "response.cancel"})).await;
    let heard = hear_until(&mut socket, "response.done").await;
    let codes: Vec<_> = heard.iter().filter_map(|event| event["error"]["code"].as_str()).collect();
    assert_eq!(codes, ["response_cancel_not_active", "conversation_already_has_active_response"]);
    assert_eq!(heard.last().map(|done| &done["response"]["status"]), Some(&json!("cancelled")));
    say(
        &mut socket,
        json!({"type": "conversation.item.truncate", "item_id": "agent_0_1", "audio_end_ms": 60}),
    )
    .await;
    let truncated = hear_until(&mut socket, "conversation.item.truncated").await;
    assert_eq!(truncated.last().map(|event| &event["audio_end_ms"]), Some(&json!(60)));
}

#[tokio::test]
async fn what_a_provider_must_not_be_sent_is_booked() {
    let (_phase, load) = load(Middle::Switch);
    let mut socket = session(&load).await;
    say(&mut socket, json!({"type": "input_audio_buffer.append", "audio": "/////w=="})).await;
    say(&mut socket, update("audio/pcm")).await;
    say(&mut socket, json!({"type": "input_audio_buffer.append", "audio": "no base64"})).await;
    socket.send(Message::binary(vec![1])).await.expect("open");
    socket.send(Message::text("no JSON")).await.expect("open");
    say(&mut socket, json!({"type": "response.cancel"})).await;
    hear_until(&mut socket, "error").await;
    let expected = "to the provider: audio before the session's format was agreed";
    // Early audio, two formats, base64, binary, no JSON.
    assert_eq!(load.failures.list(), [(Failure::Protocol, 6, expected.to_owned())]);
}
