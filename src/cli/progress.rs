//! A progress line on the error stream while a call runs: one line that is rewritten on a terminal, a line every few
//! seconds elsewhere. It refuses to say anything that belongs into a report.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tandem_sim::carrier::{CarrierEvent, Progress};

/// Between lines where they cannot be rewritten.
const EVERY: Duration = Duration::from_secs(5);

pub(super) struct ProgressLine {
    quiet: bool,
    terminal: bool,
    state: &'static str,
    told_at: Option<Duration>,
}

impl ProgressLine {
    /// A quiet one says nothing.
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), state: "ringing", told_at: None }
    }

    pub(super) fn show(&mut self, progress: Progress<'_>) {
        let news = progress.news.and_then(state_of);
        self.state = news.unwrap_or(self.state);
        let due = self.told_at.is_none_or(|told_at| progress.at >= told_at + EVERY);
        if self.quiet || !(self.terminal || due) {
            return;
        }
        self.told_at = Some(progress.at);
        let line = format!("call {:5.1} s  {:<28}", progress.at.as_secs_f64(), self.state);
        let mut stderr = std::io::stderr().lock();
        let written =
            if self.terminal { write!(stderr, "\r{line}") } else { writeln!(stderr, "{}", line.trim_end()) };
        self.quiet |= written.is_err(); // nobody listens any more
    }

    /// Leaves the terminal's line free for what comes next.
    pub(super) fn finish(&mut self) {
        if self.terminal && !self.quiet {
            eprint!("\r{:40}\r", "");
        }
    }
}

fn state_of(event: &CarrierEvent) -> Option<&'static str> {
    Some(match event {
        CarrierEvent::WebhookPosted { .. } => "ringing",
        CarrierEvent::StreamConnecting { .. } => "connecting",
        CarrierEvent::StartSent { .. } | CarrierEvent::AudioEnded => "the caller has the line",
        CarrierEvent::AudioBegan => "the agent speaks",
        CarrierEvent::Listening => "the carrier listens",
        CarrierEvent::Ringing { .. } => "a human is called",
        CarrierEvent::Bridged { .. } => "a human has the line",
        CarrierEvent::Cleared { .. } => "the caller cuts in",
        CarrierEvent::HungUp => "hung up",
        _ => return None,
    })
}
