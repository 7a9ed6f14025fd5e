use super::*;
use proptest::prelude::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn audio_plays_from_when_it_was_sent_and_not_beyond_what_was_sent() {
    let mut playout = Playout::default();
    playout.sent(Part(1), 800, ms(1_000));
    assert_eq!(playout.heard(ms(1_000)), None);
    assert_eq!(playout.heard(ms(1_040)), Some(Heard { part: Part(1), samples: 320 + HALF_TICK }));
    assert_eq!(playout.heard(ms(9_000)), Some(Heard { part: Part(1), samples: 800 }));
    assert_eq!((playout.lead(ms(1_040)), playout.lead(ms(9_000))), (ms(60), ms(0)));
}

#[test]
fn a_pause_in_sending_is_a_pause_in_playing() {
    let mut playout = Playout::default();
    playout.sent(Part(1), 160, ms(0));
    playout.sent(Part(1), 160, ms(500)); // the queue ran dry at 20 ms
    assert_eq!(playout.position(ms(510)), 160 + 80);
}

#[test]
fn a_mark_is_proof_against_a_carrier_that_started_late() {
    let mut playout = Playout::default();
    playout.sent(Part(1), 1_600, ms(0));
    let (generation, first) = playout.mark();
    playout.sent(Part(1), 8_000, ms(0));
    // The mark stands at 200 ms; it comes back at 300 ms, so the playback began 100 ms late.
    assert_eq!(playout.echoed(generation, first, ms(300)), Echo::Played);
    assert_eq!(playout.heard(ms(350)).unwrap().samples, 250 * PER_MS + HALF_TICK);
}

#[test]
fn of_a_carrier_that_may_have_been_gone_only_an_echo_proves_what_was_played() {
    let mut playout = Playout::default();
    playout.sent(Part(1), 1_600, ms(0));
    let heard = |ms: u64| Some(Heard { part: Part(1), samples: ms * PER_MS });
    assert_eq!(playout.ended(ms(50), true), (heard(50), ms(150)), "it may be one that echoes none");
    let (generation, first) = playout.mark();
    playout.sent(Part(1), 8_000, ms(0));
    playout.echoed(generation, first, ms(200));
    assert_eq!(playout.ended(ms(900), true), (heard(200), ms(1_000)));
    assert_eq!(playout.ended(ms(900), false), (heard(900), ms(300)));
    playout.clear(ms(900));
    assert_eq!(playout.ended(ms(900), true), (None, ms(0)), "what was thrown away is not owed");
}

/// One second of audio with a mark every 200 ms; the first is echoed when it is due, the second so much later.
fn second_echo_late_by(late: u64) -> u64 {
    let mut playout = Playout::default();
    let marks: Vec<_> = (0..5)
        .map(|_| {
            playout.sent(Part(1), 1_600, ms(0));
            playout.mark()
        })
        .collect();
    playout.echoed(marks[0].0, marks[0].1, ms(200));
    playout.echoed(marks[1].0, marks[1].1, ms(400 + late));
    playout.position(ms(400 + late)) / PER_MS
}

#[test]
fn an_echo_that_was_held_up_on_its_way_does_not_turn_the_clock_back() {
    assert_eq!(second_echo_late_by(15), 415);
}

#[test]
fn a_carrier_that_stalls_is_believed() {
    assert_eq!(second_echo_late_by(120), 400);
}

/// A playout whose carrier has echoed a mark before.
fn with_echoes() -> Playout {
    let mut playout = Playout::default();
    playout.mark();
    playout.echoed(0, 1, ms(0));
    playout
}

#[test]
fn audio_whose_first_mark_is_not_back_may_not_have_begun_to_play() {
    let mut playout = with_echoes();
    playout.sent(Part(1), 160, ms(0));
    playout.mark();
    playout.sent(Part(1), 8_000, ms(0));
    assert_eq!(playout.position(ms(10)), 80);
    assert_eq!(playout.heard(ms(100)).unwrap().ms(), 20, "it may buffer before it starts");
    playout.echoed(0, 2, ms(120));
    assert_eq!(playout.position(ms(150)), 160 + 30 * PER_MS);
}

#[test]
fn a_mark_that_was_lost_is_not_waited_for() {
    let mut playout = with_echoes();
    playout.sent(Part(1), 160, ms(0));
    playout.mark();
    playout.sent(Part(1), 8_000, ms(0));
    assert_eq!(playout.position(ms(300)), 300 * PER_MS);
}

#[test]
fn without_any_mark_coming_back_time_alone_decides() {
    let mut playout = Playout::default();
    playout.mark();
    playout.sent(Part(1), 160, ms(0));
    playout.mark();
    playout.sent(Part(1), 8_000, ms(0));
    assert_eq!(playout.heard(ms(100)).unwrap().samples, 100 * PER_MS + HALF_TICK);
    assert_eq!(playout.marks_outstanding(), 2);
}

#[test]
fn marks_flushed_by_a_clear_are_no_proof_of_playing() {
    let mut playout = Playout::default();
    playout.sent(Part(1), 8_000, ms(0));
    let (generation, number) = playout.mark();
    assert_eq!(playout.clear(ms(250)), Some(Heard { part: Part(1), samples: 2_000 + HALF_TICK }));
    assert_eq!(playout.echoed(generation, number, ms(251)), Echo::Stale);
    assert!(playout.is_idle(ms(251)));
    playout.sent(Part(2), 800, ms(300));
    assert_eq!(playout.heard(ms(310)), Some(Heard { part: Part(2), samples: 80 }));
    assert_eq!(playout.books(), MarkBooks { sent: 1, cleared: 1, stale: 1, ..MarkBooks::default() });
}

#[test]
fn of_overlapping_parts_the_one_being_played_is_told() {
    let mut playout = Playout::default();
    playout.sent(Part(1), 800, ms(0));
    playout.sent(Part(2), 800, ms(0));
    playout.sent(Part(3), 800, ms(0));
    assert_eq!(playout.heard(ms(150)), Some(Heard { part: Part(2), samples: 400 + HALF_TICK }));
    assert_eq!(playout.heard(ms(90)), Some(Heard { part: Part(1), samples: 800 }));
}

#[test]
fn a_later_mark_answers_for_the_ones_the_carrier_skipped() {
    let mut playout = Playout::default();
    playout.sent(Part(1), 800, ms(0));
    playout.mark();
    playout.sent(Part(1), 800, ms(0));
    let (generation, second) = playout.mark();
    assert_eq!(playout.echoed(generation, second, ms(200)), Echo::Played);
    assert_eq!(playout.echoed(generation, 1, ms(201)), Echo::Stale);
    assert_eq!((playout.marks_outstanding(), playout.books().played), (0, 2));
}

#[test]
fn marks_we_never_sent_are_unknown() {
    let mut playout = Playout::default();
    assert_eq!(playout.echoed(0, 1, ms(0)), Echo::Unknown);
    playout.mark();
    assert_eq!(playout.echoed(0, 0, ms(0)), Echo::Unknown);
    assert_eq!(playout.echoed(7, 1, ms(0)), Echo::Unknown);
    assert_eq!(playout.books().unknown, 3);
}

#[test]
fn marks_that_never_come_back_do_not_pile_up() {
    let mut playout = Playout::default();
    for _ in 0..1_000 {
        playout.mark();
    }
    assert_eq!(playout.marks_outstanding(), MARKS_KEPT);
    assert_eq!(playout.books().given_up, 1_000 - MARKS_KEPT as u64);
}

/// A carrier with a true queue, against which the estimate is held.
#[derive(Default)]
struct Carrier {
    queue: VecDeque<(Part, Option<(u32, u32)>)>, // one sample, or a mark
    heard: u64,
}

impl Carrier {
    fn play(&mut self, samples: u64, echoes: &mut Vec<(u32, u32)>) {
        let mut left = samples;
        while let Some((_, mark)) = self.queue.front() {
            match mark {
                Some(mark) => echoes.push(*mark),
                None if left == 0 => return,
                None => {
                    left -= 1;
                    self.heard += 1;
                }
            }
            self.queue.pop_front();
        }
    }
}

proptest! {
    /// Against a carrier that plays in ticks of 20 ms and echoes marks as it reaches them, the estimate is never
    /// more than one tick away from the truth, whatever is sent and cleared whenever.
    #[test]
    fn the_estimate_stays_within_a_tick_of_the_truth(
        steps in prop::collection::vec((0_u64..5, 0_u64..1_000, prop::bool::weighted(0.05)), 1..300),
    ) {
        let mut playout = Playout::default();
        let mut carrier = Carrier::default();
        let mut now = 0;
        for (ticks, samples, clear) in steps {
            for _ in 0..ticks {
                now += 20;
                let mut echoes = Vec::new();
                carrier.play(160, &mut echoes);
                for (generation, number) in echoes {
                    playout.echoed(generation, number, ms(now));
                }
            }
            let estimate = playout.position(ms(now));
            prop_assert!(estimate.abs_diff(carrier.heard) <= 160, "{estimate} against {}", carrier.heard);
            if clear {
                playout.clear(ms(now));
                carrier.queue.clear();
                carrier.heard = playout.position(ms(now));
            }
            if samples > 0 {
                playout.sent(Part(1), samples, ms(now));
                carrier.queue.extend((0..samples).map(|_| (Part(1), None)));
                let mark = playout.mark();
                carrier.queue.push_back((Part(1), Some(mark)));
            }
            let books = playout.books();
            let resolved = books.played + books.cleared + books.given_up;
            prop_assert_eq!(books.sent, resolved + playout.marks_outstanding() as u64);
        }
    }
}
