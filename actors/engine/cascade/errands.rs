//! Errands: what models were asked and have not done yet, as one stream of what comes back.
//!
//! It refuses to know what the answers mean. It keeps the time: what does not come in time comes back as
//! [`Trouble::Late`]. Dropping an errand abandons its request at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::session::Trouble;
use crate::ports::{ChatPiece, ModelError};

/// An utterance is written down within this, or the caller waits for too long (DESIGN section 6: 4 s of silence are a
/// stall). The same goes for the model's first words, and each of the next.
pub(super) const WRITING_MAX: Duration = Duration::from_secs(4);
pub(super) const THOUGHT_MAX: Duration = Duration::from_secs(4);

/// The first audio of a sentence comes within this, and each of the next, once its turn has come: a voice may make one
/// sentence after the other.
pub(super) const SPEECH_MAX: Duration = Duration::from_secs(3);

/// Audio taken in of a sentence whose turn has not come: 1 s of PCM16 at 24 kHz, so that it begins at once and the rest
/// is on its way by then. Beyond, its stream is left to wait.
const AHEAD_BYTES_MAX: usize = 48_000;

/// What comes back.
#[derive(Debug)]
pub(super) enum Return {
    Written(Result<String, Trouble>),
    Thought(Result<ChatPiece, Trouble>),
    /// Audio of the sentence whose turn it is.
    Spoke(Result<Bytes, Trouble>),
    /// That sentence is complete; the next one's turn comes.
    SentenceEnded,
    /// It is the time that was asked for.
    Woke,
}

/// The asking end, kept by the actor.
pub(super) struct Errands {
    shared: Rc<RefCell<Shared>>,
}

/// The returning end, for `add_stream`. Never ends by itself.
pub(super) struct Returns {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Default)]
struct Shared {
    writing: Option<LocalBoxFuture<'static, Result<String, Trouble>>>,
    thought: Option<LocalBoxStream<'static, Result<ChatPiece, Trouble>>>,
    /// Sentences in their order.
    speech: VecDeque<Speech>,
    alarm: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
}

/// A sentence at the voice.
struct Speech {
    audio: Option<LocalBoxStream<'static, Result<Bytes, ModelError>>>,
    ahead: VecDeque<Result<Bytes, Trouble>>,
    bytes_ahead: usize,
    /// Runs when its turn has come.
    patience: Option<Pin<Box<Sleep>>>,
}

pub(super) fn errands() -> (Errands, Returns) {
    let shared = Rc::new(RefCell::new(Shared::default()));
    (Errands { shared: Rc::clone(&shared) }, Returns { shared })
}

impl Errands {
    pub(super) fn write_down(&self, words: impl Future<Output = Result<String, ModelError>> + 'static) {
        let in_time = timeout(WRITING_MAX, words).map(|words| match words {
            Ok(words) => words.map_err(Trouble::Model),
            Err(_) => Err(Trouble::Late),
        });
        self.send_out(|shared| shared.writing = Some(in_time.boxed_local()));
    }

    pub(super) fn think(&self, pieces: LocalBoxStream<'static, Result<ChatPiece, ModelError>>) {
        self.send_out(|shared| shared.thought = Some(in_time(pieces)));
    }

    pub(super) fn stop_thinking(&self) {
        self.shared.borrow_mut().thought = None;
    }

    /// Has a sentence spoken behind the others.
    pub(super) fn speak(&self, audio: LocalBoxStream<'static, Result<Bytes, ModelError>>) {
        self.send_out(|shared| shared.speech.push_back(Speech::new(audio)));
    }

    /// The same before the others, where one has failed.
    pub(super) fn speak_first(&self, audio: LocalBoxStream<'static, Result<Bytes, ModelError>>) {
        self.send_out(|shared| shared.speech.push_front(Speech::new(audio)));
    }

    pub(super) fn wake_at(&self, at: Instant) {
        self.send_out(|shared| match &mut shared.alarm {
            Some(alarm) => alarm.as_mut().reset(at),
            None => shared.alarm = Some(Box::pin(sleep_until(at))),
        });
    }

    /// Abandons the answer: what is thought and spoken of it.
    pub(super) fn hush(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.thought = None;
        shared.speech = VecDeque::new();
        shared.alarm = None;
    }

    /// Abandons everything.
    pub(super) fn abandon(&self) {
        self.hush();
        self.shared.borrow_mut().writing = None;
    }

    fn send_out(&self, errand: impl FnOnce(&mut Shared)) {
        let mut shared = self.shared.borrow_mut();
        errand(&mut shared);
        if let Some(waker) = &shared.waker {
            waker.wake_by_ref();
        }
    }
}

/// Thoughts, each within its time. The first failure is the last piece.
fn in_time(
    pieces: LocalBoxStream<'static, Result<ChatPiece, ModelError>>,
) -> LocalBoxStream<'static, Result<ChatPiece, Trouble>> {
    stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        match timeout(THOUGHT_MAX, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(Trouble::Model(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(Trouble::Late), None)),
        }
    })
    .boxed_local()
}

impl Stream for Returns {
    type Item = Return;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Return>> {
        let mut shared = self.shared.borrow_mut();
        if !shared.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            shared.waker = Some(cx.waker().clone());
        }
        let returned = shared
            .poll_writing(cx)
            .or_else(|| shared.poll_speech(cx))
            .or_else(|| shared.poll_thought(cx))
            .or_else(|| shared.poll_alarm(cx));
        returned.map_or(Poll::Pending, |returned| Poll::Ready(Some(returned)))
    }
}

impl Shared {
    fn poll_writing(&mut self, cx: &mut Context<'_>) -> Option<Return> {
        let Poll::Ready(words) = self.writing.as_mut()?.as_mut().poll(cx) else { return None };
        self.writing = None;
        Some(Return::Written(words))
    }

    fn poll_thought(&mut self, cx: &mut Context<'_>) -> Option<Return> {
        let Poll::Ready(piece) = self.thought.as_mut()?.as_mut().poll_next(cx) else { return None };
        let piece = piece
            .unwrap_or_else(|| Err(Trouble::Model(ModelError::Broken("ended without saying so".to_owned()))));
        if !matches!(piece, Ok(ChatPiece::Text(_))) {
            self.thought = None;
        }
        Some(Return::Thought(piece))
    }

    /// What the first sentence has; the others fill what they may take in ahead.
    fn poll_speech(&mut self, cx: &mut Context<'_>) -> Option<Return> {
        for (place, speech) in self.speech.iter_mut().enumerate() {
            speech.fill(place == 0, cx);
        }
        let first = self.speech.front_mut()?;
        match first.ahead.pop_front() {
            Some(Ok(bytes)) => {
                first.bytes_ahead -= bytes.len();
                Some(Return::Spoke(Ok(bytes)))
            }
            Some(Err(trouble)) => {
                self.speech.pop_front();
                Some(Return::Spoke(Err(trouble)))
            }
            None if first.audio.is_none() => {
                self.speech.pop_front();
                Some(Return::SentenceEnded)
            }
            None => None,
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Option<Return> {
        let Poll::Ready(()) = self.alarm.as_mut()?.as_mut().poll(cx) else { return None };
        self.alarm = None;
        Some(Return::Woke)
    }
}

impl Speech {
    fn new(audio: LocalBoxStream<'static, Result<Bytes, ModelError>>) -> Self {
        Self { audio: Some(audio), ahead: VecDeque::new(), bytes_ahead: 0, patience: None }
    }

    /// Takes in what has come, as far as it may wait here.
    fn fill(&mut self, is_its_turn: bool, cx: &mut Context<'_>) {
        while self.bytes_ahead < AHEAD_BYTES_MAX
            && let Some(audio) = &mut self.audio
        {
            match audio.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.patience = None;
                    self.bytes_ahead += bytes.len();
                    self.ahead.extend((!bytes.is_empty()).then_some(Ok(bytes)));
                }
                Poll::Ready(Some(Err(error))) => self.fail(Trouble::Model(error)),
                Poll::Ready(None) => self.audio = None,
                Poll::Pending if is_its_turn => {
                    let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(SPEECH_MAX)));
                    if patience.as_mut().poll(cx).is_pending() {
                        return;
                    }
                    self.fail(Trouble::Late);
                }
                Poll::Pending => return,
            }
        }
    }

    fn fail(&mut self, trouble: Trouble) {
        self.audio = None;
        self.ahead.push_back(Err(trouble));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice that makes this many pieces of this many bytes.
    fn pieces(count: usize, bytes: usize) -> LocalBoxStream<'static, Result<Bytes, ModelError>> {
        stream::iter((0..count).map(move |_| Ok(Bytes::from(vec![7; bytes])))).boxed_local()
    }

    /// All that has come back until now: bytes of audio, ends as 0.
    fn back(returns: &mut Returns) -> Vec<usize> {
        std::iter::from_fn(|| returns.next().now_or_never().flatten())
            .map(|returned| match returned {
                Return::Spoke(Ok(bytes)) => bytes.len(),
                Return::SentenceEnded => 0,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[actix_rt::test]
    async fn sentences_come_back_in_their_order_whichever_is_made_first() {
        let (errands, mut returns) = errands();
        let (first, made) = tokio::sync::oneshot::channel();
        errands.speak(stream::once(async { Ok(made.await.expect("it is made")) }).boxed_local());
        errands.speak(pieces(2, 20));
        assert!(back(&mut returns).is_empty());
        first.send(Bytes::from_static(&[7; 10])).expect("it is waited for");
        assert_eq!(back(&mut returns), [10, 0, 20, 20, 0]);
    }

    #[actix_rt::test]
    async fn of_a_sentence_whose_turn_has_not_come_a_second_is_taken_in() {
        let (errands, mut returns) = errands();
        errands.speak(stream::pending().boxed_local());
        let taken = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&taken);
        errands.speak(pieces(100, 1_000).inspect(move |_| *counted.borrow_mut() += 1).boxed_local());
        assert!(back(&mut returns).is_empty());
        assert_eq!(*taken.borrow(), 48);
        errands.shared.borrow_mut().speech.pop_front();
        assert_eq!(back(&mut returns).len(), 101, "and nothing of the rest is lost");
    }

    #[actix_rt::test]
    async fn a_sentence_is_late_only_when_its_turn_has_come() {
        tokio::time::pause();
        let (errands, mut returns) = errands();
        let slow =
            stream::iter(0..5).then(|_| sleep(2 * SPEECH_MAX / 3).map(|()| Ok(Bytes::from_static(&[7; 10]))));
        errands.speak(slow.boxed_local());
        errands.speak(stream::pending().boxed_local());
        let asked = Instant::now();
        for _ in 0..5 {
            assert!(matches!(returns.next().await, Some(Return::Spoke(Ok(_)))));
        }
        assert!(matches!(returns.next().await, Some(Return::SentenceEnded)));
        assert_eq!(asked.elapsed().as_secs(), 10);
        assert!(matches!(returns.next().await, Some(Return::Spoke(Err(Trouble::Late)))));
        assert_eq!(asked.elapsed().as_secs(), 10 + SPEECH_MAX.as_secs());
    }

    #[actix_rt::test]
    async fn a_piece_that_is_late_is_the_last() {
        tokio::time::pause();
        let (errands, mut returns) = errands();
        errands.think(stream::pending().boxed_local());
        let asked = Instant::now();
        assert!(matches!(returns.next().await, Some(Return::Thought(Err(Trouble::Late)))));
        assert_eq!(asked.elapsed().as_secs(), THOUGHT_MAX.as_secs());
        assert!(returns.next().now_or_never().is_none());
    }

    #[actix_rt::test]
    async fn a_model_that_ends_without_saying_so_has_broken_off() {
        let (errands, mut returns) = errands();
        errands.think(stream::empty().boxed_local());
        let Some(Return::Thought(Err(Trouble::Model(error)))) = returns.next().await else {
            panic!("no error")
        };
        assert_eq!(error.to_string(), "answer broke off: ended without saying so");
    }

    #[actix_rt::test]
    async fn an_alarm_that_is_set_anew_rings_once_and_then() {
        tokio::time::pause();
        let (errands, mut returns) = errands();
        let start = Instant::now();
        errands.wake_at(start + Duration::from_secs(1));
        errands.wake_at(start + Duration::from_secs(2));
        assert!(matches!(returns.next().await, Some(Return::Woke)));
        assert_eq!(start.elapsed().as_secs(), 2);
        assert!(returns.next().now_or_never().is_none());
    }
}
