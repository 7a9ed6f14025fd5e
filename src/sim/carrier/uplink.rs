//! What the carrier says on a stream's socket, and when: the caller's audio in frames on one absolute
//! schedule, keys, and the oddities that were ordered.
//!
//! Knows no socket and no clock: times are since the stream's `start`, and it is asked what is due.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tandem_media::g711;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::{
    fault::CarrierFault,
    network::{Link, Network},
};
use crate::speech;

/// Recurring oddities: the first, and the time between two.
const ODD_FIRST: Duration = Duration::from_millis(500);
const ODD_EVERY: Duration = Duration::from_secs(1);

/// Ids a stream carries in its messages.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) account: String,
    pub(crate) call: String,
    pub(crate) stream: String,
}

#[derive(Debug)]
pub(crate) struct Uplink<'a> {
    ids: Ids,
    /// The caller, from this stream's `start` on.
    caller: &'a [i16],
    faults: &'a [CarrierFault],
    frame: Duration,
    link: Link,
    sequence: u64,
    chunk: u64,
    /// Frames captured so far, whether they got through or not.
    captured: u32,
    odd_next: Duration,
    keys: VecDeque<(Duration, char)>,
    second_start_due: bool,
    big_message_due: bool,
    under_way: VecDeque<(Duration, Saying)>,
}

/// What is on its way through the network. Numbers are given when it comes out.
#[derive(Debug)]
enum Saying {
    Frame { timestamp: Duration, audio: Vec<u8> },
    Key(char),
    Oddities,
}

/// A message, with what the record should say of it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) message: Message,
    pub(crate) key: Option<char>,
}

impl<'a> Uplink<'a> {
    pub(crate) fn new(
        ids: Ids,
        caller: &'a [i16],
        keys: VecDeque<(Duration, char)>,
        network: Network,
        faults: &'a [CarrierFault],
    ) -> Self {
        let frame_ms = faults
            .iter()
            .find_map(|fault| if let CarrierFault::FrameMs(ms) = fault { Some(*ms) } else { None });
        Self {
            ids,
            caller,
            faults,
            frame: Duration::from_millis(frame_ms.unwrap_or(20).into()),
            link: Link::new(network),
            sequence: 0,
            chunk: 0,
            captured: 0,
            odd_next: ODD_FIRST,
            keys,
            second_start_due: faults.contains(&CarrierFault::SecondStart),
            big_message_due: faults.contains(&CarrierFault::BigMessage),
            under_way: VecDeque::new(),
        }
    }

    fn has(&self, fault: CarrierFault) -> bool {
        self.faults.contains(&fault)
    }

    pub(crate) fn connected() -> Message {
        text(&json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
    }

    /// `start`, with what a fault puts before it.
    pub(crate) fn opening(&mut self, parameters: &[(String, String)]) -> Vec<Message> {
        let mut opening = Vec::new();
        if self.has(CarrierFault::MediaBeforeStart) {
            opening.extend((0..10).map(|_| self.media(Duration::ZERO, &[0xFF; 160])));
        }
        opening.push(self.start(parameters));
        opening
    }

    fn start(&mut self, parameters: &[(String, String)]) -> Message {
        let parameters: serde_json::Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut start = json!({"streamSid": self.ids.stream, "callSid": self.ids.call});
        if self.has(CarrierFault::BareStart) {
            if !parameters.is_empty() {
                start["customParameters"] = Value::Object(parameters);
            }
            return text(&json!({"event": "start", "start": start}));
        }
        start["accountSid"] = json!(self.ids.account);
        start["tracks"] = json!(["inbound"]);
        start["mediaFormat"] = json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1});
        start["customParameters"] = Value::Object(parameters);
        self.numbered(json!({"event": "start", "start": start}))
    }

    pub(crate) fn stop(&mut self) -> Message {
        let stop = json!({"accountSid": self.ids.account, "callSid": self.ids.call});
        self.numbered(json!({"event": "stop", "stop": stop}))
    }

    pub(crate) fn mark(&mut self, name: &str) -> Message {
        self.numbered(json!({"event": "mark", "mark": {"name": name}}))
    }

    /// When [`Uplink::due`] has something to give.
    pub(crate) fn next_at(&self) -> Duration {
        let captured_at = self.frame * (self.captured + 1);
        self.under_way.front().map_or(captured_at, |(at, _)| captured_at.min(*at))
    }

    /// Everything that gets through by `now`, in order.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<Sent> {
        while self.frame * (self.captured + 1) <= now {
            self.capture();
        }
        let mut sent = Vec::new();
        while let Some((_, saying)) = self.under_way.pop_front_if(|(at, _)| *at <= now) {
            match saying {
                Saying::Frame { timestamp, audio } => {
                    sent.push(Sent { message: self.media(timestamp, &audio), key: None });
                }
                Saying::Key(digit) => {
                    let dtmf = json!({"track": "inbound_track", "digit": digit.to_string()});
                    let message = self.numbered(json!({"event": "dtmf", "dtmf": dtmf}));
                    sent.push(Sent { message, key: Some(digit) });
                }
                Saying::Oddities => {
                    sent.extend(self.oddities().into_iter().map(|message| Sent { message, key: None }));
                }
            }
        }
        sent
    }

    /// The next frame has been heard in full, and goes its way with whatever happened meanwhile.
    fn capture(&mut self) {
        let timestamp = self.frame * self.captured;
        self.captured += 1;
        let ready = self.frame * self.captured;
        while let Some((_, digit)) = self.keys.pop_front_if(|(at, _)| *at <= ready) {
            self.send(ready, Saying::Key(digit));
        }
        let from = speech::samples_in(timestamp);
        let spoken = self.caller.get(from..).unwrap_or_default().iter().copied();
        let audio = spoken.chain(std::iter::repeat(0)).take(speech::samples_in(self.frame));
        let audio = audio.map(g711::ulaw_encode).collect();
        self.send(ready, Saying::Frame { timestamp, audio });
        if ready >= self.odd_next {
            self.odd_next += ODD_EVERY;
            self.send(ready, Saying::Oddities);
        }
    }

    fn send(&mut self, at: Duration, saying: Saying) {
        let is_audio = matches!(saying, Saying::Frame { .. });
        if let Some(arrival) = self.link.arrival(at, is_audio) {
            self.under_way.push_back((arrival, saying));
        }
    }

    fn oddities(&mut self) -> Vec<Message> {
        let mut odd = Vec::new();
        if self.has(CarrierFault::Garbage) {
            odd.push(Message::text("not JSON at all"));
            odd.push(Message::text(r#"["media"]"#));
            odd.push(Message::text(r#"{"media":{"payload":"//8="}}"#));
        }
        if self.has(CarrierFault::UnknownEvents) {
            odd.push(text(&json!({"event": "user_speech_started", "streamSid": self.ids.stream})));
            odd.push(text(&json!({"event": "clear", "streamSid": self.ids.stream})));
            odd.push(text(
                &json!({"event": "mark", "streamSid": self.ids.stream, "mark": {"name": "never sent"}}),
            ));
        }
        if self.has(CarrierFault::Binary) {
            odd.push(Message::binary(Bytes::from_static(&[0; 160])));
        }
        let media = |sid: &str, payload: &str| {
            text(&json!({"event": "media", "streamSid": sid, "media": {"payload": payload}}))
        };
        if self.has(CarrierFault::WrongSid) {
            odd.push(media("MZ00000000000000000000000000000bad", &BASE64_STANDARD.encode([0; 160])));
        }
        if self.has(CarrierFault::BadBase64) {
            odd.push(media(&self.ids.stream, "%%% this is not base64 %%%"));
        }
        if std::mem::take(&mut self.big_message_due) {
            odd.push(text(&json!({"event": "note", "text": "x".repeat(1 << 20)})));
        }
        if std::mem::take(&mut self.second_start_due) {
            let first =
                std::mem::replace(&mut self.ids.stream, "MZ000000000000000000000000000second".to_owned());
            odd.push(self.start(&[]));
            self.ids.stream = first;
        }
        odd
    }

    /// Written out, for the order of the real one's fields is one that readers may have been tuned to.
    fn media(&mut self, timestamp: Duration, audio: &[u8]) -> Message {
        let (sid, payload) = (&self.ids.stream, BASE64_STANDARD.encode(audio));
        if self.has(CarrierFault::NoTimestamps) {
            let media =
                format!(r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"{payload}"}}}}"#);
            return Message::text(media);
        }
        self.sequence += 1;
        self.chunk += 1;
        let [sequence, chunk, timestamp] =
            [u128::from(self.sequence), u128::from(self.chunk), timestamp.as_millis()]
                .map(|number| self.number(number));
        Message::text(format!(
            r#"{{"event":"media","sequenceNumber":{sequence},"streamSid":"{sid}","media":{{"track":"inbound","chunk":{chunk},"timestamp":{timestamp},"payload":"{payload}"}}}}"#
        ))
    }

    fn numbered(&mut self, mut message: Value) -> Message {
        self.sequence += 1;
        message["sequenceNumber"] = self.number(self.sequence.into());
        message["streamSid"] = json!(self.ids.stream);
        text(&message)
    }

    fn number(&self, number: u128) -> Value {
        if self.has(CarrierFault::Numbers) {
            json!(u64::try_from(number).unwrap_or(u64::MAX))
        } else {
            json!(number.to_string())
        }
    }
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}
