//! The bandit: it finds the better arm, forgets none, notices change, and can be replayed.

use super::*;
use rand::RngExt;

fn bandit(json: &str) -> Bandit {
    serde_json::from_str(json).unwrap()
}

const THREE: [Mode; 3] = [Mode::Realtime, Mode::Hybrid, Mode::Traditional];

/// So many calls, each in a mode drawn by the shares that stand, with a reward of 1 at the mode's rate; a proposal
/// after every 50th, as a tick of the router would make it.
fn live(bandit: &Bandit, state: &mut BanditState, rates: [f64; 3], calls: u32, chance: &mut StdRng) {
    for n in 0..calls {
        if n % 50 == 0 {
            let shares = bandit.propose(state);
            state.adopt(shares);
        }
        let mut draw = chance.random::<f64>();
        let arm = THREE.iter().position(|mode| {
            draw -= state.shares[mode];
            draw < 0.0
        });
        let arm = arm.unwrap_or(THREE.len() - 1);
        state.learn(bandit, THREE[arm], f64::from(u8::from(chance.random_bool(rates[arm]))));
    }
}

#[test]
fn the_better_arm_gets_the_calls_and_the_others_keep_their_floor() {
    let bandit = bandit(r#"{"arms": ["realtime", "hybrid", "traditional"], "floor": 0.05, "seed": 7}"#);
    for seed in 0..3 {
        let mut state = BanditState::default();
        live(&bandit, &mut state, [0.5, 0.7, 0.3], 2_000, &mut StdRng::seed_from_u64(seed));
        assert!(state.shares[&Mode::Hybrid] > 0.85, "seed {seed}: {:?}", state.shares);
        assert!(state.shares.values().all(|share| *share >= 0.05), "seed {seed}: {:?}", state.shares);
        assert!((state.shares.values().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn with_a_half_life_it_notices_that_the_world_has_changed() {
    let json = r#"{"arms": ["realtime", "hybrid", "traditional"], "half_life": 300.0, "seed": 7}"#;
    for seed in 0..2 {
        let (bandit, mut state) = (bandit(json), BanditState::default());
        let mut chance = StdRng::seed_from_u64(seed);
        live(&bandit, &mut state, [0.8, 0.4, 0.4], 1_500, &mut chance);
        assert!(state.shares[&Mode::Realtime] > 0.8, "seed {seed}: {:?}", state.shares);
        live(&bandit, &mut state, [0.2, 0.4, 0.8], 1_500, &mut chance);
        assert!(state.shares[&Mode::Traditional] > 0.8, "seed {seed}: {:?}", state.shares);
    }
}

#[test]
fn before_the_first_outcome_no_arm_is_preferred() {
    let bandit = bandit(r#"{"arms": ["realtime", "hybrid", "traditional"]}"#);
    for (mode, share) in bandit.propose(&BanditState::default()) {
        assert!((share - 1.0 / 3.0).abs() < 0.04, "{mode}: {share}");
    }
}

#[test]
fn a_proposal_can_be_made_again_and_each_has_its_own_chance() {
    let bandit = bandit(r#"{"arms": ["realtime", "hybrid"], "seed": 42}"#);
    let mut state = BanditState::default();
    let first = bandit.propose(&state);
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(bandit.propose(&serde_json::from_str(&json).unwrap()), first);
    assert_ne!(Bandit { seed: 43, ..bandit.clone() }.propose(&state), first);
    state.adopt(first.clone());
    assert_ne!(bandit.propose(&state), first);
}

#[test]
fn a_floor_that_takes_all_shares_equally() {
    let bandit = bandit(r#"{"arms": ["realtime", "hybrid"], "floor": 0.5}"#);
    let mut state = BanditState::default();
    (0..100).for_each(|_| state.learn(&bandit, Mode::Hybrid, 1.0));
    assert_eq!(bandit.propose(&state), [(Mode::Realtime, 0.5), (Mode::Hybrid, 0.5)]);
}

#[test]
fn a_reward_may_be_anything_between_nothing_and_all() {
    let bandit = bandit(r#"{"arms": ["realtime", "hybrid"]}"#);
    let mut state = BanditState::default();
    state.learn(&bandit, Mode::Hybrid, 0.25);
    assert_eq!(state.posteriors[&Mode::Hybrid], Posterior { rewards: 0.25, shortfalls: 0.75 });
}

#[test]
fn figures_that_make_no_sense_count_as_none() {
    let bandit = bandit(r#"{"arms": ["realtime", "hybrid"]}"#);
    let mut state = BanditState::default();
    let odd = [f64::NAN, -3.0, f64::INFINITY, 1e300];
    for (rewards, shortfalls) in odd.into_iter().flat_map(|a| odd.map(|b| (a, b))) {
        state.posteriors.insert(Mode::Realtime, Posterior { rewards, shortfalls });
        let sum: f64 = bandit.propose(&state).iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{rewards} {shortfalls}");
    }
}
