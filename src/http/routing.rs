//! `/api/v1/routing`: the rules by which calls get their mode, read and replaced, asked, and their plans. Admin calls.
//!
//! It refuses to judge rules, and to know where they are kept.
//!
//! - `GET` -> the routing document, with its revision as `ETag`.
//! - `PUT` takes such a document -> `{"routing", "revision", "warnings": [{"pointer", "reason"}], "plans", "shares"}`,
//!   effective from the next call on. With `If-Match` it replaces that revision only, else 412. A document that is not
//!   valid is refused as 422, with `errors: [{"pointer", "detail"}]` that name each field (RFC 6901) and what is wrong.
//! - `GET /explain?from=..&to=..&at=..&call_sid=..&agent=..` -> which mode such a call would get, which rule decides,
//!   and what every rule has to say. All are optional: `at` (RFC 3339) is now, `agent` is who answers usually. Without
//!   the `call_sid` that a call is drawn by, look at the shares rather than at the mode.
//! - `GET /plans` -> `{"revision", "plans": [...], "shares": {mode: share}}`: how far plans have come, with the figures
//!   they go by, and what the bandit proposes.
//! - `POST /plans/{rule}/restart` -> the same; the plan begins anew, also after a roll-back.

use std::borrow::Cow;
use std::time::Duration;

use actix::Addr;
use actix_web::http::StatusCode;
use actix_web::http::header::{ETag, EntityTag, Header, IF_MATCH, IfMatch};
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde_json::json;
use tandem_actors::ports::Clock;
use tandem_actors::router::actor::{CHANGES_WAITING_MAX, SAVE_MAX};
use tandem_actors::router::{
    ChangeError, ChangeRouting, Explain, Fault, ReadRouting, RouteQuery, Router, Routing, RoutingChange,
    RoutingView,
};

use super::admin::Admin;
use super::body;
use super::problem::{FieldProblem, Problem};
use super::query::{Query, unfit};
use super::status::WhoAnswers;

/// The router answers in microseconds; this long it is not there any more.
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);

/// As many changes may wait before ours as the router lets wait, and upkeep writes as well. By then it is certain what
/// became of ours.
const CHANGE_WAIT_MAX: Duration = SAVE_MAX.saturating_mul(10);
const _: () = assert!(CHANGES_WAITING_MAX + 2 <= 10, "10 is what may come before our change, and our change");

/// A document has 256 rules at most. A plan of ten steps with all guards has about 1 KB.
const DOCUMENT_KIB_MAX: usize = 256;

// --- the document ----------------------------------------------------------------------------------------

pub(super) async fn read(_admin: Admin, router: Data<Addr<Router>>) -> Result<HttpResponse, Problem> {
    let RoutingView { routing, revision, .. } = view(&router).await?;
    Ok(HttpResponse::Ok().insert_header(ETag(tag(revision))).json(routing))
}

pub(super) async fn replace(
    admin: Admin,
    request: HttpRequest,
    body: web::Payload,
    router: Data<Addr<Router>>,
) -> Result<HttpResponse, Problem> {
    let text = body::object(body, DOCUMENT_KIB_MAX).await?;
    let routing = Routing::read(&text).map_err(|fault| invalid(vec![fault]))?;
    let if_revision_opt = expected(&request, &router).await?;
    let change = change(&router, RoutingChange::Replace { routing, if_revision_opt }, admin.who).await?;
    Ok(HttpResponse::Ok().insert_header(ETag(tag(change.revision))).json(change))
}

fn tag(revision: u64) -> EntityTag {
    EntityTag::new_strong(revision.to_string())
}

/// The revision that the request is based on. Several may be named; the router compares with one.
async fn expected(request: &HttpRequest, router: &Addr<Router>) -> Result<Option<u64>, Problem> {
    if !request.headers().contains_key(IF_MATCH) {
        return Ok(None);
    }
    let revision = view(router).await?.revision;
    match IfMatch::parse(request) {
        Ok(IfMatch::Any) => Ok(None),
        Ok(IfMatch::Items(tags)) if tags.iter().any(|given| given.strong_eq(&tag(revision))) => {
            Ok(Some(revision))
        }
        _ => Err(stale(revision)),
    }
}

fn stale(revision: u64) -> Problem {
    let detail = format!("If-Match names another revision than {revision}, which the routing has by now");
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
}

// --- questions -------------------------------------------------------------------------------------------

pub(super) async fn explain(
    _admin: Admin,
    request: HttpRequest,
    router: Data<Addr<Router>>,
    who: Data<WhoAnswers>,
    clock: Data<dyn Clock>,
) -> Result<HttpResponse, Problem> {
    let query = Query::only(&request, &["from", "to", "at", "call_sid", "agent"])?;
    let call = RouteQuery {
        call_sid: query.get("call_sid")?.unwrap_or_default().into_owned(),
        agent: query.get("agent")?.map_or_else(|| who.0.clone(), Cow::into_owned),
        from_opt: query.get("from")?.as_deref().map(number),
        to_opt: query.get("to")?.as_deref().map(number),
        at: query.get("at")?.as_deref().map_or_else(|| Ok(clock.now()), instant)?,
    };
    let explanation = router.send(Explain(call)).timeout(ANSWER_WAIT_MAX).await.map_err(|_| silent())?;
    Ok(HttpResponse::Ok().json(explanation))
}

/// A plus sign in a query stands for a space, and numbers begin with one.
fn number(text: &str) -> String {
    text.strip_prefix(' ').map_or_else(|| text.to_owned(), |digits| format!("+{digits}"))
}

/// The same for the offset of a time, `+01:00`.
fn instant(text: &str) -> Result<Timestamp, Problem> {
    let text = if text.contains('T') { text.replace(' ', "+") } else { text.to_owned() };
    text.parse().map_err(|_| unfit("`at` must be a time such as 2026-11-23T07:00:00+01:00"))
}

// --- plans -----------------------------------------------------------------------------------------------

pub(super) async fn plans(_admin: Admin, router: Data<Addr<Router>>) -> Result<HttpResponse, Problem> {
    Ok(progress(&view(&router).await?))
}

pub(super) async fn restart(
    admin: Admin,
    rule: web::Path<String>,
    router: Data<Addr<Router>>,
) -> Result<HttpResponse, Problem> {
    let change = change(&router, RoutingChange::RestartPlan { rule: rule.into_inner() }, admin.who).await?;
    Ok(progress(&change))
}

fn progress(RoutingView { revision, plans, shares, .. }: &RoutingView) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "revision": revision, "plans": plans, "shares": shares }))
}

// --- the router ------------------------------------------------------------------------------------------

pub(super) async fn view(router: &Addr<Router>) -> Result<RoutingView, Problem> {
    router.send(ReadRouting).timeout(ANSWER_WAIT_MAX).await.map_err(|_| silent())
}

pub(super) async fn change(
    router: &Addr<Router>,
    change: RoutingChange,
    who: String,
) -> Result<RoutingView, Problem> {
    let changed = router.send(ChangeRouting { change, who }).timeout(CHANGE_WAIT_MAX).await;
    changed.map_err(|_| silent())?.map_err(|error| match error {
        ChangeError::Invalid(faults) => invalid(faults),
        ChangeError::Stale { revision, .. } => stale(revision),
        ChangeError::NoSuchPlan(_) => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        ChangeError::Busy | ChangeError::Book(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    })
}

pub(super) fn silent() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the router does not answer")
}

/// Each fault by itself, and all of them in one sentence for those who show no more than that.
fn invalid(faults: Vec<Fault>) -> Problem {
    let detail = ChangeError::Invalid(faults.clone()).to_string();
    let errors = faults.into_iter().map(|Fault { pointer, reason }| FieldProblem { pointer, detail: reason });
    unfit(detail).with_errors(errors.collect())
}

#[cfg(test)]
mod tests;
