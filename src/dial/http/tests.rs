use std::net::SocketAddr;
use std::sync::mpsc;

use futures_util::future::{join, join3};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio::sync::oneshot;
use tokio::time::{Instant, pause, resume, sleep};

use super::*;
use crate::dial::public_roots;
use crate::dial::scripted::{Provider, STREAM_HEAD, chunk, plain, within};
use crate::dial::tls::trusting;

const LOOPBACK_PEM: &[u8] = include_bytes!("../realtime/loopback.pem");

fn endpoint(base: &str, key_opt: Option<&str>) -> Result<Arc<Endpoint>, LineError> {
    let (connections, key_opt) = (Connections::new(public_roots()), key_opt.map(SecretString::from));
    Endpoint::new(connections, base, "/ask", key_opt.as_ref(), KeyHeader::Bearer).map(Arc::new)
}

/// Asks, and reads the whole answer.
async fn ask(endpoint: &Endpoint) -> Result<String, ModelError> {
    within(async { endpoint.post(JSON, "{}").await?.whole(1024).await }).await
}

/// What a provider's refusal becomes.
async fn refused(status: &str, body: &str) -> ModelError {
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, Some("sk-secret")).unwrap();
    let answer = plain(status, "application/json", body);
    let (refused, _) = join(ask(&endpoint), provider.answer(&answer)).await;
    refused.unwrap_err()
}

/// Lets every task go as far as it can: a paused clock moves only when nothing else does.
async fn settle() {
    pause();
    sleep(Duration::from_millis(1)).await;
}

#[actix_rt::test]
async fn each_refusal_has_its_name() {
    let status = |status, detail: &str| ModelError::Status { status, detail: detail.to_owned() };
    assert_eq!(refused("401 Unauthorized", "").await, ModelError::Unauthorized(401));
    assert_eq!(refused("403 Forbidden", "").await, ModelError::Unauthorized(403));
    assert_eq!(refused("429 Too Many Requests", r#"{"error":{"code":"x"}}"#).await, ModelError::RateLimited);
    let openai =
        r#"{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}"#;
    assert_eq!(refused("404 Not Found", openai).await, status(404, "no such model"));
    assert_eq!(refused("500 Oops", r#"{"error":"overloaded"}"#).await, status(500, "overloaded"));
    assert_eq!(
        refused("400 Bad", r#"{"object":"error","message":"too long"}"#).await,
        status(400, "too long")
    );
    assert_eq!(refused("422 Odd", r#"{"detail":"not a model"}"#).await, status(422, "not a model"));
    assert_eq!(
        refused("400 Bad", r#"{"detail":{"status":"x","message":"no voice"}}"#).await,
        status(400, "no voice")
    );
    assert_eq!(refused("502 Bad Gateway", "<html>\r\n<p>nginx\0").await, status(502, "<html> <p>nginx"));
    assert_eq!(refused("503 Busy", "").await, status(503, ""));
}

#[actix_rt::test]
async fn a_redirect_is_not_followed() {
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, None).unwrap();
    let elsewhere =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {origin}/x\r\ncontent-length: 0\r\n\r\n");
    let (refused, _) = join(ask(&endpoint), provider.answer(elsewhere.as_bytes())).await;
    assert_eq!(refused, Err(ModelError::Status { status: 307, detail: String::new() }));
}

#[actix_rt::test]
async fn a_long_refusal_is_cut_and_an_endless_one_not_awaited() {
    let long = "x y ".repeat(5_000);
    let ModelError::Status { detail, .. } = refused("500 Oops", &long).await else { panic!() };
    assert_eq!(detail, long[..DETAIL_CHARS_MAX]);
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, None).unwrap();
    let serve = async {
        let mut connection = provider.accept().await;
        connection.asked().await;
        connection.say("HTTP/1.1 500 Oops\r\n\r\n").await;
        connection.say("ü".repeat(REFUSAL_BYTES_MAX / 2)).await;
        connection.gone().await;
    };
    let (refused, ()) = join(ask(&endpoint), serve).await;
    assert_eq!(refused, Err(ModelError::Status { status: 500, detail: "ü".repeat(DETAIL_CHARS_MAX) }));
}

#[actix_rt::test]
async fn a_key_is_never_shown() {
    let echo = r#"{"error":{"message":"bad header: Bearer sk-secret"}}"#;
    let refused = refused("400 Bad", echo).await;
    assert_eq!(refused, ModelError::Status { status: 400, detail: "bad header: Bearer [key]".to_owned() });
    let endpoint = endpoint("https://host", Some("sk-secret")).unwrap();
    let error = serde_json::from_str(r#"{"code":"sk-secret","message":"sk-secret!"}"#).unwrap();
    let reported = endpoint.fault(AnswerError::Reported(error));
    assert_eq!(reported, ModelError::Reported { code: "[key]".to_owned(), message: "[key]!".to_owned() });
    assert!(!format!("{:?}{:?}", endpoint.headers, endpoint.key_opt).contains("secret"));
}

#[test]
fn what_cannot_be_asked_is_refused_at_the_start_without_being_shown() {
    for url in
        ["", "api.openai.com/v1", "ftp://host/", "http://", "https://me:secret@host/v1", "http://[::1/"]
    {
        let refused = endpoint(url, None).err();
        assert_eq!(refused, Some(LineError::Url), "{url}");
        assert!(!format!("{refused:?}").contains("secret"));
    }
    let refused = endpoint("https://host", Some("sk-secret\n")).err();
    assert_eq!(refused, Some(LineError::Key));
    assert!(!format!("{refused:?}").contains("secret"));
}

#[test]
fn addresses_of_every_shape_are_joined() {
    for (base, path, expected) in [
        ("https://api.openai.com/v1", "/ask", "https://api.openai.com/v1/ask"),
        ("https://api.openai.com/v1/", "/ask", "https://api.openai.com/v1/ask"),
        ("http://[::1]:8080", "/ask", "http://[::1]:8080/ask"),
        ("http://host/v1?api-version=1", "/ask", "http://host/v1/ask?api-version=1"),
        ("http://host/v1?api-version=1", "/ask?b=2", "http://host/v1/ask?api-version=1&b=2"),
        ("http://host", "/ask?b=2", "http://host/ask?b=2"),
    ] {
        assert_eq!(joined(base, path).unwrap().to_string(), expected);
    }
}

#[test]
fn an_empty_key_is_no_key() {
    assert!(endpoint("http://host", Some("")).unwrap().headers.get(AUTHORIZATION).is_none());
}

#[actix_rt::test]
async fn a_provider_that_is_not_there_is_unreachable_and_named() {
    let (provider, origin) = Provider::new().await;
    drop(provider);
    let refused = ask(&endpoint(&origin, None).unwrap()).await;
    let Err(ModelError::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.starts_with(&format!("{}: Connection refused", &origin["http://".len()..])), "{why}");
}

#[actix_rt::test]
async fn a_provider_that_does_not_encrypt_in_time_is_unreachable() {
    let (provider, origin) = Provider::new().await;
    pause();
    let asked_at = Instant::now();
    let refused = ask(&endpoint(&origin.replace("http://", "https://"), None).unwrap()).await;
    let Err(ModelError::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.ends_with("no connection within 2 s"), "{why}");
    assert_eq!(asked_at.elapsed().as_secs(), 2);
    drop(provider);
}

#[actix_rt::test]
async fn what_does_not_speak_http_is_unreachable() {
    for answer in ["", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 200"] {
        let (provider, origin) = Provider::new().await;
        let endpoint = endpoint(&origin, None).unwrap();
        let (refused, _) = join(ask(&endpoint), provider.answer(answer.as_bytes())).await;
        assert!(matches!(refused, Err(ModelError::Unreachable(_))), "{refused:?}");
    }
}

#[actix_rt::test]
async fn the_provider_may_take_its_time() {
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, None).unwrap();
    let serve = async {
        let mut connection = provider.accept().await;
        connection.asked().await;
        pause();
        sleep(Duration::from_hours(1)).await;
        connection.say(STREAM_HEAD).await;
        sleep(Duration::from_hours(1)).await;
        connection.say([chunk("late"), chunk("")].concat()).await;
    };
    let asked = async { endpoint.post(JSON, "{}").await?.whole(1024).await };
    assert_eq!(join(asked, serve).await.0, Ok("late".to_owned()));
}

#[actix_rt::test]
async fn a_connection_serves_one_request_after_the_other() {
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, None).unwrap();
    let (heard_all, wait) = oneshot::channel();
    let asking = async {
        let mut answer = within(endpoint.post(JSON, "{}")).await.unwrap();
        assert_eq!(within(answer.next()).await, Ok(Some(Bytes::from_static(b"all there is"))));
        let rest = answer.let_rest_pass();
        heard_all.send(()).unwrap();
        within(rest).await.unwrap();
        settle().await;
        resume();
        ask(&endpoint).await
    };
    let serving = async {
        let mut connection = provider.accept().await;
        connection.asked().await;
        connection.say([STREAM_HEAD.as_bytes(), &chunk("all there is")].concat()).await;
        wait.await.unwrap();
        connection.say(chunk("")).await; // the formal end, too late for who asked
        connection.asked().await;
        connection.say(plain("200 OK", "text/plain", "again")).await;
    };
    assert_eq!(join(asking, serving).await.0, Ok("again".to_owned()));
}

#[actix_rt::test]
async fn an_answer_that_goes_on_after_its_end_is_closed_after_a_second() {
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, None).unwrap();
    let serving = async {
        let mut connection = provider.accept().await;
        connection.asked().await;
        connection.say([STREAM_HEAD.as_bytes(), &chunk("all there is")].concat()).await;
        connection
    };
    let (answer, mut connection) = join(within(endpoint.post(JSON, "{}")), serving).await;
    pause();
    let ended_at = Instant::now();
    answer.unwrap().let_rest_pass().await.unwrap();
    assert_eq!(ended_at.elapsed().as_secs(), 1);
    resume();
    connection.gone().await;
}

/// A thread with a runtime of its own asks, keeps its connection, and then stands still until it is told to go on.
fn ask_and_stand_still(
    endpoint: Arc<Endpoint>,
    asked: oneshot::Sender<Result<String, ModelError>>,
    go_on: mpsc::Receiver<()>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let system = actix_rt::System::new();
        system.block_on(async move {
            let answer = ask(&endpoint).await;
            settle().await; // its connection lies ready for the next request
            asked.send(answer).unwrap();
            go_on.recv().unwrap();
        });
    })
}

#[actix_rt::test]
async fn a_thread_that_stands_still_silences_no_other() {
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, None).unwrap();
    let (asked, answer) = oneshot::channel();
    let (go_on, wait) = mpsc::channel();
    let thread = ask_and_stand_still(Arc::clone(&endpoint), asked, wait);
    let mut first = provider.accept().await;
    first.asked().await;
    first.say(plain("200 OK", "text/plain", "one")).await;
    assert_eq!(answer.await.unwrap(), Ok("one".to_owned()));
    // Its connection is open and unused, and nobody drives it. An answer comes all the same.
    let served = plain("200 OK", "text/plain", "two");
    let (other, _) = join(ask(&endpoint), provider.answer(&served)).await;
    assert_eq!(other, Ok("two".to_owned()));
    go_on.send(()).unwrap();
    first.gone().await;
    thread.join().unwrap();
}

#[actix_rt::test]
async fn requests_of_one_thread_run_beside_each_other() {
    let (provider, origin) = Provider::new().await;
    let endpoint = endpoint(&origin, None).unwrap();
    let serving = async {
        let (mut one, mut two) = (provider.accept().await, provider.accept().await);
        one.asked().await;
        two.asked().await;
        two.say(plain("200 OK", "text/plain", "x")).await;
        one.say(plain("200 OK", "text/plain", "x")).await;
    };
    let (one, two, ()) = join3(ask(&endpoint), ask(&endpoint), serving).await;
    assert_eq!((one, two), (Ok("x".to_owned()), Ok("x".to_owned())));
}

/// A provider on 127.0.0.1 with the certificate of `loopback.pem`, on a thread of its own. It answers one request.
fn encrypted_provider() -> (SocketAddr, std::thread::JoinHandle<bool>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(LOOPBACK_PEM).unwrap())
                .unwrap();
        let (tcp, _) = listener.accept().unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n{}") {
            let mut byte = [0];
            if tls.read_exact(&mut byte).is_err() {
                return false;
            }
            request.extend(byte);
        }
        tls.write_all(&plain("200 OK", "text/plain", "encrypted")).is_ok()
    });
    (address, thread)
}

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(LOOPBACK_PEM).unwrap()
}

#[actix_rt::test]
async fn a_trusted_provider_is_asked_encrypted() {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let (address, thread) = encrypted_provider();
    let connections = Connections::new(trusting(roots));
    let endpoint =
        Endpoint::new(connections, &format!("https://{address}"), "/ask", None, KeyHeader::Bearer).unwrap();
    assert_eq!(ask(&endpoint).await, Ok("encrypted".to_owned()));
    assert!(thread.join().unwrap());
}

#[actix_rt::test]
async fn an_untrusted_provider_gets_not_even_the_request() {
    let (address, thread) = encrypted_provider();
    let refused = ask(&endpoint(&format!("https://{address}"), Some("sk-secret")).unwrap()).await;
    assert!(matches!(refused, Err(ModelError::Unreachable(_))), "{refused:?}");
    assert!(!thread.join().unwrap());
}

#[test]
fn a_provider_is_known_by_its_domain_and_a_server_of_ones_own_by_its_host() {
    for (host, name) in [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("api.elevenlabs.io", "elevenlabs"),
        ("notopenai.com", "notopenai.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("speech", "speech"),
    ] {
        assert_eq!(provider(host), name);
    }
}
