//! What a call uses, on its way to the recorder, and what comes back: prices, and the recorder's deaths.
//!
//! The call keeps every entry until it is recorded, so that a successor of the recorder can be told it again. It refuses
//! to price anything, and to decide whether a recorder is replaced: that is the supervision table's.

use std::collections::VecDeque;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};
use tandem_media::frame::FRAME_MS;
use tandem_media::playout::Part;
use tokio::time::Instant;
use uuid::Uuid;

use super::cost::{Bill, BillLine, Spent};
use super::decide::{EndReason, Role};
use super::phase::Phase;
use super::{CallActor, leave};
use crate::kit::child::{self, Child};
use crate::ports::Line;
use crate::usage::heard::Earshot;
use crate::usage::meter::Meter;
use crate::usage::untold::Untold;
use crate::usage::{Amount, Entry, FromUsage, Item, Price, Record, UsageRecorder, Used, Work};

/// Entries that no recorder has answered for. It answers within a turn of the thread's loop, in which a call makes a
/// dozen of them at most; a hundred times that, 200 KB, only a recorder that is not run at all can leave lying.
const UNRECORDED_MAX: usize = 1_024;

pub(super) struct Metering {
    meter: Meter,
    recorder: Option<Child<UsageRecorder>>,
    /// Oldest first, which is the order in which the recorder answers.
    unrecorded: VecDeque<Entry>,
    /// What the last recorder died over, if it was an entry: one that takes two along is left out.
    suspect: Option<Uuid>,
    untold: Untold,
    pub(super) earshot: Earshot,
    bill: Bill,
    /// Entries that are in no event.
    pub(super) lost: u32,
    /// The call's record was kept for whoever comes next while some entries had no price yet.
    unsettled: bool,
    /// The rest has been told.
    closed: bool,
}

impl Metering {
    pub(super) fn new(told: Spent, age: Duration, now: Instant) -> Self {
        Self {
            meter: Meter::new(told.told, age, now),
            recorder: None,
            unrecorded: VecDeque::new(),
            suspect: None,
            untold: Untold::default(),
            earshot: Earshot::default(),
            bill: Bill::default(),
            lost: 0,
            unsettled: false,
            closed: false,
        }
    }

    pub(super) fn bill(&self) -> Vec<BillLine> {
        self.bill.lines(|model| self.earshot.unheard_microusd_of(model))
    }

    #[cfg(feature = "testing")]
    pub(super) fn recorder(&self) -> Option<&Child<UsageRecorder>> {
        self.recorder.as_ref()
    }
}

impl CallActor {
    // ------------------------------------------------------------ the recorder

    /// A recorder, in the place of one that died: it is told again what that one has not answered for.
    pub(super) fn spawn_recorder(&mut self, ctx: &mut Context<Self>) {
        let incarnation = self.next_incarnation(Role::Usage);
        let recording = &self.setup.recording;
        let (recorder, spool) =
            (recording.recorder(self.setup.id, &self.setup.agent.name), recording.spool.clone());
        let call = ctx.address();
        let recorder = child::spawn(call.clone().recipient(), Role::Usage, incarnation, move |_| {
            UsageRecorder::new(recorder, spool, call.recipient())
        });
        for entry in &self.metering.unrecorded {
            recorder.addr.do_send(Record(entry.clone())); // as many as may be unrecorded
        }
        self.metering.recorder = Some(recorder);
    }

    /// The recorder of this incarnation is gone; tells whether it was the present one. Should a successor die over the
    /// same entry, that is left out.
    pub(super) fn recorder_left(&mut self, incarnation: u32) -> bool {
        let left = leave(&mut self.metering.recorder, incarnation);
        if left {
            self.suspect_entry();
        }
        left
    }

    fn suspect_entry(&mut self) {
        let suspect = self.metering.suspect;
        match self.metering.unrecorded.pop_front_if(|entry| suspect == Some(entry.id)) {
            Some(entry) => {
                tracing::error!(call_id = %self.setup.id, item = ?entry.item, "usage that recorders die of is left out");
                self.count_lost(&entry);
            }
            None => self.metering.suspect = self.metering.unrecorded.front().map(|entry| entry.id),
        }
    }

    /// Nothing is recorded any more: the call goes on, and what it costs is unknown from now on.
    pub(super) fn go_without_recorder(&mut self, why: &str) {
        tracing::error!(call_id = %self.setup.id, why, "usage recorder dies too often; the call goes on unrecorded");
        for entry in std::mem::take(&mut self.metering.unrecorded) {
            self.count_lost(&entry);
        }
    }

    fn count_lost(&mut self, entry: &Entry) {
        self.metering.lost += 1;
        if entry.item.payee_opt().is_some() {
            self.setup.purse.pay(None, entry.at);
        }
        if entry.item.is_models() {
            self.spent.note(None);
        }
    }

    // ------------------------------------------------------------ what is used

    /// What runs while the call lasts. Once a second.
    pub(super) fn tick_meter(&mut self) {
        if self.phase != Phase::Ending {
            let taken = self.caller_audio_taken();
            let due = self.metering.meter.tick(Instant::now(), Line::Streamed, taken);
            self.show_run();
            self.enter(self.entries(due));
        }
    }

    /// The call's mode is about to change: what has run until now is the old one's.
    pub(super) fn flush_meter(&mut self) {
        let taken = self.caller_audio_taken();
        let due = self.metering.meter.flush(Instant::now(), taken);
        self.show_run();
        self.enter(self.entries(due));
    }

    /// The caller is there from now on, or is not.
    pub(super) fn meter_serves(&mut self, served: bool) {
        self.metering.meter.serve(served, Instant::now());
        self.show_run();
    }

    /// Before it is told in events: who is killed in between must not have told it twice.
    fn show_run(&self) {
        let run = self.metering.meter.run(Instant::now(), Line::Streamed, self.caller_audio_taken());
        self.setup.recording.spool.running(self.setup.id, Some(run));
    }

    /// The call ends here for `reason`; for good unless it goes on elsewhere.
    pub(super) fn end_meter(&mut self, reason: &EndReason) {
        self.meter_serves(false);
        if !reason.goes_on() {
            self.metering.meter.end(reason.name(), Instant::now());
        }
    }

    /// Tells the rest, when everything else that was used has its price. Tells whether all is recorded.
    pub(super) fn close_meter(&mut self) -> bool {
        if !self.metering.unrecorded.is_empty() {
            return false;
        }
        if !std::mem::replace(&mut self.metering.closed, true) {
            let taken = self.caller_audio_taken();
            let mut due = self.metering.meter.close(Instant::now(), taken);
            self.setup.recording.spool.running(self.setup.id, None);
            let unheard = self.metering.earshot.unheard_microusd();
            if due.is_empty() && unheard > 0 {
                due.push(Item::Served(Duration::ZERO)); // it has to be told of with something
            }
            let mut entries = self.entries(due);
            if let Some(last) = entries.last_mut() {
                last.unheard_microusd = unheard;
            }
            self.enter(entries);
        }
        self.metering.unrecorded.is_empty()
    }

    pub(super) fn used(&mut self, incarnation: u32, used: Used) {
        if used.work == Work::Answering {
            self.metering.untold.told(incarnation);
        }
        self.enter_used(incarnation, used);
    }

    pub(super) fn response_began(&mut self, incarnation: u32) {
        if self.metering.untold.began(incarnation) {
            self.enter_untold(incarnation);
        }
    }

    /// An engine is gone: of a response that it was at, nobody will tell what it used.
    pub(super) fn engine_left(&mut self, incarnation: u32) {
        if self.metering.untold.gone(incarnation) {
            self.enter_untold(incarnation);
        }
    }

    fn enter_untold(&mut self, incarnation: u32) {
        self.enter_used(incarnation, Used { work: Work::Answering, amount: Amount::Untold });
    }

    fn enter_used(&mut self, incarnation: u32, used: Used) {
        let mode = self.mode_of(incarnation);
        let model = self.setup.engines.model(mode, used.work, &self.setup.agent);
        let entry = self.setup.recording.entry(mode, Item::Used(model, used));
        self.enter([entry]);
    }

    fn entries(&self, due: Vec<Item>) -> Vec<Entry> {
        due.into_iter().map(|item| self.setup.recording.entry(self.mode, item)).collect()
    }

    fn enter(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            let metering = &mut self.metering;
            match &metering.recorder {
                Some(recorder) if metering.unrecorded.len() < UNRECORDED_MAX => {
                    recorder.addr.do_send(Record(entry.clone())); // bounded by what is unrecorded
                    metering.unrecorded.push_back(entry);
                }
                Some(_) | None => self.count_lost(&entry),
            }
        }
    }

    fn caller_audio_taken(&self) -> Duration {
        Duration::from_millis(self.lanes.caller.books().taken * u64::from(FRAME_MS))
    }

    // ------------------------------------------------------------ what it cost

    /// What the call has cost until now, as far as it is known.
    pub(super) fn spent_now(&self) -> Spent {
        let mut spent = self.spent;
        let unheard = self.metering.earshot.unheard_microusd();
        spent.unheard_microusd = self.setup.spent.unheard_microusd.saturating_add(unheard);
        spent.told = self.metering.meter.told();
        spent
    }

    /// The record has been kept for whoever comes next; what is not priced by now will be within this turn of the loop,
    /// while the carrier's next question is a network away.
    pub(super) fn settle_later(&mut self) {
        self.metering.unsettled = !self.metering.unrecorded.is_empty();
    }

    /// The model that speaks in engines of this incarnation has begun to.
    pub(super) fn voice_began(&mut self, part: Part) {
        let voice = self.setup.engines.voice(self.mode, &self.setup.agent);
        self.metering.earshot.began(part, &voice);
    }

    fn pay(&mut self, entry: &Entry, price: Price) {
        let Some(payee) = entry.item.payee_opt() else { return };
        self.metering.bill.note(&payee, price.microusd_opt);
        self.setup.purse.pay(price.microusd_opt, entry.at);
        match &entry.item {
            Item::Used(_, used) => {
                // What nobody has told the amount of is everyday: a caller who hangs up in mid-answer.
                let is_told = used.amount != Amount::Untold;
                if is_told && price.microusd_opt.is_none() && self.spent.unpriced == 0 {
                    let (call_id, model) = (self.setup.id, &payee.name);
                    tracing::warn!(%call_id, model, "price is unknown; the call's cost is more than is counted");
                }
                self.spent.note(price.microusd_opt);
                self.metering.earshot.paid(&payee, price.audio_out_microusd);
                tracing::debug!(call_id = %self.setup.id, model = payee.name, spent = ?self.spent, "model used");
            }
            _ => self.spent.note_carrier(price.microusd_opt),
        }
    }
}

impl Handler<FromUsage> for CallActor {
    type Result = ();

    fn handle(&mut self, FromUsage { id, price }: FromUsage, ctx: &mut Self::Context) {
        // An answer counts once, whoever gives it.
        let Some(entry) = self.metering.unrecorded.pop_front_if(|entry| entry.id == id) else { return };
        self.pay(&entry, price);
        self.keep_live();
        if self.metering.unrecorded.is_empty() && std::mem::take(&mut self.metering.unsettled) {
            self.keep_end();
        }
        self.conclude_if_alone(ctx);
    }
}
