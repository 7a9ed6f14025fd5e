//! `/twilio/resume`: a stream has ended, and the carrier asks what comes next.
//!
//! It refuses to know how streams end; it only asks what became of the call.

use actix_web::HttpResponse;
use actix_web::web::Data;
use tandem_wire::twiml::{Response, Say};
use tracing::info;

use super::desk::{Desk, Fate};
use super::voice::twiml;
use super::webhook::Webhook;

/// Spoken by the carrier, so that a caller whom nobody else can talk to is not left in silence.
const APOLOGY: &str =
    "We are sorry, this call cannot go on because of a fault on our side. Please call again.";

pub(super) async fn resume(hook: Webhook, desk: Data<dyn Desk>) -> HttpResponse {
    let fate = desk.fate(hook.call_sid.clone()).await;
    info!(call_sid = hook.call_sid, ?fate, "stream over");
    let document = match fate {
        Fate::Ended => Response::new(),
        Fate::EngineLost | Fate::Unknown => Response::new().say(&Say { text: APOLOGY, ..Say::default() }),
    };
    twiml(document.hangup())
}
