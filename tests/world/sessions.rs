//! What the provider has written down. It refuses to judge it.

use tandem_sim::provider::SessionRecord;

use crate::world::{PATIENCE, World};

/// Every session that there was: the provider writes one down when it is closed.
pub(crate) async fn sessions(world: &World) -> Vec<SessionRecord> {
    world.is_left_within(PATIENCE).await;
    world.provider.sessions()
}
