//! The faults in force: ordered at the start or while everything runs, until all is healed.
//!
//! Knows which connection or request meets which fault, and not what comes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::{
    endpoints::Endpoint,
    fault::{AnswerFault, Fault, FaultKind},
};

/// Strikes that a session may be behind with before it misses the oldest: a test orders a handful, and a
/// session reads them between two events.
const STRIKES_WAITING_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Trouble {
    in_force: Mutex<Vec<InForce>>,
    strikes: broadcast::Sender<FaultKind>,
}

#[derive(Debug)]
struct InForce {
    fault: Fault,
    /// How many upgrades, or requests to its endpoint, have come by.
    seen: usize,
}

impl InForce {
    fn strikes_now(&mut self) -> bool {
        self.seen += 1;
        self.fault.applies_to(self.seen)
    }
}

impl Trouble {
    pub(super) fn new(faults: &[Fault]) -> Self {
        let in_force = faults.iter().map(|fault| InForce { fault: fault.clone(), seen: 0 }).collect();
        Self { in_force: Mutex::new(in_force), strikes: broadcast::Sender::new(STRIKES_WAITING_MAX) }
    }

    fn in_force(&self) -> MutexGuard<'_, Vec<InForce>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a fault in force for everything to come, and strikes open sessions with it if it is for all.
    pub(super) fn order(&self, fault: Fault) {
        let for_all = fault.nth.is_none().then(|| fault.kind.clone());
        self.in_force().push(InForce { fault, seen: 0 }); // first, so that no session slips in between
        if let Some(kind) = for_all {
            self.strike(kind);
        }
    }

    /// Strikes every open session.
    pub(super) fn strike(&self, kind: FaultKind) {
        if self.strikes.send(kind).is_err() {
            tracing::trace!("no session is open to be struck");
        }
    }

    /// Nothing goes wrong any more with what comes next. What was struck stays as it is.
    pub(super) fn heal(&self) {
        self.in_force().clear();
    }

    /// Strikes to come, for a session to take.
    pub(super) fn strikes(&self) -> broadcast::Receiver<FaultKind> {
        self.strikes.subscribe()
    }

    /// What strikes the upgrade that is asked for now.
    pub(super) fn of_upgrade(&self) -> Vec<FaultKind> {
        let mut in_force = self.in_force();
        let ours = in_force.iter_mut().filter(|one| !matches!(one.fault.kind, FaultKind::Answer { .. }));
        ours.filter_map(|one| one.strikes_now().then(|| one.fault.kind.clone())).collect()
    }

    /// What strikes the request that this endpoint now has.
    pub(super) fn of_request(&self, endpoint: Endpoint) -> Vec<AnswerFault> {
        let mut in_force = self.in_force();
        let strikes = |one: &mut InForce| match one.fault.kind.clone() {
            FaultKind::Answer { of, fault } if of.is_none_or(|of| of == endpoint) => {
                one.strikes_now().then_some(fault)
            }
            _ => None,
        };
        in_force.iter_mut().filter_map(strikes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(specs: &[&str]) -> Trouble {
        Trouble::new(&specs.iter().map(|spec| spec.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn upgrades_and_every_endpoint_are_counted_apart() {
        let trouble = trouble(&["refuse@2", "chat/http:500@2", "any/empty@3"]);
        assert_eq!(trouble.of_upgrade(), []);
        assert_eq!(trouble.of_request(Endpoint::Chat), []);
        assert_eq!(trouble.of_request(Endpoint::Speech), []);
        assert_eq!(trouble.of_request(Endpoint::Chat), [AnswerFault::Http(500), AnswerFault::Empty]);
        assert_eq!(trouble.of_request(Endpoint::Chat), []);
        assert_eq!(trouble.of_upgrade(), [FaultKind::Refuse]);
        assert_eq!(trouble.of_upgrade(), []);
    }

    #[test]
    fn a_fault_counts_from_when_it_was_ordered_until_all_is_healed() {
        let trouble = trouble(&[]);
        assert_eq!(trouble.of_request(Endpoint::Chat), []);
        trouble.order("chat/empty@2".parse().unwrap());
        trouble.order("refuse".parse().unwrap());
        assert_eq!(trouble.of_request(Endpoint::Chat), []);
        assert_eq!(trouble.of_request(Endpoint::Chat), [AnswerFault::Empty]);
        assert_eq!(trouble.of_upgrade(), [FaultKind::Refuse]);
        trouble.heal();
        assert_eq!(trouble.of_upgrade(), []);
    }

    #[test]
    fn an_open_session_is_struck_by_what_is_for_all() {
        let trouble = trouble(&[]);
        let mut strikes = trouble.strikes();
        trouble.order("stall@1".parse().unwrap());
        trouble.order("rate-limit".parse().unwrap());
        assert_eq!(strikes.try_recv(), Ok(FaultKind::RateLimit));
        assert!(strikes.try_recv().is_err(), "one for the next connection is not for this one");
    }
}
