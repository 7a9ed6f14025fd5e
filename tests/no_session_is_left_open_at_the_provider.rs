//! However and whenever a caller goes, the provider's session goes with him: an open one is billed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/sessions.rs"]
mod sessions;
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_sim::carrier::{CallEnd, CallPlan, CarrierFault, HangUp};
use tandem_sim::provider::{ProviderOptions, SessionRecord, SocketEnd};

use sessions::sessions;
use world::{World, place};

/// The provider answers the upgrade after 400 ms and opens the session 400 ms later; 20 ms more agree on its format,
/// and after another 50 the agent begins to speak.
fn slow_provider() -> ProviderOptions {
    ProviderOptions {
        handshake_delay: Duration::from_millis(400),
        first_audio_delay: Duration::from_millis(50),
        faults: vec!["session-delay:400".parse().unwrap()],
        ..ProviderOptions::default()
    }
}

/// While the provider is dialled, before the session is ours, and in the middle of an answer.
const MOMENTS: [Duration; 3] =
    [Duration::from_millis(150), Duration::from_millis(600), Duration::from_millis(1_500)];

/// Every way of going that the carrier tells: on the stream, or in its status callback when there is no stream to tell it on.
fn ways_to_go(plan: &CallPlan, moment: Duration) -> [CallPlan; 4] {
    let before = moment * 2 / 3;
    let with = |fault| CallPlan { hang_up: HangUp::At(moment), faults: vec![fault], ..plan.clone() };
    [
        CallPlan { hang_up: HangUp::At(moment), status_url: None, ..plan.clone() },
        with(CarrierFault::NoStop),
        with(CarrierFault::HalfOpenAfter(before)),
        with(CarrierFault::ResetAfter(before)), // and connected again
    ]
}

/// Sockets are closed in order, which takes a round trip each, or two seconds when the other side does not answer.
const GONE_WITHIN: Duration = Duration::from_secs(3);

#[actix_rt::test]
async fn a_caller_who_hangs_up_or_is_cut_off_at_any_moment_leaves_none() {
    let mut world = World::start(slow_provider(), &[]).await;
    let plan = world.plan(0, 0);
    let plans = MOMENTS.into_iter().flat_map(|moment| ways_to_go(&plan, moment));
    let calls = join_all(plans.map(place)).await;
    world.is_left_within(GONE_WITHIN).await;
    for call in &calls {
        assert_eq!(world.report(call).await.discrepancies, []);
        assert_eq!(call.end, CallEnd::CallerHungUp);
    }
    let sessions = sessions(&world).await;
    let closed_in_order =
        |session: &&SessionRecord| matches!(session.end, Some(SocketEnd::Closed { code: 1000, .. }));
    // Where the upgrade was not answered yet there is no session to close: the attempt is dropped.
    let abandoned = calls.len() / MOMENTS.len();
    assert_eq!(sessions.iter().filter(closed_in_order).count(), calls.len() - abandoned, "{sessions:?}");
    world.close().await;
}

/// Ten seconds without a sign of life, found at the next look a quarter of a second later; then another socket is awaited
/// for fifteen. The rest is for the machine.
const HALF_OPEN_GONE_WITHIN: Duration = Duration::from_millis(26_500);

#[actix_rt::test]
async fn a_caller_who_is_gone_without_a_word_leaves_none() {
    let mut world = World::start(slow_provider(), &[]).await;
    let never = CallPlan { status_url: None, ..world.plan(0, 0) };
    let plans = MOMENTS.map(|moment| CallPlan {
        faults: vec![CarrierFault::HalfOpenAfter(moment)],
        hang_up: HangUp::At(MOMENTS[2] + HALF_OPEN_GONE_WITHIN),
        ..never.clone()
    });
    let calls = tokio::task::spawn_local(join_all(plans.map(place)));
    place(CallPlan { hang_up: HangUp::At(MOMENTS[2]), ..never }).await; // when it is over, the others are gone
    world.is_left_within(HALF_OPEN_GONE_WITHIN).await;
    assert!(!calls.is_finished(), "the carrier holds its sockets to the end");
    for call in calls.await.unwrap() {
        assert_eq!(world.report(&call).await.discrepancies, []);
    }
    world.close().await;
}
