//! A call from ring to end: documents are fetched and their verbs performed one after the other, until they
//! run out or somebody hangs up.
//!
//! Knows neither HTTP headers nor media frames.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Url;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    CallEnd, CallError, CallPlan, CallRecord, CarrierEvent, CarrierFault, SocketEnd,
    log::Log,
    stream::{self, Connected, Ear, Ended, StreamError, Surroundings},
    twiml::{self, ConnectStream, Gather, Target, Verb},
    uplink::Ids,
    webhook::{Fields, Places, Webhooks},
};
use crate::wall;

/// Documents a call may go through before it is taken to run in circles. The real carrier has no such figure;
/// a call of an hour that is handed over every minute needs sixty.
const DOCUMENTS_MAX: usize = 200;

/// Calls placed by this process: with the time they make every call's id its own, whatever the seed.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// What comes after a verb.
enum Next {
    Verb,
    Document { url: Url, get: bool },
    End(CallEnd),
}

pub(crate) struct Call<'a> {
    plan: &'a CallPlan,
    webhooks: Webhooks,
    status_url: Option<Url>,
    log: Log<'a>,
    began: Instant,
    sid: String,
    ids: StdRng,
    ear: Ear,
    stream_sids: Vec<String>,
    answered: bool,
    callbacks: JoinSet<(Instant, CarrierEvent)>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(plan: &'a CallPlan, voice_url: &Url, log: Log<'a>) -> Result<Self, CallError> {
        let places = Places::new(voice_url, plan.public_base.as_deref());
        let auth_token = plan.auth_token.clone().map(|token| {
            if plan.faults.contains(&CarrierFault::BadSignature) { format!("not {token}") } else { token }
        });
        let status_url = plan.status_url.as_deref().map(super::url).transpose()?;
        let webhooks = Webhooks::new(places, auth_token);
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let now = wall::since_epoch();
        let seed =
            plan.network.seed ^ now.as_secs() << 30 ^ u64::from(now.subsec_nanos()) ^ number.rotate_right(8);
        let mut ids = StdRng::seed_from_u64(seed);
        Ok(Self {
            plan,
            webhooks,
            status_url,
            log,
            began: Instant::now(),
            sid: sid("CA", &mut ids),
            ids,
            ear: Ear::default(),
            stream_sids: Vec::new(),
            answered: false,
            callbacks: JoinSet::new(),
        })
    }

    pub(crate) async fn run(mut self, voice_url: Url) -> Result<CallRecord, CallError> {
        let end = self.live(voice_url).await?;
        self.log.event(CarrierEvent::HungUp);
        let duration = self.log.now();
        self.tell_final_status(&end, duration);
        while let Some(told) = self.callbacks.join_next().await {
            match told {
                Ok((at, event)) => self.log.events.push((at - self.began, event)),
                Err(error) => tracing::error!(%error, "a status callback did not end well"),
            }
        }
        self.log.events.sort_by_key(|(at, _)| *at);
        let samples = self.ear.heard.len();
        let said =
            self.plan.caller.samples().iter().copied().chain(std::iter::repeat(0)).take(samples).collect();
        Ok(CallRecord {
            call_sid: self.sid,
            stream_sids: self.stream_sids,
            stream_started: self.ear.began.map(|began| began - self.began),
            heard: self.ear.heard,
            said,
            events: self.log.events,
            cleared: self.log.cleared,
            received_ms: self.log.received_ms,
            played_ms: self.log.played_ms,
            end,
            warnings: self.log.warnings,
            duration,
        })
    }

    async fn live(&mut self, voice_url: Url) -> Result<CallEnd, CallError> {
        let (mut url, mut get) = (voice_url, false);
        for _ in 0..DOCUMENTS_MAX {
            let document = match self.fetch(&url, get).await {
                Ok(document) => document,
                Err(end) => return Ok(end),
            };
            let verbs = match twiml::read(&document) {
                Ok((verbs, warnings)) => {
                    for (code, text) in warnings {
                        self.log.warn(code, text);
                    }
                    verbs
                }
                Err(error) => {
                    return Ok(CallEnd::ApplicationError { code: 12_100, text: format!("{url}: {error}") });
                }
            };
            match self.perform(&url, verbs).await? {
                Next::Verb => return Ok(CallEnd::DocumentEnded),
                Next::End(end) => return Ok(end),
                Next::Document { url: next, get: by_get } => (url, get) = (next, by_get),
            }
        }
        Ok(CallEnd::ApplicationError { code: 11_215, text: format!("more than {DOCUMENTS_MAX} documents") })
    }

    // --------------------------------------------------------------------------------------------- documents

    async fn fetch(&mut self, url: &Url, get: bool) -> Result<String, CallEnd> {
        let fields = self.fields();
        let token = self.unique();
        let times =
            if !self.answered && self.plan.faults.contains(&CarrierFault::DuplicateWebhook) { 2 } else { 1 };
        let mut document = Err(CallEnd::DocumentEnded);
        for _ in 0..times {
            self.log.event(CarrierEvent::WebhookPosted { url: url.to_string() });
            let answer = self.webhooks.ask(url, get, &fields, &token).await;
            let body = answer.and_then(|answer| {
                self.log.event(CarrierEvent::WebhookAnswered { url: url.to_string(), status: answer.status });
                answer.body
            });
            document =
                body.map_err(|failure| CallEnd::ApplicationError { code: failure.code, text: failure.text });
        }
        self.answered = true;
        document
    }

    async fn perform(&mut self, base: &Url, verbs: Vec<Verb>) -> Result<Next, CallError> {
        for (n, verb) in verbs.into_iter().enumerate() {
            let next = match verb {
                Verb::Say { .. } | Verb::Play { .. } | Verb::Pause { .. } => self.prompt(verb).await,
                Verb::Gather(gather) => self.gather(base, gather).await,
                Verb::ConnectStream(connect) => self.stream(base, connect).await?,
                Verb::Redirect(target) => {
                    self.verb("Redirect", target.url.clone());
                    go(base, &target)
                }
                Verb::Reject { reason } if n == 0 => {
                    self.verb("Reject", reason.clone());
                    Next::End(CallEnd::Rejected { reason })
                }
                Verb::Reject { .. } => {
                    self.log.warn(12_200, "<Reject> is not the first verb".to_owned());
                    Next::Verb
                }
                Verb::Hangup => {
                    self.verb("Hangup", String::new());
                    Next::End(CallEnd::HungUp)
                }
            };
            if !matches!(next, Next::Verb) {
                return Ok(next);
            }
        }
        Ok(Next::Verb)
    }

    fn verb(&mut self, name: &'static str, text: String) {
        self.log.event(CarrierEvent::Verb { name, text });
    }

    // ------------------------------------------------------------------------------------------------- verbs

    async fn prompt(&mut self, verb: Verb) -> Next {
        let length = match verb {
            Verb::Say { text } => {
                let length =
                    self.plan.say_per_character * u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                self.verb("Say", text);
                length
            }
            Verb::Pause { length } => {
                self.verb("Pause", format!("{} s", length.as_secs()));
                length
            }
            // Not fetched: what it would sound like does not matter here.
            Verb::Play { url } => {
                self.verb("Play", url);
                Duration::ZERO
            }
            _ => return Next::Verb,
        };
        self.wait(length).await
    }

    async fn gather(&mut self, base: &Url, gather: Gather) -> Next {
        self.verb("Gather", gather.action.url.clone());
        for prompt in gather.prompts {
            let next = self.prompt(prompt).await;
            if !matches!(next, Next::Verb) {
                return next;
            }
        }
        // This caller says nothing here and presses nothing.
        match self.wait(gather.timeout).await {
            Next::Verb if gather.action_on_empty_result => go(base, &gather.action),
            next => next,
        }
    }

    /// Lets time pass, unless the caller hangs up or the call has lasted too long.
    async fn wait(&mut self, length: Duration) -> Next {
        let until = Instant::now() + length;
        let too_long_at = self.began + self.plan.max;
        let hang_up_at =
            self.ear.began.and_then(|began| Some(began + self.plan.hang_up.at(&self.plan.caller)?));
        let end_at = hang_up_at.map_or(too_long_at, |at| at.min(too_long_at));
        sleep_until(until.min(end_at)).await;
        if until < end_at {
            Next::Verb
        } else if hang_up_at == Some(end_at) {
            Next::End(CallEnd::CallerHungUp)
        } else {
            Next::End(CallEnd::TooLong)
        }
    }

    async fn stream(&mut self, base: &Url, connect: ConnectStream) -> Result<Next, CallError> {
        self.verb("Connect Stream", connect.url.clone());
        let sid = sid("MZ", &mut self.ids);
        let outcome = match self.stream_connected(&connect).await? {
            Ok(connected) => {
                self.tell_stream(base, &connect, &sid, "stream-started", "");
                self.stream_sids.push(sid.clone());
                self.stream_through(connected, &connect, &sid).await
            }
            Err(StreamError { code, text }) => {
                self.log.warn(code, text.clone());
                self.tell_stream(base, &connect, &sid, "stream-error", &text);
                self.log.event(CarrierEvent::StreamFailed { code, text });
                return Ok(connect.action.map_or(Next::Verb, |action| go(base, &action)));
            }
        };
        let end = match outcome {
            Ended::Socket(end) => end,
            Ended::HangUp { too_long } => {
                self.tell_stream(base, &connect, &sid, "stream-stopped", "");
                return Ok(Next::End(if too_long { CallEnd::TooLong } else { CallEnd::CallerHungUp }));
            }
        };
        let (code, event) = match &end {
            SocketEnd::Closed { .. } => (31_921, "stream-stopped"),
            SocketEnd::Eof | SocketEnd::ByUs(_) => (31_903, "stream-error"),
            SocketEnd::Broken(_) => (31_924, "stream-error"),
        };
        let text = format!("stream {sid}: the socket {end}");
        self.tell_stream(base, &connect, &sid, event, &text);
        self.log.warn(code, text);
        Ok(connect.action.map_or(Next::Verb, |action| go(base, &action)))
    }

    /// The inner error is the carrier's: then the call goes on as if the stream had ended.
    async fn stream_connected(
        &mut self,
        connect: &ConnectStream,
    ) -> Result<Result<Connected, StreamError>, CallError> {
        let local = self.webhooks.places.to_local(&connect.url);
        if let Err(refused) = may_connect(connect, &local)? {
            return Ok(Err(refused));
        }
        self.log.event(CarrierEvent::StreamConnecting { url: connect.url.clone() });
        let signature = self.webhooks.sign(&connect.url, &[]);
        Ok(stream::connect(&local, signature.as_deref()).await)
    }

    async fn stream_through(&mut self, connected: Connected, connect: &ConnectStream, sid: &str) -> Ended {
        let ids =
            Ids { account: self.plan.account_sid.clone(), call: self.sid.clone(), stream: sid.to_owned() };
        let around = Surroundings {
            ids,
            parameters: &connect.parameters,
            caller: self.plan.caller.samples(),
            digits: &self.plan.digits,
            hang_up: self.plan.hang_up.at(&self.plan.caller),
            too_long_at: self.began + self.plan.max,
            network: self.plan.network,
            faults: &self.plan.faults,
        };
        stream::run(connected, around, &mut self.ear, &mut self.log).await
    }

    // --------------------------------------------------------------------------------------------- callbacks

    fn fields(&self) -> Fields {
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
    fn tell_stream(&mut self, base: &Url, connect: &ConnectStream, sid: &str, event: &str, error: &str) {
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

    fn tell_final_status(&mut self, end: &CallEnd, duration: Duration) {
        let Some(url) = self.status_url.clone() else { return };
        let status = match end {
            CallEnd::Rejected { reason } if reason == "busy" => "busy",
            CallEnd::Rejected { .. } => "no-answer",
            CallEnd::ApplicationError { .. } if self.stream_sids.is_empty() => "failed",
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

    fn unique(&mut self) -> String {
        format!("{:032x}", self.ids.random::<u128>())
    }
}

fn go(base: &Url, target: &Target) -> Next {
    match base.join(&target.url) {
        Ok(url) => Next::Document { url, get: target.get },
        Err(error) => {
            let text = format!("{:?} is not a URL: {error}", target.url);
            Next::End(CallEnd::ApplicationError { code: 11_100, text })
        }
    }
}

fn sid(kind: &str, ids: &mut StdRng) -> String {
    format!("{kind}{:032x}", ids.random::<u128>())
}

/// The carrier's own rules for a stream. TLS is a limit of this carrier's and no fault of the switch's.
fn may_connect(connect: &ConnectStream, local: &str) -> Result<Result<(), StreamError>, CallError> {
    let refused = |code, text: &str| Ok(Err(StreamError { code, text: format!("{local:?} {text}") }));
    if let Some(track) = connect.track.as_deref().filter(|track| *track != "inbound_track") {
        return refused(31_941, &format!("cannot have the track {track} in both directions"));
    }
    let Ok(url) = Url::parse(local) else { return refused(31_923, "is not an absolute URL") };
    match url.scheme() {
        "wss" => Err(CallError::Secure(local.to_owned())),
        "ws" if is_loopback(&url) => Ok(Ok(())),
        "ws" => refused(31_922, "is not wss; ws is for loopback only"),
        _ => refused(31_922, "is not wss"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
