//! Broken messages for property tests: valid ones with cuts, doublings and changed bytes, of which some stay valid.
//! Knows no message: any text will do.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes that mean something in JSON, and a few that do not.
const BYTES: &[u8] = b"\"\\{}[]:,0 \n-.e\x7fnu";

pub(crate) fn mutated(texts: Vec<String>) -> impl Strategy<Value = String> {
    let edit = (any::<Index>(), any::<Index>(), select(BYTES), 0..4);
    (select(texts), prop::collection::vec(edit, 0..4)).prop_map(|(text, edits)| {
        let mut bytes = text.into_bytes();
        for (from, to, byte, kind) in edits {
            let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            let range = from.min(to)..from.max(to);
            match kind {
                0 => bytes.insert(from, byte),
                1 if from < bytes.len() => bytes[from] = byte,
                2 => drop(bytes.drain(range)),
                _ => bytes.extend_from_within(range),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
