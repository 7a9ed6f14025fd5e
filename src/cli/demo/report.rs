//! What the demo tells of its call: who said what, how much was heard, where the time went, and whether the books are
//! clean. The switch's record and the carrier's are laid on one clock, the caller's.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tandem_actors::call::CallReport;
use tandem_actors::call::timeline::{Event, What};
use tandem_actors::ledger::{Share, Speaker};
use tandem_sim::carrier::{CallEnd, CallRecord, CarrierEvent};
use tokio::time::Instant;

use crate::cli::ear::{self, Utterance};

/// Everything in milliseconds since the caller's stream began.
#[derive(Serialize)]
pub(super) struct Report {
    call_id: String,
    end: &'static str,
    length_ms: i64,
    turns: Vec<Spoken>,
    waterfall: Vec<Waterfall>,
    interruptions: Vec<Interruption>,
    /// What does not add up at the end of the call; empty when all does.
    discrepancies: Vec<&'static str>,
    carrier_warnings: Vec<(u32, String)>,
    events: Vec<Event>,
    #[serde(skip)]
    well: bool,
}

#[derive(Serialize)]
struct Spoken {
    at_ms: i64,
    who: Speaker,
    text: String,
    /// The words that reached the caller, where they are not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<String>,
}

/// Where the time of one answer went, from the end of the caller's speech to the first sound at the ear.
#[derive(Serialize)]
struct Waterfall {
    part: u32,
    /// When the caller really fell silent; the stages add up from there. Absent for the greeting.
    caller_silent_ms: Option<i64>,
    /// Until the provider was sure that the caller had finished.
    endpointing_ms: Option<i64>,
    /// Until it began to make a response.
    response_ms: Option<i64>,
    /// Until its first audio came.
    first_audio_ms: Option<i64>,
    /// Until that audio left for the carrier: the switch's own share.
    switch_ms: Option<i64>,
    /// Until it sounded at the ear.
    carrier_ms: Option<i64>,
    total_ms: Option<i64>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit is part of every name in the JSON")]
struct Interruption {
    /// When the caller really began to speak.
    caller_began_ms: i64,
    /// From then until the agent was silent at the ear: the provider's detection included.
    silent_after_ms: i64,
    /// From the provider's word that the caller speaks until the carrier had thrown its queue away.
    cleared_after_ms: f64,
    /// What the ear heard of the answer, and what the provider was told.
    heard_ms: u64,
    truncated_ms: Option<u64>,
}

impl Report {
    pub(super) fn new(call: &CallReport, record: &CallRecord, began: Instant) -> Self {
        let stream_began = began + record.stream_started.unwrap_or_default();
        let clock = Clock { stream_began };
        let offset = clock.ms(call.origin);
        let caller = ear::utterances(&record.said);
        let turns = call
            .ledger
            .turns()
            .map(|turn| Spoken {
                at_ms: offset + signed(turn.began_ms),
                who: turn.who,
                text: turn.text.clone(),
                heard: matches!(turn.heard, Share::Until { .. }).then(|| turn.heard_text().to_owned()),
            })
            .collect();
        let discrepancies: Vec<_> = call.discrepancies.iter().map(|found| found.name()).collect();
        let well = discrepancies.is_empty()
            && call.engine_failures == 0
            && matches!(record.end, CallEnd::CallerHungUp)
            && record.warnings.is_empty();
        Self {
            call_id: call.id.to_string(),
            end: call.end.name(),
            length_ms: millis(call.length),
            turns,
            waterfall: waterfall(call, record, &clock, &caller, began),
            interruptions: interruptions(call, record, &clock, &caller, began),
            discrepancies,
            carrier_warnings: record.warnings.clone(),
            events: call.timeline.events().to_vec(),
            well,
        }
    }

    /// The caller hung up by himself, no engine failed, the carrier had nothing to complain of, the books are clean.
    pub(super) fn is_well(&self) -> bool {
        self.well
    }

    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self).context("a report is plain data")?);
        } else {
            print!("{}", self.text()?);
        }
        Ok(())
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).context("a report is plain data")?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))
    }

    fn text(&self) -> Result<String> {
        let mut text = String::new();
        for turn in &self.turns {
            let who = match turn.who {
                Speaker::Caller => "caller",
                Speaker::Agent => "agent",
            };
            writeln!(text, "{:6.1} s  {who:<7} {}", seconds(turn.at_ms), turn.text)?;
            if let Some(heard) = &turn.heard {
                writeln!(text, "{:8}  {:<7} (heard: {heard} -)", "", "")?;
            }
        }
        writeln!(
            text,
            "\nwhere the time went, in ms, from the caller's last sound to the agent's first at the ear"
        )?;
        writeln!(
            text,
            "{:>6} {:>12} {:>9} {:>12} {:>7} {:>8} {:>7}",
            "answer", "endpointing", "response", "first audio", "switch", "carrier", "total"
        )?;
        for (number, row) in self.waterfall.iter().enumerate() {
            writeln!(
                text,
                "{:>6} {:>12} {:>9} {:>12} {:>7} {:>8} {:>7}",
                number + 1,
                cell(row.endpointing_ms),
                cell(row.response_ms),
                cell(row.first_audio_ms),
                cell(row.switch_ms),
                cell(row.carrier_ms),
                cell(row.total_ms)
            )?;
        }
        for cut in &self.interruptions {
            writeln!(
                text,
                "\nthe caller cut in at {:.1} s: the agent fell silent at the ear {} ms after the caller's first sound,",
                seconds(cut.caller_began_ms),
                cut.silent_after_ms
            )?;
            writeln!(
                text,
                "{:.1} ms after the provider had noticed; the ear heard {} ms of the answer, the provider was told {}",
                cut.cleared_after_ms,
                cut.heard_ms,
                cut.truncated_ms.map_or("nothing".to_owned(), |ms| format!("{ms} ms"))
            )?;
        }
        let books =
            if self.discrepancies.is_empty() { "clean".to_owned() } else { self.discrepancies.join(", ") };
        writeln!(
            text,
            "\ncall {} of {:.1} s ended: {}; books: {books}",
            self.call_id,
            seconds(self.length_ms),
            self.end
        )?;
        Ok(text)
    }
}

/// Lays instants of this process on the caller's clock.
struct Clock {
    stream_began: Instant,
}

impl Clock {
    fn ms(&self, instant: Instant) -> i64 {
        let after = instant.saturating_duration_since(self.stream_began);
        let before = self.stream_began.saturating_duration_since(instant);
        millis(after) - millis(before)
    }
}

fn waterfall(
    call: &CallReport,
    record: &CallRecord,
    clock: &Clock,
    caller: &[Utterance],
    began: Instant,
) -> Vec<Waterfall> {
    let on_ear = |since: Duration| clock.ms(call.origin + since);
    let sounds = |event: &CarrierEvent| matches!(event, CarrierEvent::AudioBegan);
    let ear: Vec<i64> = carrier_times(record, sounds).map(|at| clock.ms(began + at)).collect();
    call.timeline
        .turns()
        .iter()
        .map(|turn| {
            let told = turn.caller_silent.map(on_ear);
            let silent = told.and_then(|told| {
                caller.iter().map(|utterance| millis(utterance.ended)).rfind(|ended| *ended <= told)
            });
            let response = turn.response_began.map(on_ear);
            let audio = on_ear(turn.first_audio);
            let wire = turn.on_wire.map(on_ear);
            // A sound that began a moment before we noted the frame's departure is still that frame's.
            let heard = wire.and_then(|wire| ear.iter().copied().find(|heard| *heard >= wire - 2));
            let between = |from: Option<i64>, to: Option<i64>| Some((to? - from?).max(0));
            Waterfall {
                part: turn.part,
                caller_silent_ms: silent,
                endpointing_ms: between(silent, told),
                response_ms: between(told, response),
                first_audio_ms: between(response, Some(audio)),
                switch_ms: between(Some(audio), wire),
                carrier_ms: between(wire, heard),
                total_ms: between(silent, heard),
            }
        })
        .collect()
}

fn interruptions(
    call: &CallReport,
    record: &CallRecord,
    clock: &Clock,
    caller: &[Utterance],
    began: Instant,
) -> Vec<Interruption> {
    let events = call.timeline.events();
    let interrupted = |event: &Event| matches!(event.what, What::Interrupted { .. });
    let mut played_before = 0;
    let mut parts_before = 0;
    let mut found = Vec::new();
    for (clear, event) in record.cleared.iter().zip(events.iter().filter(|event| interrupted(event))) {
        let What::Interrupted { part, .. } = event.what else { continue };
        // What the carrier played since the last clear, less the answers that were heard whole.
        let whole: u64 = call
            .ledger
            .turns()
            .filter(|turn| turn.part.is_some_and(|number| (parts_before..part).contains(&number)))
            .map(|turn| match turn.heard {
                Share::All => turn.audio_ms,
                Share::Until { .. } => 0,
            })
            .sum();
        let heard_ms = (clear.played_ms_total - played_before).saturating_sub(whole);
        (played_before, parts_before) = (clear.played_ms_total, part + 1);
        let noticed = events
            .iter()
            .rev()
            .find(|earlier| earlier.at() <= event.at() && earlier.what == What::CallerSpeaking)
            .map_or(call.origin + event.at(), |earlier| call.origin + earlier.at());
        let cleared = began + clear.at;
        let truncated_ms = events.iter().find_map(|later| match later.what {
            What::Truncated { part: cut, audio_end_ms } if cut == part => Some(audio_end_ms),
            _ => None,
        });
        let cleared_ms = clock.ms(cleared);
        let caller_began_ms = caller
            .iter()
            .map(|utterance| millis(utterance.began))
            .rfind(|began| *began <= cleared_ms)
            .unwrap_or(cleared_ms);
        found.push(Interruption {
            caller_began_ms,
            silent_after_ms: cleared_ms - caller_began_ms,
            cleared_after_ms: cleared.saturating_duration_since(noticed).as_secs_f64() * 1e3,
            heard_ms,
            truncated_ms,
        });
    }
    found
}

fn carrier_times<'a>(
    record: &'a CallRecord,
    wanted: impl Fn(&CarrierEvent) -> bool + 'a,
) -> impl Iterator<Item = Duration> + 'a {
    record.events.iter().filter(move |(_, event)| wanted(event)).map(|(at, _)| *at)
}

fn cell(ms: Option<i64>) -> String {
    ms.map_or("-".to_owned(), |ms| ms.to_string())
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
