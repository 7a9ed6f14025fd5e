//! How many engines a switch has dialled.
//!
//! It refuses to believe the switch: the provider counts.

use tokio::time::{Instant, sleep};

use crate::world::{ASK_EVERY, PATIENCE, World};

/// Returns when so many sessions were asked for: a call's engine is dialled while its webhook is answered, and the
/// provider sees it a moment later. Fails when there are more.
pub(crate) async fn dialled(world: &World, sessions: usize) {
    let since = Instant::now();
    while world.provider.connections() < sessions {
        assert!(since.elapsed() < PATIENCE, "{} of {sessions} were dialled", world.provider.connections());
        sleep(ASK_EVERY).await;
    }
    assert_eq!(world.provider.connections(), sessions, "sessions were asked for");
}
