//! `/twilio/media`: a carrier's upgrade request becomes a media socket.
//!
//! It refuses to know what is said on the socket, and to whom it belongs. Such a request never reaches actix-web: the
//! server hands over the bare transport, so all checks and refusals are made here. Sub-protocols, extensions and
//! origins are not asked for: Twilio sends none.

use std::any::Any;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::{BoxBody, MessageBody};
use actix_http::h1::{Codec, Message};
use actix_http::header::{
    HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use actix_http::{ConnectionType, Method, Request, RequestHead, Response, StatusCode, Version};
use actix_web::ResponseError;
use actix_web::web::Data;
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tracing::{debug, warn};

use super::MEDIA;
use super::desk::{Desk, MediaRequest};
use super::gate::{Gate, Signed};
use super::problem::Problem;
use super::workers::{Parcel, Workers};
use crate::socket::{self, SocketGauge};

/// The answer has 200 bytes, so it is only late for a client that has pipelined requests and does not read.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// What upgrade requests pass on their way to the desk; one per worker.
pub(super) struct Entrance {
    pub(super) gate: Data<Gate>,
    pub(super) desk: Data<dyn Desk>,
    pub(super) gauge: SocketGauge,
    pub(super) sockets_max: usize,
    pub(super) workers: Arc<Workers>,
}

impl Entrance {
    /// Answers an upgrade request, and hands the socket over if the answer is yes.
    pub(super) async fn enter<T>(
        self: Rc<Self>,
        request: Request,
        mut transport: Framed<T, Codec>,
    ) -> Result<(), Infallible>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let admitted = self.admit(request.head());
        let answer = admitted.as_deref().map_or_else(refusal, switching_protocols);
        let answered = timeout(ANSWER_WAIT_MAX, send(&mut transport, answer)).await;
        match (admitted, answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))) {
            (Ok(_), Ok(())) => {
                let remote_opt = request.peer_addr();
                self.hand_over(transport, MediaRequest { path: request.path().to_owned(), remote_opt }).await;
            }
            (Err(problem), Ok(())) => debug!(%problem, path = request.path(), "upgrade refused"),
            (_, Err(error)) => debug!(%error, path = request.path(), "upgrade not answered"),
        }
        Ok(())
    }

    /// Whether the request may have a socket; if so, the value of `Sec-WebSocket-Accept`.
    fn admit(&self, head: &RequestHead) -> Result<String, Problem> {
        if !is_media(head.uri.path()) {
            return Err(Problem::new(StatusCode::NOT_FOUND, "no WebSocket is served at this path"));
        }
        let accept = accept_key(head)?;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        self.gate.check(path, head.headers(), &Signed::Upgrade)?;
        if self.gauge.open() >= self.sockets_max {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "as many media sockets as allowed are open",
            ));
        }
        Ok(accept)
    }

    /// Brings the connection to the thread that its path names, or keeps it on this one.
    async fn hand_over<T>(&self, transport: Framed<T, Codec>, request: MediaRequest)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (io, early) = taken_apart(transport);
        let Some(worker) = self.workers.elsewhere(&request.path) else {
            return self.take(io, early, request).await;
        };
        // The server's transports are bare TCP; in tests there are others, which stay where they are.
        match (Box::new(io) as Box<dyn Any>).downcast::<TcpStream>() {
            Ok(stream) => match Parcel::pack(*stream, early, request.path, request.remote_opt) {
                Ok(parcel) => {
                    if let Err(parcel) = self.workers.hand(worker, parcel) {
                        warn!(worker, "worker is gone; its socket stays here");
                        self.receive(parcel).await;
                    }
                }
                Err(error) => debug!(%error, "connection lost on its way to another worker"),
            },
            Err(other) => match other.downcast::<T>() {
                Ok(io) => self.take(*io, early, request).await,
                Err(_) => unreachable!("it is a T, which is not a TCP stream"),
            },
        }
    }

    /// A connection that another worker accepted for this one.
    pub(super) async fn receive(&self, parcel: Parcel) {
        match parcel.unpack() {
            Ok((stream, early, path, remote_opt)) => {
                self.take(stream, early, MediaRequest { path, remote_opt }).await;
            }
            Err(error) => debug!(%error, "connection lost on its way from another worker"),
        }
    }

    async fn take<T>(&self, io: T, early: Vec<u8>, request: MediaRequest)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let config = socket::config(socket::Peer::Carrier);
        let stream = WebSocketStream::from_partially_read(io, early, Role::Server, Some(config)).await;
        self.desk.take_media_socket(socket::wrap(stream, &self.gauge), request).await;
    }
}

/// The answer to a request for a media path that does not ask for an upgrade.
pub(super) async fn not_an_upgrade() -> Problem {
    upgrade_required("this path speaks WebSocket only")
}

fn is_media(path: &str) -> bool {
    let is_name =
        |rest: &str| rest.is_empty() || rest.strip_prefix('/').is_some_and(|name| !name.contains('/'));
    MEDIA.iter().any(|media| path.strip_prefix(media).is_some_and(is_name))
}

/// Checks the client's side of the handshake (RFC 6455, section 4.2.1) and makes ours.
fn accept_key(head: &RequestHead) -> Result<String, Problem> {
    if head.method != Method::GET {
        return Err(Problem::method_not_allowed("GET"));
    }
    if head.version < Version::HTTP_11 || !head.upgrade() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a WebSocket needs HTTP/1.1 and the header `Connection: Upgrade`",
        ));
    }
    if head.headers().get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(upgrade_required("WebSocket version 13 is spoken here"));
    }
    let key = head.headers().get(SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    if !is_16_bytes_in_base64(key) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    Ok(derive_accept_key(key))
}

/// 16 bytes make 22 characters and two signs of padding.
fn is_16_bytes_in_base64(key: &[u8]) -> bool {
    let is_digit = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}

fn upgrade_required(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UPGRADE_REQUIRED, detail)
        .with_header(UPGRADE, "websocket")
        .with_header(SEC_WEBSOCKET_VERSION, "13")
}

fn switching_protocols(accept: &str) -> Response<BoxBody> {
    Response::build(StatusCode::SWITCHING_PROTOCOLS)
        .upgrade("websocket")
        .insert_header((SEC_WEBSOCKET_ACCEPT, accept))
        .finish()
        .map_into_boxed_body()
}

fn refusal(problem: &Problem) -> Response<BoxBody> {
    let mut response: Response<BoxBody> = problem.error_response().into();
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}

/// The connection, and what an eager client has sent behind its request. The 16 KiB of HTTP's buffers end here.
fn taken_apart<T>(transport: Framed<T, Codec>) -> (T, Vec<u8>) {
    let parts = transport.into_parts();
    (parts.io, parts.read_buf.to_vec())
}

async fn send<T>(transport: &mut Framed<T, Codec>, response: Response<BoxBody>) -> io::Result<()>
where
    T: AsyncWrite + Unpin,
{
    let is_last = response.status() != StatusCode::SWITCHING_PROTOCOLS;
    let (head, body) = response.into_parts();
    transport.send(Message::Item((head, body.size()))).await?;
    if let Ok(bytes) = body.try_into_bytes()
        && !bytes.is_empty()
    {
        transport.send(Message::Chunk(Some(bytes))).await?;
    }
    if is_last {
        transport.io_mut().shutdown().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
