//! Probes: asks a provider whose breaker is open whether it works again, at little or no cost.
//!
//! It refuses to know what a breaker is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tandem_actors::fallback::Prober;
use tandem_actors::mode::Mode;
use tandem_actors::ports::{ChatModel, ChatRequest, EngineDialer, Outgoing, SocketItem};
use tandem_wire::openai::server::ServerEvent;

/// A provider that has not answered by then does not work.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// The shortest answer that every chat model can give.
const PROBE_TOKENS: u32 = 16;

pub(super) struct Probes {
    pub(super) dialer: Arc<dyn EngineDialer>,
    pub(super) model: String,
    pub(super) chat: Arc<dyn ChatModel>,
}

impl Prober for Probes {
    fn probe(&self, mode: Mode) -> LocalBoxFuture<'static, bool> {
        let works = match mode {
            Mode::Realtime | Mode::Hybrid => self.session_opens(),
            // Of the three models of a cascade the one that thinks is the one that all of it waits for.
            Mode::Traditional | Mode::Cascade => self.model_answers(),
        };
        async move { tokio::time::timeout(PROBE_MAX, works).await.unwrap_or(false) }.boxed_local()
    }
}

impl Probes {
    /// Opens a session and closes it again: nothing is said in it, so nothing is paid.
    fn session_opens(&self) -> LocalBoxFuture<'static, bool> {
        let dialling = self.dialer.dial_realtime(&self.model);
        async move {
            let Ok(mut socket) = dialling.await else { return false };
            let first = socket.reader.next().await;
            let opens = matches!(
                first,
                Some(SocketItem::Text(text)) if matches!(ServerEvent::parse(&text), Ok(ServerEvent::SessionCreated(_)))
            );
            socket.sink.send(Outgoing::Close { code: 1000, reason: "probed" }).await.ok(); // it may be gone already
            opens
        }
        .boxed_local()
    }

    fn model_answers(&self) -> LocalBoxFuture<'static, bool> {
        let request = ChatRequest {
            instructions: "Answer with one word: ready.".to_owned(),
            turns: Vec::new(),
            output_tokens_max: Some(PROBE_TOKENS),
        };
        let mut answer = self.chat.answer(request);
        async move { matches!(answer.next().await, Some(Ok(_))) }.boxed_local()
    }
}
