use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tandem_actors::ports::{Outgoing, SocketItem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::dial::public_roots;
use crate::dial::tls::trusting;

const LOOPBACK_PEM: &[u8] = include_bytes!("loopback.pem");

/// Only ends a test that would hang; nothing waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

fn dialer(url: &str, key_opt: Option<&str>, dialect: Dialect) -> Result<RealtimeDialer, ProviderError> {
    let key_opt = key_opt.map(SecretString::from);
    RealtimeDialer::new(url, key_opt.as_ref(), dialect, public_roots(), SocketGauge::default())
}

async fn provider() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/realtime", listener.local_addr().unwrap());
    (listener, url)
}

/// Reads one request head and answers with `answer`.
async fn answer_once(listener: TcpListener, answer: &'static str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = read_head(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    head
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

async fn dial(dialer: &RealtimeDialer, model: &str) -> Result<Socket, DialError> {
    timeout(DEADLINE, dialer.dial_realtime(model)).await.expect("the dialer hangs")
}

async fn refusal(status_line: &'static str) -> DialError {
    let (listener, url) = provider().await;
    let dialer = dialer(&url, Some("sk-test"), Dialect::Ga).unwrap();
    let (dialled, _head) = tokio::join!(dial(&dialer, "m"), answer_once(listener, status_line));
    dialled.err().expect("the provider has refused")
}

/// What the provider sees of a dial.
async fn head_of(path: &str, key_opt: Option<&str>, dialect: Dialect, model: &str) -> String {
    let (listener, _) = provider().await;
    let url = format!("ws://{}{path}", listener.local_addr().unwrap());
    let dialer = dialer(&url, key_opt, dialect).unwrap();
    let no = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let (dialled, head) = tokio::join!(dial(&dialer, model), answer_once(listener, no));
    assert_eq!(dialled.err(), Some(DialError::Status(404)));
    head
}

#[actix_rt::test]
async fn a_session_is_dialled_talks_and_is_counted() {
    let (listener, url) = provider().await;
    let gauge = SocketGauge::default();
    let dialer = RealtimeDialer::new(&url, None, Dialect::Ga, public_roots(), gauge.clone()).unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    };
    let (dialled, mut served) = tokio::join!(dial(&dialer, "gpt-realtime-2.1"), serve);
    let mut socket = dialled.unwrap();
    assert_eq!(gauge.open(), 1);
    served.send(Message::text(r#"{"type":"session.created"}"#)).await.unwrap();
    assert_eq!(socket.reader.next().await, Some(SocketItem::Text(r#"{"type":"session.created"}"#.into())));
    socket.sink.send(Outgoing::Close { code: 1000, reason: "call ended" }).await.unwrap();
    assert!(matches!(served.next().await, Some(Ok(Message::Close(Some(_))))));
    drop(socket);
    assert_eq!(gauge.open(), 0);
}

#[actix_rt::test]
async fn the_model_joins_what_the_address_already_asks_for() {
    let head = head_of("/v1/realtime", None, Dialect::Ga, "gpt-realtime-2.1").await;
    assert!(head.starts_with("get /v1/realtime?model=gpt-realtime-2.1 http/1.1\r\n"), "{head}");
    let head = head_of("/openai/v1/realtime?intent=realtime&x=1", None, Dialect::Ga, "a b/ü&c").await;
    let line = "get /openai/v1/realtime?intent=realtime&x=1&model=a%20b%2f%c3%bc%26c http/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
}

#[actix_rt::test]
async fn the_key_and_the_dialect_travel_in_headers() {
    let ga = head_of("/", Some("sk-test"), Dialect::Ga, "m").await;
    assert!(ga.contains("\r\nauthorization: bearer sk-test\r\n"), "{ga}");
    assert!(!ga.contains("openai-beta"), "{ga}");
    let beta = head_of("/", None, Dialect::Beta, "m").await;
    assert!(beta.contains("\r\nopenai-beta: realtime=v1\r\n"), "{beta}");
    assert!(!beta.contains("authorization"), "{beta}");
}

#[actix_rt::test]
async fn each_refusal_has_its_name() {
    assert_eq!(refusal("HTTP/1.1 401 Unauthorized\r\n\r\n").await, DialError::Unauthorized(401));
    assert_eq!(refusal("HTTP/1.1 403 Forbidden\r\n\r\n").await, DialError::Unauthorized(403));
    assert_eq!(refusal("HTTP/1.1 429 Too Many Requests\r\n\r\n").await, DialError::RateLimited);
    assert_eq!(refusal("HTTP/1.1 503 Service Unavailable\r\n\r\n").await, DialError::Status(503));
}

#[actix_rt::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nlocation: ws://127.0.0.1:1/\r\n\r\n";
    assert_eq!(refusal(elsewhere).await, DialError::Status(307));
}

#[actix_rt::test]
async fn what_does_not_answer_as_a_websocket_is_unreachable() {
    assert!(matches!(refusal("SSH-2.0-OpenSSH_9.2\r\n\r\n").await, DialError::Unreachable(_)));
    assert!(matches!(refusal("").await, DialError::Unreachable(_)));
    let no_accept_key =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    assert!(matches!(refusal(no_accept_key).await, DialError::Unreachable(_)));
}

#[actix_rt::test]
async fn a_provider_that_is_not_there_is_unreachable_and_named() {
    let (listener, url) = provider().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = dial(&dialer(&url, None, Dialect::Ga).unwrap(), "m").await.err();
    let Some(DialError::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.starts_with(&address.to_string()), "{why}");
}

#[actix_rt::test]
async fn giving_up_closes_the_socket() {
    let (listener, url) = provider().await;
    let dialer = dialer(&url, None, Dialect::Ga).unwrap();
    let attempt = tokio::task::spawn_local(dialer.dial_realtime("m"));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await; // the dialer now waits for an answer
    attempt.abort();
    assert_eq!(timeout(DEADLINE, stream.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
}

/// A provider on 127.0.0.1 with the certificate of `loopback.pem`, on a thread of its own: it greets, then waits
/// for the end.
fn encrypted_provider() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(LOOPBACK_PEM).unwrap())
            .unwrap();
        let (tcp, _) = listener.accept().unwrap();
        let tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        if let Ok(mut served) = tokio_tungstenite::tungstenite::accept(tls) {
            served.send(Message::text("encrypted")).unwrap();
            while served.read().is_ok() {}
        }
    });
    address
}

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(LOOPBACK_PEM).unwrap()
}

#[actix_rt::test]
async fn a_trusted_provider_is_reached_encrypted() {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let url = format!("wss://{}/v1/realtime", encrypted_provider());
    let gauge = SocketGauge::default();
    let dialer = RealtimeDialer::new(&url, None, Dialect::Ga, trusting(roots), gauge).unwrap();
    let mut socket = dial(&dialer, "m").await.unwrap();
    assert_eq!(socket.reader.next().await, Some(SocketItem::Text("encrypted".into())));
}

#[actix_rt::test]
async fn an_untrusted_provider_gets_not_even_the_request() {
    let url = format!("wss://{}/v1/realtime", encrypted_provider());
    let refused = dial(&dialer(&url, Some("sk-test"), Dialect::Ga).unwrap(), "m").await.err();
    assert!(matches!(refused, Some(DialError::Tls(_))), "{refused:?}");
}

#[actix_rt::test]
async fn a_provider_that_does_not_encrypt_is_no_encrypted_provider() {
    let (listener, url) = provider().await;
    let dialer = dialer(&url.replace("ws://", "wss://"), None, Dialect::Ga).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (dialled, _stream) = tokio::join!(dial(&dialer, "m"), serve);
    assert!(matches!(dialled, Err(DialError::Tls(_))));
}

#[test]
fn an_address_that_cannot_be_dialled_is_refused_at_the_start() {
    for url in ["", "api.openai.com", "https://api.openai.com/v1/realtime", "wss://", "ws://[::1/"] {
        assert_eq!(dialer(url, None, Dialect::Ga).err(), Some(ProviderError::Url), "{url}");
    }
    for twice in ["wss://host/?model=a", "wss://host/v1/realtime?x=1&model=a&y=2"] {
        assert_eq!(dialer(twice, None, Dialect::Ga).err(), Some(ProviderError::ModelInUrl), "{twice}");
    }
}

#[test]
fn addresses_of_every_shape_are_understood() {
    let understood = |url: &str| {
        let dialer = dialer(url, None, Dialect::Ga).unwrap();
        (dialer.provider.host.clone(), dialer.provider.port)
    };
    assert_eq!(understood("wss://api.openai.com/v1/realtime"), ("api.openai.com".to_owned(), 443));
    assert_eq!(understood("ws://localhost"), ("localhost".to_owned(), 80));
    assert_eq!(understood("ws://[::1]:8080/x"), ("::1".to_owned(), 8080));
}

#[test]
fn a_key_that_cannot_travel_is_refused_without_being_shown() {
    let error = dialer("wss://host/", Some("sk-secret\n"), Dialect::Ga).err().unwrap();
    assert_eq!(error, ProviderError::Key);
    assert!(!format!("{error} {error:?}").contains("secret"));
    let request = dialer("wss://host/", Some("sk-secret"), Dialect::Ga).unwrap().provider.request("m");
    assert!(!format!("{request:?}").contains("secret"));
}
