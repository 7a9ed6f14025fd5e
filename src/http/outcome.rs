//! `POST /api/v1/calls/{id}/outcome`: what a finished call was worth, for plans and bandits to learn from. An admin call.
//!
//! It refuses to know what is learnt from it.
//!
//! Takes `{"reward": 0.8, "note": "booked"}`, a number from 0 to 1, or `{"success": true}`, which is 1 or 0; the note is
//! for people, and may be missing -> `{"call", "reward"}`. The first outcome of a call counts and may be repeated;
//! another one is refused as 409. A call that did not finish here lately is not known: 404.

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
use super::problem::Problem;
use super::query::unfit;
use super::routing::{ANSWER_WAIT_MAX, silent};

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
) -> Result<HttpResponse, Problem> {
    let unknown = |why: String| Problem::new(StatusCode::NOT_FOUND, why);
    let call = call.parse().map(CallId).map_err(|_| unknown(format!("`{call}` is not the id of a call")))?;
    let Outcome { reward, success, note } = outcome(&body::object(body, BODY_KIB_MAX).await?)?;
    let reward = match (reward, success) {
        (Some(reward), None) => reward,
        (None, Some(success)) => f64::from(u8::from(success)),
        _ => return Err(unfit("an outcome has either a `reward` or a `success`")),
    };
    let told = router.send(CallOutcome { call, reward, note }).timeout(ANSWER_WAIT_MAX).await;
    told.map_err(|_| silent())?.map_err(|error| match error {
        OutcomeError::UnknownCall(_) => unknown(error.to_string()),
        OutcomeError::Reward(_) => unfit(error.to_string()),
        OutcomeError::Told(_) => Problem::new(StatusCode::CONFLICT, error.to_string()),
    })?;
    Ok(HttpResponse::Ok().json(json!({ "call": call, "reward": reward })))
}

fn outcome(text: &str) -> Result<Outcome, Problem> {
    serde_json::from_str(text).map_err(|error| {
        let detail = format!("this is not an outcome: {error}");
        if error.is_data() { unfit(detail) } else { Problem::new(StatusCode::BAD_REQUEST, detail) }
    })
}

#[cfg(test)]
mod tests;
