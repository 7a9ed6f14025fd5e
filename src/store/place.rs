//! Where the database is: `database.url`, taken apart.
//!
//! It refuses to know whether anything is there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::StoreError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    /// Relative to the working directory, as configuration files are.
    File(PathBuf),
}

impl FromStr for Place {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        if url == "sqlite::memory:" {
            return Ok(Self::Memory);
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("in memory"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_the_memory_of_the_process() {
        assert_eq!("sqlite::memory:".parse::<Place>().unwrap(), Place::Memory);
        for (url, path) in [
            ("sqlite://tandem.db", "tandem.db"),
            ("sqlite:///var/lib/tandem/tandem.db", "/var/lib/tandem/tandem.db"),
            ("sqlite://a folder/b%20c.db", "a folder/b%20c.db"),
        ] {
            assert_eq!(url.parse::<Place>().unwrap(), Place::File(path.into()));
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
            "postgres://me:secret@host/db",
        ] {
            let refused = url.parse::<Place>().unwrap_err().to_string();
            assert_eq!(refused, "database.url is neither sqlite://<path> nor sqlite::memory:");
        }
    }
}
