//! Settings: one JSON document per name, the router's book among them.
//!
//! It refuses to know what stands in a document. What an operator or a plan changes is written together with its audit
//! entry, in one transaction: there is no change without an entry, and no entry without a change.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use tandem_actors::router::{BookEntry, BookError, Change, RoutingBook};

use super::error::StoreError;
use super::{Store, audit};
use crate::audit::Entry;

/// The router's document: rules, and how far plans and bandit have come.
const ROUTING: &str = "routing";

/// What the draw of a mode is salted with.
const ROUTING_SALT: &str = "routing_salt";

impl Store {
    /// The salt of the mode draw, the same for all who use this database and after every restart: `fresh`, if there
    /// was none.
    pub async fn keep_routing_salt(&self, fresh: &str) -> Result<String, StoreError> {
        let what = "the routing salt";
        let kept = self.write(async |writer| {
            if let Some(kept) = get(writer, ROUTING_SALT).await? {
                return Ok(kept);
            }
            let fresh = Value::from(fresh).to_string();
            put(writer, ROUTING_SALT, &fresh, self.clock.now()).await?;
            Ok(fresh)
        });
        let kept = kept.await.map_err(|source| StoreError::Write { what, source })?;
        serde_json::from_str(&kept)
            .map_err(|error| StoreError::Inconsistent { what, detail: error.to_string() })
    }

    /// Keeps what stands, and notes the change that made it so, if it was one: both or neither.
    async fn write_book(&self, BookEntry { document, change_opt }: BookEntry) -> sqlx::Result<()> {
        self.write(async |writer| {
            // Both are taken while nobody else can write: entries sort as their changes were made.
            let (id, at) = (self.ids.call_id().0, self.clock.now());
            put(writer, ROUTING, &document, at).await?;
            let Some(Change { who, what, before, after, why }) = change_opt else { return Ok(()) };
            audit::add(writer, Entry { id, at, who, what: what.to_owned(), before, after, why }).await
        })
        .await
    }

    async fn read_book(&self) -> sqlx::Result<Option<String>> {
        get(&mut *self.reader.lock().await, ROUTING).await
    }
}

impl RoutingBook for Store {
    fn save(&self, entry: BookEntry) -> LocalBoxFuture<'static, Result<(), BookError>> {
        let store = self.clone();
        async move { store.write_book(entry).await.map_err(|error| BookError::Save(error.to_string())) }
            .boxed_local()
    }

    fn load(&self) -> LocalBoxFuture<'static, Result<Option<String>, BookError>> {
        let store = self.clone();
        async move { store.read_book().await.map_err(|error| BookError::Load(error.to_string())) }
            .boxed_local()
    }
}

// --- the table -------------------------------------------------------------------------------------------

async fn get(connection: &mut SqliteConnection, name: &str) -> sqlx::Result<Option<String>> {
    let select = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1");
    select.bind(name.to_owned()).fetch_optional(connection).await
}

async fn put(writer: &mut SqliteConnection, name: &str, value: &str, at: Timestamp) -> sqlx::Result<()> {
    let upsert = "INSERT INTO settings (name, value, revision, changed_at) VALUES ($1, $2, 1, $3) \
                  ON CONFLICT (name) DO UPDATE \
                  SET value = excluded.value, revision = revision + 1, changed_at = excluded.changed_at";
    let upsert = sqlx::query(upsert).bind(name.to_owned()).bind(value.to_owned()).bind(at.as_microsecond());
    upsert.execute(writer).await.map(drop)
}
