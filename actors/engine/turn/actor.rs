//! The turn engine as an actor: the stream of a chat model -> words that can be said.
//!
//! - Owner: the traditional call, which replaces it, twice in a call's life at most.
//! - In: [`AnswerCaller`], the model's stream (`add_stream`).
//! - Out: [`FromEngine`]: `ResponseBegan`, `Said`, `Used`, `Failed`, `Ended`.
//! - When full: one answer at a time; a new question abandons the answer under way. An answer is bounded.
//! - When it dies: the model's stream is dropped, and with it the request; the call asks a successor the same. The call
//!   ends it by letting go of it: it has nothing to close.
//!
//! It refuses to decide: [`Session`] does. It has no deadline either: the call knows how long its caller can wait.

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle, StreamHandler,
};
use futures_util::StreamExt;
use futures_util::stream;

use super::session::{Next, Session, Why};
use crate::agent::Agent;
use crate::ledger::Ledger;
use crate::messages::{EngineAccount, EngineFact, FromEngine};
use crate::ports::{ChatModel, ChatPiece, ChatRequest, ModelError};

pub struct TurnSession {
    session: Session,
    model: Arc<dyn ChatModel>,
    call: Recipient<FromEngine>,
    incarnation: u32,
    /// The stream that is read, by number: of one that was dropped a piece may still come.
    stream_opt: Option<(u64, SpawnHandle)>,
    streams: u64,
}

/// Makes the next turn of the agent's. Answered by `Said`, or by `Failed`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct AnswerCaller {
    /// What the answer will be called.
    pub item: String,
    pub ledger: Ledger,
    pub why: Why,
    /// Asked of the provider only then: what made the last attempt fail may have passed.
    pub after: Duration,
}

/// A piece of the stream with this number; nothing at its end.
struct Piece(u64, Option<Result<ChatPiece, ModelError>>);

impl TurnSession {
    pub fn new(
        agent: Arc<Agent>,
        answer_chars_max: usize,
        model: Arc<dyn ChatModel>,
        call: Recipient<FromEngine>,
        incarnation: u32,
    ) -> Self {
        let session = Session::new(agent, answer_chars_max);
        Self { session, model, call, incarnation, stream_opt: None, streams: 0 }
    }

    fn ask(&mut self, request: ChatRequest, after: Duration, ctx: &mut Context<Self>) {
        self.drop_stream(ctx);
        self.streams += 1;
        let number = self.streams;
        let model = Arc::clone(&self.model);
        let answer = async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            model.answer(request)
        };
        let pieces = stream::once(answer).flatten().map(Some).chain(stream::once(async { None }));
        self.stream_opt = Some((number, ctx.add_stream(pieces.map(move |piece| Piece(number, piece)))));
    }

    fn drop_stream(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, handle)) = self.stream_opt.take() {
            ctx.cancel_future(handle);
        }
    }

    fn tell(&self, fact: EngineFact) {
        // A few facts per turn: this cannot flood the call.
        self.call.do_send(FromEngine { incarnation: self.incarnation, fact });
    }
}

impl Actor for TurnSession {
    type Context = Context<Self>;
}

impl Handler<AnswerCaller> for TurnSession {
    type Result = ();

    fn handle(&mut self, AnswerCaller { item, ledger, why, after }: AnswerCaller, ctx: &mut Self::Context) {
        let request = self.session.begin(item, &ledger, why);
        self.ask(request, after, ctx);
    }
}

impl StreamHandler<Piece> for TurnSession {
    fn handle(&mut self, Piece(number, piece_opt): Piece, ctx: &mut Self::Context) {
        if self.stream_opt.is_none_or(|(current, _)| current != number) {
            return;
        }
        let mut facts = Vec::new();
        match self.session.take(piece_opt, &mut facts) {
            Next::Read => {}
            Next::Ask(request) => self.ask(request, Duration::ZERO, ctx),
            Next::Drop => self.drop_stream(ctx),
        }
        let failed = facts.iter().any(|fact| matches!(fact, EngineFact::Failed(_)));
        for fact in facts {
            self.tell(fact);
        }
        if failed {
            self.tell(EngineFact::Ended { account: EngineAccount::default() });
            ctx.stop();
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {} // an answer is over, not the engine
}
