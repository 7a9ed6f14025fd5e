//! A call whose far ends are silent in every sense: they allocate nothing while they are used, so that what is
//! counted of a frame's way through the tree (allocations, instructions) is the tree's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix::Actor;
use bytestring::ByteString;
use futures_util::future::{LocalBoxFuture, ready};
use futures_util::{FutureExt, Sink, Stream};
use send_wrapper::SendWrapper;
use serde_json::{Value, json};
use tandem_wire::openai::Dialect;

use super::prices::{NoPrices, always};
use super::recording::{MemorySpool, VirtualClock};
use super::store::MemoryCallStore;
use super::universe::{NoProbes, test_agent};
use crate::budgets::Purse;
use crate::call::cost::Spent;
use crate::call::{CallSetup, LegArrived, Limits};
use crate::engine::{AudioChoice, Engines, RealtimeLine};
use crate::fallback::Fallback;
use crate::fallback::ladder::Ladder;
use crate::ledger::Ledger;
use crate::mode::Mode;
use crate::ports::{CallId, DialError, EngineDialer, Outgoing, Socket, SocketError, SocketItem};
use crate::switchboard::{Admission, Admit, Switchboard, open_call};

/// The far end of a socket: messages are made beforehand, and counted when they come.
#[derive(Clone, Default)]
pub struct FarEnd(Rc<Ends>);

#[derive(Default)]
struct Ends {
    inbox: RefCell<VecDeque<SocketItem>>,
    waker: RefCell<Option<Waker>>,
    written: Cell<usize>,
}

impl FarEnd {
    pub fn say(&self, item: SocketItem) {
        self.0.inbox.borrow_mut().push_back(item);
        if let Some(waker) = self.0.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Messages that came until now.
    pub fn written(&self) -> usize {
        self.0.written.get()
    }

    fn socket(&self) -> Socket {
        Socket { reader: Box::pin(self.clone()), sink: Box::pin(self.clone()) }
    }
}

impl Stream for FarEnd {
    type Item = SocketItem;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SocketItem>> {
        if let Some(item) = self.0.inbox.borrow_mut().pop_front() {
            return Poll::Ready(Some(item));
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Sink<Outgoing> for FarEnd {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, _: Outgoing) -> Result<(), SocketError> {
        self.0.written.set(self.0.written.get() + 1);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    /// A dialer is shared by threads, a far end is not: it is found by the thread it belongs to.
    static PROVIDER: RefCell<FarEnd> = RefCell::default();
}

struct QuietDialer;

impl EngineDialer for QuietDialer {
    fn dial_realtime(&self, _: &str) -> LocalBoxFuture<'static, Result<Socket, DialError>> {
        ready(Ok(PROVIDER.with_borrow(FarEnd::socket))).boxed_local()
    }
}

/// A live call between two quiet far ends. One at a time on a thread.
pub struct QuietCall {
    pub carrier: FarEnd,
    pub provider: FarEnd,
}

impl QuietCall {
    /// A call whose engine is ready and whose agent does not greet.
    pub async fn start(audio: AudioChoice) -> Self {
        let provider = FarEnd::default();
        PROVIDER.set(provider.clone());
        let carrier = FarEnd::default();
        let switchboard = Switchboard::new(1, None).start();
        let admitted = switchboard.send(Admit { call_sid: None }).await;
        let Ok(Ok(Admission::Seat(seat))) = admitted else { panic!("{admitted:?}") };
        let mut agent = test_agent();
        agent.greeting.clear();
        let realtime = RealtimeLine {
            provider: "quiet".to_owned(),
            dialer: Arc::new(QuietDialer),
            dialect: Dialect::Ga,
            audio,
            session_max: Duration::from_hours(1),
        };
        let setup = CallSetup {
            id: CallId(uuid::Uuid::from_u128(1)),
            seat,
            call_sid: None,
            from_opt: None,
            to_opt: None,
            agent: Arc::new(agent),
            limits: Limits {
                call_max: Duration::from_hours(1),
                caller_idle_max: Duration::from_hours(1),
                engine_ready_max: Duration::from_secs(8),
                silence_max: Duration::from_secs(4),
                cost_max_opt: None,
            },
            routed: Mode::Realtime,
            rule_opt: None,
            mode: Mode::Realtime,
            ladder: Ladder::new(Mode::Realtime, &[], &[Mode::Realtime]),
            failed: Vec::new(),
            ledger: Ledger::default(),
            spent: Spent::default(),
            purse: Purse::default(),
            recording: Arc::<MemorySpool>::default()
                .recording(always(NoPrices), Arc::new(VirtualClock::new())),
            engines: Arc::new(Engines { realtime: Some(realtime), cascade: None }),
            fallback: Fallback::new(Arc::new(NoProbes), None).start(),
            store: Arc::new(MemoryCallStore::default()),
            switchboard: switchboard.clone().recipient(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let address = open_call(setup, &switchboard);
        let socket = SendWrapper::new(carrier.socket());
        address.do_send(LegArrived { stream_sid: "MZ1".to_owned(), socket });
        let call = Self { carrier, provider };
        for event in ["session.created", "session.updated"] {
            call.settle().await;
            call.provider.say(text(&json!({"type": event, "session": {"id": "s"}})));
        }
        call.settle().await;
        call
    }

    /// Lets every actor that has something to do do it.
    pub async fn settle(&self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// The `n`-th frame of the caller, as the carrier sends it.
    pub fn caller_frame(n: usize) -> SocketItem {
        let mut payload = String::new();
        tandem_wire::audio::encode_append(&mut payload, &[0x55; 160]);
        let (stamp, chunk) = ((n * 20).to_string(), (n + 1).to_string());
        text(&json!({"event": "media", "sequenceNumber": chunk, "streamSid": "MZ1", "media": {
            "track": "inbound", "chunk": chunk, "timestamp": stamp, "payload": payload
        }}))
    }

    /// So much of the agent's audio, as the provider sends it.
    pub fn agent_audio(audio: AudioChoice, ms: usize) -> SocketItem {
        let bytes_per_ms = match audio {
            AudioChoice::Pcmu => 8,
            AudioChoice::Pcm24 => 48,
        };
        let mut delta = String::new();
        tandem_wire::audio::encode_append(&mut delta, &vec![0x55; ms * bytes_per_ms]);
        text(&json!({"type": "response.output_audio.delta", "event_id": "e", "response_id": "r",
            "item_id": "a", "output_index": 0, "content_index": 0, "delta": delta}))
    }
}

fn text(value: &Value) -> SocketItem {
    SocketItem::Text(ByteString::from(value.to_string()))
}
