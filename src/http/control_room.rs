//! For the tests of operators' paths: a router over a store in memory, asked through the routes without a socket.
//!
//! It refuses to know what a right answer is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use actix::{Actor, Addr, AsyncContext, Context};
use actix_web::App;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Data;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tandem_actors::mode::Mode;
use tandem_actors::ports::Clock;
use tandem_actors::router::{
    BookEntry, BookError, Known, Router, RouterSetup, Routing, RoutingBook, Standing,
};
use uuid::Uuid;

use super::testing::{TestDesk, analyst};
use super::*;
use crate::audit::AuditLog;
use crate::call_log::CallLog;
use crate::clock::SystemIds;
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::prices::Watch;
use crate::store::Store;
use crate::users::{Erased, Eraser, Erasure, NotErased, UserLog};

/// Saturday, 21 November 2026, 05:00 UTC.
const NOW: &str = "2026-11-21T05:00:00Z";

/// Stands still.
struct StoppedClock(Timestamp);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The store's book, until it is told to fail.
struct Book {
    store: Store,
    failing: Mutex<bool>,
}

impl RoutingBook for Book {
    fn save(&self, entry: BookEntry) -> LocalBoxFuture<'static, Result<(), BookError>> {
        if *self.failing.lock().unwrap() {
            return async { Err(BookError::Save("disk full".to_owned())) }.boxed_local();
        }
        self.store.save(entry)
    }

    fn load(&self) -> LocalBoxFuture<'static, Result<Option<String>, BookError>> {
        self.store.load()
    }
}

/// Grants no wish, and tells what it was told to.
#[derive(Default)]
pub(super) struct TestEraser {
    pub(super) answer_opt: Mutex<Option<Result<Erased, NotErased>>>,
    pub(super) asked: Mutex<Vec<(Uuid, Erasure, String)>>,
}

impl Eraser for TestEraser {
    fn erase(&self, user: Uuid, what: Erasure, who: String) -> LocalBoxFuture<'_, Result<Erased, NotErased>> {
        self.asked.lock().unwrap().push((user, what, who));
        let answer = self.answer_opt.lock().unwrap().unwrap_or(Ok(Erased::Done));
        std::future::ready(answer).boxed_local()
    }
}

pub(super) struct ControlRoom {
    pub(super) router: Addr<Router>,
    pub(super) store: Store,
    pub(super) desk: Arc<TestDesk>,
    book: Arc<Book>,
    /// What comes of wishes to be forgotten, and who had which.
    pub(super) eraser: Arc<TestEraser>,
    clock: Arc<dyn Clock>,
    rule: Data<AdminRule>,
}

#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    /// The text as JSON.
    pub(super) body: Value,
}

impl ControlRoom {
    /// Half of the calls are realtime; all modes but hybrid are configured, and there are the agents tandem and coach.
    pub(super) async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(StoppedClock(NOW.parse().unwrap()));
        let store = Store::open("sqlite::memory:", Arc::clone(&clock), Arc::new(SystemIds)).await.unwrap();
        let book = Arc::new(Book { store: store.clone(), failing: Mutex::new(false) });
        let router = Router::new(RouterSetup {
            salt: "salt".to_owned(),
            known: Known {
                agents: ["tandem", "coach"].map(str::to_owned).into(),
                modes_configured: BTreeSet::from([Mode::Traditional, Mode::Realtime, Mode::Cascade]),
            },
            standing: Standing::new(Routing::of(0.5), clock.now()),
            book: Arc::<Book>::clone(&book),
            clock: Arc::clone(&clock),
        });
        let rule = AdminRule { api_key: None, public_url_is_loopback: true };
        let desk = Arc::<TestDesk>::default();
        let eraser = Arc::<TestEraser>::default();
        Self { router: router.start(), store, desk, book, eraser, clock, rule: Data::new(rule) }
    }

    pub(super) fn fail_to_save(&self, failing: bool) {
        *self.book.failing.lock().unwrap() = failing;
    }

    /// From now on nobody answers at the router's address.
    pub(super) fn lose_router(&mut self) {
        self.router = Context::new().address();
    }

    /// Asks as an operator at this machine would.
    pub(super) async fn ask(&self, request: TestRequest) -> Told {
        self.ask_from("127.0.0.1:4711", request).await
    }

    pub(super) async fn ask_from(&self, peer: &str, request: TestRequest) -> Told {
        let desk: Arc<dyn Desk> = Arc::<TestDesk>::clone(&self.desk);
        let log: Arc<dyn AuditLog> = Arc::new(self.store.clone());
        let calls: Arc<dyn CallLog> = Arc::new(self.store.clone());
        let prices = Watch::begin(Path::new(""), Arc::clone(&self.clock)).unwrap().prices();
        let outcomes: Arc<dyn Outcomes> = Arc::<TestDesk>::clone(&self.desk);
        let users: Arc<dyn UserLog> = Arc::new(self.store.clone());
        let eraser: Arc<dyn Eraser> = Arc::<TestEraser>::clone(&self.eraser);
        let app = App::new()
            .app_data(Data::from(desk))
            .app_data(Data::new(Gate::new("http://127.0.0.1:8765", Signatures::Off)))
            .app_data(self.rule.clone())
            .app_data(Data::new(self.router.clone()))
            .app_data(Data::from(log))
            .app_data(Data::from(calls))
            .app_data(Data::from(prices))
            .app_data(Data::new(Metrics::new()))
            .app_data(Data::from(outcomes))
            .app_data(Data::new(analyst(Arc::new(self.store.clone()), Arc::clone(&self.clock))))
            .app_data(Data::from(users))
            .app_data(Data::from(eraser))
            .app_data(Data::from(Arc::clone(&self.clock)))
            .app_data(Data::new(WhoAnswers("tandem".to_owned())))
            .configure(routes);
        let request = request
            .insert_header((header::HOST, "127.0.0.1:8765"))
            .peer_addr(peer.parse().unwrap())
            .to_request();
        let response = call_service(&init_service(app).await, request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8(read_body(response).await.into()).unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        Told { status, headers, text, body }
    }

    pub(super) async fn get(&self, path: &str) -> Told {
        self.ask(TestRequest::get().uri(path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Told {
        self.ask(TestRequest::post().uri(path).set_payload(body.to_owned())).await
    }

    /// The audit log, newest entry first.
    pub(super) async fn log(&self) -> Vec<Value> {
        let told = self.get("/api/v1/audit").await;
        assert_eq!(told.status, 200, "{told:?}");
        told.body["entries"].as_array().unwrap().clone()
    }

    pub(super) async fn probability(&self) -> Value {
        self.get("/realtime-api-config").await.body["probability"].clone()
    }
}

impl Told {
    /// The detail of a problem document, whose other fields are checked here.
    pub(super) fn detail(&self) -> &str {
        assert_eq!(self.headers.get(header::CONTENT_TYPE).unwrap(), "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status);
        let status = StatusCode::from_u16(self.status).unwrap();
        assert_eq!(self.body["title"].as_str(), status.canonical_reason());
        self.body["detail"].as_str().unwrap()
    }

    /// Of each error of a problem document, the field it is about.
    pub(super) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        assert!(errors.iter().all(|error| error["detail"].as_str().is_some_and(|detail| !detail.is_empty())));
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }
}
