//! One media stream as the carrier lives it: frames out on the clock, audio in to the caller's ear, marks
//! told when they are true.
//!
//! Knows no webhooks and no documents. It ends when the switch closes it, the caller hangs up, or a fault
//! strikes.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes,
        client::IntoClientRequest,
        http::{HeaderValue, header},
    },
};

use super::{
    CallEnd, CallPlan, CarrierEvent, Clear,
    fault::CarrierFault,
    line::Line,
    log::Log,
    playback::{Playback, TICK_BYTES},
    uplink::{Ids, Uplink},
};
use crate::duplex::{self, Duplex, Incoming, SocketEnd};

/// Length of a tick: the carrier plays, and the ear hears, in pieces of this size.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Messages of the switch's read in a row before the clock is looked at: a switch that sends its audio in the
/// smallest useful pieces sends two in a tick.
const MESSAGES_PER_WAKE_MAX: u32 = 200;

/// How long a stream's connect and upgrade may take before the carrier gives up.
const CONNECT_TAKES_MAX: Duration = Duration::from_secs(10);

/// A connected stream whose upgrade was accepted.
pub(crate) struct Connected(Duplex);

/// Why a stream did not come to be, in the carrier's own error codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamError {
    pub(crate) code: u32,
    pub(crate) text: String,
}

/// Connects and upgrades. `url` is `ws` on loopback; `signature` is over the URL of the document.
pub(crate) async fn connect(url: &str, signature: Option<&str>) -> Result<Connected, StreamError> {
    let failed = |code, text: String| StreamError { code, text: format!("{url} {text}") };
    let mut request =
        url.into_client_request().map_err(|error| failed(31_923, format!("is no WebSocket URL: {error}")))?;
    let headers = request.headers_mut();
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Twilio.TmeWs/1.0"));
    if let Some(signature) = signature.and_then(|signature| HeaderValue::from_str(signature).ok()) {
        headers.insert("X-Twilio-Signature", signature);
    }
    let address =
        (request.uri().host().unwrap_or_default().to_owned(), request.uri().port_u16().unwrap_or(80));
    let upgrading = async {
        let host = address.0.trim_matches(['[', ']']);
        let tcp = TcpStream::connect((host, address.1))
            .await
            .map_err(|error| failed(31_902, format!("cannot be connected to: {error}")))?;
        tcp.set_nodelay(true).map_err(|error| failed(31_903, format!("broke at once: {error}")))?;
        let upgraded = client_async_with_config(request, tcp, Some(duplex::config())).await;
        upgraded.map_err(|error| match error {
            Error::Http(response) => {
                failed(31_920, format!("answered the upgrade with {}", response.status()))
            }
            other => failed(31_920, format!("did not upgrade: {other}")),
        })
    };
    match timeout(CONNECT_TAKES_MAX, upgrading).await {
        Ok(upgraded) => upgraded.map(|(socket, _)| Connected(Duplex::new(socket))),
        Err(_) => Err(failed(31_901, "did not answer in time".to_owned())),
    }
}

/// How a stream ended.
pub(crate) enum Ended {
    /// The socket went away; the call goes on with what its document says.
    Socket(SocketEnd),
    /// So it did for the carrier, while the switch is left with an open one for as long as this is kept.
    Vanished(Box<Connected>),
    /// The call is over.
    Call(CallEnd),
}

/// What a stream needs of its call.
pub(crate) struct Surroundings<'a> {
    pub(crate) ids: Ids,
    pub(crate) parameters: &'a [(String, String)],
    pub(crate) plan: &'a CallPlan,
    /// What is to go wrong with this stream.
    pub(crate) accident: Option<CarrierFault>,
}

struct Stream<'a> {
    socket: Duplex,
    uplink: Uplink<'a>,
    playback: Playback,
    sid: String,
    faults: &'a [CarrierFault],
    /// When this stream began: with a tick of the caller's clock, so that its n-th frame is what he says in a
    /// tick.
    zero: Instant,
    /// Ticks since.
    ticks: u32,
    accident: Option<CarrierFault>,
    was_sounding: bool,
    is_frozen: bool,
}

/// Runs a stream to its end.
pub(crate) async fn run(
    connected: Connected,
    around: Surroundings<'_>,
    line: &mut Line<'_>,
    log: &mut Log<'_>,
) -> Ended {
    log.event(CarrierEvent::Connected);
    let Connected(mut socket) = connected;
    socket.send(Uplink::connected());
    let Surroundings { ids, parameters, plan, accident } = around;
    if accident == Some(CarrierFault::CloseBeforeStart) {
        socket.close(1000, "").await;
        return left(Ended::Socket(SocketEnd::ByUs("closed before start")), log);
    }
    let (began, ticks_before) = line.open(Instant::now());
    let passed = TICK * ticks_before;
    let digits: VecDeque<_> =
        plan.digits.iter().filter_map(|(at, digit)| Some((at.checked_sub(passed)?, *digit))).collect();
    let caller = plan.caller.samples().get(ticks_before as usize * TICK_BYTES..).unwrap_or_default();
    let sid = ids.stream.clone();
    let mut uplink = Uplink::new(ids, caller, digits, plan.network, &plan.faults);
    for message in uplink.opening(parameters) {
        socket.send(message);
    }
    let delay = plan.network.playback_start_delay.as_nanos().div_ceil(TICK.as_nanos());
    let mut stream = Stream {
        socket,
        uplink,
        playback: Playback::new(u32::try_from(delay).unwrap_or(u32::MAX)),
        sid,
        faults: &plan.faults,
        zero: began + passed,
        ticks: 0,
        accident,
        was_sounding: false,
        is_frozen: false,
    };
    log.event(CarrierEvent::StartSent { stream_sid: stream.sid.clone() });
    let leaving = stream.live(line, log).await;
    log.played(stream.playback.received_ms(), stream.playback.played_ms());
    stream.leave(leaving, log).await
}

impl Stream<'_> {
    async fn live(&mut self, line: &mut Line<'_>, log: &mut Log<'_>) -> Leaving {
        let (over_at, over) = line.end();
        let mut messages = 0;
        loop {
            let tick_at = self.zero + TICK * self.ticks;
            // A frozen carrier sends nothing: only its own clock goes on.
            let send_at = if self.is_frozen { tick_at } else { self.zero + self.uplink.next_at() };
            let strike_at = self.accident.and_then(|accident| Some(self.zero + accident.strikes_after()?));
            let end_at = strike_at.map_or(over_at, |at| at.min(over_at));
            // Messages first: what can be read now came before a tick that is overdue, as far as anyone can
            // tell. But a flood of them does not hold up the clock.
            tokio::select! {
                biased;
                incoming = self.socket.next(), if !self.is_frozen && messages < MESSAGES_PER_WAKE_MAX => {
                    match incoming {
                        Incoming::Text(text) => self.obey(&text, log),
                        Incoming::Binary => log.warn(31_950, "message is a binary frame".to_owned()),
                        Incoming::End(end) => return Leaving::Socket(end),
                    }
                    messages += 1;
                    continue;
                }
                () = sleep_until(tick_at.min(send_at).min(end_at)) => messages = 0,
            }
            // However late it is: nothing is heard or said after the end, and all that was due before it is.
            let now = Instant::now().min(end_at);
            while self.zero + TICK * self.ticks <= now {
                self.tick(line, log);
            }
            if !self.is_frozen {
                self.speak(now, log);
            }
            if now < end_at {
                continue;
            }
            if end_at == over_at {
                return Leaving::Call(over);
            }
            match self.accident.take() {
                Some(CarrierFault::HalfOpenAfter(_)) | None => self.is_frozen = true,
                Some(accident) => return Leaving::Accident(accident),
            }
        }
    }

    fn speak(&mut self, now: Instant, log: &mut Log<'_>) {
        for sent in self.uplink.due(now - self.zero) {
            self.socket.send(sent.message);
            if let Some(digit) = sent.key {
                log.event(CarrierEvent::DtmfSent { digit });
            }
        }
    }

    fn tick(&mut self, line: &mut Line<'_>, log: &mut Log<'_>) {
        let played = self.playback.tick();
        line.hear_mu_law(&played.audio);
        self.ticks += 1;
        let is_sounding = !played.audio.is_empty();
        if is_sounding != self.was_sounding {
            log.event(if is_sounding { CarrierEvent::AudioBegan } else { CarrierEvent::AudioEnded });
            self.was_sounding = is_sounding;
        }
        for name in played.marks {
            self.echo(name, log);
        }
        log.passing();
    }

    fn echo(&mut self, name: String, log: &mut Log<'_>) {
        if self.faults.contains(&CarrierFault::NoMarks) {
            return;
        }
        let message = self.uplink.mark(&name);
        self.socket.send(message);
        log.event(CarrierEvent::MarkEchoed { name });
    }

    fn obey(&mut self, text: &Utf8Bytes, log: &mut Log<'_>) {
        match read(text, &self.sid) {
            Ok(Order::Media(audio)) => self.playback.media(audio),
            Ok(Order::Mark(name)) if self.faults.contains(&CarrierFault::MarksAtOnce) => self.echo(name, log),
            Ok(Order::Mark(name)) => {
                if let Some(name) = self.playback.mark(name) {
                    self.echo(name, log);
                }
            }
            Ok(Order::Clear) => {
                let dropped = self.playback.clear();
                let dropped_ms = dropped.bytes as u64 / 8;
                log.cleared(Clear { at: log.now(), played_ms_total: self.playback.played_ms(), dropped_ms });
                for name in dropped.marks {
                    self.echo(name, log);
                }
            }
            Err(what) => log.warn(31_951, what),
        }
    }

    async fn leave(mut self, leaving: Leaving, log: &mut Log<'_>) -> Ended {
        let ended = match leaving {
            Leaving::Socket(end) => {
                self.socket.finish().await;
                Ended::Socket(end)
            }
            Leaving::Accident(CarrierFault::VanishAfter(_)) => {
                Ended::Vanished(Box::new(Connected(self.socket)))
            }
            Leaving::Accident(CarrierFault::GoingAwayAfter(_)) => {
                self.socket.close(1001, "").await;
                Ended::Socket(SocketEnd::ByUs("going away"))
            }
            Leaving::Accident(CarrierFault::CloseBareAfter(_)) => {
                self.socket.send(Message::Close(None));
                self.socket.finish().await;
                Ended::Socket(SocketEnd::ByUs("closed without a code"))
            }
            Leaving::Accident(_) => {
                self.socket.reset();
                Ended::Socket(SocketEnd::ByUs("reset"))
            }
            Leaving::Call(end) if self.is_frozen => Ended::Call(end),
            Leaving::Call(end) => {
                if !self.faults.contains(&CarrierFault::NoStop) {
                    self.socket.send(self.uplink.stop());
                    log.event(CarrierEvent::StopSent);
                }
                self.socket.close(1000, "").await;
                Ended::Call(end)
            }
        };
        left(ended, log)
    }
}

fn left(ended: Ended, log: &mut Log<'_>) -> Ended {
    log.event(CarrierEvent::SocketEnded(match &ended {
        Ended::Socket(end) => end.clone(),
        Ended::Vanished(_) => SocketEnd::ByUs("vanished"),
        Ended::Call(_) => SocketEnd::ByUs("hang-up"),
    }));
    ended
}

enum Leaving {
    Socket(SocketEnd),
    Accident(CarrierFault),
    Call(CallEnd),
}

// ------------------------------------------------------------------------------------------- from the switch

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Media(Vec<u8>),
    Mark(String),
    Clear,
}

/// A message of the switch's, in exactly the shape the carrier wants; otherwise what is wrong with it.
fn read(text: &str, stream_sid: &str) -> Result<Order, String> {
    let Ok(Value::Object(message)) = serde_json::from_str(text) else {
        return Err(format!("message is no JSON object: {}", shown(text)));
    };
    let event = message.get("event").and_then(Value::as_str).unwrap_or_default();
    if message.get("streamSid").and_then(Value::as_str) != Some(stream_sid) {
        return Err(format!("streamSid of {event:?} is not this stream's: {}", shown(text)));
    }
    let part = |own: &str, field: &str| -> Result<String, String> {
        only(&message, &["event", "streamSid", own])?;
        let inner = message
            .get(own)
            .and_then(Value::as_object)
            .ok_or_else(|| format!("{own} is missing: {}", shown(text)))?;
        only(inner, &[field])?;
        let value = inner.get(field).and_then(Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| format!("{own}.{field} is missing or no text: {}", shown(text)))
    };
    match event {
        "media" => {
            let payload = part("media", "payload")?;
            let audio = BASE64_STANDARD
                .decode(&payload)
                .map_err(|_| format!("payload is not base64: {}", shown(&payload)))?;
            Ok(Order::Media(audio))
        }
        "mark" => part("mark", "name").map(Order::Mark),
        "clear" => only(&message, &["event", "streamSid"]).map(|()| Order::Clear),
        _ => Err(format!("event {event:?} is unknown")),
    }
}

fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("field {key:?} is not allowed")),
        None => Ok(()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_taken_in_their_exact_shape_only() {
        let read = |text: &str| read(text, "MZ1");
        assert_eq!(
            read(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#),
            Ok(Order::Media(vec![255, 255]))
        );
        assert_eq!(
            read(r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g1:2"}}"#),
            Ok(Order::Mark("g1:2".to_owned()))
        );
        assert_eq!(read(r#"{"event":"clear","streamSid":"MZ1"}"#), Ok(Order::Clear));
        for (text, words) in [
            ("hello", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"{"event":"clear"}"#, "not this stream's"),
            (r#"{"event":"clear","streamSid":"MZ2"}"#, "not this stream's"),
            (r#"{"event":"clear","streamSid":"MZ1","now":true}"#, "\"now\" is not allowed"),
            (r#"{"event":"ping","streamSid":"MZ1"}"#, "\"ping\" is unknown"),
            (r#"{"streamSid":"MZ1"}"#, "\"\" is unknown"),
            (r#"{"event":"media","streamSid":"MZ1"}"#, "media is missing"),
            (r#"{"event":"media","streamSid":"MZ1","media":{"payload":"%"}}"#, "not base64"),
            (
                r#"{"event":"media","streamSid":"MZ1","media":{"payload":7}}"#,
                "media.payload is missing or no text",
            ),
            (
                r#"{"event":"media","streamSid":"MZ1","media":{"payload":"","track":"outbound"}}"#,
                "\"track\" is not allowed",
            ),
            (r#"{"event":"mark","streamSid":"MZ1","mark":{}}"#, "mark.name is missing"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text} says {error:?}");
        }
    }
}
