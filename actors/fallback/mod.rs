//! The fallback: which rung of its ladder a call goes to next, and which providers are not worth choosing.
//!
//! - Owner: the program; one per process.
//! - In: [`NextRung`] from calls whose engine is lost, [`EngineFared`] from every call, its own tick.
//! - Out: an answer to each question, [`BreakerChanged`] to the router, probes to providers.
//! - When full: it sees two messages per call and one per failure.
//! - When it dies: calls go by their ladder without knowing how others fare ([`ladder`] is pure); breakers begin closed.
//!
//! One provider stands behind each mode, so a breaker is named by the mode. It refuses to know sockets: a probe is
//! the [`Prober`]'s affair.

pub mod breaker;
pub mod ladder;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};
use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;

use crate::messages::FailureKind;
use crate::mode::Mode;
use crate::router::BreakerChanged;
use breaker::{Breaker, Change};
use ladder::{Ladder, Rung};

/// How often breakers are looked at: exact enough for waits of 5 s and more.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks a provider whether it works, at little or no cost.
pub trait Prober: Send + Sync {
    fn probe(&self, mode: Mode) -> LocalBoxFuture<'static, bool>;
}

/// Which rung is next for a call in which these modes have failed?
#[derive(Clone, Debug, Message)]
#[rtype(result = "Rung")]
pub struct NextRung {
    pub ladder: Ladder,
    pub failed: Vec<Mode>,
}

/// An engine got to work, or failed.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct EngineFared {
    pub mode: Mode,
    pub failure_opt: Option<FailureKind>,
}

/// Modes whose breaker is open now.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<Mode>")]
pub struct OpenBreakers;

pub struct Fallback {
    breakers: BTreeMap<Mode, Breaker>,
    prober: Arc<dyn Prober>,
    router_opt: Option<Recipient<BreakerChanged>>,
}

impl Fallback {
    pub fn new(prober: Arc<dyn Prober>, router_opt: Option<Recipient<BreakerChanged>>) -> Self {
        Self { breakers: BTreeMap::new(), prober, router_opt }
    }

    fn open(&self) -> Vec<Mode> {
        self.breakers.iter().filter(|(_, breaker)| breaker.is_open()).map(|(mode, _)| *mode).collect()
    }

    fn changed(&self, mode: Mode, change: Option<Change>) {
        let Some(change) = change else { return };
        match change {
            Change::Opened => tracing::error!(%mode, "provider fails for many calls; its breaker is open"),
            Change::Closed => tracing::warn!(%mode, "provider works again; its breaker is closed"),
        }
        if let Some(router) = &self.router_opt {
            router.do_send(BreakerChanged { mode, open: change == Change::Opened }); // a few an hour
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let due =
            self.breakers.iter_mut().filter_map(|(mode, breaker)| breaker.probe_is_due(now).then_some(*mode));
        for mode in due.collect::<Vec<_>>() {
            let probed = self.prober.probe(mode).into_actor(self);
            ctx.spawn(probed.map(move |worked, fallback, _| fallback.probed(mode, worked)));
        }
    }

    fn probed(&mut self, mode: Mode, worked: bool) {
        tracing::info!(%mode, worked, "provider probed");
        let change = self.breakers.entry(mode).or_default().probed(worked, Instant::now());
        self.changed(mode, change);
    }
}

impl Actor for Fallback {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}

impl Handler<NextRung> for Fallback {
    type Result = actix::MessageResult<NextRung>;

    fn handle(&mut self, NextRung { ladder, failed }: NextRung, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(ladder.next(&failed, &self.open()))
    }
}

impl Handler<EngineFared> for Fallback {
    type Result = ();

    fn handle(&mut self, EngineFared { mode, failure_opt }: EngineFared, _: &mut Self::Context) {
        let change = self.breakers.entry(mode).or_default().note(failure_opt.is_none(), Instant::now());
        self.changed(mode, change);
    }
}

impl Handler<OpenBreakers> for Fallback {
    type Result = Vec<Mode>;

    fn handle(&mut self, _: OpenBreakers, _: &mut Self::Context) -> Vec<Mode> {
        self.open()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use futures_util::FutureExt;
    use tokio::sync::mpsc;

    use super::*;

    #[derive(Default)]
    struct Probes {
        works: AtomicBool,
        made: AtomicU32,
    }

    impl Prober for Probes {
        fn probe(&self, _: Mode) -> LocalBoxFuture<'static, bool> {
            self.made.fetch_add(1, Ordering::Relaxed);
            std::future::ready(self.works.load(Ordering::Relaxed)).boxed_local()
        }
    }

    struct Ear(mpsc::UnboundedSender<BreakerChanged>);

    impl Actor for Ear {
        type Context = Context<Self>;
    }

    impl Handler<BreakerChanged> for Ear {
        type Result = ();

        fn handle(&mut self, changed: BreakerChanged, _: &mut Self::Context) {
            self.0.send(changed).expect("the test listens");
        }
    }

    #[actix_rt::test]
    async fn a_failing_provider_is_not_chosen_until_a_probe_succeeds() {
        tokio::time::pause();
        let probes = Arc::new(Probes::default());
        let (told, mut heard) = mpsc::unbounded_channel();
        let router = Ear(told).start().recipient();
        let fallback = Fallback::new(Arc::clone(&probes) as Arc<dyn Prober>, Some(router)).start();
        for _ in 0..10 {
            let failure_opt = Some(FailureKind::SocketLost);
            fallback.do_send(EngineFared { mode: Mode::Realtime, failure_opt });
        }
        assert_eq!(heard.recv().await, Some(BreakerChanged { mode: Mode::Realtime, open: true }));
        assert_eq!(fallback.send(OpenBreakers).await, Ok(vec![Mode::Realtime]));
        let ladder = Ladder::new(Mode::Cascade, &Ladder::usual_order(false), &Mode::ALL);
        let question = NextRung { ladder, failed: vec![Mode::Cascade, Mode::Hybrid] };
        assert_eq!(fallback.send(question).await, Ok(Rung::Mode(Mode::Traditional)));

        tokio::time::sleep(Duration::from_secs(20)).await;
        let made = probes.made.load(Ordering::Relaxed);
        assert!((1..=3).contains(&made), "{made} probes in 20 s");
        probes.works.store(true, Ordering::Relaxed);
        assert_eq!(heard.recv().await, Some(BreakerChanged { mode: Mode::Realtime, open: false }));
        assert_eq!(fallback.send(OpenBreakers).await, Ok(vec![]));
    }
}
