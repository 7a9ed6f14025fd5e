//! A carrier's requests by hand, one at a time: signed, or not.
//!
//! It refuses to know what is asked and what an answer means.

use std::net::SocketAddr;

use tandem_wire::signature;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{AUTH_TOKEN, PATIENCE, World};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Posts a form to a webhook, as the carrier signs it. `token` marks the event: a repeat has the same.
pub(crate) async fn post(world: &World, path: &str, form: &str, token: Option<&str>) -> Answer {
    let signature = signature::sign(AUTH_TOKEN, &world.url(path), form.as_bytes());
    let token = token.map(|token| format!("i-twilio-idempotency-token: {token}\r\n")).unwrap_or_default();
    let headers = format!("x-twilio-signature: {signature}\r\n{token}");
    ask(world.app.address, "POST", path, &headers, form).await
}

/// The carrier tells that a call is over.
pub(crate) async fn over(world: &World, call_sid: &str) {
    let form = format!("CallSid={call_sid}&CallStatus=completed");
    assert_eq!(post(world, "/twilio/status", &form, None).await.status, 204);
}

/// Asks for a path, over a connection of its own. Every line of `headers` ends in a line break.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.unwrap_or_else(|| panic!("{head}")), body: body.to_owned() }
}
