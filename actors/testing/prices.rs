//! What models cost in a universe. It refuses to know real prices.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tandem_wire::openai::Usage;

use crate::ports::{Line, PriceLists, Prices};

/// No price is known.
pub struct NoPrices;

impl Prices for NoPrices {
    fn tokens(&self, _: &str, _: &Usage) -> Option<u64> {
        None
    }

    fn time(&self, _: &str, _: Duration) -> Option<u64> {
        None
    }

    fn characters(&self, _: &str, _: u64) -> Option<u64> {
        None
    }

    fn carrier_minute(&self, _: Line) -> Option<u64> {
        None
    }

    fn version(&self) -> u32 {
        0
    }
}

/// Every token, millisecond and character of one model costs a micro-dollar; no other model has a price. A minute of the
/// line costs eight, and four more with a stream.
pub struct FlatPrice(pub &'static str);

impl FlatPrice {
    fn flat(&self, model: &str, microusd: u64) -> Option<u64> {
        (model == self.0).then_some(microusd)
    }
}

impl Prices for FlatPrice {
    fn tokens(&self, model: &str, usage: &Usage) -> Option<u64> {
        self.flat(model, usage.total_tokens)
    }

    fn time(&self, model: &str, time: Duration) -> Option<u64> {
        self.flat(model, u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    fn characters(&self, model: &str, characters: u64) -> Option<u64> {
        self.flat(model, characters)
    }

    fn carrier_minute(&self, line: Line) -> Option<u64> {
        Some(match line {
            Line::Call => 8,
            Line::Streamed => 12,
        })
    }

    fn version(&self) -> u32 {
        3
    }
}

/// Lists that change when a test says so.
pub struct ChangingPrices(RwLock<Arc<dyn Prices>>);

/// This list, whatever happens.
pub fn always(prices: impl Prices + 'static) -> Arc<dyn PriceLists> {
    Arc::new(ChangingPrices::new(Arc::new(prices)))
}

impl ChangingPrices {
    pub fn new(first: Arc<dyn Prices>) -> Self {
        Self(RwLock::new(first))
    }

    pub fn change(&self, next: impl Prices + 'static) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

impl PriceLists for ChangingPrices {
    fn in_use(&self) -> Arc<dyn Prices> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
