//! `/api/v1/analytics`: what a month of calls came to, what another would, and the money that came in. Admin calls.
//!
//! It refuses to know how figures come about ([`crate::analytics`]) and where sums are kept.
//!
//! - `GET /dashboard?last=2026-11-20` -> the figures of the 30 days that end with `last`, today if it is left out, under
//!   the launch plan's names; [`crate::analytics`] says what each means.
//! - `GET /projection?users=200&minutes_per_day=5` -> what so many users would cost a month in each mode: by what was
//!   measured in the last 30 days, or by the price list (then without the line to the carrier).
//! - `POST /revenue` takes `{"date": "2026-11-20", "amount": 49.9}`, in dollars, with an `agent`, a `note` and an `id` (a
//!   UUID) as wanted, or `{"entries": [...]}`: all or none -> `{"entries": [...]}` with their ids. Who repeats an id
//!   corrects the entry.
//! - `GET /revenue?first=2026-11-01&last=2026-11-30` -> `{"entries": [...]}`, by day.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;
use tandem_actors::mode::Mode;
use tandem_actors::ports::{Clock, Ids};
use uuid::Uuid;

use super::admin::Admin;
use super::body;
use super::problem::Problem;
use super::query::{Query, unfit};
use crate::analytics::{Rate, Thresholds, WINDOW_DAYS, dashboard, projection};
use crate::money::{Microusd, Usd};
use crate::prices::microusd;
use crate::statistics::{RevenueEntry, Statistics, StatisticsError};

/// A thousand entries of 200 bytes.
const BODY_KIB_MAX: usize = 256;
const ENTRIES_MAX: usize = 1_000;

/// Characters.
const TEXT_MAX: usize = 500;

const DAYS: RangeInclusive<Date> = date(2000, 1, 1)..=date(2199, 12, 31);

const A_DAY: &str = "a day such as 2026-11-20";

/// What figures are told by.
pub struct Analyst {
    pub statistics: Arc<dyn Statistics>,
    pub zone: TimeZone,
    pub thresholds: Thresholds,
    /// What a mode costs as long as too little of it was measured.
    pub rates: Box<dyn Fn() -> BTreeMap<Mode, Rate> + Send + Sync>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntries {
    entries: Vec<WrittenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntry {
    id: Option<Uuid>,
    date: Date,
    amount: f64,
    agent: Option<String>,
    #[serde(default)]
    note: String,
}

impl Analyst {
    fn today(&self) -> Date {
        self.clock.now().to_zoned(self.zone.clone()).date()
    }
}

pub(super) async fn read_dashboard(
    _admin: Admin,
    request: HttpRequest,
    analyst: Data<Analyst>,
) -> Result<HttpResponse, Problem> {
    let query = Query::only(&request, &["last"])?;
    let last = day(&query, "last")?.unwrap_or_else(|| analyst.today());
    let history = analyst.statistics.history(last).await.map_err(unanswered)?;
    Ok(HttpResponse::Ok().json(dashboard(last, &history, analyst.thresholds)))
}

pub(super) async fn project(
    _admin: Admin,
    request: HttpRequest,
    analyst: Data<Analyst>,
) -> Result<HttpResponse, Problem> {
    let query = Query::only(&request, &["users", "minutes_per_day"])?;
    let wanted = |name: &str| unfit(format!("`{name}` is wanted"));
    let users = query.read("users", "a whole number")?.ok_or_else(|| wanted("users"))?;
    let minutes =
        query.read("minutes_per_day", "a number of minutes")?.ok_or_else(|| wanted("minutes_per_day"))?;
    let history = analyst.statistics.history(analyst.today()).await.map_err(unanswered)?;
    let projected = projection(users, minutes, &history.modes, &(analyst.rates)());
    Ok(HttpResponse::Ok().json(projected.map_err(|error| unfit(error.to_string()))?))
}

pub(super) async fn enter_revenue(
    admin: Admin,
    body: web::Payload,
    analyst: Data<Analyst>,
) -> Result<HttpResponse, Problem> {
    let entries = entries(&body::object(body, BODY_KIB_MAX).await?, &*analyst.ids)?;
    analyst.statistics.enter(entries.clone(), admin.who).await.map_err(unanswered)?;
    Ok(HttpResponse::Ok().json(json!({ "entries": entries })))
}

pub(super) async fn read_revenue(
    _admin: Admin,
    request: HttpRequest,
    analyst: Data<Analyst>,
) -> Result<HttpResponse, Problem> {
    let query = Query::only(&request, &["first", "last"])?;
    let last = day(&query, "last")?.unwrap_or_else(|| analyst.today());
    let window = i64::from(WINDOW_DAYS - 1).days();
    let first = day(&query, "first")?.unwrap_or_else(|| last.saturating_sub(window));
    if first > last {
        return Err(unfit("`first` must not be after `last`"));
    }
    let entries = analyst.statistics.entered(first, last).await.map_err(unanswered)?;
    Ok(HttpResponse::Ok().json(json!({ "entries": entries })))
}

fn day(query: &Query, name: &str) -> Result<Option<Date>, Problem> {
    let day_opt = query.read(name, A_DAY)?;
    day_opt.map(|day| possible(day, name)).transpose()
}

/// Further away is a slip of the pen.
fn possible(day: Date, name: &str) -> Result<Date, Problem> {
    if DAYS.contains(&day) {
        return Ok(day);
    }
    Err(unfit(format!("`{name}` must be a day from {} to {}, and not {day}", DAYS.start(), DAYS.end())))
}

/// All that stand in a body, each with an id.
fn entries(text: &str, ids: &dyn Ids) -> Result<Vec<RevenueEntry>, Problem> {
    let is_list =
        serde_json::from_str::<serde_json::Value>(text).is_ok_and(|body| body.get("entries").is_some());
    let written = if is_list {
        serde_json::from_str::<WrittenEntries>(text).map(|many| many.entries)
    } else {
        serde_json::from_str::<WrittenEntry>(text).map(|one| vec![one])
    };
    let written = written.map_err(|error| {
        let detail = format!("this is no revenue: {error}");
        if error.is_data() { unfit(detail) } else { Problem::new(StatusCode::BAD_REQUEST, detail) }
    })?;
    if !(1..=ENTRIES_MAX).contains(&written.len()) {
        return Err(unfit(format!("`entries` must be 1 to {ENTRIES_MAX}")));
    }
    let entries: Vec<_> = written.into_iter().map(|entry| checked(entry, ids)).collect::<Result<_, _>>()?;
    let named: BTreeSet<Uuid> = entries.iter().map(|entry| entry.id).collect();
    if named.len() == entries.len() { Ok(entries) } else { Err(unfit("an `id` is given to two entries")) }
}

fn checked(written: WrittenEntry, ids: &dyn Ids) -> Result<RevenueEntry, Problem> {
    let WrittenEntry { id, date, amount, agent, note } = written;
    let amount = microusd(amount).ok_or_else(|| {
        unfit(format!("`amount` must be 0 to 1000000 dollars with at most six decimals, and not {amount}"))
    })?;
    if agent.iter().chain([&note]).any(|text| text.chars().count() > TEXT_MAX) {
        return Err(unfit(format!("`agent` and `note` have at most {TEXT_MAX} characters")));
    }
    if agent.iter().chain([&note]).any(|text| text.contains('\0')) {
        return Err(unfit("`agent` and `note` contain no zero character"));
    }
    let date = possible(date, "date")?;
    let (id, amount) = (id.unwrap_or_else(|| ids.event_id()), Usd(Microusd::from(amount)));
    Ok(RevenueEntry { id, date, agent: agent.filter(|agent| !agent.is_empty()), amount, note })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unanswered(error: StatisticsError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

#[cfg(test)]
mod tests;
