//! Five hundred calls over real sockets, ended in every way: not a socket, not a session, not a call is left, and every
//! book balances.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::fs;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tandem_sim::carrier::{CallEnd, CallPlan, CarrierFault, HangUp};
use tandem_sim::provider::ProviderOptions;
use tokio::time::{sleep, timeout};

use world::{PATIENCE, World, place};

const CALLS: usize = 500;

/// At a time. A call has both ends of three connections in this process, so these are 600 file descriptors, where many a
/// shell allows 1024.
const AT_ONCE: usize = 100;

/// Sockets linger for two seconds when the other side does not answer a close.
const GONE_WITHIN: Duration = Duration::from_secs(3);

/// The n-th call: it lasts 0.3 to 1.1 s, from before the agent's first word to the middle of its greeting. The carrier
/// tells that it is over on the stream, in a status callback, or both; and in one of five there are two streams.
fn plan(world: &World, n: usize) -> CallPlan {
    let moment = Duration::from_millis(300 + (n as u64 * 37) % 800);
    let plan = CallPlan { hang_up: HangUp::At(moment), ..world.plan(200, 300) };
    match n % 5 {
        0 => plan,
        1 => CallPlan { status_url: None, ..plan },
        2 => CallPlan { faults: vec![CarrierFault::NoStop], ..plan },
        3 => CallPlan { faults: vec![CarrierFault::ResetAfter(moment / 2)], ..plan },
        _ => CallPlan { faults: vec![CarrierFault::HalfOpenAfter(moment / 2)], ..plan },
    }
}

#[actix_rt::test]
async fn five_hundred_calls_in_every_way_leave_nothing() {
    let mut world = World::start(ProviderOptions::default(), &[]).await;
    place(plan(&world, 0)).await; // whatever is set up once, is now
    world.is_left_within(PATIENCE).await;
    let before = descriptors();

    let plans: Vec<_> = (0..CALLS).map(|n| plan(&world, n)).collect();
    let calls: Vec<_> = stream::iter(plans).map(place).buffer_unordered(AT_ONCE).collect().await;
    for call in &calls {
        assert_eq!(call.end, CallEnd::CallerHungUp);
        assert_eq!(world.report(call).await.discrepancies, [], "{:?}", call.events);
    }
    world.is_left_within(GONE_WITHIN).await;
    let closed = async {
        while descriptors() > before {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(GONE_WITHIN, closed)
        .await
        .unwrap_or_else(|_| panic!("{before} were open, {} are", descriptors()));
    world.close().await;
}

/// File descriptors of this process that are open.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
