//! For the tests of this folder: a desk in memory, a running server, and a client that sees every byte.
//!
//! It refuses to know what a right answer is.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use actix::Actor;
use actix_server::ServerHandle;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use tandem_actors::call::turns::{self, Question, TurnSettings, Unanswered};
use tandem_actors::kit::writer::{Urgency, Writer};
use tandem_actors::ports::{CallId, Clock, Outgoing, Socket, SocketItem};
use tandem_actors::router::{Known, MemoryBook, Router, RouterSetup, Routing, Standing as RoutingStands};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::analytics::{History, Rate, Thresholds};
use crate::audit::{AuditLog, AuditUnreadable, Page};
use crate::call_log::{self, Call, CallFilter, CallLog, CallLogUnreadable, Conversation, Event};
use crate::clock::{SystemClock, SystemIds};
use crate::money::Microusd;
use crate::outcomes::Outcomes;
use crate::prices::Watch;
use crate::socket::SocketGauge;
use crate::statistics::{RevenueEntry, Statistics, StatisticsError};
use crate::users::{Erased, Eraser, Erasure, Memory, NotErased, User, UserLog, UsersUnreadable};

pub(super) const PUBLIC_URL: &str = "https://switch.example.net";
pub(super) const TOKEN: &str = "9f3c1e7ab2d84056a1c7e0f4b65d2839";

/// Only ends a test that would hang; nothing waits for it.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Answers as it was told to, and remembers what it was asked. A media socket is told the length of each text.
pub(super) struct TestDesk {
    pub(super) reply: Result<Reply, Refusal>,
    pub(super) standing: Standing,
    pub(super) asked: Mutex<Vec<(Ring, Asked)>>,
    pub(super) tokens: Mutex<Vec<String>>,
    pub(super) over: Mutex<Vec<String>>,
    pub(super) outcomes: Mutex<Vec<(CallId, f64)>>,
    pub(super) media: Mutex<Vec<MediaRequest>>,
    /// Where sockets arrived.
    pub(super) threads: Mutex<Vec<ThreadId>>,
}

impl Default for TestDesk {
    fn default() -> Self {
        Self {
            reply: Ok(Reply::Stream { ticket: "t1".to_owned(), worker_opt: Some("w0".to_owned()) }),
            standing: Standing { calls_active: 3, unready: Vec::new() },
            asked: Mutex::default(),
            tokens: Mutex::default(),
            over: Mutex::default(),
            outcomes: Mutex::default(),
            media: Mutex::default(),
            threads: Mutex::default(),
        }
    }
}

impl Desk for TestDesk {
    fn answer(
        &self,
        ring: Ring,
        asked: Asked,
        token_opt: Option<String>,
    ) -> LocalBoxFuture<'_, Result<Reply, Refusal>> {
        self.asked.lock().unwrap().push((ring, asked));
        self.tokens.lock().unwrap().extend(token_opt);
        async { self.reply.clone() }.boxed_local()
    }

    fn over(&self, call_sid: String) -> LocalBoxFuture<'_, ()> {
        self.over.lock().unwrap().push(call_sid);
        async {}.boxed_local()
    }

    fn standing(&self) -> LocalBoxFuture<'_, Standing> {
        async { self.standing.clone() }.boxed_local()
    }

    fn take_media_socket(&self, socket: Socket, request: MediaRequest) -> LocalBoxFuture<'_, ()> {
        self.media.lock().unwrap().push(request);
        self.threads.lock().unwrap().push(std::thread::current().id());
        tokio::task::spawn_local(async move {
            let Socket { mut reader, sink } = socket;
            let writer = Writer::new(sink);
            while let Some(SocketItem::Text(text)) = reader.next().await {
                let told = Outgoing::Text(text.len().to_string().into());
                writer.send(told, Urgency::Control).unwrap();
            }
        });
        async {}.boxed_local()
    }
}

impl TurnDesk for TestDesk {
    fn settings(&self, _: &Ring) -> Arc<TurnSettings> {
        Arc::default()
    }

    fn ask(
        &self,
        _: Ring,
        _: Question,
        _: Option<String>,
    ) -> LocalBoxFuture<'_, Result<turns::Answer, Unanswered>> {
        async { Err(Unanswered) }.boxed_local()
    }
}

impl AuditLog for TestDesk {
    fn page(&self, _: u32, _: Option<Uuid>) -> LocalBoxFuture<'static, Result<Page, AuditUnreadable>> {
        async { Ok(Page::default()) }.boxed_local()
    }
}

impl CallLog for TestDesk {
    fn calls(
        &self,
        _: CallFilter,
        _: u32,
        _: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<call_log::Page<Call>, CallLogUnreadable>> {
        async { Ok(call_log::Page { entries: vec![], more: false }) }.boxed_local()
    }

    fn call(&self, _: Uuid) -> LocalBoxFuture<'static, Result<Option<Conversation>, CallLogUnreadable>> {
        async { Ok(None) }.boxed_local()
    }

    fn events(
        &self,
        _: Uuid,
        _: u32,
        _: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<call_log::Page<Event>, CallLogUnreadable>> {
        async { Ok(call_log::Page { entries: vec![], more: false }) }.boxed_local()
    }
}

impl Outcomes for TestDesk {
    fn tell(&self, call: CallId, reward: f64, _: String) {
        self.outcomes.lock().unwrap().push((call, reward));
    }
}

impl Statistics for TestDesk {
    fn history(&self, _: Date) -> LocalBoxFuture<'static, Result<History, StatisticsError>> {
        async { Ok(History::default()) }.boxed_local()
    }

    fn enter(&self, _: Vec<RevenueEntry>, _: String) -> LocalBoxFuture<'static, Result<(), StatisticsError>> {
        async { Ok(()) }.boxed_local()
    }

    fn entered(
        &self,
        _: Date,
        _: Date,
    ) -> LocalBoxFuture<'static, Result<Vec<RevenueEntry>, StatisticsError>> {
        async { Ok(vec![]) }.boxed_local()
    }
}

impl UserLog for TestDesk {
    fn user(&self, _: Uuid) -> LocalBoxFuture<'static, Result<Option<User>, UsersUnreadable>> {
        async { Ok(None) }.boxed_local()
    }

    fn memories(&self, _: Uuid) -> LocalBoxFuture<'static, Result<Vec<Memory>, UsersUnreadable>> {
        async { Ok(vec![]) }.boxed_local()
    }
}

/// Half a dollar for ten minutes of realtime, in UTC.
pub(super) fn analyst(statistics: Arc<dyn Statistics>, clock: Arc<dyn Clock>) -> Analyst {
    let rate = Rate { cost: Microusd::from(500_000), ms: 600_000 };
    Analyst {
        statistics,
        zone: TimeZone::UTC,
        thresholds: Thresholds::default(),
        rates: Box::new(move || [(Mode::Realtime, rate)].into()),
        clock,
        ids: Arc::new(SystemIds),
    }
}

impl Eraser for TestDesk {
    fn erase(&self, _: Uuid, _: Erasure, _: String) -> LocalBoxFuture<'_, Result<Erased, NotErased>> {
        async { Ok(Erased::Pending) }.boxed_local()
    }
}

/// A router that sends half of the calls to realtime, and operators at this machine.
fn operation() -> Operation {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let router = Router::new(RouterSetup {
        salt: String::new(),
        known: Known { agents: BTreeSet::default(), modes_configured: Mode::ALL.into() },
        standing: RoutingStands::new(Routing::of(0.5), clock.now()),
        book: Arc::new(MemoryBook::default()),
        clock: Arc::clone(&clock),
    });
    Operation {
        rule: Arc::new(AdminRule { api_key: None, public_url_is_loopback: true }),
        router: router.start(),
        audit: Arc::new(TestDesk::default()),
        calls: Arc::new(TestDesk::default()),
        prices: Watch::begin(Path::new(""), Arc::clone(&clock)).unwrap().prices(),
        metrics: Arc::default(),
        outcomes: Arc::new(TestDesk::default()),
        analyst: Arc::new(analyst(Arc::new(TestDesk::default()), Arc::clone(&clock))),
        users: Arc::new(TestDesk::default()),
        eraser: Arc::new(TestDesk::default()),
        clock,
        who: Arc::new(WhoAnswers("tandem".to_owned())),
    }
}

/// A server on a port of its own.
pub(super) struct House {
    pub(super) address: SocketAddr,
    pub(super) desk: Arc<TestDesk>,
    pub(super) gate: Arc<Gate>,
    pub(super) sockets: SocketGauge,
    pub(super) workers: Arc<Workers>,
    pub(super) handle: ServerHandle,
}

impl House {
    /// A house that does not ask for signatures.
    pub(super) fn open(desk: TestDesk) -> Self {
        Self::build(desk, Signatures::Off, 1000, 1)
    }

    pub(super) fn open_with_workers(desk: TestDesk, threads: usize) -> Self {
        Self::build(desk, Signatures::Off, 1000, threads)
    }

    pub(super) fn guarded() -> Self {
        let tokens = vec![SecretString::from("an older token"), SecretString::from(TOKEN)];
        Self::build(TestDesk::default(), Signatures::Checked(tokens), 1000, 1)
    }

    pub(super) fn build(desk: TestDesk, signatures: Signatures, sockets_max: usize, threads: usize) -> Self {
        let desk = Arc::new(desk);
        let gate = Arc::new(Gate::new(PUBLIC_URL, signatures));
        let sockets = SocketGauge::default();
        let workers = Arc::<Workers>::default();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let serving = Serving {
            desk: Arc::<TestDesk>::clone(&desk),
            turns: Arc::<TestDesk>::clone(&desk),
            clips: Arc::default(),
            operation: operation(),
            gate: Arc::clone(&gate),
            sockets: sockets.clone(),
            sockets_max,
            threads,
            workers: Arc::clone(&workers),
        };
        let server = serve(listener, serving).unwrap();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self { address, desk, gate, sockets, workers, handle }
    }

    pub(super) async fn connect(&self) -> Client {
        Client { stream: BufReader::new(TcpStream::connect(self.address).await.unwrap()) }
    }

    /// One request on a connection of its own.
    pub(super) async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.send(request.as_bytes()).await;
        client.answer().await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: internal:1\r\n\r\n")).await
    }

    pub(super) async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: internal:1\r\ncontent-length: {length}\r\n{headers}");
        self.ask(&format!("{head}\r\n{body}")).await
    }
}

pub(super) struct Client {
    pub(super) stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl Client {
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one answer, no further.
    pub(super) async fn answer(&mut self) -> Answer {
        timeout(DEADLINE, self.read_answer()).await.expect("the server does not answer")
    }

    async fn read_answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(
                self.stream.read_line(&mut head).await.unwrap(),
                0,
                "the answer ends in its head: {head}"
            );
        }
        let head = head.to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap_or_default().parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        let status = head[9..12].parse().unwrap();
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// What is left until the server closes in order.
    pub(super) async fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        timeout(DEADLINE, self.stream.read_to_end(&mut rest)).await.expect("the server stays").unwrap();
        rest
    }
}

impl Answer {
    pub(super) fn has(&self, header: &str) -> bool {
        self.head.contains(&format!("\r\n{header}\r\n"))
    }

    /// The detail of a problem document, whose other fields are checked here.
    pub(super) fn detail(&self) -> String {
        assert!(self.has("content-type: application/problem+json"), "{self:?}");
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(document["status"], self.status);
        assert_ne!(document["title"], "");
        document["detail"].as_str().unwrap().to_owned()
    }
}
