//! A call from ring to end: documents are fetched and their verbs performed one after the other, until they
//! run out or somebody hangs up.
//!
//! Knows neither HTTP headers nor media frames; how each verb is lived is in the files below it.

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
    CallEnd, CallError, CallPlan, CallRecord, CarrierEvent, CarrierFault, DocumentRecord, WebhookRecord,
    line::{Line, Tick},
    log::Log,
    stream::Connected,
    twiml::{self, PromptKind, Target, Verb},
    webhook::{Answer, Body, Fields, Places, Webhooks},
};
use crate::wall;

mod callbacks;
mod connecting;
mod dialling;
mod gathering;
mod prompts;
mod recording;

/// Documents a call may go through before it is taken to run in circles. The real carrier has no such figure;
/// a call of an hour that is handed over every minute needs sixty.
const DOCUMENTS_MAX: usize = 200;

/// Calls placed by this process: with the time they make every call's id its own, whatever the seed.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// What comes after a verb.
enum Next {
    Verb,
    Document(Step),
    End(CallEnd),
}

/// A document to be fetched.
struct Step {
    url: Url,
    get: bool,
    /// What the verb that leads there has to tell.
    told: Fields,
    is_fallback: bool,
}

pub(crate) struct Call<'a> {
    plan: &'a CallPlan,
    webhooks: Webhooks,
    status_url: Option<Url>,
    fallback_url: Option<Url>,
    log: Log<'a>,
    sid: String,
    ids: StdRng,
    line: Line<'a>,
    stream_sids: Vec<String>,
    stream_started: Option<Duration>,
    /// Streams that documents asked for, whether they came to be or not.
    streams_wanted: usize,
    /// Sockets that the switch believes to be open still.
    vanished: Vec<Connected>,
    webhooks_asked: usize,
    answered: bool,
    callbacks: JoinSet<(Instant, CarrierEvent)>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(plan: &'a CallPlan, voice_url: &Url, log: Log<'a>) -> Result<Self, CallError> {
        let places = Places::new(voice_url, plan.public_base.as_deref());
        let auth_token = plan.auth_token.clone().map(|token| {
            if plan.faults.contains(&CarrierFault::BadSignature) { format!("not {token}") } else { token }
        });
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let now = wall::since_epoch();
        let seed =
            plan.network.seed ^ now.as_secs() << 30 ^ u64::from(now.subsec_nanos()) ^ number.rotate_right(8);
        let mut ids = StdRng::seed_from_u64(seed);
        Ok(Self {
            plan,
            webhooks: Webhooks::new(places, auth_token),
            status_url: plan.status_url.as_deref().map(super::url).transpose()?,
            fallback_url: plan.fallback_url.as_deref().map(super::url).transpose()?,
            line: Line::new(plan, log.began),
            log,
            sid: sid("CA", &mut ids),
            ids,
            stream_sids: Vec::new(),
            stream_started: None,
            streams_wanted: 0,
            vanished: Vec::new(),
            webhooks_asked: 0,
            answered: false,
            callbacks: JoinSet::new(),
        })
    }

    pub(crate) async fn run(mut self, voice_url: Url) -> Result<CallRecord, CallError> {
        let end = self.live(voice_url).await?;
        self.log.event(CarrierEvent::HungUp);
        let duration = self.log.now();
        self.vanished.clear();
        self.tell_final_status(&end, duration);
        let began = self.log.began;
        while let Some(told) = self.callbacks.join_next().await {
            match told {
                Ok((at, event)) => self.log.events.push((at - began, event)),
                Err(error) => tracing::error!(%error, "a callback did not end well"),
            }
        }
        self.log.events.sort_by_key(|(at, _)| *at);
        let clock_started = self.line.began.map(|clock| clock - began);
        let (heard, said) = self.line.into_recordings();
        Ok(CallRecord {
            call_sid: self.sid,
            stream_sids: self.stream_sids,
            clock_started,
            stream_started: self.stream_started,
            heard,
            said,
            events: self.log.events,
            webhooks: self.log.webhooks,
            documents: self.log.documents,
            gathers: self.log.gathers,
            dials: self.log.dials,
            cleared: self.log.cleared,
            received_ms: self.log.received_ms,
            played_ms: self.log.played_ms,
            end,
            warnings: self.log.warnings,
            duration,
        })
    }

    async fn live(&mut self, voice_url: Url) -> Result<CallEnd, CallError> {
        let mut step = Step { url: voice_url, get: false, told: Fields::new(), is_fallback: false };
        for _ in 0..DOCUMENTS_MAX {
            let next = match self.fetch(&step).await {
                Ok(document) => self.perform(&step.url, document).await?,
                Err(end) => Next::End(end),
            };
            step = match next {
                Next::Verb => return Ok(CallEnd::DocumentEnded),
                Next::Document(next) => next,
                Next::End(CallEnd::ApplicationError { code, text }) => {
                    match self.fallback(&step, code, &text) {
                        Some(fallback) => fallback,
                        None => return Ok(CallEnd::ApplicationError { code, text }),
                    }
                }
                Next::End(end) => return Ok(end),
            };
        }
        Ok(CallEnd::ApplicationError { code: 11_215, text: format!("more than {DOCUMENTS_MAX} documents") })
    }

    // --------------------------------------------------------------------------------------------- documents

    async fn fetch(&mut self, step: &Step) -> Result<Body, CallEnd> {
        let mut fields = self.fields();
        fields.extend(step.told.iter().cloned());
        let token = self.unique();
        let webhooks = self.webhooks.clone();
        let ask = || webhooks.ask(&step.url, step.get, &fields, &token);
        let is_first = self.webhooks_asked == 0;
        self.webhooks_asked += 1;
        let has = |fault| is_first && self.plan.faults.contains(&fault);
        let (at_once, again) = (has(CarrierFault::DuplicateWebhook), has(CarrierFault::LostAnswer));
        let posted = || CarrierEvent::WebhookPosted { url: step.url.to_string() };
        self.log.event(posted());
        if at_once {
            self.log.event(posted());
        }
        if again {
            let lost = self.asked(&step.url, ask()).await?;
            tracing::debug!(status = lost.status, "an answer is lost");
            self.log.event(posted());
        }
        let second = async { if at_once { tokio::join!(ask(), ask()).1 } else { ask().await } };
        let answer = self.asked(&step.url, second).await?;
        let document = answer.body.map_err(application_error)?;
        self.repeat_later(step, fields.clone(), token.clone());
        let (at, url) = (self.log.now(), step.url.to_string());
        self.log.documents.push(DocumentRecord { at, url, heard: Vec::new() });
        Ok(document)
    }

    /// Waits for an answer and puts it on record, unless the call ends first.
    async fn asked<T>(
        &mut self,
        url: &Url,
        answering: impl Future<Output = Answer<T>>,
    ) -> Result<Answer<T>, CallEnd> {
        let (at, asked) = (self.log.now(), Instant::now());
        let answer = self.while_it_lasts(answering).await?;
        if let Some(status) = answer.status {
            self.log.event(CarrierEvent::WebhookAnswered { url: url.to_string(), status });
        }
        let took = asked.elapsed();
        self.log.webhooks.push(WebhookRecord { at, url: url.to_string(), status: answer.status, took });
        Ok(answer)
    }

    /// Something else than the call is waited for; the caller may hang up meanwhile.
    async fn while_it_lasts<T>(&mut self, future: impl Future<Output = T>) -> Result<T, CallEnd> {
        let (over_at, end) = self.line.end();
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = sleep_until(over_at) => Err(end),
        }
    }

    /// Where to go when a document could not be had or performed.
    fn fallback(&mut self, failed: &Step, code: u32, text: &str) -> Option<Step> {
        let url = self.fallback_url.clone().filter(|_| !failed.is_fallback)?;
        self.log.event(CarrierEvent::FellBack { code, text: text.to_owned() });
        let failed = self.webhooks.places.to_public(failed.url.as_str());
        let told = named([("ErrorCode", code.to_string()), ("ErrorUrl", failed)]);
        Some(Step { url, get: false, told, is_fallback: true })
    }

    async fn perform(&mut self, base: &Url, document: Body) -> Result<Next, CallError> {
        let verbs = match document {
            Body::Twiml(text) => twiml::read(&text),
            Body::Plain(text) => {
                Ok(twiml::read(&text).unwrap_or_else(|_| (prompts::aloud(text), Vec::new())))
            }
            Body::Audio(sound) => return Ok(self.play_document(base, &sound).await),
        };
        match verbs {
            Ok((verbs, warnings)) => {
                for (code, text) in warnings {
                    self.log.warn(code, text);
                }
                self.perform_all(base, verbs).await
            }
            Err(error) => {
                let text = format!("{base}: {error}");
                Ok(Next::End(CallEnd::ApplicationError { code: 12_100, text }))
            }
        }
    }

    async fn perform_all(&mut self, base: &Url, verbs: Vec<Verb>) -> Result<Next, CallError> {
        for (n, verb) in verbs.into_iter().enumerate() {
            self.answered |= answers(&verb);
            let next = match verb {
                Verb::Prompt(prompt) => self.prompt(base, prompt).await,
                Verb::Gather(gather) => self.gather(base, gather).await,
                Verb::ConnectStream(connect) => self.connect(base, connect).await?,
                Verb::Dial(dial) => self.dial(base, dial).await,
                Verb::Enqueue(enqueue) => self.enqueue(base, enqueue).await,
                Verb::Record(record) => self.record(base, record).await,
                Verb::Redirect(target) => {
                    self.verb("Redirect", target.url.clone());
                    go(base, &target, Fields::new())
                }
                Verb::Reject { reason } if n == 0 && !self.answered => {
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

    /// Lives the line's next tick.
    async fn pass(&mut self, sound: &[i16]) -> Result<Tick, CallEnd> {
        let tick = self.line.pass(sound).await?;
        self.log.passing();
        Ok(tick)
    }

    fn unique(&mut self) -> String {
        format!("{:032x}", self.ids.random::<u128>())
    }
}

/// Whether a verb picks up, if nothing did before. A `<Pause>` lets it ring on.
fn answers(verb: &Verb) -> bool {
    match verb {
        Verb::Prompt(prompt) => !matches!(prompt.what, PromptKind::Pause { .. }),
        Verb::Reject { .. } => false,
        _ => true,
    }
}

fn go(base: &Url, target: &Target, told: Fields) -> Next {
    match base.join(&target.url) {
        Ok(url) => Next::Document(Step { url, get: target.get, told, is_fallback: false }),
        Err(error) => Next::End(not_a_url(&target.url, error)),
    }
}

/// What follows a verb whose action is optional.
fn then(base: &Url, action: Option<&Target>, told: Fields) -> Next {
    action.map_or(Next::Verb, |action| go(base, action, told))
}

fn not_a_url(text: &str, error: impl std::fmt::Display) -> CallEnd {
    CallEnd::ApplicationError { code: 11_100, text: format!("{text:?} is not a URL: {error}") }
}

fn application_error(failure: super::webhook::Failure) -> CallEnd {
    CallEnd::ApplicationError { code: failure.code, text: failure.text }
}

fn named<const N: usize>(fields: [(&str, String); N]) -> Fields {
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

fn sid(kind: &str, ids: &mut StdRng) -> String {
    format!("{kind}{:032x}", ids.random::<u128>())
}
