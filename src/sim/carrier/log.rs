//! The running record of a call: every event with its time, told on as it happens.
//!
//! Knows nothing of how a call works.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    CarrierEvent, Clear, DialRecord, DocumentRecord, GatherRecord, Heard, Progress, Sound, Warning,
    WebhookRecord,
};

/// Warnings kept; a switch that earns more has been told.
const WARNINGS_MAX: usize = 1_000;

/// How often a listener hears that time passes.
const PASSING_EVERY: Duration = Duration::from_millis(200);

pub(crate) struct Log<'a> {
    pub(crate) began: Instant,
    told_at: Instant,
    pub(crate) events: Vec<(Duration, CarrierEvent)>,
    pub(crate) webhooks: Vec<WebhookRecord>,
    pub(crate) documents: Vec<DocumentRecord>,
    pub(crate) gathers: Vec<GatherRecord>,
    pub(crate) dials: Vec<DialRecord>,
    pub(crate) cleared: Vec<Clear>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) received_ms: u64,
    pub(crate) played_ms: u64,
    listener: &'a mut (dyn FnMut(Progress<'_>) + Send),
}

impl<'a> Log<'a> {
    pub(crate) fn new(began: Instant, listener: &'a mut (dyn FnMut(Progress<'_>) + Send)) -> Self {
        Self {
            began,
            told_at: began,
            events: Vec::new(),
            webhooks: Vec::new(),
            documents: Vec::new(),
            gathers: Vec::new(),
            dials: Vec::new(),
            cleared: Vec::new(),
            warnings: Vec::new(),
            received_ms: 0,
            played_ms: 0,
            listener,
        }
    }

    /// Time since the call began.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn event(&mut self, event: CarrierEvent) {
        let at = self.now();
        tracing::debug!(?at, ?event, "carrier");
        (self.listener)(Progress { at, news: Some(&event) });
        self.events.push((at, event));
    }

    /// Something of the running document was heard.
    pub(crate) fn heard(&mut self, at: Duration, until: Duration, what: Sound) {
        if let Some(document) = self.documents.last_mut() {
            document.heard.push(Heard { at, length: until.saturating_sub(at), what });
        }
    }

    pub(crate) fn cleared(&mut self, clear: Clear) {
        self.cleared.push(clear);
        self.event(CarrierEvent::Cleared { dropped_ms: clear.dropped_ms });
    }

    pub(crate) fn warn(&mut self, code: u32, text: String) {
        tracing::debug!(code, text, "carrier warns");
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push((code, text));
        }
    }

    /// Adds a stream's audio to the call's.
    pub(crate) fn played(&mut self, received_ms: u64, played_ms: u64) {
        self.received_ms += received_ms;
        self.played_ms += played_ms;
    }

    /// Time passes without news.
    pub(crate) fn passing(&mut self) {
        if self.told_at.elapsed() >= PASSING_EVERY {
            self.told_at = Instant::now();
            let at = self.now();
            (self.listener)(Progress { at, news: None });
        }
    }
}
