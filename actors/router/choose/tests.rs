//! Decisions: shares are what was asked for, callers stick, rules decide in order, and no call is left without a mode.

use std::collections::BTreeMap;

use super::*;
use crate::router::plan::PlanState;
use crate::router::rules::Routing;
use jiff::Timestamp;
use proptest::prelude::*;

/// A Monday, 07:00 in Berlin.
const MONDAY_MORNING: &str = "2026-01-12T06:00:00Z";

fn chooser(json: &str) -> Chooser {
    Chooser {
        salt: "salt".to_owned(),
        standing: Standing::new(Routing::read(json).unwrap(), Timestamp::UNIX_EPOCH),
        configured: Mode::ALL.into(),
        breakers_open: BTreeSet::new(),
    }
}

fn call(n: u32) -> RouteQuery {
    RouteQuery {
        call_sid: format!("CA{n:032x}"),
        agent: "night desk".to_owned(),
        from_opt: Some(format!("+1555{n:07}")),
        to_opt: Some("+15550100".to_owned()),
        at: MONDAY_MORNING.parse().unwrap(),
    }
}

/// With a rule for all calls.
fn ruled(then: &str, per: &str) -> Chooser {
    chooser(&format!(
        r#"{{"realtime_probability": 0.5, "rules": [{{"name": "all", "then": {then}, "per": "{per}"}}]}}"#
    ))
}

// --- shares ----------------------------------------------------------------------------------------------

const CALLS: u32 = 100_000;

/// Upper 0.1 % points of the chi-square distribution with 1, 2 and 3 degrees of freedom.
const CHI_SQUARE_MAX: [f64; 3] = [10.828, 13.816, 16.266];

/// How far the modes of 100,000 calls are from the shares, as chi-square, and the most that chance explains.
fn chi_square(chooser: &Chooser, expected: &[(Mode, f64)], call: impl Fn(u32) -> RouteQuery) -> (f64, f64) {
    let mut seen: BTreeMap<Mode, u32> = BTreeMap::new();
    for n in 0..CALLS {
        *seen.entry(chooser.choose(&call(n)).mode).or_default() += 1;
    }
    let deviation = |(mode, share): &(Mode, f64)| {
        let (expected, seen) = (share * f64::from(CALLS), f64::from(seen.get(mode).copied().unwrap_or(0)));
        (seen - expected).powi(2) / expected
    };
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    (expected.iter().map(deviation).sum(), CHI_SQUARE_MAX[expected.len() - 2])
}

#[test]
fn every_probability_is_the_share_of_calls_it_says() {
    for p in [0.01, 0.25, 0.5, 0.75] {
        let chooser = chooser(&format!(r#"{{"realtime_probability": {p}}}"#));
        let expected = [(Mode::Realtime, p), (Mode::Traditional, 1.0 - p)];
        let (found, max) = chi_square(&chooser, &expected, call);
        assert!(found < max, "p = {p}: {found} >= {max}");
    }
}

#[test]
fn weights_are_the_shares_of_calls_they_say() {
    let chooser =
        ruled(r#"{"weights": {"realtime": 0.4, "hybrid": 0.3, "cascade": 0.2, "traditional": 0.1}}"#, "call");
    let expected =
        [(Mode::Realtime, 0.4), (Mode::Hybrid, 0.3), (Mode::Cascade, 0.2), (Mode::Traditional, 0.1)];
    let (found, max) = chi_square(&chooser, &expected, call);
    assert!(found < max, "{found} >= {max}");
}

#[test]
fn shares_per_caller_are_shares_of_callers() {
    let chooser = ruled(r#"{"weights": {"realtime": 0.5, "hybrid": 0.3, "traditional": 0.2}}"#, "caller");
    let expected = [(Mode::Realtime, 0.5), (Mode::Hybrid, 0.3), (Mode::Traditional, 0.2)];
    let (found, max) = chi_square(&chooser, &expected, call);
    assert!(found < max, "{found} >= {max}");
}

#[test]
fn callers_without_a_number_are_drawn_call_by_call_though_the_rule_is_per_caller() {
    let chooser = ruled(r#"{"probability": 0.25}"#, "caller");
    let withheld = |n| RouteQuery { from_opt: Some("anonymous".to_owned()), ..call(n) };
    let (found, max) = chi_square(&chooser, &[(Mode::Realtime, 0.25), (Mode::Traditional, 0.75)], withheld);
    assert!(found < max, "{found} >= {max}");
}

#[test]
fn zero_is_never_and_one_is_always() {
    for per in ["call", "caller"] {
        for (p, mode) in [("0.0", Mode::Traditional), ("1.0", Mode::Realtime)] {
            let chooser = ruled(&format!(r#"{{"probability": {p}}}"#), per);
            assert!((0..10_000).all(|n| chooser.choose(&call(n)).mode == mode));
        }
    }
    // At the very ends of the range, which no sample would meet.
    let one_before_one = 1.0 - f64::EPSILON / 2.0;
    for draw in [0.0, one_before_one] {
        assert_eq!(pick(&realtime_or_traditional(0.0), draw), Mode::Traditional);
        assert_eq!(pick(&realtime_or_traditional(1.0), draw), Mode::Realtime);
    }
}

#[test]
fn a_sum_that_falls_short_by_rounding_leaves_no_gap() {
    let thirds: Shares =
        vec![(Mode::Realtime, 0.333_333_333), (Mode::Hybrid, 0.666_666_666), (Mode::Cascade, 0.0)];
    assert_eq!(pick(&thirds, 0.999_999_999_9), Mode::Hybrid);
}

#[test]
fn a_draw_below_the_probability_is_realtime_however_it_is_written() {
    let as_probability = ruled(r#"{"probability": 0.3}"#, "call");
    let as_weights = ruled(r#"{"weights": {"traditional": 0.7, "realtime": 0.3}}"#, "call");
    for n in 0..1_000 {
        assert_eq!(as_probability.choose(&call(n)).mode, as_weights.choose(&call(n)).mode);
    }
}

// --- sameness --------------------------------------------------------------------------------------------

#[test]
fn a_repeated_webhook_gets_the_same_answer() {
    let chooser = chooser(r#"{"realtime_probability": 0.5}"#);
    for n in 0..1_000 {
        assert_eq!(chooser.choose(&call(n)), chooser.choose(&call(n)));
    }
}

#[test]
fn a_sticky_caller_gets_the_same_mode_in_every_call() {
    let chooser = ruled(r#"{"probability": 0.5}"#, "caller");
    for n in 0..1_000 {
        let again = RouteQuery { call_sid: "another".to_owned(), ..call(n) };
        assert_eq!(chooser.choose(&call(n)).mode, chooser.choose(&again).mode);
    }
}

#[test]
fn whoever_is_in_a_plans_arm_stays_in_it_as_the_arm_grows() {
    let mut chooser = ruled(
        r#"{"plan": {"arm": "cascade", "control": "realtime",
            "steps": [{"share": 0.1}, {"share": 0.5}, {"share": 0.75}, {"share": 1.0}]}}"#,
        "caller",
    );
    let mut arm: Vec<u32> = Vec::new();
    for share in [0.1, 0.5, 0.75, 1.0] {
        let now: Vec<u32> = (0..4_000).filter(|n| chooser.choose(&call(*n)).mode == Mode::Cascade).collect();
        assert!(arm.iter().all(|n| now.contains(n)), "somebody left the arm at {share}");
        assert!((now.len() as f64 / 4_000.0 - share).abs() < 0.03, "{} at {share}", now.len());
        assert_eq!(chooser.choose(&call(0)).reason, Reason::Plan);
        arm = now;
        chooser.standing.plans.get_mut("all").unwrap().advance(Timestamp::UNIX_EPOCH);
    }
    let state: &mut PlanState = chooser.standing.plans.get_mut("all").unwrap();
    state.roll_back("too slow".to_owned(), Timestamp::UNIX_EPOCH);
    assert!((0..4_000).all(|n| chooser.choose(&call(n)).mode == Mode::Realtime));
}

#[test]
fn a_plan_without_a_state_sends_nobody_into_its_arm() {
    let mut chooser =
        ruled(r#"{"plan": {"arm": "cascade", "control": "realtime", "steps": [{"share": 1.0}]}}"#, "caller");
    chooser.standing.plans.clear();
    assert!((0..1_000).all(|n| chooser.choose(&call(n)).mode == Mode::Realtime));
}

// --- rules -----------------------------------------------------------------------------------------------

const IN_ORDER: &str = r#"{"realtime_probability": 0.0, "rules": [
    {"name": "pinned", "when": {"agents": ["day desk"]}, "then": {"pin": "hybrid"}},
    {"name": "mornings", "then": {"probability": 1.0},
     "when": {"window": {"days": ["monday"], "from": "05:00", "to": "09:00", "zone": "Europe/Berlin"}}},
    {"name": "hotline", "when": {"agents": ["night desk"], "numbers": ["+15550199"]}, "then": {"weights": {"cascade": 1.0}}},
    {"name": "nowhere", "when": {"window": {"zone": "Europe/Atlantis"}}, "then": {"pin": "cascade"}},
    {"name": "learner", "when": {"numbers": ["+15550177"]}, "then": "bandit"}
], "bandit": {"arms": ["realtime", "hybrid"]}}"#;

fn on_tuesday(n: u32) -> RouteQuery {
    RouteQuery { at: "2026-01-13T06:00:00Z".parse().unwrap(), ..call(n) }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let chooser = chooser(IN_ORDER);
    let day_desk = RouteQuery { agent: "day desk".to_owned(), ..call(1) };
    let hotline = RouteQuery { to_opt: Some("+15550199".to_owned()), ..on_tuesday(1) };
    let hotline_by_day = RouteQuery { agent: "day desk".to_owned(), ..hotline.clone() };
    let learner = RouteQuery { to_opt: Some(" +15550177".to_owned()), ..on_tuesday(1) };
    let nobody = RouteQuery { to_opt: None, ..on_tuesday(1) };
    for (query, mode_opt, reason, rule_opt) in [
        (day_desk, Some(Mode::Hybrid), Reason::Pinned, Some("pinned")),
        (call(1), Some(Mode::Realtime), Reason::Window, Some("mornings")),
        (hotline, Some(Mode::Cascade), Reason::Share, Some("hotline")),
        (hotline_by_day, Some(Mode::Hybrid), Reason::Pinned, Some("pinned")),
        (learner, None, Reason::Bandit, Some("learner")),
        (nobody, Some(Mode::Traditional), Reason::Default, None),
    ] {
        let routed = chooser.choose(&query);
        assert_eq!((routed.reason, routed.rule_opt.as_deref()), (reason, rule_opt), "{query:?}");
        assert!(mode_opt.is_none_or(|mode| mode == routed.mode), "{routed:?}");
        assert_eq!(routed.probability_opt.is_none(), reason == Reason::Pinned);
    }
}

#[test]
fn an_explanation_tells_of_every_rule_why_it_matched_or_not() {
    let explained =
        chooser(IN_ORDER).explain(&RouteQuery { to_opt: Some("+15550177".to_owned()), ..call(1) });
    assert_eq!((explained.mode, explained.rule_opt.as_deref()), (Mode::Realtime, Some("mornings")));
    let said: Vec<(bool, &str)> =
        explained.rules.iter().map(|rule| (rule.matched, rule.why.as_str())).collect();
    assert_eq!(
        said,
        [
            (false, "the agent is not one of its agents"),
            (true, "the first that matches: it decides"),
            (false, "the number called is not one of its numbers"),
            (false, "there is no time zone `Europe/Atlantis`"),
            (true, "would match, but `mornings` comes first"),
        ]
    );
    let tuesday = chooser(IN_ORDER).explain(&on_tuesday(1));
    assert_eq!(tuesday.rules[1].why, "it is Tuesday 07:00 in Europe/Berlin, outside of its window");
    let json = serde_json::to_value(&tuesday).unwrap();
    assert_eq!(
        (&json["mode"], &json["reason"], &json["per"]),
        (&"traditional".into(), &"default".into(), &"call".into())
    );
    assert_eq!(json["shares"][0], serde_json::json!({"mode": "realtime", "share": 0.0}));
    assert!(json.get("rule").is_none());
}

// --- what cannot serve -----------------------------------------------------------------------------------

#[test]
fn a_mode_that_cannot_serve_is_replaced_by_the_next_that_can() {
    let all = Mode::ALL;
    let (t, r, h, c) = (Mode::Traditional, Mode::Realtime, Mode::Hybrid, Mode::Cascade);
    for (pinned, configured, open, mode, reason) in [
        (r, &all[..], &[][..], r, Reason::Pinned),
        (r, &all, &[r], h, Reason::Breaker),
        (r, &all, &[r, h], c, Reason::Breaker),
        (r, &all, &[r, h, c], t, Reason::Breaker),
        (h, &all, &[h], r, Reason::Breaker),
        (c, &[r, t], &[], r, Reason::Unconfigured),
        (c, &[r, t], &[r], t, Reason::Unconfigured),
        (t, &[r], &[], r, Reason::Unconfigured),
        (t, &all, &[t], r, Reason::Breaker),
        (t, &all, &all, t, Reason::Pinned),
        (r, &[], &[], t, Reason::Unconfigured),
    ] {
        let mut chooser = ruled(&format!(r#"{{"pin": "{pinned}"}}"#), "call");
        chooser.configured = configured.iter().copied().collect();
        chooser.breakers_open = open.iter().copied().collect();
        let routed = chooser.choose(&call(1));
        assert_eq!(
            (routed.mode, routed.reason),
            (mode, reason),
            "{pinned} of {configured:?} without {open:?}"
        );
        assert_eq!(routed.rule_opt.as_deref(), Some("all"));
        let explained = chooser.explain(&call(1));
        assert_eq!((explained.drawn, explained.mode), (pinned, mode));
    }
}

#[test]
fn numbers_are_not_printed() {
    let printed = format!("{:?}", call(7));
    assert!(!printed.contains("555"), "{printed}");
}

proptest! {
    #[test]
    fn an_explanation_is_of_the_very_decision(
        n in any::<u32>(), agent in "(night|day) desk", to in prop::option::of("\\+155501(99|77|00)"),
        from in prop::option::of("(\\+[0-9]{0,4}|anonymous|)"), second in 0_i64..2_000_000_000, sid in ".*",
        open in prop::collection::btree_set(prop::sample::select(Mode::ALL.to_vec()), 0..4),
    ) {
        let mut chooser = chooser(IN_ORDER);
        chooser.breakers_open = open;
        let at = Timestamp::from_second(second).unwrap();
        let query = RouteQuery { call_sid: format!("{sid}{n}"), agent, from_opt: from, to_opt: to, at };
        let (routed, explained) = (chooser.choose(&query), chooser.explain(&query));
        prop_assert_eq!((routed.mode, routed.reason), (explained.mode, explained.reason));
        prop_assert_eq!(&routed.rule_opt, &explained.rule_opt);
        prop_assert!((0.0..1.0).contains(&explained.draw));
        let first = explained.rules.iter().find(|rule| rule.matched).map(|rule| &rule.name);
        prop_assert_eq!(first, routed.rule_opt.as_ref());
    }
}
