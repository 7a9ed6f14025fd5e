//! Receipts: who has to know that an entry stands in the tables, and in no file of the spool before it, waits here.
//!
//! It refuses to know what the entry says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

/// Shared by the journal, which asks, and the writer, which gives. As many wait as operators are erasing at this moment,
/// each for a bounded time.
#[derive(Clone, Default)]
pub(crate) struct Receipts {
    awaited: Arc<Mutex<HashMap<Uuid, oneshot::Sender<()>>>>,
}

/// A receipt to come. Dropped, it is not waited for any more.
pub(crate) struct Receipt {
    entry: Uuid,
    given: oneshot::Receiver<()>,
    receipts: Receipts,
}

impl Receipts {
    fn awaited(&self) -> MutexGuard<'_, HashMap<Uuid, oneshot::Sender<()>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked for before the entry is handed over.
    pub(crate) fn ask(&self, entry: Uuid) -> Receipt {
        let (give, given) = oneshot::channel();
        self.awaited().insert(entry, give);
        Receipt { entry, given, receipts: self.clone() }
    }

    pub(crate) fn give(&self, entry: Uuid) {
        if let Some(give) = self.awaited().remove(&entry) {
            give.send(()).ok(); // whoever asked may have gone
        }
    }
}

impl Receipt {
    /// When the entry is written. Never when it cannot be: whoever waits has a deadline.
    pub(crate) async fn given(mut self) {
        if (&mut self.given).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.receipts.awaited().remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_receipt_is_given_to_who_asked_for_it_and_forgotten_with_him() {
        let receipts = Receipts::default();
        let [one, two] = [1, 2].map(Uuid::from_u128);
        let (first, second) = (receipts.ask(one), receipts.ask(two));
        receipts.give(one);
        receipts.give(Uuid::nil()); // nobody asked
        assert_eq!((first.given().now_or_never(), second.given().now_or_never()), (Some(()), None));
        assert!(receipts.awaited().is_empty());
    }
}
