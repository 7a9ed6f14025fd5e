//! Calls started and ended in every way leave no children, no sockets and no open books.

use std::time::Duration;

use tandem_actors::engine::AudioChoice;
use tandem_actors::switchboard::{Admit, Drain};
use tandem_actors::testing::{CallOptions, CarrierPeer, ProviderPeer, Universe};

const CALLS: usize = 500;

/// Ways for a call to end.
const ENDINGS: [fn(&mut CarrierPeer, &mut ProviderPeer); 7] = [
    |carrier, _| carrier.hang_up(),
    |carrier, _| carrier.peer.lose(),
    |carrier, _| carrier.peer.send(tandem_actors::ports::SocketItem::Closed { code: Some(1000) }),
    |_, provider| provider.error("invalid_request_error", "insufficient_quota"),
    |carrier, provider| {
        provider.peer.lose();
        carrier.hang_up();
    },
    |carrier, provider| {
        provider.speech_started("u");
        carrier.hang_up();
        carrier.hang_up();
    },
    |carrier, _| {
        carrier.speak(2_000, 0x44);
        carrier.hang_up();
    },
];

#[actix_rt::test]
async fn whatever_way_they_end() {
    let mut universe = Universe::new();
    let mut ends = Vec::new();
    for n in 0..CALLS {
        let audio = if n % 5 == 0 { AudioChoice::Pcm24 } else { AudioChoice::Pcmu };
        let (mut carrier, _call) = universe.call(CallOptions { audio, ..CallOptions::default() }).await;
        let mut provider = universe.provider().await;
        carrier.speak(200, 0x44);
        if n % 3 > 0 {
            provider.agree().await; // a third of them never gets that far
        }
        if n % 3 > 1 {
            provider.response_created("r");
            provider.audio("r", "a", 3_000);
        }
        ends.push((carrier, provider));
    }
    universe.advance(Duration::from_millis(500)).await;
    assert_eq!(universe.census().await.live, CALLS);
    for (n, (carrier, provider)) in ends.iter_mut().enumerate() {
        ENDINGS[n % ENDINGS.len()](carrier, provider);
    }
    for _ in 0..CALLS {
        let report = universe.report().await;
        assert_eq!(report.discrepancies, [], "{report:?}");
    }
    let census = universe.census().await;
    assert_eq!((census.live, census.crashed, census.audit_failures), (0, 0, 0));
    for (carrier, provider) in &mut ends {
        assert!(carrier.peer.is_gone() && provider.peer.is_gone(), "every socket is let go of");
    }
}

#[actix_rt::test]
async fn a_drain_ends_all_calls_in_order_and_admits_no_more() {
    let mut universe = Universe::new();
    let mut peers = Vec::new();
    for _ in 0..50 {
        let (carrier, _call) = universe.call(CallOptions::default()).await;
        let mut provider = universe.provider().await;
        provider.agree().await;
        peers.push((carrier, provider));
    }
    universe.switchboard.send(Drain).await.unwrap();
    assert_eq!(universe.census().await.live, 0);
    let refused = universe.switchboard.send(Admit { call_sid: None }).await.unwrap();
    assert!(refused.is_err());
}
