//! `GET /metrics`: figures for a scraper, in Prometheus' text format.
//!
//! It refuses to know what they are. No key: scrapers have none, and there is nothing of any caller in it.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::metrics::Metrics;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn scrape(metrics: Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT_FORMAT).body(metrics.scrape())
}
