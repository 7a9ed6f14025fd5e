//! What an operator, or a scraper, reads of a running switch.
//!
//! It refuses to know what a right answer is.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::world::{ASK_EVERY, PATIENCE, World};

/// The text at this path, from this machine.
pub(crate) async fn read(world: &World, path: &str) -> String {
    let address = world.app.address;
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.contains(" 200 "), "{answer}");
    body.to_owned()
}

/// The same, as soon as it is so: nobody is told when a switch has seen something.
pub(crate) async fn read_when(world: &World, path: &str, is_so: impl Fn(&str) -> bool) -> String {
    let since = Instant::now();
    loop {
        let text = read(world, path).await;
        if is_so(&text) {
            return text;
        }
        assert!(since.elapsed() < PATIENCE, "{text}");
        sleep(ASK_EVERY).await;
    }
}
