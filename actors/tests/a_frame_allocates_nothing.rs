//! From socket to socket a frame allocates nothing but the outgoing message.

use std::alloc::System;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix::Actor;
use bytestring::ByteString;
use futures_util::future::{LocalBoxFuture, ready};
use futures_util::{FutureExt, Sink, Stream};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tandem_actors::call::{CallSetup, Limits};
use tandem_actors::engine::AudioChoice;
use tandem_actors::ports::{CallId, DialError, EngineDialer, Outgoing, Socket, SocketError, SocketItem};
use tandem_actors::switchboard::{Switchboard, open_call};
use tandem_actors::testing::test_agent;
use tandem_wire::openai::Dialect;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FRAMES: usize = 1_000;

/// Frames after which queues and buffers have found their size.
const WARM_UP: usize = 50;

/// A far end that allocates nothing while it is used: messages are made beforehand and counted when they come.
#[derive(Clone, Default)]
struct FarEnd(Rc<Ends>);

#[derive(Default)]
struct Ends {
    inbox: RefCell<VecDeque<SocketItem>>,
    waker: RefCell<Option<Waker>>,
    written: Cell<usize>,
}

impl FarEnd {
    fn say(&self, item: SocketItem) {
        self.0.inbox.borrow_mut().push_back(item);
        if let Some(waker) = self.0.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn socket(&self) -> Socket {
        self.0.inbox.borrow_mut().reserve(FRAMES);
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
    static PROVIDER: RefCell<FarEnd> = RefCell::default();
}

/// Dials this thread's provider: a dialer is shared by threads, a far end is not.
struct Dialer(Mutex<()>);

impl EngineDialer for Dialer {
    fn dial_realtime(&self, _: &str) -> LocalBoxFuture<'static, Result<Socket, DialError>> {
        drop(self.0.lock());
        ready(Ok(PROVIDER.with_borrow(FarEnd::socket))).boxed_local()
    }
}

fn text(value: &serde_json::Value) -> SocketItem {
    SocketItem::Text(ByteString::from(value.to_string()))
}

async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Lets prepared messages through a live tree; returns allocations and messages written at the other side.
async fn allocations(audio: AudioChoice, inbound: bool) -> (usize, usize) {
    let switchboard = Switchboard::new(1, None).start();
    let carrier = FarEnd::default();
    let provider = PROVIDER.with_borrow(FarEnd::clone);
    let mut agent = test_agent();
    agent.greeting.clear();
    let setup = CallSetup {
        id: CallId(uuid::Uuid::from_u128(1)),
        call_sid: None,
        stream_sid: "MZ1".to_owned(),
        agent: Arc::new(agent),
        limits: Limits {
            call_max: Duration::from_hours(1),
            caller_idle_max: Duration::from_hours(1),
            engine_ready_max: Duration::from_secs(8),
        },
        audio,
        dialect: Dialect::Ga,
        dialer: Arc::new(Dialer(Mutex::default())),
        switchboard: switchboard.clone().recipient(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
    };
    open_call(setup, carrier.socket(), &switchboard);
    settle().await;
    provider.say(text(&json!({"type": "session.created", "session": {"id": "s"}})));
    settle().await;
    provider.say(text(&json!({"type": "session.updated", "session": {"id": "s"}})));
    settle().await;

    let (from, to, messages): (_, _, Vec<SocketItem>) = if inbound {
        let frame = |n: usize| {
            let mut payload = String::new();
            tandem_wire::audio::encode_append(&mut payload, &[0x55; 160]);
            let (stamp, chunk) = ((n * 20).to_string(), n.to_string());
            text(&json!({"event": "media", "streamSid": "MZ1", "sequenceNumber": chunk, "media": {
                "track": "inbound", "chunk": chunk, "timestamp": stamp, "payload": payload
            }}))
        };
        (&carrier, &provider, (0..FRAMES).map(frame).collect())
    } else {
        let bytes = if audio == AudioChoice::Pcmu { 160 } else { 960 };
        let delta = {
            let mut delta = String::new();
            tandem_wire::audio::encode_append(&mut delta, &vec![0x55; bytes]);
            delta
        };
        let delta = text(&json!({"type": "response.output_audio.delta", "event_id": "e", "response_id": "r",
            "item_id": "a", "output_index": 0, "content_index": 0, "delta": delta}));
        (&provider, &carrier, vec![delta; FRAMES])
    };
    let mut messages = messages.into_iter();
    for message in messages.by_ref().take(WARM_UP) {
        from.say(message);
        settle().await;
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    let region = Region::new(ALLOCATOR);
    let before = to.0.written.get();
    for (n, message) in messages.enumerate() {
        from.say(message);
        if n % 100 == 0 {
            to.say(SocketItem::Pong); // or it would be taken for dead
        }
        settle().await;
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    settle().await;
    (region.change().allocations, to.0.written.get() - before)
}

/// One test: the allocator counts for the whole process, and tests of one binary run side by side.
#[test]
fn in_either_direction_with_and_without_transcoding() {
    for audio in [AudioChoice::Pcmu, AudioChoice::Pcm24] {
        for inbound in [true, false] {
            PROVIDER.take();
            let (allocations, messages) = actix_rt::System::new().block_on(async {
                tokio::time::pause();
                allocations(audio, inbound).await
            });
            assert!(messages >= FRAMES - WARM_UP, "frames went through: {messages}");
            // Beside the frames: a mark, five a second, takes one more than its text, and the leg's look-out, four
            // times a second, one for actix's interval.
            let marks = messages.saturating_sub(FRAMES - WARM_UP);
            let others = allocations.saturating_sub(messages + marks);
            assert!(
                others <= FRAMES / 50 * 4 + 10,
                "{allocations} allocations for {messages} messages, {audio:?}, inbound: {inbound}"
            );
        }
    }
}
