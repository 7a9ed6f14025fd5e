//! A lane: the bounded path of frames from one actor of a call to the next, on one thread.
//!
//! Frames on lanes, decisions on mailboxes: a mailbox has no bound and drains before anything else may run, a
//! lane has a depth, a rule for when it is full, and books. It refuses to know what it carries.
//!
//! The parent owns the [`Lane`] and hands out its ends. Ends can be handed out again: a replaced child takes its
//! predecessor's place, and what waits in the lane waits for whoever reads next. Nothing here is `Send`; a call
//! never leaves its thread, so a lane is a queue and a waker instead of a channel.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

/// Slots kept when a backlog has drained; more are given back. 32 frames of 20 ms are 640 ms: jitter never
/// allocates, a backlog of seconds does not stay allocated.
const SLOTS_KEPT: usize = 32;

/// What is kept grows by so many items at a time: most often it is cut back before it has reached its bound.
const KEPT_STEP: usize = 64;

/// What went through a lane, in items. `offered` + `rewound` = `taken` + `refused` + `cleared` + what is still inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub offered: u64,
    /// Taken once, and put back for the next reader.
    pub rewound: u64,
    pub taken: u64,
    /// Turned away because the lane was full.
    pub refused: u64,
    /// Thrown away inside the lane, on purpose.
    pub cleared: u64,
}

/// The parent's handle. Clones are the same lane.
pub struct Lane<T> {
    inner: Rc<RefCell<Inner<T>>>,
}

/// The writing end. Clones are the same end: an engine's successor writes where the engine wrote.
pub struct LaneWriter<T> {
    inner: Rc<RefCell<Inner<T>>>,
}

/// The reading end: a stream that yields once whenever there is something to take. Silent while it stands by; ends when
/// a later reader reads.
pub struct LaneReader<T> {
    inner: Rc<RefCell<Inner<T>>>,
    epoch: u32,
}

/// Names a reading end that stands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandBy(u32);

struct Inner<T> {
    queue: VecDeque<T>,
    depth_max: usize,
    /// Items taken last, for a successor who must hear them again.
    kept: VecDeque<T>,
    kept_max: usize,
    books: Books,
    /// Of the end that reads now.
    epoch: u32,
    /// Of the end handed out last.
    issued: u32,
    waker: Option<Waker>,
    standby_waker: Option<Waker>,
}

impl<T> Lane<T> {
    /// `depth_max` is the bound for [`LaneWriter::offer`], in items; nothing is allocated for it in advance.
    pub fn new(depth_max: usize) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            depth_max,
            kept: VecDeque::new(),
            kept_max: 0,
            books: Books::default(),
            epoch: 0,
            issued: 0,
            waker: None,
            standby_waker: None,
        };
        Self { inner: Rc::new(RefCell::new(inner)) }
    }

    pub fn writer(&self) -> LaneWriter<T> {
        LaneWriter { inner: Rc::clone(&self.inner) }
    }

    /// Hands out the reading end; an earlier one ends at its next poll and takes nothing any more.
    pub fn reader(&self) -> LaneReader<T> {
        let (reader, standby) = self.standby_reader();
        self.activate(standby);
        reader
    }

    /// Hands out a reading end that takes nothing until it is activated.
    pub fn standby_reader(&self) -> (LaneReader<T>, StandBy) {
        let mut inner = self.inner.borrow_mut();
        inner.issued += 1;
        let epoch = inner.issued;
        drop(inner);
        (LaneReader { inner: Rc::clone(&self.inner), epoch }, StandBy(epoch))
    }

    /// From now on this end reads, unless a later one does already. Earlier ones end.
    pub fn activate(&self, standby: StandBy) {
        let mut inner = self.inner.borrow_mut();
        inner.epoch = inner.epoch.max(standby.0);
        inner.wake();
        if let Some(waker) = inner.standby_waker.take() {
            waker.wake();
        }
    }

    /// Keeps so many of the items taken last, from now on. What is kept beyond is forgotten.
    pub fn keep(&self, kept_max: usize) {
        let mut inner = self.inner.borrow_mut();
        inner.kept_max = kept_max;
        let surplus = inner.kept.len().saturating_sub(kept_max);
        inner.kept.drain(..surplus);
        inner.kept.shrink_to(kept_max);
    }

    /// Puts kept items back in front of the lane, latest first, as long as `wanted` says so. Returns how many. A lane
    /// may grow beyond its depth by as many as it keeps.
    pub fn rewind(&self, mut wanted: impl FnMut(&T) -> bool) -> usize {
        let mut inner = self.inner.borrow_mut();
        let mut rewound = 0;
        while inner.kept.back().is_some_and(&mut wanted) {
            let Some(item) = inner.kept.pop_back() else { break };
            inner.queue.push_front(item);
            rewound += 1;
        }
        inner.books.rewound += rewound as u64;
        inner.wake();
        rewound
    }

    pub fn books(&self) -> Books {
        self.inner.borrow().books
    }

    /// Items waiting.
    pub fn depth(&self) -> usize {
        self.inner.borrow().queue.len()
    }
}

impl<T> LaneWriter<T> {
    /// Puts an item into the lane, or gives it back when the lane is full.
    pub fn offer(&self, item: T) -> Result<(), T> {
        let mut inner = self.inner.borrow_mut();
        inner.books.offered += 1;
        if inner.queue.len() >= inner.depth_max {
            inner.books.refused += 1;
            return Err(item);
        }
        inner.push(item);
        Ok(())
    }

    /// Whether the lane would take another item. Who can leave an item where it is asks first, and nothing is refused.
    pub fn has_room(&self) -> bool {
        let inner = self.inner.borrow();
        inner.queue.len() < inner.depth_max
    }

    /// Puts an item into the lane even when it is full: for what must keep its place among frames and must not
    /// be lost, such as the end of a response. Rare by nature, so it cannot grow the lane beyond a few items.
    pub fn insist(&self, item: T) {
        let mut inner = self.inner.borrow_mut();
        inner.books.offered += 1;
        inner.push(item);
    }
}

impl<T> Clone for LaneWriter<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T: Copy> LaneReader<T> {
    /// The next item, if this is the end that reads now.
    pub fn take(&self) -> Option<T> {
        let mut inner = self.inner.borrow_mut();
        if inner.epoch != self.epoch {
            return None;
        }
        let item = inner.queue.pop_front()?;
        inner.books.taken += 1;
        if inner.kept_max > 0 {
            inner.retain(item);
        }
        if inner.queue.is_empty() && inner.queue.capacity() > SLOTS_KEPT {
            inner.queue = VecDeque::new();
        }
        Some(item)
    }

    /// A copy of the next item, which stays in the lane.
    pub fn peek(&self) -> Option<T> {
        let inner = self.inner.borrow();
        if inner.epoch == self.epoch { inner.queue.front().copied() } else { None }
    }
}

impl<T> LaneReader<T> {
    /// Throws away what `unwanted` picks, and says how many items that were. What was kept is not asked for.
    pub fn clear(&self, mut unwanted: impl FnMut(&T) -> bool) -> usize {
        let mut inner = self.inner.borrow_mut();
        if inner.epoch != self.epoch {
            return 0;
        }
        let before = inner.queue.len();
        inner.queue.retain(|item| !unwanted(item));
        let cleared = before - inner.queue.len();
        inner.books.cleared += cleared as u64;
        cleared
    }

    /// Items waiting.
    pub fn depth(&self) -> usize {
        self.inner.borrow().queue.len()
    }
}

/// A second hold on the same reading end, so that an actor can take items while its context owns the stream.
impl<T> Clone for LaneReader<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner), epoch: self.epoch }
    }
}

/// Yielded by a [`LaneReader`]: something waits. How many items is for the reader to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneReady;

/// The stream half is level-triggered on arrival, not on content: it yields after new items came, and stays
/// silent about items that the reader chose to leave. A reader that paces itself takes them by its own timer.
pub struct LaneArrivals<T> {
    reader: LaneReader<T>,
    seen: u64,
}

impl<T> LaneReader<T> {
    pub fn arrivals(&self) -> LaneArrivals<T> {
        LaneArrivals { reader: self.clone(), seen: 0 }
    }
}

impl<T> Stream for LaneArrivals<T> {
    type Item = LaneReady;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LaneReady>> {
        let mut inner = self.reader.inner.borrow_mut();
        if inner.epoch > self.reader.epoch {
            return Poll::Ready(None);
        }
        if inner.epoch < self.reader.epoch {
            inner.standby_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let accepted = inner.books.offered - inner.books.refused + inner.books.rewound;
        let news = !inner.queue.is_empty() && accepted != self.seen;
        if !news && !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inner.waker = Some(cx.waker().clone());
        }
        drop(inner);
        if news {
            self.seen = accepted;
            Poll::Ready(Some(LaneReady))
        } else {
            Poll::Pending
        }
    }
}

impl<T> Inner<T> {
    fn retain(&mut self, item: T) {
        if self.kept.len() >= self.kept_max {
            self.kept.pop_front();
        } else if self.kept.len() == self.kept.capacity() {
            // A deque that doubles would take half as much again.
            self.kept.reserve_exact(KEPT_STEP.min(self.kept_max - self.kept.len()));
        }
        self.kept.push_back(item);
    }

    fn push(&mut self, item: T) {
        self.queue.push_back(item);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};

    fn balance<T>(lane: &Lane<T>) {
        let Books { offered, rewound, taken, refused, cleared } = lane.books();
        assert_eq!(offered + rewound, taken + refused + cleared + lane.depth() as u64);
    }

    #[test]
    fn a_full_lane_gives_the_item_back_and_counts_it() {
        let lane = Lane::new(2);
        let writer = lane.writer();
        assert_eq!((writer.offer(1), writer.offer(2), writer.offer(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!(lane.books(), Books { offered: 3, refused: 1, ..Books::default() });
        balance(&lane);
    }

    #[test]
    fn a_full_lane_still_takes_what_must_not_be_lost() {
        let lane = Lane::new(1);
        let (writer, reader) = (lane.writer(), lane.reader());
        writer.offer(1).unwrap();
        writer.insist(2);
        assert_eq!((reader.take(), reader.take(), reader.take()), (Some(1), Some(2), None));
        balance(&lane);
    }

    #[test]
    fn what_waits_in_the_lane_waits_for_the_next_reader() {
        let lane = Lane::new(8);
        let first = lane.reader();
        lane.writer().offer('a').unwrap();
        let second = lane.reader();
        assert_eq!((first.take(), second.take()), (None, Some('a')));
        balance(&lane);
    }

    #[test]
    fn clearing_counts_what_it_threw_away() {
        let lane = Lane::new(8);
        let reader = lane.reader();
        (0..6).for_each(|n| lane.writer().offer(n).unwrap());
        assert_eq!(reader.clear(|n| n % 2 == 0), 3);
        assert_eq!(std::iter::from_fn(|| reader.take()).collect::<Vec<_>>(), [1, 3, 5]);
        balance(&lane);
    }

    #[actix_rt::test]
    async fn arrivals_wake_the_reader_once_per_arrival_and_not_for_leftovers() {
        let lane = Lane::new(8);
        let reader = lane.reader();
        let mut arrivals = reader.arrivals();
        assert_eq!(arrivals.next().now_or_never(), None);
        lane.writer().offer(1).unwrap();
        lane.writer().offer(2).unwrap();
        assert_eq!(arrivals.next().await, Some(LaneReady));
        assert_eq!(arrivals.next().now_or_never(), None, "leftovers are the reader's own choice");
        lane.writer().offer(3).unwrap();
        assert_eq!(arrivals.next().await, Some(LaneReady));
        assert_eq!(reader.depth(), 3);
    }

    #[actix_rt::test]
    async fn arrivals_before_the_reader_came_are_told_to_it() {
        let lane = Lane::new(8);
        lane.writer().offer(1).unwrap();
        assert_eq!(lane.reader().arrivals().next().await, Some(LaneReady));
    }

    #[actix_rt::test]
    async fn a_sleeping_reader_hears_that_it_was_replaced() {
        let lane = Lane::<u8>::new(8);
        let mut old = lane.reader().arrivals();
        assert_eq!(old.next().now_or_never(), None);
        let _successor = lane.reader();
        assert_eq!(old.next().await, None);
    }

    fn all<T: Copy>(reader: &LaneReader<T>) -> Vec<T> {
        std::iter::from_fn(|| reader.take()).collect()
    }

    #[test]
    fn a_successor_hears_again_what_was_kept_and_then_what_waits() {
        let lane = Lane::new(8);
        lane.keep(3);
        let (writer, first) = (lane.writer(), lane.reader());
        (0..6).for_each(|n| writer.offer(n).unwrap());
        (0..5).for_each(|_| assert!(first.take().is_some()));
        let second = lane.reader();
        assert_eq!(lane.rewind(|_| true), 3, "no more than is kept");
        assert_eq!(all(&second), [2, 3, 4, 5]);
        balance(&lane);
    }

    #[test]
    fn a_rewind_stops_where_it_is_told_to() {
        let lane = Lane::new(8);
        lane.keep(8);
        let reader = lane.reader();
        (0..6).for_each(|n| lane.writer().offer(n).unwrap());
        all(&reader);
        assert_eq!(lane.rewind(|n| *n >= 4), 2);
        assert_eq!(all(&reader), [4, 5]);
        assert_eq!(lane.rewind(|n| *n >= 2), 4, "what was heard again is kept again");
        balance(&lane);
    }

    #[test]
    fn what_is_no_longer_kept_is_forgotten() {
        let lane = Lane::new(8);
        lane.keep(8);
        let reader = lane.reader();
        (0..6).for_each(|n| lane.writer().offer(n).unwrap());
        all(&reader);
        lane.keep(2);
        assert_eq!(lane.rewind(|_| true), 2);
        assert_eq!(all(&reader), [4, 5]);
    }

    #[test]
    fn keeping_allocates_what_it_keeps_and_no_more() {
        let lane = Lane::new(1_000);
        lane.keep(160);
        let (writer, reader) = (lane.writer(), lane.reader());
        for n in 0..600 {
            writer.offer([n; 20]).unwrap();
            reader.take();
        }
        assert_eq!(lane.inner.borrow().kept.capacity(), 160);
    }

    #[actix_rt::test]
    async fn a_reader_that_stands_by_hears_nothing_until_it_is_its_turn() {
        let lane = Lane::new(8);
        let first = lane.reader();
        let (second, standby) = lane.standby_reader();
        let mut arrivals = second.arrivals();
        lane.writer().offer(1).unwrap();
        assert_eq!((arrivals.next().now_or_never(), second.take(), first.take()), (None, None, Some(1)));
        lane.writer().offer(2).unwrap();
        lane.activate(standby);
        assert_eq!(arrivals.next().await, Some(LaneReady));
        assert_eq!((first.take(), second.take()), (None, Some(2)));
        balance(&lane);
    }

    #[actix_rt::test]
    async fn who_stood_by_in_vain_hears_that_it_was_replaced() {
        let lane = Lane::<u8>::new(8);
        let (reader, standby) = lane.standby_reader();
        let mut arrivals = reader.arrivals();
        assert_eq!(arrivals.next().now_or_never(), None);
        let _other = lane.reader();
        assert_eq!(arrivals.next().await, None);
        lane.activate(standby);
        assert_eq!(reader.take(), None);
    }

    #[test]
    fn a_drained_backlog_gives_its_memory_back() {
        let lane = Lane::new(1_000);
        let (writer, reader) = (lane.writer(), lane.reader());
        (0..1_000).for_each(|n| writer.offer([n; 20]).unwrap());
        while reader.take().is_some() {}
        assert!(lane.inner.borrow().queue.capacity() <= SLOTS_KEPT);
    }
}
