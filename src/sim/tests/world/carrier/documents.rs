//! Webhooks, the documents they are answered with, and callbacks.

use super::*;

#[tokio::test]
async fn the_webhook_carries_every_field_and_is_signed() {
    let mut switch = Switch::with_stream("").await;
    let plan = CallPlan {
        auth_token: Some("secret".to_owned()),
        from: "+1 (206) 555".to_owned(),
        ..quiet(&switch, 100)
    };
    let running = call(plan.clone());
    let mut media = switch.media().await;
    media.rest().await;
    let record = running.await.unwrap();
    let hook = &switch.hooks()[0];
    assert_eq!((hook.method.as_str(), hook.path.as_str()), ("POST", "/voice"));
    for (name, value) in [
        ("AccountSid", plan.account_sid.as_str()),
        ("CallSid", &record.call_sid),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
        ("From", "%2B1+%28206%29+555"),
        ("Caller", "%2B1+%28206%29+555"),
        ("To", "%2B14155550142"),
        ("Called", "%2B14155550142"),
        ("FromCity", ""),
        ("ToCountry", "US"),
    ] {
        assert_eq!(hook.field(name), Some(value), "{name}");
    }
    assert_eq!(hook.headers["x-twilio-signature"].len(), 28, "base64 of 20 bytes");
    assert_eq!(hook.headers["i-twilio-idempotency-token"].len(), 32);
    assert_eq!(media.headers["x-twilio-signature"].len(), 28);
    assert_eq!(media.headers["user-agent"], "Twilio.TmeWs/1.0");
    assert!(!media.headers.contains_key("sec-websocket-extensions"));
    assert!(record.call_sid.starts_with("CA") && record.call_sid.len() == 34);
}

#[tokio::test]
async fn no_two_calls_have_the_same_id() {
    let switch = Switch::with_documents(&[("/voice", "<Response/>")]).await;
    let mut sids = std::collections::HashSet::new();
    for _ in 0..20 {
        let record = call(quiet(&switch, 100)).await.unwrap();
        assert_eq!(record.end, CallEnd::DocumentEnded);
        sids.insert(record.call_sid);
    }
    assert_eq!(sids.len(), 20);
}

#[tokio::test]
async fn documents_are_followed_wherever_they_lead() {
    let tone = Answer::of(200, "audio/ulaw", [0x80; 160]);
    let documents = [
        (
            "/voice",
            "<Response><Pause length='0'/><Redirect method='GET'>deeper/two?x=1</Redirect><Say>no</Say></Response>",
        ),
        (
            "/deeper/two",
            "<Response><Gather timeout='0' action='never'><Say>Well?</Say></Gather>
             <Gather timeout='0' action='three' actionOnEmptyResult='true'/></Response>",
        ),
        ("/deeper/three", "<Response><Play>/tone.wav</Play><Shout/><Hangup/></Response>"),
    ];
    let documents = documents.into_iter().map(|(path, twiml)| (path, Answer::twiml(twiml)));
    let switch = Switch::start(documents.chain([("/tone.wav", tone)])).await;
    let record = call(quiet(&switch, 10_000)).await.unwrap();
    assert_eq!(
        verbs(&record),
        [
            ("Pause", "0 s"),
            ("Redirect", "deeper/two?x=1"),
            ("Gather", "never"),
            ("Say", "Well?"),
            ("Gather", "three"),
            ("Play", "/tone.wav"),
            ("Hangup", ""),
        ]
    );
    let by_get = &switch.hooks_of("/deeper/two")[0];
    assert_eq!((by_get.method.as_str(), by_get.body.as_str()), ("GET", ""));
    assert!(by_get.path.starts_with("/deeper/two?x=1&AccountSid=AC"), "{}", by_get.path);
    assert_eq!(switch.hooks_of("/deeper/three")[0].method, "POST");
    assert_eq!(
        (record.end.clone(), record.warning_codes().into_iter().collect::<Vec<_>>()),
        (CallEnd::HungUp, vec![12_200])
    );
}

#[tokio::test]
async fn a_call_can_be_rejected() {
    let (record, _) = call_documents(&[("/voice", "<Response><Reject reason='busy'/></Response>")]).await;
    assert_eq!(record.end, CallEnd::Rejected { reason: "busy".to_owned() });
    let (record, _) = call_documents(&[("/voice", "<Response><Say>Hi</Say><Reject/></Response>")]).await;
    assert_eq!((record.end, record.warnings[0].0), (CallEnd::DocumentEnded, 12_200));
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_application_error() {
    let twiml = Answer::twiml;
    let switch = Switch::start([
        ("/500", Answer::of(500, "text/xml", "<Response/>")),
        ("/json", Answer::of(200, "application/json", "{}")),
        ("/torn", twiml("<Response><Say>")),
        ("/other", Answer::of(200, "text/html; charset=utf-8", "<html></html>")),
        ("/circle", twiml("<Response><Redirect/></Response>")),
        ("/elsewhere", Answer::redirect(302, "/elsewhere")),
        ("/nowhere", twiml("<Response><Redirect>http://[</Redirect></Response>")),
        ("/mute", twiml("<Response><Play>/missing</Play></Response>")),
        ("/noise", twiml("<Response><Play>/other</Play></Response>")),
        ("/broken", twiml("<Response><Play>/broken.wav</Play></Response>")),
        ("/broken.wav", Answer::of(200, "audio/wav", "RIFF")),
    ])
    .await;
    for (path, code, words) in [
        ("/500", 11_200, "status 500"),
        ("/missing", 11_200, "status 404"),
        ("/json", 12_300, "application/json"),
        ("/torn", 12_100, "<Say> is never closed"),
        ("/other", 12_100, "root element is <html>"),
        ("/circle", 11_215, "more than 200 documents"),
        ("/elsewhere", 11_215, "redirects more than 10 times"),
        ("/nowhere", 11_100, "is not a URL"),
        ("/mute", 11_200, "/missing answered with status 404"),
        ("/noise", 12_300, "content type \"text/html\", neither XML nor audio"),
        ("/broken", 11_200, "cannot be played: not a WAV file"),
    ] {
        let plan = CallPlan { voice_url: switch.url(path), ..quiet(&switch, 10_000) };
        match call(plan).await.unwrap().end {
            CallEnd::ApplicationError { code: found, text } => {
                assert_eq!(found, code, "{path}: {text}");
                assert!(text.contains(words), "{path}: {text}");
            }
            other => panic!("{path}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_switch_that_is_not_there_is_an_application_error_too() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/voice", free.local_addr().unwrap());
    drop(free);
    let record = place_call(CallPlan::new(url, CallerAudio::demo()), |_| {}).await.unwrap();
    assert!(matches!(record.end, CallEnd::ApplicationError { code: 11_205, .. }), "{}", record.end);
    assert!(record.heard.is_empty() && record.stream_started.is_none());
}

#[tokio::test]
async fn a_plan_that_cannot_work_is_refused_in_words() {
    let plan = |url: &str| CallPlan::new(url, CallerAudio::silence(Duration::ZERO));
    for (plan, words) in [
        (plan("somewhere"), "\"somewhere\" is not a URL"),
        (plan("ftp://127.0.0.1/voice"), "scheme ftp is not http"),
        (plan("https://switch.example.net/voice"), "needs TLS"),
        (
            CallPlan { status_url: Some("there".to_owned()), ..plan("http://127.0.0.1:1/") },
            "\"there\" is not a URL",
        ),
    ] {
        let error = place_call(plan, |_| {}).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let switch = Switch::with_documents(&[(
        "/voice",
        "<Response><Connect><Stream url='wss://switch.example.net/media'/></Connect></Response>",
    )])
    .await;
    let error = place_call(quiet(&switch, 100), |_| {}).await.unwrap_err();
    assert!(matches!(&error, CallError::Secure(url) if url == "wss://switch.example.net/media"), "{error}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_lets_the_document_go_on() {
    let document = |stream: &str| {
        format!("<Response><Connect><Stream {stream}/></Connect><Say>Plan B.</Say></Response>")
    };
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("url='ws://{}/'", nobody.local_addr().unwrap());
    drop(nobody);
    for (stream, code) in [
        ("url='{sockets}/voice'", 31_920),
        (refused.as_str(), 31_902),
        ("url='ws://192.0.2.1/media'", 31_922),
        ("url='http://127.0.0.1/media'", 31_922),
        ("url='/media'", 31_923),
        ("url=''", 31_923),
        ("url='{sockets}/media' track='both_tracks'", 31_941),
    ] {
        let (record, _) = call_documents(&[("/voice", &document(stream))]).await;
        assert_eq!(record.warnings[0].0, code, "{stream}: {:?}", record.warnings);
        assert_eq!(verbs(&record).last(), Some(&("Say", "Plan B.")), "{stream}");
    }
}

#[tokio::test]
async fn stream_and_status_callbacks_tell_of_beginning_and_end() {
    let mut switch = Switch::with_documents(&[
        (
            "/voice",
            "<Response><Connect><Stream url='{sockets}/media' name='desk' statusCallback='/stream'/></Connect></Response>",
        ),
        ("/stream", ""),
        ("/status", ""),
    ])
    .await;
    let status_url = Some(format!("http://{}/status", switch.addr));
    let running = call(CallPlan { status_url, ..quiet(&switch, 200) });
    switch.media().await.rest().await;
    let record = running.await.unwrap();
    let told = switch.hooks_of("/stream");
    let mut events: Vec<&str> = told.iter().map(|hook| hook.field("StreamEvent").unwrap()).collect();
    events.sort_unstable();
    assert_eq!(events, ["stream-started", "stream-stopped"]);
    assert_eq!(
        (told[0].field("StreamSid"), told[0].field("StreamName")),
        (Some(record.stream_sids[0].as_str()), Some("desk"))
    );
    let status = &switch.hooks_of("/status")[0];
    assert_eq!((status.field("CallStatus"), status.field("CallDuration")), (Some("completed"), Some("0")));
    let posted = record
        .events
        .iter()
        .filter(|(_, event)| matches!(event, CarrierEvent::StatusPosted { status: 200, .. }));
    assert_eq!(posted.count(), 3);
}

#[tokio::test]
async fn a_public_name_is_signed_while_loopback_is_called() {
    let stream = "<Response><Connect><Stream url='wss://switch.example.net/media'/></Connect></Response>";
    let mut switch = Switch::with_documents(&[("/voice", stream)]).await;
    let plan = CallPlan { auth_token: Some("12345".to_owned()), ..quiet(&switch, 100) };
    let public = CallPlan { public_base: Some("https://switch.example.net".to_owned()), ..plan };
    let running = call(public);
    let media = switch.media().await;
    // HMAC-SHA1 of "wss://switch.example.net/media" with the key 12345, by openssl.
    assert_eq!(media.headers["x-twilio-signature"], "FwSiBnuceDVgnRmPsL/fpUMLj3E=");
    drop(media);
    running.await.unwrap();
}

#[tokio::test]
async fn progress_is_told_as_it_happens() {
    let mut switch = Switch::with_stream("").await;
    let plan = quiet(&switch, 700);
    let told = tokio::spawn(async move {
        let (mut news, mut passing) = (0, 0);
        let record = place_call(plan, |progress| match progress.news {
            Some(_) => news += 1,
            None => passing += 1,
        });
        let record = record.await.unwrap();
        (news, passing, record.events.len())
    });
    switch.media().await.rest().await;
    let (news, passing, events) = told.await.unwrap();
    assert!(news == events && passing >= 2, "{news} of {events}, {passing}");
}
