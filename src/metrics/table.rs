//! Every metric there is: its name, its labels, and what it says.
//!
//! It refuses to know who counts it. Names follow Prometheus' rules: the unit at the end, and `_total` behind what only
//! grows. No label has the id of a call, a caller or a user.

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// In a sentence that is shown with it.
    pub says: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    /// A counter that is counted in micro-dollars and shown in dollars.
    Money,
    Gauge,
}

// ---------------------------------------------------------------- calls

pub const MODE_DECISIONS: Metric = Metric {
    name: "tandem_mode_decisions_total",
    kind: Kind::Counter,
    labels: &["mode", "reason"],
    says: "Calls that began in this mode, by what decided it.",
};

// ---------------------------------------------------------------- money

pub const COST_USD: Metric = Metric {
    name: "tandem_cost_usd_total",
    kind: Kind::Money,
    labels: &["provider", "mode"],
    says: "What was paid for, in US dollars by the price list. What has no price is not in it: see \
           tandem_unpriced_usage_total.",
};

pub const TOKENS: Metric = Metric {
    name: "tandem_tokens_total",
    kind: Kind::Counter,
    labels: &["provider", "model", "kind"],
    says: "Tokens that models took and made, each under one kind.",
};

pub const UNPRICED_USAGE: Metric = Metric {
    name: "tandem_unpriced_usage_total",
    kind: Kind::Counter,
    labels: &["provider", "model"],
    says: "Uses of something whose price is not known. They are not free: costs are more than is counted. Anything \
           above 0 wants a price in the list.",
};

pub const UNTOLD_USAGE: Metric = Metric {
    name: "tandem_untold_usage_total",
    kind: Kind::Counter,
    labels: &["provider", "model"],
    says: "Uses of models whose amount no provider told, such as of an answer that was cut off. They are not free.",
};

pub const PRICES_VERSION: Metric = Metric {
    name: "tandem_prices_version",
    kind: Kind::Gauge,
    labels: &[],
    says: "Version of the price list in use.",
};

pub const PRICES_REJECTED: Metric = Metric {
    name: "tandem_prices_rejected_total",
    kind: Kind::Counter,
    labels: &[],
    says: "Price lists that were rejected. The reason of the last one is at /api/v1/prices.",
};

// ---------------------------------------------------------------- the spool

pub const SPOOL_DEPTH: Metric = Metric {
    name: "tandem_spool_depth",
    kind: Kind::Gauge,
    labels: &[],
    says: "Records of what happened in calls that the database does not have yet.",
};

pub const SPOOL_BYTES: Metric = Metric {
    name: "tandem_spool_disk_bytes",
    kind: Kind::Gauge,
    labels: &[],
    says: "What the spool takes on disk.",
};

pub const SPOOL_ALARM: Metric = Metric {
    name: "tandem_spool_alarm",
    kind: Kind::Gauge,
    labels: &[],
    says: "1 while records may not survive, for the reason in the log; else 0.",
};

pub const SPOOL_REFUSED: Metric = Metric {
    name: "tandem_spool_refused_total",
    kind: Kind::Counter,
    labels: &[],
    says: "Records that are lost, since memory or disk were full or they were too large.",
};

pub const SPOOL_CORRUPT: Metric = Metric {
    name: "tandem_spool_corrupt_total",
    kind: Kind::Counter,
    labels: &[],
    says: "Places in the spool that held no record though they should, and files that are not the spool's.",
};

pub const ALL: &[Metric] = &[
    MODE_DECISIONS,
    COST_USD,
    TOKENS,
    UNPRICED_USAGE,
    UNTOLD_USAGE,
    PRICES_VERSION,
    PRICES_REJECTED,
    SPOOL_DEPTH,
    SPOOL_BYTES,
    SPOOL_ALARM,
    SPOOL_REFUSED,
    SPOOL_CORRUPT,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_ours_unique_and_say_what_only_grows() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Metric { name, kind, says, labels } in ALL {
            let plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            assert!(name.starts_with("tandem_") && name.chars().all(plain), "{name}");
            assert_eq!(name.ends_with("_total"), *kind != Kind::Gauge, "{name}");
            assert!(says.ends_with('.') && !says.contains('\n'), "{name}: {says}");
            assert!(
                !labels.iter().any(|label| ["call", "call_id", "user", "caller"].contains(label)),
                "{name}"
            );
        }
    }
}
