//! Where the database is: `database.url`, taken apart.
//!
//! It refuses to know whether anything is there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::error::StoreError;

#[derive(Clone, Debug)]
pub(super) enum Place {
    Memory,
    /// Relative to the working directory, as configuration files are.
    File(PathBuf),
    Server(Box<PgConnectOptions>),
}

impl FromStr for Place {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        if url == "sqlite::memory:" {
            return Ok(Self::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // Why it cannot be read is not told: a password may stand in the reason.
            return url.parse().map(|options| Self::Server(Box::new(options))).map_err(|_| StoreError::Url);
        }
        // SQLite would see more than a path in these: parameters, a URI, a database for one connection alone.
        let is_path = |path: &&str| {
            !path.is_empty() && !path.contains('?') && !path.starts_with("file:") && !path.starts_with(':')
        };
        match url.strip_prefix("sqlite://").filter(is_path) {
            Some(path) => Ok(Self::File(path.into())),
            None => Err(StoreError::Url),
        }
    }
}

/// Without user and password.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("in memory"),
            Self::File(path) => path.display().fmt(f),
            Self::Server(options) => {
                let database = options.get_database().unwrap_or("(of the user's name)");
                match options.get_socket() {
                    Some(socket) => write!(f, "{database} at {}", socket.display()),
                    None => write!(f, "{database} at {}:{}", options.get_host(), options.get_port()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_the_memory_of_the_process_or_a_server() {
        assert!(matches!("sqlite::memory:".parse(), Ok(Place::Memory)));
        for (url, place) in [
            ("sqlite://tandem.db", "tandem.db"),
            ("sqlite:///var/lib/tandem/tandem.db", "/var/lib/tandem/tandem.db"),
            ("sqlite://a folder/b%20c.db", "a folder/b%20c.db"),
            ("postgres://me:secret@db.example:5433/calls", "calls at db.example:5433"),
            ("postgresql://me@[::1]/calls?sslmode=require", "calls at [::1]:5432"),
            ("postgres:///calls?host=/run/pg&user=me", "calls at /run/pg"),
        ] {
            assert_eq!(url.parse::<Place>().unwrap().to_string(), place, "{url}");
        }
    }

    #[test]
    fn any_other_url_is_refused_without_showing_a_password_in_it() {
        for url in [
            "",
            "tandem.db",
            "sqlite:",
            "sqlite://",
            "sqlite://a.db?mode=ro",
            "sqlite://:memory:",
            "sqlite://file:a.db",
            "mysql://me:secret@host/db",
            "postgres://me:secret@host:port/db",
        ] {
            let refused = url.parse::<Place>().unwrap_err().to_string();
            assert_eq!(
                refused,
                "database.url is none of sqlite://<path>, sqlite::memory: and postgres://<user>:<password>@<host>/<database>"
            );
        }
    }
}
