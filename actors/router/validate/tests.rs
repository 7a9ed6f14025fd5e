//! Documents: every fault is named with its place, and a rule that no call reaches is noticed.

use super::*;
use crate::mode::Mode;

fn known() -> Known {
    Known {
        agents: ["night desk", "day desk"].map(str::to_owned).into(),
        modes_configured: [Mode::Realtime, Mode::Traditional, Mode::Hybrid].into(),
    }
}

fn document(rules: &str) -> Routing {
    Routing::read(&format!(r#"{{"realtime_probability": 0.5, "rules": [{rules}]}}"#)).unwrap()
}

fn faults(routing: &Routing) -> Vec<(String, String)> {
    let faults = routing.validate(&known()).unwrap_err();
    faults.into_iter().map(|fault| (fault.pointer, fault.reason)).collect()
}

/// The only fault of a rule with this action.
fn fault_of(then: &str) -> (String, String) {
    let mut faults = faults(&document(&format!(r#"{{"name": "a", "then": {then}}}"#)));
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

fn warnings(rules: &str) -> Vec<(String, String)> {
    let warnings = document(rules).validate(&known()).unwrap();
    warnings.into_iter().map(|warning| (warning.pointer, warning.reason)).collect()
}

#[test]
fn a_probability_is_a_number_from_nought_to_one() {
    for p in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, -0.1, 1.0 + f64::EPSILON] {
        let reason = format!("{p} is not a probability from 0 to 1");
        assert_eq!(faults(&Routing::of(p)), [("/realtime_probability".to_owned(), reason)]);
    }
    for p in [0.0, -0.0, 0.25, 1.0] {
        assert_eq!(Routing::of(p).validate(&known()), Ok(Vec::new()));
    }
}

#[test]
fn every_fault_of_a_document_is_told_with_its_place() {
    let routing = document(
        r#"{"name": "a", "when": {"agents": ["night desk", "dusk desk"], "numbers": [" "]}, "then": {"pin": "cascade"}},
           {"name": "a", "then": {"probability": 2}},
           {"name": " ", "when": {"window": {"from": "05:00", "to": "05:00", "zone": "Europe/Atlantis"}}, "then": "bandit"},
           {"name": "b", "when": {"window": {"days": [], "zone": "UTC"}}, "then": {"pin": "realtime"}}"#,
    );
    let expected = [
        ("/rules/1/name", "`a` is the name of rule 0 as well"),
        ("/rules/2/name", "a rule needs a name"),
        ("/rules/0/when/agents/1", "there is no agent `dusk desk`"),
        ("/rules/0/when/numbers/0", "an empty number is never called"),
        ("/rules/0/then/pin", "cascade is not configured; configured are traditional, realtime, hybrid"),
        ("/rules/1/then/probability", "2 is not a probability from 0 to 1"),
        ("/rules/2/when/window", "from 05:00 to 05:00 is no time at all"),
        ("/rules/2/when/window/zone", "there is no time zone `Europe/Atlantis`"),
        ("/rules/2/then", "the document has no `bandit`"),
        ("/rules/3/when/window/days", "a window without days never opens"),
    ];
    assert_eq!(faults(&routing), expected.map(|(pointer, reason)| (pointer.to_owned(), reason.to_owned())));
}

#[test]
fn weights_sum_to_one() {
    for (weights, pointer, reason) in [
        (r#"{"realtime": 0.5, "hybrid": 0.4}"#, "/rules/0/then/weights", "the weights sum to 0.9, not to 1"),
        ("{}", "/rules/0/then/weights", "no mode has a weight"),
        (
            r#"{"realtime": 0.5, "cascade": 0.5}"#,
            "/rules/0/then/weights/cascade",
            "cascade is not configured; configured are traditional, realtime, hybrid",
        ),
    ] {
        let fault = fault_of(&format!(r#"{{"weights": {weights}}}"#));
        assert_eq!(fault, (pointer.to_owned(), reason.to_owned()));
    }
    let thirds = r#"{"realtime": 0.333333333333, "hybrid": 0.333333333333, "traditional": 0.333333333334}"#;
    assert_eq!(warnings(&format!(r#"{{"name": "a", "then": {{"weights": {thirds}}}}}"#)), []);
    let both = document(r#"{"name": "a", "then": {"weights": {"realtime": 1.5, "hybrid": -0.5}}}"#);
    assert_eq!(faults(&both).len(), 2, "a sum of 1 excuses nothing");
}

#[test]
fn a_plan_rises_to_one() {
    let plan = |rest: &str| format!(r#"{{"plan": {{"arm": "hybrid", "control": "realtime", {rest}}}}}"#);
    let whole = r#""steps": [{"share": 0.5}, {"share": 1.0}]"#;
    for (rest, pointer, reason) in [
        (r#""steps": []"#, "steps", "a plan needs steps"),
        (r#""steps": [{"share": 0.5}, {"share": 0.9}]"#, "steps", "the plan ends at a share of 0.9, below 1"),
        (
            r#""steps": [{"share": 0.5}, {"share": 0.4}, {"share": 1.0}]"#,
            "steps/1/share",
            "the share falls from 0.5 to 0.4",
        ),
        (
            r#""steps": [{"share": 0.0}, {"share": 1.0}]"#,
            "steps/0/share",
            "0 is not a share above 0 and up to 1",
        ),
        (
            r#""steps": [{"share": 1.0}], "guards": {"failure_rate": {"margin": 0.1}}"#,
            "steps",
            "a plan that begins at 1 leaves no control for its margins",
        ),
        (&format!(r#"{whole}, "sample_min": 1"#), "sample_min", "a guard cannot judge by fewer than 2 calls"),
        (
            &format!(r#"{whole}, "guards": {{"response_p95_ms": {{}}}}"#),
            "guards/response_p95_ms",
            "a guard needs a limit, a margin or both",
        ),
        (
            &format!(r#"{whole}, "guards": {{"early_hang_up_rate": {{"limit": -1}}}}"#),
            "guards/early_hang_up_rate/limit",
            "-1 is not a number from 0 on",
        ),
    ] {
        let expected = (format!("/rules/0/then/plan/{pointer}"), reason.to_owned());
        assert_eq!(fault_of(&plan(rest)), expected, "{rest}");
    }
    let same = fault_of(r#"{"plan": {"arm": "hybrid", "control": "hybrid", "steps": [{"share": 1.0}]}}"#);
    assert_eq!(same.1, "hybrid cannot be measured against itself");
}

#[test]
fn a_bandit_has_arms_to_choose_from() {
    for (bandit, pointer, reason) in [
        (r#"{"arms": ["realtime"]}"#, "/bandit/arms", "a bandit needs two arms to choose from"),
        (r#"{"arms": ["realtime", "hybrid", "hybrid"]}"#, "/bandit/arms/2", "hybrid is an arm already"),
        (
            r#"{"arms": ["realtime", "cascade"]}"#,
            "/bandit/arms/1",
            "cascade is not configured; configured are traditional, realtime, hybrid",
        ),
        (
            r#"{"arms": ["realtime", "hybrid"], "floor": 0.6}"#,
            "/bandit/floor",
            "0.6 for each of 2 arms is not a part of 1",
        ),
        (
            r#"{"arms": ["realtime", "hybrid"], "half_life": 0}"#,
            "/bandit/half_life",
            "0 is not a number above 0",
        ),
    ] {
        let text = format!(r#"{{"realtime_probability": 0.5, "bandit": {bandit}}}"#);
        let faults = faults(&Routing::read(&text).unwrap());
        assert_eq!(faults, [(pointer.to_owned(), reason.to_owned())], "{bandit}");
    }
}

#[test]
fn nothing_configured_is_said_so() {
    let routing = document(r#"{"name": "a", "then": {"pin": "hybrid"}}"#);
    let faults = routing.validate(&Known::default()).unwrap_err();
    assert_eq!(faults[0].reason, "hybrid is not configured; nothing is");
}

#[test]
fn a_document_may_not_have_more_rules_than_a_webhook_has_time_for() {
    let rule = |n: usize| {
        format!(r#"{{"name": "{n}", "when": {{"numbers": ["{n}"]}}, "then": {{"pin": "realtime"}}}}"#)
    };
    let rules: Vec<String> = (0..=RULES_MAX).map(rule).collect();
    let expected = ("/rules".to_owned(), "there are 257 rules, at most 256 are allowed".to_owned());
    assert_eq!(faults(&document(&rules.join(","))), [expected]);
    assert_eq!(warnings(&rules[1..].join(",")), []);
}

#[test]
fn a_rule_that_no_call_reaches_is_noticed() {
    let rule = |name: &str, when: &str| {
        format!(r#"{{"name": "{name}", "when": {when}, "then": {{"pin": "realtime"}}}}"#)
    };
    let covered =
        [("/rules/1".to_owned(), "`later` never matches: `earlier` comes first and always does".to_owned())];
    let berlin = |days: &str, from: &str, to: &str| {
        format!(
            r#"{{"window": {{"days": {days}, "from": "{from}", "to": "{to}", "zone": "Europe/Berlin"}}}}"#
        )
    };
    let weekdays = r#"["monday", "tuesday", "wednesday", "thursday", "friday"]"#;
    for (earlier, later, is_covered) in [
        ("{}", r#"{"agents": ["night desk"]}"#.to_owned(), true),
        (r#"{"agents": ["night desk"]}"#, "{}".to_owned(), false),
        (r#"{"agents": ["night desk", "day desk"]}"#, r#"{"agents": ["day desk"]}"#.to_owned(), true),
        (r#"{"agents": ["night desk"]}"#, r#"{"agents": ["night desk", "day desk"]}"#.to_owned(), false),
        (
            r#"{"agents": ["night desk"]}"#,
            r#"{"agents": ["night desk"], "numbers": ["+1"]}"#.to_owned(),
            true,
        ),
        (r#"{"agents": ["night desk"]}"#, r#"{"numbers": ["+1"]}"#.to_owned(), false),
        (&berlin(weekdays, "22:00", "08:00"), berlin(r#"["tuesday"]"#, "05:00", "08:00"), true),
        (&berlin(weekdays, "22:00", "08:00"), berlin(r#"["saturday"]"#, "05:00", "08:00"), true),
        (&berlin(weekdays, "22:00", "08:00"), berlin(r#"["monday"]"#, "05:00", "08:00"), false),
        (&berlin(weekdays, "22:00", "08:00"), berlin(r#"["tuesday"]"#, "05:00", "08:01"), false),
        (
            &berlin(weekdays, "22:00", "08:00"),
            r#"{"window": {"from": "23:00", "to": "23:30", "zone": "UTC"}}"#.to_owned(),
            false,
        ),
        (r#"{"window": {"zone": "UTC"}}"#, berlin(weekdays, "05:00", "08:00"), true),
        (&berlin(weekdays, "22:00", "08:00"), "{}".to_owned(), false),
    ] {
        let found = warnings(&[rule("earlier", earlier), rule("later", &later)].join(","));
        let expected = if is_covered { &covered[..] } else { &[] };
        assert_eq!(found, expected, "{earlier} before {later}");
    }
}
