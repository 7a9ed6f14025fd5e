//! A media socket becomes a call only with the ticket that the call's webhook was answered with, and only once. Whoever is
//! refused costs no session at the provider.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tandem_sim::carrier::{CallEnd, CallPlan, HangUp};
use tandem_sim::provider::ProviderOptions;
use tandem_wire::signature;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use world::{AUTH_TOKEN, PATIENCE, World, place};

/// What comes first on a socket: an event, or the code that it is closed with.
type First = Result<String, u16>;

/// The call that streams here say they are of.
const CALL: &str = "CA1";

/// Policy violated (RFC 6455, section 7.4.1).
const REFUSED: First = Err(1008);

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
        assert_eq!(Stream::open(&world).await.start(ticket).await, REFUSED, "{ticket:?}");
    }
    assert_eq!(world.provider.connections(), 0);
    world.close().await;
    elsewhere.close().await;
}

#[actix_rt::test]
async fn a_ticket_admits_once_and_a_call_has_one_stream() {
    let world = World::start(ProviderOptions::default(), &[]).await;
    let [own, again] = [ticket(&world, CALL).await, ticket(&world, CALL).await];
    let mut first = Stream::open(&world).await;
    assert_eq!(first.start(Some(&own)).await, Ok("media".to_owned()), "the agent speaks");
    for ticket in [own, again] {
        assert_eq!(Stream::open(&world).await.start(Some(&ticket)).await, REFUSED);
    }
    assert_eq!(first.next().await, Ok("mark".to_owned()), "and is not disturbed");
    assert_eq!(world.provider.connections(), 1);
    first.0.close(None).await.unwrap();
    world.close().await;
}

#[actix_rt::test]
async fn a_socket_that_the_carrier_has_not_signed_is_not_even_opened() {
    let world = World::start(ProviderOptions::default(), &[]).await;
    let Err(Error::Http(answer)) = Stream::try_open(&world, "not the token").await else {
        panic!("it is opened")
    };
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    world.close().await;
}

#[actix_rt::test]
async fn without_an_account_no_ticket_is_asked_for_but_a_false_one_is_refused() {
    let world = World::start(ProviderOptions::default(), &OPEN).await;
    assert_eq!(Stream::open(&world).await.start(None).await, Ok("media".to_owned()));
    assert_eq!(Stream::open(&world).await.start(Some("admit me")).await, REFUSED);
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

/// A media socket of somebody who may or may not be the carrier.
struct Stream(WebSocketStream<TcpStream>);

impl Stream {
    async fn open(world: &World) -> Self {
        Self::try_open(world, AUTH_TOKEN).await.unwrap()
    }

    /// Knocks with a signature made with `token`.
    async fn try_open(world: &World, token: &str) -> Result<Self, Error> {
        let url = format!("ws://{}/twilio/media", world.app.address);
        let mut request = url.as_str().into_client_request()?;
        request
            .headers_mut()
            .insert("x-twilio-signature", signature::sign(token, &url, b"").parse().unwrap());
        let tcp = TcpStream::connect(world.app.address).await?;
        Ok(Self(timeout(PATIENCE, client_async(request, tcp)).await.expect("an answer to the upgrade")?.0))
    }

    async fn start(&mut self, ticket: Option<&str>) -> First {
        let parameters = ticket.map_or(json!({}), |ticket| json!({ "ticket": ticket }));
        let start = json!({"streamSid": "MZ1", "callSid": CALL, "customParameters": parameters});
        let message = json!({"event": "start", "streamSid": "MZ1", "start": start});
        self.0.send(Message::text(message.to_string())).await.unwrap();
        self.next().await
    }

    async fn next(&mut self) -> First {
        match timeout(PATIENCE, self.0.next()).await.expect("something to happen") {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                Ok(message["event"].as_str().unwrap().to_owned())
            }
            Some(Ok(Message::Close(Some(frame)))) => Err(frame.code.into()),
            other => panic!("{other:?}"),
        }
    }
}

/// The ticket that the voice webhook answers with.
async fn ticket(world: &World, call_sid: &str) -> String {
    let body = format!("CallSid={call_sid}");
    let url = format!("http://{}/twilio/voice", world.app.address);
    let signature = signature::sign(AUTH_TOKEN, &url, body.as_bytes());
    let request = format!(
        "POST /twilio/voice HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-twilio-signature: {signature}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut tcp = TcpStream::connect(world.app.address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (_, rest) = answer.split_once(r#"name="ticket" value=""#).unwrap_or_else(|| panic!("{answer}"));
    rest.split('"').next().unwrap().to_owned()
}
