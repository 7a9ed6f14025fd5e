//! What a caller is told when nobody can talk to him.
//!
//! It refuses to know why.

use tandem_sim::carrier::{CallEnd, CallRecord, CarrierEvent};

/// Whether the carrier read an apology to the caller before it hung up as it was told.
pub(crate) fn heard_apology(call: &CallRecord) -> bool {
    let is_apology = |event: &CarrierEvent| matches!(event, CarrierEvent::Verb { name: "Say", text } if text.contains("sorry"));
    call.end == CallEnd::HungUp && call.events.iter().any(|(_, event)| is_apology(event))
}
