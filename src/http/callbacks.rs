//! `/twilio/status`, `/twilio/stream-status`, `/twilio/recording`: what the carrier tells without asking anything.
//!
//! It refuses to answer with more than that it was heard. Order is not guaranteed: the end of a call counts whenever it
//! comes, everything else is for the log.

use actix_web::HttpResponse;
use actix_web::web::Data;
use tracing::{info, warn};

use super::desk::Desk;
use super::webhook::Webhook;

/// `CallStatus` of a call that is over.
const OVER: [&str; 5] = ["completed", "busy", "failed", "no-answer", "canceled"];

pub(super) async fn status(hook: Webhook, desk: Data<dyn Desk>) -> HttpResponse {
    let status = hook.get("CallStatus").unwrap_or_default().into_owned();
    info!(call_sid = hook.call_sid, status, "call status");
    if is_over(&hook) {
        desk.over(hook.call_sid).await;
    }
    HttpResponse::NoContent().finish()
}

/// Whether the carrier says, with whatever it asks, that its call is over.
pub(super) fn is_over(hook: &Webhook) -> bool {
    hook.get("CallStatus").is_some_and(|status| OVER.contains(&&*status))
}

pub(super) async fn stream_status(hook: Webhook) -> HttpResponse {
    let event = hook.get("StreamEvent").unwrap_or_default().into_owned();
    if let Some(error) = hook.get("StreamError") {
        warn!(call_sid = hook.call_sid, event, %error, "stream failed at the carrier");
    } else {
        info!(call_sid = hook.call_sid, event, "stream status");
    }
    HttpResponse::NoContent().finish()
}

pub(super) async fn recording(hook: Webhook) -> HttpResponse {
    let status = hook.get("RecordingStatus").unwrap_or_default().into_owned();
    info!(call_sid = hook.call_sid, status, "recording status");
    HttpResponse::NoContent().finish()
}
