//! A world of its own for a test: a simulated provider, the whole switch and callers, joined by real sockets on free
//! ports of loopback.
//!
//! It refuses to know what a test promises, and to believe the switch: whether sockets and sessions are left open is
//! asked of the provider and of the sockets themselves.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use tandem::app::App;
use tandem::config::{Config, Sources};
use tandem::http::Listener;
use tandem_actors::call::CallReport;
use tandem_sim::carrier::{CallPlan, CallRecord, CallerAudio, place_call};
use tandem_sim::provider::{Provider, ProviderOptions};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// The account's token: webhooks and upgrades are signed and checked as in earnest.
pub(crate) const AUTH_TOKEN: &str = "the-tests-sign-with-this";

/// Nothing that is waited for takes so long, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How often those are asked that tell nothing by themselves.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(5);

/// Panics on threads of switches: the call tree survives those of its actors, so nothing else would tell.
static PANICS: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) app: App,
    ended: mpsc::UnboundedReceiver<Arc<CallReport>>,
    unclaimed: Vec<Arc<CallReport>>,
}

impl World {
    /// `settings` are variables of the switch's environment, over those that join it to the provider.
    pub(crate) async fn start(provider: ProviderOptions, settings: &[(&str, &str)]) -> Self {
        count_panics();
        let provider = Provider::start(provider).await.unwrap();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.address();
        let own = [
            ("TANDEM__SERVER__PUBLIC_URL", format!("http://{address}")),
            ("TANDEM__SERVER__WORKERS", "1".to_owned()),
            ("TANDEM__OPENAI__REALTIME_URL", provider.realtime_url()),
            ("TANDEM__OPENAI__BASE_URL", provider.http_base()),
            ("OPENAI_API_KEY", "simulated".to_owned()),
            ("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned()),
            ("DATABASE_URL", "sqlite::memory:".to_owned()),
            ("REALTIME_API_PROBABILITY", "1.0".to_owned()),
            // What is asked of models is counted, and a memory is made at an hour of its own.
            ("TANDEM__MEMORY__ENABLED", "false".to_owned()),
        ];
        let settings = settings.iter().map(|&(name, value)| (name, value.to_owned()));
        let environment =
            own.into_iter().chain(settings).map(|(name, value)| (name.to_owned(), value)).collect();
        let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
        let (reports, ended) = mpsc::unbounded_channel();
        let app = App::start(&Config::load(&sources).unwrap(), listener, Some(reports)).await.unwrap();
        Self { provider, app, ended, unclaimed: Vec::new() }
    }

    /// Where the switch answers this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.address)
    }

    /// A signed call to this switch, by a caller who is silent for so long and then says so much of a question. What
    /// the carrier reads aloud takes no time; it tells when the call is over.
    pub(crate) fn plan(&self, silence_ms: usize, speech_ms: usize) -> CallPlan {
        CallPlan {
            status_url: Some(self.url("/twilio/status")),
            auth_token: Some(AUTH_TOKEN.to_owned()),
            say_per_character: Duration::ZERO,
            ..CallPlan::new(self.url("/twilio/voice"), silent_then(silence_ms, speech_ms))
        }
    }

    /// The switch's last word on a call. It comes when the call's last socket is closed.
    pub(crate) async fn report(&mut self, call: &CallRecord) -> Arc<CallReport> {
        loop {
            let is_its = |report: &Arc<CallReport>| report.call_sid.as_ref() == Some(&call.call_sid);
            if let Some(at) = self.unclaimed.iter().position(is_its) {
                return self.unclaimed.swap_remove(at);
            }
            let report = timeout(PATIENCE, self.ended.recv()).await;
            self.unclaimed.push(report.expect("a report of every call").expect("a switchboard"));
        }
    }

    /// Returns when no session is open at the provider, no socket at the switch and no call is live.
    pub(crate) async fn is_left_within(&self, bound: Duration) {
        let since = Instant::now();
        loop {
            let left = (self.provider.open_sessions(), self.app.sockets_open(), self.app.calls_live().await);
            if left == (0, 0, 0) {
                return;
            }
            assert!(since.elapsed() < bound, "after {bound:?} (sessions, sockets, calls) open are {left:?}");
            sleep(ASK_EVERY).await;
        }
    }

    /// Takes the world down, in which nobody may be left and nothing may have panicked.
    pub(crate) async fn close(self) {
        self.is_left_within(PATIENCE).await;
        self.app.stop().await;
        self.provider.stop().await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a switch has panicked");
    }
}

/// Lives a call to its end, on a task of its own: calls in one task would wait for each other.
pub(crate) async fn place(plan: CallPlan) -> CallRecord {
    let living = actix_rt::spawn(place_call(plan, |_| {}));
    timeout(PATIENCE, living).await.expect("a call that ends").unwrap().unwrap()
}

/// Where the demo's caller begins to ask whether he can still check in after midnight, and how long he takes.
const QUESTION_AT_MS: usize = 3_920;
pub(crate) const QUESTION_MS: usize = 2_340;

fn silent_then(silence_ms: usize, speech_ms: usize) -> CallerAudio {
    let demo = CallerAudio::demo();
    let speech = &demo.samples()[QUESTION_AT_MS * 8..(QUESTION_AT_MS + speech_ms.min(QUESTION_MS)) * 8];
    std::iter::repeat_n(0, silence_ms * 8).chain(speech.iter().copied()).collect()
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("actix-")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            show(panic);
        }));
    });
}
