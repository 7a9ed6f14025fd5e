//! Erasure: a person leaves every table, in one transaction with the audit entry that says who wanted it.
//!
//! It refuses to decide whether it may be done now; that is the journal's. What calls used and what they cost stays, as
//! nobody's. The audit log stays as it is.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::audit;
use super::columns::{Id, Stamp};
use super::database::{Connection, execute, row, rows};
use super::rollup;
use crate::audit::Entry;
use crate::journal::ForgetEntry;
use crate::users::Erasure;

/// What goes with a person. Calls come late: by them the rest is found.
const PERSON: [&str; 9] = [
    "DELETE FROM turns WHERE call_id IN (SELECT id FROM calls WHERE user_id = $1)",
    // Names of events are this program's own words; they contain nothing that JSON would have to escape.
    "UPDATE event_log SET detail = '{\"event\":\"' || event || '\"}' \
     WHERE call_id IN (SELECT id FROM calls WHERE user_id = $1)",
    "UPDATE call_outcomes SET note = '' WHERE call_id IN (SELECT id FROM calls WHERE user_id = $1)",
    "UPDATE usage_events SET user_id = NULL WHERE user_id = $1",
    "DELETE FROM user_days WHERE user_id = $1",
    "DELETE FROM user_activity WHERE user_id = $1",
    FORGET_MEMORY,
    "UPDATE calls SET user_id = NULL, from_number = NULL, questions = NULL WHERE user_id = $1",
    "DELETE FROM users WHERE id = $1",
];

const FORGET_MEMORY: &str = "DELETE FROM memories WHERE user_id = $1";

pub(super) async fn erase(connection: &mut Connection<'_>, forget: ForgetEntry) -> sqlx::Result<()> {
    let ForgetEntry { id, at, user, what, who } = forget;
    let count = "SELECT (SELECT count(*) FROM calls WHERE user_id = $1), \
                 (SELECT count(*) FROM memories WHERE user_id = $1)";
    let counted: Option<(i64, i64)> = row!(connection, count, Id(user))?;
    let (calls, memories) = counted.unwrap_or_default();
    let statements: &[&'static str] = match what {
        Erasure::Person => &PERSON,
        Erasure::Memory => &[FORGET_MEMORY],
    };
    if what == Erasure::Person {
        mark_days(connection, user).await?;
    }
    for statement in statements {
        execute!(connection, *statement, Id(user))?;
    }
    let (name, before, after) = match what {
        Erasure::Person => {
            ("user", json!({ "user": user, "calls": calls, "memories": memories }), Value::Null)
        }
        Erasure::Memory => {
            ("memory", json!({ "user": user, "memories": memories }), json!({ "user": user, "memories": 0 }))
        }
    };
    let why = "erased on request".to_owned();
    audit::add(connection, Entry { id, at, who, what: name.to_owned(), before, after, why }).await
}

/// The days on which somebody was there are to be summed up without him: also if they are being summed up just now.
async fn mark_days(connection: &mut Connection<'_>, user: Uuid) -> sqlx::Result<()> {
    let events: Vec<(Stamp,)> =
        rows!(connection, "SELECT at FROM usage_events WHERE user_id = $1", Id(user))?;
    let hours: BTreeSet<_> = events.into_iter().map(|(Stamp(at),)| rollup::hour(at)).collect();
    for hour in hours {
        rollup::mark_hour(connection, hour).await?;
    }
    Ok(())
}
