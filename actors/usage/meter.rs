//! The meter of a call: what runs while a call lasts, and when the next of it is to be told.
//!
//! Pure: `now` is an argument. It refuses to know what a mode, an engine and a price are.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::entry::Item;
use crate::ports::Line;

/// How often running time is told. A call of ten minutes makes 40 events so. A killed process loses none of it: what runs is
/// shown all the time ([`Meter::run`]); a machine that dies takes so much along.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// The carrier's longest call takes a day. More minutes than that are a clock that has jumped, and not the call's.
const MINUTES_MAX: u32 = 24 * 60;

/// What was told of a call before, by whichever actor served it. It travels with the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    started: bool,
    ended: bool,
    minutes: u32,
}

/// What runs and is in no event yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// For so long the call was served,
    pub served: Duration,
    /// and since then it is.
    pub serving: Option<Instant>,
    /// So much of the caller's audio was taken,
    pub heard: Duration,
    /// and from then on it is as it comes, where it is streamed.
    pub hearing: Option<Instant>,
    /// When this was so.
    pub at: Instant,
}

pub struct Meter {
    told: Told,
    /// How old the call was when this meter began.
    age: Duration,
    began: Instant,
    /// Since when it is served, if it is, as far as that has not been added up.
    serving: Option<Instant>,
    served: Duration,
    /// Caller audio that had been taken when it was last told.
    taken: Duration,
    told_at: Instant,
    /// To be told when all else has been.
    end: Option<Item>,
}

impl Meter {
    /// For a call that is `age` old: an actor may take over from another.
    pub fn new(told: Told, age: Duration, now: Instant) -> Self {
        Self {
            told,
            age,
            began: now,
            serving: None,
            served: Duration::ZERO,
            taken: Duration::ZERO,
            told_at: now,
            end: None,
        }
    }

    pub fn told(&self) -> Told {
        self.told
    }

    /// From now on the call is served, or is not.
    pub fn serve(&mut self, served: bool, now: Instant) {
        if let Some(since) = self.serving.take() {
            self.served += now.saturating_duration_since(since);
        }
        self.serving = served.then_some(now);
    }

    /// What is due by now. `taken` is how much caller audio engines have taken over this meter's life.
    pub fn tick(&mut self, now: Instant, line: Line, taken: Duration) -> Vec<Item> {
        let mut due = Vec::new();
        if !std::mem::replace(&mut self.told.started, true) {
            due.push(Item::SessionStarted);
        }
        let started = self.call_age(now).as_secs() / 60 + 1;
        let started = u32::try_from(started).unwrap_or(u32::MAX).min(MINUTES_MAX);
        if started > self.told.minutes {
            due.push(Item::Minutes(started - self.told.minutes, line));
            self.told.minutes = started;
        }
        if now.saturating_duration_since(self.told_at) >= TELL_EVERY {
            self.tell_running(now, taken, &mut due);
        }
        due
    }

    /// What would be told now.
    pub fn run(&self, now: Instant, line: Line, taken: Duration) -> Run {
        Run {
            served: self.served,
            serving: self.serving,
            heard: taken.saturating_sub(self.taken),
            hearing: self.serving.filter(|_| line == Line::Streamed).map(|_| now),
            at: now,
        }
    }

    /// Tells what has run until now: something changes that is told along with it.
    pub fn flush(&mut self, now: Instant, taken: Duration) -> Vec<Item> {
        let mut due = Vec::new();
        self.tell_running(now, taken, &mut due);
        due
    }

    /// The call is over, and not only elsewhere. A caller who was not gone after all does not end it twice.
    pub fn end(&mut self, reason: &str, now: Instant) {
        if !std::mem::replace(&mut self.told.ended, true) {
            self.end = Some(Item::SessionEnded { reason: reason.to_owned(), length: self.call_age(now) });
        }
    }

    /// Tells the rest, at the end of an actor's part.
    pub fn close(&mut self, now: Instant, taken: Duration) -> Vec<Item> {
        self.serve(false, now);
        let mut due = self.flush(now, taken);
        due.extend(self.end.take());
        due
    }

    fn tell_running(&mut self, now: Instant, taken: Duration, due: &mut Vec<Item>) {
        self.serve(self.serving.is_some(), now);
        self.told_at = now;
        let served = whole_ms(self.served);
        if !served.is_zero() {
            self.served -= served;
            due.push(Item::Served(served));
        }
        let heard = taken.saturating_sub(std::mem::replace(&mut self.taken, taken));
        if !heard.is_zero() {
            due.push(Item::CallerHeard(heard));
        }
    }

    fn call_age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.began))
    }
}

/// Events count in milliseconds: what is less is told with the next.
fn whole_ms(time: Duration) -> Duration {
    Duration::new(time.as_secs(), time.subsec_millis() * 1_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A meter that has told its first.
    fn running(now: Instant) -> Meter {
        let mut meter = Meter::new(Told::default(), s(0), now);
        assert_eq!(meter.tick(now, Line::Call, s(0)), [Item::SessionStarted, Item::Minutes(1, Line::Call)]);
        meter
    }

    #[test]
    fn a_session_starts_once_over_all_its_actors() {
        let now = Instant::now();
        let first = running(now);
        let mut second = Meter::new(first.told(), s(30), now);
        assert_eq!(second.tick(now, Line::Call, s(0)), []);
    }

    #[test]
    fn a_session_ends_once_with_the_length_of_the_whole_call() {
        let now = Instant::now();
        let mut first = running(now);
        assert_eq!(first.close(now + s(30), s(0)), [], "it goes on elsewhere");
        let mut second = Meter::new(first.told(), s(31), now);
        second.end("caller_hung_up", now + s(5));
        second.end("shutdown", now + s(6));
        let over = Item::SessionEnded { reason: "caller_hung_up".to_owned(), length: s(36) };
        assert_eq!(second.close(now + s(7), s(0)), [over]);
        let mut third = Meter::new(second.told(), s(40), now);
        third.end("caller_hung_up", now);
        assert_eq!(third.close(now, s(0)), [], "a caller who was not gone after all");
    }

    #[test]
    fn a_minute_of_the_line_is_told_when_it_starts() {
        let now = Instant::now();
        let mut meter = running(now);
        let told: Vec<u64> = (0..=180)
            .filter(|second| {
                let due = meter.tick(now + s(*second), Line::Streamed, s(0));
                assert!(due.iter().all(|item| *item == Item::Minutes(1, Line::Streamed)));
                !due.is_empty()
            })
            .collect();
        assert_eq!(told, [60, 120, 180]);
    }

    #[test]
    fn minutes_in_which_nobody_served_the_call_are_told_by_whoever_takes_it_over() {
        let now = Instant::now();
        let told = running(now).told();
        let mut second = Meter::new(told, s(150), now);
        assert_eq!(second.tick(now, Line::Call, s(0)), [Item::Minutes(2, Line::Call)]);
    }

    #[test]
    fn a_clock_that_jumps_bills_no_more_than_the_longest_call() {
        let now = Instant::now();
        let mut meter = Meter::new(Told::default(), Duration::MAX, now);
        let due = meter.tick(now, Line::Call, s(0));
        assert_eq!(due, [Item::SessionStarted, Item::Minutes(1_440, Line::Call)]);
    }

    #[test]
    fn what_runs_is_told_every_thirty_seconds_and_the_rest_at_the_end() {
        let now = Instant::now();
        let mut meter = running(now);
        meter.serve(true, now + s(2));
        assert_eq!(meter.tick(now + s(29), Line::Call, s(6)), []);
        assert_eq!(meter.tick(now + s(30), Line::Call, s(7)), [Item::Served(s(28)), Item::CallerHeard(s(7))]);
        assert_eq!(meter.tick(now + s(39), Line::Call, s(8)), []);
        assert_eq!(meter.close(now + s(40), s(9)), [Item::Served(s(10)), Item::CallerHeard(s(2))]);
        assert_eq!(meter.close(now + s(45), s(9)), [], "once");
    }

    #[test]
    fn time_without_a_caller_is_not_served() {
        let now = Instant::now();
        let mut meter = running(now);
        meter.serve(true, now);
        meter.serve(false, now + s(3));
        meter.serve(true, now + s(8));
        assert_eq!(meter.flush(now + s(9), s(0)), [Item::Served(s(4))]);
        assert_eq!(meter.close(now + s(11), s(0)), [Item::Served(s(2))]);
    }

    #[test]
    fn parts_of_a_millisecond_are_kept_for_the_next_event() {
        let now = Instant::now();
        let mut meter = running(now);
        meter.serve(true, now);
        let mut told = Duration::ZERO;
        for n in 1..=10 {
            for item in meter.flush(now + Duration::from_micros(1_500) * n, s(0)) {
                let Item::Served(time) = item else { panic!("{item:?}") };
                told += time;
            }
        }
        assert_eq!(told, Duration::from_millis(15));
    }

    proptest! {
        #[test]
        fn all_time_and_every_minute_is_told_once_whoever_serves_the_call(
            parts in prop::collection::vec(
                prop::collection::vec((1_u64..30_000, any::<bool>(), 0_u64..3_000), 0..40),
                1..5,
            ),
        ) {
            let start = Instant::now();
            let (mut told, mut age, mut events) = (Told::default(), s(0), Vec::new());
            let (mut served, mut taken) = (s(0), s(0));
            for part in parts {
                let (mut meter, mut now) = (Meter::new(told, age, start), start);
                let (mut serving, mut taken_here) = (false, s(0));
                events.extend(meter.tick(now, Line::Call, taken_here));
                for (after_ms, serves, more_ms) in part {
                    let after = Duration::from_millis(after_ms);
                    now += after;
                    served += if serving { after } else { s(0) };
                    taken_here += Duration::from_millis(more_ms);
                    events.extend(meter.tick(now, Line::Call, taken_here));
                    meter.serve(serves, now);
                    serving = serves;
                }
                events.extend(meter.close(now, taken_here));
                (told, age, taken) = (meter.told(), age + (now - start), taken + taken_here);
            }
            let count = |of: &dyn Fn(&Item) -> u64| events.iter().map(of).sum::<u64>();
            let ms = |time: &Duration| u64::try_from(time.as_millis()).unwrap();
            prop_assert_eq!(count(&|item| u64::from(*item == Item::SessionStarted)), 1);
            prop_assert_eq!(count(&|item| if let Item::Served(time) = item { ms(time) } else { 0 }), ms(&served));
            prop_assert_eq!(count(&|item| if let Item::CallerHeard(time) = item { ms(time) } else { 0 }), ms(&taken));
            let minutes = count(&|item| if let Item::Minutes(minutes, _) = item { (*minutes).into() } else { 0 });
            prop_assert_eq!(minutes, age.as_secs() / 60 + 1);
        }
    }
}
