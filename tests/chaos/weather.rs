//! The weather that a group of calls lives in: what goes wrong at its providers.
//!
//! It refuses to know what must hold in it.

use std::time::Duration;

use tandem_sim::provider::Fault;

use super::dice::Dice;

/// What goes wrong with one upgrade or its session.
const REALTIME: [&str; 18] = [
    "refuse",
    "http:401",
    "http:429",
    "http:503",
    "delay:MS",
    "session-delay:MS",
    "stall-after:S",
    "drop-after:S",
    "reset-after:S",
    "half-open-after:S",
    "garbage-after:S",
    "rate-limit",
    "error:server_error:S",
    "error:invalid_api_key:S",
    "wrong-format",
    "odd-chunks",
    "expire-after:S",
    "hang-after:S",
];

/// After these no session works.
const REALTIME_DOWN: [&str; 10] = [
    "refuse",
    "http:401",
    "http:429",
    "http:503",
    "stall",
    "half-open-after:0",
    "rate-limit",
    "wrong-format",
    "error:server_error:0.1",
    "hang-after:0",
];

const ENDPOINTS: [&str; 4] = ["chat", "chat", "speech", "transcriptions"];

/// What goes wrong with one answer over HTTP.
const ANSWER: [&str; 11] = [
    "refuse",
    "http:401",
    "http:429",
    "http:503",
    "delay:MS",
    "stall:P",
    "break:P",
    "error:P",
    "garbage:P",
    "empty",
    "stall:0",
];

/// After these no model answers.
const MODELS_DOWN: [&str; 6] = ["refuse", "http:401", "http:429", "http:503", "stall:0", "break:0"];

/// Upgrades, and requests to an endpoint, among which faults are scattered: about as many as a group makes.
const SCATTERED_OVER: u64 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Climate {
    /// Single sessions and answers go wrong.
    Showers,
    /// No realtime session works from the beginning.
    RealtimeDown,
    /// Every realtime session is cut off at once, and there are none for a while.
    RealtimeCut,
    /// No model over HTTP answers.
    ModelsDown,
    /// Nothing works.
    Night,
}

#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) climate: Climate,
    /// Faults of the provider of realtime sessions, and of that of the other models.
    pub(crate) realtime: Vec<Fault>,
    pub(crate) models: Vec<Fault>,
    /// When all sessions are cut off, and for how long none can be had.
    pub(crate) cut: Option<(Duration, Duration)>,
}

impl Weather {
    pub(crate) fn draw(dice: &mut Dice, calls: usize) -> Self {
        let climate = match dice.number(0, 9) {
            0 => Climate::RealtimeDown,
            1 | 2 => Climate::RealtimeCut,
            3 => Climate::ModelsDown,
            4 => Climate::Night,
            _ => Climate::Showers,
        };
        let faults = calls as u64;
        let mut realtime: Vec<_> = (0..faults)
            .map(|_| format!("{}@{}", dice.fault(&REALTIME, 6), dice.number(1, SCATTERED_OVER)))
            .collect();
        let mut models: Vec<_> = (0..faults / 2)
            .map(|_| {
                let (of, fault) = (dice.pick(&ENDPOINTS), dice.fault(&ANSWER, 6));
                format!("{of}/{fault}@{}", dice.number(1, SCATTERED_OVER))
            })
            .collect();
        if matches!(climate, Climate::RealtimeDown | Climate::Night) {
            realtime.push(dice.pick(&REALTIME_DOWN).to_owned());
        }
        if matches!(climate, Climate::ModelsDown | Climate::Night) {
            models.push(format!("any/{}", dice.pick(&MODELS_DOWN)));
        }
        let read = |specs: Vec<String>| {
            specs.iter().map(|spec| spec.parse().expect("a fault that the provider knows")).collect()
        };
        let cut =
            (climate == Climate::RealtimeCut).then(|| (dice.moment(500, 8_000), dice.moment(500, 4_000)));
        Self { climate, realtime: read(realtime), models: read(models), cut }
    }

    /// Answers of the chat model that go wrong, if they can be counted.
    pub(crate) fn chat_faults(&self) -> Option<usize> {
        let of_chat = |fault: &&Fault| fault.to_string().starts_with("chat/");
        matches!(self.climate, Climate::Showers | Climate::RealtimeDown | Climate::RealtimeCut)
            .then(|| self.models.iter().filter(of_chat).count())
    }
}
