//! `GET /api/v1/prices`: what calls are priced by now. An admin call.
//!
//! It refuses to change prices: that is their file's.
//!
//! -> `{"version", "date", "tokens": {model: {"text_in": dollars per million, ..}}, "minutes": {model: dollars},
//! "characters": {model: dollars per million}, "carrier": {..}, "origin": "config/prices.toml" or "built in", "rejected":
//! {"at", "problem"} or null}`. What is `rejected` is the file as it is now.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::admin::Admin;
use crate::prices::PricesInUse;

pub(super) async fn read(_admin: Admin, prices: Data<PricesInUse>) -> HttpResponse {
    HttpResponse::Ok().json(prices.standing())
}
