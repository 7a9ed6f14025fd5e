//! Settings: one JSON document per name, the router's book among them.
//!
//! It refuses to know what stands in a document. What an operator or a plan changes is written together with its audit
//! entry, in one transaction: there is no change without an entry, and no entry without a change.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tandem_actors::router::{BookEntry, BookError, Change, RoutingBook};

use super::columns::Stamp;
use super::database::{Connection, execute, row};
use super::error::StoreError;
use super::{Store, audit};
use crate::audit::Entry;

/// The router's document: rules, and how far plans and bandit have come.
const ROUTING: &str = "routing";

/// What the draw of a mode is salted with.
const ROUTING_SALT: &str = "routing_salt";

/// What users' ids are made with.
const IDENTITY_SECRET: &str = "identity_secret";

impl Store {
    /// The salt of the mode draw, the same for all who use this database and after every restart: `fresh`, if there
    /// was none.
    pub async fn keep_routing_salt(&self, fresh: &str) -> Result<String, StoreError> {
        self.keep_once(ROUTING_SALT, "the routing salt", fresh).await
    }

    /// The secret that users' ids are made with, kept like the salt.
    pub async fn keep_identity_secret(&self, fresh: &str) -> Result<String, StoreError> {
        self.keep_once(IDENTITY_SECRET, "the identity secret", fresh).await
    }

    async fn keep_once(
        &self,
        name: &'static str,
        what: &'static str,
        fresh: &str,
    ) -> Result<String, StoreError> {
        let (fresh, at) = (Value::from(fresh).to_string(), self.clock.now());
        let kept = self.write(async move |connection| {
            if !add(connection, name, &fresh, at).await?
                && let Some(kept) = get(connection, name).await?
            {
                return Ok(kept);
            }
            Ok(fresh)
        });
        let kept = kept.await.map_err(|source| StoreError::Write { what, source })?;
        serde_json::from_str(&kept)
            .map_err(|error| StoreError::Inconsistent { what, detail: error.to_string() })
    }

    /// Keeps what stands, and notes the change that made it so, if it was one: both or neither.
    async fn write_book(&self, BookEntry { document, change_opt }: BookEntry) -> sqlx::Result<()> {
        let (clock, ids) = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        self.write(async move |connection| {
            put(connection, ROUTING, &document, clock.now()).await?;
            let Some(Change { who, what, before, after, why }) = change_opt else { return Ok(()) };
            // Taken while nobody else can change the document: entries sort as their changes were made.
            let (id, at) = (ids.call_id().0, clock.now());
            audit::add(connection, Entry { id, at, who, what: what.to_owned(), before, after, why }).await
        })
        .await
    }

    async fn read_book(&self) -> sqlx::Result<Option<String>> {
        self.read(async |connection| get(connection, ROUTING).await).await
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

pub(super) async fn get(connection: &mut Connection<'_>, name: &str) -> sqlx::Result<Option<String>> {
    let found: Option<(String,)> =
        row!(connection, "SELECT value FROM settings WHERE name = $1", name.to_owned())?;
    Ok(found.map(|(value,)| value))
}

/// Sets what is not set yet, and tells whether it was so.
async fn add(connection: &mut Connection<'_>, name: &str, value: &str, at: Timestamp) -> sqlx::Result<bool> {
    let insert = "INSERT INTO settings (name, value, revision, changed_at) VALUES ($1, $2, 1, $3) \
                  ON CONFLICT (name) DO NOTHING";
    Ok(execute!(connection, insert, name.to_owned(), value.to_owned(), Stamp(at))? == 1)
}

pub(super) async fn put(
    connection: &mut Connection<'_>,
    name: &str,
    value: &str,
    at: Timestamp,
) -> sqlx::Result<()> {
    let upsert = "INSERT INTO settings (name, value, revision, changed_at) VALUES ($1, $2, 1, $3) \
                  ON CONFLICT (name) DO UPDATE SET \
                  value = excluded.value, revision = settings.revision + 1, changed_at = excluded.changed_at";
    execute!(connection, upsert, name.to_owned(), value.to_owned(), Stamp(at)).map(drop)
}
