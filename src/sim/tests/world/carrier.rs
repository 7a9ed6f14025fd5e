//! The simulated carrier as a switch on a socket meets it.

use std::time::Duration;

use serde_json::{Value, json};
use tandem_media::g711;
use tandem_sim::{
    carrier::{
        Answering, CallEnd, CallError, CallPlan, CallRecord, Callee, CallerAudio, CarrierEvent, CarrierFault,
        GatherInput, HangUp, SocketEnd, Sound, place_call,
    },
    speech,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::switch::{Answer, Media, Switch, payload};

mod documents;
mod faults;
mod gathers;
mod others;
mod prompts;
mod streams;
mod webhooks;

/// A caller who says nothing for so long, and then hangs up.
fn quiet(switch: &Switch, milliseconds: u64) -> CallPlan {
    CallPlan {
        hang_up: HangUp::At(Duration::from_millis(milliseconds)),
        say_per_character: Duration::ZERO,
        ..CallPlan::new(switch.voice_url(), CallerAudio::silence(Duration::ZERO))
    }
}

fn with_faults(plan: CallPlan, faults: &[&str]) -> CallPlan {
    CallPlan { faults: faults.iter().map(|spec| spec.parse().unwrap()).collect(), ..plan }
}

fn call(plan: CallPlan) -> JoinHandle<CallRecord> {
    tokio::spawn(async move { place_call(plan, |_| {}).await.unwrap() })
}

/// Calls a switch that has documents only. What is read aloud there takes no time.
async fn call_documents(documents: &[(&'static str, &str)]) -> (CallRecord, Switch) {
    let switch = Switch::with_documents(documents).await;
    let record = call(quiet(&switch, 10_000)).await.unwrap();
    (record, switch)
}

/// A caller who stays until the document is over, and hears all of it.
fn patient(switch: &Switch) -> CallPlan {
    CallPlan {
        hang_up: HangUp::Never,
        ..CallPlan::new(switch.voice_url(), CallerAudio::silence(Duration::ZERO))
    }
}

/// A caller's noise: silences and buzzes in turn, so many milliseconds each, silence first.
fn noise(parts_ms: &[usize]) -> CallerAudio {
    let part = |(n, &ms): (usize, &usize)| {
        (0..ms * 8).map(move |sample| match (n % 2, sample % 16) {
            (0, _) => 0,
            (_, 0..8) => 5_000,
            _ => -5_000,
        })
    };
    parts_ms.iter().enumerate().flat_map(part).collect()
}

fn end_of(record: &CallRecord) -> (Option<u32>, String) {
    let code = match &record.end {
        CallEnd::ApplicationError { code, .. } => Some(*code),
        _ => None,
    };
    (code, record.end.to_string())
}

fn verbs(record: &CallRecord) -> Vec<(&str, &str)> {
    let verb = |(_, event): &'_ (Duration, CarrierEvent)| matches!(event, CarrierEvent::Verb { .. });
    record
        .events
        .iter()
        .filter(|event| verb(event))
        .map(|(_, event)| match event {
            CarrierEvent::Verb { name, text } => (*name, text.as_str()),
            _ => unreachable!("filtered"),
        })
        .collect()
}

fn heard_as_mu_law(record: &CallRecord) -> Vec<u8> {
    record.heard.iter().map(|&sample| g711::ulaw_encode(sample)).collect()
}

/// Where in what was heard a piece of audio begins.
fn position(record: &CallRecord, audio: &[u8]) -> Option<usize> {
    heard_as_mu_law(record).windows(audio.len()).position(|window| window == audio)
}

fn at(record: &CallRecord, wanted: impl Fn(&CarrierEvent) -> bool) -> Option<Duration> {
    record.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
}
