//! A WebSocket that reads while it writes, and can die in every way real ones do.
//!
//! Knows nothing of what the messages say.

use std::{collections::VecDeque, fmt, future::poll_fn, pin::Pin, task::Poll, time::Duration};

use futures_util::{Sink, Stream};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// How long a farewell may take before the socket is dropped: a peer on loopback answers within a
/// millisecond.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// How a socket ended, as seen from this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketEnd {
    /// A close frame from the peer; 1005 stands for one without a code.
    Closed { code: u16, reason: String },
    /// The TCP connection ended without one.
    Eof,
    /// Reset, or a violation of the protocol.
    Broken(String),
    /// This side ended it.
    ByUs(&'static str),
}

impl fmt::Display for SocketEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { code, reason } if reason.is_empty() => write!(f, "closed with {code}"),
            Self::Closed { code, reason } => write!(f, "closed with {code} ({reason})"),
            Self::Eof => write!(f, "ended without a close frame"),
            Self::Broken(why) => write!(f, "broke: {why}"),
            Self::ByUs(why) => write!(f, "ended by this side: {why}"),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Incoming {
    Text(Utf8Bytes),
    /// Neither protocol has binary frames.
    Binary,
    End(SocketEnd),
}

/// Small buffers, since a test may hold a thousand of these; messages up to what both real peers accept.
pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(64 << 20))
        .max_frame_size(Some(64 << 20))
}

pub(crate) struct Duplex {
    socket: WebSocketStream<TcpStream>,
    outbox: VecDeque<Message>,
    unflushed: bool,
}

impl Duplex {
    pub(crate) fn new(socket: WebSocketStream<TcpStream>) -> Self {
        Self { socket, outbox: VecDeque::new(), unflushed: false }
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        self.outbox.push_back(message.into());
    }

    /// Writes what is queued until a message, or the end, comes in. May be dropped at any await without loss.
    pub(crate) async fn next(&mut self) -> Incoming {
        poll_fn(|context| {
            // A write that fails is not the end yet: what the peer said before it left can still be read.
            if self.poll_write(context).is_err() {
                self.outbox.clear();
                self.unflushed = false;
            }
            loop {
                let incoming = match Pin::new(&mut self.socket).poll_next(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => Incoming::End(SocketEnd::Eof),
                    Poll::Ready(Some(Err(error))) => Incoming::End(ended_by(&error)),
                    Poll::Ready(Some(Ok(Message::Text(text)))) => Incoming::Text(text),
                    Poll::Ready(Some(Ok(Message::Binary(_)))) => Incoming::Binary,
                    Poll::Ready(Some(Ok(Message::Close(frame)))) => Incoming::End(closed(frame.as_ref())),
                    Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {
                        continue;
                    }
                };
                return Poll::Ready(incoming);
            }
        })
        .await
    }

    fn poll_write(&mut self, context: &mut std::task::Context<'_>) -> Result<(), Error> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.outbox.is_empty() {
            match socket.as_mut().poll_ready(context)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) => {
                    if let Some(message) = self.outbox.pop_front() {
                        socket.as_mut().start_send(message)?;
                        self.unflushed = true;
                    }
                }
            }
        }
        if self.unflushed && socket.poll_flush(context)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    /// Writes what is queued, says goodbye with a code, and waits a moment for the answer.
    pub(crate) async fn close(mut self, code: u16, reason: &'static str) {
        self.send(Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() })));
        self.finish().await;
    }

    /// Lets the closing handshake that either side began come to its end.
    pub(crate) async fn finish(mut self) {
        let until_the_end = async { while !matches!(self.next().await, Incoming::End(_)) {} };
        if timeout(FAREWELL_MAX, until_the_end).await.is_err() {
            tracing::debug!("peer did not answer the close frame");
        }
        if let Ok(Err(error)) = timeout(FAREWELL_MAX, self.socket.close(None)).await {
            tracing::debug!(%error, "socket was already closed");
        }
    }

    /// Ends the connection with a TCP reset instead of a goodbye.
    pub(crate) fn reset(self) {
        if let Err(error) = self.socket.get_ref().set_zero_linger() {
            tracing::warn!(%error, "socket is closed instead of reset");
        }
    }
}

fn ended_by(error: &Error) -> SocketEnd {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => SocketEnd::Eof,
        other => SocketEnd::Broken(other.to_string()),
    }
}

fn closed(frame: Option<&CloseFrame>) -> SocketEnd {
    match frame {
        Some(frame) => SocketEnd::Closed { code: frame.code.into(), reason: frame.reason.to_string() },
        None => SocketEnd::Closed { code: 1005, reason: String::new() },
    }
}
