//! The rounds as a table to read, or as JSON.
//! It measures nothing and decides nothing but which of two rounds was the better one.

use std::fmt;

use serde::Serialize;

use super::process::Cores;
use super::round::{Audio, Middle, Round};
use super::stats::Reckoning;

/// All rounds of a storm, in the order they were played.
#[derive(Serialize, Debug)]
pub(super) struct Report {
    pub(super) calls: u32,
    pub(super) seconds: u64,
    pub(super) audio: Audio,
    pub(super) cores: usize,
    /// The core that the process in the middle was pinned to.
    pub(super) measured_core: Option<usize>,
    pub(super) release_build: bool,
    /// Every call of every round stood, every frame arrived once and in its place.
    pub(super) clean: bool,
    /// CPU time of the best round through the switch, by that of the best through the relay.
    pub(super) floor_ratio: Option<f64>,
    pub(super) rounds: Vec<Round>,
}

/// A row of the table: its name, and how it reads in a round.
type Row = (&'static str, fn(&Round) -> String);

const ROWS: &[Row] = &[
    ("CPU ms per call-second", |round| format!("{:.3}", round.cost.cpu_ms_per_call_second)),
    ("  user / system", |round| {
        format!("{:.3} / {:.3}", round.cost.user_ms_per_call_second, round.cost.system_ms_per_call_second)
    }),
    ("memory, KiB per call", |round| format!("{:.1}", round.cost.memory_kib_per_call)),
    ("  growth in the window", |round| format!("{:+.2}", round.cost.growth_kib_per_call)),
    ("  kept after the end", |round| format!("{:.1}", round.cost.kept_kib_per_call)),
    ("added delay up, ms", |round| delay(&round.up)),
    ("added delay down, ms", |round| delay(&round.down)),
    ("late (over 20 ms), up / down", |round| format!("{} / {}", round.up.late, round.down.late)),
    ("frames up / down", |round| format!("{} / {}", round.up.frames_sent, round.down.frames_sent)),
    ("  lost", |round| format!("{} / {}", round.up.lost, round.down.lost)),
    ("  doubled", |round| format!("{} / {}", round.up.doubled, round.down.doubled)),
    ("  reordered", |round| format!("{} / {}", round.up.reordered, round.down.reordered)),
    ("  nobody sent, ms", |round| format!("{:.0} / {:.0}", round.up.foreign_ms, round.down.foreign_ms)),
    ("calls talking", |round| format!("{} of {}", round.calls_talking, round.calls)),
    ("failures", |round| round.failures.iter().map(|failure| failure.count).sum::<u64>().to_string()),
    ("CPU stolen by the host", |round| format!("{:.1} %", round.cost.stolen_percent)),
    ("others' use of a core", |round| format!("{:.0} %", round.cost.others_percent)),
    ("load's use of a core", |round| format!("{:.0} %", round.cost.load_percent)),
];

impl Report {
    pub(super) fn new(calls: u32, seconds: u64, audio: Audio, cores: &Cores, rounds: Vec<Round>) -> Self {
        let best = |middle| best_cpu(&rounds, middle);
        Self {
            calls,
            seconds,
            audio,
            cores: cores.count,
            measured_core: cores.measured,
            release_build: !cfg!(debug_assertions),
            clean: rounds.iter().all(Round::is_clean),
            floor_ratio: best(Middle::Switch).zip(best(Middle::Relay)).map(|(switch, relay)| switch / relay),
            rounds,
        }
    }
}

/// The least CPU time of the usable rounds; of all of them if none is usable.
fn best_cpu(rounds: &[Round], middle: Middle) -> Option<f64> {
    let least = |usable_only: bool| {
        rounds
            .iter()
            .filter(|round| round.middle == middle && (!usable_only || round.unusable.is_none()))
            .map(|round| round.cost.cpu_ms_per_call_second)
            .reduce(f64::min)
    };
    least(true).or_else(|| least(false))
}

fn delay(direction: &Reckoning) -> String {
    format!("{:.2} / {:.2} / {:.2}", direction.delay_ms_p50, direction.delay_ms_p99, direction.delay_ms_p999)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = if self.release_build { "release build" } else { "DEBUG build: not worth comparing" };
        writeln!(
            f,
            "{} calls, {} s a round, {}, plain loopback sockets, {build}",
            self.calls, self.seconds, self.audio
        )?;
        match self.measured_core {
            Some(core) => {
                writeln!(f, "measured process on core {core} of {}, load on the others\n", self.cores)?;
            }
            None => {
                writeln!(f, "{} cores, nothing pinned (that takes two cores and `taskset`)\n", self.cores)?;
            }
        }
        write_table(f, &self.rounds)?;
        writeln!(f)?;
        for (index, round) in self.rounds.iter().enumerate() {
            write_remarks(f, index + 1, round)?;
        }
        if let Some(ratio) = self.floor_ratio {
            writeln!(f, "switch by floor, best with best: {ratio:.2}")?;
        }
        writeln!(
            f,
            "\n{}",
            if self.clean {
                "clean: nothing lost, doubled or reordered, no call failed"
            } else {
                "NOT CLEAN"
            }
        )
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, rounds: &[Round]) -> fmt::Result {
    let names = std::iter::once("delays: p50 / p99 / p99.9").chain(ROWS.iter().map(|(name, _)| *name));
    let columns: Vec<Vec<String>> =
        rounds.iter().enumerate().map(|(index, round)| column(index + 1, round)).collect();
    let width = columns.iter().flatten().map(String::len).max().unwrap_or_default() + 2;
    for (row, name) in names.enumerate() {
        write!(f, "{name:<28}")?;
        columns.iter().try_for_each(|column| write!(f, "{:>width$}", column[row]))?;
        writeln!(f)?;
    }
    Ok(())
}

fn column(number: usize, round: &Round) -> Vec<String> {
    let head = match round.middle {
        Middle::Switch => format!("{number} switch"),
        Middle::Relay => format!("{number} relay (floor)"),
    };
    std::iter::once(head).chain(ROWS.iter().map(|(_, value)| value(round))).collect()
}

fn write_remarks(f: &mut fmt::Formatter<'_>, number: usize, round: &Round) -> fmt::Result {
    if let Some(reason) = &round.unusable {
        writeln!(f, "round {number} is UNUSABLE: {reason}")?;
    }
    for failure in &round.failures {
        writeln!(f, "round {number}: {} {} (the first: {})", failure.count, failure.kind, failure.first)?;
    }
    if round.log_lines > 0 {
        writeln!(f, "round {number} logged {} lines, the last of them:\n{}", round.log_lines, round.log_end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::cost::Cost;
    use super::super::round::FailureCount;
    use super::*;

    fn round(middle: Middle, cpu_ms_per_call_second: f64) -> Round {
        Round {
            middle,
            calls: 10,
            calls_talking: 10,
            cost: Cost { cpu_ms_per_call_second, ..Cost::default() },
            unusable: None,
            up: Reckoning::default(),
            down: Reckoning::default(),
            failures: Vec::new(),
            log_lines: 0,
            log_end: String::new(),
        }
    }

    fn report(rounds: Vec<Round>) -> Report {
        let cores = Cores { count: 2, measured: Some(0) };
        Report::new(10, 5, Audio::Pcmu, &cores, rounds)
    }

    #[test]
    fn the_best_usable_rounds_are_compared() {
        let stolen = Round { unusable: Some("stolen time".into()), ..round(Middle::Switch, 0.5) };
        let rounds =
            vec![stolen, round(Middle::Relay, 0.5), round(Middle::Switch, 0.6), round(Middle::Relay, 0.7)];
        let report = report(rounds);
        assert!(report.floor_ratio.is_some_and(|ratio| (ratio - 1.2).abs() < 1e-9), "{report}");
        let text = report.to_string();
        assert!(text.contains("round 1 is UNUSABLE: stolen time"), "{text}");
        assert!(text.contains("best with best: 1.20"), "{text}");
        assert!(text.ends_with("clean: nothing lost, doubled or reordered, no call failed\n"), "{text}");
    }

    #[test]
    fn rounds_stand_side_by_side_in_one_grid() {
        let text = report(vec![round(Middle::Switch, 0.5), round(Middle::Relay, 0.25)]).to_string();
        let row =
            |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        // The widest cell is "0.00 / 0.00 / 0.00": 18, and 2 of space.
        let grid = |name, left, right| format!("{name:<28}{left:>20}{right:>20}");
        assert_eq!(row("CPU ms"), grid("CPU ms per call-second", "0.500", "0.250"));
        assert_eq!(row("delays"), grid("delays: p50 / p99 / p99.9", "1 switch", "2 relay (floor)"));
    }

    #[test]
    fn a_single_fault_of_any_kind_is_not_clean() {
        let faults: [fn(&mut Round); 6] = [
            |round| round.up.lost = 1,
            |round| round.down.doubled = 1,
            |round| round.down.reordered = 1,
            |round| round.down.lost = 1,
            |round| round.unusable = Some("stolen time".into()),
            |round| {
                round.failures.push(FailureCount { kind: "refused".into(), count: 1, first: "503".into() });
            },
        ];
        let clean = faults.map(|fault| {
            let mut spoilt = round(Middle::Switch, 0.5);
            fault(&mut spoilt);
            report(vec![spoilt]).clean
        });
        // Stolen time spoils the figures, not the calls.
        assert_eq!(clean, [false, false, false, false, true, false]);
    }
}
