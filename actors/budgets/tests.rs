use jiff::civil::date;
use jiff::tz::Offset;
use proptest::prelude::*;

use super::*;

const USER: Uuid = Uuid::from_u128(7);

fn budgets(limits: [u64; 3]) -> Budgets {
    let [user_max_opt, agent_max_opt, house_max_opt] = limits.map(NonZeroU64::new);
    Budgets::new(BudgetLimits { user_max_opt, agent_max_opt, house_max_opt }, TimeZone::UTC)
}

fn purse(budgets: &Budgets) -> Purse {
    budgets.purse("night desk", Some(USER)).0
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn november() -> Timestamp {
    at("2026-11-21T05:00:00Z")
}

fn spent(microusd: u64) -> Tally {
    Tally { microusd, unpriced: 0 }
}

fn used_up(purse: &Purse) -> Option<Budget> {
    purse.used_up(november).map(|used_up| used_up.budget)
}

#[test]
fn each_budget_is_used_up_with_its_last_microdollar_and_the_nearest_is_named() {
    for (limits, budget) in [
        ([10, 0, 0], Budget::User),
        ([0, 10, 0], Budget::Agent),
        ([0, 0, 10], Budget::House),
        ([10, 10, 10], Budget::User),
    ] {
        let budgets = budgets(limits);
        let purse = purse(&budgets);
        purse.pay(Some(9), november());
        assert_eq!(used_up(&purse), None);
        purse.pay(Some(1), november());
        assert_eq!(used_up(&purse), Some(budget));
    }
}

#[test]
fn calls_of_the_same_user_agent_or_house_share_a_budget_and_others_do_not() {
    let budgets = budgets([10, 20, 30]);
    let of = |agent: &str, user: u128| budgets.purse(agent, Some(Uuid::from_u128(user))).0;
    let (one, same, other_user, other_agent) = (of("a", 1), of("a", 1), of("a", 2), of("b", 3));
    one.pay(Some(5), november());
    same.pay(Some(5), november());
    assert_eq!(
        [&one, &same, &other_user, &other_agent].map(used_up),
        [Some(Budget::User), Some(Budget::User), None, None]
    );
    other_user.pay(Some(9), november());
    one.pay(Some(1), november());
    assert_eq!([&other_user, &other_agent].map(used_up), [Some(Budget::Agent), None]);
    other_agent.pay(Some(9), november());
    assert_eq!(used_up(&other_agent), None);
    of("b", 4).pay(Some(1), november());
    assert_eq!(used_up(&other_agent), Some(Budget::House));
}

#[test]
fn without_a_bound_or_a_user_there_is_nothing_to_use_up() {
    let none = budgets([0, 0, 0]);
    assert!(none.limits().are_none());
    let (unbounded, opened) = none.purse("a", Some(USER));
    unbounded.pay(Some(u64::MAX), november());
    assert_eq!((used_up(&unbounded), opened), (None, false));
    let (unknown, opened) = budgets([1, 0, 0]).purse("a", None);
    unknown.pay(Some(u64::MAX), november());
    assert_eq!((used_up(&unknown), opened), (None, false));
    Purse::default().pay(Some(1), november());
    assert_eq!(Purse::default().used_up(|| panic!("nobody has to look at a clock")), None);
}

#[test]
fn a_price_that_is_unknown_uses_up_nothing_and_is_told_beside_what_is_known() {
    let budgets = budgets([10, 0, 0]);
    let purse = purse(&budgets);
    purse.pay(None, november());
    purse.pay(None, november());
    assert_eq!(used_up(&purse), None);
    purse.pay(Some(12), november());
    let spent = Tally { microusd: 12, unpriced: 2 };
    assert_eq!(purse.used_up(november), Some(UsedUp { budget: Budget::User, max_microusd: 10, spent }));
}

#[test]
fn a_month_begins_at_midnight_where_the_house_is() {
    let zone = TimeZone::fixed(Offset::constant(2));
    assert_eq!(month(at("2026-10-31T21:59:59Z"), &zone), date(2026, 10, 1));
    assert_eq!(month(at("2026-10-31T22:00:00Z"), &zone), date(2026, 11, 1));
    let budgets = budgets([10, 0, 0]);
    let purse = purse(&budgets);
    purse.pay(Some(10), november());
    assert!(purse.used_up(|| at("2026-11-30T23:59:59Z")).is_some());
    assert_eq!(purse.used_up(|| at("2026-12-01T00:00:00Z")), None, "a new month, a new budget");
}

#[test]
fn a_clock_that_jumps_over_a_months_end_is_put_right_when_the_database_is_asked() {
    let budgets = budgets([0, 10, 10]);
    let purse = purse(&budgets);
    purse.pay(Some(10), november());
    assert_eq!(purse.used_up(|| at("2027-11-21T05:00:00Z")), None);
    assert_eq!(used_up(&purse), None, "what it knew of this month is gone");
    budgets.told(budgets.month(november()), &[("night desk".to_owned(), spent(10))]);
    assert_eq!(used_up(&purse), Some(Budget::Agent));
}

#[test]
fn a_database_that_lags_behind_gives_nothing_back_and_one_that_knows_more_is_believed() {
    let budgets = budgets([0, 20, 100]);
    let (purse, first) = (purse(&budgets), budgets.month(november()));
    purse.pay(Some(15), november());
    budgets.told(first, &[("night desk".to_owned(), spent(10)), ("day desk".to_owned(), spent(85))]);
    purse.pay(Some(4), november());
    assert_eq!(used_up(&purse), None, "19 of 20, and 99 of 100");
    purse.pay(Some(1), november());
    assert_eq!(used_up(&purse), Some(Budget::Agent));
    let other = budgets.purse("day desk", None).0;
    assert_eq!(used_up(&other), Some(Budget::Agent), "85 of 20 were spent before it was opened");
}

#[test]
fn a_users_account_lasts_as_long_as_his_calls_and_is_told_once() {
    let budgets = budgets([10, 0, 0]);
    let first = budgets.month(november());
    budgets.told_of_user(first, USER, spent(10));
    let (one, opened) = budgets.purse("a", Some(USER));
    assert_eq!((opened, used_up(&one)), (true, None), "who has no call has no account");
    budgets.told_of_user(first, USER, spent(10));
    let (other, opened) = budgets.purse("a", Some(USER));
    assert_eq!((opened, used_up(&other)), (false, Some(Budget::User)));
    drop((one, other));
    for user in 0..1_000 {
        budgets.purse("a", Some(Uuid::from_u128(user)));
    }
    assert_eq!(locked(&budgets.users).len(), 1, "nobody has a call");
}

proptest! {
    /// However a node's own payments and what the database tells of all nodes' follow each other, nothing counts
    /// twice, nothing of its own is missed, and nothing that was known is forgotten.
    #[test]
    fn what_is_known_lies_between_what_was_seen_and_what_was_spent(
        steps in prop::collection::vec((0_u64..100, 0_u64..100, any::<bool>()), 1..60),
    ) {
        let budgets = budgets([0, 0, u64::MAX]);
        let (purse, first) = (purse(&budgets), budgets.month(november()));
        let known = || budgets.house_opt.as_ref().unwrap().month_of(first).spent.microusd;
        let (mut own, mut spent_by_all, mut seen) = (0, 0, 0);
        for (ours, theirs, is_told) in steps {
            let lagging = spent_by_all;
            purse.pay(Some(ours), november());
            own += ours;
            spent_by_all += ours + theirs;
            let before = known();
            if is_told {
                budgets.told(first, &[("a".to_owned(), spent(lagging))]);
                seen = lagging;
            }
            prop_assert!(known() >= before.max(own).max(seen) && known() <= spent_by_all);
        }
    }
}
