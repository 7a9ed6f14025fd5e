//! `/health`: whether this process lives, and whether new calls should come here.
//!
//! It refuses to know the reasons; the desk names them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::json;

use super::desk::Desk;
use super::problem::Problem;

/// Always well: an answer is the proof. Also at `/health`, so that a supervisor that kills on failure never kills a
/// node for being full or on its way out. Load balancers should ask [`ready`].
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}

pub(super) async fn ready(desk: Data<dyn Desk>) -> Result<HttpResponse, Problem> {
    let standing = desk.standing().await;
    if standing.unready.is_empty() {
        return Ok(HttpResponse::Ok().json(json!({ "status": "ready" })));
    }
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, standing.unready.join("; ")))
}
