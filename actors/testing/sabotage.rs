//! Sabotage: ways for a child to die that no message of the protocol can cause.

use actix::{Actor, ActorContext, Context, Handler, Message};

use crate::call::CallActor;
use crate::call::decide::Role;
use crate::engine::cascade::CascadeSession;
use crate::engine::realtime::RealtimeSession;
use crate::leg::twilio::TwilioStream;
use crate::transcoder::Transcoder;
use crate::usage::UsageRecorder;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Sabotage {
    Panic,
    /// Stops without saying why.
    Stop,
    /// Through the kill switch; only the owner can do that.
    Kill,
}

/// Told to a call, for one of its children, or for itself when no role is named.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SabotageChild {
    pub role: Option<Role>,
    pub how: Sabotage,
}

fn strike<A: Actor<Context = Context<A>>>(how: Sabotage, ctx: &mut Context<A>) {
    match how {
        Sabotage::Panic => panic!("sabotaged"),
        Sabotage::Stop | Sabotage::Kill => ctx.stop(),
    }
}

macro_rules! sabotaged {
    ($($actor:ty),+) => {$(
        impl Handler<Sabotage> for $actor {
            type Result = ();

            fn handle(&mut self, how: Sabotage, ctx: &mut Self::Context) {
                strike(how, ctx);
            }
        }
    )+};
}

sabotaged!(TwilioStream, RealtimeSession, CascadeSession, Transcoder, UsageRecorder);

impl Handler<SabotageChild> for CallActor {
    type Result = ();

    fn handle(&mut self, SabotageChild { role, how }: SabotageChild, ctx: &mut Self::Context) {
        match role {
            None => strike(how, ctx),
            Some(role) => self.sabotage(role, how),
        }
    }
}
