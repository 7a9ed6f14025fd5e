//! What is looked up when somebody scrapes: it stands somewhere else, and would have to be told at every change.
//!
//! It refuses to know where.

use super::Metrics;
use super::table::{
    PRICES_REJECTED, PRICES_VERSION, SPOOL_ALARM, SPOOL_BYTES, SPOOL_CORRUPT, SPOOL_DEPTH, SPOOL_REFUSED,
};
use crate::prices;
use crate::spool::SpoolState;

pub fn spool(state: &SpoolState, metrics: &Metrics) {
    metrics.gauge(&SPOOL_DEPTH).set(state.depth as f64);
    metrics.gauge(&SPOOL_BYTES).set(state.disk_bytes as f64);
    metrics.gauge(&SPOOL_ALARM).set(f64::from(u8::from(state.alarm.is_some())));
    metrics.counter(&SPOOL_REFUSED, &[]).absolute(state.lost);
    metrics.counter(&SPOOL_CORRUPT, &[]).absolute(state.corrupt);
}

pub fn prices(standing: &prices::Standing, metrics: &Metrics) {
    metrics.gauge(&PRICES_VERSION).set(f64::from(standing.list.version));
    metrics.counter(&PRICES_REJECTED, &[]).absolute(standing.rejections);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_stands_until_it_is_over() {
        let metrics = Metrics::new();
        let mut state =
            SpoolState { depth: 7, lost: 2, alarm: Some("disk is full".to_owned()), ..SpoolState::default() };
        spool(&state, &metrics);
        let text = metrics.scrape();
        for line in ["tandem_spool_depth 7", "tandem_spool_refused_total 2", "tandem_spool_alarm 1"] {
            assert!(text.lines().any(|shown| shown == line), "no {line} in {text}");
        }
        state.alarm = None;
        spool(&state, &metrics);
        assert!(metrics.scrape().contains("tandem_spool_alarm 0\n"));
    }
}
