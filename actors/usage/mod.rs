//! Usage: what a call uses, priced as it is used, and handed over to be kept.
//!
//! An [`entry`] says what was used, the [`recorder`] makes a priced [`event`] of it, and [`actor`] carries that out beside
//! a call. [`meter`] knows what runs while a call lasts, [`heard`] what was paid for in vain, [`untold`] what no provider
//! said. Whoever serves a call decides what is entered, and keeps the sums: they travel with the call.
//!
//! This folder refuses to know calls, caps, and where events are kept.

pub mod actor;
pub mod entry;
pub mod event;
pub mod heard;
pub mod meter;
pub mod recorder;
pub mod untold;

use std::sync::Arc;

pub use actor::{FromUsage, Record, UsageRecorder};
pub use entry::{Amount, Entry, Item, Used, Work};
pub use meter::Run;
pub use recorder::{Price, Recorded, Recorder};

use crate::mode::Mode;
use crate::ports::{CallId, Clock, Ids, PriceLists, UsageSpool};

/// What usage is recorded with. One per process, shared by all calls.
#[derive(Clone)]
pub struct Recording {
    pub prices: Arc<dyn PriceLists>,
    pub spool: Arc<dyn UsageSpool>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

impl Recording {
    pub fn recorder(&self, call: CallId, agent: &str) -> Recorder {
        Recorder::new(call, agent, Arc::clone(&self.prices))
    }

    /// What happens now, in a call that is in this mode.
    pub fn entry(&self, mode: Mode, item: Item) -> Entry {
        Entry { id: self.ids.event_id(), at: self.clock.now(), mode, item, unheard_microusd: 0 }
    }
}
