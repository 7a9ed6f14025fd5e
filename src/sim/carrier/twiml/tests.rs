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

fn prompt(what: PromptKind, times: u32) -> Verb {
    Verb::Prompt(Prompt { what, times })
}

fn say(text: &str, times: u32) -> Verb {
    prompt(PromptKind::Say { text: text.to_owned() }, times)
}

#[test]
fn prompts_are_read_with_how_often() {
    let (verbs, warnings) = read(
        r#"<Response><Say voice="man" loop="2">Hello <break time="1s"/>there,  <emphasis>you</emphasis></Say><Pause/>
           <Play loop="0"> tone.wav </Play><Play digits="1w2"/><Reject reason="busy"/><Hangup/></Response>"#,
    )
    .unwrap();
    assert_eq!(warnings, []);
    assert_eq!(
        verbs,
        [
            say("Hello there, you", 2),
            prompt(PromptKind::Pause { length: Duration::from_secs(1) }, 1),
            prompt(PromptKind::Play { url: "tone.wav".to_owned() }, 1_000),
            prompt(PromptKind::Keys { digits: "1w2".to_owned() }, 1),
            Verb::Reject { reason: "busy".to_owned() },
            Verb::Hangup,
        ]
    );
}

fn gather_of(document: &str) -> (Gather, Vec<Warning>) {
    let (mut verbs, warnings) = read(&format!("<Response>{document}</Response>")).unwrap();
    let Some(Verb::Gather(gather)) = verbs.pop() else { panic!("{verbs:?}") };
    (gather, warnings)
}

#[test]
fn a_gather_has_the_documented_defaults() {
    let (gather, warnings) = gather_of("<Gather/>");
    assert_eq!(warnings, []);
    let expected = Gather {
        prompts: Vec::new(),
        action: Target { url: String::new(), get: false },
        terms: Terms {
            keys: true,
            speech: false,
            timeout: Duration::from_secs(5),
            speech_timeout: Duration::from_secs(5),
            speech_max: Duration::from_mins(1),
            digits_max: None,
            finish_key: Some('#'),
        },
        barge_in: true,
        action_on_empty_result: false,
        language: "en-US".to_owned(),
    };
    assert_eq!(gather, expected);
}

#[test]
fn a_gather_is_read_with_all_its_attributes() {
    let (gather, warnings) = gather_of(
        "<Gather input='speech dtmf' action='a' method='GET' timeout='2' speechTimeout='auto' numDigits='4'
         finishOnKey='' actionOnEmptyResult='true' hints='a, b' language='de-DE' bargeIn='false' maxSpeechTime='9'
         speechModel='default' enhanced='false' profanityFilter='true' partialResultCallback='p' debug='false'>
         <Say>Well?</Say><Play>x.wav</Play><Pause length='3'/></Gather>",
    );
    assert_eq!(warnings, []);
    assert_eq!((gather.prompts.len(), gather.barge_in, gather.action_on_empty_result), (3, false, true));
    assert_eq!((gather.action.get, gather.language.as_str()), (true, "de-DE"));
    let expected = Terms {
        keys: true,
        speech: true,
        timeout: Duration::from_secs(2),
        speech_timeout: PAUSE,
        speech_max: Duration::from_secs(9),
        digits_max: Some(4),
        finish_key: None,
    };
    assert_eq!(gather.terms, expected);
    let (gather, _) = gather_of("<Gather input='speech' timeout='3' maxSpeechTime='900' finishOnKey='*'/>");
    assert_eq!((gather.terms.keys, gather.terms.finish_key), (false, Some('*')));
    assert_eq!(gather.terms.speech_timeout, Duration::from_secs(3), "as long as the timeout");
    assert_eq!(gather.terms.speech_max, Duration::from_mins(1), "and no more, whatever is asked for");
}

#[test]
fn whoever_is_called_or_recorded_is_read() {
    let (verbs, warnings) = read(
        r#"<Response><Dial>+1 415</Dial>
           <Dial action="d" timeout="9" timeLimit="60" hangupOnStar="true" callerId="+1"><Number>+1</Number><Client>amy</Client></Dial>
           <Enqueue action="q" waitUrl="">desk</Enqueue>
           <Record timeout="2" maxLength="7" finishOnKey="1#" playBeep="false" action="r"/></Response>"#,
    )
    .unwrap();
    assert_eq!(warnings, []);
    let target = |url: &str| Target { url: url.to_owned(), get: false };
    let seconds = Duration::from_secs;
    let dial = |to: &[&str], action, timeout, time_limit, hang_up_on_star| {
        let to = to.iter().map(|&to| to.to_owned()).collect();
        Verb::Dial(Dial {
            to,
            action,
            timeout: seconds(timeout),
            time_limit: seconds(time_limit),
            hang_up_on_star,
        })
    };
    assert_eq!(
        verbs,
        [
            dial(&["+1 415"], None, 30, 14_400, false),
            dial(&["+1", "amy"], Some(target("d")), 9, 60, true),
            Verb::Enqueue(Enqueue { queue: "desk".to_owned(), action: Some(target("q")) }),
            Verb::Record(Record {
                action: target("r"),
                timeout: seconds(2),
                length_max: seconds(7),
                finish_keys: "1#".to_owned(),
                beep: false,
            }),
        ]
    );
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
        (
            "<Response><Gather><Play digits='1'/></Gather></Response>".to_owned(),
            "<Play digits> may not stand",
        ),
        ("<Response><Gather input='voice'/></Response>".to_owned(), "is not dtmf, speech or both"),
        ("<Response><Gather numDigits='0'/></Response>".to_owned(), "not a whole number above zero"),
        ("<Response><Gather finishOnKey='ab'/></Response>".to_owned(), "is not one key"),
        ("<Response><Gather speechTimeout='soon'/></Response>".to_owned(), "speechTimeout=\"soon\""),
        ("<Response><Gather bargeIn='yes'/></Response>".to_owned(), "neither true nor false"),
        (format!("<Response><Gather hints='{long}'/></Response>"), "more than 100 characters"),
        ("<Response><Say loop='twice'>Hi</Say></Response>".to_owned(), "loop=\"twice\""),
        ("<Response><Redirect method='PUT'/></Response>".to_owned(), "neither GET nor POST"),
        ("<Response><Dial/></Response>".to_owned(), "names nobody"),
        (
            "<Response><Dial>+1<Conference>c</Conference></Dial></Response>".to_owned(),
            "<Conference> is not a noun",
        ),
        ("<Response><Enqueue waitUrl='/w'>q</Enqueue></Response>".to_owned(), "is not fetched"),
        ("<Response><Start/></Response>".to_owned(), "<Start> is not a verb"),
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
