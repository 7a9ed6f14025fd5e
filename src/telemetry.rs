//! Logs: where they go, how they look, and how a caller's number is written in them.
//!
//! This file refuses to know what is logged.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat, LogLevel};

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("bad value of RUST_LOG: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("logging was already set up")]
    SetUpTwice(#[from] SetGlobalDefaultError),
}

/// Sends the logs of this process to standard error. `rust_log_opt` is the variable `RUST_LOG`; it overrides the level.
pub fn init(log: &Log, rust_log_opt: Option<&str>) -> Result<(), TelemetryError> {
    let colours = io::stderr().is_terminal();
    match log.format {
        LogFormat::Pretty => set_global_default(pretty(log, rust_log_opt, colours, io::stderr)?)?,
        LogFormat::Json => set_global_default(json(log, rust_log_opt, io::stderr)?)?,
    }
    Ok(())
}

/// One line per event, for people.
fn pretty<W>(
    log: &Log,
    rust_log_opt: Option<&str>,
    colours: bool,
    to: W,
) -> Result<impl Subscriber, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(log.level, rust_log_opt)?;
    Ok(tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(to).finish())
}

/// One object per line, the event's fields beside its message and the spans around it in `spans`.
fn json<W>(log: &Log, rust_log_opt: Option<&str>, to: W) -> Result<impl Subscriber, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(log.level, rust_log_opt)?;
    Ok(tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(to).finish())
}

/// An empty variable counts as not set.
fn filter(level: LogLevel, rust_log_opt: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    match rust_log_opt {
        Some(directives) if !directives.is_empty() => Ok(EnvFilter::builder().parse(directives)?),
        _ => Ok(EnvFilter::default().add_directive(level.into())),
    }
}

/// A phone number as logs may show it: `+12065550188` is written `+1206***0188`.
///
/// Numbers of 11 to 15 digits keep four at either end and hide at least three; shorter ones keep the last two of at
/// least seven. Whatever else calls, a SIP address or a name, is hidden whole.
pub fn mask_number(number: &str) -> String {
    let (plus, digits) = number.strip_prefix('+').map_or(("", number), |digits| ("+", digits));
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.len() {
        length @ 11..=15 if is_number => format!("{plus}{}***{}", &digits[..4], &digits[length - 4..]),
        length @ 7..=10 if is_number => format!("***{}", &digits[length - 2..]),
        _ => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing::{debug, info, info_span};

    use super::*;

    const PRETTY: Log = Log { format: LogFormat::Pretty, level: LogLevel::Info };

    /// What a process would have written to its standard error.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn write_on(paper: &Paper) -> impl Fn() -> Paper + use<> {
        let paper = paper.clone();
        move || paper.clone()
    }

    #[test]
    fn json_lines_carry_the_fields_of_the_event_and_of_its_call() {
        let paper = Paper::default();
        let log = Log { format: LogFormat::Json, level: LogLevel::Info };
        with_default(json(&log, None, write_on(&paper)).unwrap(), || {
            let _call = info_span!("call", call_id = "0192").entered();
            info!(engine = "realtime", "ready");
        });
        let line: serde_json::Value = serde_json::from_str(&paper.text()).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"ready".into()));
        assert_eq!((&line["engine"], &line["spans"][0]["call_id"]), (&"realtime".into(), &"0192".into()));
    }

    #[test]
    fn pretty_lines_are_coloured_for_terminals_only() {
        for colours in [true, false] {
            let paper = Paper::default();
            with_default(pretty(&PRETTY, None, colours, write_on(&paper)).unwrap(), || info!("ready"));
            assert!(paper.text().contains("ready"));
            assert_eq!(paper.text().contains('\u{1b}'), colours);
        }
    }

    #[test]
    fn rust_log_overrides_the_level() {
        for (rust_log_opt, expected) in
            [(None, false), (Some(""), false), (Some("debug"), true), (Some("off"), false)]
        {
            let paper = Paper::default();
            with_default(pretty(&PRETTY, rust_log_opt, false, write_on(&paper)).unwrap(), || {
                debug!("detail");
            });
            assert_eq!(paper.text().contains("detail"), expected, "{rust_log_opt:?}");
        }
    }

    #[test]
    fn every_level_lets_its_own_lines_through_and_no_finer_ones() {
        use tracing::{error, trace, warn};
        let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        for (expected, level) in (1..).zip(levels) {
            let paper = Paper::default();
            let log = Log { level, ..PRETTY };
            with_default(pretty(&log, None, false, write_on(&paper)).unwrap(), || {
                error!("line");
                warn!("line");
                info!("line");
                debug!("line");
                trace!("line");
            });
            assert_eq!(paper.text().lines().count(), expected, "{level:?}");
        }
    }

    #[test]
    fn a_rust_log_that_cannot_be_read_is_an_error() {
        let error = init(&PRETTY, Some("tandem=loud")).unwrap_err();
        assert!(error.to_string().starts_with("bad value of RUST_LOG: "), "{error}");
    }

    #[test]
    fn setting_up_twice_is_an_error() {
        init(&PRETTY, Some("off")).unwrap();
        assert!(matches!(init(&PRETTY, Some("off")), Err(TelemetryError::SetUpTwice(_))));
    }

    #[test]
    fn a_masked_number_tells_where_from_and_not_who() {
        for (number, masked) in [
            ("+12065550188", "+1206***0188"),
            ("12065550188", "1206***0188"),
            ("+442071838750", "+4420***8750"),
            ("+999123456789012", "+9991***9012"),
            ("2065550188", "***88"),
            ("+4930123", "***23"),
            ("123456", "***"),
            ("+9991234567890123", "***"),
            ("anonymous", "***"),
            ("sip:alice@example.org", "***"),
            ("1206555018é", "***"),
            ("+", "***"),
            ("", "***"),
        ] {
            assert_eq!(mask_number(number), masked, "{number}");
        }
    }
}
