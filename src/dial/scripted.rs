//! A provider for the tests of this folder: a listener on loopback that answers to the letter what a test writes.
//!
//! It refuses to know what is right: it can break off anywhere.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Only ends a test that would hang; nothing waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

pub(super) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

pub(super) struct Provider {
    listener: TcpListener,
}

/// One connection of a client's.
pub(super) struct Connection(TcpStream);

#[derive(Debug)]
pub(super) struct Asked {
    /// In lower case, but for the line of the request.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Provider {
    /// With the address at which it listens, without a path.
    pub(super) async fn new() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        (Self { listener }, origin)
    }

    pub(super) async fn accept(&self) -> Connection {
        Connection(within(self.listener.accept()).await.unwrap().0)
    }

    /// Takes one request and answers with `answer`, then closes the connection.
    pub(super) async fn answer(&self, answer: &[u8]) -> Asked {
        let mut connection = self.accept().await;
        let asked = connection.asked().await;
        connection.say(answer).await;
        asked
    }
}

impl Connection {
    pub(super) async fn asked(&mut self) -> Asked {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.0.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let (line, fields) = head.split_once("\r\n").unwrap();
        let head = format!("{line}\r\n{}", fields.to_lowercase());
        let length = head.split("\r\ncontent-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        within(self.0.read_exact(&mut body)).await.unwrap();
        Asked { head, body }
    }

    pub(super) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Until the other side is gone; what it says before is not heard.
    pub(super) async fn gone(&mut self) {
        while matches!(within(self.0.read(&mut [0; 1024])).await, Ok(1..)) {}
    }
}

impl Asked {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.head.contains(&format!("\r\n{field}\r\n"))
    }
}

/// `bytes` as one chunk; none is the last one.
pub(super) fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A whole answer with this `body`.
pub(super) fn plain(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into()
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("nobody answers any more")
}
