//! `/`: that this is Tandem, which version, and how busy.
//!
//! It refuses to know more than a stranger may.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::desk::Desk;
use super::gate::Gate;

pub(super) async fn status(desk: Data<dyn Desk>, gate: Data<Gate>) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "status": "tandem is running",
        "version": env!("CARGO_PKG_VERSION"),
        "calls_active": desk.standing().await.calls_active,
        "signatures_refused": gate.refused(),
    }))
}
