//! The audit log: entries are added with the change that they tell of, and read newest first.
//!
//! It refuses to change or remove any; the table's own triggers refuse it to everybody else.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use uuid::Uuid;

use super::Store;
use super::columns::{Id, Stamp};
use super::database::{Connection, execute, rows};
use super::error::StoreError;
use crate::audit::{AuditLog, AuditUnreadable, Entry, Page};

const LOG: &str = "the audit log";

/// `id, at, who, what, before, after, why`
type Row = (Id, Stamp, String, String, String, String, String);

/// Adds an entry, in the transaction of the change.
pub(super) async fn add(connection: &mut Connection<'_>, entry: Entry) -> sqlx::Result<()> {
    let insert = "INSERT INTO audit_log (id, at, who, what, before, after, why) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let Entry { id, at, who, what, before, after, why } = entry;
    let (before, after) = (before.to_string(), after.to_string());
    execute!(connection, insert, Id(id), Stamp(at), who, what, before, after, why).map(drop)
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
        let before = Id(before_opt.unwrap_or(Uuid::max()));
        let rows: Vec<Row> = self
            .read(async move |connection| {
                let limit = i64::from(limit) + 1; // the one too many says that there are more
                rows!(connection, select, before, limit)
            })
            .await
            .map_err(|source| StoreError::Read { what: LOG, source })?;
        let more = rows.len() > limit as usize;
        let entries = rows.into_iter().take(limit as usize).map(entry);
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, more })
    }
}

fn entry((Id(id), Stamp(at), who, what, before, after, why): Row) -> Result<Entry, StoreError> {
    let json = |column: &str, text: &str| -> Result<Value, _> {
        serde_json::from_str(text).map_err(|error| StoreError::Inconsistent {
            what: LOG,
            detail: format!("`{column}` of entry {id}: {error}"),
        })
    };
    let (before, after) = (json("before", &before)?, json("after", &after)?);
    Ok(Entry { id, at, who, what, before, after, why })
}
