//! `POST /api/v1/calls/{id}/outcome`: what a finished call was worth, for plans and bandits to learn from. An admin call.
//!
//! It refuses to know what is learnt from it.
//!
//! Takes `{"reward": 0.8, "note": "booked"}`, a number from 0 to 1, or `{"success": true}`, which is 1 or 0; the note is
//! for people, and may be missing -> `{"call", "reward"}`. The first outcome of a call counts and may be repeated;
//! another one is refused as 409, and so is that of a call that is not over. Plans and bandits learn of calls that
//! finished on this node lately; of any other call only statistics do.

use actix::Addr;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use serde::Deserialize;
use serde_json::json;
use tandem_actors::ports::CallId;
use tandem_actors::router::{CallOutcome, OutcomeError, Router};

use super::admin::Admin;
use super::body;
use super::calls::unreadable;
use super::problem::Problem;
use super::query::unfit;
use super::routing::{ANSWER_WAIT_MAX, silent};
use crate::call_log::CallLog;
use crate::outcomes::Outcomes;

/// A note is a sentence or two.
const BODY_KIB_MAX: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    reward: Option<f64>,
    success: Option<bool>,
    #[serde(default)]
    note: String,
}

pub(super) async fn tell(
    _admin: Admin,
    call: web::Path<String>,
    body: web::Payload,
    router: Data<Addr<Router>>,
    calls: Data<dyn CallLog>,
    outcomes: Data<dyn Outcomes>,
) -> Result<HttpResponse, Problem> {
    let unknown = |why: String| Problem::new(StatusCode::NOT_FOUND, why);
    let call = call.parse().map(CallId).map_err(|_| unknown(format!("`{call}` is not the id of a call")))?;
    let Outcome { reward, success, note } = outcome(&body::object(body, BODY_KIB_MAX).await?)?;
    let reward = match (reward, success) {
        (Some(reward), None) => reward,
        (None, Some(success)) => f64::from(u8::from(success)),
        _ => return Err(unfit("an outcome has either a `reward` or a `success`")),
    };
    match router.send(CallOutcome { call, reward }).timeout(ANSWER_WAIT_MAX).await.map_err(|_| silent())? {
        Ok(()) => {}
        Err(error @ OutcomeError::Reward(_)) => return Err(unfit(error.to_string())),
        Err(error @ OutcomeError::Told(_)) => return Err(conflict(error.to_string())),
        Err(error @ OutcomeError::UnknownCall(_)) => {
            let found = calls.call(call.0).await.map_err(unreadable)?;
            let known = found.ok_or_else(|| unknown(error.to_string()))?.call;
            if known.state != "ended" {
                return Err(conflict(format!("call {call} is not over")));
            }
            if let Some(told) = known.outcome.filter(|told| told.to_bits() != reward.to_bits()) {
                return Err(conflict(OutcomeError::Told(told).to_string()));
            }
        }
    }
    outcomes.tell(call, reward, note);
    Ok(HttpResponse::Ok().json(json!({ "call": call, "reward": reward })))
}

fn conflict(why: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, why)
}

fn outcome(text: &str) -> Result<Outcome, Problem> {
    serde_json::from_str(text).map_err(|error| {
        let detail = format!("this is not an outcome: {error}");
        if error.is_data() { unfit(detail) } else { Problem::new(StatusCode::BAD_REQUEST, detail) }
    })
}

#[cfg(test)]
mod tests;
