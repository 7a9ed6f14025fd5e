//! An alarm that one actor sets again and again: a timer as a stream, re-armed in place.
//!
//! `run_later` allocates for every use; a leg that paces its audio needs a timer many times a second. The alarm
//! refuses to know what it is for.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Yielded once for every time that was set and came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmRang;

/// The setting end, kept by the actor.
pub struct Alarm {
    shared: Rc<RefCell<Shared>>,
}

/// The ringing end, for `add_stream`. Never ends by itself.
pub struct AlarmBell {
    shared: Rc<RefCell<Shared>>,
}

struct Shared {
    sleep: Pin<Box<Sleep>>,
    armed: bool,
    waker: Option<Waker>,
}

pub fn alarm() -> (Alarm, AlarmBell) {
    let shared = Shared { sleep: Box::pin(sleep_until(Instant::now())), armed: false, waker: None };
    let shared = Rc::new(RefCell::new(shared));
    (Alarm { shared: Rc::clone(&shared) }, AlarmBell { shared })
}

impl Alarm {
    /// Rings at `at`; an earlier setting that has not rung yet is forgotten.
    pub fn set(&self, at: Instant) {
        let mut shared = self.shared.borrow_mut();
        shared.sleep.as_mut().reset(at);
        shared.armed = true;
        if let Some(waker) = &shared.waker {
            waker.wake_by_ref();
        }
    }
}

impl Stream for AlarmBell {
    type Item = AlarmRang;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AlarmRang>> {
        let mut shared = self.shared.borrow_mut();
        if shared.armed && shared.sleep.as_mut().poll(cx).is_ready() {
            shared.armed = false;
            return Poll::Ready(Some(AlarmRang));
        }
        if !shared.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            shared.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};
    use std::time::Duration;

    #[actix_rt::test]
    async fn it_rings_once_for_every_setting_and_only_then() {
        tokio::time::pause();
        let (alarm, mut bell) = alarm();
        assert_eq!(bell.next().now_or_never(), None);
        for _ in 0..3 {
            let at = Instant::now() + Duration::from_millis(30);
            alarm.set(at);
            assert_eq!(bell.next().await, Some(AlarmRang));
            assert!(Instant::now() >= at);
            assert!(!alarm.shared.borrow().armed);
        }
    }

    #[actix_rt::test]
    async fn a_later_setting_replaces_an_earlier_one() {
        tokio::time::pause();
        let (alarm, mut bell) = alarm();
        let start = Instant::now();
        alarm.set(start + Duration::from_millis(10));
        alarm.set(start + Duration::from_millis(500));
        assert_eq!(bell.next().await, Some(AlarmRang));
        assert!(start.elapsed() >= Duration::from_millis(500));
    }

    #[actix_rt::test]
    async fn setting_it_wakes_a_bell_that_is_already_waited_for() {
        tokio::time::pause();
        let (alarm, mut bell) = alarm();
        let waiting = tokio::task::spawn_local(async move { bell.next().await });
        tokio::task::yield_now().await;
        alarm.set(Instant::now() + Duration::from_millis(5));
        assert_eq!(waiting.await.unwrap(), Some(AlarmRang));
    }
}
