//! The opening of a media stream: from the first byte to a `start` that says which call this is.
//!
//! The call tree is built only then, so a socket that never says anything costs no call. It refuses to know
//! whether the call is admitted; that is the switchboard's rule.

use std::time::Duration;

use futures_util::StreamExt;
use tandem_wire::twilio::inbound::{Inbound, Start};

use crate::ports::{Socket, SocketItem};

/// A stream that has not started after this is nobody's.
pub const OPENING_MAX: Duration = Duration::from_secs(5);

/// Messages before `start` that are tolerated. 5 s of media at 50 a second, from a caller that is early.
const MESSAGES_MAX: usize = 250;

/// Why a socket did not become a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    #[error("no start within {} s", OPENING_MAX.as_secs())]
    Timeout,
    #[error("socket ended before start")]
    Ended,
    #[error("{MESSAGES_MAX} messages and no start among them")]
    TooManyMessages,
    #[error("start is unusable: {0}")]
    BadStart(String),
}

/// Reads until the stream starts.
pub async fn open(socket: &mut Socket) -> Result<Start, OpeningError> {
    tokio::time::timeout(OPENING_MAX, read_start(socket)).await.unwrap_or(Err(OpeningError::Timeout))
}

async fn read_start(socket: &mut Socket) -> Result<Start, OpeningError> {
    for _ in 0..MESSAGES_MAX {
        match socket.reader.next().await {
            Some(SocketItem::Text(text)) => match Inbound::parse(&text) {
                Ok(Inbound::Start(start)) => return check(start),
                Ok(Inbound::Stop { .. }) => return Err(OpeningError::Ended),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "message before start ignored"),
            },
            Some(SocketItem::Binary(_) | SocketItem::Pong) => {}
            Some(SocketItem::Closed { .. } | SocketItem::Lost(_)) | None => return Err(OpeningError::Ended),
        }
    }
    Err(OpeningError::TooManyMessages)
}

/// The carrier has one format. Another one would be heard as noise, so it is refused in words; how a client spells
/// the right one is its own affair.
fn check(start: Start) -> Result<Start, OpeningError> {
    let foreign = |what: &str| Err(OpeningError::BadStart(format!("{what} is not mu-law 8000 Hz mono")));
    let spelt = start.encoding.as_deref().unwrap_or("mulaw").to_ascii_lowercase();
    match start {
        _ if !["mulaw", "ulaw", "pcmu"].iter().any(|name| spelt.contains(name)) => foreign(&spelt),
        Start { sample_rate: Some(rate), .. } if rate != 8_000 => foreign(&format!("{rate} Hz")),
        Start { channels: Some(channels), .. } if channels != 1 => foreign(&format!("{channels} channels")),
        start => Ok(start),
    }
}
