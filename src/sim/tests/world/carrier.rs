//! The simulated carrier as a switch on a socket meets it.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tandem_media::g711;
use tandem_sim::{
    carrier::{
        CallEnd, CallError, CallPlan, CallRecord, CallerAudio, CarrierEvent, CarrierFault, HangUp, SocketEnd,
        place_call,
    },
    speech,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::switch::{Media, Switch, payload};

mod documents;
mod faults;
mod streams;

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

/// Calls a switch that has documents only.
async fn call_documents(documents: &[(&'static str, &str)]) -> (CallRecord, Switch) {
    let switch = Switch::with_documents(documents).await;
    let record = call(quiet(&switch, 300)).await.unwrap();
    (record, switch)
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
