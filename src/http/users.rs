//! `GET, DELETE /api/v1/users/{id}` and `/api/v1/users/{id}/memory`: who called, what agents remember of him, and how he
//! is forgotten. Admin calls; what is deleted leaves an entry in the audit log.
//!
//! It refuses to know where users are kept, and how they are erased.
//!
//! - `GET /users/{id}` -> `{"id", "phone" (E.164; null where numbers are not kept), "first_seen", "calls"}`.
//! - `GET /users/{id}/memory` -> `{"memories": [{"agent", "text", "since", "updated_at", "call", "calls"}]}`.
//! - `DELETE /users/{id}/memory`: agents start afresh with him. His calls stay.
//! - `DELETE /users/{id}`: he is erased from every table, from this node's memory and from its spool. What his calls used
//!   and what they cost stays, as nobody's. 409 while he has a call that is live, or seems to be because its node was lost
//!   less than `limits.call_seconds_max` ago.
//!
//! A deletion is done when it is answered with 204. With 202 it is on its way: the database was not to be had, and it is
//! done when it is, behind everything that was said before.
//!
//! Not reached, and to be seen to by who runs the house: backups of the database; what the database's own files keep for a
//! while (PostgreSQL: until vacuum, and its write-ahead log; SQLite: its write-ahead log until the next checkpoint); the
//! spools of other nodes that cannot reach the database, whose entries come behind the erasure; exports; what the carrier
//! and the providers of models keep on their side, the carrier's call SIDs among it; and the audit log, in which stands the
//! id of who was erased and nothing else of him.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::json;
use uuid::Uuid;

use super::admin::Admin;
use super::problem::Problem;
use crate::users::{Erased, Eraser, Erasure, NotErased, User, UserLog, UsersUnreadable};

pub(super) async fn read(
    _admin: Admin,
    id: Path<String>,
    users: Data<dyn UserLog>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(known(&id, &**users).await?))
}

pub(super) async fn memory(
    _admin: Admin,
    id: Path<String>,
    users: Data<dyn UserLog>,
) -> Result<HttpResponse, Problem> {
    let user = known(&id, &**users).await?;
    let memories = users.memories(user.id).await.map_err(unreadable)?;
    Ok(HttpResponse::Ok().json(json!({ "memories": memories })))
}

pub(super) async fn forget_memory(
    admin: Admin,
    id: Path<String>,
    users: Data<dyn UserLog>,
    eraser: Data<dyn Eraser>,
) -> Result<HttpResponse, Problem> {
    erase(admin, &id, Erasure::Memory, &**users, &**eraser).await
}

pub(super) async fn forget(
    admin: Admin,
    id: Path<String>,
    users: Data<dyn UserLog>,
    eraser: Data<dyn Eraser>,
) -> Result<HttpResponse, Problem> {
    erase(admin, &id, Erasure::Person, &**users, &**eraser).await
}

async fn erase(
    admin: Admin,
    id: &str,
    what: Erasure,
    users: &dyn UserLog,
    eraser: &dyn Eraser,
) -> Result<HttpResponse, Problem> {
    let user = user_id(id)?;
    match users.user(user).await {
        Ok(None) => return Err(unknown(id)),
        Ok(Some(_)) => {}
        // Whoever wants to be forgotten need not come again when the database is back.
        Err(error) => tracing::warn!(%user, %error, "user is erased unseen"),
    }
    let refused = |error: NotErased| {
        let status = match error {
            NotErased::Live(_) => StatusCode::CONFLICT,
            NotErased::Unkept => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::new(status, error.to_string())
    };
    let done = eraser.erase(user, what, admin.who).await.map_err(refused)?;
    tracing::info!(%user, ?what, ?done, "user is to be forgotten");
    Ok(match done {
        Erased::Done => HttpResponse::NoContent().finish(),
        Erased::Pending => HttpResponseBuilder::new(StatusCode::ACCEPTED)
            .json(json!({ "user": user, "erased": what, "state": "pending" })),
    })
}

async fn known(id: &str, users: &dyn UserLog) -> Result<User, Problem> {
    let found = users.user(user_id(id)?).await.map_err(unreadable)?;
    found.ok_or_else(|| unknown(id))
}

fn user_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, format!("`{text}` is not the id of a user")))
}

fn unknown(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no user {id}"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: UsersUnreadable) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

#[cfg(test)]
mod tests;
