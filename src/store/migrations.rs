//! The history of the tables: each change once, in order, forward only. The files are part of the binary.
//!
//! It refuses to know what the tables are for. What is listed here and has shipped is never edited: sqlx keeps a check
//! sum of each, and refuses a database whose history differs.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, SqlSafeStr};

use super::error::StoreError;
use super::place::Place;

/// Version, name and text, as in `migrations/sqlite/<version>_<name>.sql`.
pub(super) const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "settings", include_str!("../../migrations/sqlite/0001_settings.sql")),
    (2, "audit_log", include_str!("../../migrations/sqlite/0002_audit_log.sql")),
];

/// Applies what is missing, all of it or nothing, while no other process can write.
pub(super) async fn run(writer: &mut SqliteConnection, place: &Place) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.into_iter().map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let applied = async {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        migrator.run(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    };
    applied.await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => {
            let known = MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default();
            StoreError::Newer { place: place.to_string(), found, known }
        }
        source => StoreError::Migration { place: place.to_string(), source },
    })
}
