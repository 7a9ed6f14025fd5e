//! The bounded socket writer: an actor's handler writes at once and never waits.
//!
//! While the socket takes what it is given there is no task between a frame and its socket: the message is
//! encoded and flushed from the handler, polled with a waker that does nothing. When a flush would block, the
//! writer turns busy: one helper task flushes with a waker of its own, and until it is done messages go to a
//! queue with a bound. Beyond the bound audio is shed and counted; control messages have a reserve of their own
//! and, when even that is used up, the peer is declared stuck. It refuses to know what the messages mean.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::SinkExt;
use tokio::task::AbortHandle;

use crate::ports::{Outgoing, SocketError, SocketSink};

/// Audio that may wait for a blocked socket: 64 KiB of text are 48 KB of audio, i.e. 6 s of mu-law. A peer that
/// is further behind hears nothing in time anyway.
pub const QUEUED_BYTES_MAX: usize = 64 * 1024;

/// Reserve for control messages (marks, clear, cancel, truncate, session settings) on top of the audio: a
/// session update with 42 tools is some 30 KB; nobody has more than a few of those to say to a stuck peer.
pub const CONTROL_BYTES_RESERVE: usize = 128 * 1024;

/// Whether a message may be shed when the socket is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Audio: late is useless, so it may be shed.
    Audio,
    /// Must arrive, or the peer is as good as lost.
    Control,
}

/// Why a message was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The message was audio, the socket is blocked and its queue is full: the message is gone, and counted.
    #[error("audio shed: the peer does not read")]
    Shed,
    /// Not even control messages find room.
    #[error("peer stuck: {} bytes wait to be written", QUEUED_BYTES_MAX + CONTROL_BYTES_RESERVE)]
    Stuck,
    #[error("socket is closed")]
    Closed,
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// What was written, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub accepted: u64,
    pub shed: u64,
    /// Times that a flush blocked and the helper task had to take over.
    pub blocked: u64,
}

/// The write half of one socket, for one actor. Dropping it drops the socket's half, blocked or not.
pub struct Writer {
    shared: Rc<RefCell<Shared>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A helper stuck on a peer that never reads would keep the socket open for ever.
        if let Some(helper) = &self.shared.borrow().helper {
            helper.abort();
        }
    }
}

struct Shared {
    /// Absent while the helper task has it.
    sink: Option<SocketSink>,
    helper: Option<AbortHandle>,
    queue: VecDeque<Outgoing>,
    queued_bytes: usize,
    state: State,
    written: Written,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A close frame was accepted; nothing may follow it.
    Closing,
    Failed(SocketError),
}

impl Writer {
    pub fn new(sink: SocketSink) -> Self {
        let shared = Shared {
            sink: Some(sink),
            helper: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            state: State::Open,
            written: Written::default(),
        };
        Self { shared: Rc::new(RefCell::new(shared)) }
    }

    /// Writes `message` now, or queues it behind what the socket has not taken yet.
    pub fn send(&self, message: Outgoing, urgency: Urgency) -> Result<(), WriteError> {
        self.queue(message, urgency)?;
        self.flush()
    }

    /// Queues `message` for the next [`Self::flush`], so that several leave in one piece.
    pub fn queue(&self, message: Outgoing, urgency: Urgency) -> Result<(), WriteError> {
        let mut shared = self.shared.borrow_mut();
        shared.admit(&message, urgency)?;
        if matches!(message, Outgoing::Close { .. }) {
            shared.state = State::Closing;
        }
        shared.written.accepted += 1;
        shared.queued_bytes += weight(&message);
        shared.queue.push_back(message);
        Ok(())
    }

    /// Hands everything queued to the socket, or to the helper task when the socket blocks.
    pub fn flush(&self) -> Result<(), WriteError> {
        let mut shared = self.shared.borrow_mut();
        if shared.sink.is_none() {
            return Ok(()); // the helper task is at it and will find the queue
        }
        let mut noop = Context::from_waker(Waker::noop());
        match shared.poll_drain(&mut noop) {
            Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(error)) => {
                shared.state = State::Failed(error.clone());
                Err(error.into())
            }
            Poll::Pending => {
                shared.written.blocked += 1;
                drop(shared);
                self.hand_over_to_helper();
                Ok(())
            }
        }
    }

    /// Whether audio would find room for so many bytes. Who can wait asks first, and loses nothing.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.shared.borrow().queued_bytes + bytes <= QUEUED_BYTES_MAX
    }

    pub fn written(&self) -> Written {
        self.shared.borrow().written
    }

    /// Whether a flush is blocked right now.
    pub fn is_blocked(&self) -> bool {
        self.shared.borrow().sink.is_none()
    }

    /// The only task a writer ever has, and only while its socket blocks. It ends with the blockage, with the
    /// socket, or with the writer.
    fn hand_over_to_helper(&self) {
        let Some(mut sink) = self.shared.borrow_mut().sink.take() else { return };
        let weak = Rc::downgrade(&self.shared);
        let helper = tokio::task::spawn_local(async move {
            loop {
                let flushed = sink.flush().await;
                let Some(shared) = weak.upgrade() else { return };
                let mut shared = shared.borrow_mut();
                if let Err(error) = flushed {
                    shared.state = State::Failed(error);
                    return;
                }
                shared.sink = Some(sink);
                let mut noop = Context::from_waker(Waker::noop());
                match shared.poll_drain(&mut noop) {
                    Poll::Ready(Ok(())) => return,
                    Poll::Ready(Err(error)) => {
                        shared.state = State::Failed(error);
                        return;
                    }
                    Poll::Pending => match shared.sink.take() {
                        Some(again) => sink = again,
                        None => return,
                    },
                }
            }
        });
        self.shared.borrow_mut().helper = Some(helper.abort_handle());
    }
}

impl Shared {
    fn admit(&mut self, message: &Outgoing, urgency: Urgency) -> Result<(), WriteError> {
        match &self.state {
            State::Open => {}
            State::Closing => return Err(WriteError::Closed),
            State::Failed(error) => return Err(error.clone().into()),
        }
        let after = self.queued_bytes + weight(message);
        match urgency {
            Urgency::Audio if after > QUEUED_BYTES_MAX => {
                self.written.shed += 1;
                Err(WriteError::Shed)
            }
            Urgency::Control if after > QUEUED_BYTES_MAX + CONTROL_BYTES_RESERVE => Err(WriteError::Stuck),
            Urgency::Audio | Urgency::Control => Ok(()),
        }
    }

    /// Moves the queue into the sink and flushes it.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        let Some(sink) = self.sink.as_mut() else { return Poll::Pending };
        while let Some(message) = self.queue.front() {
            match sink.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            self.queued_bytes -= weight(message);
            let message = self.queue.pop_front().expect("front() has just seen it");
            if let Err(error) = sink.as_mut().start_send(message) {
                return Poll::Ready(Err(error));
            }
        }
        sink.as_mut().poll_flush(cx)
    }
}

/// Bytes that a message keeps in memory while it waits.
fn weight(message: &Outgoing) -> usize {
    match message {
        Outgoing::Text(text) => text.len(),
        Outgoing::Ping => 0,
        Outgoing::Close { reason, .. } => reason.len(),
    }
}

#[cfg(test)]
mod tests;
