//! Keys and speech, gathered.

use super::*;

/// A gather, and where it leads: `/next` is asked with what it got, `Nothing.` is said if that is nothing.
fn gather(attributes: &str, prompts: &str) -> Vec<(&'static str, Answer)> {
    let document = format!(
        "<Response><Gather action='/next' {attributes}>{prompts}</Gather><Say>Nothing.</Say></Response>"
    );
    vec![("/voice", Answer::twiml(&document)), ("/next", Answer::twiml("<Response><Hangup/></Response>"))]
}

async fn gathered(
    attributes: &str,
    prompts: &str,
    plan: impl FnOnce(CallPlan) -> CallPlan,
) -> (CallRecord, Switch) {
    let switch = Switch::start(gather(attributes, prompts)).await;
    let record = call(plan(patient(&switch))).await.unwrap();
    (record, switch)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn script(plan: CallPlan, utterances: &[&str]) -> CallPlan {
    let utterances = utterances.iter().map(|&words| words.to_owned()).collect();
    CallPlan { utterances, reaction: ms(100), ..plan }
}

fn keys(plan: CallPlan, keys: &[(u64, char)]) -> CallPlan {
    CallPlan { digits: keys.iter().map(|(at, key)| (ms(*at), *key)).collect(), ..plan }
}

fn input(record: &CallRecord) -> GatherInput {
    record.gathers[0].input.clone().unwrap()
}

fn speech_of(input: &GatherInput) -> &str {
    match input {
        GatherInput::Speech { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

fn field<'h>(switch: &'h [crate::switch::Hook], name: &str) -> Option<&'h str> {
    switch[0].field(name)
}

#[tokio::test]
async fn a_scripted_answer_comes_after_the_prompt_and_is_posted() {
    let attributes = "input='speech' speechTimeout='auto' language='en-GB'";
    let (record, switch) =
        gathered(attributes, "<Say>Well?</Say>", |plan| script(plan, &["A room, please."])).await;
    let posted = switch.hooks_of("/next");
    assert_eq!(field(&posted, "SpeechResult"), Some("A+room%2C+please."));
    assert_eq!(field(&posted, "Confidence"), Some("0.92"));
    assert_eq!(field(&posted, "Language"), Some("en-GB"));
    assert_eq!(field(&posted, "CallStatus"), Some("in-progress"));
    assert_eq!(field(&posted, "CallSid"), Some(record.call_sid.as_str()));
    assert_eq!(posted[0].field("Digits"), None);
    let token = |hook: &crate::switch::Hook| hook.headers["i-twilio-idempotency-token"].clone();
    assert_ne!(token(&posted[0]), token(&switch.hooks_of("/voice")[0]));
    let told = &record.gathers[0];
    assert!(!told.was_interrupted);
    assert!(told.ended_at >= told.listened_at.unwrap() + ms(100 + 500), "reaction and pause at least");
    let said = record.said.iter().position(|&sample| sample != 0).expect("his words are heard");
    let prompt_over = record.heard.iter().rposition(|&sample| sample != 0).unwrap();
    assert!(said >= prompt_over, "after the prompt");
    assert_eq!(record.end, CallEnd::HungUp);
}

#[tokio::test]
async fn a_script_is_said_line_by_line_and_an_empty_line_is_a_silence() {
    let ask = "<Response><Gather input='speech' timeout='1' speechTimeout='auto' action='/ask'><Say>So?</Say></Gather>
               <Redirect>/ask</Redirect></Response>";
    let last =
        "<Response><Gather input='speech' timeout='1' actionOnEmptyResult='true' action='/end'/></Response>";
    let switch = Switch::start([
        ("/voice", Answer::twiml(ask)),
        ("/ask", Answer::twiml(ask)),
        ("/ask", Answer::twiml(ask)),
        ("/ask", Answer::twiml(last)),
        ("/end", Answer::twiml("<Response/>")),
    ])
    .await;
    let record = call(script(patient(&switch), &["One.", "", "Two."])).await.unwrap();
    let inputs: Vec<Option<GatherInput>> = record.gathers.iter().map(|told| told.input.clone()).collect();
    let words = |input: &Option<GatherInput>| match input {
        Some(GatherInput::Speech { text, .. }) => text.clone(),
        Some(GatherInput::Nothing) => "-".to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(inputs.iter().map(words).collect::<Vec<_>>(), ["One.", "-", "Two.", "-"]);
    assert_eq!(switch.hooks_of("/end").len(), 1, "an empty result is posted if that is wanted");
    assert_eq!(record.end, CallEnd::DocumentEnded);
}

#[tokio::test]
async fn an_impatient_caller_cuts_the_prompt_off_where_he_may() {
    let prompt = format!("<Say>{}</Say><Say>More.</Say>", speech::sentence("old-town").unwrap().text);
    let impatient = |plan| CallPlan { interrupts_after: Some(ms(300)), ..script(plan, &["Stop, please."]) };
    let (record, _) = gathered("input='speech' speechTimeout='auto'", &prompt, impatient).await;
    assert!(record.gathers[0].was_interrupted);
    assert_eq!(speech_of(&input(&record)), "Stop, please.");
    assert_eq!(
        verbs(&record).iter().filter(|(name, _)| *name == "Say").count(),
        1,
        "the second is not begun"
    );
    let heard = &record.documents[0].heard[0];
    let until = record.gathers[0].at + ms(400);
    assert_eq!(
        heard.at + heard.length,
        until,
        "300 until he speaks, 100 until that is believed to be speech"
    );

    let prompt = "<Say>Please listen to me.</Say>";
    let attributes = "input='speech' speechTimeout='auto' bargeIn='false'";
    let (record, _) = gathered(attributes, prompt, impatient).await;
    assert!(!record.gathers[0].was_interrupted);
    assert_eq!(speech_of(&input(&record)), "Stop, please.");
    let (said, heard) = (&record.said, &record.heard);
    assert!(said.iter().zip(heard).all(|(&said, &heard)| said == 0 || heard == 0), "one after the other");
}

#[tokio::test]
async fn a_key_cuts_the_prompt_off_and_its_digits_are_posted_without_the_last() {
    let prompt = format!("<Say>{}</Say>", speech::sentence("old-town").unwrap().text);
    let pressed = [(400, '4'), (600, '2'), (800, '#'), (1_000, '9')];
    let (record, switch) = gathered("", &prompt, |plan| keys(plan, &pressed)).await;
    assert!(record.gathers[0].was_interrupted);
    assert_eq!(input(&record), GatherInput::Digits("42".to_owned()));
    let posted = switch.hooks_of("/next");
    assert_eq!((field(&posted, "Digits"), field(&posted, "SpeechResult")), (Some("42"), None));
    assert!(record.duration < Duration::from_secs(5));
}

#[tokio::test]
async fn digits_are_complete_with_their_number_with_another_key_or_with_time() {
    let pressed = [(100, '1'), (200, '#'), (300, '*'), (400, '3')];
    for (attributes, expected) in [
        ("numDigits='1'", "1"),
        ("finishOnKey='*'", "1#"),
        ("finishOnKey='' numDigits='4'", "1#*3"),
        ("finishOnKey='' timeout='1'", "1#*3"),
        ("input='dtmf speech' numDigits='1'", "1"),
    ] {
        let (record, _) = gathered(attributes, "", |plan| keys(plan, &pressed)).await;
        assert_eq!(input(&record), GatherInput::Digits(expected.to_owned()), "{attributes}");
    }
}

#[tokio::test]
async fn the_kind_that_comes_first_wins() {
    let both = "input='dtmf speech' speechTimeout='1' numDigits='1'";
    let (record, _) = gathered(both, "", |plan| keys(script(plan, &["By voice."]), &[(250, '1')])).await;
    assert_eq!(speech_of(&input(&record)), "By voice.");
    let late = |plan| CallPlan { reaction: ms(1_000), ..keys(script(plan, &["By voice."]), &[(100, '1')]) };
    let (record, _) = gathered(both, "", late).await;
    assert_eq!(input(&record), GatherInput::Digits("1".to_owned()));
    assert!(record.said.iter().all(|&sample| sample == 0), "he did not get to speak");
    let (record, _) = gathered("input='speech' timeout='1'", "", |plan| keys(plan, &[(100, '1')])).await;
    assert_eq!(input(&record), GatherInput::Nothing);
}

#[tokio::test]
async fn nothing_falls_through_to_the_next_verb() {
    let (record, switch) = gathered("input='speech dtmf' timeout='1'", "<Say>Hm?</Say>", |plan| plan).await;
    assert_eq!(input(&record), GatherInput::Nothing);
    assert_eq!(verbs(&record).last(), Some(&("Say", "Nothing.")));
    assert_eq!(switch.hooks_of("/next").len(), 0);
    let told = &record.gathers[0];
    assert_eq!(told.ended_at, told.listened_at.unwrap() + Duration::from_secs(1));
}

#[tokio::test]
async fn without_an_action_the_document_itself_is_asked_by_the_wanted_method() {
    let again = "<Response><Gather input='speech' speechTimeout='auto' method='GET'/></Response>";
    let switch =
        Switch::start([("/voice", Answer::twiml(again)), ("/voice", Answer::twiml("<Response/>"))]).await;
    call(script(patient(&switch), &["Me."])).await.unwrap();
    let second = &switch.hooks()[1];
    assert!(second.method == "GET" && second.path.starts_with("/voice?"), "{second:?}");
    assert!(second.path.contains("&SpeechResult=Me."), "{second:?}");
}

#[tokio::test]
async fn what_a_recording_says_is_found_and_recognised() {
    let question = 3_800 * 8..6_800 * 8;
    let attributes = "input='speech' speechTimeout='auto' timeout='10'";
    let asks = |plan| {
        let caller = CallerAudio::demo().samples()[question.clone()].iter().copied().collect();
        CallPlan { caller, ..plan }
    };
    let (record, _) = gathered(attributes, "", asks).await;
    assert_eq!(speech_of(&input(&record)), "Hello. Can I still check in after midnight?");

    let hums = |plan| CallPlan { caller: noise(&[1_000, 1_000]), ..plan };
    let (record, _) = gathered(attributes, "", hums).await;
    let GatherInput::Speech { text, confidence } = input(&record) else { panic!("{record:?}") };
    assert_eq!((text.as_str(), confidence.as_str()), ("(speech, 1.0 s)", "0.31"));
}

#[tokio::test]
async fn a_recording_does_not_wait_for_anybody_to_listen() {
    let document = "<Response><Say>Please listen to me first.</Say>
                    <Gather input='speech' timeout='1' speechTimeout='auto' bargeIn='false' action='/next'/></Response>";
    let switch = Switch::with_documents(&[("/voice", document)]).await;
    let caller = noise(&[0, 500]);
    let record = call(CallPlan { caller: caller.clone(), ..patient(&switch) }).await.unwrap();
    assert_eq!(input(&record), GatherInput::Nothing, "half a second, spoken into the prompt");
    assert_eq!(record.said[..4_000], *caller.samples());
}

#[tokio::test]
async fn a_recording_interrupts_a_prompt_that_lets_it() {
    let prompt = format!("<Say>{}</Say>", speech::sentence("old-town").unwrap().text);
    let attributes = "input='speech' speechTimeout='auto'";
    let speaks = |plan| CallPlan { caller: noise(&[500, 1_000]), ..plan };
    let (record, _) = gathered(attributes, &prompt, speaks).await;
    assert!(record.gathers[0].was_interrupted);
    assert_eq!(speech_of(&input(&record)), "(speech, 1.0 s)");
    let heard = record.heard.iter().rposition(|&sample| sample != 0).unwrap();
    assert!((4_000..4_000 + 8 * 160).contains(&heard), "heard until {heard}, he spoke from 4000 on");
}

#[tokio::test]
async fn endless_speech_is_cut_off_with_the_words_so_far() {
    let words =
        "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.";
    let attributes = "input='speech' maxSpeechTime='1'";
    let (record, _) = gathered(attributes, "", |plan| script(plan, &[words])).await;
    let gathered = input(&record);
    let text = speech_of(&gathered);
    assert!(words.starts_with(text) && text.len() < words.len() && text.starts_with("One"), "{text}");
    let spoken = record.said.iter().filter(|&&sample| sample != 0).count();
    assert!(spoken < 9_000, "he breaks off after about a second: {spoken} samples");
}

#[tokio::test]
async fn prompts_of_every_kind_are_played_in_order() {
    let tone = Answer::of(200, "audio/ulaw", [0x80; 480]);
    let mut answers =
        gather("timeout='0'", "<Play loop='2'>/tone</Play><Pause length='1'/><Say loop='2'>And?</Say>");
    answers.push(("/tone", tone));
    let switch = Switch::start(answers).await;
    let record = call(patient(&switch)).await.unwrap();
    let heard: Vec<&Sound> = record.documents[0].heard.iter().map(|heard| &heard.what).collect();
    let [play, say] = [Sound::Play { url: switch.url("/tone") }, Sound::Say { text: "And?".to_owned() }];
    let last = Sound::Say { text: "Nothing.".to_owned() };
    assert_eq!(heard, [&play, &play, &say, &say, &last]);
    assert!(position(&record, &[0x80; 960]).is_some());
    assert_eq!(record.silences(ms(900)).len(), 1);
}

#[tokio::test]
async fn a_prompt_that_cannot_be_fetched_is_an_application_error() {
    let (record, _) = gathered("", "<Play>/missing</Play>", |plan| plan).await;
    assert_eq!(end_of(&record).0, Some(11_200));
    assert_eq!(record.gathers[0].input, None);
}

#[tokio::test]
async fn a_caller_hangs_up_in_mid_gather_and_after_his_last_line() {
    let at = |plan| CallPlan { hang_up: HangUp::At(ms(400)), ..plan };
    let (record, _) = gathered("timeout='60'", "", at).await;
    assert_eq!((record.end.clone(), record.gathers[0].input.clone()), (CallEnd::CallerHungUp, None));

    let ask =
        "<Response><Gather input='speech' timeout='60' speechTimeout='auto' action='/voice'/></Response>";
    let switch = Switch::with_documents(&[("/voice", ask)]).await;
    let plan = CallPlan { hang_up: HangUp::AfterAudio { linger: ms(900) }, ..patient(&switch) };
    let record = call(script(plan, &["First.", "Last."])).await.unwrap();
    assert_eq!(record.end, CallEnd::CallerHungUp);
    let inputs: Vec<_> = record.gathers.iter().map(|told| told.input.is_some()).collect();
    assert_eq!(inputs, [true, true, false]);
}

#[tokio::test]
async fn the_callers_clock_runs_on_from_stream_to_gather() {
    let mut switch = Switch::with_documents(&[
        ("/voice", "<Response><Say>Hi.</Say><Connect action='/rung'><Stream url='{sockets}/media'/></Connect></Response>"),
        ("/rung", "<Response><Gather input='speech' speechTimeout='auto' timeout='10' action='/back'/></Response>"),
        ("/back", "<Response><Connect><Stream url='{sockets}/media'/></Connect></Response>"),
    ])
    .await;
    // In the first stream he begins to speak, the gather hears it to the end. Then every tick has a level of
    // its own, by which the second stream shows where on his clock it is.
    let told_apart = (0..1_000_i16).flat_map(|tick| [1_000 + tick * 30; 160]);
    let caller: CallerAudio =
        noise(&[1_000, 2_000, 700]).samples().iter().copied().chain(told_apart).collect();
    let plan = CallPlan { caller: caller.clone(), hang_up: HangUp::At(ms(7_000)), ..patient(&switch) };
    let running = call(plan);
    let mut first = switch.media().await;
    first.start().await;
    while payload(&first.until("media").await)[0] == g711::ulaw_encode(0) {}
    first.close().await;
    let mut second = switch.media().await;
    second.start().await;
    let frames: Vec<Value> =
        second.rest().await.into_iter().filter(|event| event["event"] == "media").collect();
    let record = running.await.unwrap();

    assert!(speech_of(&input(&record)).starts_with("(speech, "), "{:?}", record.gathers);
    let said: Vec<u8> = caller.samples().iter().map(|&sample| g711::ulaw_encode(sample)).collect();
    let last: Vec<u8> = frames[frames.len() - 20..].iter().flat_map(payload).collect();
    let tick = said.windows(last.len()).position(|window| window == last).expect("what he says") / 160;
    let began = tick + 20 - frames.len();
    let gathered_at = record.on_callers_clock(record.gathers[0].ended_at).unwrap();
    assert!(ms(20) * u32::try_from(began + 1).unwrap() >= gathered_at, "tick {began}, {gathered_at:?}");
    assert_eq!(tick + 20, 350, "up to the moment he hangs up");
    assert_eq!((record.stream_sids.len(), record.end.clone()), (2, CallEnd::CallerHungUp));
    assert!(record.stream_started.unwrap() > record.clock_started.unwrap());
    assert_eq!(record.heard.len(), record.said.len());
    let heard = record.documents.iter().flat_map(|document| &document.heard);
    let heard: Vec<&Sound> = heard.map(|heard| &heard.what).collect();
    assert!(
        matches!(heard[..], [Sound::Say { .. }, Sound::Stream { .. }, Sound::Stream { .. }]),
        "{heard:?}"
    );
}
