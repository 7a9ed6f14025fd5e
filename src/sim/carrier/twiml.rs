//! TwiML documents as the verbs this carrier performs.
//!
//! Knows neither HTTP nor time. What it does not know it warns of and leaves out, as the real one does.

use std::time::Duration;

use super::{
    Warning,
    xml::{self, Element, XmlError},
};

/// A pair of `<Parameter>` texts must stay below this many characters.
const PARAMETER_CHARS_MAX: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Say { text: String },
    Play { url: String },
    Pause { length: Duration },
    Gather(Gather),
    ConnectStream(ConnectStream),
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gather {
    pub(crate) prompts: Vec<Verb>,
    pub(crate) action: Target,
    pub(crate) timeout: Duration,
    pub(crate) action_on_empty_result: bool,
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
    let nested = matches!(element.name.as_str(), "Gather" | "Connect" | "Say");
    if !nested && let Some(child) = element.children.first() {
        warnings.push(odd(format!("<{}> inside <{}>", child.name, element.name)));
    }
    match element.name.as_str() {
        "Say" => {
            check(element, &["voice", "language", "loop"], warnings);
            Some(Verb::Say { text: spoken_text(element) })
        }
        "Play" => {
            check(element, &["loop", "digits"], warnings);
            Some(Verb::Play { url: element.text.trim().to_owned() })
        }
        "Pause" => {
            check(element, &["length"], warnings);
            Some(Verb::Pause { length: seconds(element, "length", 1, warnings) })
        }
        "Gather" => Some(Verb::Gather(gather(element, warnings))),
        "Connect" => {
            check(element, &["action", "method"], warnings);
            connect(element, warnings).map(Verb::ConnectStream)
        }
        "Redirect" => {
            check(element, &["method"], warnings);
            Some(Verb::Redirect(target(element.text.trim(), element.attribute("method"))))
        }
        "Reject" => {
            check(element, &["reason"], warnings);
            Some(Verb::Reject { reason: element.attribute("reason").unwrap_or("rejected").to_owned() })
        }
        "Hangup" => {
            check(element, &[], warnings);
            Some(Verb::Hangup)
        }
        other => {
            warnings.push(odd(format!("<{other}> is not a verb this carrier knows")));
            None
        }
    }
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
    let is_prompt = |verb: &Verb| matches!(verb, Verb::Say { .. } | Verb::Play { .. } | Verb::Pause { .. });
    let (prompts, others): (Vec<_>, Vec<_>) = verbs(element, warnings).into_iter().partition(is_prompt);
    if !others.is_empty() {
        warnings.push(odd("only <Say>, <Play> and <Pause> may stand in <Gather>".to_owned()));
    }
    Gather {
        prompts,
        action: target(element.attribute("action").unwrap_or_default(), element.attribute("method")),
        timeout: seconds(element, "timeout", 5, warnings),
        action_on_empty_result: element.attribute("actionOnEmptyResult") == Some("true"),
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
        action: element.attribute("action").map(|url| target(url, element.attribute("method"))),
        url: plain.to_owned(),
        name: owned("name"),
        track: owned("track"),
        parameters,
        status_callback: owned("statusCallback")
            .map(|url| target(&url, stream.attribute("statusCallbackMethod"))),
    })
}

fn target(url: &str, method: Option<&str>) -> Target {
    Target { url: url.to_owned(), get: method == Some("GET") }
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
    let given = element.attribute(name);
    let seconds = given.map_or(Ok(default), str::parse).unwrap_or_else(|_| {
        warnings.push(odd(format!(
            "{name}={:?} of <{}> is not whole seconds",
            given.unwrap_or_default(),
            element.name
        )));
        default
    });
    Duration::from_secs(seconds)
}

fn check(element: &Element, known: &[&str], warnings: &mut Vec<Warning>) {
    for (name, _) in element.attributes.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        warnings.push(odd(format!("attribute {name:?} is not allowed in <{}>", element.name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verbs_of_a_safe_stream_are_read() {
        let (verbs, warnings) = read(
            r#"<Response>
                 <Connect action="/resume"><Stream url="wss://h/media" statusCallback="/status" name="n">
                   <Parameter name="ticket" value="k3&amp;v9"/></Stream></Connect>
                 <Redirect method="GET">/resume</Redirect>
               </Response>"#,
        )
        .unwrap();
        assert_eq!(warnings, []);
        let resume = |get| Target { url: "/resume".to_owned(), get };
        assert_eq!(
            verbs,
            [
                Verb::ConnectStream(ConnectStream {
                    action: Some(resume(false)),
                    url: "wss://h/media".to_owned(),
                    name: Some("n".to_owned()),
                    track: None,
                    parameters: vec![("ticket".to_owned(), "k3&v9".to_owned())],
                    status_callback: Some(Target { url: "/status".to_owned(), get: false }),
                }),
                Verb::Redirect(resume(true)),
            ]
        );
    }

    #[test]
    fn speaking_verbs_are_read() {
        let (verbs, warnings) = read(
            r#"<Response><Say voice="man">Hello <break time="1s"/>there,  <emphasis>you</emphasis></Say><Pause/>
               <Gather timeout="2" actionOnEmptyResult="true" action="g"><Say>Well?</Say><Pause length="3"/></Gather>
               <Play>tone.wav</Play><Reject reason="busy"/><Hangup/></Response>"#,
        )
        .unwrap();
        assert_eq!(warnings, []);
        assert_eq!(verbs[0], Verb::Say { text: "Hello there, you".to_owned() });
        assert_eq!(verbs[1], Verb::Pause { length: Duration::from_secs(1) });
        let Verb::Gather(gather) = &verbs[2] else { panic!("{verbs:?}") };
        assert_eq!(
            (gather.prompts.len(), gather.timeout.as_secs(), gather.action_on_empty_result),
            (2, 2, true)
        );
        assert_eq!(verbs[4], Verb::Reject { reason: "busy".to_owned() });
        assert_eq!(verbs[5], Verb::Hangup);
    }

    #[test]
    fn what_the_real_carrier_would_warn_of_is_warned_of() {
        let long = "x".repeat(500);
        for (document, words) in [
            ("<Response><Shout/></Response>".to_owned(), "<Shout> is not a verb"),
            ("<Response><say>Hi</say></Response>".to_owned(), "<say> is not a verb"),
            ("<Response>Hi</Response>".to_owned(), "text between the verbs"),
            ("<Response><Say tone='soft'>Hi</Say></Response>".to_owned(), "\"tone\" is not allowed in <Say>"),
            ("<Response><Pause length='soon'/></Response>".to_owned(), "not whole seconds"),
            ("<Response><Hangup><Say/></Hangup></Response>".to_owned(), "<Say> inside <Hangup>"),
            ("<Response><Gather><Hangup/></Gather></Response>".to_owned(), "only <Say>, <Play> and <Pause>"),
            ("<Response><Connect/></Response>".to_owned(), "<Connect> has 0 nouns"),
            ("<Response><Connect><Room/></Connect></Response>".to_owned(), "<Room> is not a noun"),
            ("<Response><Connect><Stream url='wss://h/?a=1'/></Connect></Response>".to_owned(), "?a=1"),
            (
                "<Response><Connect><Stream><Say/></Stream></Connect></Response>".to_owned(),
                "<Say> inside <Stream>",
            ),
            (
                format!(
                    "<Response><Connect><Stream><Parameter name='n' value='{long}'/></Stream></Connect></Response>"
                ),
                "500 characters or more",
            ),
        ] {
            let (_, warnings) = read(&document).unwrap();
            assert_eq!(warnings.len(), 1, "{document}: {warnings:?}");
            assert!(warnings[0].0 == 12_200 && warnings[0].1.contains(words), "{document}: {warnings:?}");
        }
    }

    #[test]
    fn a_document_that_is_none_is_an_error() {
        assert_eq!(read("<Reply/>").unwrap_err().to_string(), "root element is <Reply>, not <Response>");
        assert_eq!(
            read("<Response>").unwrap_err().to_string(),
            "document is not well-formed: line 1: <Response> is never closed"
        );
    }
}
