//! Values of labels that come from outside, of which there are only so many.
//!
//! It refuses to know what is named. Every value is a series of its own for as long as the process lives, here and at
//! whoever scrapes: a name that changes with every call would fill both.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

/// What all names are that came too late.
pub const OTHER: &str = "other";

pub struct Names {
    max: usize,
    known: RwLock<BTreeSet<String>>,
}

impl Names {
    pub fn at_most(max: usize) -> Self {
        Self { max, known: RwLock::default() }
    }

    /// The name, or [`OTHER`].
    pub fn bounded<'a>(&self, name: &'a str) -> &'a str {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return name;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.max {
            known.insert(name.to_owned());
        }
        if known.contains(name) { name } else { OTHER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_keep_theirs_and_all_others_share_one() {
        let names = Names::at_most(2);
        assert_eq!(
            ["a", "b", "c", "a", "d", "b"].map(|name| names.bounded(name)),
            ["a", "b", OTHER, "a", OTHER, "b"]
        );
    }
}
