use tokio::time::timeout;

use super::super::testing::*;
use super::*;

#[actix_rt::test]
async fn a_port_in_use_is_named_with_the_key_to_change() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Listener::bind(first.address()).err().unwrap().to_string();
    let address = first.address();
    assert_eq!(
        error,
        format!(
            "address {address} is in use: stop the program that uses it, or set `server.listen` to another port"
        )
    );
}

#[actix_rt::test]
async fn an_address_of_another_machine_is_named() {
    let elsewhere = "192.0.2.1:8765".parse().unwrap(); // RFC 5737: nobody's
    let error = Listener::bind(elsewhere).err().unwrap();
    assert!(matches!(error, BindError::Elsewhere(address) if address == elsewhere), "{error}");
}

#[test]
fn what_the_system_refuses_is_told_apart() {
    let address = "127.0.0.1:80".parse().unwrap();
    let forbidden = BindError::of(address, io::ErrorKind::PermissionDenied.into());
    assert!(forbidden.to_string().contains("above 1023"));
    let other = BindError::of(address, io::ErrorKind::OutOfMemory.into());
    assert_eq!(other.to_string(), "cannot listen on 127.0.0.1:80: out of memory");
}

#[actix_rt::test]
async fn connections_that_come_before_the_workers_are_served() {
    let listener = Listener::bind("[::1]:0".parse().unwrap()).unwrap();
    let early = tokio::net::TcpStream::connect(listener.address()).await;
    assert!(early.is_ok());
}

#[actix_rt::test]
async fn what_is_accepted_sends_small_messages_at_once() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = tokio::net::TcpStream::connect(listener.address()).await;
    assert!(client.is_ok());
    listener.socket.set_nonblocking(false).unwrap();
    let (accepted, _) = listener.socket.accept().unwrap();
    assert!(accepted.nodelay().unwrap());
}

#[actix_rt::test]
async fn a_graceful_stop_ends_idle_connections_and_frees_the_port() {
    let house = House::open(TestDesk::default());
    let mut idle = house.connect().await;
    idle.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    timeout(DEADLINE, house.handle.stop(true)).await.expect("the server does not stop");
    assert_eq!(idle.rest().await, b"");
    assert!(Listener::bind(house.address).is_ok());
}
