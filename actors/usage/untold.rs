//! Responses whose usage no provider has told: not told at all, abandoned half-way, or lost with their engine.
//!
//! Pure. What they cost is unknown, and that has to be counted too. It refuses to know engines, but for their numbers.

/// Engines with a response under way: one serves, one stands by, and some are seeing their sockets off.
#[derive(Debug, Default)]
pub struct Untold(Vec<u32>);

impl Untold {
    /// An engine has begun to make a response. Tells whether the usage of its last was never told.
    pub fn began(&mut self, engine: u32) -> bool {
        let untold = self.gone(engine);
        self.0.push(engine);
        untold
    }

    pub fn told(&mut self, engine: u32) {
        self.gone(engine);
    }

    /// The engine is gone. Tells whether the usage of its last response was never told.
    pub fn gone(&mut self, engine: u32) -> bool {
        let open = self.0.iter().position(|open| *open == engine);
        open.map(|at| self.0.swap_remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_untold_when_the_next_begins_or_its_engine_goes_before_its_usage_is_told() {
        let mut untold = Untold::default();
        assert!(!untold.began(1));
        untold.told(1);
        assert!(!untold.began(1), "that one was told");
        assert!(untold.began(1), "and this was not");
        assert!(!untold.began(2), "another engine's");
        assert!(untold.gone(1));
        assert!(!untold.gone(1), "once");
        assert!(untold.gone(2));
        untold.told(3); // of a response that never said that it began
        assert!(untold.0.is_empty());
    }
}
