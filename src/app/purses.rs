//! What calls are paid from, kept in step with what the database knows was spent.
//!
//! It refuses to know what follows from a budget that is used up.

use std::sync::Arc;
use std::time::Duration;

use tandem_actors::budgets::{Budgets, Purse};
use tandem_actors::ports::Clock;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::spending::Spending;

/// The sums of days are as old as that too.
const ASK_EVERY: Duration = Duration::from_mins(1);

/// A caller waits for the answer, and a database that works gives it within some milliseconds.
const ANSWER_MAX: Duration = Duration::from_millis(250);

/// One per process, shared by all worker threads.
pub(super) struct Purses {
    pub(super) budgets: Arc<Budgets>,
    pub(super) spending: Arc<dyn Spending>,
    pub(super) callers: Callers,
    pub(super) clock: Arc<dyn Clock>,
}

/// Who calls from a number.
type Callers = Box<dyn Fn(&str) -> Option<Uuid> + Send + Sync>;

impl Purses {
    /// A call's purse at once. What its user has spent before is known a moment later.
    pub(super) fn open(&self, agent: &str, from_opt: Option<&str>) -> Purse {
        self.opened(agent, from_opt).0
    }

    /// A new call's purse, when what its user has spent before is known; a database that does not say is not waited for.
    pub(super) async fn fill(&self, agent: &str, from_opt: Option<&str>) -> Purse {
        let (purse, asking_opt) = self.opened(agent, from_opt);
        if let Some(asking) = asking_opt
            && tokio::time::timeout(ANSWER_MAX, asking).await.is_err()
        {
            tracing::warn!(
                "the database does not say yet what a user has spent: his call begins as if it were nothing"
            );
        }
        purse
    }

    /// A purse, and who asks what its user has spent, if nobody has yet. That goes on though nobody waits for it.
    fn opened(&self, agent: &str, from_opt: Option<&str>) -> (Purse, Option<JoinHandle<()>>) {
        if self.budgets.limits().are_none() {
            return (Purse::default(), None);
        }
        let user_opt = from_opt.and_then(|from| (self.callers)(from));
        let (purse, opened) = self.budgets.purse(agent, user_opt);
        let asking = user_opt.filter(|_| opened).map(|user| {
            let first = self.budgets.month(self.clock.now());
            let asked = self.spending.of_user(user, first);
            let budgets = Arc::clone(&self.budgets);
            actix_rt::spawn(async move {
                match asked.await {
                    Ok(spent) => budgets.told_of_user(first, user, spent),
                    Err(error) => tracing::warn!(%error, "what a user has spent before is not known"),
                }
            })
        });
        (purse, asking)
    }

    /// Asks every minute what the month has cost so far, for as long as anybody has the budgets. What cannot be read
    /// stays as it was known: no call is stopped for it.
    pub(super) fn keep_in_step(&self) -> impl Future<Output = ()> + use<> {
        let weak = Arc::downgrade(&self.budgets);
        let (spending, clock) = (Arc::clone(&self.spending), Arc::clone(&self.clock));
        async move {
            let mut warned_opt = None;
            while let Some(budgets) = weak.upgrade().filter(|budgets| !budgets.limits().are_none()) {
                let first = budgets.month(clock.now());
                match spending.of_agents(first).await {
                    Ok(agents) => {
                        budgets.told(first, &agents);
                        let unpriced =
                            agents.iter().fold(0, |sum: u64, (_, spent)| sum.saturating_add(spent.unpriced));
                        if unpriced > 0 && warned_opt.replace(first) != Some(first) {
                            tracing::warn!(month = %first, unpriced, "more was spent than budgets know: some has no known price");
                        }
                    }
                    Err(error) => tracing::warn!(%error, "budgets do not know what was spent elsewhere"),
                }
                drop(budgets);
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::num::NonZeroU64;
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use futures_util::future::LocalBoxFuture;
    use jiff::civil::{Date, date};
    use jiff::tz::TimeZone;
    use tandem_actors::budgets::{Budget, BudgetLimits, Tally};
    use tandem_actors::testing::VirtualClock;
    use tokio::time::Instant;

    use super::*;
    use crate::spending::SpendingUnreadable;

    /// What a database that has this says; one that has nothing does not answer.
    struct Kept(Mutex<Option<Result<u64, SpendingUnreadable>>>);

    impl Kept {
        fn of(kept: Option<Result<u64, &str>>) -> Arc<Self> {
            let kept = kept.map(|kept| kept.map_err(|why| SpendingUnreadable(why.to_owned())));
            Arc::new(Self(Mutex::new(kept)))
        }

        fn tally(&self) -> Option<Result<Tally, SpendingUnreadable>> {
            let kept = self.0.lock().unwrap().clone();
            kept.map(|kept| kept.map(|microusd| Tally { microusd, unpriced: 1 }))
        }
    }

    impl Spending for Kept {
        fn of_agents(
            &self,
            first: Date,
        ) -> LocalBoxFuture<'static, Result<Vec<(String, Tally)>, SpendingUnreadable>> {
            assert_eq!(first, date(1970, 1, 1));
            let Some(tally) = self.tally() else { return pending().boxed_local() };
            ready(tally.map(|spent| vec![("night desk".to_owned(), spent)])).boxed_local()
        }

        fn of_user(
            &self,
            user: Uuid,
            first: Date,
        ) -> LocalBoxFuture<'static, Result<Tally, SpendingUnreadable>> {
            assert_eq!((user, first), (Uuid::from_u128(7), date(1970, 1, 1)));
            self.tally().map_or_else(|| pending().boxed_local(), |tally| ready(tally).boxed_local())
        }
    }

    /// Users and the agent may cost ten micro-dollars a month.
    fn purses(kept: &Arc<Kept>) -> Purses {
        let max = NonZeroU64::new(10);
        let limits = BudgetLimits { user_max_opt: max, agent_max_opt: max, house_max_opt: None };
        Purses {
            budgets: Arc::new(Budgets::new(limits, TimeZone::UTC)),
            spending: Arc::<Kept>::clone(kept),
            callers: Box::new(|from| (from == "+12065550188").then_some(Uuid::from_u128(7))),
            clock: Arc::new(VirtualClock::new()),
        }
    }

    const CALLER: Option<&str> = Some("+12065550188");

    fn used_up(purses: &Purses, purse: &Purse) -> Option<Budget> {
        purse.used_up(|| purses.clock.now()).map(|used_up| used_up.budget)
    }

    #[actix_rt::test]
    async fn a_new_call_knows_what_its_user_has_spent_before_it_begins() {
        tokio::time::pause();
        let purses = purses(&Kept::of(Some(Ok(10))));
        let purse = purses.fill("night desk", CALLER).await;
        assert_eq!(used_up(&purses, &purse), Some(Budget::User));
        let withheld = purses.fill("night desk", None).await;
        assert_eq!(used_up(&purses, &withheld), None, "nobody knows who that is");
    }

    #[actix_rt::test]
    async fn a_call_that_goes_on_begins_at_once_and_knows_a_moment_later() {
        tokio::time::pause();
        let purses = purses(&Kept::of(Some(Ok(10))));
        let purse = purses.open("night desk", CALLER);
        assert_eq!(used_up(&purses, &purse), None);
        tokio::task::yield_now().await;
        assert_eq!(used_up(&purses, &purse), Some(Budget::User));
    }

    #[actix_rt::test]
    async fn a_database_that_fails_or_hangs_keeps_no_caller_waiting() {
        tokio::time::pause();
        for kept in [None, Some(Err("gone"))] {
            let purses = purses(&Kept::of(kept));
            let since = Instant::now();
            let purse = purses.fill("night desk", CALLER).await;
            assert!(since.elapsed() <= ANSWER_MAX + Duration::from_millis(1));
            purse.pay(Some(9), purses.clock.now());
            assert_eq!(used_up(&purses, &purse), None);
            purse.pay(Some(1), purses.clock.now());
            assert_eq!(used_up(&purses, &purse), Some(Budget::User), "what it spends itself is known");
        }
    }

    #[actix_rt::test]
    async fn budgets_hear_every_minute_of_the_month_and_outlive_a_database_that_is_gone() {
        tokio::time::pause();
        let kept = Kept::of(Some(Err("gone")));
        let purses = purses(&kept);
        let keeping = actix_rt::spawn(purses.keep_in_step());
        let purse = purses.open("night desk", None);
        tokio::time::sleep(ASK_EVERY / 2).await;
        assert_eq!(used_up(&purses, &purse), None);
        *kept.0.lock().unwrap() = Some(Ok(10));
        tokio::time::sleep(ASK_EVERY).await;
        assert_eq!(used_up(&purses, &purse), Some(Budget::Agent));
        drop(purses);
        keeping.await.unwrap();
    }

    #[actix_rt::test]
    async fn a_house_without_budgets_asks_nobody() {
        tokio::time::pause();
        let mut purses = purses(&Kept::of(None));
        purses.budgets = Arc::new(Budgets::new(BudgetLimits::default(), TimeZone::UTC));
        let purse = purses.fill("night desk", CALLER).await;
        assert_eq!(used_up(&purses, &purse), None);
        purses.keep_in_step().await;
    }
}
