//! The network between the caller and the switch: when a frame that was just captured gets through, if it
//! does.
//!
//! Knows no sockets; it only bends the schedule. Without instructions it is perfect.

use std::{fmt, str::FromStr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::spec::{Spec, SpecError};

/// How good the line is. As text: `jitter:15,burst:1000/200,gap:3000/60,start:40,seed:7`, all in ms but the
/// seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Network {
    /// Frames come up to this much late, never out of order.
    pub jitter: Duration,
    pub bursts: Option<Bursts>,
    pub gaps: Option<Gaps>,
    /// How long audio waits in the carrier when it comes to a silent line.
    pub playback_start_delay: Duration,
    /// Jitter and the stream's ids follow from it.
    pub seed: u64,
}

/// Once in every period nothing gets through for a while, and then all of it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bursts {
    pub every: Duration,
    pub hold: Duration,
}

/// Once in every period frames are missing; timestamps go on as if they were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gaps {
    pub every: Duration,
    pub length: Duration,
}

const KNOWN: [&str; 5] = ["jitter:MS", "burst:EVERY/HOLD", "gap:EVERY/LENGTH", "start:MS", "seed:N"];

impl FromStr for Network {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut network = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let spec = Spec::of(part);
            let period = || {
                let (every, length) = spec.text().ok()?.split_once('/')?;
                let (every, length) = (every.parse().ok()?, length.parse().ok()?);
                (0 < length && length < every)
                    .then(|| (Duration::from_millis(every), Duration::from_millis(length)))
            };
            let period = || {
                period().ok_or_else(|| spec.needs("a period and a shorter length in ms, such as 1000/200"))
            };
            match spec.name {
                "jitter" => network.jitter = spec.milliseconds()?,
                "burst" => network.bursts = Some(period().map(|(every, hold)| Bursts { every, hold })?),
                "gap" => network.gaps = Some(period().map(|(every, length)| Gaps { every, length })?),
                "start" => network.playback_start_delay = spec.milliseconds()?,
                "seed" => network.seed = spec.text()?.parse().map_err(|_| spec.needs("a whole number"))?,
                _ => return Err(spec.unknown(&KNOWN)),
            }
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| duration.as_millis();
        write!(f, "jitter:{}", ms(self.jitter))?;
        if let Some(Bursts { every, hold }) = self.bursts {
            write!(f, ",burst:{}/{}", ms(every), ms(hold))?;
        }
        if let Some(Gaps { every, length }) = self.gaps {
            write!(f, ",gap:{}/{}", ms(every), ms(length))?;
        }
        write!(f, ",start:{},seed:{}", ms(self.playback_start_delay), self.seed)
    }
}

/// A network in use: it remembers what is still under way, so that nothing overtakes.
#[derive(Debug)]
pub(crate) struct Link {
    network: Network,
    rng: StdRng,
    last_arrival: Duration,
}

impl Link {
    pub(crate) fn new(network: Network) -> Self {
        Self { network, rng: StdRng::seed_from_u64(network.seed), last_arrival: Duration::ZERO }
    }

    /// When something sent at `at` gets through, both since the start of the stream. `None` if it is lost,
    /// which happens to audio only.
    pub(crate) fn arrival(&mut self, at: Duration, is_audio: bool) -> Option<Duration> {
        if is_audio
            && self
                .network
                .gaps
                .is_some_and(|gaps| within(at, gaps.every) >= gaps.every.saturating_sub(gaps.length))
        {
            return None;
        }
        let jitter = self.rng.random_range(0.0..=1.0);
        let mut arrival = at + self.network.jitter.mul_f64(jitter);
        if let Some(Bursts { every, hold }) = self.network.bursts {
            let since = within(at, every);
            arrival = arrival.max(at + hold.saturating_sub(since));
        }
        self.last_arrival = self.last_arrival.max(arrival);
        Some(self.last_arrival)
    }
}

/// Time since the last multiple of `every`.
fn within(at: Duration, every: Duration) -> Duration {
    let nanos = at.as_nanos() % every.as_nanos().max(1);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(network: &str) -> Vec<Option<u64>> {
        let mut link = Link::new(network.parse().unwrap());
        let frames = (0..100).map(|n| Duration::from_millis(n * 20));
        frames.map(|at| link.arrival(at, true).map(|at| u64::try_from(at.as_millis()).unwrap())).collect()
    }

    #[test]
    fn a_perfect_line_changes_nothing() {
        assert_eq!(arrivals(""), (0..100).map(|n| Some(n * 20)).collect::<Vec<_>>());
    }

    #[test]
    fn jitter_delays_within_bounds_and_keeps_order() {
        let times: Vec<u64> = arrivals("jitter:50,seed:3").into_iter().flatten().collect();
        assert!(times.iter().zip(0..).all(|(at, n)| (n * 20..=n * 20 + 50).contains(at)), "{times:?}");
        assert!(times.is_sorted());
        assert!(times.iter().zip(0..).any(|(at, n)| *at > n * 20 + 25));
        assert_eq!(arrivals("jitter:50,seed:3"), arrivals("jitter:50,seed:3"));
    }

    #[test]
    fn a_burst_holds_frames_back_and_lets_them_go_at_once() {
        let times = arrivals("burst:1000/200");
        assert_eq!(times[..12], [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 220].map(Some));
        assert_eq!(times[49..52], [980, 1200, 1200].map(Some));
    }

    #[test]
    fn a_gap_swallows_audio_and_nothing_else() {
        let times = arrivals("gap:1000/60");
        let lost: Vec<usize> = (0..100).filter(|n| times[*n].is_none()).collect();
        assert_eq!(lost, [47, 48, 49, 97, 98, 99]);
        let mut link = Link::new("gap:1000/60".parse().unwrap());
        assert!(link.arrival(Duration::from_millis(960), false).is_some());
    }

    #[test]
    fn a_network_survives_being_written_and_read() {
        let text = "jitter:15,burst:1000/200,gap:3000/60,start:40,seed:7";
        let network: Network = text.parse().unwrap();
        assert_eq!(network.to_string(), text);
        for (text, words) in [
            ("fog", "known are jitter:MS"),
            ("jitter:much", "whole milliseconds"),
            ("burst:200/1000", "a period and a shorter length"),
            ("gap:60", "a period and a shorter length"),
            ("seed:x", "a whole number"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(words), "{text:?} says {error:?}");
        }
    }
}
