//! The composition root: the only place that knows every concrete type. It wires them together, and takes the house down
//! in order.
//!
//! `app/house.rs` answers at the HTTP desk; `app/agents.rs` reads configuration for the call tree; `app/logbook.rs` opens
//! the journal and closes it; `app/briefings.rs` tells agents who calls; `app/purses.rs` opens what calls are paid from;
//! `app/aftermath.rs` is what is done about a call that has ended, and `app/remembering.rs` has its caller remembered;
//! `app/probes.rs` and `app/facts.rs` tell fallback and router how providers and calls fared; `app/sums.rs` sums up days,
//! `app/housekeeping.rs` deletes what is old, and `app/rates.rs` estimates what a minute costs.

mod aftermath;
mod agents;
mod briefings;
mod facts;
mod house;
mod housekeeping;
mod logbook;
mod probes;
mod purses;
mod rates;
mod remembering;
mod sums;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use actix_server::ServerHandle;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use tandem_actors::budgets::Budgets;
use tandem_actors::call::CallReport;
use tandem_actors::call::turns::Narrator;
use tandem_actors::fallback::Fallback;
use tandem_actors::ports::{ChatModel, Clock, Ids, PriceLists as _};
use tandem_actors::router::{
    BookError, Known, Router, RouterSetup, Routing, RoutingBook, Standing as RoutingStands,
};
use tandem_actors::switchboard::{Census, Drain, Switchboard};
use tandem_actors::usage::Recording;
use tokio::sync::mpsc;

use self::aftermath::Aftermath;
use self::agents::Lines;
pub use self::agents::LinesError;
use self::briefings::{Briefings, BriefingsSetup};
use self::house::House;
use self::logbook::Logbook;
use self::probes::Probes;
use self::purses::Purses;
use self::rates::Rates;
use self::remembering::{Remembering, Scribe};
pub(crate) use self::sums::Sums;
use crate::clips::ClipShelf;
use crate::clock::{SystemClock, SystemIds};
use crate::config::Config;
use crate::dial::public_roots;
use crate::http::{
    self, AdminRule, Analyst, BindError, Gate, Listener, Operation, Serving, Signatures, WhoAnswers, Workers,
};
use crate::instructions::TemplateError;
use crate::journal::Journal;
use crate::metrics::usage::CountedUsage;
use crate::metrics::{self, Metrics, standing};
use crate::prices::{self, PricesError, PricesInUse};
use crate::socket::SocketGauge;
use crate::spool::SpoolError;
use crate::store::{Store, StoreError};
use crate::tickets::Tickets;

/// Live calls get so long to end politely when the process is told to stop. With what follows, 2 s of questions, 5 s of
/// answers and memories and 5 s of the database, it is 30 s.
const DRAIN_MAX: Duration = Duration::from_secs(18);

/// When a stream ends the carrier asks at once what is next; it is still answered for so long after the last call.
const RESUME_WAIT: Duration = Duration::from_secs(2);

/// Sockets on their way to becoming calls, beyond those that are calls.
const SOCKETS_OPENING_MAX: usize = 256;

/// Why the switch did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Lines(#[from] LinesError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Prices(#[from] PricesError),
    #[error("bad value of `agent.instructions`, {0}")]
    Instructions(#[from] TemplateError),
    #[error("what the database has of the routing cannot be used: {0}")]
    Routing(String),
    #[error("cannot start the server: {0}")]
    Server(#[from] io::Error),
}

/// A running switch.
pub struct App {
    pub address: SocketAddr,
    carrier_sockets: SocketGauge,
    provider_sockets: SocketGauge,
    switchboard: Addr<Switchboard>,
    logbook: Logbook,
    remembering_opt: Option<Arc<Remembering>>,
    store: Store,
    server: ServerHandle,
}

impl App {
    /// Starts the switch on a bound listener, on this thread's actix system. `reports_opt` gets what is known of every
    /// call that ends.
    pub async fn start(
        config: &Config,
        listener: Listener,
        reports_opt: Option<mpsc::UnboundedSender<Arc<CallReport>>>,
    ) -> Result<Self, StartError> {
        let (carrier_sockets, provider_sockets) = (SocketGauge::default(), SocketGauge::default());
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let calls_max = config.limits.calls_max as usize;
        let prices = prices(config, &clock)?;
        let store =
            Store::open(config.database.url.expose_secret(), Arc::clone(&clock), Arc::clone(&ids)).await?;
        let logbook = Logbook::open(config, &store, &clock, &ids).await?;
        let metrics = watched(&logbook, &prices);
        let analyst = Arc::new(analyst(config, &prices, &store, &clock, &ids));
        let briefings = Arc::new(briefings(config, &logbook, &clock)?);
        let agent = briefings.agent();
        let lines = Lines::new(config, &public_roots(), provider_sockets.clone())?;
        let router = router(config, &agent.name, &store, &clock).await?.start();
        let probes = Probes {
            dialer: Arc::clone(&lines.dialer),
            model: agent.model.clone(),
            chat: Arc::clone(&lines.chat),
        };
        let fallback = Fallback::new(Arc::new(probes), Some(router.clone().recipient())).start();
        let (ended_tx, ended) = mpsc::unbounded_channel(); // one report per call, which are bounded
        let journal = logbook.journal();
        let switchboard = Switchboard::new(calls_max, Some(ended_tx)).start();
        let clips = Arc::<ClipShelf>::default();
        let narrator = |voice| Arc::new(clips.narrator(voice)) as Arc<dyn Narrator>;
        let workers = Arc::<Workers>::default();
        let recording = Recording {
            prices: Arc::<PricesInUse>::clone(&prices),
            spool: Arc::new(CountedUsage::new(Arc::<Journal>::clone(&journal), Arc::clone(&metrics))),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        };
        let remembering_opt = remembering(config, &logbook, lines.scribe_opt, &recording);
        let aftermath = Aftermath {
            router: router.clone(),
            journal: Arc::clone(&journal),
            agent: agent.name.clone(),
            briefings: Arc::clone(&briefings),
            remembering_opt: remembering_opt.clone(),
            reports_opt,
        };
        actix_rt::spawn(aftermath.follow(ended));
        let house = Arc::new(House {
            switchboard: switchboard.clone(),
            router: router.clone(),
            fallback,
            store: journal,
            engines: Arc::new(lines.engines),
            chat: lines.chat,
            narrator_opt: lines.voice_opt.map(narrator),
            briefings,
            manner: Arc::new(agents::manner(config)),
            modes: config.modes(),
            ladder: config.agent.ladder.clone(),
            goes_back_up: config.agent.go_back_up,
            limits: agents::limits(&config.limits),
            recording,
            purses: purses(config, &store, &logbook, &clock),
            metrics: Arc::clone(&metrics),
            tickets: Tickets::new(&ticket_secret(&config.twilio.auth_token)),
            tickets_required: config.twilio.validate_signatures,
            workers: Arc::clone(&workers),
            clock: Arc::clone(&clock),
            ids,
        });
        let figures = Figures { analyst, prices, metrics: Arc::clone(&metrics) };
        let operation = operation(config, router, &store, &logbook, figures, &clock);
        let address = listener.address();
        let server = http::serve(
            listener,
            Serving {
                desk: Arc::<House>::clone(&house),
                turns: house,
                clips,
                operation,
                gate: Arc::new(gate(config)),
                sockets: carrier_sockets.clone(),
                sockets_max: calls_max + SOCKETS_OPENING_MAX,
                threads: usize::from(config.server.workers),
                workers,
            },
        )?;
        keep(config, &store);
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self {
            address,
            carrier_sockets,
            provider_sockets,
            switchboard,
            logbook,
            remembering_opt,
            store,
            server: handle,
        })
    }

    /// Carrier and provider sockets that are open now.
    pub fn sockets_open(&self) -> usize {
        self.carrier_sockets.open() + self.provider_sockets.open()
    }

    /// Calls that are live now.
    pub async fn calls_live(&self) -> usize {
        self.switchboard.send(Census).await.map_or(0, |census| census.live)
    }

    /// Takes the house down: no more calls, those that live are said goodbye to, the carrier is told what became of
    /// them, then the server stops, and the database is left in order.
    pub async fn stop(self) {
        let had_calls = self.calls_live().await > 0;
        match tokio::time::timeout(DRAIN_MAX, self.switchboard.send(Drain)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "switchboard is gone; calls are cut"),
            Err(_) => tracing::error!("calls still live after {DRAIN_MAX:?}; they are cut"),
        }
        if had_calls {
            tokio::time::sleep(RESUME_WAIT).await;
        }
        let remembering_opt = self.remembering_opt;
        let remembered = async {
            if let Some(remembering) = remembering_opt {
                remembering.close().await;
            }
        };
        futures_util::future::join(self.server.stop(true), remembered).await;
        self.logbook.close().await;
        if let Err(error) = self.store.settle().await {
            tracing::warn!(%error, "the next start reads the database's log");
        }
    }
}

fn briefings(config: &Config, logbook: &Logbook, clock: &Arc<dyn Clock>) -> Result<Briefings, TemplateError> {
    Briefings::new(BriefingsSetup {
        agent: agents::agent(config),
        journal: logbook.journal(),
        remembers: config.memory.enabled,
        callback_within: SignedDuration::from_hours(24 * i64::from(config.memory.callback_days)),
        calls_max: config.limits.calls_max as usize,
        clock: Arc::clone(clock),
    })
}

fn remembering(
    config: &Config,
    logbook: &Logbook,
    model_opt: Option<Arc<dyn ChatModel>>,
    recording: &Recording,
) -> Option<Arc<Remembering>> {
    let scribe = Scribe {
        journal: logbook.journal(),
        model_opt,
        agent: config.agent.name.clone(),
        characters_max: config.memory.characters_max as usize,
        recording: recording.clone(),
    };
    config.memory.enabled.then(|| Arc::new(Remembering::start(scribe)))
}

fn gate(config: &Config) -> Gate {
    let signatures = if config.twilio.validate_signatures {
        Signatures::Checked(config.twilio.auth_token.clone())
    } else {
        Signatures::Off
    };
    Gate::new(&config.server.public_url.to_string(), signatures)
}

/// What operators are told by.
struct Figures {
    analyst: Arc<Analyst>,
    prices: Arc<PricesInUse>,
    metrics: Arc<Metrics>,
}

fn operation(
    config: &Config,
    router: Addr<Router>,
    store: &Store,
    logbook: &Logbook,
    figures: Figures,
    clock: &Arc<dyn Clock>,
) -> Operation {
    let Figures { analyst, prices, metrics } = figures;
    Operation {
        rule: Arc::new(AdminRule {
            api_key: Some(config.admin.api_key.clone()),
            public_url_is_loopback: config.server.public_url.is_loopback(),
        }),
        router,
        audit: Arc::new(store.clone()),
        calls: Arc::new(store.clone()),
        prices,
        metrics,
        outcomes: logbook.journal(),
        analyst,
        users: Arc::new(store.clone()),
        eraser: logbook.journal(),
        clock: Arc::clone(clock),
        who: Arc::new(WhoAnswers(config.agent.name.clone())),
    }
}

/// Metrics that look at what stands in the house.
fn watched(logbook: &Logbook, prices: &Arc<PricesInUse>) -> Arc<Metrics> {
    let (metrics, spool, prices) = (Metrics::new(), logbook.spool(), Arc::clone(prices));
    metrics.look_at(move |metrics| standing::spool(&spool.state(), metrics));
    metrics.look_at(move |metrics| standing::prices(&prices.standing(), metrics));
    let metrics = Arc::new(metrics);
    actix_rt::spawn(metrics::keep_up(Arc::downgrade(&metrics)));
    metrics
}

/// What things cost, by a file that is watched from now on.
fn prices(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<PricesInUse>, PricesError> {
    let file = Path::new(&config.prices.file);
    if !file.exists() && file != Path::new(prices::PRICES_FILE) {
        // Whoever names a list does not want another.
        let source = io::ErrorKind::NotFound.into();
        return Err(PricesError::Unreadable { file: file.to_owned(), source });
    }
    let watch = prices::Watch::begin(file, Arc::clone(clock))?;
    let prices = watch.prices();
    actix_rt::spawn(prices::keep_watch(watch));
    Ok(prices)
}

/// What calls are paid from, in step with the database from now on.
fn purses(config: &Config, store: &Store, logbook: &Logbook, clock: &Arc<dyn Clock>) -> Purses {
    let purses = Purses {
        budgets: Arc::new(Budgets::new(agents::budgets(&config.limits), config.analytics.time_zone.clone())),
        spending: Arc::new(store.clone()),
        callers: Box::new(logbook.callers()),
        clock: Arc::clone(clock),
    };
    actix_rt::spawn(purses.keep_in_step());
    purses
}

/// The router as operators left it, or as configured when they never touched it.
async fn router(
    config: &Config,
    agent: &str,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<Router, StartError> {
    let unusable = |error: BookError| StartError::Routing(error.to_string());
    let standing = match store.load().await.map_err(unusable)? {
        Some(document) => {
            RoutingStands::read(&document).map_err(|error| StartError::Routing(error.to_string()))?
        }
        None => RoutingStands::new(Routing::of(config.routing.realtime_probability), clock.now()),
    };
    let salt = if config.routing.salt.is_empty() {
        store.keep_routing_salt(&hexadecimal(&random_bytes::<16>())).await?
    } else {
        config.routing.salt.clone()
    };
    Ok(Router::new(RouterSetup {
        salt,
        known: Known {
            agents: [agent.to_owned()].into(),
            modes_configured: config.modes().into_iter().collect(),
        },
        standing,
        book: Arc::new(store.clone()),
        clock: Arc::clone(clock),
    }))
}

/// What figures are told by.
fn analyst(
    config: &Config,
    prices: &Arc<PricesInUse>,
    store: &Store,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn Ids>,
) -> Analyst {
    let (rates, prices) = (Rates::of(config), Arc::clone(prices));
    Analyst {
        statistics: Arc::new(store.clone()),
        zone: config.analytics.time_zone.clone(),
        thresholds: agents::thresholds(&config.analytics),
        rates: Box::new(move || rates.by(&*prices.in_use())),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
    }
}

/// Keeps the database in order, as long as the process lives.
fn keep(config: &Config, store: &Store) {
    let retention = housekeeping::retention(&config.retention);
    actix_rt::spawn(housekeeping::keep_house(store.clone(), Arc::new(SystemClock), retention));
    actix_rt::spawn(sums::keep_sums(store.clone(), Arc::new(SystemClock), Sums::of(config)));
}

/// Nodes that answer for the same account open each other's tickets. Without an account there is one node, and the
/// secret lives as long as the process.
fn ticket_secret(auth_tokens: &[SecretString]) -> Vec<u8> {
    auth_tokens
        .first()
        .map_or_else(|| random_bytes::<32>().to_vec(), |token| token.expose_secret().as_bytes().to_vec())
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the system has a source of random bytes, or TLS could not work either");
    bytes
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes whatever is written");
        text
    })
}
