//! A call begins on whichever thread answers its webhook, and its socket is accepted by whichever is free: they find each
//! other, and every caller hears the agent from the first word to the last.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/patient_ear.rs"]
mod patient_ear;
#[path = "world/stream.rs"]
mod stream;
#[path = "world/webhook.rs"]
mod webhook;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tandem_sim::carrier::{CallEnd, CallPlan, CarrierEvent, HangUp};
use tandem_sim::provider::{ProviderOptions, Script};
use tandem_sim::speech;

use patient_ear::heard_through;
use stream::{Stream, ticket};
use webhook::over;
use world::{World, place};

const CALLS: usize = 32;

/// Sockets linger for two seconds when the other side does not answer a close.
const GONE_WITHIN: Duration = Duration::from_secs(4);

const WORKERS: (&str, &str) = ("TANDEM__SERVER__WORKERS", "4");

#[actix_rt::test]
async fn calls_whose_sockets_land_anywhere_all_talk() {
    let greeting = speech::sentence("breakfast").unwrap();
    let script = Script { greeting: greeting.clone(), ..Script::default() };
    let mut world = World::start(ProviderOptions { script, ..ProviderOptions::default() }, &[WORKERS]).await;
    let hang_up = HangUp::At(Duration::from_secs(6));
    let calls = join_all((0..CALLS).map(|_| place(CallPlan { hang_up, ..world.plan(0, 0) }))).await;
    let mut threads = BTreeSet::new();
    for call in &calls {
        assert_eq!((&call.end, &call.warnings[..]), (&CallEnd::CallerHungUp, &[][..]));
        assert!(heard_through(call, greeting.text), "{:?}", call.events);
        assert_eq!(world.report(call).await.discrepancies, []);
        let named = call.events.iter().filter_map(|(_, event)| match event {
            CarrierEvent::StreamConnecting { url } => url.rsplit('/').next(),
            _ => None,
        });
        threads.extend(named);
    }
    assert!(threads.len() > 1 && threads.is_subset(&["w0", "w1", "w2", "w3"].into()), "{threads:?}");
    assert_eq!(world.provider.connections(), CALLS, "no engine was dialled twice");
    world.close().await;
}

/// The address that we name leads to the thread of the call. A proxy may have one of its own for all sockets.
#[actix_rt::test]
async fn a_socket_whose_address_names_no_thread_finds_its_call_too() {
    let world = World::start(ProviderOptions::default(), &[WORKERS]).await;
    let calls: Vec<String> = (0..CALLS).map(|number| format!("CA{number}")).collect();
    let streams = join_all(calls.iter().map(|call| async {
        let ticket = ticket(&world, call).await;
        let mut stream = Stream::open(&world, "/media-stream").await;
        assert_eq!(stream.start(call, Some(&ticket)).await, Ok("media".to_owned()), "the agent speaks");
        stream
    }));
    let streams = streams.await;
    for call in &calls {
        over(&world, call).await;
    }
    world.is_left_within(GONE_WITHIN).await;
    drop(streams);
    world.close().await;
}
