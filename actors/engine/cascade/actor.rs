//! The cascade as an actor: caller frames -> words -> thoughts -> agent frames, with three models over HTTP.
//!
//! - Owner: the call, which replaces it once when it dies.
//! - In: caller frames (lane), what models answer (`add_stream`), [`EngineCommand`].
//! - Out: agent frames (lane), requests to models, [`FromEngine`].
//! - When full: a full agent lane ends the answer. Caller frames never wait: they are listened to as they come.
//! - When it dies: its requests are dropped with it; caller audio waits in its lane for the successor.
//!
//! It refuses to decide: [`Session`] does, and this carries it out.

use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, StreamHandler};
use bytes::Bytes;
use tandem_media::frame::G711Frame;
use tokio::time::Instant;

use super::ears::{self, Ears};
use super::errands::{Errands, Return, errands};
use super::mouth::Mouth;
use super::session::{Effect, Session};
use crate::engine::Begin;
use crate::kit::lane::{LaneReader, LaneReady, LaneWriter};
use crate::messages::{AgentAudio, EngineAccount, EngineCommand, EngineFact, FromEngine, Tag};
use crate::ports::{ChatModel, Transcriber, Voice};
use crate::usage::Used;

/// The models that a cascade is made of.
#[derive(Clone)]
pub struct CascadeModels {
    pub transcriber: Arc<dyn Transcriber>,
    pub chat: Arc<dyn ChatModel>,
    pub voice: Arc<dyn Voice>,
}

/// Edges that a cascade is born with. It speaks the phone's mu-law and nothing else: what its models want, it converts
/// itself, so no transcoder sits between.
pub struct CascadeWiring {
    pub caller: LaneReader<G711Frame>,
    pub agent: LaneWriter<AgentAudio<u8, 160>>,
    pub call: Recipient<FromEngine>,
    pub incarnation: u32,
}

pub struct CascadeSession {
    session: Session,
    models: CascadeModels,
    /// ISO 639-1, or empty.
    language: String,
    wiring: CascadeWiring,
    ears: Ears,
    mouth: Mouth,
    errands: Errands,
    account: EngineAccount,
    /// The call was told; the books are closed.
    ended: bool,
    effects: Vec<Effect>,
}

/// What a full lane gave back.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    frames: u64,
    samples: u64,
}

impl CascadeSession {
    /// Builds the engine in its own context. It is ready as soon as it starts: its models are asked when needed.
    pub fn attach(
        ctx: &mut Context<Self>,
        begin: Begin,
        models: CascadeModels,
        wiring: CascadeWiring,
    ) -> Self {
        let (errands, returns) = errands();
        ctx.add_stream(wiring.caller.arrivals());
        ctx.add_stream(returns);
        Self {
            models,
            language: begin.agent.language.clone(),
            wiring,
            ears: Ears::new(&begin.agent.turn_detection),
            mouth: Mouth::new(),
            errands,
            account: EngineAccount::default(),
            ended: false,
            effects: Vec::new(),
            session: Session::new(begin),
        }
    }

    // ------------------------------------------------------------ caller lane -> ears

    /// Listens to all that waits before anything is made of it: of a burst, as after a failover, only the end counts.
    fn listen(&mut self) {
        let now = Instant::now();
        while let Some(frame) = self.wiring.caller.take() {
            self.account.frames_forwarded += 1;
            if let Some(sound) = self.ears.hear(&frame, self.session.sounds(now)) {
                self.session.heard(sound, &mut self.effects);
            }
        }
    }

    // ------------------------------------------------------------ voice -> agent lane

    fn on_audio(&mut self, bytes: &[u8]) {
        let Some(tag) = self.session.place(&mut self.effects) else { return };
        let mut refused = Refused::default();
        let agent = &self.wiring.agent;
        let made = self.mouth.speak(bytes, |frame| offer(agent, tag, frame, &mut refused));
        self.took(made, refused);
    }

    fn end_sentence(&mut self) {
        let sounding =
            if self.session.sentence_began() { self.session.place(&mut self.effects) } else { None };
        if let Some(tag) = sounding {
            let mut refused = Refused::default();
            let agent = &self.wiring.agent;
            let (made, torn) = self.mouth.end_sentence(|frame| offer(agent, tag, frame, &mut refused));
            self.account.bad_audio += u64::from(torn);
            self.took(made, refused);
        }
        self.session.sentence_ended(&mut self.effects);
    }

    fn took(&mut self, made: u64, refused: Refused) {
        self.session.took(made.saturating_sub(refused.samples), Instant::now());
        if refused.frames > 0 {
            tracing::warn!(refused.frames, "agent lane full: the answer is ended early");
            self.account.frames_refused += refused.frames;
            self.session.overflowed(&mut self.effects);
        }
    }

    // ------------------------------------------------------------ carrying out

    fn proceed(&mut self, ctx: &mut Context<Self>) {
        self.session.proceed(Instant::now(), &mut self.effects);
        self.carry_out(ctx);
    }

    fn carry_out(&mut self, ctx: &mut Context<Self>) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Tell(fact) => {
                    if let EngineFact::AgentEnded { audio_ms, .. } = &fact {
                        self.account.audio_ms += audio_ms;
                    }
                    self.tell(fact);
                }
                Effect::WriteDown(utterance) => self.write_down(utterance),
                Effect::Think(request) => self.errands.think(self.models.chat.answer(request)),
                Effect::StopThinking => self.errands.stop_thinking(),
                Effect::Speak(text) => {
                    // Paid for when it is asked for, heard or not; a second try is not paid for twice.
                    self.tell(EngineFact::Used(Used::speech(&text)));
                    self.errands.speak(self.models.voice.speak(&text));
                }
                Effect::SpeakAgain(text) => self.errands.speak_first(self.models.voice.speak(&text)),
                Effect::Hush => {
                    self.errands.hush();
                    self.mouth.hush();
                }
                Effect::EndOfPart(tag) => {
                    if let Some(frame) = self.mouth.end_part() {
                        self.wiring.agent.insist(AgentAudio::Frame(tag, frame));
                    }
                    self.wiring.agent.insist(AgentAudio::EndOfPart(tag));
                }
                Effect::WakeAt(at) => self.errands.wake_at(at),
            }
        }
        self.effects = effects;
        if self.session.is_over() {
            self.end(ctx);
        }
    }

    fn write_down(&self, utterance: Bytes) {
        let transcriber = Arc::clone(&self.models.transcriber);
        let language = self.language.clone();
        self.errands.write_down(async move {
            let samples = ears::widen(&utterance).await;
            transcriber.transcribe(samples, &language).await
        });
    }

    fn tell(&self, fact: EngineFact) {
        // A few facts per turn: this cannot flood the call.
        self.wiring.call.do_send(FromEngine { incarnation: self.wiring.incarnation, fact });
    }

    /// Closes the books. What models still make is dropped, and with it their connections.
    fn end(&mut self, ctx: &mut Context<Self>) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.errands.abandon();
        self.account.benign_errors = self.session.benign_errors;
        self.tell(EngineFact::Ended { account: self.account });
        ctx.stop();
    }
}

fn offer(agent: &LaneWriter<AgentAudio<u8, 160>>, tag: Tag, frame: G711Frame, refused: &mut Refused) {
    let samples = frame.len() as u64;
    if agent.offer(AgentAudio::Frame(tag, frame)).is_err() {
        refused.frames += 1;
        refused.samples += samples;
    }
}

impl Actor for CascadeSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.session.open(&mut self.effects);
        self.listen(); // what waits in the lane comes before the opening
        self.proceed(ctx);
    }
}

impl StreamHandler<LaneReady> for CascadeSession {
    fn handle(&mut self, _: LaneReady, ctx: &mut Self::Context) {
        if self.ended {
            return;
        }
        self.listen();
        if !self.effects.is_empty() {
            self.proceed(ctx);
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {} // a successor reads now; the call ends this one
}

impl StreamHandler<Return> for CascadeSession {
    fn handle(&mut self, returned: Return, ctx: &mut Self::Context) {
        match returned {
            Return::Written(words) => self.session.written_down(words, &mut self.effects),
            Return::Thought(piece) => self.session.thought(piece, &mut self.effects),
            Return::Spoke(Ok(bytes)) => self.on_audio(&bytes),
            Return::Spoke(Err(trouble)) => self.session.voice_failed(&trouble, &mut self.effects),
            Return::SentenceEnded => self.end_sentence(),
            Return::Woke => {}
        }
        self.proceed(ctx);
    }
}

impl Handler<EngineCommand> for CascadeSession {
    type Result = ();

    fn handle(&mut self, command: EngineCommand, ctx: &mut Self::Context) {
        match command {
            EngineCommand::Look | EngineCommand::Probe => return, // no socket is open that could be silent
            EngineCommand::Interrupted { heard } => self.session.interrupted(heard, &mut self.effects),
            EngineCommand::Prompt(instructions) => self.session.prompt(instructions),
            EngineCommand::TakeOver(_) => {} // of its sessions none ever ends, so none is renewed
            EngineCommand::GiveUp { detail } => self.session.give_up_waiting(&detail, &mut self.effects),
            EngineCommand::Finish => self.session.finish(&mut self.effects),
        }
        self.proceed(ctx);
    }
}
