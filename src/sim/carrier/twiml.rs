//! TwiML documents as the verbs this carrier performs.
//!
//! Knows neither HTTP nor time. What it does not know it warns of and leaves out, as the real one does.

use std::time::Duration;

use super::{
    Warning,
    line::PAUSE,
    listening::Terms,
    xml::{self, Element, XmlError},
};

/// A pair of `<Parameter>` texts must stay below this many characters.
const PARAMETER_CHARS_MAX: usize = 500;

/// `loop="0"` goes on until the call ends, but never more often than this.
const LOOPS_MAX: u32 = 1_000;

/// Speech of a `<Gather>` is collected for at most so long.
const SPEECH_SECONDS_MAX: u64 = 60;

const HINTS_MAX: usize = 500;
const HINT_CHARS_MAX: usize = 100;

const KEYS: &str = "0123456789#*";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Prompt(Prompt),
    Gather(Gather),
    ConnectStream(ConnectStream),
    Dial(Dial),
    Enqueue(Enqueue),
    Record(Record),
    Redirect(Target),
    Reject { reason: String },
    Hangup,
}

/// Where a document sends the call next, not yet resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) get: bool,
}

/// What is heard so many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) what: PromptKind,
    pub(crate) times: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PromptKind {
    Say { text: String },
    Play { url: String },
    Keys { digits: String },
    Pause { length: Duration },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gather {
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) action: Target,
    pub(crate) terms: Terms,
    pub(crate) barge_in: bool,
    pub(crate) action_on_empty_result: bool,
    pub(crate) language: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectStream {
    pub(crate) action: Option<Target>,
    pub(crate) url: String,
    pub(crate) name: Option<String>,
    pub(crate) track: Option<String>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) status_callback: Option<Target>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dial {
    /// Whoever is rung, all at once.
    pub(crate) to: Vec<String>,
    pub(crate) action: Option<Target>,
    pub(crate) timeout: Duration,
    pub(crate) time_limit: Duration,
    pub(crate) hang_up_on_star: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enqueue {
    pub(crate) queue: String,
    pub(crate) action: Option<Target>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) action: Target,
    /// Of silence; zero is none.
    pub(crate) timeout: Duration,
    pub(crate) length_max: Duration,
    pub(crate) finish_keys: String,
    pub(crate) beep: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TwimlError {
    #[error("document is not well-formed: {0}")]
    Xml(#[from] XmlError),
    #[error("root element is <{0}>, not <Response>")]
    Root(String),
}

/// The verbs of a document in order, and what is odd about it.
pub(crate) fn read(document: &str) -> Result<(Vec<Verb>, Vec<Warning>), TwimlError> {
    let root = xml::parse(document)?;
    if root.name != "Response" {
        return Err(TwimlError::Root(root.name));
    }
    let mut warnings = Vec::new();
    let verbs = verbs(&root, &mut warnings);
    Ok((verbs, warnings))
}

fn odd(text: String) -> Warning {
    (12_200, text)
}

fn verbs(parent: &Element, warnings: &mut Vec<Warning>) -> Vec<Verb> {
    if !parent.text.trim().is_empty() {
        warnings.push(odd(format!("text between the verbs of <{}>: {:?}", parent.name, parent.text.trim())));
    }
    parent.children.iter().filter_map(|element| verb(element, warnings)).collect()
}

fn verb(element: &Element, warnings: &mut Vec<Warning>) -> Option<Verb> {
    let nested = matches!(element.name.as_str(), "Gather" | "Connect" | "Say" | "Dial");
    if !nested && let Some(child) = element.children.first() {
        warnings.push(odd(format!("<{}> inside <{}>", child.name, element.name)));
    }
    Some(match element.name.as_str() {
        "Say" => {
            check(element, &["voice", "language", "loop"], warnings);
            let what = PromptKind::Say { text: spoken_text(element) };
            Verb::Prompt(Prompt { what, times: times(element, warnings) })
        }
        "Play" => Verb::Prompt(play(element, warnings)),
        "Pause" => {
            check(element, &["length"], warnings);
            let what = PromptKind::Pause { length: seconds(element, "length", 1, warnings) };
            Verb::Prompt(Prompt { what, times: 1 })
        }
        "Gather" => Verb::Gather(gather(element, warnings)),
        "Connect" => {
            check(element, &["action", "method"], warnings);
            Verb::ConnectStream(connect(element, warnings)?)
        }
        "Dial" => Verb::Dial(dial(element, warnings)?),
        "Enqueue" => {
            let known = ["action", "method", "waitUrl", "waitUrlMethod", "workflowSid"];
            check(element, &known, warnings);
            if element.attribute("waitUrl").is_some_and(|url| !url.is_empty()) {
                let text = "waitUrl of <Enqueue> is not fetched: this carrier has music of its own";
                warnings.push(odd(text.to_owned()));
            }
            let queue = element.text.trim().to_owned();
            Verb::Enqueue(Enqueue { queue, action: action(element, warnings) })
        }
        "Record" => Verb::Record(record(element, warnings)),
        "Redirect" => {
            check(element, &["method"], warnings);
            Verb::Redirect(target(element.text.trim(), element, "method", warnings))
        }
        "Reject" => {
            check(element, &["reason"], warnings);
            Verb::Reject { reason: element.attribute("reason").unwrap_or("rejected").to_owned() }
        }
        "Hangup" => {
            check(element, &[], warnings);
            Verb::Hangup
        }
        other => {
            warnings.push(odd(format!("<{other}> is not a verb this carrier knows")));
            return None;
        }
    })
}

fn play(element: &Element, warnings: &mut Vec<Warning>) -> Prompt {
    check(element, &["loop", "digits"], warnings);
    let what = match element.attribute("digits") {
        Some(digits) => PromptKind::Keys { digits: digits.to_owned() },
        None => PromptKind::Play { url: element.text.trim().to_owned() },
    };
    Prompt { what, times: times(element, warnings) }
}

fn gather(element: &Element, warnings: &mut Vec<Warning>) -> Gather {
    let known = [
        "input",
        "action",
        "method",
        "timeout",
        "speechTimeout",
        "numDigits",
        "finishOnKey",
        "actionOnEmptyResult",
        "hints",
        "language",
        "speechModel",
        "enhanced",
        "profanityFilter",
        "partialResultCallback",
        "partialResultCallbackMethod",
        "bargeIn",
        "maxSpeechTime",
        "debug",
    ];
    check(element, &known, warnings);
    let mut prompts = Vec::new();
    for verb in verbs(element, warnings) {
        match verb {
            Verb::Prompt(Prompt { what: PromptKind::Keys { .. }, .. }) => {
                warnings.push(odd("<Play digits> may not stand in <Gather>".to_owned()));
            }
            Verb::Prompt(prompt) => prompts.push(prompt),
            _ => warnings.push(odd("only <Say>, <Play> and <Pause> may stand in <Gather>".to_owned())),
        }
    }
    let hints: Vec<&str> = element.attribute("hints").unwrap_or_default().split(',').collect();
    if hints.len() > HINTS_MAX || hints.iter().any(|hint| hint.chars().count() > HINT_CHARS_MAX) {
        warnings.push(odd("hints are more than 500, or one has more than 100 characters".to_owned()));
    }
    Gather {
        prompts,
        action: target(element.attribute("action").unwrap_or_default(), element, "method", warnings),
        terms: terms(element, warnings),
        barge_in: flag(element, "bargeIn", true, warnings),
        action_on_empty_result: flag(element, "actionOnEmptyResult", false, warnings),
        language: element.attribute("language").unwrap_or("en-US").to_owned(),
    }
}

fn terms(element: &Element, warnings: &mut Vec<Warning>) -> Terms {
    let input = element.attribute("input").unwrap_or("dtmf");
    let kinds: Vec<&str> = input.split(' ').filter(|kind| !kind.is_empty()).collect();
    if kinds.is_empty() || kinds.iter().any(|kind| !["dtmf", "speech"].contains(kind)) {
        warnings.push(odd(format!("input={input:?} of <Gather> is not dtmf, speech or both")));
    }
    let timeout = seconds(element, "timeout", 5, warnings);
    let speech_timeout = match element.attribute("speechTimeout") {
        Some("auto") => PAUSE,
        _ => seconds(element, "speechTimeout", timeout.as_secs(), warnings),
    };
    let speech_max = seconds(element, "maxSpeechTime", SPEECH_SECONDS_MAX, warnings);
    let digits_max = element.attribute("numDigits").and_then(|number| {
        let number = number.parse().ok().filter(|number| *number > 0);
        if number.is_none() {
            warnings.push(odd("numDigits of <Gather> is not a whole number above zero".to_owned()));
        }
        number
    });
    let finish_key = element.attribute("finishOnKey").unwrap_or("#");
    if finish_key.chars().count() > 1 || !finish_key.chars().all(|key| KEYS.contains(key)) {
        warnings.push(odd(format!("finishOnKey={finish_key:?} of <Gather> is not one key")));
    }
    Terms {
        keys: kinds.contains(&"dtmf"),
        speech: kinds.contains(&"speech"),
        timeout,
        speech_timeout,
        speech_max: speech_max.min(Duration::from_secs(SPEECH_SECONDS_MAX)),
        digits_max,
        finish_key: finish_key.chars().next(),
    }
}

fn connect(element: &Element, warnings: &mut Vec<Warning>) -> Option<ConnectStream> {
    let [stream] = element.children.as_slice() else {
        warnings.push(odd(format!("<Connect> has {} nouns, not one", element.children.len())));
        return None;
    };
    if stream.name != "Stream" {
        warnings.push(odd(format!("<{}> is not a noun of <Connect> this carrier knows", stream.name)));
        return None;
    }
    let known = ["url", "name", "track", "statusCallback", "statusCallbackMethod", "connectorName"];
    check(stream, &known, warnings);
    let mut parameters = Vec::new();
    for child in &stream.children {
        match (child.name.as_str(), child.attribute("name"), child.attribute("value")) {
            ("Parameter", Some(name), Some(value)) => {
                if name.chars().count() + value.chars().count() >= PARAMETER_CHARS_MAX {
                    let text = format!(
                        "<Parameter> {name:?} is dropped: name and value have 500 characters or more"
                    );
                    warnings.push(odd(text));
                } else {
                    parameters.push((name.to_owned(), value.to_owned()));
                }
            }
            _ => warnings.push(odd(format!("<{}> inside <Stream>", child.name))),
        }
    }
    let url = stream.attribute("url").unwrap_or_default();
    let plain = url.split_once('?').map_or(url, |(plain, query)| {
        warnings
            .push(odd(format!("query string ?{query} of the stream's url is dropped: it is not supported")));
        plain
    });
    let owned = |name: &str| stream.attribute(name).map(str::to_owned);
    Some(ConnectStream {
        action: action(element, warnings),
        url: plain.to_owned(),
        name: owned("name"),
        track: owned("track"),
        parameters,
        status_callback: owned("statusCallback")
            .map(|url| target(&url, stream, "statusCallbackMethod", warnings)),
    })
}

fn dial(element: &Element, warnings: &mut Vec<Warning>) -> Option<Dial> {
    let known = [
        "action",
        "method",
        "timeout",
        "timeLimit",
        "callerId",
        "answerOnBridge",
        "hangupOnStar",
        "record",
        "recordingStatusCallback",
        "recordingStatusCallbackMethod",
        "recordingStatusCallbackEvent",
        "recordingTrack",
        "trim",
        "ringTone",
        "sequential",
        "callReason",
        "referUrl",
        "referMethod",
    ];
    check(element, &known, warnings);
    let mut to: Vec<String> = Vec::new();
    for noun in &element.children {
        if ["Number", "Client", "Sip"].contains(&noun.name.as_str()) {
            to.push(spoken_text(noun));
        } else {
            warnings.push(odd(format!("<{}> is not a noun of <Dial> this carrier knows", noun.name)));
        }
    }
    let text = element.text.trim();
    to.extend((!text.is_empty()).then(|| text.to_owned()));
    if to.is_empty() {
        warnings.push(odd("<Dial> names nobody to be called".to_owned()));
        return None;
    }
    Some(Dial {
        to,
        action: action(element, warnings),
        timeout: seconds(element, "timeout", 30, warnings),
        time_limit: seconds(element, "timeLimit", 14_400, warnings),
        hang_up_on_star: flag(element, "hangupOnStar", false, warnings),
    })
}

fn record(element: &Element, warnings: &mut Vec<Warning>) -> Record {
    let known = [
        "action",
        "method",
        "timeout",
        "finishOnKey",
        "maxLength",
        "playBeep",
        "trim",
        "recordingStatusCallback",
        "recordingStatusCallbackMethod",
        "recordingStatusCallbackEvent",
        "transcribe",
        "transcribeCallback",
    ];
    check(element, &known, warnings);
    Record {
        action: target(element.attribute("action").unwrap_or_default(), element, "method", warnings),
        timeout: seconds(element, "timeout", 5, warnings),
        length_max: seconds(element, "maxLength", 3_600, warnings),
        finish_keys: element.attribute("finishOnKey").unwrap_or(KEYS).to_owned(),
        beep: flag(element, "playBeep", true, warnings),
    }
}

// ------------------------------------------------------------------------------------------------ attributes

fn action(element: &Element, warnings: &mut Vec<Warning>) -> Option<Target> {
    element.attribute("action").map(|url| target(url, element, "method", warnings))
}

fn target(url: &str, element: &Element, method: &str, warnings: &mut Vec<Warning>) -> Target {
    let given = element.attribute(method).unwrap_or("POST");
    if !["GET", "POST"].contains(&given) {
        warnings.push(odd(format!("{method}={given:?} of <{}> is neither GET nor POST", element.name)));
    }
    Target { url: url.to_owned(), get: given == "GET" }
}

/// What is read aloud: SSML marks say how, and only their text is kept.
fn spoken_text(element: &Element) -> String {
    let mut text = element.text.clone();
    for child in &element.children {
        text.push(' ');
        text.push_str(&spoken_text(child));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn seconds(element: &Element, name: &str, default: u64, warnings: &mut Vec<Warning>) -> Duration {
    Duration::from_secs(whole(element, name, "whole seconds", default, warnings))
}

fn times(element: &Element, warnings: &mut Vec<Warning>) -> u32 {
    match whole(element, "loop", "a whole number", 1_u32, warnings) {
        0 => LOOPS_MAX,
        times => times.min(LOOPS_MAX),
    }
}

fn whole<N: std::str::FromStr>(
    element: &Element,
    name: &str,
    wants: &str,
    default: N,
    warnings: &mut Vec<Warning>,
) -> N {
    let Some(given) = element.attribute(name) else { return default };
    given.parse().unwrap_or_else(|_| {
        warnings.push(odd(format!("{name}={given:?} of <{}> is not {wants}", element.name)));
        default
    })
}

fn flag(element: &Element, name: &str, default: bool, warnings: &mut Vec<Warning>) -> bool {
    match element.attribute(name) {
        None => default,
        Some("true") => true,
        Some("false") => false,
        Some(other) => {
            let text = format!("{name}={other:?} of <{}> is neither true nor false", element.name);
            warnings.push(odd(text));
            default
        }
    }
}

fn check(element: &Element, known: &[&str], warnings: &mut Vec<Warning>) {
    for (name, _) in element.attributes.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        warnings.push(odd(format!("attribute {name:?} is not allowed in <{}>", element.name)));
    }
}

#[cfg(test)]
mod tests;
