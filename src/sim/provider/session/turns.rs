//! The caller's side of a session: audio appended, utterances heard in it, committed and written down.
//!
//! Knows nothing of how responses are made; it asks for one when turn detection is told to.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use rand::RngExt;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Session, Transcript,
    config::Format,
    conversation::{self, Content, Item},
    hearing::{Heard, Utterance},
    id,
};
use crate::{
    provider::{
        fields::{Fields, Refused},
        record::{self, Turn},
    },
    speech,
};

/// What one append may carry.
const APPEND_BYTES_MAX: usize = 15 << 20;

/// A commit needs this much audio.
const COMMIT_MS_MIN: f64 = 100.0;

impl Session {
    pub(super) fn append(&mut self, now: Instant, fields: &Fields<'_>) -> Result<(), Refused> {
        let audio = fields.required("audio")?;
        let bytes =
            BASE64_STANDARD.decode(audio.string()?).map_err(|_| audio.refuse(conversation::NOT_BASE64))?;
        if bytes.len() > APPEND_BYTES_MAX {
            return Err(audio.refuse("Audio of more than 15 MiB cannot be appended at once."));
        }
        if bytes.is_empty() {
            self.violation("an append without audio");
        }
        if self.settings.input == Format::Pcm && bytes.len() % 2 == 1 {
            self.violation("an append that ends within a 16-bit sample");
        }
        // 48 bytes of PCM are a millisecond, and 8 of G.711: counted in 48ths, appends of any length add up.
        self.appended_48ths += (bytes.len() * 48 / self.settings.input.bytes_per_ms()) as u64;
        self.record.with(|record| {
            record.appends += 1;
            let kept = record::AUDIO_KEPT_BYTES_MAX.saturating_sub(record.audio.len()).min(bytes.len());
            record.audio.extend_from_slice(&bytes[..kept]);
            record.audio_received_ms = self.appended_48ths / 48;
        });
        self.hearing.append(&bytes);
        while let Some(heard) = self.hearing.listen(self.settings.turn_detection.as_ref()) {
            self.notice(now, heard);
        }
        Ok(())
    }

    fn notice(&mut self, now: Instant, heard: Heard) {
        let detection = self.settings.turn_detection.clone();
        match heard {
            Heard::Started { audio_start_ms } => {
                let item_id = self.turn_item.insert(id("item", &mut self.rng)).clone();
                self.idle_at = None;
                self.outbox.emit(
                    "input_audio_buffer.speech_started",
                    json!({"item_id": item_id, "audio_start_ms": audio_start_ms}),
                );
                if detection.is_some_and(|detection| detection.interrupt_response()) {
                    self.cancel_running(now, "turn_detected");
                }
            }
            Heard::Stopped { audio_start_ms, audio_end_ms } => {
                let item_id = self.turn_item.take().unwrap_or_else(|| id("item", &mut self.rng));
                self.outbox.emit(
                    "input_audio_buffer.speech_stopped",
                    json!({"item_id": item_id, "audio_end_ms": audio_end_ms}),
                );
                self.record.with(|record| {
                    record.turns.push(Turn {
                        item_id: item_id.clone(),
                        speech_start_ms: audio_start_ms,
                        speech_stop_ms: audio_end_ms,
                        at: now,
                    });
                });
                let utterance = self.hearing.take_turn();
                self.commit(now, item_id, utterance, true);
                if detection.is_some_and(|detection| detection.create_response()) {
                    self.respond_by_itself(now);
                }
            }
        }
    }

    pub(super) fn commit_by_hand(&mut self, now: Instant) -> Result<(), Refused> {
        let buffered_ms = self.hearing.buffered_ms();
        if buffered_ms < COMMIT_MS_MIN {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least {COMMIT_MS_MIN:.0}ms of \
                 audio, but buffer only has {buffered_ms:.2}ms of audio."
            );
            return Err(Refused::new("input_audio_buffer_commit_empty", message));
        }
        let item_id = self.turn_item.take().unwrap_or_else(|| id("item", &mut self.rng));
        let utterance = self.hearing.take_all();
        self.commit(now, item_id, utterance, true);
        Ok(())
    }

    /// Makes an utterance an item, and has it transcribed if that is wanted and there is something to
    /// transcribe.
    fn commit(&mut self, now: Instant, item_id: String, utterance: Utterance, has_speech: bool) {
        let wants_text = has_speech && self.settings.transcription.is_some();
        let text = wants_text.then(|| transcript_of(&utterance));
        let previous = self.conversation.previous(&item_id).map(str::to_owned);
        self.outbox
            .emit("input_audio_buffer.committed", json!({"previous_item_id": previous, "item_id": item_id}));
        let item =
            Item::new(item_id.clone(), "completed", Content::UserAudio { utterance, transcript: None });
        self.announce(&item, previous.as_deref());
        self.conversation.push(item);
        if let Some(text) = text {
            // One in four comes late, as happens: often after the response it belongs to.
            let late = if self.rng.random_ratio(1, 4) { 2_000 } else { 0 };
            let at = now + Duration::from_millis(late + self.rng.random_range(120..=600));
            self.transcripts.push(Transcript { at, item_id, text });
        }
    }

    pub(super) fn announce(&mut self, item: &Item, previous: Option<&str>) {
        let body = json!({"previous_item_id": previous, "item": item.to_json(false)});
        self.outbox.emit("conversation.item.added", body.clone());
        self.outbox.emit("conversation.item.done", body);
    }

    pub(super) fn transcribe(&mut self, i: usize) {
        let Transcript { item_id, text, .. } = self.transcripts.remove(i);
        let model = self
            .settings
            .transcription
            .as_ref()
            .and_then(|wanted| wanted["model"].as_str())
            .unwrap_or_default();
        let Some(item) = self.conversation.get_mut(&item_id) else { return };
        let (_, audio_tokens) = item.tokens();
        let Content::UserAudio { utterance, transcript } = &mut item.content else { return };
        *transcript = Some(text.clone());
        let usage = if model == "whisper-1" {
            json!({"type": "duration", "seconds": utterance.duration_ms() / 1_000.0})
        } else {
            let written = conversation::text_tokens(&text);
            json!({
                "type": "tokens",
                "total_tokens": audio_tokens + written,
                "input_tokens": audio_tokens,
                "output_tokens": written,
                "input_token_details": {"text_tokens": 0, "audio_tokens": audio_tokens},
            })
        };
        self.outbox.emit(
            "conversation.item.input_audio_transcription.delta",
            json!({"item_id": item_id, "content_index": 0, "delta": text}),
        );
        self.outbox.emit(
            "conversation.item.input_audio_transcription.completed",
            json!({"item_id": item_id, "content_index": 0, "transcript": text, "usage": usage}),
        );
    }

    pub(super) fn prompt_the_idle(&mut self, now: Instant) {
        self.idle_at = None;
        let end_ms = self.hearing.position_ms();
        let utterance = self.hearing.take_all();
        let item_id = id("item", &mut self.rng);
        let start_ms = end_ms.saturating_sub(utterance.format.ms(utterance.bytes.len()));
        self.outbox.emit(
            "input_audio_buffer.timeout_triggered",
            json!({"item_id": item_id, "audio_start_ms": start_ms, "audio_end_ms": end_ms}),
        );
        self.commit(now, item_id, utterance, false);
        self.respond_by_itself(now);
    }
}

/// The words, where the caller is one we know, else how long it was.
fn transcript_of(utterance: &Utterance) -> String {
    match speech::recognise(&utterance.phone_samples()) {
        Some(words) => words.to_owned(),
        None => format!("(speech, {:.1} s)", utterance.duration_ms() / 1_000.0),
    }
}
