//! What can go wrong with the store, named so that an operator can act on it.
//!
//! It refuses to know who is told.

use sqlx::migrate::MigrateError;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL itself is not shown: it could be one with a password.
    #[error(
        "database.url is none of sqlite://<path>, sqlite::memory: and postgres://<user>:<password>@<host>/<database>"
    )]
    Url,
    #[error("cannot open database {place}, whose folder must exist and be writable: {source}")]
    Open { place: String, source: sqlx::Error },
    #[error("cannot reach database {place}: {source}")]
    Unreachable { place: String, source: sqlx::Error },
    #[error(
        "database {place} was written by a newer tandem: it has migration {found}, this program knows them up to \
         {known}; run the newer program, or restore a backup"
    )]
    Newer { place: String, found: i64, known: i64 },
    #[error("cannot bring the tables of database {place} up to date: {source}")]
    Migration { place: String, source: MigrateError },
    #[error("the database's thread did not start: {0}")]
    Thread(std::io::Error),
    #[error("cannot read {what}: {source}")]
    Read { what: &'static str, source: sqlx::Error },
    #[error("cannot write {what}: {source}")]
    Write { what: &'static str, source: sqlx::Error },
    /// Somebody else has written into it.
    #[error("{what} in the database makes no sense: {detail}")]
    Inconsistent { what: &'static str, detail: String },
}
