//! `GET /api/v1/audit?limit=50&cursor=<id>`: who changed what, newest first. An admin call.
//!
//! It refuses to know where the log is kept.
//!
//! -> `{"entries": [{"id", "at" (RFC 3339), "who", "what", "before", "after", "why"}], "next": "<id>" or null}`. `before`
//! and `after` are JSON of whatever was changed. The page after this one is had with `cursor` set to `next`; entries
//! that are added meanwhile move none of it.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use uuid::Uuid;

use super::admin::Admin;
use super::problem::Problem;
use super::query::{Query, unfit};
use crate::audit::{AuditLog, Entry};

/// A screen.
const LIMIT: u32 = 50;

/// An entry usually has 2 to 4 KB, two routing documents: a page is below half a megabyte.
const LIMIT_MAX: u32 = 100;

#[derive(Serialize)]
struct Listed {
    entries: Vec<Entry>,
    next: Option<Uuid>,
}

pub(super) async fn list(
    _admin: Admin,
    request: HttpRequest,
    log: Data<dyn AuditLog>,
) -> Result<HttpResponse, Problem> {
    let query = Query::only(&request, &["limit", "cursor"])?;
    let limit = match query.get("limit")? {
        Some(text) => text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)),
        None => Some(LIMIT),
    };
    let limit = limit.ok_or_else(|| unfit(format!("`limit` must be 1 to {LIMIT_MAX}")))?;
    let cursor_opt = query.get("cursor")?.map(|text| text.parse::<Uuid>()).transpose();
    let cursor_opt = cursor_opt.map_err(|_| unfit("`cursor` must be what `next` was on the page before"))?;
    let page = log.page(limit, cursor_opt).await;
    let page = page.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let next = page.entries.last().filter(|_| page.more).map(|entry| entry.id);
    Ok(HttpResponse::Ok().json(Listed { entries: page.entries, next }))
}

#[cfg(test)]
mod tests;
