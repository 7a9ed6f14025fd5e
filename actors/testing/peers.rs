//! The far ends of a call's sockets: what a test says as the carrier and as the provider.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytestring::ByteString;
use futures_util::{Sink, StreamExt};
use serde_json::{Value, json};
use tandem_media::frame::G711Frame;
use tokio::sync::mpsc;

use crate::ports::{Outgoing, Socket, SocketError, SocketItem};

/// The far end of one socket. Dropping it is a lost connection.
pub struct Peer {
    to_us: Option<mpsc::UnboundedSender<SocketItem>>,
    from_us: mpsc::UnboundedReceiver<Outgoing>,
}

/// A socket in memory, and its far end.
pub fn socket_pair() -> (Socket, Peer) {
    let (to_us, inbox) = mpsc::unbounded_channel();
    let (outbox, from_us) = mpsc::unbounded_channel();
    let reader =
        futures_util::stream::unfold(inbox, |mut inbox: mpsc::UnboundedReceiver<SocketItem>| async {
            inbox.recv().await.map(|item| (item, inbox))
        });
    let socket = Socket { reader: reader.boxed_local(), sink: Box::pin(MemorySink(outbox)) };
    (socket, Peer { to_us: Some(to_us), from_us })
}

struct MemorySink(mpsc::UnboundedSender<Outgoing>);

impl Sink<Outgoing> for MemorySink {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> Result<(), SocketError> {
        self.0.send(item).map_err(|_| SocketError::Transport("peer is gone".to_owned()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }
}

impl Peer {
    pub fn send(&self, item: SocketItem) {
        if let Some(to_us) = &self.to_us {
            to_us.send(item).ok(); // the call may have closed first
        }
    }

    pub fn say(&self, json: &Value) {
        self.send(SocketItem::Text(ByteString::from(json.to_string())));
    }

    /// Breaks the connection from the far end.
    pub fn lose(&mut self) {
        self.send(SocketItem::Lost(SocketError::Transport("reset by peer".to_owned())));
        self.to_us = None;
    }

    /// The next message from the call; nothing when its end is gone.
    pub async fn next(&mut self) -> Option<Outgoing> {
        self.from_us.recv().await
    }

    /// Messages that have come until now.
    pub fn drain(&mut self) -> Vec<Outgoing> {
        std::iter::from_fn(|| self.from_us.try_recv().ok()).collect()
    }

    /// The same, texts only, parsed.
    pub fn drain_json(&mut self) -> Vec<Value> {
        self.drain().iter().filter_map(parse).collect()
    }

    /// Whether the call has let go of the socket.
    pub fn is_gone(&mut self) -> bool {
        loop {
            match self.from_us.try_recv() {
                Ok(_) => {}
                Err(error) => return error == mpsc::error::TryRecvError::Disconnected,
            }
        }
    }
}

fn parse(outgoing: &Outgoing) -> Option<Value> {
    match outgoing {
        Outgoing::Text(text) => Some(serde_json::from_str(text).expect("the call writes JSON")),
        Outgoing::Ping | Outgoing::Close { .. } => None,
    }
}

/// A carrier's end. It plays nothing and echoes marks only when told to.
pub struct CarrierPeer {
    pub peer: Peer,
    pub stream_sid: String,
    sent_ms: u64,
}

impl CarrierPeer {
    pub fn new(peer: Peer, stream_sid: String) -> Self {
        Self { peer, stream_sid, sent_ms: 0 }
    }

    /// Sends so much of the caller's audio at once: frames whose bytes all are `code`.
    pub fn speak(&mut self, ms: u64, code: u8) {
        for _ in 0..ms / 20 {
            self.send_frame(&G711Frame::from_slice(&[code; 160]));
        }
    }

    pub fn send_frame(&mut self, frame: &G711Frame) {
        let mut payload = String::new();
        tandem_wire::audio::encode_append(&mut payload, frame.as_slice());
        self.peer.say(&json!({
            "event": "media", "streamSid": self.stream_sid,
            "media": {"track": "inbound", "timestamp": self.sent_ms.to_string(), "payload": payload}
        }));
        self.sent_ms += 20;
    }

    pub fn echo(&self, name: &str) {
        self.peer.say(&json!({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}}));
    }

    pub fn hang_up(&self) {
        self.peer.say(&json!({"event": "stop", "streamSid": self.stream_sid}));
    }
}

/// A provider's end, with just enough protocol to get a session going.
pub struct ProviderPeer {
    pub peer: Peer,
}

impl ProviderPeer {
    /// Opens the session and agrees to what is asked. Returns the settings that were asked for.
    pub async fn agree(&mut self) -> Value {
        self.peer.say(&json!({"type": "session.created", "event_id": "e1", "session": {"id": "sess_1"}}));
        let update = self.expect("session.update").await;
        self.peer.say(&json!({
            "type": "session.updated", "event_id": "e2",
            "session": {"id": "sess_1", "audio": update["session"]["audio"]}
        }));
        update["session"].clone()
    }

    /// Waits for an event of this type, passing over others.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let wait = async {
            loop {
                let outgoing = self.peer.next().await.expect("the engine keeps its socket");
                if let Some(event) = parse(&outgoing).filter(|event| event["type"] == kind) {
                    return event;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap_or_else(|_| panic!("no {kind} came"))
    }

    pub fn response_created(&self, response: &str) {
        self.peer.say(&json!({
            "type": "response.created", "event_id": "e",
            "response": {"id": response, "status": "in_progress"}
        }));
    }

    /// Sends so much of the agent's audio at once, as mu-law in deltas of 100 ms.
    pub fn audio(&self, response: &str, item: &str, ms: u64) {
        for _ in 0..ms / 100 {
            self.delta(response, item, &[0x55; 800]);
        }
    }

    pub fn delta(&self, response: &str, item: &str, bytes: &[u8]) {
        let mut delta = String::new();
        tandem_wire::audio::encode_append(&mut delta, bytes);
        self.peer.say(&json!({
            "type": "response.output_audio.delta", "event_id": "e", "response_id": response,
            "item_id": item, "output_index": 0, "content_index": 0, "delta": delta
        }));
    }

    pub fn audio_done(&self, response: &str, item: &str) {
        self.peer.say(&json!({
            "type": "response.output_audio.done", "event_id": "e", "response_id": response,
            "item_id": item, "output_index": 0, "content_index": 0
        }));
    }

    pub fn response_done(&self, response: &str, status: &str) {
        self.peer.say(&json!({
            "type": "response.done", "event_id": "e", "response": {"id": response, "status": status}
        }));
    }

    pub fn transcript(&self, response: &str, item: &str, transcript: &str) {
        self.peer.say(&json!({
            "type": "response.output_audio_transcript.done", "event_id": "e", "response_id": response,
            "item_id": item, "output_index": 0, "content_index": 0, "transcript": transcript
        }));
    }

    /// A whole response at once.
    pub fn respond(&self, response: &str, item: &str, ms: u64) {
        self.response_created(response);
        self.audio(response, item, ms);
        self.audio_done(response, item);
        self.response_done(response, "completed");
    }

    pub fn speech_started(&self, item: &str) {
        self.peer.say(&json!({
            "type": "input_audio_buffer.speech_started", "event_id": "e", "item_id": item, "audio_start_ms": 0
        }));
    }

    pub fn speech_stopped(&self, item: &str) {
        self.peer.say(&json!({
            "type": "input_audio_buffer.speech_stopped", "event_id": "e", "item_id": item, "audio_end_ms": 0
        }));
    }

    pub fn error(&self, kind: &str, code: &str) {
        self.peer.say(&json!({
            "type": "error", "event_id": "e", "error": {"type": kind, "code": code, "message": "told by the test"}
        }));
    }

    /// Caller frames that came in appends until now, as their bytes.
    pub fn heard(&mut self) -> Vec<u8> {
        let mut audio = Vec::new();
        for event in self.peer.drain_json() {
            if event["type"] == "input_audio_buffer.append" {
                let text = event["audio"].as_str().expect("appends carry audio");
                let at = audio.len();
                audio.resize(at + tandem_wire::audio::decoded_len(text), 0);
                tandem_wire::audio::decode_into(text, &mut audio[at..]).expect("the engine writes base64");
            }
        }
        audio
    }
}
