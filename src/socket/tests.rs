use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tandem_actors::kit::writer::{Urgency, Writer};
use tandem_actors::ports::SocketReader;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

type Peer = WebSocketStream<DuplexStream>;

/// Only ends a test that would hang; nothing waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Our socket in `role` and its peer, over a pipe that holds `pipe_bytes` each way.
async fn pair(role: Role, pipe_bytes: usize) -> (Socket, Peer, SocketGauge) {
    let gauge = SocketGauge::default();
    let (ours, theirs) = duplex(pipe_bytes);
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let ours = WebSocketStream::from_raw_socket(ours, role, Some(config(super::Peer::Carrier))).await;
    let theirs = WebSocketStream::from_raw_socket(theirs, other, None).await;
    (wrap(ours, &gauge), theirs, gauge)
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (accepted.unwrap().0, dialled.unwrap())
}

async fn next(reader: &mut SocketReader) -> Option<SocketItem> {
    timeout(DEADLINE, reader.next()).await.expect("the reader was never woken")
}

async fn heard(peer: &mut Peer) -> Message {
    timeout(DEADLINE, peer.next()).await.expect("the peer was never served").unwrap().unwrap()
}

fn text(content: &str) -> SocketItem {
    SocketItem::Text(ByteString::from(content))
}

fn numbered(n: usize) -> String {
    format!("{n:>1000}") // a thousand bytes, so that few fill a pipe
}

#[actix_rt::test]
async fn each_kind_of_message_is_told_apart() {
    let (mut ours, mut peer, _gauge) = pair(Role::Server, 1 << 20).await;
    peer.send(Message::text("grüß Gott")).await.unwrap();
    peer.send(Message::binary(vec![0; 300])).await.unwrap();
    peer.send(Message::Pong(Bytes::new())).await.unwrap();
    peer.send(Message::Close(None)).await.unwrap();
    assert_eq!(next(&mut ours.reader).await, Some(text("grüß Gott")));
    assert_eq!(next(&mut ours.reader).await, Some(SocketItem::Binary(300)));
    assert_eq!(next(&mut ours.reader).await, Some(SocketItem::Pong));
    assert_eq!(next(&mut ours.reader).await, Some(SocketItem::Closed { code: None }));
    assert_eq!(next(&mut ours.reader).await, None);
}

#[actix_rt::test]
async fn each_kind_of_message_is_written() {
    let (mut ours, mut peer, _gauge) = pair(Role::Server, 1 << 20).await;
    ours.sink.send(Outgoing::Text(ByteString::from("hello"))).await.unwrap();
    ours.sink.send(Outgoing::Ping).await.unwrap();
    ours.sink.send(Outgoing::Close { code: 1000, reason: "done" }).await.unwrap();
    assert_eq!(heard(&mut peer).await, Message::text("hello"));
    assert_eq!(heard(&mut peer).await, Message::Ping(Bytes::new()));
    let Message::Close(Some(frame)) = heard(&mut peer).await else { panic!("no close frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1000, "done"));
}

#[actix_rt::test]
async fn a_peer_that_stops_reading_and_resumes_gets_everything_in_order() {
    let (mut ours, mut peer, _gauge) = pair(Role::Server, 2048).await;
    let writer = Writer::new(ours.sink);
    for n in 0..100 {
        writer.send(Outgoing::Text(ByteString::from(numbered(n))), Urgency::Control).unwrap();
    }
    assert!(writer.is_blocked());

    // Nobody reads our side of the pipe, and yet the reader is served, again and again.
    for n in 0..50 {
        peer.send(Message::text(n.to_string())).await.unwrap();
        assert_eq!(next(&mut ours.reader).await, Some(text(&n.to_string())));
    }
    assert!(writer.is_blocked());

    for n in 0..100 {
        assert_eq!(heard(&mut peer).await, Message::text(numbered(n)));
    }
    writer.send(Outgoing::Ping, Urgency::Control).unwrap();
    assert_eq!(heard(&mut peer).await, Message::Ping(Bytes::new()));
}

#[actix_rt::test]
async fn a_peer_that_never_reads_costs_the_writers_bound_and_can_be_dropped() {
    let (ours, _peer, gauge) = pair(Role::Server, 2048).await;
    let writer = Writer::new(ours.sink);
    let message = || Outgoing::Text(ByteString::from(numbered(0)));
    while writer.send(message(), Urgency::Audio).is_ok() {}
    while writer.send(message(), Urgency::Control).is_ok() {}
    let bytes_max = 1000 * usize::try_from(writer.written().accepted).unwrap();
    assert!(bytes_max < WRITE_BUFFER_BYTES_MAX + 2048, "{bytes_max}");
    drop((ours.reader, writer));
    tokio::task::yield_now().await; // the helper task ends
    assert_eq!(gauge.open(), 0);
}

#[actix_rt::test]
async fn a_reader_that_waits_is_woken_while_the_writer_is_blocked() {
    let (mut ours, mut peer, _gauge) = pair(Role::Server, 2048).await;
    let reading = tokio::task::spawn_local(async move {
        let first = next(&mut ours.reader).await;
        (first, next(&mut ours.reader).await)
    });
    tokio::task::yield_now().await; // the reader waits, its waker is in place
    let writer = Writer::new(ours.sink);
    for n in 0..10 {
        writer.send(Outgoing::Text(ByteString::from(numbered(n))), Urgency::Control).unwrap();
    }
    tokio::task::yield_now().await; // the helper waits too
    assert!(writer.is_blocked());
    peer.send(Message::text("one")).await.unwrap();
    peer.send(Message::text("two")).await.unwrap();
    assert_eq!(reading.await.unwrap(), (Some(text("one")), Some(text("two"))));
}

#[actix_rt::test]
async fn a_ping_is_answered_though_we_never_write() {
    let (mut ours, mut peer, _gauge) = pair(Role::Client, 1 << 20).await;
    let reading = tokio::task::spawn_local(async move { next(&mut ours.reader).await });
    peer.send(Message::Ping(Bytes::from_static(b"are you there"))).await.unwrap();
    assert_eq!(heard(&mut peer).await, Message::Pong(Bytes::from_static(b"are you there")));
    reading.abort();
}

#[actix_rt::test]
async fn a_pong_that_found_the_transport_blocked_goes_out_later() {
    let (mut ours, mut peer, _gauge) = pair(Role::Server, 2048).await;
    let writer = Writer::new(ours.sink);
    for n in 0..4 {
        writer.send(Outgoing::Text(ByteString::from(numbered(n))), Urgency::Control).unwrap();
    }
    assert!(writer.is_blocked());
    let reading = tokio::task::spawn_local(async move { next(&mut ours.reader).await });
    peer.send(Message::Ping(Bytes::from_static(b"1"))).await.unwrap();
    tokio::task::yield_now().await; // the reader takes the ping and cannot answer it
    let mut pongs = 0;
    for _ in 0..5 {
        pongs += usize::from(heard(&mut peer).await == Message::Pong(Bytes::from_static(b"1")));
    }
    assert_eq!(pongs, 1, "four messages and one pong");
    reading.abort();
}

#[actix_rt::test]
async fn a_peer_that_closes_is_answered_in_either_role() {
    for role in [Role::Server, Role::Client] {
        let (mut ours, mut peer, _gauge) = pair(role, 1 << 20).await;
        let close = CloseFrame { code: 1001.into(), reason: "bye".into() };
        peer.send(Message::Close(Some(close.clone()))).await.unwrap();
        assert_eq!(next(&mut ours.reader).await, Some(SocketItem::Closed { code: Some(1001) }));
        assert_eq!(heard(&mut peer).await, Message::Close(Some(close)));
        let late = ours.sink.send(Outgoing::Ping).await;
        assert_eq!(late, Err(SocketError::Transport("already closed".to_owned())));
    }
}

#[actix_rt::test]
async fn after_our_close_the_reader_drains_so_that_a_streaming_peer_sees_no_reset() {
    let (accepted, dialled) = tcp_pair().await;
    let gauge = SocketGauge::default();
    let ours =
        WebSocketStream::from_raw_socket(accepted, Role::Server, Some(config(super::Peer::Carrier))).await;
    let mut ours = wrap(ours, &gauge);
    let peer = tokio::task::spawn_local(async move {
        let peer = WebSocketStream::from_raw_socket(dialled, Role::Client, None).await;
        let (mut send, mut receive) = peer.split();
        let close = async {
            for n in 0_u64.. {
                tokio::select! {
                    biased;
                    message = receive.next() => return message,
                    fed = send.send(Message::text(n.to_string())) => fed.unwrap(),
                }
            }
            None
        };
        let Some(Ok(Message::Close(Some(frame)))) = close.await else { panic!("not a close frame") };
        send.flush().await.unwrap(); // answers the close
        let mut transport = send.reunite(receive).unwrap().into_inner();
        let end = transport.read(&mut [0; 16]).await;
        (u16::from(frame.code), end.map_err(|error| error.kind()))
    });
    for n in 0..5 {
        assert_eq!(next(&mut ours.reader).await, Some(text(&n.to_string())));
    }
    ours.sink.send(Outgoing::Close { code: 1000, reason: "call ended" }).await.unwrap();
    let mut n = 5;
    let last = loop {
        let item = next(&mut ours.reader).await;
        if item != Some(text(&n.to_string())) {
            break item;
        }
        n += 1;
    };
    assert_eq!(last, Some(SocketItem::Closed { code: Some(1000) }));
    assert_eq!(gauge.open(), 1);
    drop(ours);
    assert_eq!(peer.await.unwrap(), (1000, Ok(0)), "an end in order, not a reset");
    assert_eq!(gauge.open(), 0);
}

#[actix_rt::test]
async fn a_stream_that_ends_without_a_close_frame_is_lost() {
    let (mut ours, peer, _gauge) = pair(Role::Server, 1 << 20).await;
    drop(peer);
    let lost = SocketError::Transport("ended without a close frame".to_owned());
    assert_eq!(next(&mut ours.reader).await, Some(SocketItem::Lost(lost)));
    assert_eq!(next(&mut ours.reader).await, None);
}

#[actix_rt::test]
async fn a_reset_is_a_loss_of_the_transport_for_both_halves() {
    let (accepted, dialled) = tcp_pair().await;
    let ours = WebSocketStream::from_raw_socket(accepted, Role::Server, None).await;
    let mut ours = wrap(ours, &SocketGauge::default());
    dialled.set_zero_linger().unwrap();
    drop(dialled);
    let lost = next(&mut ours.reader).await;
    assert!(matches!(lost, Some(SocketItem::Lost(SocketError::Transport(_)))), "{lost:?}");
    let written = ours.sink.send(Outgoing::Ping).await;
    assert!(matches!(written, Err(SocketError::Transport(_))), "{written:?}");
}

#[actix_rt::test]
async fn what_is_no_websocket_is_a_violation_of_the_protocol() {
    let (ours, mut theirs) = duplex(1 << 10);
    let ours = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
    let mut ours = wrap(ours, &SocketGauge::default());
    theirs.write_all(&[0xff; 64]).await.unwrap();
    let lost = next(&mut ours.reader).await;
    assert!(matches!(lost, Some(SocketItem::Lost(SocketError::Protocol(_)))), "{lost:?}");
    assert_eq!(next(&mut ours.reader).await, None);
}

#[actix_rt::test]
async fn a_message_of_a_megabyte_arrives_and_one_over_the_limit_is_a_violation() {
    let (mut ours, mut peer, _gauge) = pair(Role::Server, 8 << 20).await;
    peer.send(Message::text("x".repeat(1 << 20))).await.unwrap();
    peer.send(Message::text("x".repeat(CARRIER_MESSAGE_BYTES_MAX + 1))).await.unwrap();
    let Some(SocketItem::Text(large)) = next(&mut ours.reader).await else { panic!("no text") };
    assert_eq!(large.len(), 1 << 20);
    let lost = next(&mut ours.reader).await;
    assert!(matches!(lost, Some(SocketItem::Lost(SocketError::Protocol(_)))), "{lost:?}");
}

#[actix_rt::test]
async fn the_largest_message_that_the_writer_admits_fits_the_socket() {
    let (mut ours, mut peer, _gauge) = pair(Role::Client, 1 << 10).await;
    let largest = "x".repeat(QUEUED_BYTES_MAX + CONTROL_BYTES_RESERVE);
    let message = Outgoing::Text(ByteString::from(largest.as_str()));
    let (sent, got) = tokio::join!(ours.sink.send(message), heard(&mut peer));
    sent.unwrap();
    assert_eq!(got, Message::text(largest));
}

#[actix_rt::test]
async fn closing_the_sink_closes_in_order() {
    let (mut ours, mut peer, _gauge) = pair(Role::Server, 1 << 10).await;
    ours.sink.close().await.unwrap();
    assert_eq!(heard(&mut peer).await, Message::Close(None));
}

#[actix_rt::test]
async fn a_socket_is_open_until_its_last_half_is_dropped() {
    let (ours, peer, gauge) = pair(Role::Server, 1 << 10).await;
    assert_eq!(gauge.open(), 1);
    drop(ours.sink);
    assert_eq!(gauge.open(), 1);
    drop(ours.reader);
    assert_eq!(gauge.clone().open(), 0);
    let mut rest = Vec::new();
    peer.into_inner().read_to_end(&mut rest).await.unwrap(); // the transport has gone with it
    assert_eq!(rest, b"");
}
