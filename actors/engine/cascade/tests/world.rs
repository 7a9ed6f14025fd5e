//! A cascade between a caller and an ear, on virtual time: what the call and the leg are to it in life.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler};
use tandem_media::frame::G711Frame;
use tandem_media::playout::{Heard, Part};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::models::Desk;
use super::sounds::{frames, quiet};
use crate::agent::{Agent, TurnDetection, TurnDetectionKind};
use crate::call::opening::opening;
use crate::engine::Begin;
use crate::engine::cascade::{CascadeSession, CascadeWiring};
use crate::kit::child::{self, Child};
use crate::kit::exit::{Cause, Exited};
use crate::kit::lane::{Lane, LaneReader};
use crate::ledger::Ledger;
use crate::messages::{
    AgentAudio, EngineAccount, EngineCommand, EngineFact, EngineFailure, FromEngine, Generation,
};
use crate::usage::{Amount, Used, Work};

pub(crate) fn agent() -> Agent {
    Agent {
        name: "night desk".to_owned(),
        instructions: "You are the night desk.".to_owned(),
        greeting: String::new(),
        voice: "marin".to_owned(),
        language: "en".to_owned(),
        model: String::new(),
        transcription_model: String::new(),
        turn_detection: TurnDetection {
            kind: TurnDetectionKind::ServerVad {
                threshold: 0.5,
                prefix_padding: Duration::from_millis(300),
                silence: Duration::from_millis(500),
                idle_timeout: None,
            },
            interrupt_response: true,
        },
        noise_reduction: None,
        reasoning_effort: None,
        output_tokens_max: Some(300),
        farewell: String::new(),
        too_costly: String::new(),
    }
}

pub(crate) fn begin(agent: Agent, ledger: Ledger) -> Begin {
    Begin {
        agent: Arc::new(agent),
        opening: opening(&ledger, false),
        ledger,
        generation: Generation(3),
        first_part: Part(10),
        ready_max: Duration::from_secs(8),
    }
}

pub(crate) struct World {
    pub(crate) desk: Arc<Desk>,
    engine: Child<CascadeSession>,
    caller: Lane<G711Frame>,
    agent: Lane<AgentAudio<u8, 160>>,
    ear: LaneReader<AgentAudio<u8, 160>>,
    facts: mpsc::UnboundedReceiver<(Instant, EngineFact)>,
    exits: mpsc::UnboundedReceiver<Exited<()>>,
    born: Instant,
    /// What the caller will say, frame by frame; then the line is quiet.
    pub(crate) speech: VecDeque<G711Frame>,
    generation: Generation,
    heard: Option<Heard>,
    /// Everything the engine told, and when: milliseconds since its birth.
    pub(crate) told: Vec<(u64, EngineFact)>,
    /// Milliseconds of the agent that the caller has heard.
    pub(crate) played_ms: u64,
}

struct Call(mpsc::UnboundedSender<(Instant, EngineFact)>, mpsc::UnboundedSender<Exited<()>>);

impl Actor for Call {
    type Context = Context<Self>;
}

impl Handler<FromEngine> for Call {
    type Result = ();

    fn handle(&mut self, FromEngine { incarnation, fact }: FromEngine, _: &mut Self::Context) {
        assert_eq!(incarnation, 7);
        self.0.send((Instant::now(), fact)).expect("the test still listens");
    }
}

impl Handler<Exited<()>> for Call {
    type Result = ();

    fn handle(&mut self, exited: Exited<()>, _: &mut Self::Context) {
        self.1.send(exited).expect("the test still listens");
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Arc::default(), agent(), Ledger::default(), &[], 15_000)
    }

    pub(crate) fn greeting() -> Self {
        let desk = Arc::<Desk>::default();
        desk.answers([super::models::Words("Good evening.")]);
        let agent = Agent { greeting: "Say good evening.".to_owned(), ..agent() };
        Self::with(desk, agent, Ledger::default(), &[], 15_000)
    }

    /// An engine that finds this much of the caller in its lane when it is born.
    pub(crate) fn with(desk: Arc<Desk>, agent: Agent, ledger: Ledger, waiting: &[u8], depth: usize) -> Self {
        tokio::time::pause();
        let (caller, agent_lane) = (Lane::new(10_000), Lane::new(depth));
        for frame in frames(waiting) {
            caller.writer().offer(frame).unwrap();
        }
        let (told, facts) = mpsc::unbounded_channel();
        let (exited, exits) = mpsc::unbounded_channel();
        let call = Call(told, exited).start();
        let wiring = CascadeWiring {
            caller: caller.reader(),
            agent: agent_lane.writer(),
            call: call.clone().recipient(),
            incarnation: 7,
        };
        let (begin, models) = (begin(agent, ledger), desk.models());
        let engine =
            child::spawn(call.recipient(), (), 7, |ctx| CascadeSession::attach(ctx, begin, models, wiring));
        Self {
            desk,
            engine,
            ear: agent_lane.reader(),
            caller,
            agent: agent_lane,
            facts,
            exits,
            born: Instant::now(),
            speech: VecDeque::new(),
            generation: Generation(3),
            heard: None,
            told: Vec::new(),
            played_ms: 0,
        }
    }

    /// The caller will say this next.
    pub(crate) fn say(&mut self, codes: &[u8]) {
        self.speech.extend(frames(codes));
    }

    /// The caller says this at once, faster than real time.
    pub(crate) fn burst(&mut self, codes: &[u8]) {
        for frame in frames(codes) {
            self.caller.writer().offer(frame).unwrap();
        }
    }

    pub(crate) fn command(&self, command: EngineCommand) {
        self.engine.addr.do_send(command);
    }

    /// Lets time pass: a frame each way every 20 ms.
    pub(crate) async fn run(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            let frame = self.speech.pop_front().unwrap_or_else(|| frames(&quiet(20))[0]);
            self.caller.writer().offer(frame).unwrap();
            self.play_a_frame();
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.take_facts();
        }
    }

    /// Plays out what waits until the agent is silent, and at most this long.
    pub(crate) async fn run_until(&mut self, ms_max: u64, mut until: impl FnMut(&Self) -> bool) {
        for _ in 0..ms_max / 20 {
            if until(self) {
                return;
            }
            self.run(20).await;
        }
        panic!("not within {ms_max} ms: {:#?}", self.told);
    }

    fn play_a_frame(&mut self) {
        while let Some(item) = self.ear.take() {
            assert_eq!(item.tag().generation, self.generation, "stale audio in the lane");
            if let AgentAudio::Frame(tag, frame) = item {
                let before =
                    self.heard.filter(|heard| heard.part == tag.part).map_or(0, |heard| heard.samples);
                self.heard = Some(Heard { part: tag.part, samples: before + frame.len() as u64 });
                self.played_ms += frame.len() as u64 / 8;
                return;
            }
        }
    }

    fn take_facts(&mut self) {
        while let Ok((at, fact)) = self.facts.try_recv() {
            if let EngineFact::CallerSpeaking { generation, .. } = &fact {
                assert!(*generation > self.generation);
                self.generation = *generation;
                self.ear.clear(|item| item.tag().generation < *generation);
                let heard = self.heard.take();
                self.command(EngineCommand::Interrupted { heard });
            }
            let at_ms = u64::try_from(at.duration_since(self.born).as_millis()).unwrap();
            self.told.push((at_ms, fact));
        }
    }

    /// The facts as words, without those that are only told for the record.
    pub(crate) fn story(&self) -> Vec<String> {
        let is_story =
            |fact: &&EngineFact| !matches!(fact, EngineFact::Used(used) if used.work != Work::Answering);
        self.told.iter().map(|(_, fact)| fact).filter(is_story).map(describe).collect()
    }

    /// What models that hear or speak were used for.
    pub(crate) fn used(&self, work: Work) -> Vec<Amount> {
        let used = |fact: &EngineFact| match fact {
            EngineFact::Used(used) if used.work == work => Some(used.amount),
            _ => None,
        };
        self.told.iter().filter_map(|(_, fact)| used(fact)).collect()
    }

    pub(crate) fn at_of(&self, wanted: &str) -> u64 {
        let found = self.told.iter().find(|(_, fact)| describe(fact).starts_with(wanted));
        found.unwrap_or_else(|| panic!("no {wanted} in {:#?}", self.story())).0
    }

    pub(crate) fn failure(&self) -> Option<&EngineFailure> {
        self.told.iter().find_map(|(_, fact)| match fact {
            EngineFact::Failed(failure) => Some(failure),
            _ => None,
        })
    }

    /// The engine has ended: its last word, checked against the lanes.
    pub(crate) async fn ended(mut self) -> (EngineAccount, Vec<String>) {
        let exited = tokio::time::timeout(Duration::from_secs(1), self.exits.recv()).await;
        assert_eq!(exited.expect("it ends").expect("the call listens").cause, Cause::Stopped);
        self.take_facts();
        let ends = self.told.iter().filter(|(_, fact)| matches!(fact, EngineFact::Ended { .. })).count();
        let Some((_, EngineFact::Ended { account })) = self.told.last() else { panic!("{:?}", self.story()) };
        assert_eq!(ends, 1);
        assert_eq!(self.desk.open(), 0, "every request is answered or abandoned");
        let books = self.caller.books();
        assert_eq!(account.frames_forwarded + account.frames_shed, books.taken, "the caller's lane");
        assert_eq!(account.frames_refused, self.agent.books().refused, "the agent's lane");
        (*account, self.story())
    }

    pub(crate) async fn finish(self) -> (EngineAccount, Vec<String>) {
        self.command(EngineCommand::Finish);
        self.ended().await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        tokio::time::resume(); // a test may make several worlds, one after the other
    }
}

fn describe(fact: &EngineFact) -> String {
    match fact {
        EngineFact::Ready { .. } => "ready".to_owned(),
        EngineFact::CallerSpeaking { generation, item } => format!("speaking {item} g{}", generation.0),
        EngineFact::CallerSilent { item } => format!("silent {item}"),
        EngineFact::ResponseBegan => "thinking".to_owned(),
        EngineFact::AgentBroke { part, audio_ms } => format!("broke {} {audio_ms}", part.0),
        EngineFact::ResponseEnded | EngineFact::Doubted { .. } | EngineFact::Trusted => {
            unreachable!("told by engines with a session: {fact:?}")
        }
        EngineFact::AgentBegan { part, item, prompted } => {
            assert_eq!(*item, format!("agent-{}", part.0));
            format!("began {}{}", part.0, if *prompted { " prompted" } else { "" })
        }
        EngineFact::AgentEnded { part, audio_ms } => format!("ended {} {audio_ms}", part.0),
        EngineFact::Said { who, item, text } => format!("said {who:?} {item}: {text}"),
        EngineFact::Used(Used { amount: Amount::Tokens(usage), .. }) => {
            format!("used {}", usage.total_tokens)
        }
        EngineFact::Used(used) => format!("used {used:?}"),
        EngineFact::Truncated { part, audio_end_ms } => format!("truncated {} {audio_end_ms}", part.0),
        EngineFact::Failed(failure) => format!("failed {:?}", failure.kind),
        EngineFact::Ended { .. } => "over".to_owned(),
    }
}
