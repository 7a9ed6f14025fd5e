//! `/twilio/voice`: a call rings; `/twilio/resume`: its stream is over. The carrier is told what to do with it next.
//!
//! It refuses to know why: the desk decides, and here the decision becomes TwiML.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tandem_actors::mode::Mode;
use tandem_wire::twiml::{ConnectStream, RejectReason, Response, Say, TwimlError};
use tracing::{info, warn};

use super::callbacks;
use super::desk::{Asked, Desk, Refusal, Reply, Ring};
use super::gate::Gate;
use super::gather;
use super::problem::Problem;
use super::webhook::Webhook;
use crate::telemetry::mask_number;

/// A parameter must stay below 500 characters with its name. Numbers have 16; only SIP addresses come near, and a
/// caller should not be refused for a long one.
const PARTY_CHARS_MAX: usize = 400;

/// Spoken by the carrier, so that a caller whom nobody else can talk to is not left in silence.
const APOLOGY: &str =
    "We are sorry, this call cannot go on because of a fault on our side. Please call again.";

/// The router picks the mode.
pub(super) async fn answer(
    request: HttpRequest,
    hook: Webhook,
    desk: Data<dyn Desk>,
    gate: Data<Gate>,
) -> Result<HttpResponse, Problem> {
    reply(&request, &hook, Asked::Rings { mode_opt: None }, &desk, &gate).await
}

/// The path picks the mode.
pub(super) async fn answer_in(
    mode: Mode,
    request: HttpRequest,
    hook: Webhook,
    desk: Data<dyn Desk>,
    gate: Data<Gate>,
) -> Result<HttpResponse, Problem> {
    reply(&request, &hook, Asked::Rings { mode_opt: Some(mode) }, &desk, &gate).await
}

/// A stream has ended for whatever reason, or never came about.
pub(super) async fn resume(
    request: HttpRequest,
    hook: Webhook,
    desk: Data<dyn Desk>,
    gate: Data<Gate>,
) -> Result<HttpResponse, Problem> {
    if callbacks::is_over(&hook) {
        desk.over(hook.call_sid).await; // there is nobody to go on with
        return Ok(twiml(Response::new()));
    }
    reply(&request, &hook, Asked::StreamOver, &desk, &gate).await
}

async fn reply(
    request: &HttpRequest,
    hook: &Webhook,
    asked: Asked,
    desk: &Data<dyn Desk>,
    gate: &Gate,
) -> Result<HttpResponse, Problem> {
    let party = |name| hook.get(name).filter(|party| !party.is_empty()).map(Cow::into_owned);
    let ring = Ring { call_sid: hook.call_sid.clone(), from_opt: party("From"), to_opt: party("To") };
    let from = ring.from_opt.as_deref().map(mask_number);
    match desk.answer(ring.clone(), asked, gather::token(request)).await {
        Ok(reply) => {
            info!(call_sid = ring.call_sid, from, ?asked, reply = reply.name(), "carrier answered");
            let document = document(&reply, &ring, gate);
            document.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
        }
        Err(Refusal::Broken) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the switchboard does not answer"))
        }
        // Who rings hears that we are busy, and is not billed; who has been talking is told.
        Err(refusal) => {
            warn!(call_sid = ring.call_sid, from, ?refusal, "call refused");
            Ok(twiml(match asked {
                Asked::Rings { .. } => Response::new().reject(RejectReason::Busy),
                Asked::StreamOver => apology(),
            }))
        }
    }
}

impl Reply {
    /// For logs: a ticket is a secret, a number is private.
    fn name(&self) -> &'static str {
        match self {
            Self::Stream { .. } => "stream",
            Self::Turn { .. } => "turn",
            Self::HangUp => "hang up",
        }
    }
}

fn document(reply: &Reply, ring: &Ring, gate: &Gate) -> Result<HttpResponse, TwimlError> {
    Ok(match reply {
        Reply::Stream { ticket, worker_opt } => twiml(connect(gate, ticket, worker_opt.as_deref(), ring)?),
        Reply::Turn { answer, manner } => gather::render(gate, manner, answer),
        Reply::HangUp => twiml(Response::new().hangup()),
    })
}

/// Connects the call to our media socket. What follows is the net below it: whenever the stream ends, and also
/// when it never came about, the carrier asks `/twilio/resume`.
fn connect(gate: &Gate, ticket: &str, worker_opt: Option<&str>, ring: &Ring) -> Result<Response, TwimlError> {
    let resume = gate.url("/twilio/resume");
    let mut parameters = vec![("ticket", ticket)];
    for (name, party_opt) in [("from", &ring.from_opt), ("to", &ring.to_opt)] {
        let party_opt = party_opt.as_deref().filter(|party| party.chars().count() <= PARTY_CHARS_MAX);
        parameters.extend(party_opt.map(|party| (name, party)));
    }
    let path = worker_opt.map_or("/twilio/media".to_owned(), |worker| format!("/twilio/media/{worker}"));
    let stream = ConnectStream {
        url: &gate.web_socket_url(&path),
        action: Some(&resume),
        parameters: &parameters,
        ..ConnectStream::default()
    };
    Ok(Response::new().connect_stream(&stream)?.redirect(&resume))
}

fn apology() -> Response {
    Response::new().say(&Say { text: APOLOGY, ..Say::default() }).hangup()
}

pub(super) fn twiml(response: Response) -> HttpResponse {
    HttpResponse::Ok().content_type("text/xml; charset=utf-8").body(response.finish())
}
