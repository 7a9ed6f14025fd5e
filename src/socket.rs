//! One WebSocket as the call tree sees it: a stream of items and a sink of messages, over tokio-tungstenite.
//!
//! It refuses to know who dialled, what the messages mean and when to give up on a peer.
//!
//! # No wake-up is lost
//!
//! Two tasks poll one socket. The actor polls the reader. The sink is polled from the actor's handlers with a
//! waker that does nothing and, while the transport blocks, by the writer's helper task with a real one.
//! - tokio-tungstenite keeps one waker for reads and one for writes, and hands both to each direction of the
//!   transport (its `compat.rs`, `WakerProxy`). So no write poll displaces the reader's waker, and a pong that
//!   a read could not flush is tried again as soon as the transport takes bytes.
//! - Among write polls the last one wins. `kit::writer` has either the handlers or the helper poll, never both;
//!   and a helper polls as soon as it takes over, so that readiness between the two is not missed.
//!
//! # No poll for nothing
//!
//! An actix actor polls all its streams whenever it wakes, for a frame of its lane as well as for one of its socket,
//! and a poll that finds nothing is not free: tungstenite zeroes its buffer and registers four wakers. So the transport
//! wakes a doorbell, which wakes the actor; a reader whose doorbell has not rung does not look.
//!
//! `RefCell` suffices: both halves stay on the thread that made them, and no poll runs foreign code.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{Sink, Stream};
use tandem_actors::kit::writer::{CONTROL_BYTES_RESERVE, QUEUED_BYTES_MAX};
use tandem_actors::ports::{Outgoing, Socket, SocketError, SocketItem};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

/// A carrier's message is 0.4 KB; 2 MiB leave room for one of 1 MB to be counted and ignored instead of ending
/// the call.
const CARRIER_MESSAGE_BYTES_MAX: usize = 2 << 20;

/// A provider may send whole audio back in one event: what one append may carry (15 MiB, by OpenAI's description
/// of its API) is 20 MiB in base64; 32 MiB leave half as much again.
const PROVIDER_MESSAGE_BYTES_MAX: usize = 32 << 20;

/// tungstenite zeroes its read buffer at every poll for reading, of which there are two per frame, and a message that
/// does not fit costs another receive. So: the smallest that holds what the peer usually says. The default of 128 KiB
/// would cost more than the rest of the call.
const fn read_buffer_bytes(peer: Peer) -> usize {
    match peer {
        Peer::Carrier => 1 << 10,  // a frame in JSON is 0.3 to 0.4 KB
        Peer::Provider => 2 << 10, // 100 ms of mu-law in JSON are 1.3 KB
    }
}

/// The sink buffers one message at a time. The writer queues none larger than its whole queue; 1 KiB is for
/// frame headers (14 bytes) and for pongs (131 bytes) that join it.
const WRITE_BUFFER_BYTES_MAX: usize = QUEUED_BYTES_MAX + CONTROL_BYTES_RESERVE + (1 << 10);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Carrier,
    Provider,
}

/// How every socket of ours is set up.
pub fn config(peer: Peer) -> WebSocketConfig {
    let message_bytes_max = match peer {
        Peer::Carrier => CARRIER_MESSAGE_BYTES_MAX,
        Peer::Provider => PROVIDER_MESSAGE_BYTES_MAX,
    };
    WebSocketConfig::default()
        .read_buffer_size(read_buffer_bytes(peer))
        .write_buffer_size(0) // a frame is written when it is sent
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

/// Counts the sockets that are open. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct SocketGauge(Arc<AtomicUsize>);

impl SocketGauge {
    /// Sockets of which at least one half lives.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Shared<S> {
    /// Dropped first: whoever sees the transport end finds the socket counted out.
    _counted: Counted,
    stream: RefCell<WebSocketStream<S>>,
}

struct Reader<S> {
    shared: Rc<Shared<S>>,
    doorbell: Arc<Doorbell>,
    /// The doorbell as the transport knows it.
    bell_rope: Waker,
    /// Whom the doorbell wakes; kept here too, so that a poll by the same task costs a comparison.
    known: Option<Waker>,
    ended: bool,
}

/// Remembers that the transport has news, and wakes whoever reads.
struct Doorbell {
    rung: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        if let Some(reader) = self.reader.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            reader.wake_by_ref();
        }
    }
}

struct Writing<S> {
    shared: Rc<Shared<S>>,
}

/// Makes a socket of the call tree from a WebSocket whose handshake is done. The transport closes when both
/// halves are dropped.
pub fn wrap<S>(stream: WebSocketStream<S>, gauge: &SocketGauge) -> Socket
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let shared = Rc::new(Shared { _counted: gauge.count(), stream: RefCell::new(stream) });
    let doorbell = Arc::new(Doorbell { rung: AtomicBool::new(true), reader: Mutex::default() });
    let bell_rope = Waker::from(Arc::clone(&doorbell));
    let reader = Reader { shared: Rc::clone(&shared), doorbell, bell_rope, known: None, ended: false };
    Socket { reader: Box::pin(reader), sink: Box::pin(Writing { shared }) }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Reader<S> {
    type Item = SocketItem;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SocketItem>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // Before the look, or a ring in between is lost.
        if !self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.known = Some(cx.waker().clone());
            *self.doorbell.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        }
        if !self.doorbell.rung.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut at_the_door = Context::from_waker(&self.bell_rope);
        let (item, last) = {
            let mut stream = self.shared.stream.borrow_mut();
            loop {
                let Poll::Ready(next) = Pin::new(&mut *stream).poll_next(&mut at_the_door) else {
                    return Poll::Pending;
                };
                match next {
                    Some(Ok(Message::Text(text))) => break (SocketItem::Text(text_in(text)), false),
                    Some(Ok(Message::Binary(bytes))) => break (SocketItem::Binary(bytes.len()), false),
                    Some(Ok(Message::Pong(_))) => break (SocketItem::Pong, false),
                    // Reading on flushes the pong that tungstenite has queued. Raw frames are only ever written.
                    Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(frame))) => {
                        // One more poll flushes the answer. There is nothing to say about its failure: the
                        // peer that would miss the answer has already said that it is going.
                        let _flushed = Pin::new(&mut *stream).poll_next(&mut at_the_door);
                        break (SocketItem::Closed { code: frame.map(|frame| frame.code.into()) }, true);
                    }
                    Some(Err(error)) => break (SocketItem::Lost(socket_error(error)), true),
                    None => return Poll::Ready(None),
                }
            }
        };
        self.doorbell.rung.store(true, Ordering::Release); // more may have come with it
        self.ended = last;
        Poll::Ready(Some(item))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writing<S> {
    fn stream<T>(&self, act: impl FnOnce(Pin<&mut WebSocketStream<S>>) -> T) -> T {
        act(Pin::new(&mut *self.shared.stream.borrow_mut()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Outgoing> for Writing<S> {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.stream(|stream| stream.poll_ready(cx)).map_err(socket_error)
    }

    fn start_send(self: Pin<&mut Self>, message: Outgoing) -> Result<(), SocketError> {
        let message = match message {
            Outgoing::Text(text) => Message::Text(text_out(text)),
            Outgoing::Ping => Message::Ping(Bytes::new()),
            Outgoing::Close { code, reason } => {
                Message::Close(Some(CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) }))
            }
        };
        self.stream(|stream| stream.start_send(message)).map_err(socket_error)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.stream(|stream| stream.poll_flush(cx)).map_err(socket_error)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.stream(|stream| stream.poll_close(cx)).map_err(socket_error)
    }
}

/// No byte is copied; only the check for UTF-8 is made again, as neither type can take the other's word for it.
fn text_in(text: Utf8Bytes) -> ByteString {
    ByteString::try_from(Bytes::from(text)).expect("Utf8Bytes holds UTF-8")
}

fn text_out(text: ByteString) -> Utf8Bytes {
    Utf8Bytes::try_from(text.into_bytes()).expect("ByteString holds UTF-8")
}

fn socket_error(error: WsError) -> SocketError {
    match error {
        WsError::Io(error) => SocketError::Transport(error.to_string()),
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::SendAfterClosing) => {
            SocketError::Transport("already closed".to_owned())
        }
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            SocketError::Transport("ended without a close frame".to_owned())
        }
        error => SocketError::Protocol(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
