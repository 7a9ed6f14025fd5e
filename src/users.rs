//! Users as operators read them: who called, what is remembered of him, and how he is forgotten.
//!
//! It refuses to know where users are kept (`store`), how they are erased (`journal`) and who asks for it (`http`): none
//! of them may know the others.

use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tandem_actors::ports::CallId;
use uuid::Uuid;

/// Reads users. One per process, shared by all threads.
pub trait UserLog: Send + Sync {
    fn user(&self, id: Uuid) -> LocalBoxFuture<'static, Result<Option<User>, UsersUnreadable>>;

    /// What each agent remembers of him.
    fn memories(&self, id: Uuid) -> LocalBoxFuture<'static, Result<Vec<Memory>, UsersUnreadable>>;
}

/// Forgets users. One per process, shared by all threads.
pub trait Eraser: Send + Sync {
    /// Has somebody forgotten as far as `what` says, because `who` wants it.
    fn erase(&self, user: Uuid, what: Erasure, who: String) -> LocalBoxFuture<'_, Result<Erased, NotErased>>;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    pub id: Uuid,
    /// In E.164; absent where numbers are not kept.
    pub phone: Option<String>,
    pub first_seen: Timestamp,
    pub calls: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub agent: String,
    pub text: String,
    /// When the first call ended that it was made from, and when the last did.
    pub since: Timestamp,
    pub updated_at: Timestamp,
    /// The last call, and how many there were.
    pub call: Uuid,
    pub calls: u64,
}

/// How far somebody is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Erasure {
    /// What agents remember of him.
    Memory,
    /// That he was ever there. What his calls used, and what they cost, stays, as nobody's.
    Person,
}

/// How far the wish has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    Done,
    /// It stands in the spool, and is granted when the database is to be had.
    Pending,
}

/// Why nothing was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotErased {
    /// What is said in it would be written behind the erasure.
    #[error("call {0} of this user is live, or was lost a short while ago: end it, or wait until it is over")]
    Live(CallId),
    #[error("the wish cannot be kept, since the spool takes nothing more: ask again when its alarm is over")]
    Unkept,
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsersUnreadable(pub String);
