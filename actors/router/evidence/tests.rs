//! Evidence: what is measured is right, guards are calm under chance and quick under trouble.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// One call of a mode that fails, is left early, answers and costs as told.
#[derive(Clone, Copy)]
struct Nature {
    failure: f64,
    early_hang_up: f64,
    /// Responses are this, times e to a normal deviate of 0.3 or so: skewed as real ones are.
    response_ms: f64,
    microusd_per_minute: f64,
}

const SOUND: Nature =
    Nature { failure: 0.05, early_hang_up: 0.1, response_ms: 800.0, microusd_per_minute: 300_000.0 };

impl Nature {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    fn call(self, chance: &mut StdRng) -> Observation {
        let normal = |chance: &mut StdRng| (0..12).map(|_| chance.random::<f64>()).sum::<f64>() - 6.0;
        // The answers of one call resemble each other.
        let pace = self.response_ms * (0.2 * normal(chance)).exp();
        let answers = chance.random_range(1..8);
        let response_ms = (0..answers).map(|_| (pace * (0.2 * normal(chance)).exp()) as u32).collect();
        let seconds = chance.random_range(5..400);
        let spent = self.microusd_per_minute * seconds as f64 / 60.0 * (0.3 * normal(chance)).exp();
        Observation {
            failed: chance.random_bool(self.failure),
            early_hang_up: chance.random_bool(self.early_hang_up),
            response_ms,
            seconds,
            cost_microusd_opt: Some(spent as u64),
        }
    }
}

fn tally(nature: Nature, calls: u64, seed: u64) -> Tally {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut tally = Tally::default();
    (0..calls).for_each(|_| tally.note(&nature.call(&mut chance)));
    tally
}

/// A tally of calls that are all alike, but for so many that failed.
fn failing(failed: u64, calls: u64) -> Tally {
    let mut tally = Tally::default();
    for n in 0..calls {
        tally.note(&Observation { failed: n < failed, ..Observation::default() });
    }
    tally
}

// --- what is measured ------------------------------------------------------------------------------------

#[test]
fn rates_quantile_and_cost_are_what_the_calls_were() {
    let mut tally = Tally::default();
    for n in 1..=100_u32 {
        tally.note(&Observation {
            failed: n <= 7,
            early_hang_up: n <= 20,
            response_ms: vec![n * 10, n * 10],
            seconds: 30,
            cost_microusd_opt: (n > 50).then_some(u64::from(n % 2) * 100_000),
        });
    }
    assert_eq!(tally.value(Measure::FailureRate), Some(0.07));
    assert_eq!(tally.value(Measure::EarlyHangUpRate), Some(0.2));
    let p95 = tally.value(Measure::ResponseP95Ms).unwrap();
    assert!((950.0..=950.0 * 17.0 / 16.0).contains(&p95), "{p95}");
    assert_eq!(tally.value(Measure::CostPerMinuteMicrousd), Some(100_000.0));
    assert_eq!(Measure::ALL.map(|measure| tally.sample(measure)), [100, 100, 100, 50]);
    let words = Measure::ALL.map(|measure| measure.words(tally.value(measure).unwrap()));
    assert_eq!(words, ["7.0 %", "959 ms", "20.0 %", "0.1000 USD"]);
}

#[test]
fn nothing_is_known_of_no_calls() {
    let none = Tally::default();
    for measure in Measure::ALL {
        assert_eq!(none.value(measure), None);
        assert_eq!(none.beyond_limit(measure, 0.1), None);
        assert_eq!(none.beyond_control(measure, 0.1, &tally(SOUND, 50, 1)), None);
        assert_eq!(tally(SOUND, 50, 1).beyond_control(measure, 0.1, &none), None);
    }
}

#[test]
fn a_call_without_price_or_length_is_no_evidence_of_cost() {
    let mut tally = Tally::default();
    tally.note(&Observation { seconds: 60, ..Observation::default() });
    assert_eq!(tally.sample(Measure::CostPerMinuteMicrousd), 0);
    for _ in 0..3 {
        tally.note(&Observation { cost_microusd_opt: Some(u64::MAX), ..Observation::default() });
    }
    assert_eq!(tally.sample(Measure::CostPerMinuteMicrousd), 0, "no time has passed");
    assert_eq!(tally.value(Measure::CostPerMinuteMicrousd), None);
}

#[test]
fn a_tally_is_read_back_as_it_was_and_stays_small() {
    let tally = tally(SOUND, 10_000, 3);
    let json = serde_json::to_string(&tally).unwrap();
    assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
    assert!(json.len() < 4_096, "{}", json.len());
    let kept = json.contains(r#""responses":{"calls":10000,"buckets":{""#);
    assert!(kept, "the routing books that there are could not be read: {json}");
}

// --- chance and trouble ----------------------------------------------------------------------------------

/// The limits that [`SOUND`] just meets: those at which a false alarm is likeliest.
const JUST_MET: [(Measure, f64); 4] = [
    (Measure::FailureRate, 0.05),
    (Measure::ResponseP95Ms, 1_279.0),
    (Measure::EarlyHangUpRate, 0.1),
    (Measure::CostPerMinuteMicrousd, 314_000.0),
];

#[test]
fn chance_alone_raises_no_alarm_however_often_one_looks() {
    for seed in 0..60 {
        let mut chance = StdRng::seed_from_u64(seed);
        let (mut arm, mut control) = (Tally::default(), Tally::default());
        for calls in 1..=600 {
            arm.note(&SOUND.call(&mut chance));
            control.note(&SOUND.call(&mut chance));
            if calls < 30 || calls % 5 != 0 {
                continue;
            }
            for (measure, limit) in JUST_MET {
                let by_limit = arm.beyond_limit(measure, limit).unwrap();
                let by_margin = arm.beyond_control(measure, 0.0, &control).unwrap();
                let alarm = by_limit.is_significant() || by_margin.is_significant();
                assert!(!alarm, "{} after {calls} calls, seed {seed}", measure.name());
            }
        }
    }
}

/// Three times the failures and early hang-ups, half as slow and as dear again.
const SICK: Nature =
    Nature { failure: 0.15, early_hang_up: 0.3, response_ms: 1_200.0, microusd_per_minute: 450_000.0 };

#[test]
fn trouble_is_found_within_some_hundred_calls() {
    // Measured over 400 seeds, calls until the alarm on average: failure rate 249 by limit and 335 by margin, response
    // p95 64 and 83, early hang-up rate 130 and 187, cost per minute 31 and 36.
    let calls = [700, 200, 400, 60];
    for ((measure, limit), calls) in JUST_MET.into_iter().zip(calls) {
        for seed in 0..20 {
            let (arm, control) = (tally(SICK, calls, seed), tally(SOUND, calls, seed + 1_000));
            let by_limit = arm.beyond_limit(measure, limit).unwrap();
            let by_margin = arm.beyond_control(measure, 0.0, &control).unwrap();
            assert!(by_limit.is_significant(), "{} by limit, seed {seed}", measure.name());
            assert!(by_margin.is_significant(), "{} by margin, seed {seed}", measure.name());
        }
    }
}

#[test]
fn an_arm_that_always_fails_is_found_as_soon_as_anyone_looks() {
    assert!(failing(30, 30).beyond_limit(Measure::FailureRate, 0.05).unwrap().is_significant());
    let against = failing(30, 30).beyond_control(Measure::FailureRate, 0.5, &failing(0, 30));
    assert!(against.unwrap().is_significant());
}

#[test]
fn what_is_better_than_its_bound_is_never_beyond_it() {
    for calls in [30, 3_000, 300_000] {
        let excess =
            failing(0, calls).beyond_control(Measure::FailureRate, 0.0, &failing(calls, calls)).unwrap();
        assert!(!excess.is_beyond() && !excess.is_significant());
    }
}

#[test]
fn a_price_that_differs_by_less_than_a_hundredth_is_the_same() {
    let price = |microusd| {
        let mut tally = Tally::default();
        for _ in 0..100_000 {
            tally.note(&Observation {
                seconds: 60,
                cost_microusd_opt: Some(microusd),
                ..Observation::default()
            });
        }
        tally
    };
    let dearer = |by: u64| {
        price(100_000 + by).beyond_control(Measure::CostPerMinuteMicrousd, 0.0, &price(100_000)).unwrap()
    };
    assert!(dearer(900).is_beyond() && !dearer(900).is_significant());
    assert!(dearer(10_000).is_significant());
}
