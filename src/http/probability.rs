//! `/realtime-api-config`: the one figure of the wake-up coach, at the paths and in the words of that system.
//!
//! It refuses to know what else decides a call's mode: rules stay as they are, and come first.
//!
//! - `GET` -> `{"probability": 0.5, "percentage": "50.0%", "description": "Probability of using OpenAI Realtime API vs
//!   Traditional API"}`
//! - `POST ?probability=0.75` -> `{"status": "updated", "probability": 0.75, "percentage": "75.0%"}`, from the next call
//!   on. An admin call. Numbers may be spelled as Python spells them: `.5`, `1e-1`, `+0.5`. Whatever is not a number
//!   from 0 to 1, once, is refused as 422, and nothing is changed.

use actix::Addr;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use tandem_actors::router::{Router, RoutingChange};

use super::admin::Admin;
use super::problem::Problem;
use super::query::{Query, unfit};
use super::routing::{change, view};

const DESCRIPTION: &str = "Probability of using OpenAI Realtime API vs Traditional API";

#[derive(Serialize)]
struct Current {
    probability: f64,
    percentage: String,
    description: &'static str,
}

#[derive(Serialize)]
struct Updated {
    status: &'static str,
    probability: f64,
    percentage: String,
}

pub(super) async fn read(router: Data<Addr<Router>>) -> Result<HttpResponse, Problem> {
    let probability = view(&router).await?.routing.realtime_probability;
    let percentage = percentage(probability);
    Ok(HttpResponse::Ok().json(Current { probability, percentage, description: DESCRIPTION }))
}

pub(super) async fn update(
    admin: Admin,
    request: HttpRequest,
    router: Data<Addr<Router>>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let text = query.get("probability")?.ok_or_else(|| unfit("the parameter `probability` is missing"))?;
    let probability = number(&text)?;
    let changed = change(&router, RoutingChange::Probability(probability), admin.who).await?;
    let probability = changed.routing.realtime_probability;
    let percentage = percentage(probability);
    Ok(HttpResponse::Ok().json(Updated { status: "updated", probability, percentage }))
}

/// As the replaced system writes it: `50.0%`.
pub(super) fn percentage(probability: f64) -> String {
    format!("{:.1}%", probability * 100.0)
}

/// A plus sign in a query stands for a space, so spaces around a number are taken as well, as Python does.
fn number(text: &str) -> Result<f64, Problem> {
    match text.trim().parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number.abs()), // -0.0 is 0.0
        Ok(number) => Err(unfit(format!("`probability` must be 0.0 to 1.0, and is {number}"))),
        Err(_) => Err(unfit("`probability` must be a number from 0.0 to 1.0")),
    }
}

#[cfg(test)]
mod tests;
