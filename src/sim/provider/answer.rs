//! An answer over HTTP as a plan: which bytes leave when, and how it ends. Faults bend the plan; then it is
//! played.
//!
//! Knows no endpoint; an endpoint says what form its answer has, and thereby how an error is told within it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
    vec,
};

use bytes::Bytes;
use hyper::{
    StatusCode,
    body::{Body, Frame, SizeHint},
};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    fault::AnswerFault,
    record::{RequestEnd, RequestRecord, Shared},
    rejection::Rejection,
};

/// What the bytes of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
    /// Events with nothing but data.
    Events,
    /// Events with names and numbers, as the Responses API has them.
    NumberedEvents,
    /// With its content type.
    Audio(&'static str),
}

impl Form {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Events | Self::NumberedEvents => "text/event-stream; charset=utf-8",
            Self::Audio(content_type) => content_type,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Complete,
    /// The last piece is followed by nothing, for ever.
    Stalls,
    /// The connection is closed.
    Breaks,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) form: Form,
    /// From the request to the head.
    pub(super) after: Duration,
    /// Each with when it leaves, counted from the head.
    pub(super) pieces: Vec<(Duration, Bytes)>,
    ending: Ending,
}

/// JSON leaves in pieces of so many bytes, so that it can break off within.
const JSON_PIECE_BYTES: usize = 64;

/// What a proxy says in place of the server behind it.
const WEB_PAGE: &str =
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body></body></html>\n\n";

impl Answer {
    pub(super) fn new(form: Form, after: Duration, pieces: Vec<(Duration, Bytes)>) -> Self {
        Self { status: StatusCode::OK, form, after, pieces, ending: Ending::Complete }
    }

    pub(super) fn json(after: Duration, body: &Value) -> Self {
        let text = Bytes::from(body.to_string());
        let piece = |from| text.slice(from..text.len().min(from + JSON_PIECE_BYTES));
        let pieces = (0..text.len()).step_by(JSON_PIECE_BYTES).map(|from| (Duration::ZERO, piece(from)));
        Self::new(Form::Json, after, pieces.collect())
    }

    pub(super) fn refused(status: StatusCode, body: &Value) -> Self {
        Self { status, ..Self::json(Duration::ZERO, body) }
    }

    /// Lets a fault happen to it, if the fault is one that happens to answers.
    pub(super) fn bend(&mut self, fault: &AnswerFault) {
        match fault {
            AnswerFault::Delay(delay) => self.after += *delay,
            AnswerFault::Stall(percent) => {
                self.cut(*percent);
                self.ending = Ending::Stalls;
            }
            AnswerFault::Break(percent) => {
                self.cut(*percent);
                self.ending = Ending::Breaks;
            }
            AnswerFault::Garbage(percent) => self.go_on(*percent, WEB_PAGE.to_owned()),
            AnswerFault::Error(percent) => self.fail(*percent),
            AnswerFault::Refuse | AnswerFault::Http(_) | AnswerFault::Empty | AnswerFault::Words(_) => {}
        }
    }

    fn cut(&mut self, percent: u8) {
        self.pieces.truncate(self.pieces.len() * usize::from(percent) / 100);
    }

    /// What was left after a cut, then this.
    fn go_on(&mut self, percent: u8, text: String) {
        self.cut(percent);
        let at = self.pieces.last().map_or(Duration::ZERO, |(at, _)| *at);
        self.pieces.push((at, text.into()));
    }

    fn fail(&mut self, percent: u8) {
        let rejection = Rejection::scripted(500);
        match self.form {
            Form::Json => self.go_on(0, rejection.to_json().to_string()),
            Form::Events => self.go_on(percent, format!("data: {}\n\n", rejection.to_json())),
            Form::NumberedEvents => {
                self.cut(percent);
                let error = json!({
                    "type": "error",
                    "code": rejection.code,
                    "message": rejection.message,
                    "param": null,
                    "sequence_number": self.pieces.len(),
                });
                self.go_on(100, format!("event: error\ndata: {error}\n\n"));
            }
            Form::Text | Form::Audio(_) => {
                self.cut(percent);
                self.ending = Ending::Breaks;
            }
        }
    }

    /// The pieces, from now on. What becomes of them is written to the record.
    pub(super) fn play(self, now: Instant, witness: Witness) -> Playback {
        let is_known = matches!(self.form, Form::Json | Form::Text) && self.ending == Ending::Complete;
        let length = self.pieces.iter().map(|(_, piece)| piece.len() as u64).sum();
        Playback {
            length: is_known.then_some(length),
            pieces: self.pieces.into_iter(),
            began: now,
            next: None,
            sleep: Box::pin(sleep_until(now)),
            ending: self.ending,
            is_flushed: false,
            witness,
        }
    }
}

// -------------------------------------------------------------------------------------------------- playback

/// Sees to it that a record says how its request ended, whatever happens to the connection.
#[derive(Debug)]
pub(super) struct Witness(Option<Shared<RequestRecord>>);

impl Witness {
    pub(super) fn of(record: Shared<RequestRecord>) -> Self {
        Self(Some(record))
    }

    /// Of an answer that is recorded elsewhere, or nowhere.
    pub(super) fn nobody() -> Self {
        Self(None)
    }

    pub(super) fn note(&self, write: impl FnOnce(&mut RequestRecord)) {
        if let Some(record) = &self.0 {
            record.with(write);
        }
    }

    /// The first end counts.
    pub(super) fn ended(&self, end: RequestEnd) {
        self.note(|record| _ = record.end.get_or_insert((end, Instant::now())));
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ended(RequestEnd::Abandoned);
    }
}

/// The connection is to be closed without another byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection is closed as ordered")]
pub(super) struct Closed;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Playback {
    /// Of the whole, where a server would know it before it begins.
    length: Option<u64>,
    pieces: vec::IntoIter<(Duration, Bytes)>,
    began: Instant,
    next: Option<Bytes>,
    sleep: Pin<Box<Sleep>>,
    ending: Ending,
    /// Whether a body that is about to break has let its last piece go out.
    is_flushed: bool,
    witness: Witness,
}

impl Playback {
    /// The body of an upgrade.
    pub(super) fn empty(now: Instant) -> Self {
        Answer::new(Form::Text, Duration::ZERO, Vec::new()).play(now, Witness::nobody())
    }
}

impl Body for Playback {
    type Data = Bytes;
    type Error = Closed;

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        if self.next.is_none()
            && let Some((at, piece)) = self.pieces.next()
        {
            self.next = Some(piece);
            let at = self.began + at;
            self.sleep.as_mut().reset(at);
        }
        if self.next.is_some() {
            if self.sleep.deadline() > Instant::now() {
                ready!(self.sleep.as_mut().poll(context)); // timers are rounded up; what is due waits for none
            }
            self.witness.note(|record| _ = record.first_byte_at.get_or_insert_with(Instant::now));
            if self.pieces.len() == 0 && self.ending == Ending::Complete {
                self.witness.ended(RequestEnd::Complete); // nobody asks on when the length was told
            }
            return Poll::Ready(self.next.take().map(|piece| Ok(Frame::data(piece))));
        }
        match self.ending {
            Ending::Complete => {
                self.witness.ended(RequestEnd::Complete);
                Poll::Ready(None)
            }
            Ending::Stalls => {
                self.witness.ended(RequestEnd::ByUs);
                Poll::Pending // for ever: only the client ends this
            }
            Ending::Breaks if !self.is_flushed => {
                self.is_flushed = true; // what waits is written while the body has nothing more
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::Breaks => {
                self.witness.ended(RequestEnd::ByUs);
                Poll::Ready(Some(Err(Closed)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(form: Form) -> Answer {
        let pieces = (1..=10).map(|n| (Duration::from_millis(n), Bytes::from(format!("{n},")))).collect();
        Answer::new(form, Duration::ZERO, pieces)
    }

    fn bent(form: Form, spec: &str) -> (String, Ending) {
        let mut answer = answer(form);
        answer.bend(&spec.parse().unwrap());
        let bytes: Vec<u8> = answer.pieces.iter().flat_map(|(_, piece)| piece.to_vec()).collect();
        (String::from_utf8(bytes).unwrap(), answer.ending)
    }

    #[test]
    fn an_answer_goes_wrong_at_the_ordered_place() {
        assert_eq!(bent(Form::Text, "stall"), ("1,2,3,4,5,".to_owned(), Ending::Stalls));
        assert_eq!(bent(Form::Text, "stall:0"), (String::new(), Ending::Stalls));
        assert_eq!(bent(Form::Text, "break:90"), ("1,2,3,4,5,6,7,8,9,".to_owned(), Ending::Breaks));
        let (text, ending) = bent(Form::Events, "garbage:20");
        assert!(text.starts_with("1,2,<!DOCTYPE html>") && ending == Ending::Complete, "{text}");
    }

    #[test]
    fn an_error_within_has_the_shape_of_the_answer_it_is_in() {
        let (text, ending) = bent(Form::Events, "error:10");
        assert!(text.starts_with("1,data: {\"error\":{") && text.ends_with("}}\n\n"), "{text}");
        assert_eq!(ending, Ending::Complete);
        let (text, _) = bent(Form::NumberedEvents, "error:30");
        assert!(text.starts_with("1,2,3,event: error\ndata: {"), "{text}");
        assert!(text.contains(r#""sequence_number":3"#) && text.contains(r#""type":"error""#), "{text}");
        let (text, _) = bent(Form::Json, "error");
        assert!(text.starts_with("{\"error\":{"), "{text}");
        assert_eq!(bent(Form::Audio("audio/pcm"), "error:10"), ("1,".to_owned(), Ending::Breaks));
    }

    #[test]
    fn json_leaves_in_pieces_that_make_it_whole() {
        let body = json!({"text": "x".repeat(1_000)});
        let answer = Answer::json(Duration::ZERO, &body);
        assert!(answer.pieces.len() > 10);
        let bytes: Vec<u8> = answer.pieces.iter().flat_map(|(_, piece)| piece.to_vec()).collect();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), body);
    }
}
