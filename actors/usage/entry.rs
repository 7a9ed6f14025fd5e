//! Entries: what was used, as it is told to the recorder. One entry becomes one event.
//!
//! An entry has its id and its time before anybody prices it, so that it can be told again to a recorder's successor and
//! is still the same event. It refuses to know prices.

use std::time::Duration;

use tandem_wire::openai::Usage;
use uuid::Uuid;

use crate::mode::Mode;
use crate::ports::{Line, ModelId};

/// Who is paid for the line.
const CARRIER: &str = "twilio";

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub id: Uuid,
    pub at: jiff::Timestamp,
    pub mode: Mode,
    pub item: Item,
    /// What was paid for audio that nobody heard, since the last entry that told of it.
    pub unheard_microusd: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    SessionStarted,
    SessionEnded {
        reason: String,
        length: Duration,
    },
    /// The call was served for so long.
    Served(Duration),
    /// So much of the caller's audio went to engines.
    CallerHeard(Duration),
    /// Minutes of the line that have started.
    Minutes(u32, Line),
    /// An answer went out as text.
    Answered,
    Used(ModelId, Used),
}

/// What an engine used, by the work that it was used for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Used {
    pub work: Work,
    pub amount: Amount,
}

/// What a model is there for. An engine may have three models, or one for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Writing down what the caller says.
    Hearing,
    Answering,
    /// Speaking what another model has answered.
    Speaking,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// In the provider's own figures.
    Tokens(Usage),
    Audio(Duration),
    Characters(u64),
    /// The provider does not say, or did not come to it.
    Untold,
}

impl Used {
    pub fn tokens(usage: Usage) -> Self {
        Self { work: Work::Answering, amount: Amount::Tokens(usage) }
    }

    pub fn speech(text: &str) -> Self {
        Self { work: Work::Speaking, amount: Amount::Characters(text.chars().count() as u64) }
    }
}

impl Item {
    /// Who is paid for it, if anybody is.
    pub fn payee_opt(&self) -> Option<ModelId> {
        match self {
            Self::Used(model, _) => Some(model.clone()),
            Self::Minutes(_, line) => {
                Some(ModelId { provider: CARRIER.to_owned(), name: line.name().to_owned() })
            }
            Self::SessionStarted
            | Self::SessionEnded { .. }
            | Self::Served(_)
            | Self::CallerHeard(_)
            | Self::Answered => None,
        }
    }

    /// Whether a model is paid for it, which is what a call's cap counts.
    pub fn is_models(&self) -> bool {
        matches!(self, Self::Used(..))
    }
}

impl Line {
    fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Streamed => "streamed_call",
        }
    }
}
