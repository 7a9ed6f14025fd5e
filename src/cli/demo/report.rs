//! What the demo tells of its call: who said what, how much was heard, where the time went, and whether the books are
//! clean. The switch's record and the carrier's are laid on one clock, the caller's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tandem_actors::call::CallReport;
use tandem_actors::call::timeline::{Event, What};
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::ledger::{Share, Speaker};
use tandem_actors::mode::Mode;
use tandem_sim::carrier::{CallEnd, CallRecord, CarrierEvent};
use tokio::time::Instant;

use crate::cli::ear::{self, Utterance};
use crate::money::Usd;

/// Everything in milliseconds since the carrier first played or heard anything.
#[derive(Serialize)]
pub(super) struct Report {
    call_id: String,
    end: &'static str,
    length_ms: i64,
    turns: Vec<Spoken>,
    waterfall: Vec<Waterfall>,
    interruptions: Vec<Interruption>,
    falls: Vec<Fall>,
    /// What was paid, and to whom.
    costs: Vec<Paid>,
    /// What does not add up at the end of the call; empty when all does.
    discrepancies: Vec<&'static str>,
    carrier_warnings: Vec<(u32, String)>,
    /// In order; each stretch of the call counts from its own beginning, which is told with it.
    stretches: Vec<Stretch>,
    #[serde(skip)]
    engine_failures: u32,
    #[serde(skip)]
    well: bool,
}

/// What one actor served of the call.
#[derive(Serialize)]
struct Stretch {
    mode: Mode,
    began_ms: i64,
    events: Vec<Event>,
}

/// The call left a mode that could not go on.
#[derive(Serialize)]
struct Fall {
    from: Mode,
    to: Rung,
    why: String,
    /// When the engine failed.
    failed_ms: i64,
    /// Until the call was in the next mode's hands.
    switched_after_ms: i64,
    /// When the ear heard the last of the agent's words before, and the first after.
    fell_silent_ms: Option<i64>,
    spoke_again_ms: Option<i64>,
    /// When the caller fell silent, if he spoke in between.
    caller_silent_ms: Option<i64>,
    /// From the last word of either, or from the failure if that came later, to the agent's next.
    gap_ms: Option<i64>,
    /// A sound of ours was in it.
    bridged: bool,
}

/// What one provider's model cost, or a line of the carrier's.
#[derive(Serialize)]
struct Paid {
    provider: String,
    model: String,
    /// Of everything that has a price.
    cost_usd: Usd,
    /// What of it was for words of the agent's that the caller cut off; an estimate.
    unheard_usd: Usd,
    /// What has no price: it is not in the sum, and not free.
    unpriced: u32,
}

#[derive(Serialize)]
struct Spoken {
    at_ms: i64,
    who: Speaker,
    text: String,
    /// The words that reached the caller, where they are not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<String>,
    /// Its engine failed in the midst of it; the next one says the rest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    broke_off: bool,
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
    /// `calls` are the stretches that the call was served in, first to last.
    pub(super) fn new(calls: &[Arc<CallReport>], record: &CallRecord, began: Instant) -> Self {
        let clock = Clock { callers: began + record.clock_started.unwrap_or_default() };
        let caller = ear::utterances(&record.said);
        let agent = ear::utterances(&record.heard);
        let (first, last) = (&calls[0], &calls[calls.len() - 1]);
        let offset = clock.ms(first.origin);
        let turns = last
            .ledger
            .turns()
            .map(|turn| Spoken {
                at_ms: offset + signed(turn.began_ms),
                who: turn.who,
                text: turn.text.clone(),
                heard: matches!(turn.heard, Share::Until { .. }).then(|| turn.heard_text().to_owned()),
                broke_off: !turn.complete,
            })
            .collect();
        let found = calls.iter().flat_map(|call| call.discrepancies.iter().map(|found| found.name()));
        let discrepancies: Vec<_> = found.collect();
        let well = discrepancies.is_empty() && matches!(record.end, CallEnd::CallerHungUp);
        Self {
            call_id: first.id.to_string(),
            end: last.end.name(),
            length_ms: clock.ms(last.origin + last.length) - offset,
            turns,
            waterfall: calls
                .iter()
                .flat_map(|call| waterfall(call, record, &clock, &caller, began))
                .collect(),
            interruptions: interruptions(first, record, &clock, &caller, began),
            falls: calls.iter().flat_map(|call| falls(call, &clock, &caller, &agent)).collect(),
            costs: costs(calls),
            discrepancies,
            carrier_warnings: record.warnings.clone(),
            stretches: calls
                .iter()
                .map(|call| Stretch {
                    mode: call.mode,
                    began_ms: clock.ms(call.origin),
                    events: call.timeline.events().to_vec(),
                })
                .collect(),
            engine_failures: calls.iter().map(|call| call.engine_failures).sum(),
            well,
        }
    }

    /// The caller hung up by himself, the carrier had nothing to complain of, the books are clean, and engines failed
    /// only if they were meant to.
    pub(super) fn is_well(&self, engines_fail: bool) -> bool {
        // A call that leaves its stream closes it, which the carrier notes.
        let complaints =
            self.carrier_warnings.iter().filter(|(code, _)| !engines_fail || *code != CLOSED_BY_US);
        self.well && complaints.count() == 0 && (self.engine_failures > 0) == engines_fail
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
            let rest = if turn.broke_off { " ..." } else { "" };
            writeln!(text, "{:6.1} s  {who:<7} {}{rest}", seconds(turn.at_ms), turn.text)?;
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
        for fall in &self.falls {
            writeln!(
                text,
                "\n{} failed at {:.1} s ({}); after {} ms the call was in the hands of {}",
                fall.from,
                seconds(fall.failed_ms),
                fall.why,
                fall.switched_after_ms,
                fall.to,
            )?;
            if fall.gap_ms == Some(0) {
                writeln!(
                    text,
                    "the next engine's words followed what was left of the last one's: no gap longer than a pause in speech"
                )?;
                continue;
            }
            if let Some(silent) = fall.fell_silent_ms {
                write!(text, "the agent was heard until {:.1} s, ", seconds(silent))?;
            }
            if let Some(silent) = fall.caller_silent_ms {
                write!(text, "the caller spoke until {:.1} s, ", seconds(silent))?;
            }
            let again = fall.spoke_again_ms.zip(fall.gap_ms);
            let again = again.map_or("and the agent was not heard again".to_owned(), |(again, gap)| {
                format!("the agent was heard again at {:.1} s: a gap of {gap} ms", seconds(again))
            });
            writeln!(text, "{again}{}", if fall.bridged { ", with a sound in it" } else { "" })?;
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
        self.write_costs(&mut text)?;
        for (code, warning) in &self.carrier_warnings {
            writeln!(text, "\nthe carrier complained: {code} {warning}")?;
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

    fn write_costs(&self, text: &mut String) -> Result<()> {
        writeln!(text, "\nwhat it cost, in USD, at the prices of config/prices.toml")?;
        writeln!(text, "{:<34} {:>9} {:>9} {:>9}", "", "heard", "unheard", "in all")?;
        for cost in &self.costs {
            let name = format!("{} {}", cost.provider, cost.model);
            let (all, unheard) = (i64::from(cost.cost_usd.0), i64::from(cost.unheard_usd.0));
            let unknown = match cost.unpriced {
                0 => String::new(),
                unpriced => format!("  and {unpriced} times at a price that is not known"),
            };
            let [heard, unheard, all] = [all - unheard, unheard, all].map(|microusd| microusd as f64 / 1e6);
            writeln!(text, "{name:<34} {heard:>9.6} {unheard:>9.6} {all:>9.6}{unknown}")?;
        }
        Ok(())
    }
}

/// The bills of all stretches as one.
fn costs(calls: &[Arc<CallReport>]) -> Vec<Paid> {
    let mut sums: BTreeMap<(&str, &str), (u64, u64, u32)> = BTreeMap::new();
    for line in calls.iter().flat_map(|call| &call.bill) {
        let (all, unheard, unpriced) = sums.entry((&line.provider, &line.model)).or_default();
        *all += line.microusd;
        *unheard += line.unheard_microusd;
        *unpriced += line.unpriced;
    }
    let paid = |((provider, model), (all, unheard, unpriced)): ((&str, &str), (u64, u64, u32))| Paid {
        provider: provider.to_owned(),
        model: model.to_owned(),
        cost_usd: Usd(all.into()),
        unheard_usd: Usd(unheard.into()),
        unpriced,
    };
    sums.into_iter().map(paid).collect()
}

/// Lays instants of this process on the caller's clock.
struct Clock {
    callers: Instant,
}

impl Clock {
    fn ms(&self, instant: Instant) -> i64 {
        let after = instant.saturating_duration_since(self.callers);
        let before = self.callers.saturating_duration_since(instant);
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

/// Twilio's number for a stream that our side has closed.
const CLOSED_BY_US: u32 = 31_921;

/// A bridging sound is shorter than this, words are longer.
const WORDS_MS_MIN: i64 = 450;

fn falls(call: &CallReport, clock: &Clock, caller: &[Utterance], agent: &[Utterance]) -> Vec<Fall> {
    let events = call.timeline.events();
    let on_ear = |event: &Event| clock.ms(call.origin + event.at());
    let (began, ended) = (|u: &Utterance| millis(u.began), |u: &Utterance| millis(u.ended));
    let words: Vec<&Utterance> = agent.iter().filter(|u| ended(u) - began(u) >= WORDS_MS_MIN).collect();
    let mut falls = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let What::ModeSwitched { from, to, why } = &event.what else { continue };
        // The first failure since the engine last worked; what came after it were attempts to get it back.
        let worked = events[..index].iter().rposition(|earlier| earlier.what == What::EngineReady);
        let first = events[worked.unwrap_or_default()..index].iter().find_map(|later| match &later.what {
            What::EngineFailed { why } => Some((on_ear(later), why.to_string())),
            What::ChildDied(death) => Some((on_ear(later), death.why.clone())),
            _ => None,
        });
        let (failed, why) = first.unwrap_or((on_ear(event), why.to_string()));
        // What had been said already is heard to its end; when the next engine's words follow at once, both are one.
        let heard = words.iter().copied().rfind(|u| began(u) <= failed);
        let next =
            events[index..].iter().find(|later| matches!(later.what, What::FirstOnWire { .. })).map(on_ear);
        if let Some((heard, next)) = heard.zip(next).filter(|(heard, next)| ended(heard) > *next) {
            falls.push(Fall {
                from: *from,
                to: *to,
                why,
                failed_ms: failed,
                switched_after_ms: on_ear(event) - failed,
                fell_silent_ms: Some(ended(heard)),
                spoke_again_ms: Some(next),
                caller_silent_ms: None,
                gap_ms: Some(0),
                bridged: false,
            });
            continue;
        }
        let silent = heard.map(ended);
        let again = words.iter().copied().map(began).find(|at| *at > silent.unwrap_or(failed).max(failed));
        let caller_silent =
            caller.iter().map(ended).rfind(|at| *at > failed && again.is_none_or(|again| *at < again));
        let waits_from = [silent, caller_silent].into_iter().flatten().fold(failed, i64::max);
        falls.push(Fall {
            from: *from,
            to: *to,
            why,
            failed_ms: failed,
            switched_after_ms: on_ear(event) - failed,
            fell_silent_ms: silent,
            spoke_again_ms: again,
            caller_silent_ms: caller_silent,
            gap_ms: again.map(|again| again - waits_from),
            bridged: events[index..].iter().any(|later| later.what == What::Bridged),
        });
    }
    falls
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
    let clears = record.cleared.iter().filter(|clear| clear.dropped_ms > 0);
    for (clear, event) in clears.zip(events.iter().filter(|event| interrupted(event))) {
        let What::Interrupted { part, .. } = event.what else { continue };
        // What the carrier played since the last clear, less the answers that were heard whole.
        let whole: u64 = call
            .ledger
            .turns()
            .filter(|turn| turn.part.is_some_and(|number| (parts_before..part).contains(&number)))
            .map(|turn| match turn.heard {
                Share::All => turn.audio_ms,
                // Broken off, and so much of it was heard; or cut off, and counted with the clear that did it.
                Share::Until { ms } => {
                    if turn.complete {
                        0
                    } else {
                        ms
                    }
                }
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
