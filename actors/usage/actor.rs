//! The recorder as an actor: entries in, events into the spool, prices back to the call.
//!
//! - Owner: the call, which replaces it at once when it dies, 5 times in 60 s; beyond that the call goes on without.
//! - In: [`Record`].
//! - Out: events to the spool, [`FromUsage`] for every entry, in their order.
//! - When full: a few entries per turn, and the spool never waits; the call keeps at most so many that are unanswered.
//! - When it dies: the call tells its successor again what it had no answer for. An event that had gone out before is the
//!   same one by its id, and the call adds a price up once: nothing is lost, nothing counts twice.
//!
//! It refuses to decide and to add up: [`Recorder`] prices, and the sums are the call's, where they outlive it. It is an
//! actor so that a price list, or a spool, that panics takes no call along.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, Recipient};
use uuid::Uuid;

use super::entry::Entry;
use super::recorder::{Price, Recorded, Recorder};
use crate::ports::UsageSpool;

pub struct UsageRecorder {
    recorder: Recorder,
    spool: Arc<dyn UsageSpool>,
    call: Recipient<FromUsage>,
}

/// Something was used. Answered by [`FromUsage`].
#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Record(pub Entry);

/// The entry of this id is an event in the spool, and costs this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct FromUsage {
    pub id: Uuid,
    pub price: Price,
}

impl UsageRecorder {
    pub fn new(recorder: Recorder, spool: Arc<dyn UsageSpool>, call: Recipient<FromUsage>) -> Self {
        Self { recorder, spool, call }
    }
}

impl Actor for UsageRecorder {
    type Context = Context<Self>;
}

impl Handler<Record> for UsageRecorder {
    type Result = ();

    fn handle(&mut self, Record(entry): Record, _: &mut Self::Context) {
        let Recorded { event, price } = self.recorder.record(&entry);
        self.spool.append(event);
        self.call.do_send(FromUsage { id: entry.id, price }); // one per entry, which are a few per turn
    }
}
