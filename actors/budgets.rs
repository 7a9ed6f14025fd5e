//! Budgets of a month: what a user, an agent and the house may cost in it, and how much of that is used up.
//!
//! Pure but for a lock per account. It refuses to know what follows from a budget that is used up, and where it is kept
//! what was spent before.
//!
//! **How exact it is.** An account knows what this process has paid, to the event, and what the database knew when it was
//! told last: whoever keeps these in step asks it every minute, and its sums are a minute old at most. So of what other
//! nodes pay, two minutes may be missing, and nothing ever counts twice: of the two sums the larger is taken, and what is
//! known of a month does not fall. A user's account lasts as long as his calls do, and is told when it is opened.
//!
//! **What is paid.** All that has a price: models, and the line to the carrier. What has none is counted beside it: it is
//! not free, it is in no sum, and no budget is used up by it.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use uuid::Uuid;

/// Whose budget. In this order they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    User,
    Agent,
    House,
}

/// Micro-dollars a month. What has no bound is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Of each user.
    pub user_max_opt: Option<NonZeroU64>,
    /// Of each agent.
    pub agent_max_opt: Option<NonZeroU64>,
    pub house_max_opt: Option<NonZeroU64>,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub microusd: u64,
    /// Uses whose price is unknown.
    pub unpriced: u64,
}

/// One per process, shared by all threads.
pub struct Budgets {
    limits: BudgetLimits,
    zone: TimeZone,
    house_opt: Option<Arc<Account>>,
    /// As many as there are agents.
    agents: Mutex<HashMap<String, Arc<Account>>>,
    /// Of users with live calls.
    users: Mutex<HashMap<Uuid, Weak<Account>>>,
}

/// The budgets that one call is paid from.
#[derive(Clone)]
pub struct Purse {
    zone: TimeZone,
    accounts: Vec<Arc<Account>>,
}

/// A budget that is used up, and what is known of its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    pub budget: Budget,
    pub max_microusd: u64,
    pub spent: Tally,
}

struct Account {
    budget: Budget,
    max: NonZeroU64,
    month: Mutex<Month>,
}

#[derive(Default)]
struct Month {
    /// Its first day.
    first_opt: Option<Date>,
    spent: Tally,
}

/// The first day of the month that it is then.
pub fn month(at: Timestamp, zone: &TimeZone) -> Date {
    at.to_zoned(zone.clone()).date().first_of_month()
}

impl Budget {
    pub const ALL: [Self; 3] = [Self::User, Self::Agent, Self::House];

    /// Why a call changes its mode, or begins in another, when it is used up.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user_budget",
            Self::Agent => "agent_budget",
            Self::House => "house_budget",
        }
    }
}

impl BudgetLimits {
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Tally {
    pub fn note(&mut self, microusd_opt: Option<u64>) {
        match microusd_opt {
            Some(microusd) => self.microusd = self.microusd.saturating_add(microusd),
            None => self.unpriced = self.unpriced.saturating_add(1),
        }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            microusd: self.microusd.saturating_add(other.microusd),
            unpriced: self.unpriced.saturating_add(other.unpriced),
        }
    }
}

// ---------------------------------------------------------------- all of them

impl Budgets {
    pub fn new(limits: BudgetLimits, zone: TimeZone) -> Self {
        let house_opt = limits.house_max_opt.map(|max| Account::open(Budget::House, max));
        Self { limits, zone, house_opt, agents: Mutex::default(), users: Mutex::default() }
    }

    pub fn limits(&self) -> BudgetLimits {
        self.limits
    }

    /// The first day of the month that it is now.
    pub fn month(&self, now: Timestamp) -> Date {
        month(now, &self.zone)
    }

    /// What a call of this agent's with this user is paid from, and whether that user's account was opened for it: then
    /// it has to be told what he has spent.
    pub fn purse(&self, agent: &str, user_opt: Option<Uuid>) -> (Purse, bool) {
        let user = user_opt.zip(self.limits.user_max_opt).map(|(user, max)| self.user(user, max));
        let opened = user.as_ref().is_some_and(|(_, opened)| *opened);
        let accounts = [user.map(|(account, _)| account), self.agent(agent), self.house_opt.clone()];
        (Purse { zone: self.zone.clone(), accounts: accounts.into_iter().flatten().collect() }, opened)
    }

    /// What is kept of the month that began on `first`: each agent's share, all of which are the house's.
    pub fn told(&self, first: Date, agents: &[(String, Tally)]) {
        let all = agents.iter().fold(Tally::default(), |sum, (_, spent)| sum.and(*spent));
        if let Some(house) = &self.house_opt {
            house.told(first, all);
        }
        for (agent, spent) in agents {
            if let Some(account) = self.agent(agent) {
                account.told(first, *spent);
            }
        }
    }

    /// The same of a user, should he have a call.
    pub fn told_of_user(&self, first: Date, user: Uuid, spent: Tally) {
        if let Some(account) = locked(&self.users).get(&user).and_then(Weak::upgrade) {
            account.told(first, spent);
        }
    }

    fn agent(&self, name: &str) -> Option<Arc<Account>> {
        let max = self.limits.agent_max_opt?;
        let mut agents = locked(&self.agents);
        if let Some(account) = agents.get(name) {
            return Some(Arc::clone(account));
        }
        let account = Account::open(Budget::Agent, max);
        agents.insert(name.to_owned(), Arc::clone(&account));
        Some(account)
    }

    fn user(&self, user: Uuid, max: NonZeroU64) -> (Arc<Account>, bool) {
        let mut users = locked(&self.users);
        if let Some(account) = users.get(&user).and_then(Weak::upgrade) {
            return (account, false);
        }
        users.retain(|_, account| account.strong_count() > 0);
        let account = Account::open(Budget::User, max);
        users.insert(user, Arc::downgrade(&account));
        (account, true)
    }
}

// ---------------------------------------------------------------- one call's

impl Purse {
    /// Something was paid for, or used at a price that is unknown.
    pub fn pay(&self, microusd_opt: Option<u64>, at: Timestamp) {
        if self.accounts.is_empty() {
            return;
        }
        let first = month(at, &self.zone);
        for account in &self.accounts {
            account.month_of(first).spent.note(microusd_opt); // late, it is of the month that is now
        }
    }

    /// The first budget that is used up.
    pub fn used_up(&self, now: impl FnOnce() -> Timestamp) -> Option<UsedUp> {
        if self.accounts.is_empty() {
            return None; // most houses have none, and their calls ask every second
        }
        let first = month(now(), &self.zone);
        self.accounts.iter().find_map(|account| account.used_up(first))
    }
}

/// Paid from no budget.
impl Default for Purse {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, accounts: Vec::new() }
    }
}

impl Account {
    fn open(budget: Budget, max: NonZeroU64) -> Arc<Self> {
        Arc::new(Self { budget, max, month: Mutex::default() })
    }

    fn told(&self, first: Date, kept: Tally) {
        let mut month = self.month_of(first);
        if month.first_opt != Some(first) {
            return; // the answer is about a month that is over
        }
        month.spent.microusd = month.spent.microusd.max(kept.microusd);
        month.spent.unpriced = month.spent.unpriced.max(kept.unpriced);
    }

    fn used_up(&self, first: Date) -> Option<UsedUp> {
        let spent = self.month_now(first).spent;
        let max_microusd = self.max.get();
        (spent.microusd >= max_microusd).then_some(UsedUp { budget: self.budget, max_microusd, spent })
    }

    /// The account of the month that it is now. Nothing is known of another: a clock that jumps over a month's end and
    /// back costs a minute's knowledge.
    fn month_now(&self, first: Date) -> MutexGuard<'_, Month> {
        let mut month = locked(&self.month);
        if month.first_opt != Some(first) {
            *month = Month { first_opt: Some(first), spent: Tally::default() };
        }
        month
    }

    /// The same, as something tells of this month: what comes late, over a month's end, does not turn it back.
    fn month_of(&self, first: Date) -> MutexGuard<'_, Month> {
        let is_late = locked(&self.month).first_opt.is_some_and(|known| known > first);
        if is_late { locked(&self.month) } else { self.month_now(first) }
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
