//! The exit notice: what a parent hears when a child is gone, whatever took it.
//!
//! It refuses to know what should be done about it; that is a decision (`call::decide`).

use actix::{Message, Recipient};

/// Delivered exactly once per child, also when the child was killed before it first ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited<R> {
    pub role: R,
    /// Which replacement this was; a notice of an earlier one must not be taken for the present one's.
    pub incarnation: u32,
    pub cause: Cause,
}

impl<R: Send + 'static> Message for Exited<R> {
    type Result = ();
}

/// How a child's task ended. A child that *meant* to stop has told its parent why before it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `ctx.stop()`, or nothing left to wait for.
    Stopped,
    /// The panic's text. A panic in a hook never hides the first cause.
    Panicked(String),
    /// Aborted through the kill switch, or with the thread's runtime.
    Killed,
}

/// Delivers an [`Exited`] when dropped, so that no way of ending a task can lose it.
pub(super) struct Notice<R: Copy + Send + 'static> {
    watcher: Recipient<Exited<R>>,
    role: R,
    incarnation: u32,
    cause: Cause,
}

impl<R: Copy + Send + 'static> Notice<R> {
    /// Until told otherwise the cause is [`Cause::Killed`]: no record means that nobody lived to write one.
    pub(super) fn new(watcher: Recipient<Exited<R>>, role: R, incarnation: u32) -> Self {
        Self { watcher, role, incarnation, cause: Cause::Killed }
    }

    pub(super) fn record(&mut self, cause: Cause) {
        self.cause = cause;
    }
}

impl<R: Copy + Send + 'static> Drop for Notice<R> {
    fn drop(&mut self) {
        // One notice per child: this cannot flood. A parent that is gone has no use for it.
        self.watcher.do_send(Exited {
            role: self.role,
            incarnation: self.incarnation,
            cause: self.cause.clone(),
        });
    }
}
