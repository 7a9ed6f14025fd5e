//! The balance sheet at the end of a call: does everything that came in add up with everything that went out?
//!
//! Pure: it sees the books that lanes and children kept, and names what does not add up. A child that died without
//! handing in its account is in the call's record already; its rows are left out here.

use serde::Serialize;

use crate::engine::AudioChoice;
use crate::kit::lane::Books;
use crate::messages::{EngineAccount, LegAccount};

/// The books of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// One per socket that the caller came over; complete only when none of them died without a word.
    pub legs: Vec<LegAccount>,
    pub legs_spawned: usize,
    /// One per engine that served the call, with the format it spoke; complete under the same condition.
    pub engines: Vec<(AudioChoice, EngineAccount)>,
    pub engines_spawned: usize,
    pub caller_lane: LaneBooks,
    pub agent_lane: LaneBooks,
    /// The lanes beyond a transcoder, for each time that there was one.
    pub wide: Vec<WideBooks>,
    pub transcoders_died: u32,
    /// Children that had to be killed because they did not finish in time.
    pub killed: u32,
    /// What was used and is in no usage event, because recorders died of it or too often.
    pub usage_lost: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WideBooks {
    pub caller: LaneBooks,
    pub agent: LaneBooks,
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
    /// Not all that was used is recorded.
    Usage,
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
            Self::Usage => "usage",
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
    if sheet.legs.len() == sheet.legs_spawned {
        let caller = sheet.caller_lane.books;
        let came: u64 = sheet.legs.iter().map(|leg| leg.frames_in + leg.frames_filled).sum();
        let refused: u64 = sheet.legs.iter().map(|leg| leg.frames_refused).sum();
        check(came == caller.offered && refused == caller.refused, Discrepancy::CallerFrames);
    }
    for leg in &sheet.legs {
        let marks = leg.marks;
        let resolved = marks.played + marks.cleared + marks.given_up;
        check(marks.sent == resolved + leg.marks_outstanding, Discrepancy::Marks);
    }
    let transcoded: u64 = sheet.wide.iter().map(|wide| wide.caller.books.offered).sum();
    if sheet.engines.len() == sheet.engines_spawned {
        let gone = |format| -> u64 {
            let engines = sheet.engines.iter().filter(|(spoken, _)| *spoken == format);
            engines.map(|(_, engine)| engine.frames_forwarded + engine.frames_shed).sum()
        };
        let taken_wide: u64 = sheet.wide.iter().map(|wide| wide.caller.books.taken).sum();
        check(taken_wide == gone(AudioChoice::Pcm24), Discrepancy::ForwardedFrames);
        if sheet.transcoders_died == 0 {
            let taken = sheet.caller_lane.books.taken;
            let what =
                if transcoded == 0 { Discrepancy::ForwardedFrames } else { Discrepancy::TranscodedFrames };
            check(taken == transcoded + gone(AudioChoice::Pcmu), what);
        }
    }
    let wide = sheet.wide.iter().flat_map(|wide| [wide.caller, wide.agent]);
    for LaneBooks { books, left } in [sheet.caller_lane, sheet.agent_lane].into_iter().chain(wide) {
        let Books { offered, rewound, taken, refused, cleared } = books;
        check(offered + rewound == taken + refused + cleared + left, Discrepancy::Lane);
    }
    check(sheet.killed == 0, Discrepancy::Child);
    check(sheet.usage_lost == 0, Discrepancy::Usage);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_media::playout::MarkBooks;

    /// Two sockets one after the other, and a transcoded engine that was followed by one that speaks as the phone does.
    fn clean() -> Sheet {
        let marks = MarkBooks { sent: 7, played: 4, cleared: 2, stale: 2, ..MarkBooks::default() };
        let leg = |frames_in| LegAccount {
            frames_in,
            frames_filled: 10,
            frames_refused: 5,
            marks,
            marks_outstanding: 1,
            ..LegAccount::default()
        };
        let engine =
            |frames_forwarded| EngineAccount { frames_forwarded, frames_shed: 3, ..EngineAccount::default() };
        let books =
            |offered, taken, left| LaneBooks { books: Books { offered, taken, ..Books::default() }, left };
        Sheet {
            legs: vec![leg(90), leg(40)],
            legs_spawned: 2,
            engines: vec![(AudioChoice::Pcm24, engine(80)), (AudioChoice::Pcmu, engine(57))],
            engines_spawned: 2,
            caller_lane: LaneBooks {
                books: Books { offered: 150, rewound: 20, taken: 150, refused: 10, cleared: 0 },
                left: 10,
            },
            wide: vec![WideBooks { caller: books(90, 83, 7), agent: LaneBooks::default() }],
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
        let rows: [(Spoil, Discrepancy); 8] = [
            (|sheet| sheet.legs[1].frames_in += 1, Discrepancy::CallerFrames),
            (|sheet| sheet.engines[0].1.frames_forwarded -= 1, Discrepancy::ForwardedFrames),
            (|sheet| sheet.engines[1].1.frames_forwarded -= 1, Discrepancy::TranscodedFrames),
            (|sheet| sheet.legs[0].marks.sent += 1, Discrepancy::Marks),
            (|sheet| sheet.agent_lane.left += 1, Discrepancy::Lane),
            (|sheet| sheet.wide[0].caller.left += 1, Discrepancy::Lane),
            (|sheet| sheet.killed += 1, Discrepancy::Child),
            (|sheet| sheet.usage_lost += 1, Discrepancy::Usage),
        ];
        for (spoil, discrepancy) in rows {
            let mut sheet = clean();
            spoil(&mut sheet);
            assert_eq!(audit(&sheet), [discrepancy]);
        }
    }

    #[test]
    fn a_child_that_died_without_an_account_is_not_counted_twice() {
        let mut sheet = clean();
        sheet.engines.pop();
        assert_eq!(audit(&sheet), []);
        sheet.legs.clear();
        assert_eq!(audit(&sheet), []);
    }
}
