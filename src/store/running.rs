//! Time that a process could not tell in usage events, since it was killed: written as events by its last word, which the
//! next process finds.
//!
//! It refuses to know how time is measured.

use jiff::SignedDuration;
use serde_json::Value;
use tandem_actors::ports::CallId;
use tandem_actors::usage::event::{EventKind, Unit};
use uuid::Uuid;

use super::calls::{USAGE_EVENTS, name};
use super::columns::{Id, Stamp};
use super::database::{Connection, row};
use super::rollup;
use super::rows::{Row, id, integer, stamp, text};
use crate::journal::{LeftEntry, RunningCall};

/// A process says every tenth of a second what runs. If it was killed between an event that told it and its next word,
/// the event is younger than its last word, but not by so much: what comes later is another process's.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// Of an event that nobody told while it lasted.
const RECOVERED: &str = r#"{"recovered":true}"#;

/// `user_id, agent, mode, price_version`
type CallRow = (Option<Id>, String, String, i64);

/// Tells what a killed process has left. Told twice, it is there once.
pub(super) async fn tell(connection: &mut Connection<'_>, left: &LeftEntry) -> sqlx::Result<()> {
    for call in &left.calls {
        tell_of(connection, left, call).await?;
    }
    Ok(())
}

async fn tell_of(
    connection: &mut Connection<'_>,
    left: &LeftEntry,
    running: &RunningCall,
) -> sqlx::Result<()> {
    let at = left.at;
    let select = "SELECT user_id, agent, mode, \
                  COALESCE((SELECT MAX(price_version) FROM usage_events WHERE call_id = $1), 0) \
                  FROM calls WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM usage_events WHERE call_id = $1 \
                  AND event_type = 'voice_minute' AND at >= $2 AND at < $3)";
    let until = Stamp(at.saturating_add(TOLD_WITHIN).unwrap_or(at));
    let found: Option<CallRow> = row!(connection, select, Id(running.call.0), Stamp(at), until)?;
    let Some((user, agent, mode, price_version)) = found else { return Ok(()) };
    let event = |kind: EventKind, ms: u64| -> Row {
        vec![
            id(event_id(left, running.call, kind)),
            stamp(at),
            id(running.call.0),
            user.map_or(Value::Null, |Id(user)| id(user)),
            text(&agent),
            text(&mode),
            name(&kind),
            Value::Null,
            Value::Null,
            integer(ms),
            name(&Unit::Millisecond),
            text(RECOVERED),
            integer(0),
            integer(0),
            price_version.into(),
        ]
    };
    let times = [(EventKind::VoiceMinute, running.served_ms), (EventKind::AudioInput, running.heard_ms)];
    let events = times.into_iter().filter(|(_, ms)| *ms > 0).map(|(kind, ms)| event(kind, ms));
    USAGE_EVENTS.put(connection, events.collect()).await?;
    rollup::mark_hour(connection, at).await
}

/// A `UUIDv7` of that time, always the same: the rest of its bits are those of process, call and kind.
fn event_id(left: &LeftEntry, call: CallId, kind: EventKind) -> Uuid {
    let ms = u128::try_from(left.at.as_millisecond()).unwrap_or_default();
    let which = left.process.as_u128() ^ call.0.as_u128().rotate_left(1) ^ kind as u128;
    let [high, low] = [(which >> 62) & 0xFFF, which & ((1 << 62) - 1)];
    Uuid::from_u128((ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)
}
