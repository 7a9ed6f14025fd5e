//! The audit log: entries are added with the change that they tell of, and read newest first.
//!
//! It refuses to change or remove any; the table's own triggers refuse it to everybody else.

use std::fmt::Display;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::Store;
use super::error::StoreError;
use crate::audit::{AuditLog, AuditUnreadable, Entry, Page};

const LOG: &str = "the audit log";

/// Every id is below it: they are lower-case hexadecimal.
const ABOVE_ALL_IDS: &str = "~";

/// `id, at, who, what, before, after, why`, as SQLite has them.
type Row = (String, i64, String, String, String, String, String);

/// Adds an entry, in the transaction of the change.
pub(super) async fn add(writer: &mut SqliteConnection, entry: Entry) -> sqlx::Result<()> {
    let insert = "INSERT INTO audit_log (id, at, who, what, before, after, why) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let insert = sqlx::query(insert).bind(entry.id.to_string()).bind(entry.at.as_microsecond());
    let (before, after) = (entry.before.to_string(), entry.after.to_string());
    let insert = insert.bind(entry.who).bind(entry.what).bind(before).bind(after).bind(entry.why);
    insert.execute(writer).await.map(drop)
}

impl AuditLog for Store {
    fn page(
        &self,
        limit: u32,
        before_opt: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<Page, AuditUnreadable>> {
        let store = self.clone();
        async move {
            store.audit_page(limit, before_opt).await.map_err(|error| AuditUnreadable(error.to_string()))
        }
        .boxed_local()
    }
}

impl Store {
    async fn audit_page(&self, limit: u32, before_opt: Option<Uuid>) -> Result<Page, StoreError> {
        let select = "SELECT id, at, who, what, before, after, why FROM audit_log \
                      WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let rows: Vec<Row> = sqlx::query_as(select)
            .bind(before_opt.map_or_else(|| ABOVE_ALL_IDS.to_owned(), |id| id.to_string()))
            .bind(i64::from(limit) + 1) // the one too many says that there are more
            .fetch_all(&mut *self.reader.lock().await)
            .await
            .map_err(|source| StoreError::Read { what: LOG, source })?;
        let more = rows.len() > limit as usize;
        let entries = rows.into_iter().take(limit as usize).map(entry);
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, more })
    }
}

fn entry((id, at, who, what, before, after, why): Row) -> Result<Entry, StoreError> {
    let odd = |column: &str, why: &dyn Display| StoreError::Inconsistent {
        what: LOG,
        detail: format!("`{column}` of entry {id}: {why}"),
    };
    let json = |column, text: &str| serde_json::from_str(text).map_err(|error| odd(column, &error));
    Ok(Entry {
        id: id.parse().map_err(|error| odd("id", &error))?,
        at: Timestamp::from_microsecond(at).map_err(|error| odd("at", &error))?,
        before: json("before", &before)?,
        after: json("after", &after)?,
        who,
        what,
        why,
    })
}
