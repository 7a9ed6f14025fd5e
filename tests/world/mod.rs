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
const AUTH_TOKEN: &str = "the-tests-sign-with-this";

/// Nothing that is waited for takes so long, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often those are asked that tell nothing by themselves.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// Panics of this process on whatever thread: the call tree survives those of its actors, and no test should.
static PANICS: AtomicUsize = AtomicUsize::new(0);

pub struct World {
    pub provider: Provider,
    pub app: App,
    ended: mpsc::UnboundedReceiver<Arc<CallReport>>,
    unclaimed: Vec<Arc<CallReport>>,
}

impl World {
    /// `settings` are variables of the switch's environment, over those that join it to the provider.
    pub async fn start(provider: ProviderOptions, settings: &[(&str, &str)]) -> Self {
        count_panics();
        let provider = Provider::start(provider).await.unwrap();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.address();
        let own = [
            ("TANDEM__SERVER__PUBLIC_URL", format!("http://{address}")),
            ("TANDEM__SERVER__WORKERS", "1".to_owned()),
            ("TANDEM__OPENAI__REALTIME_URL", provider.realtime_url()),
            ("OPENAI_API_KEY", "simulated".to_owned()),
            ("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned()),
        ];
        let mut environment = own.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Extend::extend(&mut environment, settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
        let (reports, ended) = mpsc::unbounded_channel();
        let app = App::start(&Config::load(&sources).unwrap(), listener, Some(reports)).unwrap();
        Self { provider, app, ended, unclaimed: Vec::new() }
    }

    /// A call to this switch, signed.
    pub fn plan(&self, caller: CallerAudio) -> CallPlan {
        let mut plan = CallPlan::new(format!("http://{}/twilio/voice", self.app.address), caller);
        plan.auth_token = Some(AUTH_TOKEN.to_owned());
        plan.say_per_character = Duration::ZERO;
        plan
    }

    /// The switch's last word on a call. It comes when the call's last socket is closed.
    pub async fn report(&mut self, call: &CallRecord) -> Arc<CallReport> {
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
    pub async fn is_left_within(&self, bound: Duration) {
        let since = Instant::now();
        loop {
            let left = (self.provider.open_sessions(), self.app.sockets.open(), self.app.calls_live().await);
            if left == (0, 0, 0) {
                return;
            }
            assert!(since.elapsed() < bound, "after {bound:?} (sessions, sockets, calls) open are {left:?}");
            sleep(ASK_EVERY).await;
        }
    }

    /// Takes the world down, in which nobody may be left and nothing may have panicked.
    pub async fn close(self) {
        self.is_left_within(PATIENCE).await;
        self.app.stop().await;
        self.provider.stop().await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something has panicked");
    }
}

/// Lives a call to its end.
pub async fn place(plan: CallPlan) -> CallRecord {
    timeout(PATIENCE, place_call(plan, |_| {})).await.expect("a call that ends").unwrap()
}

/// A caller who is silent for `silence_ms` and then asks whether he can still check in after midnight.
pub fn asking_after(silence_ms: usize) -> CallerAudio {
    silent_then(silence_ms, 2_340)
}

/// A caller who is silent and then says so many milliseconds of that question.
pub fn silent_then(silence_ms: usize, speech_ms: usize) -> CallerAudio {
    /// Where the demo's caller begins to speak: its first block of 10 ms above -46 dBFS.
    const QUESTION_MS: usize = 3_920;
    let demo = CallerAudio::demo();
    let question = &demo.samples()[QUESTION_MS * 8..(QUESTION_MS + speech_ms) * 8];
    std::iter::repeat_n(0, silence_ms * 8).chain(question.iter().copied()).collect()
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            show(panic);
        }));
    });
}
