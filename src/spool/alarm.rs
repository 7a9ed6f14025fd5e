//! The spool's alarm: up while records may not survive, with the reason.
//!
//! It refuses to know what can go wrong. One error is logged when it goes up, and one line when it comes down.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Alarm {
    reason_opt: Mutex<Option<String>>,
}

impl Alarm {
    /// A later reason takes the place of an earlier one: that memory is full is told first when the disk hangs, and what
    /// the disk says is worth more.
    pub(super) fn raise(&self, dir: &Path, reason: String) {
        let mut place = self.place();
        let is_new = place.is_none();
        if is_new {
            tracing::error!(dir = %dir.display(), reason, "spool alarm: calls go on, but their records may be lost");
        }
        *place = Some(reason);
    }

    pub(super) fn lower(&self, dir: &Path) {
        if self.place().take().is_some() {
            tracing::info!(dir = %dir.display(), "spool alarm is over");
        }
    }

    pub(super) fn reason_opt(&self) -> Option<String> {
        self.place().clone()
    }

    fn place(&self) -> MutexGuard<'_, Option<String>> {
        self.reason_opt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
