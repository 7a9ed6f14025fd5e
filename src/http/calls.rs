//! `GET /api/v1/calls`, `/api/v1/calls/{id}` and `/api/v1/calls/{id}/timeline`: which calls there were and are, what was
//! said, and what happened. Admin calls.
//!
//! It refuses to know where calls are kept.
//!
//! - `/calls?agent=&mode=&live=true&user=<id>&from=%2B12065550188&since=&until=&limit=50&cursor=<id>` (times in RFC 3339)
//!   -> `{"calls": [...], "next": "<id>" or null}`, newest first. The page after this one is had with `cursor` set to
//!   `next`; calls that begin meanwhile move none of it.
//! - `/calls/{id}` -> the call with its `turns`; `cost_usd` is what its models have cost so far, and
//!   `carrier_usd` the line. What a model took to remember its caller afterwards is in its usage only.
//! - `/calls/{id}/timeline?limit=1000&cursor=<id>` -> `{"events": [...], "next": "<id>" or null}`, in order.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::admin::Admin;
use super::problem::Problem;
use super::query::{Query, unfit};
use crate::call_log::{CallFilter, CallLog, CallLogUnreadable};
use crate::identity::e164;

/// A screen of calls, and as many as are sent at a time: each has half a kilobyte.
const CALLS: (u32, u32) = (50, 1_000);

/// Some two minutes of talk have 200 events of 100 bytes.
const EVENTS: (u32, u32) = (1_000, 5_000);

pub(super) async fn list(
    _admin: Admin,
    request: HttpRequest,
    log: Data<dyn CallLog>,
) -> Result<HttpResponse, Problem> {
    let known = ["agent", "mode", "live", "user", "from", "since", "until", "limit", "cursor"];
    let query = Query::only(&request, &known)?;
    let filter = CallFilter {
        agent: query.get("agent")?.map(Into::into),
        mode: named(&query, "mode", "traditional, realtime, hybrid or cascade")?,
        live: query.read("live", "true or false")?,
        user: query.read("user", "the id of a user")?,
        from: query.get("from")?.map(|from| number(&from)).transpose()?,
        since: query.read("since", "a time such as 2026-11-21T05:00:00Z")?,
        until: query.read("until", "a time such as 2026-11-21T05:00:00Z")?,
    };
    let page = log.calls(filter, limit(&query, CALLS)?, cursor(&query)?).await.map_err(unreadable)?;
    let next = page.entries.last().filter(|_| page.more).map(|call| call.id);
    Ok(HttpResponse::Ok().json(json!({ "calls": page.entries, "next": next })))
}

pub(super) async fn read_one(
    _admin: Admin,
    id: Path<String>,
    log: Data<dyn CallLog>,
) -> Result<HttpResponse, Problem> {
    let found = log.call(call_id(&id)?).await.map_err(unreadable)?;
    let call = found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no call {id}")))?;
    Ok(HttpResponse::Ok().json(call))
}

pub(super) async fn timeline(
    _admin: Admin,
    request: HttpRequest,
    id: Path<String>,
    log: Data<dyn CallLog>,
) -> Result<HttpResponse, Problem> {
    let query = Query::only(&request, &["limit", "cursor"])?;
    let call = call_id(&id)?;
    let page = log.events(call, limit(&query, EVENTS)?, cursor(&query)?).await.map_err(unreadable)?;
    if page.entries.is_empty() && log.call(call).await.map_err(unreadable)?.is_none() {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no call {id}")));
    }
    let next = page.entries.last().filter(|_| page.more).map(|event| event.id);
    Ok(HttpResponse::Ok().json(json!({ "events": page.entries, "next": next })))
}

/// A plus that was not escaped is a space, and easily forgotten.
fn number(written: &str) -> Result<String, Problem> {
    let digits = written.trim();
    let number = if digits.starts_with('+') { digits.to_owned() } else { format!("+{digits}") };
    e164(&number).ok_or_else(|| unfit("`from` must be a number such as %2B12065550188"))
}

fn call_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, format!("`{text}` is not the id of a call")))
}

fn limit(query: &Query, (usual, max): (u32, u32)) -> Result<u32, Problem> {
    let limit = query.read("limit", &format!("1 to {max}"))?.unwrap_or(usual);
    if (1..=max).contains(&limit) { Ok(limit) } else { Err(unfit(format!("`limit` must be 1 to {max}"))) }
}

fn cursor(query: &Query) -> Result<Option<Uuid>, Problem> {
    query.read("cursor", "what `next` was on the page before")
}

/// What is written as its name in JSON.
fn named<T: DeserializeOwned>(query: &Query, name: &str, what: &str) -> Result<Option<T>, Problem> {
    let read = query.get(name)?.map(|text| serde_json::from_value(Value::from(text.as_ref()))).transpose();
    read.map_err(|_| unfit(format!("`{name}` must be {what}")))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn unreadable(error: CallLogUnreadable) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

#[cfg(test)]
mod tests;
