use std::sync::Arc;

use futures_util::StreamExt;
use tandem_wire::signature;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Text;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::super::testing::*;
use super::super::*;
use super::*;

type Caller = WebSocketStream<TcpStream>;

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"; // the sample of RFC 6455, section 1.3
const ACCEPT: &str = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="; // its answer, in lower case
const REST: &str = "host: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
const VERSION: &str = "sec-websocket-version: 13\r\n";

fn upgrade(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{REST}{VERSION}{KEY}{headers}\r\n")
}

fn signed(path: &str) -> String {
    let url = format!("{}{path}", PUBLIC_URL.replace("https", "wss"));
    format!("x-twilio-signature: {}\r\n", signature::sign(TOKEN, &url, b""))
}

async fn call(house: &House, path: &str) -> Caller {
    let request = format!("ws://{}{path}", house.address).into_client_request().unwrap();
    let stream = TcpStream::connect(house.address).await.unwrap();
    tokio_tungstenite::client_async(request, stream).await.unwrap().0
}

async fn say(caller: &mut Caller, text: String) -> String {
    caller.send(Text::text(text)).await.unwrap();
    let told = timeout(DEADLINE, caller.next()).await.expect("the desk does not answer");
    told.unwrap().unwrap().into_text().unwrap().to_string()
}

#[actix_rt::test]
async fn a_carrier_reaches_the_desk_on_every_media_path() {
    let house = House::open(TestDesk::default());
    let paths =
        ["/twilio/media", "/twilio/media/7Qm2", "/twilio/media/", "/media-stream", "/phone/media-stream/x"];
    for path in paths {
        let mut caller = call(&house, path).await;
        assert_eq!(say(&mut caller, "hello".to_owned()).await, "5");
        let local = caller.get_ref().local_addr().unwrap();
        let request = MediaRequest { path: path.to_owned(), remote_opt: Some(local) };
        assert_eq!(house.desk.media.lock().unwrap().last(), Some(&request));
    }
}

#[actix_rt::test]
async fn a_socket_that_names_a_worker_arrives_on_its_thread() {
    let house = House::open_with_workers(TestDesk::default(), 3);
    for worker in 0..3 {
        let mut threads = std::collections::HashSet::new();
        for _ in 0..6 {
            let mut caller = call(&house, &format!("/twilio/media/w{worker}")).await;
            assert_eq!(say(&mut caller, "hello".to_owned()).await, "5");
            threads.insert(house.desk.threads.lock().unwrap().pop().unwrap());
        }
        assert_eq!(threads.len(), 1, "wherever it was accepted");
        let segment = house.workers.segment(threads.into_iter().next().unwrap());
        assert_eq!(segment, Some(format!("w{worker}")));
    }
}

#[actix_rt::test]
async fn a_handshake_is_answered_as_the_rfc_says_and_offers_nothing_more() {
    let house = House::open(TestDesk::default());
    let extras = "origin: http://elsewhere\r\nsec-websocket-protocol: chat\r\nsec-websocket-extensions: permessage-deflate\r\n";
    let answer = house.ask(&upgrade("/twilio/media", extras)).await;
    assert_eq!(answer.status, 101);
    assert!(answer.has(ACCEPT) && answer.has("connection: upgrade") && answer.has("upgrade: websocket"));
    assert!(!answer.head.contains("sec-websocket-protocol"));
    assert!(!answer.head.contains("sec-websocket-extensions"));
    assert!(!answer.head.contains("content-length") && !answer.head.contains("transfer-encoding"));
}

#[actix_rt::test]
async fn requests_and_media_sockets_share_a_port_and_even_a_connection() {
    let house = House::open(TestDesk::default());
    let mut client = house.connect().await;
    client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    client.send(upgrade("/twilio/media", "").as_bytes()).await;
    assert_eq!(client.answer().await.status, 101);
    assert_eq!(house.get("/health").await.status, 200);
}

#[actix_rt::test]
async fn frames_that_arrive_with_the_request_are_not_lost() {
    let house = House::open(TestDesk::default());
    let mut client = house.connect().await;
    let mut bytes = upgrade("/twilio/media", "").into_bytes();
    bytes.extend([0x81, 0x83, 0, 0, 0, 0, b'a', b'b', b'c']); // a text of 3 bytes, masked with zeros
    client.send(&bytes).await;
    assert_eq!(client.answer().await.status, 101);
    let mut frame = [0; 3];
    timeout(DEADLINE, client.stream.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!(frame, [0x81, 1, b'3']);
}

#[actix_rt::test]
async fn an_upgrade_that_cannot_be_is_refused_in_words_and_closed() {
    let house = House::open(TestDesk::default());
    let path = "/twilio/media";
    for (request, status, detail) in [
        (upgrade("/", ""), 404, "no WebSocket is served at this path"),
        (upgrade("/twilio/media/a/b", ""), 404, "no WebSocket is served at this path"),
        (upgrade("/twilio/mediaX", ""), 404, "no WebSocket is served at this path"),
        (format!("POST {path} HTTP/1.1\r\n{REST}{VERSION}{KEY}\r\n"), 405, "this path answers to GET only"),
        (format!("GET {path} HTTP/1.1\r\n{REST}{KEY}\r\n"), 426, "WebSocket version 13 is spoken here"),
        (
            format!("GET {path} HTTP/1.1\r\n{REST}sec-websocket-version: 8\r\n{KEY}\r\n"),
            426,
            "WebSocket version 13 is spoken here",
        ),
        (
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n{VERSION}{KEY}\r\n"),
            400,
            "a WebSocket needs HTTP/1.1 and the header `Connection: Upgrade`",
        ),
        (
            format!("GET {path} HTTP/1.0\r\n{REST}{VERSION}{KEY}\r\n"),
            400,
            "a WebSocket needs HTTP/1.1 and the header `Connection: Upgrade`",
        ),
        (
            format!("GET {path} HTTP/1.1\r\n{REST}{VERSION}\r\n"),
            400,
            "Sec-WebSocket-Key is not 16 bytes in base64",
        ),
    ] {
        let mut client = house.connect().await;
        client.send(request.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.detail().as_str()), (status, detail), "{request}");
        let is_told = answer.head.starts_with("http/1.0") || answer.head.contains("\r\nconnection: close");
        assert!(is_told, "{answer:?}");
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(*house.desk.media.lock().unwrap(), []);
}

#[test]
fn a_key_is_sixteen_bytes_in_base64_and_nothing_else() {
    assert!(is_16_bytes_in_base64(b"dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(is_16_bytes_in_base64(b"AAAA/+AAAAAAAAAAAAAAAA=="));
    for key in
        ["", "dGhl", "dGhlIHNhbXBsZSBub25jZQ=a", "dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZS!ub25jZQ=="]
    {
        assert!(!is_16_bytes_in_base64(key.as_bytes()), "{key}");
    }
}

#[actix_rt::test]
async fn other_upgrades_are_not_taken_up() {
    let house = House::open(TestDesk::default());
    let h2c = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: \r\n\r\n";
    assert_eq!(house.ask(h2c).await.status, 200);
}

#[actix_rt::test]
async fn a_socket_must_be_signed_by_the_carrier() {
    let house = House::guarded();
    let path = "/twilio/media/7Qm2";
    assert_eq!(house.ask(&upgrade(path, &signed(path))).await.status, 101);
    let toggled = format!("{path}/");
    assert_eq!(house.ask(&upgrade(path, &signed(&toggled))).await.status, 101, "as some carriers spell it");
    assert_eq!(house.gate.refused(), 0);

    let missing = house.ask(&upgrade(path, "")).await;
    assert_eq!((missing.status, missing.detail().as_str()), (403, "X-Twilio-Signature is missing"));
    assert_eq!(house.ask(&upgrade(path, &signed("/twilio/media/other"))).await.status, 403);
    assert_eq!(house.gate.refused(), 2);
    assert_eq!(house.desk.media.lock().unwrap().len(), 2);
}

#[actix_rt::test]
async fn sockets_beyond_the_limit_are_refused_until_one_goes() {
    let house = House::build(TestDesk::default(), Signatures::Off, 1, 1);
    let mut first = call(&house, "/twilio/media").await;
    assert_eq!(say(&mut first, "a".to_owned()).await, "1");
    assert_eq!(house.sockets.open(), 1);
    let second = house.ask(&upgrade("/twilio/media", "")).await;
    assert_eq!((second.status, second.detail().as_str()), (503, "as many media sockets as allowed are open"));
    first.close(None).await.unwrap();
    while timeout(DEADLINE, first.next()).await.expect("the server does not close").is_some() {}
    assert_eq!(house.sockets.open(), 0);
    assert_eq!(house.ask(&upgrade("/twilio/media", "")).await.status, 101);
}

#[actix_rt::test]
async fn a_message_of_a_megabyte_reaches_the_desk_and_the_call_goes_on() {
    let house = House::open(TestDesk::default());
    let mut caller = call(&house, "/twilio/media").await;
    assert_eq!(say(&mut caller, "x".repeat(1 << 20)).await, "1048576");
    assert_eq!(say(&mut caller, "still here".to_owned()).await, "10");
}

#[actix_rt::test]
async fn a_client_that_does_not_take_our_answer_is_given_up() {
    let (io, _deaf) = tokio::io::duplex(8);
    let desk = Arc::new(TestDesk::default());
    let entrance = Rc::new(Entrance {
        gate: Data::new(Gate::new(PUBLIC_URL, Signatures::Off)),
        desk: Data::from(Arc::<TestDesk>::clone(&desk) as Arc<dyn Desk>),
        gauge: SocketGauge::default(),
        sockets_max: 1,
        workers: Arc::default(),
    });
    let request = actix_web::test::TestRequest::get()
        .uri("/twilio/media")
        .insert_header(("connection", "upgrade"))
        .insert_header(("sec-websocket-version", "13"))
        .insert_header(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
        .to_request();
    tokio::time::pause(); // nothing else can happen, so time jumps to the deadline
    entrance.enter(request, Framed::new(io, Codec::default())).await.unwrap();
    assert_eq!(*desk.media.lock().unwrap(), []);
}
