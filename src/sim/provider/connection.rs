//! One connection of the provider: a socket and a session brought together, and the faults that strike
//! between them.
//!
//! Knows neither what events say nor how sessions answer them.

use std::{future::pending, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::{
    Realm,
    dialect::Dialect,
    fault::FaultKind,
    record::{SessionRecord, Shared},
    session::{self, Session, Setup, outbox::Event as ServerEvent},
    stopped,
    upgrade::Admission,
};
use crate::{
    duplex::{Duplex, Incoming, SocketEnd},
    wall,
};

/// Serves one upgraded connection to its end, or until the provider stops.
pub(super) async fn serve(
    realm: &Realm,
    number: usize,
    admission: Admission,
    faults: Vec<FaultKind>,
    strikes: broadcast::Receiver<FaultKind>,
    mut socket: Duplex,
    stopping: watch::Receiver<bool>,
) {
    if admission.dialect == Dialect::Beta && !realm.options.beta {
        socket.send(beta_is_off().to_text());
        socket.close(4000, "invalid_request_error.beta_api_shape_disabled").await;
        return;
    }
    Connection::open(realm, number, &faults, admission).run(socket, strikes, stopping).await;
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
    record: Shared<SessionRecord>,
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
            hangs_after: None,
            error: None,
        };
        for fault in faults {
            match fault {
                FaultKind::SessionDelay(delay) => setup.opening_takes = *delay,
                FaultKind::ExpireAfter(lifetime) => setup.lifetime = *lifetime,
                _ => {}
            }
        }
        setup.expires_at_unix_s = (wall::since_epoch() + setup.lifetime).as_secs();
        let record = Shared::new(SessionRecord::new(id, admission.model, number, now));
        realm.enter(record.clone());
        let rng = StdRng::seed_from_u64(options.seed ^ (number as u64) << 32);
        let mut connection = Self {
            session: Session::open(now, setup, record.clone(), rng),
            record,
            dialect: admission.dialect,
            blows: Vec::new(),
            stalled: false,
            garbage: None,
        };
        for fault in faults {
            connection.suffer(now, fault);
        }
        connection
    }

    /// Begins to suffer from a fault whose times count from now.
    fn suffer(&mut self, now: Instant, fault: &FaultKind) {
        let (after, blow) = match fault {
            FaultKind::StallAfter(after) => (after, Blow::Stall),
            FaultKind::DropAfter(after) => (after, Blow::Drop),
            FaultKind::ResetAfter(after) => (after, Blow::Reset),
            FaultKind::HalfOpenAfter(after) => (after, Blow::HalfOpen),
            FaultKind::GarbageAfter(after) => (after, Blow::Garbage),
            other => return self.session.suffer(now, other),
        };
        self.blows.push((now + *after, blow));
    }

    async fn run(
        mut self,
        mut socket: Duplex,
        mut strikes: broadcast::Receiver<FaultKind>,
        mut stopping: watch::Receiver<bool>,
    ) {
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
                strike = struck(&mut strikes) => self.suffer(Instant::now(), &strike),
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

/// The next fault ordered for sessions that are open.
async fn struck(strikes: &mut broadcast::Receiver<FaultKind>) -> FaultKind {
    loop {
        match strikes.recv().await {
            Ok(fault) => return fault,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "a session missed faults that were ordered");
            }
            Err(broadcast::error::RecvError::Closed) => pending().await,
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
