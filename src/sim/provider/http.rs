//! One TCP connection of the provider's, as HTTP: requests go to their endpoints, an upgrade becomes a
//! session.
//!
//! Knows neither what endpoints answer nor what happens within a session.

use std::{
    error::Error,
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{broadcast, watch},
    time::{Instant, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::server::create_response, protocol::Role},
};

use super::{
    Realm,
    answer::{Answer, Closed, Playback, Witness},
    connection,
    endpoints::{self, Asked, Desk, Endpoint},
    fault::{AnswerFault, FaultKind},
    record::{RequestEnd, RequestRecord, Shared},
    rejection::Rejection,
    stopped,
    upgrade::{self, Admission},
};
use crate::duplex::{self, Duplex};

/// The largest upload, as the real one has it for audio.
const BODY_BYTES_MAX: usize = 25 << 20;

/// An upgrade that was answered with yes.
#[derive(Debug)]
struct Admitted {
    upgrade: OnUpgrade,
    admission: Admission,
    /// Which upgrade it is, from 1.
    number: usize,
    faults: Vec<FaultKind>,
    strikes: broadcast::Receiver<FaultKind>,
}

/// Serves one accepted TCP connection to its end, or until the provider stops.
pub(super) async fn serve(realm: &Realm, tcp: TcpStream, mut stopping: watch::Receiver<bool>) {
    let door = Mutex::new(None);
    let service = service_fn(|request| respond(realm, &door, request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades();
    tokio::select! {
        served = serving => if let Err(error) = served {
            tracing::debug!(%error, "a connection ended in mid-answer");
        },
        () = stopped(&mut stopping) => return,
    }
    let admitted = door.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Some(Admitted { upgrade, admission, number, faults, strikes }) = admitted else { return };
    let Some(socket) = socket(upgrade).await else { return };
    connection::serve(realm, number, admission, faults, strikes, socket, stopping).await;
}

/// The bare socket again, with what the client sent ahead.
async fn socket(upgrade: OnUpgrade) -> Option<Duplex> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "the client did not wait for its upgrade");
            return None;
        }
    };
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    let (tcp, ahead) = (parts.io.into_inner(), parts.read_buf.to_vec());
    let socket = WebSocketStream::from_partially_read(tcp, ahead, Role::Server, Some(duplex::config())).await;
    Some(Duplex::new(socket))
}

async fn respond(
    realm: &Realm,
    door: &Mutex<Option<Admitted>>,
    request: Request<Incoming>,
) -> Result<Response<Playback>, Closed> {
    if request.uri().path() == upgrade::PATH || wants_socket(request.headers()) {
        return admit(realm, door, request).await;
    }
    let path = request.uri().path();
    match Endpoint::at(path) {
        Some(endpoint) if endpoint.method() == request.method() => ask(realm, endpoint, request).await,
        Some(_) => {
            let message = format!("Not allowed to {} on {path}.", request.method());
            Ok(refused(&Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_supported", message)))
        }
        None => {
            let message = format!("Invalid URL ({} {path})", request.method());
            Ok(refused(&Rejection::new(StatusCode::NOT_FOUND, "invalid_url", message)))
        }
    }
}

fn wants_socket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn refused(rejection: &Rejection) -> Response<Playback> {
    begun(Answer::refused(rejection.status, &rejection.to_json()), Witness::nobody())
}

/// The head of an answer, with its body to follow.
fn begun(answer: Answer, witness: Witness) -> Response<Playback> {
    let now = Instant::now();
    witness.note(|record| record.status = Some(answer.status.as_u16()));
    let (status, content_type) = (answer.status, answer.form.content_type());
    let mut response = Response::new(answer.play(now, witness));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

// -------------------------------------------------------------------------------------------------- upgrades

/// Answers an upgrade request, late or badly if a fault says so.
async fn admit(
    realm: &Realm,
    door: &Mutex<Option<Admitted>>,
    mut request: Request<Incoming>,
) -> Result<Response<Playback>, Closed> {
    let number = realm.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let strikes = realm.trouble.strikes(); // from here on nothing ordered is missed
    let faults = realm.trouble.of_upgrade();
    if faults.contains(&FaultKind::Refuse) {
        return Err(Closed);
    }
    let mut delay = realm.options.handshake_delay;
    let mut scripted = None;
    for fault in &faults {
        match fault {
            FaultKind::Delay(more) => delay += *more,
            FaultKind::Http(status) => scripted = Some(Rejection::scripted(*status)),
            _ => {}
        }
    }
    sleep(delay).await;
    let upgrade = hyper::upgrade::on(&mut request);
    let request = Request::from_parts(request.into_parts().0, ());
    let admitted = match scripted {
        Some(rejection) => Err(rejection),
        None => upgrade::admit(&request, realm.options.api_key.as_deref()),
    };
    let handshake = |admission| match create_response(&request) {
        Ok(response) => Ok((admission, upgrade::accept(&request, response))),
        Err(error) => Err(Rejection::new(StatusCode::BAD_REQUEST, "invalid_handshake", error.to_string())),
    };
    Ok(match admitted.and_then(handshake) {
        Err(rejection) => refused(&rejection),
        Ok((admission, response)) => {
            let admitted = Admitted { upgrade, admission, number, faults, strikes };
            *door.lock().unwrap_or_else(PoisonError::into_inner) = Some(admitted);
            response.map(|()| Playback::empty(Instant::now()))
        }
    })
}

// -------------------------------------------------------------------------------------------------- requests

/// Has an endpoint answer, late or badly if a fault says so.
async fn ask(
    realm: &Realm,
    endpoint: Endpoint,
    request: Request<Incoming>,
) -> Result<Response<Playback>, Closed> {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let record = Shared::new(RequestRecord::new(endpoint, path, Instant::now()));
    let number = realm.note_request(record.clone());
    let witness = Witness::of(record);
    let faults = realm.trouble.of_request(endpoint);
    let (head, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(Unread::Gone) => return Err(Closed),
        Err(Unread::TooLarge) => {
            let message = format!("Maximum content size limit ({BODY_BYTES_MAX}) exceeded.");
            let rejection = Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, "content_too_large", message);
            return Ok(begun(Answer::refused(rejection.status, &endpoint.shape(&rejection)), witness));
        }
    };
    let asked = Asked::read(endpoint, head, &body);
    witness.note(|record| record.body = asked.to_json());
    if faults.contains(&AnswerFault::Refuse) {
        witness.ended(RequestEnd::ByUs);
        return Err(Closed);
    }
    let mut answer = endpoints::answer(&asked, &mut Desk::new(realm, number, &faults), &faults);
    for fault in &faults {
        answer.bend(fault);
    }
    sleep(answer.after).await;
    Ok(begun(answer, witness))
}

enum Unread {
    TooLarge,
    Gone,
}

async fn read(body: Incoming) -> Result<Bytes, Unread> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_length_limit(&*error) => Err(Unread::TooLarge),
        Err(error) => {
            tracing::debug!(%error, "the client went away before it had asked");
            Err(Unread::Gone)
        }
    }
}

fn is_length_limit(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>()
}
