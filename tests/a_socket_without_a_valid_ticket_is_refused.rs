//! A media socket is a call only with the ticket that its webhook was answered with, and with that only once. Whoever is
//! refused costs no session at the provider.

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
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use world::{AUTH_TOKEN, PATIENCE, World, place};

/// 1008: policy violated (RFC 6455, section 7.4.1).
const REFUSED: Option<u16> = Some(1008);

/// A media socket of somebody who may or may not be the carrier.
struct Stream(WebSocketStream<TcpStream>);

impl Stream {
    /// Knocks with a signature made with `token`.
    async fn open(world: &World, token: &str) -> Result<Self, Error> {
        let url = format!("ws://{}/twilio/media", world.app.address);
        let mut request = url.as_str().into_client_request()?;
        request.headers_mut().insert("X-Twilio-Signature", signature::sign(token, &url, b"").parse().unwrap());
        let tcp = TcpStream::connect(world.app.address).await?;
        Ok(Self(timeout(PATIENCE, client_async(request, tcp)).await.expect("an answer to the upgrade")?.0))
    }

    async fn start(&mut self, ticket: Option<&str>) {
        let parameters = ticket.map_or(json!({}), |ticket| json!({ "ticket": ticket }));
        self.say(&json!({"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1", "callSid": "CA1", "customParameters": parameters}})).await;
    }

    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next event, or the code that the socket is closed with.
    async fn next(&mut self) -> Result<String, Option<u16>> {
        match timeout(PATIENCE, self.0.next()).await.expect("something to happen") {
            Some(Ok(Message::Text(text))) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                Ok(event["event"].as_str().unwrap().to_owned())
            }
            Some(Ok(Message::Close(frame))) => Err(frame.map(|frame| frame.code.into())),
            other => panic!("{other:?}"),
        }
    }
}

/// Opens a socket with this ticket; what comes first.
async fn knock(world: &World, ticket: Option<&str>) -> Result<String, Option<u16>> {
    let mut stream = Stream::open(world, AUTH_TOKEN).await.unwrap();
    stream.start(ticket).await;
    stream.next().await
}

/// The ticket that the voice webhook answers with.
async fn ticket(world: &World) -> String {
    let body = "CallSid=CA1";
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

#[actix_rt::test]
async fn a_ticket_that_is_missing_forged_or_of_another_switch_admits_nobody() {
    let world = World::start(ProviderOptions::default(), &[]).await;
    let elsewhere = World::start(ProviderOptions::default(), &[("TWILIO_AUTH_TOKEN", "of-somebody-else")]).await;
    let own = ticket(&world).await;
    let (name, seal) = own.rsplit_once('.').expect("a ticket and its seal");
    println!("{own} {name} {seal}");
    assert_eq!(knock(&world, None).await, Err(REFUSED));
    assert_eq!(world.provider.connections(), 0);
    world.close().await; elsewhere.close().await;
}
