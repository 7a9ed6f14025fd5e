//! `/`: who answers here, which version, how busy, and how calls are shared out.
//!
//! It refuses to know more than a stranger may.
//!
//! -> `{"status": "<agent> is running", "realtime_api_probability": 0.5, "realtime_api_percentage": "50.0%", "version",
//! "calls_active", "signatures_refused"}`, the first three as the wake-up coach has them. The two figures are null while
//! the router does not answer.

use actix::Addr;
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use tandem_actors::router::Router;

use super::desk::Desk;
use super::gate::Gate;
use super::probability::percentage;
use super::routing::view;

/// The name of the agent that answers when nothing else is asked for.
pub struct WhoAnswers(pub String);

#[derive(Serialize)]
struct Root {
    status: String,
    realtime_api_probability: Option<f64>,
    realtime_api_percentage: Option<String>,
    version: &'static str,
    calls_active: usize,
    signatures_refused: u64,
}

pub(super) async fn status(
    desk: Data<dyn Desk>,
    gate: Data<Gate>,
    router: Data<Addr<Router>>,
    who: Data<WhoAnswers>,
) -> HttpResponse {
    let probability_opt = view(&router).await.ok().map(|view| view.routing.realtime_probability);
    HttpResponse::Ok().json(Root {
        status: format!("{} is running", who.0),
        realtime_api_probability: probability_opt,
        realtime_api_percentage: probability_opt.map(percentage),
        version: env!("CARGO_PKG_VERSION"),
        calls_active: desk.standing().await.calls_active,
        signatures_refused: gate.refused(),
    })
}

#[cfg(test)]
mod tests;
