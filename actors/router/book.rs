//! Where routing is kept: the port that a store implements, and a book that only lives in memory.
//!
//! It refuses to know what is in the document; a store keeps it as it is.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde_json::Value;

/// Keeps the routing document and the log of its changes. One per process.
pub trait RoutingBook: Send + Sync {
    /// Keeps the document, and notes the change in the audit log if there is one: both or neither.
    fn save(&self, entry: BookEntry) -> LocalBoxFuture<'static, Result<(), BookError>>;

    /// The document that was saved last.
    fn load(&self) -> LocalBoxFuture<'static, Result<Option<String>, BookError>>;
}

#[derive(Clone, Debug, PartialEq)]
pub struct BookEntry {
    /// JSON of all that stands; replaces the one before.
    pub document: String,
    /// For the audit log. Absent when only figures of plans and bandit were brought up to date.
    pub change_opt: Option<Change>,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Who made it: an operator's name, `plan <rule>` or `bandit`.
    pub who: String,
    /// What was changed: `routing`, `plan` or `shares`.
    pub what: &'static str,
    pub before: Value,
    pub after: Value,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    #[error("routing could not be saved: {0}")]
    Save(String),
    #[error("routing could not be loaded: {0}")]
    Load(String),
    #[error("saved routing makes no sense: {0}")]
    Unreadable(String),
}

/// Changes that a book in memory keeps, the latest ones; a demo makes a handful.
const CHANGES_MAX: usize = 1_024;

/// A book for tests and for the demo: it forgets when the process ends.
#[derive(Debug, Default)]
pub struct MemoryBook {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    document: Option<String>,
    changes: Vec<Change>,
}

impl MemoryBook {
    /// The changes so far, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).changes.clone()
    }
}

impl RoutingBook for MemoryBook {
    fn save(
        &self,
        BookEntry { document, change_opt }: BookEntry,
    ) -> LocalBoxFuture<'static, Result<(), BookError>> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.document = Some(document);
        pages.changes.extend(change_opt);
        let surplus = pages.changes.len().saturating_sub(CHANGES_MAX);
        pages.changes.drain(..surplus);
        std::future::ready(Ok(())).boxed_local()
    }

    fn load(&self) -> LocalBoxFuture<'static, Result<Option<String>, BookError>> {
        let document = self.pages.lock().unwrap_or_else(PoisonError::into_inner).document.clone();
        std::future::ready(Ok(document)).boxed_local()
    }
}
