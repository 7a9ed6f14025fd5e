//! TwiML: the document that tells the carrier what to do with a call.
//! Knows no call flow: which verbs follow which is its caller's plan. Written, never read.
//!
//! Verbs run in order. A verb with an `action` asks there what comes next, and what follows it is not reached. An
//! empty document ends the call. Source: Twilio's TwiML pages and the attributes of its Node SDK.

use std::fmt;

/// A document in the making; [`Response::finish`] gives the text.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The verbs, as XML.
    body: String,
}

/// `<Connect><Stream>`: the call becomes a Media Stream, both ways, until either side ends it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectStream<'a> {
    /// `wss`, absolute, without a query: the carrier drops that.
    pub url: &'a str,
    /// Asked when the stream has ended, whoever ended it. Without it the next verb runs.
    pub action: Option<&'a str>,
    pub name: Option<&'a str>,
    /// Told of the stream's start, stop and errors; absolute.
    pub status_callback: Option<&'a str>,
    /// Come back in the `start` message; the only private way to hand the socket something.
    pub parameters: &'a [(&'a str, &'a str)],
}

/// `<Say>`: text spoken by the carrier.
#[derive(Debug, Clone, Copy, Default)]
pub struct Say<'a> {
    pub text: &'a str,
    /// Such as `Polly.Joanna-Neural`. One that does not speak `language` makes the verb fail.
    pub voice: Option<&'a str>,
    /// Such as `en-US`.
    pub language: Option<&'a str>,
    /// 0 is until hang-up.
    pub times: Option<u32>,
}

/// `<Play>`: a file, of which mu-law WAV at 8 kHz needs no transcoding.
#[derive(Debug, Clone, Copy, Default)]
pub struct Play<'a> {
    pub url: &'a str,
    /// 0 is until hang-up.
    pub times: Option<u32>,
}

/// `<Gather>`: keys, speech or both, while its prompts are heard. What was gathered goes to `action`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gather<'a> {
    pub input: Input,
    /// Without it the current document is asked again: a loop.
    pub action: Option<&'a str>,
    pub method: Option<Method>,
    /// After the prompts or the last key; 5 if not set.
    pub timeout_s: Option<u32>,
    pub speech_timeout: Option<SpeechTimeout>,
    pub num_digits: Option<u32>,
    /// `#` if not set; empty is none.
    pub finish_on_key: Option<&'a str>,
    /// Ask `action` even when nothing was gathered, instead of going on to the next verb.
    pub action_on_empty_result: Option<bool>,
    /// Words to expect, separated by commas.
    pub hints: Option<&'a str>,
    pub language: Option<&'a str>,
    pub speech_model: Option<&'a str>,
    /// Deprecated by the carrier; only its `phone_call` model takes it.
    pub enhanced: Option<bool>,
    pub profanity_filter: Option<bool>,
    pub partial_result_callback: Option<&'a str>,
    pub partial_result_callback_method: Option<Method>,
    /// Speech stops the prompts.
    pub barge_in: Option<bool>,
    pub max_speech_time_s: Option<u32>,
    pub debug: Option<bool>,
    pub prompts: &'a [Prompt<'a>],
}

/// What may be heard while gathering.
#[derive(Debug, Clone, Copy)]
pub enum Prompt<'a> {
    Say(Say<'a>),
    Play(Play<'a>),
    Pause { seconds: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Input {
    #[default]
    Dtmf,
    Speech,
    /// Whichever comes first.
    DtmfSpeech,
}

/// The silence that ends speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechTimeout {
    /// The first pause; not with a speech model of one's own choice.
    Auto,
    Seconds(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// `<Dial><Number>`: another party joins; the carrier bridges the two.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dial<'a> {
    /// E.164.
    pub number: &'a str,
    /// Asked when the other party has left. Without it the next verb runs, if the caller is still there.
    pub action: Option<&'a str>,
    pub method: Option<Method>,
    /// Ringing; 30 if not set.
    pub timeout_s: Option<u32>,
    /// Talking; 14400 if not set.
    pub time_limit_s: Option<u32>,
    /// Ours, a verified one, or one of this call's.
    pub caller_id: Option<&'a str>,
    /// Let the caller hear ringing until the other party answers.
    pub answer_on_bridge: Option<bool>,
    pub hangup_on_star: Option<bool>,
}

/// What the caller hears instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    Rejected,
    Busy,
}

/// What the carrier would not take, or would silently lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwimlError {
    /// Name and value together must stay below 500 characters.
    ParameterTooLong { name: String, chars: usize },
    /// The carrier strips it from a stream's URL.
    QueryInStreamUrl,
}

/// Name and value of a `<Parameter>` together must have fewer characters.
const PARAMETER_CHARS_LIMIT: usize = 500;

impl Response {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn connect_stream(mut self, stream: &ConnectStream<'_>) -> Result<Self, TwimlError> {
        if stream.url.contains('?') {
            return Err(TwimlError::QueryInStreamUrl);
        }
        self.open("Connect", &[("action", stream.action.map(Value::Text))]);
        self.open(
            "Stream",
            &[
                ("url", Some(Value::Text(stream.url))),
                ("name", stream.name.map(Value::Text)),
                ("statusCallback", stream.status_callback.map(Value::Text)),
            ],
        );
        for &(name, value) in stream.parameters {
            let chars = name.chars().count() + value.chars().count();
            if chars >= PARAMETER_CHARS_LIMIT {
                return Err(TwimlError::ParameterTooLong { name: name.to_owned(), chars });
            }
            self.empty(
                "Parameter",
                &[("name", Some(Value::Text(name))), ("value", Some(Value::Text(value)))],
            );
        }
        self.close("Stream");
        self.close("Connect");
        Ok(self)
    }

    pub fn say(mut self, say: &Say<'_>) -> Self {
        self.push_say(say);
        self
    }

    pub fn play(mut self, play: &Play<'_>) -> Self {
        self.push_play(play);
        self
    }

    /// Plays keys: `0-9 A-D # *`, `w` waits half a second, `W` a whole one.
    pub fn play_digits(mut self, digits: &str) -> Self {
        self.empty("Play", &[("digits", Some(Value::Text(digits)))]);
        self
    }

    /// Silence. As the first verb it lets the phone ring on.
    pub fn pause(mut self, seconds: u32) -> Self {
        self.push_pause(seconds);
        self
    }

    pub fn gather(mut self, gather: &Gather<'_>) -> Self {
        let input = match gather.input {
            Input::Dtmf => "dtmf",
            Input::Speech => "speech",
            Input::DtmfSpeech => "dtmf speech",
        };
        let speech_timeout = gather.speech_timeout.map(|timeout| match timeout {
            SpeechTimeout::Auto => Value::Text("auto"),
            SpeechTimeout::Seconds(seconds) => Value::Number(seconds),
        });
        self.open(
            "Gather",
            &[
                ("input", Some(Value::Text(input))),
                ("action", gather.action.map(Value::Text)),
                ("method", gather.method.map(Value::Method)),
                ("timeout", gather.timeout_s.map(Value::Number)),
                ("speechTimeout", speech_timeout),
                ("numDigits", gather.num_digits.map(Value::Number)),
                ("finishOnKey", gather.finish_on_key.map(Value::Text)),
                ("actionOnEmptyResult", gather.action_on_empty_result.map(Value::Flag)),
                ("hints", gather.hints.map(Value::Text)),
                ("language", gather.language.map(Value::Text)),
                ("speechModel", gather.speech_model.map(Value::Text)),
                ("enhanced", gather.enhanced.map(Value::Flag)),
                ("profanityFilter", gather.profanity_filter.map(Value::Flag)),
                ("partialResultCallback", gather.partial_result_callback.map(Value::Text)),
                ("partialResultCallbackMethod", gather.partial_result_callback_method.map(Value::Method)),
                ("bargeIn", gather.barge_in.map(Value::Flag)),
                ("maxSpeechTime", gather.max_speech_time_s.map(Value::Number)),
                ("debug", gather.debug.map(Value::Flag)),
            ],
        );
        for prompt in gather.prompts {
            match prompt {
                Prompt::Say(say) => self.push_say(say),
                Prompt::Play(play) => self.push_play(play),
                Prompt::Pause { seconds } => self.push_pause(*seconds),
            }
        }
        self.close("Gather");
        self
    }

    /// Goes on with the document at `url`.
    pub fn redirect(mut self, url: &str) -> Self {
        self.open("Redirect", &[]);
        self.text(url);
        self.close("Redirect");
        self
    }

    pub fn dial(mut self, dial: &Dial<'_>) -> Self {
        self.open(
            "Dial",
            &[
                ("action", dial.action.map(Value::Text)),
                ("method", dial.method.map(Value::Method)),
                ("timeout", dial.timeout_s.map(Value::Number)),
                ("timeLimit", dial.time_limit_s.map(Value::Number)),
                ("callerId", dial.caller_id.map(Value::Text)),
                ("answerOnBridge", dial.answer_on_bridge.map(Value::Flag)),
                ("hangupOnStar", dial.hangup_on_star.map(Value::Flag)),
            ],
        );
        self.open("Number", &[]);
        self.text(dial.number);
        self.close("Number");
        self.close("Dial");
        self
    }

    pub fn hangup(mut self) -> Self {
        self.empty("Hangup", &[]);
        self
    }

    /// Does not answer. Only as the first verb; the call is not billed.
    pub fn reject(mut self, reason: RejectReason) -> Self {
        let reason = match reason {
            RejectReason::Rejected => "rejected",
            RejectReason::Busy => "busy",
        };
        self.empty("Reject", &[("reason", Some(Value::Text(reason)))]);
        self
    }

    /// The document.
    pub fn finish(self) -> String {
        const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        let body = self.body;
        if body.is_empty() {
            return format!("{DECLARATION}<Response/>");
        }
        format!("{DECLARATION}<Response>{body}</Response>")
    }

    fn push_say(&mut self, say: &Say<'_>) {
        self.open(
            "Say",
            &[
                ("voice", say.voice.map(Value::Text)),
                ("language", say.language.map(Value::Text)),
                ("loop", say.times.map(Value::Number)),
            ],
        );
        self.text(say.text);
        self.close("Say");
    }

    fn push_play(&mut self, play: &Play<'_>) {
        self.open("Play", &[("loop", play.times.map(Value::Number))]);
        self.text(play.url);
        self.close("Play");
    }

    fn push_pause(&mut self, seconds: u32) {
        self.empty("Pause", &[("length", Some(Value::Number(seconds)))]);
    }
}

// --- XML

type Attribute<'a> = (&'static str, Option<Value<'a>>);

#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Number(u32),
    Flag(bool),
    Method(Method),
}

impl Response {
    fn open(&mut self, element: &str, attributes: &[Attribute<'_>]) {
        self.tag(element, attributes);
        self.body.push('>');
    }

    fn empty(&mut self, element: &str, attributes: &[Attribute<'_>]) {
        self.tag(element, attributes);
        self.body.push_str("/>");
    }

    fn close(&mut self, element: &str) {
        self.body.push_str("</");
        self.body.push_str(element);
        self.body.push('>');
    }

    /// The attributes that are set, in their order; the tag is left open.
    fn tag(&mut self, element: &str, attributes: &[Attribute<'_>]) {
        self.body.push('<');
        self.body.push_str(element);
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            self.body.push(' ');
            self.body.push_str(name);
            self.body.push_str("=\"");
            match value {
                Value::Text(text) => self.text(text),
                Value::Number(number) => self.body.push_str(&number.to_string()),
                Value::Flag(flag) => self.body.push_str(if *flag { "true" } else { "false" }),
                Value::Method(Method::Get) => self.body.push_str("GET"),
                Value::Method(Method::Post) => self.body.push_str("POST"),
            }
            self.body.push('"');
        }
    }

    /// Text, escaped so that it comes out the same from an element and from an attribute. White space other than a
    /// blank goes as a reference, or a parser would make a blank of it. Characters that XML 1.0 cannot carry at all,
    /// even as references, are left out: nobody could hear them.
    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.body.push_str("&amp;"),
                '<' => self.body.push_str("&lt;"),
                '>' => self.body.push_str("&gt;"),
                '"' => self.body.push_str("&quot;"),
                '\'' => self.body.push_str("&apos;"),
                '\t' => self.body.push_str("&#9;"),
                '\n' => self.body.push_str("&#10;"),
                '\r' => self.body.push_str("&#13;"),
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
                plain => self.body.push(plain),
            }
        }
    }
}

impl fmt::Display for TwimlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ParameterTooLong { name, chars } => {
                write!(f, "stream parameter {name} has {chars} characters, the carrier takes fewer than 500")
            }
            Self::QueryInStreamUrl => write!(f, "stream url has a query, which the carrier drops"),
        }
    }
}

impl std::error::Error for TwimlError {}

#[cfg(test)]
mod tests;
