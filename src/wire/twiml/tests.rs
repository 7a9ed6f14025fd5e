use proptest::prelude::*;

use super::*;

/// An element as an XML parser hands it over.
#[derive(Debug, PartialEq, Eq)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn children(&self) -> Vec<&str> {
        self.children.iter().map(|child| child.name.as_str()).collect()
    }
}

/// A strict reader of the little XML that TwiML is: it knows elements, attributes and references, and takes no liberty.
struct Xml<'a>(&'a str);

impl Xml<'_> {
    fn document(text: &str) -> Element {
        let mut xml =
            Xml(text.strip_prefix(r#"<?xml version="1.0" encoding="UTF-8"?>"#).expect("a declaration"));
        let root = xml.element();
        assert_eq!(xml.0, "", "nothing after the root");
        root
    }

    fn take(&mut self, text: &str) -> bool {
        match self.0.strip_prefix(text) {
            Some(rest) => self.0 = rest,
            None => return false,
        }
        true
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> &str {
        let len = self.0.find(stop).expect("an end");
        let (piece, rest) = self.0.split_at(len);
        self.0 = rest;
        piece
    }

    fn name(&mut self) -> String {
        let name = self.until(|character| !character.is_ascii_alphabetic()).to_owned();
        assert!(!name.is_empty(), "a name at {:?}", self.0);
        name
    }

    fn element(&mut self) -> Element {
        assert!(self.take("<"), "an element at {:?}", self.0);
        let mut element =
            Element { name: self.name(), attributes: vec![], text: String::new(), children: vec![] };
        while self.take(" ") {
            let name = self.name();
            assert!(self.take("=\""), "a quoted value");
            let value = unescape(self.until(|character| character == '"'));
            assert!(self.take("\""));
            assert!(element.attribute(&name).is_none(), "{name} twice");
            element.attributes.push((name, value));
        }
        if self.take("/>") {
            return element;
        }
        assert!(self.take(">"));
        loop {
            element.text.push_str(&unescape(self.until(|character| character == '<')));
            if self.take("</") {
                assert_eq!(self.name(), element.name, "the right end tag");
                assert!(self.take(">"));
                return element;
            }
            element.children.push(self.element());
        }
    }
}

fn unescape(raw: &str) -> String {
    let mut text = String::new();
    let mut rest = raw;
    while let Some(character) = rest.chars().next() {
        if character != '&' {
            let allowed = matches!(character, ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
            assert!(
                allowed && !matches!(character, '<' | '>' | '"' | '\''),
                "{character:?} stands unescaped"
            );
            text.push(character);
            rest = &rest[character.len_utf8()..];
            continue;
        }
        let (reference, after) = rest.split_once(';').expect("a whole reference");
        text.push(match reference {
            "&amp" => '&',
            "&lt" => '<',
            "&gt" => '>',
            "&quot" => '"',
            "&apos" => '\'',
            "&#9" => '\t',
            "&#10" => '\n',
            "&#13" => '\r',
            other => panic!("unknown reference {other}"),
        });
        rest = after;
    }
    text
}

fn root(response: Response) -> Element {
    let root = Xml::document(&response.finish());
    assert_eq!(root.name, "Response");
    root
}

/// The text as XML 1.0 can carry it.
fn carried(text: &str) -> String {
    let kept = |c: &char| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    text.chars().filter(kept).collect()
}

#[test]
fn an_empty_document_is_a_document() {
    assert_eq!(Response::new().finish(), r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#);
}

#[test]
fn a_stream_with_a_safety_net_reads_as_the_carrier_documents_it() {
    let stream = ConnectStream {
        url: "wss://switch.example.net/twilio/media/7Qm2",
        action: Some("https://switch.example.net/twilio/resume"),
        status_callback: Some("https://switch.example.net/twilio/stream-status"),
        parameters: &[("tenant", "acme"), ("ticket", "k3v9-one-time")],
        ..ConnectStream::default()
    };
    let document = Response::new()
        .connect_stream(&stream)
        .unwrap()
        .redirect("https://switch.example.net/twilio/resume?a=1&b=2")
        .finish();
    let expected = [
        r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
        r#"<Connect action="https://switch.example.net/twilio/resume">"#,
        r#"<Stream url="wss://switch.example.net/twilio/media/7Qm2""#,
        r#" statusCallback="https://switch.example.net/twilio/stream-status">"#,
        r#"<Parameter name="tenant" value="acme"/>"#,
        r#"<Parameter name="ticket" value="k3v9-one-time"/>"#,
        r"</Stream></Connect>",
        r"<Redirect>https://switch.example.net/twilio/resume?a=1&amp;b=2</Redirect>",
        r"</Response>",
    ];
    assert_eq!(document, expected.concat());
}

#[test]
fn a_stream_may_have_a_name_and_nothing_else() {
    let stream = ConnectStream { url: "wss://h.example/m", name: Some("main"), ..ConnectStream::default() };
    let root = root(Response::new().connect_stream(&stream).unwrap());
    let connect = &root.children[0];
    assert_eq!((connect.name.as_str(), connect.attributes.len()), ("Connect", 0));
    assert_eq!(connect.children[0].attribute("name"), Some("main"));
}

#[test]
fn a_parameter_has_fewer_than_500_characters() {
    let with = |value: &str| {
        let parameters = [("ticket", value)];
        let stream =
            ConnectStream { url: "wss://h.example/m", parameters: &parameters, ..ConnectStream::default() };
        Response::new().connect_stream(&stream).map(Response::finish)
    };
    assert!(with(&"ä".repeat(493)).is_ok(), "characters are counted, not bytes");
    let error = with(&"ä".repeat(494)).unwrap_err();
    assert_eq!(error, TwimlError::ParameterTooLong { name: "ticket".to_owned(), chars: 500 });
    assert_eq!(
        error.to_string(),
        "stream parameter ticket has 500 characters, the carrier takes fewer than 500"
    );
}

#[test]
fn a_stream_url_with_a_query_is_refused() {
    let stream = ConnectStream { url: "wss://h.example/m?ticket=1", ..ConnectStream::default() };
    let error = Response::new().connect_stream(&stream).unwrap_err();
    assert_eq!(error, TwimlError::QueryInStreamUrl);
    assert_eq!(error.to_string(), "stream url has a query, which the carrier drops");
}

#[test]
fn a_gather_has_every_attribute_and_its_prompts() {
    let gather = Gather {
        input: Input::DtmfSpeech,
        action: Some("/twilio/gather"),
        method: Some(Method::Post),
        timeout_s: Some(5),
        speech_timeout: Some(SpeechTimeout::Auto),
        num_digits: Some(4),
        finish_on_key: Some(""),
        action_on_empty_result: Some(true),
        hints: Some("tandem, hotel"),
        language: Some("en-US"),
        speech_model: Some("phone_call"),
        enhanced: Some(true),
        profanity_filter: Some(false),
        partial_result_callback: Some("/partial"),
        partial_result_callback_method: Some(Method::Get),
        barge_in: Some(true),
        max_speech_time_s: Some(30),
        debug: Some(false),
        prompts: &[
            Prompt::Say(Say { text: "Say or press.", ..Say::default() }),
            Prompt::Pause { seconds: 1 },
            Prompt::Play(Play { url: "/beep.wav", times: Some(2) }),
        ],
    };
    let root = root(Response::new().gather(&gather));
    let gather = &root.children[0];
    let attributes: Vec<_> =
        gather.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        attributes,
        [
            ("input", "dtmf speech"),
            ("action", "/twilio/gather"),
            ("method", "POST"),
            ("timeout", "5"),
            ("speechTimeout", "auto"),
            ("numDigits", "4"),
            ("finishOnKey", ""),
            ("actionOnEmptyResult", "true"),
            ("hints", "tandem, hotel"),
            ("language", "en-US"),
            ("speechModel", "phone_call"),
            ("enhanced", "true"),
            ("profanityFilter", "false"),
            ("partialResultCallback", "/partial"),
            ("partialResultCallbackMethod", "GET"),
            ("bargeIn", "true"),
            ("maxSpeechTime", "30"),
            ("debug", "false"),
        ]
    );
    assert_eq!(gather.children(), ["Say", "Pause", "Play"]);
}

#[test]
fn a_gather_says_only_what_is_set() {
    for (input, written) in [(Input::Dtmf, "dtmf"), (Input::Speech, "speech")] {
        let gather = Gather { input, ..Gather::default() };
        let root = root(Response::new().gather(&gather));
        assert_eq!(root.children[0].attributes, [("input".to_owned(), written.to_owned())]);
    }
    let seconds = Gather { speech_timeout: Some(SpeechTimeout::Seconds(3)), ..Gather::default() };
    assert_eq!(root(Response::new().gather(&seconds)).children[0].attribute("speechTimeout"), Some("3"));
}

#[test]
fn the_other_verbs_follow_in_their_order() {
    let root = root(
        Response::new()
            .pause(2)
            .say(&Say { text: "Hello", voice: Some("Polly.Joanna"), language: Some("en-US"), times: Some(1) })
            .play(&Play { url: "https://h.example/a.wav", times: None })
            .play_digits("ww12#")
            .dial(&Dial {
                number: "+14155550142",
                action: Some("/dialed"),
                method: Some(Method::Post),
                timeout_s: Some(20),
                time_limit_s: Some(600),
                caller_id: Some("+12065550188"),
                answer_on_bridge: Some(true),
                hangup_on_star: Some(false),
            })
            .hangup(),
    );
    assert_eq!(root.children(), ["Pause", "Say", "Play", "Play", "Dial", "Hangup"]);
    let [pause, say, play, digits, dial, _] = root.children.as_slice() else { panic!("six verbs") };
    assert_eq!(pause.attribute("length"), Some("2"));
    assert_eq!(
        (say.text.as_str(), say.attribute("voice"), say.attribute("loop")),
        ("Hello", Some("Polly.Joanna"), Some("1"))
    );
    assert_eq!((play.text.as_str(), play.attributes.len()), ("https://h.example/a.wav", 0));
    assert_eq!((digits.text.as_str(), digits.attribute("digits")), ("", Some("ww12#")));
    assert_eq!((dial.attribute("timeLimit"), dial.attribute("answerOnBridge")), (Some("600"), Some("true")));
    assert_eq!((dial.children(), dial.children[0].text.as_str()), (vec!["Number"], "+14155550142"));
}

#[test]
fn a_call_can_be_refused() {
    for (reason, written) in [(RejectReason::Rejected, "rejected"), (RejectReason::Busy, "busy")] {
        assert_eq!(root(Response::new().reject(reason)).children[0].attribute("reason"), Some(written));
    }
}

#[test]
fn text_is_escaped_in_elements_and_attributes() {
    let hostile = "a<b>&\"c'\n\t\r\u{0}\u{8}\u{b}\u{1f}\u{fffe}\u{ffff}]]>é\u{1f600}";
    let say = Say { text: hostile, voice: Some(hostile), ..Say::default() };
    let document = Response::new().say(&say).finish();
    assert!(document.contains("a&lt;b&gt;&amp;&quot;c&apos;&#10;&#9;&#13;]]&gt;é\u{1f600}"), "{document}");
    let say = &Xml::document(&document).children[0];
    assert_eq!(say.text, carried(hostile));
    assert_eq!(say.attribute("voice"), Some(carried(hostile).as_str()));
}

proptest! {
    #[test]
    fn whatever_is_said_the_document_is_xml_and_says_it(text in "(?s:.{0,99})", url in "(?s:.{0,99})", name in "(?s:.{0,99})") {
        let parameters = [(name.as_str(), "x")];
        let stream = ConnectStream { url: "wss://h.example/m", action: Some(&url), parameters: &parameters, ..ConnectStream::default() };
        let response = Response::new()
            .say(&Say { text: &text, language: Some(&text), ..Say::default() })
            .connect_stream(&stream)
            .unwrap()
            .redirect(&url);
        let root = root(response);
        let (text, url, name) = (carried(&text), carried(&url), carried(&name));
        let [say, connect, redirect] = root.children.as_slice() else { panic!("three verbs") };
        prop_assert_eq!((&say.text, say.attribute("language")), (&text, Some(text.as_str())));
        prop_assert_eq!(connect.attribute("action"), Some(url.as_str()));
        prop_assert_eq!(connect.children[0].children[0].attribute("name"), Some(name.as_str()));
        prop_assert_eq!(&redirect.text, &url);
    }
}
