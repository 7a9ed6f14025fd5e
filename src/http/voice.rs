//! `/twilio/voice`: a call rings, and the carrier is told what to do with it.
//!
//! It refuses to know which engine will talk; only that the audio comes to our media socket, with a ticket.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use tandem_wire::twiml::{ConnectStream, RejectReason, Response};
use tracing::{info, warn};

use super::desk::{Desk, Refusal, Ring};
use super::gate::Gate;
use super::problem::Problem;
use super::webhook::Webhook;
use crate::telemetry::mask_number;

/// A parameter must stay below 500 characters with its name. Numbers have 16; only SIP addresses come near, and a
/// caller should not be refused for a long one.
const PARTY_CHARS_MAX: usize = 400;

pub(super) async fn answer(
    hook: Webhook,
    desk: Data<dyn Desk>,
    gate: Data<Gate>,
) -> Result<HttpResponse, Problem> {
    let party = |name| hook.get(name).filter(|party| !party.is_empty()).map(Cow::into_owned);
    let ring = Ring { call_sid: hook.call_sid.clone(), from_opt: party("From"), to_opt: party("To") };
    let from = ring.from_opt.as_deref().map(mask_number);
    match desk.admit(ring.clone()).await {
        Ok(ticket) => {
            info!(call_sid = ring.call_sid, from, "call answered");
            connect(&gate, &ticket, &ring)
        }
        Err(Refusal::Broken) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the switchboard does not answer"))
        }
        Err(refusal @ (Refusal::Full | Refusal::Draining)) => {
            warn!(call_sid = ring.call_sid, from, ?refusal, "call refused as busy");
            Ok(twiml(Response::new().reject(RejectReason::Busy)))
        }
    }
}

/// Connects the call to our media socket. What follows is the net below it: whenever the stream ends, and also
/// when it never came about, the carrier asks `/twilio/resume`.
fn connect(gate: &Gate, ticket: &str, ring: &Ring) -> Result<HttpResponse, Problem> {
    let resume = gate.url("/twilio/resume");
    let mut parameters = vec![("ticket", ticket)];
    for (name, party_opt) in [("from", &ring.from_opt), ("to", &ring.to_opt)] {
        let party_opt = party_opt.as_deref().filter(|party| party.chars().count() <= PARTY_CHARS_MAX);
        parameters.extend(party_opt.map(|party| (name, party)));
    }
    let stream = ConnectStream {
        url: &gate.web_socket_url("/twilio/media"),
        action: Some(&resume),
        parameters: &parameters,
        ..ConnectStream::default()
    };
    let connected = Response::new()
        .connect_stream(&stream)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(twiml(connected.redirect(&resume)))
}

pub(super) fn twiml(response: Response) -> HttpResponse {
    HttpResponse::Ok().content_type("text/xml; charset=utf-8").body(response.finish())
}
