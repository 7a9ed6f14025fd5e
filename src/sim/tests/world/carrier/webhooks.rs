//! What becomes of a request that does not go well.

use super::*;

const HANGUP: &str = "<Response><Hangup/></Response>";

fn tokens(switch: &Switch, path: &str) -> Vec<String> {
    let hooks = switch.hooks_of(path);
    hooks.iter().map(|hook| hook.headers["i-twilio-idempotency-token"].clone()).collect()
}

#[tokio::test]
async fn the_fallback_is_told_what_went_wrong_and_goes_on_with_the_call() {
    for (voice, code) in [
        (Answer::of(503, "text/xml", ""), "11200"),
        (Answer::of(200, "text/xml", "<Response><Say>"), "12100"),
        (Answer::twiml("<Response><Play>/missing.wav</Play></Response>"), "11200"),
        (Answer::twiml("<Response><Redirect>/missing</Redirect></Response>"), "11200"),
    ] {
        let switch = Switch::start([("/voice", voice), ("/fallback", Answer::twiml(HANGUP))]).await;
        let plan = CallPlan { fallback_url: Some(switch.url("/fallback")), ..patient(&switch) };
        let record = call(plan).await.unwrap();
        let asked = &switch.hooks_of("/fallback")[0];
        assert_eq!(asked.field("ErrorCode"), Some(code));
        assert!(asked.field("ErrorUrl").unwrap().starts_with("http%3A%2F%2F127.0.0.1"), "{asked:?}");
        assert_eq!(asked.field("CallSid"), Some(record.call_sid.as_str()));
        assert_eq!(record.end, CallEnd::HungUp);
        assert!(at(&record, |event| matches!(event, CarrierEvent::FellBack { .. })).is_some());
    }
}

#[tokio::test]
async fn a_fallback_that_fails_too_is_the_end() {
    let switch = Switch::with_documents(&[]).await;
    let plan = CallPlan { fallback_url: Some(switch.url("/fallback")), ..patient(&switch) };
    let record = call(plan).await.unwrap();
    let (code, text) = end_of(&record);
    assert!(code == Some(11_200) && text.contains("/fallback"), "{text}");
    assert_eq!(switch.hooks().len(), 2);
}

#[tokio::test]
async fn an_answer_has_its_time_and_no_more() {
    let answers = [
        ("/voice", Answer::twiml("<Response><Redirect>/slow#tt=300</Redirect></Response>")),
        ("/slow", Answer::silence()),
    ];
    let switch = Switch::start(answers).await;
    let record = call(patient(&switch)).await.unwrap();
    let (code, text) = end_of(&record);
    assert!(code == Some(11_200) && text.contains("no answer within 0.3 s"), "{text}");
    assert_eq!(switch.hooks_of("/slow").len(), 1, "slowness is not retried");
    let slow = &record.webhooks[1];
    assert!(slow.status.is_none() && slow.took >= Duration::from_millis(300), "{slow:?}");
    assert_eq!((record.webhooks[0].status, record.webhooks[0].url.clone()), (Some(200), switch.voice_url()));
}

#[tokio::test]
async fn a_caller_does_not_wait_for_a_slow_switch_longer_than_he_wants() {
    let answers = [
        ("/voice", Answer::twiml("<Response><Say>Hi.</Say><Redirect>/slow</Redirect></Response>")),
        ("/slow", Answer::silence()),
    ];
    let switch = Switch::start(answers).await;
    let plan = CallPlan { hang_up: HangUp::At(Duration::from_millis(800)), ..patient(&switch) };
    let record = call(plan).await.unwrap();
    assert_eq!(record.end, CallEnd::CallerHungUp);
    assert!(record.duration < Duration::from_secs(10));
}

#[tokio::test]
async fn a_bad_answer_is_repeated_only_where_the_url_says_so_and_with_the_same_token() {
    let unwell = || Answer::of(500, "text/plain", "unwell");
    let first =
        |url: &str| Answer::twiml(&format!("<Response><Redirect><![CDATA[{url}]]></Redirect></Response>"));
    for (url, asked, end) in
        [("/x", 1, Some(11_200)), ("/x#rc=2&rp=5xx", 3, None), ("/x#rc=1&rp=5xx", 2, Some(11_200))]
    {
        let switch = Switch::start([
            ("/voice", first(url)),
            ("/x", unwell()),
            ("/x", unwell()),
            ("/x", Answer::twiml(HANGUP)),
        ])
        .await;
        let record = call(patient(&switch)).await.unwrap();
        assert_eq!(end_of(&record).0, end, "{url}");
        let tokens = tokens(&switch, "/x");
        assert_eq!(tokens.len(), asked, "{url}");
        assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[tokio::test]
async fn redirects_are_followed_and_signed_for_where_they_lead() {
    for (status, method, has_fields) in [(302, "GET", false), (307, "POST", true), (308, "POST", true)] {
        let answers = [("/voice", Answer::redirect(status, "/moved?x=1")), ("/moved", Answer::twiml(HANGUP))];
        let switch = Switch::start(answers).await;
        let plan = CallPlan { auth_token: Some("secret".to_owned()), ..patient(&switch) };
        let record = call(plan).await.unwrap();
        assert_eq!(record.end, CallEnd::HungUp, "{status}");
        let [from, to] = ["/voice", "/moved"].map(|path| switch.hooks_of(path)[0].clone());
        assert_eq!((to.method.as_str(), to.field("CallSid").is_some()), (method, has_fields), "{status}");
        assert_eq!(to.path, "/moved?x=1");
        assert_ne!(from.headers["x-twilio-signature"], to.headers["x-twilio-signature"]);
    }
}

#[tokio::test]
async fn cookies_come_back() {
    let voice = Answer::twiml("<Response><Redirect>/next</Redirect></Response>");
    let switch = Switch::start([
        ("/voice", voice.with("set-cookie: node=7; Path=/")),
        ("/next", Answer::twiml(HANGUP)),
    ])
    .await;
    call(patient(&switch)).await.unwrap();
    assert_eq!(switch.hooks_of("/voice")[0].headers.get("cookie"), None);
    assert_eq!(switch.hooks_of("/next")[0].headers["cookie"], "node=7");
}

#[tokio::test]
async fn a_webhook_can_come_twice_at_once_later_or_because_its_answer_was_lost() {
    let documents = [("/voice", "<Response><Redirect>/next</Redirect></Response>"), ("/next", HANGUP)];
    for (fault, voice, next) in
        [("duplicate-webhook", 2, 1), ("lost-answer", 2, 1), ("repeat-webhook:0.3", 2, 2)]
    {
        let switch = Switch::with_documents(&documents).await;
        let record = call(with_faults(patient(&switch), &[fault])).await.unwrap();
        assert_eq!(record.end, CallEnd::HungUp, "{fault}");
        for (path, times) in [("/voice", voice), ("/next", next)] {
            let tokens = tokens(&switch, path);
            assert_eq!(tokens.len(), times, "{fault}: {path}");
            assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]), "{fault}: {path}");
        }
        let repeated: Vec<Duration> = record
            .events
            .iter()
            .filter(|(_, event)| matches!(event, CarrierEvent::WebhookRepeated { status: 200, .. }))
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(repeated.len(), if fault.starts_with("repeat") { 2 } else { 0 });
        assert!(repeated.iter().all(|at| *at >= Duration::from_millis(300)));
    }
}
