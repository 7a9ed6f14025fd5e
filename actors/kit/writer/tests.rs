use std::pin::Pin;

use bytestring::ByteString;
use futures_util::Sink;

use super::*;

/// A socket whose peer reads only while the gate is open. It accepts one message into its buffer even when
/// closed, as a real one does, and then blocks.
#[derive(Default)]
struct Gate {
    open: bool,
    broken: bool,
    buffered: Vec<Outgoing>,
    delivered: Vec<Outgoing>,
    waker: Option<Waker>,
}

struct GatedSink(Rc<RefCell<Gate>>);

impl GatedSink {
    fn poll_gate(&self, cx: &Context<'_>) -> Poll<Result<(), SocketError>> {
        let mut gate = self.0.borrow_mut();
        if gate.broken {
            return Poll::Ready(Err(SocketError::Transport("reset".to_owned())));
        }
        if !gate.open && !gate.buffered.is_empty() {
            gate.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if gate.open {
            let buffered = std::mem::take(&mut gate.buffered);
            gate.delivered.extend(buffered);
        }
        Poll::Ready(Ok(()))
    }
}

impl Sink<Outgoing> for GatedSink {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.poll_gate(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> Result<(), SocketError> {
        self.0.borrow_mut().buffered.push(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.poll_gate(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.poll_gate(cx)
    }
}

fn gated(open: bool) -> (Writer, Rc<RefCell<Gate>>) {
    let gate = Rc::new(RefCell::new(Gate { open, ..Gate::default() }));
    (Writer::new(Box::pin(GatedSink(Rc::clone(&gate)))), gate)
}

fn text(bytes: usize) -> Outgoing {
    Outgoing::Text(ByteString::from("x".repeat(bytes)))
}

fn numbered(n: usize) -> Outgoing {
    Outgoing::Text(ByteString::from(n.to_string()))
}

fn set_open(gate: &RefCell<Gate>) {
    let waker = {
        let mut gate = gate.borrow_mut();
        gate.open = true;
        gate.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

async fn unblocked(writer: &Writer) {
    while writer.is_blocked() {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn an_open_socket_is_written_from_the_handler() {
    let (writer, gate) = gated(true);
    writer.send(text(10), Urgency::Audio).unwrap();
    assert_eq!(gate.borrow().delivered.len(), 1, "without any other task having run");
    assert_eq!(writer.written(), Written { accepted: 1, shed: 0, blocked: 0 });
}

#[actix_rt::test]
async fn a_blocked_socket_gets_everything_in_order_once_it_reads_again() {
    let (writer, gate) = gated(false);
    for n in 0..100 {
        writer.send(numbered(n), Urgency::Audio).unwrap();
    }
    assert!(writer.is_blocked());
    tokio::task::yield_now().await; // the helper registers its waker
    set_open(&gate);
    unblocked(&writer).await;
    assert_eq!(gate.borrow().delivered, (0..100).map(numbered).collect::<Vec<_>>());
    writer.send(numbered(100), Urgency::Audio).unwrap();
    assert_eq!(gate.borrow().delivered.len(), 101, "and afterwards it is written from the handler again");
}

#[actix_rt::test]
async fn beyond_the_bound_audio_is_shed_and_control_is_not() {
    let (writer, _gate) = gated(false);
    writer.send(text(1), Urgency::Audio).unwrap();
    writer.send(text(QUEUED_BYTES_MAX), Urgency::Audio).unwrap();
    assert_eq!(writer.send(text(1), Urgency::Audio), Err(WriteError::Shed));
    writer.send(text(1), Urgency::Control).unwrap();
    assert_eq!(writer.written().shed, 1);
}

#[actix_rt::test]
async fn a_peer_that_takes_not_even_control_is_stuck() {
    let (writer, _gate) = gated(false);
    writer.send(text(1), Urgency::Control).unwrap();
    writer.send(text(QUEUED_BYTES_MAX + CONTROL_BYTES_RESERVE), Urgency::Control).unwrap();
    assert_eq!(writer.send(text(1), Urgency::Control), Err(WriteError::Stuck));
}

#[actix_rt::test]
async fn nothing_follows_a_close() {
    let (writer, gate) = gated(true);
    writer.send(Outgoing::Close { code: 1000, reason: "done" }, Urgency::Control).unwrap();
    assert_eq!(writer.send(text(1), Urgency::Audio), Err(WriteError::Closed));
    assert_eq!(gate.borrow().delivered.len(), 1);
}

#[actix_rt::test]
async fn a_broken_socket_is_told_at_once_and_ever_after() {
    let (writer, gate) = gated(true);
    gate.borrow_mut().broken = true;
    let broken = Err(WriteError::Socket(SocketError::Transport("reset".to_owned())));
    assert_eq!(writer.send(text(1), Urgency::Audio), broken);
    gate.borrow_mut().broken = false;
    assert_eq!(writer.send(text(1), Urgency::Audio), broken);
}

#[actix_rt::test]
async fn a_socket_that_breaks_while_blocked_is_told_to_the_next_write() {
    let (writer, gate) = gated(false);
    writer.send(text(1), Urgency::Audio).unwrap();
    assert!(writer.is_blocked());
    tokio::task::yield_now().await;
    gate.borrow_mut().broken = true;
    set_open(&gate);
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(
        writer.send(text(1), Urgency::Audio),
        Err(WriteError::Socket(SocketError::Transport("reset".to_owned())))
    );
}

#[actix_rt::test]
async fn queued_messages_leave_together() {
    let (writer, gate) = gated(true);
    writer.queue(text(1), Urgency::Audio).unwrap();
    writer.queue(text(2), Urgency::Control).unwrap();
    assert_eq!(gate.borrow().buffered.len(), 0);
    writer.flush().unwrap();
    assert_eq!(gate.borrow().delivered.len(), 2);
}

#[actix_rt::test]
async fn a_writer_that_dies_while_blocked_lets_the_socket_go() {
    let (writer, gate) = gated(false);
    writer.send(text(1), Urgency::Audio).unwrap();
    assert!(writer.is_blocked());
    drop(writer);
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(Rc::strong_count(&gate), 1, "only the test still knows the socket");
}
