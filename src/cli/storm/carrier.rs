//! The neighbour on the telephone side: a media socket per call, as Twilio opens it, and a caller who never pauses.
//! It does not know whether a switch or a bare relay answers.
//!
//! What it plays to the caller drains at 8,000 bytes a second, and a mark comes back when everything before it has been
//! played.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::round::{Load, Phase};
use super::sockets::{self, Media};
use super::stats::{Failure, Listener, Speaker};

const FRAME: Duration = Duration::from_millis(20);
/// A byte of mu-law lasts 1 s / 8,000.
const BYTE: Duration = Duration::from_micros(125);
/// The carrier waits this long for a socket, and for its end.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const ACCOUNT_SID: &str = "AC00000000000000000000000000000000";

struct Carrier<'a> {
    load: &'a Load,
    socket: WebSocketStream<TcpStream>,
    speaker: Speaker,
    listener: Listener,
    call_sid: String,
    stream_sid: String,
    /// Messages sent since `connected`, which has no number.
    sequence: u32,
    frames: u32,
    playback: Playback,
    /// Audio of the message at hand, kept for its capacity.
    audio: Vec<u8>,
}

/// The caller's ear: what is queued for it, and the marks in between.
struct Playback {
    empty_at: Instant,
    marks: VecDeque<(Instant, String)>,
}

#[derive(Deserialize)]
struct Inbound<'a> {
    event: &'a str,
    #[serde(rename = "streamSid")]
    stream_sid: &'a str,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Places one call and holds it until the round hangs up. What goes wrong is booked.
pub(super) async fn call(load: Arc<Load>, address: SocketAddr) {
    let connected = timeout(PATIENCE, Carrier::connect(&load, address)).await;
    let carrier = match connected.map_err(anyhow::Error::from).flatten() {
        Ok(carrier) => carrier,
        Err(cause) => return load.failures.add(Failure::Refused, 1, cause.root_cause()),
    };
    match carrier.hold().await {
        Err(cause) => load.failures.add(Failure::CarrierLost, 1, cause.root_cause()),
        Ok(carrier) => {
            if timeout(PATIENCE, carrier.hang_up()).await.is_err() {
                load.failures.add(Failure::LeftOpen, 1, "the carrier's socket, 5 s after `stop`");
            }
        }
    }
}

// ---------------------------------------------------------------- Carrier

impl<'a> Carrier<'a> {
    async fn connect(load: &'a Arc<Load>, address: SocketAddr) -> Result<Self> {
        let speaker = load.up.speaker().context("more calls than can be told apart")?;
        let socket = sockets::undelayed(TcpStream::connect(address).await?)?;
        let url = format!("ws://{address}/twilio/media");
        let (socket, _) = client_async_with_config(url, socket, Some(sockets::config())).await?;
        let mut carrier = Self {
            load,
            socket,
            listener: load.down.listener(),
            call_sid: format!("CA{:032x}", speaker.id()),
            stream_sid: format!("MZ{:032x}", speaker.id()),
            speaker,
            sequence: 0,
            frames: 0,
            playback: Playback { empty_at: Instant::now(), marks: VecDeque::new() },
            audio: Vec::new(),
        };
        let connected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
        carrier.send(connected.to_string().into()).await?;
        carrier.send_start().await?;
        Ok(carrier)
    }

    /// Talks and listens until the round hangs up; an error means that the socket went first.
    async fn hold(mut self) -> Result<Self> {
        let mut frame_due = Instant::now() + phase(self.speaker.id());
        let timer = sleep_until(frame_due);
        tokio::pin!(timer);
        while self.load.phase() != Phase::HangUp {
            let due = self.playback.next_echo().map_or(frame_due, |echo| echo.min(frame_due));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                message = self.socket.next() => self.take(message.context("closed without a word")??)?,
                () = timer.as_mut() => {}
            }
            let now = Instant::now();
            while let Some(name) = self.playback.played_mark(now) {
                self.send_mark(&name).await?;
            }
            if frame_due <= now {
                frame_due += FRAME;
                if self.load.phase() == Phase::Talk {
                    self.send_frame().await?;
                }
            }
        }
        Ok(self)
    }

    /// Says `stop`, closes, and waits for the other side to do the same.
    async fn hang_up(mut self) {
        let stop = json!({"accountSid": ACCOUNT_SID, "callSid": self.call_sid});
        if self.send_numbered("stop", &stop).await.is_ok() && self.socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }

    fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Text(text) => {
                if let Err(cause) = self.take_text(&text) {
                    self.load.failures.add(Failure::Protocol, 1, format_args!("to the carrier: {cause:#}"));
                }
            }
            Message::Close(Some(frame)) => bail!("closed by the switch: {frame}"),
            Message::Close(None) => bail!("closed by the switch without a reason"),
            Message::Binary(_) => {
                self.load.failures.add(Failure::Protocol, 1, "to the carrier: a binary message");
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn take_text(&mut self, text: &str) -> Result<()> {
        let inbound: Inbound = serde_json::from_str(text).context("unreadable")?;
        ensure!(inbound.stream_sid == self.stream_sid, "the stream {} is not this one", inbound.stream_sid);
        let now = Instant::now();
        match (inbound.event, inbound.media, inbound.mark) {
            ("media", Some(media), _) => {
                sockets::audio_of(media.payload, &mut self.audio)?;
                self.listener.hear(&self.audio, now);
                self.playback.queue(self.audio.len(), now);
            }
            ("mark", _, Some(mark)) => self.playback.mark(mark.name.into_owned(), now),
            ("clear", ..) => self.playback.clear(now),
            (event, ..) => return Err(anyhow!("no carrier knows {event:?}")),
        }
        Ok(())
    }

    async fn send_start(&mut self) -> Result<()> {
        let start = json!({
            "accountSid": ACCOUNT_SID, "streamSid": self.stream_sid, "callSid": self.call_sid, "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}, "customParameters": {},
        });
        self.send_numbered("start", &start).await
    }

    async fn send_mark(&mut self, name: &str) -> Result<()> {
        self.send_numbered("mark", &json!({"name": name})).await
    }

    async fn send_numbered(&mut self, event: &str, body: &serde_json::Value) -> Result<()> {
        self.sequence += 1;
        let sequence = self.sequence.to_string();
        let message =
            json!({"event": event, "sequenceNumber": sequence, "streamSid": self.stream_sid, event: body});
        self.send(message.to_string().into()).await
    }

    async fn send_frame(&mut self) -> Result<()> {
        self.sequence += 1;
        self.frames += 1;
        let mut before = String::with_capacity(192);
        write!(
            before,
            r#"{{"event":"media","sequenceNumber":"{}","streamSid":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","payload":""#,
            self.sequence,
            self.stream_sid,
            self.frames,
            u128::from(self.frames - 1) * FRAME.as_millis(),
        )?;
        self.audio.clear();
        self.speaker.speak(1, Instant::now(), &mut self.audio);
        self.send(sockets::audio_text(&before, &self.audio, r#""}}"#)).await
    }

    async fn send(&mut self, text: Utf8Bytes) -> Result<()> {
        Ok(self.socket.send(Message::Text(text)).await?)
    }
}

// ---------------------------------------------------------------- Playback

impl Playback {
    fn queue(&mut self, bytes: usize, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.empty_at = self.empty_at.max(now) + BYTE * bytes;
    }

    fn mark(&mut self, name: String, now: Instant) {
        self.marks.push_back((self.empty_at.max(now), name));
    }

    /// Nothing is left to play, so every mark has been reached.
    fn clear(&mut self, now: Instant) {
        self.empty_at = now;
        self.marks.iter_mut().for_each(|(due, _)| *due = now);
    }

    fn next_echo(&self) -> Option<Instant> {
        self.marks.front().map(|(due, _)| *due)
    }

    fn played_mark(&mut self, now: Instant) -> Option<String> {
        self.marks.pop_front_if(|(due, _)| *due <= now).map(|(_, name)| name)
    }
}

/// Callers do not speak in step: each has its own place within the 20 ms, spread by steps of the golden section (0.618
/// x 20). The runtime's timers round it up to a millisecond, as a busy network would.
fn phase(call: u32) -> Duration {
    Duration::from_micros(u64::from(call) * 12_361 % 20_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playback(now: Instant) -> Playback {
        Playback { empty_at: now, marks: VecDeque::new() }
    }

    #[test]
    fn a_mark_returns_when_everything_before_it_has_been_played() {
        let now = Instant::now();
        let mut playback = playback(now);
        playback.queue(800, now);
        playback.mark("first".into(), now);
        playback.queue(1_600, now);
        playback.mark("second".into(), now);
        let ms = |ms| now + Duration::from_millis(ms);
        assert_eq!(playback.played_mark(ms(99)), None);
        assert_eq!(playback.played_mark(ms(100)).as_deref(), Some("first"));
        assert_eq!(playback.next_echo(), Some(ms(300)));
        assert_eq!(playback.played_mark(ms(300)).as_deref(), Some("second"));
    }

    #[test]
    fn callers_speak_spread_over_the_frame() {
        let mut phases: Vec<_> = (0..200).map(phase).collect();
        phases.sort();
        let gaps = phases.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        // 200 callers in 20 ms: 0.1 ms apart on average; the golden section never leaves more than twice that.
        assert!(phases[199] < FRAME && gaps.max() < Some(Duration::from_micros(200)));
    }

    #[test]
    fn a_mark_in_an_empty_queue_and_marks_at_a_clear_return_at_once() {
        let now = Instant::now();
        let mut playback = playback(now);
        playback.mark("empty".into(), now);
        playback.queue(8_000, now);
        playback.mark("queued".into(), now);
        assert_eq!(playback.played_mark(now).as_deref(), Some("empty"));
        assert_eq!(playback.played_mark(now), None);
        playback.clear(now);
        assert_eq!(playback.played_mark(now).as_deref(), Some("queued"));
        playback.queue(8, now);
        assert_eq!(playback.empty_at, now + Duration::from_millis(1));
    }
}
