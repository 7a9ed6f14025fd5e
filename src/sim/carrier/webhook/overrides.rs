//! Connection overrides: how long and how often a URL wants to be asked, written in its fragment.
//!
//! Knows nothing of requests. The fragment is the carrier's own business: it is neither sent nor signed.

use std::time::Duration;

/// What may be repeated. A partial answer never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection, so that nothing can have happened there.
    Connect,
    /// A connection, but no answer in time.
    Read,
    Status(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) connect: Duration,
    /// To the first byte.
    pub(crate) read: Duration,
    /// For all attempts together.
    pub(crate) total: Duration,
    pub(crate) retries: u32,
    policy: Vec<String>,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            total: Duration::from_secs(15),
            retries: 1,
            policy: vec!["ct".to_owned()],
        }
    }
}

impl Overrides {
    /// Reads `ct=2000&rc=2&rp=ct,5xx`. What is unknown or out of range is left at its default.
    pub(crate) fn of(fragment: &str) -> Self {
        let mut overrides = Self::default();
        for (key, value) in fragment.split('&').filter_map(|pair| pair.split_once('=')) {
            let milliseconds = |from: u64, to: u64| {
                let number = value.parse().ok().filter(|number| (from..=to).contains(number));
                number.map(Duration::from_millis)
            };
            match key {
                "ct" => overrides.connect = milliseconds(100, 10_000).unwrap_or(overrides.connect),
                "rt" => overrides.read = milliseconds(100, 15_000).unwrap_or(overrides.read),
                "tt" => overrides.total = milliseconds(100, 15_000).unwrap_or(overrides.total),
                "rc" => {
                    let number = value.parse().ok().filter(|number| *number <= 5);
                    overrides.retries = number.unwrap_or(overrides.retries);
                }
                "rp" => overrides.policy = value.split(',').map(str::to_owned).collect(),
                _ => {}
            }
        }
        overrides
    }

    pub(crate) fn allow_retry(&self, trouble: Trouble) -> bool {
        let kind = match trouble {
            Trouble::Connect => "ct",
            Trouble::Read => "rt",
            Trouble::Status(400..=499) => "4xx",
            Trouble::Status(500..=599) => "5xx",
            Trouble::Status(_) => return false,
        };
        self.policy.iter().any(|policy| policy == kind || policy == "all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_fragment_only_a_failed_connect_is_repeated_and_once() {
        let plain = Overrides::of("");
        assert_eq!(plain, Overrides::default());
        assert_eq!((plain.retries, plain.total), (1, Duration::from_secs(15)));
        assert!(plain.allow_retry(Trouble::Connect));
        for other in [Trouble::Read, Trouble::Status(500), Trouble::Status(404)] {
            assert!(!plain.allow_retry(other), "{other:?}");
        }
    }

    #[test]
    fn a_fragment_says_otherwise_within_the_ranges() {
        let own = Overrides::of("ct=200&rt=300&tt=4000&rc=3&rp=5xx,rt&sni=n&e=dublin");
        assert_eq!((own.connect, own.read), (Duration::from_millis(200), Duration::from_millis(300)));
        assert_eq!((own.total, own.retries), (Duration::from_secs(4), 3));
        assert!(own.allow_retry(Trouble::Status(503)) && own.allow_retry(Trouble::Read));
        assert!(!own.allow_retry(Trouble::Connect) && !own.allow_retry(Trouble::Status(404)));
        assert!(Overrides::of("rp=all").allow_retry(Trouble::Status(404)));
        assert!(!Overrides::of("rp=all").allow_retry(Trouble::Status(200)));
        assert_eq!(Overrides::of("ct=1&rt=99999&tt=soon&rc=9"), Overrides::default());
    }
}
