//! Models that do as the test says, and tell what they were asked and what was abandoned.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::time::sleep;

use crate::engine::cascade::CascadeModels;
use crate::ports::{
    ChatModel, ChatPiece, ChatRequest, ChatStop, ChatUsage, ModelError, ModelId, Transcriber, Voice,
};
use crate::testing::scripted;

/// What a model does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Wait(u64),
    /// Words of the transcriber or of the chat model.
    Words(&'static str),
    /// So many milliseconds of the voice's audio.
    Audio(u64),
    Fail(ModelError),
    /// Nothing, for ever.
    Hang,
}

pub(crate) use Step::{Audio, Fail, Hang, Wait, Words};

/// What the voice makes of a character when nothing else is planned: 60 ms, at once.
pub(crate) const CHAR_MS: u64 = 60;

/// A crest of 0.3 of full scale, so that what is played is not silent.
const SAMPLE: i16 = 10_000;

/// The three models. Each plan is for one request; a request without a plan gets a sensible answer.
#[derive(Default)]
pub(crate) struct Desk {
    plans: Mutex<[VecDeque<Vec<Step>>; 3]>,
    /// Milliseconds of each utterance that came.
    pub(crate) utterances: Mutex<Vec<usize>>,
    pub(crate) questions: Mutex<Vec<ChatRequest>>,
    pub(crate) sentences: Mutex<Vec<String>>,
    /// Requests that are neither answered nor abandoned.
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Desk {
    pub(crate) fn models(self: &Arc<Self>) -> CascadeModels {
        CascadeModels {
            transcriber: Arc::clone(self) as Arc<dyn Transcriber>,
            chat: Arc::clone(self) as Arc<dyn ChatModel>,
            voice: Arc::clone(self) as Arc<dyn Voice>,
        }
    }

    pub(crate) fn transcribes(&self, plan: impl Into<Vec<Step>>) {
        self.plans.lock().unwrap()[0].push_back(plan.into());
    }

    pub(crate) fn answers(&self, plan: impl Into<Vec<Step>>) {
        self.plans.lock().unwrap()[1].push_back(plan.into());
    }

    pub(crate) fn speaks(&self, plan: impl Into<Vec<Step>>) {
        self.plans.lock().unwrap()[2].push_back(plan.into());
    }

    /// What the chat model was asked, the caller's and agent's turns as `C: ...` and `A: ...`.
    pub(crate) fn question(&self, n: usize) -> Vec<String> {
        let questions = self.questions.lock().unwrap();
        let line = |turn: &crate::ports::ChatTurn| format!("{:.1}: {}", format!("{:?}", turn.who), turn.text);
        questions[n].turns.iter().map(line).collect()
    }

    pub(crate) fn asked(&self) -> usize {
        self.questions.lock().unwrap().len()
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn plan(&self, model: usize) -> Option<Vec<Step>> {
        self.plans.lock().unwrap()[model].pop_front()
    }

    /// The steps of a plan, each when it is due; `None` of a failed or hanging one is never reached.
    fn run(&self, steps: Vec<Step>) -> LocalBoxStream<'static, Step> {
        self.open.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(&self.open));
        stream::unfold((steps.into_iter(), open), |(mut steps, open)| async {
            loop {
                match steps.next()? {
                    Wait(ms) => sleep(Duration::from_millis(ms)).await,
                    Hang => std::future::pending().await,
                    step => return Some((step, (steps, open))),
                }
            }
        })
        .boxed_local()
    }
}

impl Transcriber for Desk {
    fn model(&self) -> ModelId {
        scripted("ears")
    }

    fn transcribe(
        &self,
        samples: Vec<i16>,
        language: &str,
    ) -> LocalBoxFuture<'static, Result<String, ModelError>> {
        assert_eq!(language, "en");
        self.utterances.lock().unwrap().push(samples.len() / 16);
        let mut steps = self.run(self.plan(0).unwrap_or_else(|| vec![Words("Something.")]));
        async move {
            match steps.next().await {
                Some(Words(words)) => Ok(words.to_owned()),
                Some(Fail(error)) => Err(error),
                step => panic!("a transcriber cannot {step:?}"),
            }
        }
        .boxed_local()
    }
}

impl ChatModel for Desk {
    fn model(&self) -> ModelId {
        scripted("scripted")
    }

    fn answer(&self, request: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>> {
        self.questions.lock().unwrap().push(request);
        let steps = self.run(self.plan(1).unwrap_or_else(|| vec![Words("Very well.")]));
        let usage = Some(ChatUsage { input_tokens: 20, cached_input_tokens: 5, output_tokens: 7 });
        let done = ChatPiece::Done { stop: ChatStop::Complete, usage };
        let pieces = steps.map(|step| match step {
            Words(words) => Ok(ChatPiece::Text(words.to_owned())),
            Fail(error) => Err(error),
            step => panic!("a chat model cannot {step:?}"),
        });
        pieces.chain(stream::iter([Ok(done)])).boxed_local()
    }
}

impl Voice for Desk {
    fn model(&self) -> ModelId {
        scripted("voice")
    }

    fn speak(&self, text: &str) -> LocalBoxStream<'static, Result<Bytes, ModelError>> {
        self.sentences.lock().unwrap().push(text.to_owned());
        let default = || vec![Audio(text.chars().count() as u64 * CHAR_MS)];
        let steps = self.run(self.plan(2).unwrap_or_else(default));
        let pieces = steps.flat_map(|step| match step {
            // in pieces of 1,001 bytes: samples are torn
            Audio(ms) => {
                let bytes = SAMPLE.to_le_bytes().repeat(24 * usize::try_from(ms).unwrap());
                let pieces: Vec<_> =
                    bytes.chunks(1_001).map(|bytes| Ok(Bytes::copy_from_slice(bytes))).collect();
                stream::iter(pieces)
            }
            Fail(error) => stream::iter(vec![Err(error)]),
            step => panic!("a voice cannot {step:?}"),
        });
        pieces.boxed_local()
    }
}
