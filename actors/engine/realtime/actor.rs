//! The realtime engine as an actor: provider socket <-> frames.
//!
//! - Owner: the call, which redials once when it dies.
//! - In: provider events (`add_stream`), caller frames (lane), [`EngineCommand`].
//! - Out: agent frames (lane), provider events (written from the handler), [`FromEngine`].
//! - When full: while the provider does not read, caller audio waits in its lane; a full agent lane ends the response.
//! - When it dies: caller audio waits in its lane for the successor.
//!
//! It refuses to decide: [`Session`] does, and this carries it out.

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, StreamHandler, WrapFuture,
};
use bytestring::ByteString;
use tandem_media::frame::FRAME_MS;
use tandem_wire::audio;
use tandem_wire::openai::client;
use tandem_wire::openai::server::{AudioDelta, ServerEvent};
use tandem_wire::openai::session::SessionConfig;
use tandem_wire::openai::{ClientEvent, Dialect};
use tokio::time::Instant;

use super::audio::SessionAudio;
use super::session::{Effect, Session};
use crate::engine::{Begin, EngineAudio, EngineWiring};
use crate::kit::lane::LaneReady;
use crate::kit::writer::{Urgency, WriteError, Writer};
use crate::messages::{EngineAccount, EngineCommand, EngineFact, FailureKind, FromEngine};
use crate::ports::{DialError, EngineDialer, Outgoing, Socket, SocketItem};

/// Frames joined into one append when several wait, as after the provider's handshake: 10 x 20 ms. In real time it
/// is one frame, one append: waiting for a second would cost the caller 20 ms.
const FRAMES_PER_APPEND: usize = 10;

/// The largest append: 10 frames of 960 bytes in base64, and the JSON around them.
const APPEND_BYTES_MAX: usize = 13 * 1_024;

/// Nothing came for so long: ask with a ping whether anyone is there. Providers are silent while nobody speaks, and what
/// the caller says meanwhile may fall on deaf ears. One small message against the 50 that a second has anyway.
const QUIET_BEFORE_PING: Duration = Duration::from_secs(1);

/// Nothing came for so long, ping or not: nobody is there.
const QUIET_MAX: Duration = Duration::from_secs(5);

/// A provider answers settings within a round trip and some milliseconds.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// What the caller has said to a provider before it is asked: half a second of loud frames, with pauses between them.
const SPOKEN_BEFORE_PROBE: Duration = Duration::from_secs(2);

/// How long after a clean close we wait for the provider's. Then the socket is dropped.
const LINGER: Duration = Duration::from_secs(2);

pub struct RealtimeSession {
    session: Session,
    dialer: Arc<dyn EngineDialer>,
    dialect: Dialect,
    model: String,
    ready_max: Duration,
    audio: SessionAudio,
    call: Recipient<FromEngine>,
    incarnation: u32,
    writer: Option<Writer>,
    account: EngineAccount,
    last_inbound: Instant,
    /// Something came since the last look: then nobody need ask what time it was.
    heard: bool,
    /// Frames forwarded when it came: those since may have fallen on deaf ears.
    forwarded_when_heard: u64,
    trust: Trust,
    /// When it was asked to prove that it listens, until anything comes.
    probed_at: Option<Instant>,
    /// The call was told; the books are closed and the socket is only drained.
    ended: bool,
    effects: Vec<Effect>,
    /// Bytes of one message, reused in both directions.
    scratch: Vec<u8>,
}

/// What the provider's silence means so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Given,
    /// A ping is on its way.
    Asked,
    /// It was not answered, and the call was told.
    Doubted,
}

impl RealtimeSession {
    /// Builds the engine in its own context; it dials as soon as it starts.
    pub fn attach(
        ctx: &mut Context<Self>,
        begin: Begin,
        dialer: Arc<dyn EngineDialer>,
        dialect: Dialect,
        wiring: EngineWiring,
    ) -> Self {
        match &wiring.audio {
            EngineAudio::Pcmu { caller, .. } => ctx.add_stream(caller.arrivals()),
            EngineAudio::Pcm24 { caller, .. } => ctx.add_stream(caller.arrivals()),
        };
        let audio = SessionAudio::new(wiring.audio);
        Self {
            model: begin.agent.model.clone(),
            ready_max: begin.ready_max,
            session: Session::new(begin, audio.choice()),
            dialer,
            dialect,
            audio,
            call: wiring.call,
            incarnation: wiring.incarnation,
            writer: None,
            account: EngineAccount::default(),
            last_inbound: Instant::now(),
            heard: false,
            forwarded_when_heard: 0,
            trust: Trust::Given,
            probed_at: None,
            ended: false,
            effects: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn dialled(&mut self, dialled: Result<Socket, DialError>, ctx: &mut Context<Self>) {
        match dialled {
            Ok(socket) => {
                self.last_inbound = Instant::now();
                self.writer = Some(Writer::new(socket.sink));
                ctx.add_stream(socket.reader);
            }
            Err(error) => {
                let (kind, retry) = match &error {
                    DialError::Unauthorized(_) => (FailureKind::Unauthorized, false),
                    DialError::RateLimited => (FailureKind::RateLimited, false),
                    DialError::Status(status) => (FailureKind::Dial, *status >= 500),
                    DialError::Unreachable(_) | DialError::Tls(_) => (FailureKind::Dial, true),
                };
                self.fail(kind, retry, error.to_string(), ctx);
            }
        }
    }

    // ------------------------------------------------------------ caller lane -> provider

    /// Sends what waits, once the session's format is agreed. Until then, and while the socket is blocked, it stays in
    /// the lane, and nothing is lost; the caller's next frame looks after it.
    fn forward(&mut self, ctx: &mut Context<Self>) {
        // A flush may end the session: what still waits then is its successor's.
        while self.session.is_ready()
            && self.writer.as_ref().is_some_and(|writer| writer.has_room(APPEND_BYTES_MAX))
        {
            let frames = self.audio.gather(&mut self.scratch, FRAMES_PER_APPEND);
            if frames == 0 {
                break;
            }
            let mut append = String::new();
            client::append(&mut append, &self.scratch);
            let Some(writer) = &self.writer else { return };
            match writer.queue(Outgoing::Text(ByteString::from(append)), Urgency::Audio) {
                Ok(()) => self.account.frames_forwarded += frames,
                Err(error) => {
                    self.account.frames_shed += frames;
                    if error != WriteError::Shed {
                        return self.fail(FailureKind::SocketLost, true, error.to_string(), ctx);
                    }
                }
            }
            self.flush(ctx);
        }
    }

    // ------------------------------------------------------------ provider -> agent lane

    fn on_text(&mut self, text: &str, ctx: &mut Context<Self>) {
        match ServerEvent::parse(text) {
            Ok(ServerEvent::OutputAudioDelta(delta)) => self.on_audio(&delta),
            Ok(event) => self.session.on_event(event, &mut self.effects),
            Err(error) => {
                if self.account.unparsable == 0 {
                    tracing::warn!(%error, "provider event ignored; further ones are only counted");
                }
                self.account.unparsable += 1;
            }
        }
        self.carry_out(ctx);
    }

    fn on_audio(&mut self, delta: &AudioDelta<'_>) {
        let Some(tag) = self.session.place(delta, &mut self.effects) else { return };
        self.scratch.resize(audio::decoded_len(&delta.delta), 0);
        let Ok(length) = audio::decode_into(&delta.delta, &mut self.scratch) else {
            self.account.bad_audio += 1;
            return;
        };
        self.scratch.truncate(length);
        let refused = self.audio.put(tag, &self.scratch);
        self.session.took(tag.part, length - refused.bytes.min(length));
        if refused.frames > 0 {
            tracing::warn!(refused.frames, "agent lane full: the response is ended early");
            self.account.frames_refused += refused.frames;
            self.session.overflowed(tag.part, &mut self.effects);
        }
    }

    // ------------------------------------------------------------ carrying out

    fn carry_out(&mut self, ctx: &mut Context<Self>) {
        if self.effects.is_empty() {
            return;
        }
        let mut ready = false;
        let mut failed = false;
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(event, id) => self.say(&event, id.as_deref(), ctx),
                Effect::EndOfPart(tag) => self.audio.end_part(tag),
                Effect::Tell(fact) => {
                    ready |= matches!(fact, EngineFact::Ready { .. });
                    failed |= matches!(fact, EngineFact::Failed(_));
                    if let EngineFact::AgentEnded { audio_ms, .. } = &fact {
                        self.account.audio_ms += audio_ms;
                    }
                    self.tell(fact);
                }
            }
        }
        self.effects = effects;
        self.flush(ctx);
        if failed {
            self.end(ctx);
        } else if ready {
            self.forward(ctx);
        }
    }

    fn say(&mut self, event: &ClientEvent, id: Option<&str>, ctx: &mut Context<Self>) {
        let Some(writer) = &self.writer else { return };
        let json = match id {
            Some(id) => event.to_json_with_id(self.dialect, id),
            None => event.to_json(self.dialect),
        };
        if let Err(error) = writer.queue(Outgoing::Text(ByteString::from(json)), Urgency::Control) {
            self.fail(FailureKind::SocketLost, true, error.to_string(), ctx);
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if let Some(Err(error)) = self.writer.as_ref().map(Writer::flush) {
            self.fail(FailureKind::SocketLost, true, error.to_string(), ctx);
        }
    }

    fn tell(&self, fact: EngineFact) {
        // A few facts per turn: this cannot flood the call.
        self.call.do_send(FromEngine { incarnation: self.incarnation, fact });
    }

    // ------------------------------------------------------------ watching, ending

    fn look(&mut self, ctx: &mut Context<Self>) {
        let Some(writer) = self.writer.as_ref().filter(|_| !self.ended) else { return };
        if self.probed_at.is_some_and(|at| at.elapsed() >= PROBE_MAX) {
            let detail = "provider answers nothing any more".to_owned();
            return self.fail(FailureKind::Stalled, true, detail, ctx);
        }
        if std::mem::take(&mut self.heard) {
            self.last_inbound = Instant::now();
            let doubted = std::mem::replace(&mut self.trust, Trust::Given) == Trust::Doubted;
            if doubted && self.probed_at.is_none() {
                self.tell(EngineFact::Trusted);
            }
        }
        let silent_for = self.last_inbound.elapsed();
        if silent_for >= QUIET_MAX {
            return self.fail(FailureKind::HalfOpen, true, "provider does not answer pings".to_owned(), ctx);
        }
        match self.trust {
            Trust::Asked => {
                self.trust = Trust::Doubted;
                let frames = self.account.frames_forwarded - self.forwarded_when_heard;
                let silent_for = Duration::from_millis(u64::from(FRAME_MS) * frames);
                self.tell(EngineFact::Doubted { silent_for, caller_spoke: false });
            }
            Trust::Given if silent_for >= QUIET_BEFORE_PING => {
                self.trust = Trust::Asked;
                if let Err(error) = writer.send(Outgoing::Ping, Urgency::Control) {
                    self.fail(FailureKind::SocketLost, true, error.to_string(), ctx);
                }
            }
            Trust::Given | Trust::Doubted => {}
        }
    }

    /// Asks for something that every provider answers and that changes nothing: settings without a setting.
    fn probe(&mut self, ctx: &mut Context<Self>) {
        if !self.session.is_ready() || self.probed_at.is_some() {
            return;
        }
        self.probed_at = Some(Instant::now());
        self.tell(EngineFact::Doubted { silent_for: SPOKEN_BEFORE_PROBE, caller_spoke: true });
        let nothing = Box::<SessionConfig>::default();
        self.say(&ClientEvent::SessionUpdate { session: nothing }, Some("probe"), ctx);
    }

    fn fail(&mut self, kind: FailureKind, retry: bool, detail: String, ctx: &mut Context<Self>) {
        let mut effects = Vec::new();
        self.session.fail(kind, retry, detail, &mut effects);
        for effect in effects {
            match effect {
                Effect::Tell(fact) => self.tell(fact),
                Effect::EndOfPart(tag) => self.audio.end_part(tag),
                Effect::Send(..) => {} // nobody is there to hear it
            }
        }
        self.end(ctx);
    }

    /// Closes the books and the socket. No session stays open at the provider: while it is being dialled the
    /// attempt is dropped, afterwards it is closed in order.
    fn end(&mut self, ctx: &mut Context<Self>) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.session.finish();
        self.account.stale_deltas = self.session.stale_deltas;
        self.account.benign_errors = self.session.benign_errors;
        self.account.unknown_events = self.session.unknown_events;
        let closing = Outgoing::Close { code: 1000, reason: "call ended" };
        let closes =
            self.writer.as_ref().is_some_and(|writer| writer.send(closing, Urgency::Control).is_ok());
        self.account.written = self.writer.as_ref().map(Writer::written).unwrap_or_default();
        self.tell(EngineFact::Ended { account: self.account });
        if closes {
            ctx.run_later(LINGER, |_, ctx| ctx.stop());
        } else {
            ctx.stop();
        }
    }
}

impl Actor for RealtimeSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let dialling = self.dialer.dial_realtime(&self.model);
        ctx.spawn(dialling.into_actor(self).map(|dialled, engine, ctx| engine.dialled(dialled, ctx)));
        ctx.run_later(self.ready_max, |engine, ctx| {
            if !engine.session.is_ready() && !engine.session.is_over() {
                let detail = format!("not ready within {:?}", engine.ready_max);
                engine.fail(FailureKind::HandshakeTimeout, true, detail, ctx);
            }
        });
    }
}

impl StreamHandler<SocketItem> for RealtimeSession {
    fn handle(&mut self, item: SocketItem, ctx: &mut Self::Context) {
        self.heard = true;
        self.forwarded_when_heard = self.account.frames_forwarded;
        if self.ended {
            return;
        }
        match item {
            SocketItem::Text(text) => {
                if self.probed_at.take().is_some() {
                    self.tell(EngineFact::Trusted);
                }
                self.on_text(&text, ctx);
            }
            SocketItem::Binary(_) => self.account.unparsable += 1,
            SocketItem::Pong => {}
            SocketItem::Closed { code } => {
                // 1001 is the provider's end of session length, 4000 its refusal of our dialect.
                let (kind, retry) = match code {
                    Some(1001) => (FailureKind::SessionExpired, true),
                    Some(4000) => (FailureKind::SettingsRejected, false),
                    _ => (FailureKind::SocketLost, true),
                };
                let code = code.map_or("no code".to_owned(), |code| code.to_string());
                self.fail(kind, retry, format!("provider closed the session ({code})"), ctx);
            }
            SocketItem::Lost(error) => self.fail(FailureKind::SocketLost, true, error.to_string(), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        if self.ended {
            ctx.stop();
        } else {
            self.fail(FailureKind::SocketLost, true, "socket ended".to_owned(), ctx);
        }
    }
}

impl StreamHandler<LaneReady> for RealtimeSession {
    fn handle(&mut self, _: LaneReady, ctx: &mut Self::Context) {
        self.forward(ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {} // a successor reads now; the call ends this one
}

impl Handler<EngineCommand> for RealtimeSession {
    type Result = ();

    fn handle(&mut self, command: EngineCommand, ctx: &mut Self::Context) {
        match command {
            EngineCommand::Look => self.look(ctx),
            EngineCommand::Interrupted { heard } => self.session.interrupted(heard, &mut self.effects),
            EngineCommand::Prompt(instructions) => self.session.prompt(instructions, &mut self.effects),
            EngineCommand::TakeOver(take_over) => {
                self.session.take_over(*take_over, &mut self.effects);
                self.carry_out(ctx);
                return self.forward(ctx);
            }
            EngineCommand::Probe => self.probe(ctx),
            EngineCommand::GiveUp { detail } => return self.fail(FailureKind::Stalled, true, detail, ctx),
            EngineCommand::Finish => return self.end(ctx),
        }
        self.carry_out(ctx);
    }
}
