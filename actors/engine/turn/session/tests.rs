use super::*;
use crate::ledger::Ledger;
use crate::ports::ChatUsage;
use crate::testing::test_agent;
use crate::usage::{Amount, Work};
use tandem_media::playout::{Heard, Part};

fn session() -> Session {
    Session::new(Arc::new(test_agent()), 60)
}

/// A session whose caller has asked something, and what its model was asked.
fn asked() -> (Session, ChatRequest) {
    let mut ledger = Ledger::default();
    ledger.said(Speaker::Caller, "u1", "When is breakfast?", 0);
    let mut session = session();
    let request = session.begin("a1".to_owned(), &ledger, Why::CallerSpoke);
    (session, request)
}

fn write(session: &mut Session, text: &str, facts: &mut Vec<EngineFact>) -> Next {
    session.take(Some(Ok(ChatPiece::Text(text.to_owned()))), facts)
}

fn end(session: &mut Session, stop: ChatStop, facts: &mut Vec<EngineFact>) -> Next {
    session.take(Some(Ok(ChatPiece::Done { stop, usage: None })), facts)
}

fn said(words: &str) -> EngineFact {
    EngineFact::Said { who: Speaker::Agent, item: "a1".to_owned(), text: words.to_owned() }
}

#[test]
fn the_model_is_told_who_it_is_and_what_was_heard() {
    let mut ledger = Ledger::default();
    ledger.agent_began("a0", Part(1), 0);
    ledger.said(Speaker::Agent, "a0", "Good evening. How may I help?", 0);
    ledger.agent_ended(Part(1), 4_000);
    ledger.cut(Part(1)..=Part(1), Some(Heard { part: Part(1), samples: 16_000 }));
    ledger.caller_began("u0", 1); // whose transcript never came
    ledger.said(Speaker::Caller, "u1", "When is breakfast?", 2);
    ledger.agent_text("a1", "Never said.", 3);
    let request = session().begin("a2".to_owned(), &ledger, Why::CallerSpoke);
    let turn = |who, text: &str| ChatTurn { who, text: text.to_owned() };
    assert_eq!(request.instructions, test_agent().instructions);
    let turns = [turn(Speaker::Agent, "Good evening."), turn(Speaker::Caller, "When is breakfast?")];
    assert_eq!(request.turns, turns);
}

#[test]
fn a_model_that_takes_over_in_mid_sentence_is_told_to_go_on() {
    let request = session().begin("a1".to_owned(), &Ledger::default(), Why::GoOn);
    assert!(request.instructions.starts_with("You are the night desk.\n\n"));
    assert!(request.instructions.contains("Go on exactly where"), "{}", request.instructions);
}

#[test]
fn an_answer_in_pieces_is_said_in_one() {
    let (mut session, _) = asked();
    let mut facts = Vec::new();
    for piece in ["", "From **sev", "en** to", " ten."] {
        assert_eq!(write(&mut session, piece, &mut facts), Next::Read);
    }
    let usage = ChatUsage { input_tokens: 20, cached_input_tokens: 5, output_tokens: 7 };
    let done = ChatPiece::Done { stop: ChatStop::Complete, usage: Some(usage) };
    assert_eq!(session.take(Some(Ok(done)), &mut facts), Next::Drop);
    let EngineFact::Used(Used { work: Work::Answering, amount: Amount::Tokens(used) }) = facts.remove(1)
    else {
        panic!("{facts:?}")
    };
    assert_eq!((used.total_tokens, used.input_token_details.cached_tokens), (27, 5));
    assert_eq!(facts, [EngineFact::ResponseBegan, said("From seven to ten.")]);
}

#[test]
fn a_model_that_does_not_stop_is_stopped_at_a_sentence() {
    let (mut session, _) = asked();
    let mut facts = Vec::new();
    let sentences = std::iter::repeat_n("Breakfast is from seven. ", 10_000);
    let read = sentences.take_while(|piece| write(&mut session, piece, &mut facts) == Next::Read).count();
    assert!(read <= 4, "after 60 characters it is enough: {read}");
    assert_eq!(facts, [EngineFact::ResponseBegan, said("Breakfast is from seven. Breakfast is from seven.")]);
}

#[test]
fn a_model_that_writes_noise_without_end_is_stopped_too() {
    let (mut session, _) = asked();
    let mut facts = Vec::new();
    let read = std::iter::repeat_n("***", 10_000)
        .take_while(|piece| write(&mut session, piece, &mut facts) == Next::Read);
    assert!(read.count() <= 60 * NOISE_FACTOR / 3);
}

#[test]
fn an_answer_that_met_a_limit_ends_with_its_last_whole_sentence() {
    for stop in [ChatStop::Length, ChatStop::Filtered] {
        let (mut session, _) = asked();
        let mut facts = Vec::new();
        write(&mut session, "From seven to ten. On Sund", &mut facts);
        assert_eq!(end(&mut session, stop, &mut facts), Next::Drop);
        assert_eq!(facts.last(), Some(&said("From seven to ten.")));
    }
}

#[test]
fn a_model_that_answers_with_nothing_is_asked_again_once() {
    let (mut session, request) = asked();
    let mut facts = Vec::new();
    write(&mut session, " 🎉 \n", &mut facts);
    assert_eq!(end(&mut session, ChatStop::Complete, &mut facts), Next::Ask(request));
    facts.clear();
    assert_eq!(end(&mut session, ChatStop::Complete, &mut facts), Next::Drop);
    let detail = "model answers with nothing".to_owned();
    let failure = EngineFailure { kind: FailureKind::Provider, retry: true, detail };
    assert_eq!(facts, [EngineFact::Failed(failure)]);
}

#[test]
fn an_error_in_mid_stream_fails_and_says_none_of_it() {
    for (error, kind, retry) in [
        (ModelError::Unreachable("refused".to_owned()), FailureKind::Dial, true),
        (ModelError::Unauthorized(401), FailureKind::Unauthorized, false),
        (ModelError::RateLimited, FailureKind::RateLimited, false),
        (ModelError::Broken("reset".to_owned()), FailureKind::SocketLost, true),
        (ModelError::Status { status: 500, detail: "x".to_owned() }, FailureKind::Provider, true),
        (ModelError::Reported { code: "x".to_owned(), message: "y".to_owned() }, FailureKind::Provider, true),
    ] {
        let (mut session, _) = asked();
        let mut facts = Vec::new();
        write(&mut session, "From seven", &mut facts);
        assert_eq!(session.take(Some(Err(error.clone())), &mut facts), Next::Drop);
        let failure = EngineFailure { kind, retry, detail: error.to_string() };
        assert_eq!(facts, [EngineFact::ResponseBegan, EngineFact::Failed(failure)]);
        assert_eq!(write(&mut session, "too late", &mut facts), Next::Drop);
        assert_eq!(facts.len(), 2);
    }
}

#[test]
fn a_stream_that_just_ends_has_failed() {
    let (mut session, _) = asked();
    let mut facts = Vec::new();
    assert_eq!(session.take(None, &mut facts), Next::Drop);
    assert!(matches!(&facts[..], [EngineFact::Failed(failure)] if failure.retry), "{facts:?}");
}
