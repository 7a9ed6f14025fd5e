//! What the endpoints that answer in words have in common: the model's reply, its tokens and their pace.
//!
//! Knows no endpoint's JSON.

use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, distr::Alphanumeric};
use serde_json::Value;

use super::Desk;
use crate::provider::brain::{self, Next, Turn};

/// English text has about four characters to a token; here it has exactly so many.
const TOKEN_CHARACTERS: usize = 4;

/// What the model says or does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Words { text: String, is_cut: bool },
    Call { name: String, arguments: String },
}

/// The tools a client offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) names: Vec<String>,
    pub(super) choice: Choice,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Choice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

impl Tools {
    fn forced(&self) -> Option<&str> {
        match &self.choice {
            Choice::Required => self.names.first().map(String::as_str),
            Choice::Named(name) => Some(name),
            Choice::Auto | Choice::None => None,
        }
    }

    fn may_call(&self, name: &str) -> bool {
        self.choice != Choice::None && self.names.iter().any(|known| known == name)
    }
}

/// The model's reply to a conversation, no longer than a number of tokens.
pub(super) fn reply(desk: &Desk<'_>, turns: &[Turn], tools: &Tools, tokens_max: Option<u64>) -> Reply {
    let call =
        |name: &str, arguments: &str| Reply::Call { name: name.to_owned(), arguments: arguments.to_owned() };
    let mut text = match (&desk.instead, tools.forced()) {
        (Some(text), _) => text.clone(),
        (None, Some(name)) => return call(name, "{}"),
        (None, None) => match brain::next(desk.script, turns, |name| tools.may_call(name)) {
            Next::Call(wanted) => return call(&wanted.name, &wanted.arguments),
            Next::Say(line) => line.text().to_owned(),
        },
    };
    let characters_max =
        tokens_max.and_then(|tokens| usize::try_from(tokens).ok()?.checked_mul(TOKEN_CHARACTERS));
    let cut = characters_max.and_then(|max| text.char_indices().nth(max)).map(|(at, _)| at);
    text.truncate(cut.unwrap_or(text.len()));
    Reply::Words { text, is_cut: cut.is_some() }
}

/// So many words of the kind a model says that has lost itself.
pub(super) fn endless(words: usize) -> String {
    let known: Vec<&str> = crate::speech::sentences().flat_map(|sentence| sentence.text.split(' ')).collect();
    known.into_iter().cycle().take(words).collect::<Vec<_>>().join(" ")
}

/// A text as its tokens.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(TOKEN_CHARACTERS).map(|token| token.iter().collect()).collect()
}

pub(super) fn token_count(text: &str) -> u64 {
    text.chars().count().div_ceil(TOKEN_CHARACTERS) as u64
}

/// What a request costs to read: all its texts, whatever they are for.
pub(super) fn input_tokens(value: &Value) -> u64 {
    match value {
        Value::String(text) => token_count(text),
        Value::Array(values) => values.iter().map(input_tokens).sum(),
        Value::Object(fields) => fields.values().map(input_tokens).sum(),
        _ => 0,
    }
}

/// Letters that hide how long a token is, as every delta has them unless the client has no use for them.
pub(super) fn obfuscation(desk: &mut Desk<'_>, delta: &str) -> String {
    let missing = 16_usize.saturating_sub(delta.len());
    (0..missing).map(|_| char::from(desk.rng.sample(Alphanumeric))).collect()
}

// ---------------------------------------------------------------------------------------------------- stream

/// Events on their way, with the time at which each is made.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) pieces: Vec<(Duration, Bytes)>,
    now: Duration,
}

impl Stream {
    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// An event without a name.
    pub(super) fn data(&mut self, data: &str) {
        self.pieces.push((self.now, format!("data: {data}\n\n").into()));
    }

    pub(super) fn named(&mut self, name: &str, data: &Value) {
        self.pieces.push((self.now, format!("event: {name}\ndata: {data}\n\n").into()));
    }
}

impl Desk<'_> {
    /// Time that so many tokens take.
    pub(super) fn tokens_take(&self, tokens: u64) -> Duration {
        let seconds = tokens as f64 / f64::from(self.options.tokens_per_second);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}
