//! The balance sheet at the end of a call: does everything that came in add up with everything that went out?
//!
//! Pure: it sees the books that lanes and children kept, and names what does not add up. A child that died without
//! handing in its account is in the call's record already; its rows are left out here.

use serde::Serialize;

use crate::kit::lane::Books;
use crate::messages::{EngineAccount, LegAccount};

/// The books of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    pub leg: Option<LegAccount>,
    /// One per engine that served the call; complete only when none of them died without a word.
    pub engines: Vec<EngineAccount>,
    pub engines_spawned: usize,
    pub caller_lane: LaneBooks,
    pub agent_lane: LaneBooks,
    /// The two lanes beyond the transcoder, when there is one.
    pub wide_caller_lane: Option<LaneBooks>,
    pub wide_agent_lane: Option<LaneBooks>,
    pub transcoders_died: u32,
    /// Children that had to be killed because they did not finish in time.
    pub killed: u32,
}

/// A lane's books with what was left in it when the call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneBooks {
    pub books: Books,
    pub left: u64,
}

/// What does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discrepancy {
    /// Frames that came in are not those that the caller lane was offered.
    CallerFrames,
    /// Frames that left the caller lane are not those that engines forwarded or shed.
    ForwardedFrames,
    /// Frames got lost between the lanes on the two sides of the transcoder.
    TranscodedFrames,
    /// A lane's own books do not balance.
    Lane,
    /// Marks are neither answered, nor cleared, nor known to be outstanding.
    Marks,
    /// A child did not finish by itself.
    Child,
}

impl Discrepancy {
    pub fn name(self) -> &'static str {
        match self {
            Self::CallerFrames => "caller_frames",
            Self::ForwardedFrames => "forwarded_frames",
            Self::TranscodedFrames => "transcoded_frames",
            Self::Lane => "lane",
            Self::Marks => "marks",
            Self::Child => "child",
        }
    }
}

/// Checks the books. A clean call yields nothing.
pub fn audit(sheet: &Sheet) -> Vec<Discrepancy> {
    let mut found = Vec::new();
    let mut check = |holds: bool, what| {
        if !holds {
            found.push(what);
        }
    };
    if let Some(leg) = &sheet.leg {
        let caller = sheet.caller_lane.books;
        check(
            leg.frames_in + leg.frames_filled == caller.offered && leg.frames_refused == caller.refused,
            Discrepancy::CallerFrames,
        );
        let marks = leg.marks;
        let resolved = marks.played + marks.cleared + marks.given_up;
        check(marks.sent == resolved + leg.marks_outstanding, Discrepancy::Marks);
    }
    if sheet.engines.len() == sheet.engines_spawned {
        let taken = sheet.wide_caller_lane.unwrap_or(sheet.caller_lane).books.taken;
        let gone: u64 = sheet.engines.iter().map(|engine| engine.frames_forwarded + engine.frames_shed).sum();
        check(taken == gone, Discrepancy::ForwardedFrames);
    }
    if let Some(wide) = sheet.wide_caller_lane.filter(|_| sheet.transcoders_died == 0) {
        check(sheet.caller_lane.books.taken == wide.books.offered, Discrepancy::TranscodedFrames);
    }
    let lanes =
        [Some(sheet.caller_lane), Some(sheet.agent_lane), sheet.wide_caller_lane, sheet.wide_agent_lane];
    for LaneBooks { books, left } in lanes.into_iter().flatten() {
        check(books.offered == books.taken + books.refused + books.cleared + left, Discrepancy::Lane);
    }
    check(sheet.killed == 0, Discrepancy::Child);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_media::playout::MarkBooks;

    fn clean() -> Sheet {
        Sheet {
            leg: Some(LegAccount {
                frames_in: 90,
                frames_filled: 10,
                frames_refused: 5,
                marks: MarkBooks { sent: 7, played: 4, cleared: 2, stale: 2, ..MarkBooks::default() },
                marks_outstanding: 1,
                ..LegAccount::default()
            }),
            engines: vec![EngineAccount { frames_forwarded: 80, frames_shed: 3, ..EngineAccount::default() }],
            engines_spawned: 1,
            caller_lane: LaneBooks {
                books: Books { offered: 100, taken: 83, refused: 5, cleared: 0 },
                left: 12,
            },
            ..Sheet::default()
        }
    }

    #[test]
    fn a_clean_call_yields_nothing() {
        assert_eq!(audit(&clean()), []);
    }

    #[test]
    fn every_row_is_found_when_it_is_off() {
        type Spoil = fn(&mut Sheet);
        let rows: [(Spoil, Discrepancy); 6] = [
            (|sheet| sheet.leg.as_mut().unwrap().frames_in += 1, Discrepancy::CallerFrames),
            (|sheet| sheet.engines[0].frames_forwarded -= 1, Discrepancy::ForwardedFrames),
            (|sheet| sheet.leg.as_mut().unwrap().marks.sent += 1, Discrepancy::Marks),
            (|sheet| sheet.agent_lane.left += 1, Discrepancy::Lane),
            (|sheet| sheet.killed += 1, Discrepancy::Child),
            (
                |sheet| {
                    let books = Books { offered: 82, taken: 83, ..Books::default() };
                    sheet.wide_caller_lane = Some(LaneBooks { books, left: 0 });
                    sheet.wide_caller_lane.as_mut().unwrap().books.cleared = 0;
                },
                Discrepancy::TranscodedFrames,
            ),
        ];
        for (spoil, expected) in rows {
            let mut sheet = clean();
            spoil(&mut sheet);
            assert!(audit(&sheet).contains(&expected), "{expected:?}");
        }
    }

    #[test]
    fn a_child_that_died_without_an_account_is_not_guessed_at() {
        let mut sheet = clean();
        sheet.leg = None;
        sheet.engines.clear();
        assert_eq!(audit(&sheet), []);
    }
}
