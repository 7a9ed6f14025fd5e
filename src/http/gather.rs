//! `/twilio/gather`: a turn of a traditional call. The carrier tells what it gathered, and is told what to say next.
//!
//! It refuses to know what is said; it asks the [`TurnDesk`], and writes the answer down as TwiML. Whatever fails, the
//! caller hears words of the agent's and never the carrier's own "application error".
//!
//! | the request has | it means |
//! |---|---|
//! | `collect=n` in its query | the answer that was promised is to be collected |
//! | `DialCallStatus` | the human number was dialled, and is done |
//! | `SpeechResult`, perhaps `Confidence` | the caller has spoken |
//! | `Digits` | the caller has pressed keys |
//! | none of these | the caller has said nothing |

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;
use tandem_actors::call::turns::{Answer, Question, TurnSettings, Unanswered, Utterance};
use tandem_wire::form;
use tandem_wire::twiml::{Dial, Gather, Input, Play, Prompt, Response, Say, SpeechTimeout};
use tracing::{info, warn};

use super::desk::Ring;
use super::gate::Gate;
use super::voice::twiml;
use super::webhook::Webhook;
use super::{callbacks, clips};

const GATHER: &str = "/twilio/gather";

/// The carrier's mark of an event: the same when it repeats the request.
const TOKEN: &str = "i-twilio-idempotency-token";

/// The pause that ends speech, for a recogniser of the agent's own choice: those do not take `auto`. A breath is shorter.
const SPEECH_PAUSE_S: u32 = 2;

/// How often in a row a call that does not answer is asked again, before the caller is told that it is over. A call
/// that died is replaced at the first.
const FAULTS_MAX: u32 = 2;

/// Answers for traditional calls. Asked on every worker thread, so it is shared.
pub trait TurnDesk: Send + Sync {
    /// How the agent talks that is responsible for such a call.
    fn settings(&self, ring: &Ring) -> Arc<TurnSettings>;

    /// Asks the call a question. A call that is not here is begun, or gone on with from where it was kept.
    ///
    /// A carrier may ask the same twice; with the same `token_opt` it is the same question.
    fn ask(
        &self,
        ring: Ring,
        question: Question,
        token_opt: Option<String>,
    ) -> LocalBoxFuture<'_, Result<Answer, Unanswered>>;
}

pub(super) async fn gather(
    request: HttpRequest,
    hook: Webhook,
    desk: Data<dyn TurnDesk>,
    gate: Data<Gate>,
) -> HttpResponse {
    let party = |name| hook.get(name).filter(|party| !party.is_empty()).map(Cow::into_owned);
    let ring = Ring { call_sid: hook.call_sid.clone(), from_opt: party("From"), to_opt: party("To") };
    if callbacks::is_over(&hook) {
        return twiml(Response::new()); // nobody is left to hear an answer
    }
    let settings = desk.settings(&ring);
    let query = form::parse(request.query_string().as_bytes());
    let number = |name| query.get(name).map(|number| number.parse().unwrap_or(0));
    if let Some(status) = hook.get("DialCallStatus") {
        info!(call_sid = ring.call_sid, %status, "human number dialled");
        return render(&gate, &settings, &after_dial(&status, &settings));
    }
    let question = match number("collect") {
        Some(number) => Question::Collect { number },
        None => gathered(&hook),
    };
    let call_sid = ring.call_sid.clone();
    match desk.ask(ring, question, token(&request)).await {
        Ok(answer) => render(&gate, &settings, &answer),
        Err(error) => {
            warn!(call_sid, %error, "turn not answered");
            unanswered(&gate, &settings, number("fault").unwrap_or(0))
        }
    }
}

/// The mark by which a repeated request is known.
pub(super) fn token(request: &HttpRequest) -> Option<String> {
    request.headers().get(TOKEN)?.to_str().ok().filter(|token| !token.is_empty()).map(str::to_owned)
}

fn gathered(hook: &Webhook) -> Question {
    let field = |name| hook.get(name).filter(|value| !value.is_empty()).map(Cow::into_owned);
    if let Some(text) = field("SpeechResult") {
        let confidence_opt = field("Confidence").and_then(|confidence| confidence.parse().ok());
        return Question::Speech { text, confidence_opt };
    }
    field("Digits").map_or(Question::Silence, Question::Digits)
}

/// The human has talked to the caller, or could not be reached.
fn after_dial(status: &str, settings: &TurnSettings) -> Answer {
    let reached = matches!(status, "completed" | "answered" | "canceled"); // the last: by the caller, who has left
    let words = if reached { "" } else { settings.sorry.as_str() };
    Answer::HangUp { say: Utterance::of(words) }
}

fn unanswered(gate: &Gate, settings: &TurnSettings, faults: u32) -> HttpResponse {
    if faults >= FAULTS_MAX {
        return render(gate, settings, &Answer::HangUp { say: Utterance::of(&settings.sorry) });
    }
    let again = gate.url(&format!("{GATHER}?collect=0&fault={}", faults + 1));
    twiml(say(Response::new(), gate, settings, &Utterance::of(&settings.apology)).redirect(&again))
}

// --- TwiML

/// Writes an answer down for the carrier.
pub(super) fn render(gate: &Gate, settings: &TurnSettings, answer: &Answer) -> HttpResponse {
    let document = Response::new();
    twiml(match answer {
        Answer::Listen { say } => listen(document, gate, settings, say),
        Answer::Collect { say: words, number } => {
            let collect = gate.url(&format!("{GATHER}?collect={number}"));
            say(document, gate, settings, words).redirect(&collect)
        }
        Answer::Dial { say: words, number } => {
            let dial = Dial { number, action: Some(&gate.url(GATHER)), ..Dial::default() };
            say(document, gate, settings, words).dial(&dial)
        }
        Answer::HangUp { say: words } => say(document, gate, settings, words).hangup(),
        // Whoever answers there knows media modes, and how to get a ticket for one.
        Answer::Connect => document.redirect(&gate.url("/twilio/resume")),
    })
}

/// Speaks and listens. What follows is the net below it: a carrier that does not ask `action` about nothing goes on to
/// the next verb, and asks there.
fn listen(document: Response, gate: &Gate, settings: &TurnSettings, words: &Utterance) -> Response {
    let url = gate.url(GATHER);
    let clip = words.clip_opt.map(|id| gate.url(&clips::path(id)));
    let prompt = match &clip {
        Some(clip) => Prompt::Play(Play { url: clip, ..Play::default() }),
        None => Prompt::Say(said(settings, words)),
    };
    let gather = Gather {
        input: Input::DtmfSpeech,
        action: Some(&url),
        timeout_s: Some(settings.gather_timeout_s),
        speech_timeout: Some(match settings.speech_model_opt {
            None => SpeechTimeout::Auto,
            Some(_) => SpeechTimeout::Seconds(SPEECH_PAUSE_S),
        }),
        action_on_empty_result: Some(true),
        hints: some(&settings.hints),
        language: some(&settings.language),
        speech_model: settings.speech_model_opt.as_deref(),
        profanity_filter: Some(settings.profanity_filter),
        barge_in: Some(true),
        prompts: if words.words.is_empty() { &[] } else { &[prompt] },
        ..Gather::default()
    };
    document.gather(&gather).redirect(&url)
}

fn say(document: Response, gate: &Gate, settings: &TurnSettings, words: &Utterance) -> Response {
    match words.clip_opt {
        _ if words.words.is_empty() => document,
        Some(id) => document.play(&Play { url: &gate.url(&clips::path(id)), ..Play::default() }),
        None => document.say(&said(settings, words)),
    }
}

fn said<'a>(settings: &'a TurnSettings, words: &'a Utterance) -> Say<'a> {
    let voice = settings.voice_opt.as_deref();
    Say { text: &words.words, voice, language: some(&settings.language), ..Say::default() }
}

/// An empty setting leaves it to the carrier.
fn some(setting: &str) -> Option<&str> {
    Some(setting).filter(|setting| !setting.is_empty())
}

#[cfg(test)]
mod tests;
