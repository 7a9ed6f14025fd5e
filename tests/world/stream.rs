//! A media socket by hand, of somebody who may or may not be the carrier.
//!
//! It refuses to know what a switch should do with it.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tandem_wire::signature;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::webhook::post;
use crate::world::{AUTH_TOKEN, PATIENCE, World};

/// What comes first on a socket: an event, or the code that it is closed with.
pub(crate) type First = Result<String, u16>;

pub(crate) struct Stream(WebSocketStream<TcpStream>);

impl Stream {
    pub(crate) async fn open(world: &World, path: &str) -> Self {
        Self::try_open(world, path, AUTH_TOKEN).await.unwrap()
    }

    /// Knocks with a signature made with `token`.
    pub(crate) async fn try_open(world: &World, path: &str, token: &str) -> Result<Self, Error> {
        let url = format!("ws://{}{path}", world.app.address);
        let mut request = url.as_str().into_client_request()?;
        request
            .headers_mut()
            .insert("x-twilio-signature", signature::sign(token, &url, b"").parse().unwrap());
        let tcp = TcpStream::connect(world.app.address).await?;
        Ok(Self(timeout(PATIENCE, client_async(request, tcp)).await.expect("an answer to the upgrade")?.0))
    }

    pub(crate) async fn start(&mut self, call_sid: &str, ticket: Option<&str>) -> First {
        let parameters = ticket.map_or(json!({}), |ticket| json!({ "ticket": ticket }));
        let start = json!({"streamSid": "MZ1", "callSid": call_sid, "customParameters": parameters});
        let message = json!({"event": "start", "streamSid": "MZ1", "start": start});
        self.0.send(Message::text(message.to_string())).await.unwrap();
        self.next().await
    }

    pub(crate) async fn next(&mut self) -> First {
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
pub(crate) async fn ticket(world: &World, call_sid: &str) -> String {
    let body = post(world, "/twilio/voice", &format!("CallSid={call_sid}"), None).await.body;
    let (_, rest) = body.split_once(r#"name="ticket" value=""#).unwrap_or_else(|| panic!("{body}"));
    rest.split('"').next().unwrap().to_owned()
}
