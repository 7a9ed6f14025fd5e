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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing::subscriber::with_default;

    use super::*;

    /// What a process would have written to its standard error.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn it_is_told_once_when_it_goes_up_and_once_when_it_is_over() {
        let paper = Paper::default();
        let writer = paper.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        with_default(log, || {
            let (alarm, dir) = (Alarm::default(), Path::new("/spool"));
            alarm.lower(dir);
            alarm.raise(dir, "memory is full".to_owned());
            alarm.raise(dir, "disk is full".to_owned());
            assert_eq!(alarm.reason_opt().as_deref(), Some("disk is full"));
            alarm.lower(dir);
            alarm.lower(dir);
            assert_eq!(alarm.reason_opt(), None);
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let levels: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(levels, ["ERROR", "INFO"], "{text}");
        assert!(text.contains("memory is full") && text.contains("/spool"), "{text}");
    }
}
