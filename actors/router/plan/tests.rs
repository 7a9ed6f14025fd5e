//! Plans: shares only grow while all is well, and fall to nothing for good when it is not.

#![expect(clippy::float_cmp, reason = "shares are the very numbers of the document")]

use super::*;
use jiff::ToSpan;
use proptest::prelude::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn plan(guards: &str) -> Plan {
    let json = format!(
        r#"{{"arm": "cascade", "control": "realtime", "guards": {guards}, "steps": [
            {{"share": 0.1, "minutes_min": 60, "calls_min": 50}},
            {{"share": 0.5, "minutes_min": 30, "calls_min": 100}},
            {{"share": 1.0, "minutes_min": 30}}]}}"#
    );
    serde_json::from_str(&json).unwrap()
}

const FAILURES: &str = r#"{"failure_rate": {"limit": 0.1, "margin": 0.5}}"#;

fn after(minutes: i64) -> Timestamp {
    START + minutes.minutes()
}

fn sound() -> Observation {
    Observation {
        response_ms: vec![700],
        seconds: 60,
        cost_microusd_opt: Some(50_000),
        ..Observation::default()
    }
}

fn note(state: &mut PlanState, plan: &Plan, mode: Mode, calls: usize, call: &Observation) {
    (0..calls).for_each(|_| state.note(plan, mode, call));
}

fn hold(plan: &Plan, state: &PlanState, now: Timestamp) -> String {
    match advance(plan, state, now) {
        Verdict::Hold(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_step_lasts_its_time_and_its_calls_and_then_the_share_grows() {
    let plan = plan(FAILURES);
    let mut state = PlanState::begin(START);
    note(&mut state, &plan, Mode::Realtime, 200, &sound());
    note(&mut state, &plan, Mode::Cascade, 49, &sound());
    assert_eq!(hold(&plan, &state, after(59)), "this step has lasted 59 of 60 minutes");
    assert_eq!(hold(&plan, &state, after(60)), "cascade has served 49 of 50 calls in this step");
    note(&mut state, &plan, Mode::Cascade, 1, &sound());
    let Verdict::Advance(why) = advance(&plan, &state, after(60)) else { panic!("it should advance") };
    assert_eq!(
        why,
        "60 minutes and 50 calls of cascade; failure rate of cascade is 0.0 % in 50 calls, limit 10.0 %; \
         failure rate of cascade is 0.0 % in 50 calls, that of realtime 0.0 % in 200, margin 50 %"
    );
    assert_eq!((state.share(&plan), state.share_next(&plan)), (0.1, 0.5));
    state.advance(after(60));
    assert_eq!(state.share(&plan), 0.5);
    assert_eq!(hold(&plan, &state, after(61)), "this step has lasted 1 of 30 minutes");
}

#[test]
fn the_last_step_is_compared_with_the_control_of_the_step_before() {
    let plan = plan(FAILURES);
    let mut state = PlanState::begin(START);
    state.advance(START);
    note(&mut state, &plan, Mode::Realtime, 100, &sound());
    state.advance(START);
    assert_eq!(state.share(&plan), 1.0);
    note(&mut state, &plan, Mode::Cascade, 100, &sound());
    assert_eq!(advance(&plan, &state, after(30)), Verdict::Complete);
    assert_eq!(state.share_next(&plan), 1.0);
    note(&mut state, &plan, Mode::Cascade, 100, &Observation { failed: true, ..sound() });
    let verdict = advance(&plan, &state, after(31));
    assert!(matches!(verdict, Verdict::RollBack(_)), "a complete plan is still watched: {verdict:?}");
}

#[test]
fn a_breach_beyond_chance_rolls_back_at_once_and_for_good() {
    let plan = plan(FAILURES);
    let mut state = PlanState::begin(START);
    note(&mut state, &plan, Mode::Cascade, 29, &Observation { failed: true, ..sound() });
    assert!(matches!(advance(&plan, &state, START), Verdict::Hold(_)), "29 calls are no sample");
    note(&mut state, &plan, Mode::Cascade, 1, &Observation { failed: true, ..sound() });
    let Verdict::RollBack(why) = advance(&plan, &state, START) else { panic!("it should roll back") };
    assert_eq!(why, "failure rate of cascade is 100.0 % in 30 calls, limit 10.0 %: beyond chance");
    state.roll_back(why, after(3));
    note(&mut state, &plan, Mode::Cascade, 1_000, &sound());
    let held = hold(&plan, &state, after(10_000));
    assert!(held.starts_with("rolled back at 1970-01-01T00:03:00Z (failure rate of cascade"), "{held}");
    state.advance(after(10_000));
    assert_eq!((state.share(&plan), state.share_next(&plan)), (0.0, 0.0));
}

#[test]
fn what_may_be_chance_holds_the_plan_and_no_more() {
    let plan = plan(FAILURES);
    let mut state = PlanState::begin(START);
    note(&mut state, &plan, Mode::Realtime, 500, &sound());
    note(&mut state, &plan, Mode::Cascade, 52, &sound());
    note(&mut state, &plan, Mode::Cascade, 8, &Observation { failed: true, ..sound() });
    let held = hold(&plan, &state, after(60));
    assert_eq!(held, "failure rate of cascade is 13.3 % in 60 calls, limit 10.0 %: may be chance");
}

#[test]
fn a_guard_that_cannot_judge_yet_holds_the_plan() {
    let guards = r#"{"response_p95_ms": {"margin": 0.25}, "cost_per_minute_microusd": {"limit": 100000.0}}"#;
    let plan = plan(guards);
    let mut state = PlanState::begin(START);
    let dumb = Observation { response_ms: Vec::new(), cost_microusd_opt: None, ..sound() };
    note(&mut state, &plan, Mode::Cascade, 50, &dumb);
    assert_eq!(hold(&plan, &state, after(60)), "response p95 of cascade is known of 0 calls, 30 are needed");
    note(&mut state, &plan, Mode::Cascade, 30, &Observation { cost_microusd_opt: None, ..sound() });
    assert_eq!(hold(&plan, &state, after(60)), "response p95 of realtime is known of 0 calls, 30 are needed");
    note(&mut state, &plan, Mode::Realtime, 30, &sound());
    assert_eq!(
        hold(&plan, &state, after(60)),
        "cost per minute of cascade is known of 0 calls, 30 are needed"
    );
    note(&mut state, &plan, Mode::Cascade, 30, &sound());
    assert!(matches!(advance(&plan, &state, after(60)), Verdict::Advance(_)));
}

#[test]
fn slow_answers_and_dear_minutes_roll_back() {
    for (guards, sick, words) in [
        (
            r#"{"response_p95_ms": {"margin": 0.25}}"#,
            Observation { response_ms: vec![1_900], ..sound() },
            "response p95 of cascade is 1919 ms in 100 calls, that of realtime 703 ms in 100, margin 25 %",
        ),
        (
            r#"{"cost_per_minute_microusd": {"limit": 60000.0}}"#,
            Observation { cost_microusd_opt: Some(90_000), ..sound() },
            "cost per minute of cascade is 0.0900 USD in 100 calls, limit 0.0600 USD",
        ),
        (
            r#"{"early_hang_up_rate": {"margin": 0.0}}"#,
            Observation { early_hang_up: true, ..sound() },
            "early hang-up rate of cascade is 100.0 % in 100 calls, that of realtime 0.0 % in 100, margin 0 %",
        ),
    ] {
        let plan = plan(guards);
        let mut state = PlanState::begin(START);
        note(&mut state, &plan, Mode::Realtime, 100, &sound());
        note(&mut state, &plan, Mode::Cascade, 100, &sick);
        assert_eq!(advance(&plan, &state, START), Verdict::RollBack(format!("{words}: beyond chance")));
    }
}

#[test]
fn a_clock_that_steps_back_only_delays() {
    let plan = plan("{}");
    let state = PlanState::begin(after(1_000));
    assert_eq!(hold(&plan, &state, START), "this step has lasted 0 of 60 minutes");
}

#[test]
fn calls_of_other_modes_are_no_evidence() {
    let plan = plan(FAILURES);
    let mut state = PlanState::begin(START);
    note(&mut state, &plan, Mode::Traditional, 100, &Observation { failed: true, ..sound() });
    assert_eq!(state, PlanState::begin(START));
}

#[test]
fn operators_see_how_far_a_plan_has_come_and_why_no_further() {
    let plan = plan(FAILURES);
    let mut state = PlanState::begin(START);
    note(&mut state, &plan, Mode::Cascade, 50, &sound());
    let view = plan.view("roll-out", &state, after(1));
    assert_eq!((view.status, view.share, view.step, view.steps), (PlanStatus::Running, 0.1, 1, 3));
    assert_eq!((view.arm_calls, view.control_calls), (50, 0));
    assert_eq!(view.why, "this step has lasted 1 of 60 minutes");
    let json = serde_json::to_value(view.figures[1]).unwrap();
    assert_eq!(json, serde_json::json!({"measure": "response_p95_ms", "arm": 703.0, "control": null}));
    state.roll_back("too slow".to_owned(), after(1));
    let view = plan.view("roll-out", &state, after(2));
    assert_eq!((view.status, view.share), (PlanStatus::RolledBack, 0.0));
    assert_eq!(view.why, "rolled back at 1970-01-01T00:01:00Z (too slow); an operator has to restart it");
}

/// What happens to a plan in a minute: calls of the arm, of the control, and how many of the arm's fail.
fn minute() -> impl Strategy<Value = (usize, usize, usize)> {
    (0_usize..40, 0_usize..60, prop_oneof![4 => Just(0_usize), 1 => 0_usize..40])
}

proptest! {
    #[test]
    fn shares_only_grow_until_they_fall_to_nothing_for_good(
        minutes in prop::collection::vec(minute(), 1..120),
        mut shares in prop::collection::vec(0.001_f64..1.0, 0..6),
        minutes_min in 0_u32..20,
        calls_min in 0_u64..200,
    ) {
        shares.sort_by(f64::total_cmp);
        shares.push(1.0);
        let steps = shares.into_iter().map(|share| Step { share, minutes_min, calls_min }).collect();
        let plan = Plan { steps, ..plan(FAILURES) };
        let mut state = PlanState::begin(START);
        let mut share = 0.0;
        for (minute, (arm, control, failing)) in minutes.into_iter().enumerate() {
            note(&mut state, &plan, Mode::Cascade, arm, &sound());
            note(&mut state, &plan, Mode::Cascade, failing, &Observation { failed: true, ..sound() });
            note(&mut state, &plan, Mode::Realtime, control, &sound());
            let now = after(i64::try_from(minute).unwrap());
            let was_rolled_back = state.is_rolled_back();
            match advance(&plan, &state, now) {
                Verdict::Advance(_) => {
                    prop_assert!(!was_rolled_back);
                    let next = state.share_next(&plan);
                    state.advance(now);
                    prop_assert_eq!(state.share(&plan), next);
                }
                Verdict::RollBack(why) => state.roll_back(why, now),
                Verdict::Hold(_) | Verdict::Complete => {}
            }
            // Any restart of the process in between changes nothing.
            let json = serde_json::to_string(&state).unwrap();
            state = serde_json::from_str(&json).unwrap();
            if state.is_rolled_back() {
                prop_assert_eq!(state.share(&plan), 0.0);
            } else {
                prop_assert!(!was_rolled_back && state.share(&plan) >= share);
                share = state.share(&plan);
            }
        }
    }
}
