//! A media socket becomes a call's only with a ticket that one of the call's webhooks was answered with, and only once.
//! Whoever is refused costs no session at the provider, and does not disturb the call.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/dialled.rs"]
mod dialled;
#[path = "world/stream.rs"]
mod stream;
#[path = "world/webhook.rs"]
mod webhook;
mod world;

use std::time::Duration;

use tandem_sim::carrier::{CallEnd, CallPlan, HangUp};
use tandem_sim::provider::ProviderOptions;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::http::StatusCode;

use dialled::dialled;
use stream::{First, Stream, ticket};
use webhook::over;
use world::{World, place};

/// The call that streams here say they are of.
const CALL: &str = "CA1";

/// Policy violated (RFC 6455, section 7.4.1).
const REFUSED: First = Err(1008);

const MEDIA: &str = "/twilio/media";

/// A switch that knows no account: only for whom nobody else reaches.
const OPEN: [(&str, &str); 2] = [("TWILIO_AUTH_TOKEN", ""), ("TANDEM__TWILIO__VALIDATE_SIGNATURES", "false")];

#[actix_rt::test]
async fn a_ticket_that_is_missing_forged_or_for_another_call_or_switch_admits_nobody() {
    let world = World::start(ProviderOptions::default(), &[]).await;
    let elsewhere = World::start(ProviderOptions::default(), &OPEN).await;
    let forged: String = ticket(&world, CALL).await.chars().rev().collect();
    let of_another_call = ticket(&world, "CA2").await;
    let of_another_switch = ticket(&elsewhere, CALL).await;
    for ticket in [None, Some("admit me"), Some(&forged), Some(&of_another_call), Some(&of_another_switch)] {
        assert_eq!(Stream::open(&world, MEDIA).await.start(CALL, ticket).await, REFUSED, "{ticket:?}");
    }
    dialled(&world, 2).await; // for the calls that rang, and none for whoever is refused
    for (world, call) in [(&world, CALL), (&world, "CA2"), (&elsewhere, CALL)] {
        over(world, call).await;
    }
    world.close().await;
    elsewhere.close().await;
}

#[actix_rt::test]
async fn a_ticket_admits_once_and_a_call_has_one_stream_the_latest() {
    let world = World::start(ProviderOptions::default(), &[]).await;
    let [own, again] = [ticket(&world, CALL).await, ticket(&world, CALL).await];
    let mut first = Stream::open(&world, MEDIA).await;
    assert_eq!(first.start(CALL, Some(&own)).await, Ok("media".to_owned()), "the agent speaks");
    assert_eq!(Stream::open(&world, MEDIA).await.start(CALL, Some(&own)).await, REFUSED);
    assert_eq!(first.next().await, Ok("mark".to_owned()), "and is not disturbed");

    let mut second = Stream::open(&world, MEDIA).await;
    assert_eq!(
        second.start(CALL, Some(&again)).await,
        Ok("media".to_owned()),
        "the carrier has connected anew"
    );
    while let Ok(event) = first.next().await {
        assert!(["media", "mark"].contains(&&event[..]), "{event} over the socket that is left");
    }
    assert_eq!(Stream::open(&world, MEDIA).await.start(CALL, Some(&again)).await, REFUSED);
    assert!(second.next().await.is_ok(), "and goes on");
    assert_eq!(world.provider.connections(), 1, "the session is the same");
    over(&world, CALL).await;
    world.close().await;
}

#[actix_rt::test]
async fn a_socket_that_the_carrier_has_not_signed_is_not_even_opened() {
    let world = World::start(ProviderOptions::default(), &[]).await;
    let Err(Error::Http(answer)) = Stream::try_open(&world, MEDIA, "not the token").await else {
        panic!("it is opened")
    };
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    world.close().await;
}

#[actix_rt::test]
async fn without_an_account_no_ticket_is_asked_for_but_a_false_one_is_refused() {
    let world = World::start(ProviderOptions::default(), &OPEN).await;
    assert_eq!(Stream::open(&world, MEDIA).await.start(CALL, None).await, Ok("media".to_owned()));
    assert_eq!(Stream::open(&world, MEDIA).await.start(CALL, Some("admit me")).await, REFUSED);
    over(&world, CALL).await;
    world.close().await;
}

#[actix_rt::test]
async fn the_carrier_carries_its_ticket_back() {
    let mut world = World::start(ProviderOptions::default(), &[]).await;
    let call = place(CallPlan { hang_up: HangUp::At(Duration::from_millis(500)), ..world.plan(0, 0) }).await;
    assert_eq!((&call.end, &call.warnings[..]), (&CallEnd::CallerHungUp, &[][..]));
    assert_eq!(world.report(&call).await.discrepancies, []);
    world.close().await;
}
