//! Time that a process could not tell in usage events, since it was killed: found where its last word on it is kept, and
//! written as events when the next process begins.
//!
//! It refuses to know how time is measured. The last word of a process stands until the same process says another, or its
//! successor on the same spool says the first: then its calls were served for as long as it says, and no longer.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tandem_actors::ports::Ids;
use tandem_actors::usage::event::{EventKind, Unit};
use uuid::Uuid;

use super::calls::{USAGE_EVENTS, name};
use super::columns::{Id, Stamp};
use super::database::{Connection, execute, row};
use super::rollup;
use super::rows::{Row, id, integer, stamp, text};
use crate::journal::{RunningCall, RunningEntry};

/// A process says every tenth of a second what runs. If it was killed between an event that told it and its next word,
/// the event is younger than its last word, but not by so much: what comes later is another process's.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// Of an event that nobody told while it lasted.
const RECOVERED: &str = r#"{"recovered":true}"#;

/// `user_id, agent, mode, price_version`
type CallRow = (Option<Id>, String, String, i64);

/// Keeps the last word of this spool's process, and settles what its predecessor left.
pub(super) async fn settle(
    connection: &mut Connection<'_>,
    spool: Uuid,
    said: &[RunningEntry],
    ids: &dyn Ids,
) -> sqlx::Result<()> {
    let Some(last) = said.last() else { return Ok(()) };
    let mut before_opt = kept(connection, spool).await?;
    for word in said {
        let Some(before) = before_opt.replace(word.clone()) else { continue };
        if before.process != word.process {
            for call in &before.calls {
                tell(connection, call, before.at, ids).await?;
            }
        }
    }
    let keep = "UPDATE spools SET running = $2 WHERE id = $1";
    let word = serde_json::to_string(last).expect("ids and numbers are JSON");
    execute!(connection, keep, Id(spool), word).map(drop)
}

/// What is not the word of a process, is none.
async fn kept(connection: &mut Connection<'_>, spool: Uuid) -> sqlx::Result<Option<RunningEntry>> {
    let select = "SELECT running FROM spools WHERE id = $1";
    let found: Option<(Option<String>,)> = row!(connection, select, Id(spool))?;
    Ok(found.and_then(|(word,)| serde_json::from_str(&word?).ok()))
}

async fn tell(
    connection: &mut Connection<'_>,
    running: &RunningCall,
    at: Timestamp,
    ids: &dyn Ids,
) -> sqlx::Result<()> {
    let select = "SELECT user_id, agent, mode, \
                  COALESCE((SELECT MAX(price_version) FROM usage_events WHERE call_id = $1), 0) \
                  FROM calls WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM usage_events WHERE call_id = $1 \
                  AND event_type = 'voice_minute' AND at >= $2 AND at < $3)";
    let until = Stamp(at.saturating_add(TOLD_WITHIN).unwrap_or(at));
    let found: Option<CallRow> = row!(connection, select, Id(running.call.0), Stamp(at), until)?;
    let Some((user, agent, mode, price_version)) = found else { return Ok(()) };
    let event = |kind: EventKind, ms: u64| -> Row {
        vec![
            id(ids.event_id()),
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
