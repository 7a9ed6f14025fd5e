//! One connection of the provider: a socket and a session brought together, and the faults that strike
//! between them.
//!
//! Knows neither what events say nor how sessions answer them.

use std::{future::pending, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Bytes, Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

use super::{
    Realm,
    dialect::Dialect,
    fault::FaultKind,
    record::{SessionRecord, Shared},
    session::{self, Session, Setup, outbox::Event as ServerEvent},
    stopped,
    upgrade::{self, Admission, Rejection},
};
use crate::{
    duplex::{self, Duplex, Incoming, SocketEnd},
    wall,
};

/// Serves one accepted TCP connection to its end, or until the provider stops.
pub(super) async fn serve(realm: &Realm, number: usize, tcp: TcpStream, mut stopping: watch::Receiver<bool>) {
    let faults: Vec<FaultKind> = realm
        .options
        .faults
        .iter()
        .filter(|fault| fault.applies_to(number))
        .map(|fault| fault.kind.clone())
        .collect();
    if faults.contains(&FaultKind::Refuse) {
        return;
    }
    let upgraded = tokio::select! {
        upgraded = upgrade(realm, &faults, tcp) => upgraded,
        () = stopped(&mut stopping) => None,
    };
    let Some((socket, admission)) = upgraded else { return };
    let mut socket = Duplex::new(socket);
    if admission.dialect == Dialect::Beta && !realm.options.beta {
        socket.send(beta_is_off().to_text());
        socket.close(4000, "invalid_request_error.beta_api_shape_disabled").await;
        return;
    }
    Connection::open(realm, number, &faults, admission).run(socket, stopping).await;
}

/// Answers the upgrade request, late or badly if a fault says so.
async fn upgrade(
    realm: &Realm,
    faults: &[FaultKind],
    tcp: TcpStream,
) -> Option<(WebSocketStream<TcpStream>, Admission)> {
    let mut delay = realm.options.handshake_delay;
    let mut scripted = None;
    for fault in faults {
        match fault {
            FaultKind::Delay(more) => delay += *more,
            FaultKind::Http(status) => scripted = Some(Rejection::scripted(*status)),
            _ => {}
        }
    }
    sleep(delay).await;
    let mut admission = None;
    #[expect(clippy::result_large_err, reason = "the handshake's own callback type")]
    let answer = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let admitted = match scripted {
            Some(rejection) => Err(rejection),
            None => upgrade::admit(request, realm.options.api_key.as_deref()),
        };
        admission = Some(admitted.map_err(Rejection::into_response)?);
        Ok(upgrade::accept(request, response))
    };
    match accept_hdr_async_with_config(tcp, answer, Some(duplex::config())).await {
        Ok(socket) => Some((socket, admission?)),
        Err(error) => {
            tracing::debug!(%error, "no session came of a connection");
            None
        }
    }
}

fn beta_is_off() -> ServerEvent {
    let message = "The Realtime Beta API shape is no longer supported. Please use the GA API.";
    let error = serde_json::json!({
        "type": "invalid_request_error",
        "code": "beta_api_shape_disabled",
        "message": message,
        "param": null,
        "event_id": null,
    });
    ServerEvent {
        kind: "error",
        id: "event_0000000000000001".to_owned(),
        body: serde_json::json!({"error": error}),
    }
}

/// What ends or bends a connection from outside its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Stall,
    Drop,
    Reset,
    HalfOpen,
    Garbage,
}

struct Connection {
    session: Session,
    record: Shared,
    dialect: Dialect,
    /// Blows to come, with their times.
    blows: Vec<(Instant, Blow)>,
    stalled: bool,
    /// Pieces of garbage sent so far, once it has begun.
    garbage: Option<usize>,
}

impl Connection {
    fn open(realm: &Realm, number: usize, faults: &[FaultKind], admission: Admission) -> Self {
        let options = &realm.options;
        let now = Instant::now();
        let id = format!("sess_{:08x}{number:08x}", options.seed);
        let mut setup = Setup {
            id: id.clone(),
            model: admission.model.clone(),
            script: realm.script.clone(),
            first_audio_delay: options.first_audio_delay,
            speed: options.speed,
            expires_at_unix_s: 0,
            lifetime: session::LIFETIME,
            opening_takes: Duration::ZERO,
            rate_limited: false,
            wrong_format: false,
            odd_chunks: false,
            error: None,
        };
        let mut blows = Vec::new();
        for fault in faults {
            match fault {
                FaultKind::SessionDelay(delay) => setup.opening_takes = *delay,
                FaultKind::ExpireAfter(lifetime) => setup.lifetime = *lifetime,
                FaultKind::RateLimit => setup.rate_limited = true,
                FaultKind::WrongFormat => setup.wrong_format = true,
                FaultKind::OddChunks => setup.odd_chunks = true,
                FaultKind::Error { code, after } => setup.error = Some((code.clone(), *after)),
                FaultKind::StallAfter(after) => blows.push((now + *after, Blow::Stall)),
                FaultKind::DropAfter(after) => blows.push((now + *after, Blow::Drop)),
                FaultKind::ResetAfter(after) => blows.push((now + *after, Blow::Reset)),
                FaultKind::HalfOpenAfter(after) => blows.push((now + *after, Blow::HalfOpen)),
                FaultKind::GarbageAfter(after) => blows.push((now + *after, Blow::Garbage)),
                FaultKind::Refuse | FaultKind::Http(_) | FaultKind::Delay(_) => {} // before the upgrade
            }
        }
        setup.expires_at_unix_s = (wall::since_epoch() + setup.lifetime).as_secs();
        let record = Shared::new(SessionRecord::new(id, admission.model, number, now));
        realm.enter(record.clone());
        let rng = StdRng::seed_from_u64(options.seed ^ (number as u64) << 32);
        Self {
            session: Session::open(now, setup, record.clone(), rng),
            record,
            dialect: admission.dialect,
            blows,
            stalled: false,
            garbage: None,
        }
    }

    async fn run(mut self, mut socket: Duplex, mut stopping: watch::Receiver<bool>) {
        loop {
            // A blow strikes before anything else that became due meanwhile.
            match self.take_blow(Instant::now()) {
                Some(Blow::Stall) => self.stalled = true,
                Some(Blow::Garbage) => self.garbage = Some(0),
                Some(Blow::HalfOpen) => {
                    self.ended(SocketEnd::ByUs("half-open"));
                    return stopped(&mut stopping).await; // the socket is kept until then
                }
                Some(Blow::Reset) => {
                    self.ended(SocketEnd::ByUs("reset"));
                    return socket.reset();
                }
                Some(Blow::Drop) => {
                    self.ended(SocketEnd::ByUs("drop"));
                    return socket.close(1011, "internal error").await;
                }
                None => {}
            }
            let due = self.session.due().filter(|_| !self.stalled);
            let next_blow = self.blows.iter().map(|(at, _)| *at).min();
            tokio::select! {
                biased;
                incoming = socket.next() => match incoming {
                    Incoming::End(end) => {
                        self.ended(end);
                        return socket.finish().await;
                    }
                    _ if self.stalled => {}
                    Incoming::Text(text) => self.session.receive(Instant::now(), &self.dialect.read(&text)),
                    Incoming::Binary => self.session.receive_binary(Instant::now()),
                },
                () = at(due) => self.session.advance(Instant::now()),
                () = at(next_blow) => continue,
                () = stopped(&mut stopping) => {
                    self.ended(SocketEnd::ByUs("stop"));
                    return socket.close(1001, "the simulated provider stops").await;
                }
            }
            if self.stalled {
                continue;
            }
            self.send_events(&mut socket);
            if let Some((code, reason)) = self.session.closing() {
                self.ended(SocketEnd::ByUs("expired"));
                return socket.close(code, reason).await;
            }
        }
    }

    fn ended(&self, end: SocketEnd) {
        self.record.with(|record| {
            record.closed_at = Some(Instant::now());
            record.end = Some(end);
        });
    }

    /// The earliest blow that is due, if one is.
    fn take_blow(&mut self, now: Instant) -> Option<Blow> {
        let (i, _) =
            self.blows.iter().enumerate().filter(|(_, (at, _))| *at <= now).min_by_key(|(_, (at, _))| *at)?;
        Some(self.blows.remove(i).1)
    }

    fn send_events(&mut self, socket: &mut Duplex) {
        while let Some(event) = self.session.pop_event() {
            if let Some(count) = &mut self.garbage {
                socket.send(garbage(*count));
                *count += 1;
            }
            if let Some(text) = self.dialect.write(event) {
                socket.send(text);
            }
        }
    }
}

/// The n-th piece of something that is no event.
fn garbage(n: usize) -> Message {
    match n % 6 {
        0 => Message::text("this is not JSON"),
        1 => Message::binary(Bytes::from_static(&[0xDE, 0xAD, 0xBE, 0xEF])),
        2 => Message::text(r#"{"type":"session.rumour","event_id":"event_x","surprise":{"level":11}}"#),
        3 => Message::text(r#"["an","array"]"#),
        4 => Message::text(r#"{"event_id":"event_y"}"#),
        _ => Message::text(r#"{"type":"response.output_audio.delta","response_id":"resp_nobody"}"#),
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
