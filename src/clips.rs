//! Clips: what agents say in a voice of their own, on a shelf where the carrier fetches it.
//!
//! This file refuses to know calls and HTTP: words come in, and sound goes out to whoever knows its name.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::LocalBoxStream;
use futures_util::{FutureExt, StreamExt};
use tandem_actors::call::turns::{ClipId, Narration, Narrator};
use tandem_actors::ports::{ModelError, ModelId, Voice};
use tandem_media::g711;
use tandem_media::pcm::PcmBytes;
use tandem_media::{PHONE_RATE, Rate, Resampler};
use tokio::time::{Instant, timeout};

/// How long a clip can be fetched. The carrier does so within seconds; what it says before the clip takes longest.
pub const CLIP_LIFETIME: Duration = Duration::from_mins(5);

/// The same words in the same voice are the same clip while it has so much of its life left.
const REUSE_BEFORE_END: Duration = Duration::from_mins(3);

/// From words to clip; later, the carrier says the words itself. A turn is answered within 8 s, thinking included.
const NARRATE_MAX: Duration = Duration::from_secs(4);

/// Clips on the shelf: 1,600 of 10 s (80 KB) fill its bytes; this bounds those that are shorter.
const CLIPS_MAX: usize = 4_096;

/// Bytes on the shelf, enough for 80 calls that hear four answers of 10 s a minute: 80 x 4 x 5 x 80 KB. A clip that
/// was promised stays until it expires, so when there is no room, a new one is not made.
const SHELF_BYTES_MAX: usize = 128 << 20;

/// One clip: 131 s. An answer of 1,200 characters takes 80 to 100.
const CLIP_BYTES_MAX: usize = 1 << 20;

/// Where clips lie. One per process, shared by all threads.
#[derive(Default)]
pub struct ClipShelf {
    shelf: Mutex<Shelf>,
    /// Words that the carrier had to say itself.
    unspoken: AtomicU64,
    narrators: AtomicU64,
}

#[derive(Default)]
struct Shelf {
    by_id: HashMap<ClipId, Bytes>,
    /// Oldest first: all clips live equally long.
    by_age: VecDeque<Label>,
    /// The last clip of these words in this narrator's voice.
    by_words: HashMap<(u64, String), (ClipId, Instant)>,
    bytes: usize,
}

struct Label {
    id: ClipId,
    expires: Instant,
    spoken: (u64, String),
}

/// One agent's voice, recorded onto the shelf.
pub struct ClipNarrator {
    shelf: Arc<ClipShelf>,
    voice: Arc<dyn Voice>,
    number: u64,
}

/// Why words did not become a clip.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ClipError {
    #[error(transparent)]
    Voice(#[from] ModelError),
    #[error("speech was not there within {NARRATE_MAX:?}")]
    Late,
    #[error("speech is empty")]
    Empty,
    #[error("speech is longer than {CLIP_BYTES_MAX} bytes")]
    TooLong,
    #[error("shelf is full")]
    NoRoom,
}

impl ClipShelf {
    pub fn narrator(self: &Arc<Self>, voice: Arc<dyn Voice>) -> ClipNarrator {
        let number = self.narrators.fetch_add(1, Ordering::Relaxed);
        ClipNarrator { shelf: Arc::clone(self), voice, number }
    }

    /// The clip as a WAV file; nothing once it has expired.
    pub fn fetch(&self, id: ClipId) -> Option<Bytes> {
        let mut clips = self.lock();
        clips.sweep(Instant::now());
        clips.by_id.get(&id).cloned()
    }

    /// Words since the start that no clip could be made of.
    pub fn unspoken(&self) -> u64 {
        self.unspoken.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self, error: &ClipError) {
        if self.unspoken.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "the carrier speaks instead of the agent's voice; further times are only counted");
        }
    }
}

impl Shelf {
    fn sweep(&mut self, now: Instant) {
        while let Some(label) = self.by_age.pop_front_if(|label| label.expires <= now) {
            self.bytes -= self.by_id.remove(&label.id).map_or(0, |clip| clip.len());
            if self.by_words.get(&label.spoken).is_some_and(|(id, _)| *id == label.id) {
                self.by_words.remove(&label.spoken);
            }
        }
    }

    fn put(&mut self, id: ClipId, clip: Bytes, spoken: (u64, String), now: Instant) -> Result<(), ClipError> {
        self.sweep(now);
        if self.by_id.len() >= CLIPS_MAX || self.bytes + clip.len() > SHELF_BYTES_MAX {
            return Err(ClipError::NoRoom);
        }
        let expires = now + CLIP_LIFETIME;
        self.bytes += clip.len();
        self.by_id.insert(id, clip);
        self.by_words.insert(spoken.clone(), (id, expires));
        self.by_age.push_back(Label { id, expires, spoken });
        Ok(())
    }
}

impl Narrator for ClipNarrator {
    fn model(&self) -> ModelId {
        self.voice.model()
    }

    fn narrate(&self, text: &str) -> Narration {
        let spoken = (self.number, text.to_owned());
        let known = self.shelf.lock().by_words.get(&spoken).copied();
        if let Some((id, expires)) = known
            && expires >= Instant::now() + REUSE_BEFORE_END
        {
            return Narration { clip: ready(Some(id)).boxed_local(), is_new: false };
        }
        let (clips, speech) = (Arc::clone(&self.shelf), self.voice.speak(text));
        let clip = async move {
            let recorded = timeout(NARRATE_MAX, record(speech)).await.unwrap_or(Err(ClipError::Late));
            let shelved = recorded.and_then(|codes| {
                let id = ClipId(random_bits());
                clips.lock().put(id, wav(&codes), spoken, Instant::now()).map(|()| id)
            });
            shelved.inspect_err(|error| clips.give_up(error)).ok()
        };
        Narration { clip: clip.boxed_local(), is_new: true }
    }
}

/// Speech of 24 kHz as the phone's mu-law.
async fn record(
    mut speech: LocalBoxStream<'static, Result<Bytes, ModelError>>,
) -> Result<Vec<u8>, ClipError> {
    let (mut pcm, mut resampler) = (PcmBytes::new(), Resampler::new(Rate::Hz24000, Rate::Hz8000));
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    let mut codes = Vec::new();
    let mut encode = |narrow: &[i16]| {
        codes.extend(narrow.iter().map(|sample| g711::ulaw_encode(*sample)));
        if codes.len() > CLIP_BYTES_MAX { Err(ClipError::TooLong) } else { Ok(()) }
    };
    while let Some(chunk) = speech.next().await {
        let chunk = chunk?;
        wide.resize(chunk.len() / 2 + 1, 0);
        let heard = pcm.decode(&mut &chunk[..], &mut wide);
        narrow.resize(resampler.output_len_max(heard), 0);
        let written = resampler.process(&wide[..heard], &mut narrow);
        encode(&narrow[..written])?;
    }
    if narrow.is_empty() {
        return Err(ClipError::Empty);
    }
    narrow.resize(Resampler::TAIL_MAX, 0);
    let written = resampler.flush(&mut narrow);
    encode(&narrow[..written])?;
    Ok(codes)
}

/// A WAV file of mu-law at 8 kHz: what the carrier need not transcode.
fn wav(codes: &[u8]) -> Bytes {
    const MU_LAW: u16 = 7;
    const HEAD: u32 = 58;
    let length = u32::try_from(codes.len()).expect("a clip is shorter than CLIP_BYTES_MAX");
    let padding = codes.len() % 2; // chunks begin at even places
    let mut file = Vec::with_capacity(HEAD as usize + codes.len() + padding);
    file.extend(b"RIFF");
    file.extend((HEAD - 8 + length + u32::from(padding == 1)).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(18_u32.to_le_bytes());
    file.extend(MU_LAW.to_le_bytes());
    file.extend(1_u16.to_le_bytes()); // channel
    file.extend(PHONE_RATE.to_le_bytes());
    file.extend(PHONE_RATE.to_le_bytes()); // bytes a second
    file.extend(1_u16.to_le_bytes()); // byte a sample
    file.extend(8_u16.to_le_bytes()); // bits
    file.extend(0_u16.to_le_bytes()); // no extension
    file.extend(b"fact"); // demanded of every format but PCM
    file.extend(4_u32.to_le_bytes());
    file.extend(length.to_le_bytes());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(codes);
    file.resize(file.len() + padding, 0);
    file.into()
}

fn random_bits() -> u128 {
    let mut bits = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bits)
        .expect("the system has a source of random bytes, or TLS could not work either");
    u128::from_le_bytes(bits)
}

#[cfg(test)]
mod tests;
