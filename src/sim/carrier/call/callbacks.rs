//! What every request says of the call, and the requests that nobody waits for: status callbacks, and a
//! webhook that comes once more.
//!
//! Knows nothing of the answers but their status.

use std::time::Duration;

use reqwest::Url;

use super::{
    super::{CallEnd, CarrierEvent, CarrierFault, twiml::ConnectStream, webhook::Fields},
    Call, Instant, Step, sleep,
};
use crate::wall;

impl Call<'_> {
    pub(super) fn fields(&self) -> Fields {
        let status = if self.answered { "in-progress" } else { "ringing" };
        let (from, to) = (self.plan.from.as_str(), self.plan.to.as_str());
        let mut fields: Fields = [
            ("AccountSid", self.plan.account_sid.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &self.sid),
            ("CallStatus", status),
            ("Called", to),
            ("Caller", from),
            ("Direction", "inbound"),
            ("From", from),
            ("StirVerstat", "TN-Validation-Passed-A"),
            ("To", to),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for party in ["Called", "Caller", "From", "To"] {
            for (part, value) in [("City", ""), ("State", ""), ("Zip", ""), ("Country", "US")] {
                fields.push((format!("{party}{part}"), value.to_owned()));
            }
        }
        fields
    }

    /// A stream status callback, which goes its own way while the call goes on.
    pub(super) fn tell_stream(
        &mut self,
        base: &Url,
        connect: &ConnectStream,
        sid: &str,
        event: &str,
        error: &str,
    ) {
        let Some(target) = &connect.status_callback else { return };
        let Ok(url) = base.join(&target.url) else {
            self.log.warn(11_100, format!("status callback {:?} is not a URL", target.url));
            return;
        };
        let mut fields: Fields = [
            ("AccountSid", self.plan.account_sid.as_str()),
            ("CallSid", &self.sid),
            ("StreamSid", sid),
            ("StreamName", connect.name.as_deref().unwrap_or(sid)),
            ("StreamEvent", event),
            ("Timestamp", &wall::iso_8601(wall::since_epoch())),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if event == "stream-error" {
            fields.push(("StreamError".to_owned(), error.to_owned()));
        }
        self.tell(url, target.get, fields, event.to_owned(), Duration::ZERO);
    }

    pub(super) fn tell_final_status(&mut self, end: &CallEnd, duration: Duration) {
        let Some(url) = self.status_url.clone() else { return };
        let status = match end {
            CallEnd::Rejected { reason } if reason == "busy" => "busy",
            CallEnd::Rejected { .. } => "no-answer",
            CallEnd::ApplicationError { .. } if !self.answered => "failed",
            _ if !self.answered => "no-answer",
            _ => "completed",
        };
        let mut fields = self.fields();
        fields.retain(|(name, _)| name != "CallStatus");
        for (name, value) in [
            ("CallStatus", status.to_owned()),
            ("CallDuration", duration.as_secs().to_string()),
            ("CallbackSource", "call-progress-events".to_owned()),
            ("SequenceNumber", "0".to_owned()),
        ] {
            fields.push((name.to_owned(), value));
        }
        let late = self.plan.faults.iter().find_map(|fault| match fault {
            CarrierFault::LateStatus(late) => Some(*late),
            _ => None,
        });
        self.tell(url, false, fields, status.to_owned(), late.unwrap_or_default());
    }

    fn tell(&mut self, url: Url, get: bool, fields: Fields, event: String, delay: Duration) {
        let (webhooks, token) = (self.webhooks.clone(), self.unique());
        self.callbacks.spawn(async move {
            sleep(delay).await;
            let status = webhooks.tell(&url, get, &fields, &token).await.unwrap_or_else(|failure| {
                tracing::debug!(text = failure.text, "status callback failed");
                0
            });
            (Instant::now(), CarrierEvent::StatusPosted { event, status })
        });
    }

    /// The fault that posts a webhook again, with its token, while the call goes on.
    pub(super) fn repeat_later(&mut self, step: &Step, fields: Fields, token: String) {
        let later = self.plan.faults.iter().find_map(|fault| match fault {
            CarrierFault::RepeatWebhook(later) => Some(*later),
            _ => None,
        });
        let Some(later) = later else { return };
        let (webhooks, url, get) = (self.webhooks.clone(), step.url.clone(), step.get);
        self.callbacks.spawn(async move {
            sleep(later).await;
            let status = webhooks.tell(&url, get, &fields, &token).await.unwrap_or_else(|failure| {
                tracing::debug!(text = failure.text, "a repeated webhook failed");
                0
            });
            (Instant::now(), CarrierEvent::WebhookRepeated { url: url.into(), status })
        });
    }
}
