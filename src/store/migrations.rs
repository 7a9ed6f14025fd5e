//! The history of the tables: each change once, in order, forward only, in both dialects. The files are part of the
//! binary.
//!
//! It refuses to know what the tables are for. What is listed here and has shipped is never edited: sqlx keeps a check
//! sum of each, and refuses a database whose history differs.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, SqlSafeStr};

use super::error::StoreError;
use super::place::Place;

/// Version and name, and the text in each dialect, as in `migrations/<dialect>/<version>_<name>.sql`.
pub(super) struct Change {
    pub(super) version: i64,
    pub(super) name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! changes {
    ($($version:literal $name:literal),* $(,)?) => {
        [$(Change {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/000", $version, "_", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/000", $version, "_", $name, ".sql")),
        }),*]
    };
}

pub(super) const CHANGES: [Change; 7] = changes![
    1 "settings", 2 "audit_log", 3 "calls", 4 "usage_events", 5 "analytics", 6 "memories", 7 "mode_changes"
];

fn migrator(text: impl Fn(&Change) -> &'static str) -> Migrator {
    let migration = |change: &Change| {
        let sql = text(change).into_sql_str();
        Migration::new(change.version, change.name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(CHANGES.iter().map(migration).collect())
}

/// Applies what is missing, all of it or nothing, while no other process can write.
pub(super) async fn run_sqlite(writer: &mut SqliteConnection, place: &Place) -> Result<(), StoreError> {
    let applied = async {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        migrator(|change| change.sqlite).run(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    };
    applied.await.map_err(|error| told(error, place))
}

/// Applies what is missing, each change as a whole, under sqlx's advisory lock: nodes that start at the same time wait
/// for each other.
pub(super) async fn run_postgres(connection: &mut PgConnection, place: &Place) -> Result<(), StoreError> {
    migrator(|change| change.postgres).run(connection).await.map_err(|error| told(error, place))
}

fn told(error: MigrateError, place: &Place) -> StoreError {
    match error {
        MigrateError::VersionMissing(found) => {
            let known = CHANGES.iter().map(|change| change.version).max().unwrap_or_default();
            StoreError::Newer { place: place.to_string(), found, known }
        }
        source => StoreError::Migration { place: place.to_string(), source },
    }
}
