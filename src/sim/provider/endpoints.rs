//! The endpoints beside the Realtime API: which there are, what one is asked, and who answers.
//!
//! Knows no sockets and lets no time pass: an answer is a plan.

use bytes::Bytes;
use hyper::{Method, StatusCode, http::request::Parts};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value};

use self::multipart::Form;
use super::{
    ProviderOptions, Realm, answer::Answer, fault::AnswerFault, fields::Fields, rejection::Rejection,
    script::Script, upgrade,
};
use crate::wall;

mod chat;
mod elevenlabs;
mod models;
mod multipart;
mod responses;
mod speech;
mod text;
mod transcriptions;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/audio/speech`
    Speech,
    /// `POST /v1/audio/transcriptions`
    Transcriptions,
    /// `POST /v1/text-to-speech/{voice}` and `.../stream`
    ElevenLabs,
    /// `GET /v1/models`
    Models,
}

impl Endpoint {
    const ALL: [Self; 6] =
        [Self::Chat, Self::Responses, Self::Speech, Self::Transcriptions, Self::ElevenLabs, Self::Models];

    /// As faults call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Speech => "speech",
            Self::Transcriptions => "transcriptions",
            Self::ElevenLabs => "elevenlabs",
            Self::Models => "models",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }

    pub(super) fn at(path: &str) -> Option<Self> {
        match path.strip_prefix("/v1/")? {
            "chat/completions" => Some(Self::Chat),
            "responses" => Some(Self::Responses),
            "audio/speech" => Some(Self::Speech),
            "audio/transcriptions" => Some(Self::Transcriptions),
            "models" => Some(Self::Models),
            other => elevenlabs::is_at(other).then_some(Self::ElevenLabs),
        }
    }

    pub(super) fn method(self) -> Method {
        if self == Self::Models { Method::GET } else { Method::POST }
    }

    /// A rejection in this endpoint's shape.
    pub(super) fn shape(self, rejection: &Rejection) -> Value {
        if self == Self::ElevenLabs { rejection.to_detail() } else { rejection.to_json() }
    }
}

/// A request, read as far as its endpoint's kind allows.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) endpoint: Endpoint,
    pub(super) head: Parts,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Json(Value),
    Form(Form),
    /// It is neither, or not what it claims to be.
    Unreadable,
}

impl Asked {
    pub(super) fn read(endpoint: Endpoint, head: Parts, body: &Bytes) -> Self {
        let body = if endpoint == Endpoint::Transcriptions {
            Form::read(&head.headers, body).map_or(Body::Unreadable, Body::Form)
        } else {
            serde_json::from_slice(body).map_or(Body::Unreadable, Body::Json)
        };
        Self { endpoint, head, body }
    }

    /// For the record.
    pub(super) fn to_json(&self) -> Value {
        match &self.body {
            Body::Json(value) => value.clone(),
            Body::Form(form) => form.to_json(),
            Body::Unreadable => Value::Null,
        }
    }

    /// The body as the JSON object that it has to be.
    fn object(&self) -> Result<&Map<String, Value>, Rejection> {
        if let Body::Json(Value::Object(map)) = &self.body {
            return Ok(map);
        }
        let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your \
                       HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid \
                       JSON.)";
        Err(Rejection::bare(message))
    }
}

/// What an endpoint has at hand to answer one request.
pub(super) struct Desk<'a> {
    pub(super) options: &'a ProviderOptions,
    pub(super) script: &'a Script,
    /// Unix seconds.
    pub(super) now_s: u64,
    /// Said in place of what the model would say, if a fault wants it.
    pub(super) instead: Option<String>,
    rng: StdRng,
}

impl<'a> Desk<'a> {
    /// For the request of this number.
    pub(super) fn new(realm: &'a Realm, number: usize, faults: &[AnswerFault]) -> Self {
        let instead = faults.iter().find_map(|fault| match fault {
            AnswerFault::Empty => Some(String::new()),
            AnswerFault::Words(count) => Some(text::endless(*count)),
            _ => None,
        });
        Self {
            options: &realm.options,
            script: &realm.script,
            now_s: wall::since_epoch().as_secs(),
            instead,
            // Sessions take the upper half of the seed's bits for their numbers.
            rng: StdRng::seed_from_u64(realm.options.seed.rotate_left(16) ^ number as u64),
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.rng.random::<u64>())
    }
}

/// The answer to a request, whatever is wrong with it. Faults have yet to happen to it.
pub(super) fn answer(asked: &Asked, desk: &mut Desk<'_>, faults: &[AnswerFault]) -> Answer {
    let scripted = faults.iter().find_map(|fault| match fault {
        AnswerFault::Http(status) => Some(Rejection::scripted(*status)),
        _ => None,
    });
    let answered = match scripted {
        Some(rejection) => Err(rejection),
        None => admit(asked, desk.options.api_key.as_deref()).and_then(|()| match asked.endpoint {
            Endpoint::Chat => chat::answer(asked.object()?, desk),
            Endpoint::Responses => responses::answer(asked.object()?, desk),
            Endpoint::Speech => speech::answer(asked.object()?, desk),
            Endpoint::Transcriptions => transcriptions::answer(&asked.body, desk),
            Endpoint::ElevenLabs => Ok(elevenlabs::answer(asked, desk)),
            Endpoint::Models => Ok(models::answer()),
        }),
    };
    answered.unwrap_or_else(|rejection| Answer::refused(rejection.status, &asked.endpoint.shape(&rejection)))
}

fn admit(asked: &Asked, api_key: Option<&str>) -> Result<(), Rejection> {
    match asked.endpoint {
        Endpoint::ElevenLabs => elevenlabs::authorise(&asked.head.headers, api_key),
        _ => upgrade::authorise(&asked.head.headers, api_key),
    }
}

// ---------------------------------------------------------------------------------------------------- models

/// What a model is made for, as far as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trade {
    Text,
    Realtime,
    Speech,
    Transcription,
}

impl Trade {
    /// Names that tell nothing are some self-hosted model's, and good for anything.
    fn of(model: &str) -> Option<Self> {
        let has = |part| model.contains(part);
        if has("realtime") || has("gpt-live") {
            Some(Self::Realtime)
        } else if has("transcribe") || has("whisper") {
            Some(Self::Transcription)
        } else if has("tts") {
            Some(Self::Speech)
        } else {
            model.starts_with("gpt-").then_some(Self::Text)
        }
    }
}

/// The model a request names, provided it is of this trade or of none that is known.
fn model<'a>(fields: &Fields<'a>, trade: Trade) -> Result<&'a str, Rejection> {
    let name = fields.some("model").map(|model| model.string()).transpose()?.unwrap_or_default();
    fit_for(name, trade)?;
    Ok(name)
}

fn fit_for(model: &str, trade: Trade) -> Result<(), Rejection> {
    if model.is_empty() {
        let message = "you must provide a model parameter";
        return Err(Rejection::bare(message));
    }
    if Trade::of(model).is_none_or(|known| known == trade) {
        return Ok(());
    }
    let message = format!("The model '{model}' is not supported on this endpoint.");
    Err(Rejection::new(StatusCode::BAD_REQUEST, "unsupported_model", message).about("model"))
}

#[cfg(test)]
mod tests;
