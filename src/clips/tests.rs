use std::sync::atomic::AtomicUsize;

use futures_util::stream;
use tandem_media::level::rms_dbfs;
use tandem_media::pcm::pcm_to_bytes;

use super::*;

/// Speaks the same sound whatever it is asked to say, and counts how often.
struct Parrot {
    sound: Vec<Result<Bytes, ModelError>>,
    hangs: bool,
    spoke: AtomicUsize,
}

impl Parrot {
    fn new(sound: Vec<Result<Bytes, ModelError>>) -> Arc<Self> {
        Arc::new(Self { sound, hangs: false, spoke: AtomicUsize::new(0) })
    }
}

impl Voice for Parrot {
    fn model(&self) -> ModelId {
        ModelId { provider: "jungle".to_owned(), name: "parrot".to_owned() }
    }

    fn speak(&self, _: &str) -> LocalBoxStream<'static, Result<Bytes, ModelError>> {
        self.spoke.fetch_add(1, Ordering::Relaxed);
        let sound = stream::iter(self.sound.clone());
        if self.hangs { sound.chain(stream::pending()).boxed_local() } else { sound.boxed_local() }
    }
}

/// A second of a tone at -9 dBFS, in chunks that are cut in mid-sample.
fn tone() -> Vec<Result<Bytes, ModelError>> {
    #[expect(clippy::cast_possible_truncation, reason = "within a half of full scale")]
    let tone = |n: u16| (16_384.0 * (f32::from(n) / 24.0 * std::f32::consts::TAU).sin()) as i16;
    let samples: Vec<i16> = (0..24_000).map(tone).collect();
    let mut bytes = vec![0; 48_000];
    pcm_to_bytes(&samples, &mut bytes);
    bytes.chunks(1_001).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect()
}

fn narrator(voice: &Arc<Parrot>) -> (Arc<ClipShelf>, ClipNarrator) {
    let shelf = Arc::new(ClipShelf::default());
    let narrator = shelf.narrator(Arc::clone(voice) as Arc<dyn Voice>);
    (shelf, narrator)
}

#[actix_rt::test]
async fn speech_becomes_a_file_for_the_phone_as_long_and_as_loud() {
    let (shelf, narrator) = narrator(&Parrot::new(tone()));
    let file = shelf.fetch(narrator.narrate("Hello").clip.await.unwrap()).unwrap();
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(
        (&file[..4], &file[8..16], &file[38..42], &file[50..54]),
        (&b"RIFF"[..], &b"WAVEfmt "[..], &b"fact"[..], &b"data"[..])
    );
    assert_eq!(
        (number(4) as usize, number(24), number(46), number(54)),
        (file.len() - 8, 8_000, number(54), number(54))
    );
    let codes = &file[58..];
    assert_eq!(codes.len(), 8_016, "one second, and the 2 ms that the resampler keeps");
    let samples: Vec<i16> = codes.iter().map(|code| g711::ulaw_decode(*code)).collect();
    let level = rms_dbfs(&samples[200..7_800]);
    assert!((level + 9.03).abs() < 0.2, "{level} dBFS");
}

#[test]
fn an_odd_number_of_samples_is_padded_and_not_counted() {
    let file = wav(&[0xFF; 3]);
    assert_eq!(
        (file.len(), &file[4..8], &file[54..58]),
        (62, &54_u32.to_le_bytes()[..], &3_u32.to_le_bytes()[..])
    );
}

#[actix_rt::test]
async fn speech_that_fails_is_late_empty_or_endless_is_counted_and_left_to_the_carrier() {
    tokio::time::pause();
    let broken = ModelError::Broken("reset".to_owned());
    let minute = vec![0; 48_000 * 60];
    for sound in [
        vec![Err(broken.clone())],
        tone().into_iter().take(3).chain([Err(broken)]).collect(),
        vec![],
        vec![Ok(Bytes::from(minute)); 3],
    ] {
        let (shelf, narrator) = narrator(&Parrot::new(sound));
        assert_eq!(narrator.narrate("Hello").clip.await, None);
        assert_eq!(narrator.narrate("Hello").clip.await, None, "and is tried again the next time");
        assert_eq!((shelf.unspoken(), shelf.lock().bytes), (2, 0));
    }
    let hangs = Arc::new(Parrot { sound: tone(), hangs: true, spoke: AtomicUsize::new(0) });
    let (shelf, narrator) = narrator(&hangs);
    let asked_at = Instant::now();
    assert_eq!((narrator.narrate("Hello").clip.await, shelf.unspoken()), (None, 1));
    assert!(asked_at.elapsed() <= NARRATE_MAX + Duration::from_millis(2));
}

#[actix_rt::test]
async fn a_phrase_is_spoken_once_for_all_who_say_it_soon() {
    tokio::time::pause();
    let voice = Parrot::new(tone());
    let (shelf, narrator) = narrator(&voice);
    let first = narrator.narrate("One moment.").clip.await.unwrap();
    assert_eq!(narrator.narrate("One moment.").clip.await, Some(first));
    assert_ne!(narrator.narrate("Goodbye.").clip.await, Some(first));
    let other = shelf.narrator(Arc::clone(&voice) as Arc<dyn Voice>);
    assert_ne!(other.narrate("One moment.").clip.await, Some(first), "another agent has another voice");
    tokio::time::advance(CLIP_LIFETIME / 2).await;
    assert_ne!(narrator.narrate("One moment.").clip.await, Some(first), "it would expire too soon");
    assert_eq!(voice.spoke.load(Ordering::Relaxed), 4);
}

#[actix_rt::test]
async fn a_clip_can_be_fetched_until_it_expires_and_leaves_nothing() {
    tokio::time::pause();
    let (shelf, narrator) = narrator(&Parrot::new(tone()));
    let id = narrator.narrate("Hello").clip.await.unwrap();
    tokio::time::advance(CLIP_LIFETIME * 9 / 10).await;
    assert!(shelf.fetch(id).is_some());
    assert!(shelf.fetch(ClipId(id.0 ^ 1)).is_none());
    let second = narrator.narrate("Hello").clip.await.unwrap();
    tokio::time::advance(CLIP_LIFETIME / 10).await;
    assert!(shelf.fetch(id).is_none() && shelf.fetch(second).is_some());
    tokio::time::advance(CLIP_LIFETIME).await;
    assert!(shelf.fetch(second).is_none());
    let shelf = shelf.lock();
    assert_eq!((shelf.bytes, shelf.by_id.len(), shelf.by_age.len(), shelf.by_words.len()), (0, 0, 0, 0));
}

#[actix_rt::test]
async fn a_full_shelf_keeps_what_it_promised_and_takes_nothing_more() {
    tokio::time::pause();
    let now = Instant::now();
    let mut shelf = Shelf::default();
    let megabyte = Bytes::from(vec![0; CLIP_BYTES_MAX]);
    let put = |shelf: &mut Shelf, n: u128, clip: &Bytes, now| {
        shelf.put(ClipId(n), clip.clone(), (0, n.to_string()), now)
    };
    for n in 0..128 {
        assert_eq!(put(&mut shelf, n, &megabyte, now), Ok(()));
    }
    assert_eq!(put(&mut shelf, 128, &megabyte, now), Err(ClipError::NoRoom));
    assert_eq!(shelf.by_id.len(), 128);
    assert_eq!(
        put(&mut shelf, 128, &megabyte, now + CLIP_LIFETIME),
        Ok(()),
        "there is room when they expire"
    );
    for n in 0..5_000 {
        put(&mut shelf, 1_000 + n, &Bytes::new(), now + CLIP_LIFETIME).ok();
    }
    assert_eq!(shelf.by_id.len(), CLIPS_MAX, "small clips are bounded as well");
}

#[test]
fn ids_do_not_repeat() {
    assert_ne!(random_bits(), random_bits());
    assert_eq!(ClipId(0xAB).to_string(), "000000000000000000000000000000ab");
    assert_eq!(format!("{:?}", ClipId(0xAB)), "ClipId", "whoever reads a log cannot listen");
}
