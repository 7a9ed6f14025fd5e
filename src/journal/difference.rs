//! What has changed in a ledger since it was last written down.
//!
//! Pure. It refuses to know calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_actors::ledger::{Ledger, Turn};

use super::entry::TurnKey;

/// The turns that are new or have changed, and those that were taken back. What the ledger has forgotten because it was
/// old stays as it was written.
pub(super) fn difference(before: &Ledger, now: &Ledger) -> (Vec<Turn>, Vec<TurnKey>) {
    let mut known: BTreeMap<TurnKey, &Arc<Turn>> =
        before.shared().iter().map(|turn| (TurnKey::of(turn), turn)).collect();
    let mut changed = Vec::new();
    for turn in now.shared() {
        let written = known.remove(&TurnKey::of(turn));
        if !written.is_some_and(|written| Arc::ptr_eq(written, turn) || written == turn) {
            changed.push(turn.as_ref().clone());
        }
    }
    let oldest_ms = now.shared().first().map_or(0, |turn| turn.began_ms);
    let retracted = known.into_iter().filter(|(_, turn)| turn.began_ms >= oldest_ms);
    (changed, retracted.map(|(key, _)| key).collect())
}

#[cfg(test)]
mod tests {
    use tandem_actors::ledger::Speaker;

    use super::*;

    fn ledger(items: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        for (n, item) in items.iter().enumerate() {
            ledger.said(Speaker::Caller, item, &format!("words of {item}"), 1_000 * n as u64);
        }
        ledger
    }

    fn items(turns: &[Turn]) -> Vec<&str> {
        turns.iter().map(|turn| turn.item.as_str()).collect()
    }

    #[test]
    fn only_what_is_new_or_has_changed_is_told() {
        let before = ledger(&["a", "b", "c"]);
        let mut now = before.clone();
        assert_eq!(difference(&before, &now), (vec![], vec![]));
        now.said(Speaker::Caller, "b", "other words", 0);
        now.said(Speaker::Caller, "d", "new", 9_000);
        let (changed, retracted) = difference(&before, &now);
        assert_eq!((items(&changed), retracted), (vec!["b", "d"], vec![]));
        assert_eq!(items(&difference(&Ledger::default(), &before).0), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_taken_back_is_told_and_what_is_forgotten_is_not() {
        let before = ledger(&["a", "b", "c"]);
        let mut now = before.clone();
        now.retract("b");
        let b = TurnKey { who: Speaker::Caller, item: "b".to_owned(), part: None };
        assert_eq!(difference(&before, &now), (vec![], vec![b]));
        let forgetful: Ledger = before.turns().skip(1).cloned().collect();
        assert_eq!(difference(&before, &forgetful), (vec![], vec![]));
    }

    #[test]
    fn a_call_that_has_gone_on_from_its_record_tells_nothing_twice() {
        let before = ledger(&["a", "b"]);
        let read: Ledger = before.turns().cloned().collect(); // no turn is shared
        assert_eq!(difference(&before, &read), (vec![], vec![]));
    }
}
