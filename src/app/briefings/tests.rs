use std::sync::Weak;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tandem_actors::record::CallRecord;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::clock::{SystemClock, SystemIds};
use crate::config::{Config, Sources};
use crate::identity::Identity;
use crate::journal::{Archive, Batch, JournalSetup, Receipts, Remembered, Standing};
use crate::spool::{Spool, SpoolLimits};

const ANN: &str = "+12065550188";

/// Tables that know one caller, or never answer.
struct Tables {
    known_opt: Option<Acquaintance>,
    asked: AtomicU64,
}

impl Archive for Tables {
    fn written(&self, _: Uuid) -> LocalBoxFuture<'static, Result<u64, ArchiveError>> {
        async { Ok(0) }.boxed_local()
    }

    fn write(&self, _: Uuid, _: u64, _: Batch) -> LocalBoxFuture<'static, Result<(), ArchiveError>> {
        async { Ok(()) }.boxed_local()
    }

    fn find(&self, _: &str) -> LocalBoxFuture<'static, Result<Option<CallRecord>, ArchiveError>> {
        async { Ok(None) }.boxed_local()
    }

    fn acquaintance(
        &self,
        _: Uuid,
        _: String,
        _: CallId,
        _: Timestamp,
    ) -> LocalBoxFuture<'static, Result<Acquaintance, ArchiveError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let known_opt = self.known_opt.clone();
        async move {
            match known_opt {
                Some(known) => Ok(known),
                None => std::future::pending().await,
            }
        }
        .boxed_local()
    }

    fn going_on(&self, _: Uuid, _: Timestamp) -> LocalBoxFuture<'static, Result<Vec<CallId>, ArchiveError>> {
        async { Ok(vec![]) }.boxed_local()
    }
}

struct House {
    briefings: Briefings,
    tables: Arc<Tables>,
    _spool: TempDir,
}

fn house(template: &str, remembers: bool, known_opt: Option<Acquaintance>) -> House {
    let folder = TempDir::new().unwrap();
    let (spool, _) = Spool::open(folder.path(), SpoolLimits::default(), Uuid::nil()).unwrap();
    let tables = Arc::new(Tables { known_opt, asked: AtomicU64::new(0) });
    let (_, standing) = watch::channel(Standing::CaughtUp);
    let journal = Journal::new(JournalSetup {
        spool,
        calls_max: 2,
        archive: Arc::<Tables>::clone(&tables),
        standing,
        receipts: Receipts::default(),
        identity: Identity::new("secret".to_owned().into()),
        keeps_numbers: true,
        call_max: Duration::from_hours(1),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
    });
    let environment = [("TANDEM__AGENT__INSTRUCTIONS".to_owned(), template.to_owned())].into();
    let sources =
        Sources { house_file: std::path::Path::new(""), chosen_file_opt: None, environment: &environment };
    let briefings = Briefings::new(BriefingsSetup {
        agent: crate::app::agents::agent(&Config::load(&sources).unwrap()),
        journal: Arc::new(journal),
        remembers,
        callback_within: SignedDuration::from_hours(24),
        calls_max: 2,
        clock: Arc::new(SystemClock),
    });
    House { briefings: briefings.unwrap(), tables, _spool: folder }
}

impl House {
    async fn brief(&self, call: u128, from_opt: Option<&str>) -> Arc<Agent> {
        let call = CallId(Uuid::from_u128(call));
        self.briefings.brief(Briefed { call, from_opt, mode: Mode::Realtime }).await
    }

    fn asked(&self) -> u64 {
        self.tables.asked.load(Ordering::Relaxed)
    }
}

fn known() -> Acquaintance {
    let memory_opt = Some(Remembered { text: "Likes tea.".to_owned(), at: Timestamp::UNIX_EPOCH });
    Acquaintance { memory_opt, callback: true }
}

#[tokio::test]
async fn an_agent_knows_who_calls_again_and_tells_the_same_to_whoever_goes_on_with_the_call() {
    let template = "{{ agent_name }}{% if callback %} knows {{ caller }}{% endif %}. {{ memory }}";
    let house = house(template, true, Some(known()));
    let agent = house.brief(1, Some(ANN)).await;
    assert!(agent.instructions.starts_with("tandem knows +12065550188. Notes "), "{}", agent.instructions);
    assert!(agent.instructions.ends_with("\n> Likes tea.\n"), "{}", agent.instructions);
    assert!(Arc::ptr_eq(&agent, &house.brief(1, Some(ANN)).await) && house.asked() == 1, "it goes on");
    house.briefings.over(CallId(Uuid::from_u128(1)));
    assert_eq!((house.brief(1, Some(ANN)).await, house.asked()), (agent, 2));
}

#[tokio::test]
async fn calls_that_are_told_what_strangers_are_share_one_agent() {
    let nobody = Acquaintance::default;
    for (template, known_opt, from_opt, asked) in [
        ("Be brief.", Some(known()), Some(ANN), 1), // for the log
        ("Be brief. {{ memory }}", Some(nobody()), Some(ANN), 1),
        ("Be brief. {{ memory }}", Some(known()), None, 0),
        ("Be brief. {{ memory }}", Some(known()), Some("anonymous"), 0),
    ] {
        let house = house(template, true, known_opt);
        let agents = [house.brief(1, from_opt).await, house.brief(2, from_opt).await];
        assert!(agents.iter().all(|agent| Arc::ptr_eq(agent, house.briefings.agent())), "{template}");
        assert_eq!((agents[0].instructions.trim_end(), house.asked()), ("Be brief.", 2 * asked));
        house.brief(1, from_opt).await;
        assert_eq!(house.asked(), 2 * asked, "a call that goes on is looked up no second time: {template}");
    }
}

#[tokio::test]
async fn what_is_not_to_be_remembered_is_not_looked_up_unless_call_backs_are_told() {
    let silent = house("{{ memory }}{{ call.mode }}", false, Some(known()));
    assert_eq!((&*silent.brief(1, Some(ANN)).await.instructions, silent.asked()), ("realtime", 0));
    let telling = house("{{ memory }}{% if callback %}again{% endif %}", false, Some(known()));
    assert_eq!((&*telling.brief(1, Some(ANN)).await.instructions, telling.asked()), ("again", 1));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_does_not_answer_makes_a_stranger_of_the_caller_in_time() {
    let house = house("Be brief. {{ memory }}", true, None);
    let since = Instant::now();
    let agent = house.brief(1, Some(ANN)).await;
    assert_eq!((since.elapsed(), agent.instructions.as_str()), (KNOWN_WITHIN, "Be brief. "));
    assert_eq!(house.briefings.unanswered.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn agents_of_calls_that_nobody_ends_are_let_go_of() {
    let house = house("{{ call.id }}", true, Some(known()));
    let first: Weak<Agent> = Arc::downgrade(&house.brief(1, Some(ANN)).await);
    for call in 2..=house.briefings.given_max as u128 {
        house.brief(call, Some(ANN)).await;
    }
    assert!(first.upgrade().is_some());
    house.brief(99, Some(ANN)).await;
    assert!(first.upgrade().is_none());
    assert_eq!(house.briefings.given().agents.len(), house.briefings.given_max);
    for call in 1..=99 {
        house.briefings.over(CallId(Uuid::from_u128(call)));
    }
    let given = house.briefings.given();
    assert_eq!((given.agents.len(), given.order.len()), (0, 0), "nor do those that are over take room");
}
