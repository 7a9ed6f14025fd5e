//! Spawning an actor under watch: its death is always heard, and it can be killed.
//!
//! actix's own `Supervisor` sleeps through a panic (it lives in the same task and dies with it), and hooks that
//! run while a panic unwinds can abort the process. So the actor's future runs inside a task of ours:
//!
//! 1. the exit notice is made *before* the task's first poll, so even an unpolled abort is heard;
//! 2. the future is awaited under `catch_unwind`, and the cause is written down;
//! 3. only then is the future dropped, under a second `catch_unwind`: hooks run outside the unwind, and a panic
//!    in `stopped` is contained without hiding the first cause.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::{Actor, Addr, AsyncContext, Context, Recipient};
use futures_util::FutureExt;
use tokio::task::AbortHandle;

use super::exit::{Cause, Exited, Notice};

/// A running child: where to reach it, and its kill switch. Dropping this kills the child, so that a parent that
/// panics leaves no orphans.
pub struct Child<A: Actor> {
    pub addr: Addr<A>,
    pub incarnation: u32,
    abort: AbortHandle,
    released: bool,
}

impl<A: Actor> Child<A> {
    /// Ends the child's task at its next turn. The exit notice says [`Cause::Killed`].
    pub fn kill(&self) {
        self.abort.abort();
    }

    /// Lets the child live on its own; its exit is still told.
    pub fn release(mut self) -> Addr<A> {
        self.released = true;
        self.addr.clone()
    }
}

impl<A: Actor> Drop for Child<A> {
    fn drop(&mut self) {
        if !self.released {
            self.abort.abort();
        }
    }
}

/// Builds an actor in its own context and runs it on this thread, watched by `watcher`.
///
/// `build` gets the context so that the actor is born with its streams attached; a panic in `build` is the
/// caller's, as in a constructor.
pub fn spawn<A, R>(
    watcher: Recipient<Exited<R>>,
    role: R,
    incarnation: u32,
    build: impl FnOnce(&mut Context<A>) -> A,
) -> Child<A>
where
    A: Actor<Context = Context<A>>,
    R: Copy + Send + 'static,
{
    let mut ctx = Context::new();
    let actor = build(&mut ctx);
    let addr = ctx.address();
    let mut notice = Notice::new(watcher, role, incarnation);
    let mut life = Box::pin(ctx.into_future(actor));
    let task = tokio::task::spawn_local(async move {
        let ended = AssertUnwindSafe(&mut life).catch_unwind().await;
        let mut cause = match ended {
            Ok(()) => Cause::Stopped,
            Err(panic) => Cause::Panicked(text(panic.as_ref())),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(life)))
            && cause == Cause::Stopped
        {
            cause = Cause::Panicked(text(panic.as_ref()));
        }
        notice.record(cause);
    });
    Child { addr, incarnation, abort: task.abort_handle(), released: false }
}

fn text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::{Handler, Message, Running};
    use tokio::sync::mpsc;

    #[derive(Message)]
    #[rtype(result = "()")]
    enum Order {
        Stop,
        Panic,
    }

    #[derive(Default)]
    struct Worker {
        panic_in_stopped: bool,
        panic_in_started: bool,
    }

    impl Actor for Worker {
        type Context = Context<Self>;

        fn started(&mut self, _: &mut Self::Context) {
            assert!(!self.panic_in_started, "in started");
        }

        fn stopping(&mut self, _: &mut Self::Context) -> Running {
            Running::Stop
        }

        fn stopped(&mut self, _: &mut Self::Context) {
            assert!(!std::thread::panicking(), "hooks must run outside the unwind");
            assert!(!self.panic_in_stopped, "in the hook");
        }
    }

    impl Handler<Order> for Worker {
        type Result = ();

        fn handle(&mut self, order: Order, ctx: &mut Self::Context) {
            match order {
                Order::Stop => actix::ActorContext::stop(ctx),
                Order::Panic => panic!("in the handler"),
            }
        }
    }

    struct Parent(mpsc::UnboundedSender<Exited<u8>>);

    impl Actor for Parent {
        type Context = Context<Self>;
    }

    impl Handler<Exited<u8>> for Parent {
        type Result = ();

        fn handle(&mut self, exited: Exited<u8>, _: &mut Self::Context) {
            self.0.send(exited).expect("the test still listens");
        }
    }

    fn watched(worker: Worker) -> (Child<Worker>, mpsc::UnboundedReceiver<Exited<u8>>) {
        let (tx, rx) = mpsc::unbounded_channel();
        let watcher = Parent(tx).start().recipient();
        (spawn(watcher, 7, 3, |_| worker), rx)
    }

    async fn cause(mut rx: mpsc::UnboundedReceiver<Exited<u8>>) -> Cause {
        let exited = rx.recv().await.expect("an exit is always told");
        assert_eq!((exited.role, exited.incarnation), (7, 3));
        assert!(rx.try_recv().is_err(), "and told once");
        exited.cause
    }

    #[actix_rt::test]
    async fn a_stop_is_told() {
        let (child, rx) = watched(Worker::default());
        child.addr.do_send(Order::Stop);
        assert_eq!(cause(rx).await, Cause::Stopped);
    }

    #[actix_rt::test]
    async fn a_panic_is_told_with_its_text() {
        let (child, rx) = watched(Worker::default());
        child.addr.do_send(Order::Panic);
        assert_eq!(cause(rx).await, Cause::Panicked("in the handler".to_owned()));
    }

    #[actix_rt::test]
    async fn a_panic_at_birth_is_told() {
        let (_child, rx) = watched(Worker { panic_in_started: true, ..Worker::default() });
        assert_eq!(cause(rx).await, Cause::Panicked("in started".to_owned()));
    }

    #[actix_rt::test]
    async fn a_kill_before_the_first_poll_is_told() {
        let (child, rx) = watched(Worker::default());
        child.kill();
        assert_eq!(cause(rx).await, Cause::Killed);
    }

    #[actix_rt::test]
    async fn a_kill_in_mid_life_is_told() {
        let (child, rx) = watched(Worker::default());
        tokio::task::yield_now().await;
        assert!(child.addr.connected());
        child.kill();
        assert_eq!(cause(rx).await, Cause::Killed);
    }

    #[actix_rt::test]
    async fn a_panic_in_a_hook_is_contained_and_told() {
        let (child, rx) = watched(Worker { panic_in_stopped: true, ..Worker::default() });
        child.addr.do_send(Order::Stop);
        assert_eq!(cause(rx).await, Cause::Panicked("in the hook".to_owned()));
    }

    #[actix_rt::test]
    async fn a_panic_in_a_hook_does_not_hide_the_first_panic() {
        let (child, rx) = watched(Worker { panic_in_stopped: true, ..Worker::default() });
        child.addr.do_send(Order::Panic);
        assert_eq!(cause(rx).await, Cause::Panicked("in the handler".to_owned()));
    }

    #[actix_rt::test]
    async fn a_child_dies_with_its_owner_unless_released() {
        let (child, rx) = watched(Worker::default());
        drop(child);
        assert_eq!(cause(rx).await, Cause::Killed);

        let (child, rx) = watched(Worker::default());
        child.release().do_send(Order::Stop);
        assert_eq!(cause(rx).await, Cause::Stopped);
    }

    #[test]
    fn the_build_unwinds_because_supervision_rests_on_it() {
        const { assert!(cfg!(panic = "unwind")) };
    }
}
