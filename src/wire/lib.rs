//! Tandem's wire: the typed messages of the carrier and the provider, the documents and signatures around them.
//! Knows no socket, no clock, no actor and no codec: text and bytes in, values out, and back.
//!
//! | module | speaks |
//! |---|---|
//! | [`twilio`] | Media Streams: what the carrier sends, what it is sent |
//! | [`openai`] | the Realtime API: client events, server events, errors, in both dialects |
//! | [`openai::chat`] and its neighbours | answers in text, speech and transcription over HTTP |
//! | [`elevenlabs`] | speech over HTTP |
//! | [`sse`] | server-sent events, the framing of answers that stream |
//! | [`audio`] | base64, the form audio has in both of them |
//! | [`twiml`] | the document that answers a voice webhook |
//! | [`form`] | the body of a voice webhook |
//! | [`signature`] | proof that a request is the carrier's |
//! | [`ticket`] | proof that a media socket belongs to an answered call |
//!
//! Everything that is read comes from a stranger: parsers answer with a value or an error value and never panic.
//! The three messages that come and go for every frame (`media` both ways, `input_audio_buffer.append` and the audio
//! delta) are read borrowed in one pass and written without a serialiser; everything rarer goes through serde.

pub mod audio;
pub mod elevenlabs;
pub mod form;
mod json;
#[cfg(test)]
mod mutation;
pub mod openai;
pub mod signature;
pub mod sse;
pub mod ticket;
pub mod twilio;
pub mod twiml;
