//! What must hold for every text, checked by the fuzz targets and, over the corpus they left, by a normal test.
//! Knows no message of its own: `serde_json` is the judge of what a text says.

use serde_json::Value;
use tandem_wire::audio;
use tandem_wire::openai::{ServerEvent, ServerEventError};
use tandem_wire::twilio::inbound::{Inbound, InboundError};

/// What is read from the carrier stands in the text, and what is refused as no JSON is none.
pub fn twilio_inbound(text: &str) {
    let json = serde_json::from_str::<Value>(text);
    match (Inbound::parse(text), json) {
        (Err(InboundError::NotJson(_)), json) => assert!(json.is_err()),
        (Err(_), json) => assert!(json.is_ok()),
        (Ok(message), Err(error)) => panic!("{message:?} was read from what is no JSON: {error}"),
        (Ok(Inbound::Media(media)), Ok(json)) => {
            assert_eq!(json["media"]["payload"], *media.payload);
            if let Some(stream_sid) = &media.stream_sid {
                assert!(json["streamSid"] == **stream_sid || json["media"]["streamSid"] == **stream_sid);
            }
            decodes_to_its_length(&media.payload);
        }
        (Ok(Inbound::Mark { name }), Ok(json)) => assert_eq!(json["mark"]["name"], *name),
        (Ok(Inbound::Unknown { event }), Ok(json)) => assert_eq!(json["event"], *event),
        (Ok(_), Ok(json)) => assert!(json["event"].is_string()),
    }
}

/// The same for the provider's events. The judge refuses a few texts that are read here, such as one with a number
/// beyond all bounds in a field nobody looks at.
pub fn openai_server(text: &str) {
    let json = serde_json::from_str::<Value>(text);
    match (ServerEvent::parse(text), json) {
        (Err(ServerEventError::NotJson(_)), json) => assert!(json.is_err()),
        (Err(_), _) | (Ok(_), Err(_)) => {}
        (Ok(ServerEvent::OutputAudioDelta(delta)), Ok(json)) => {
            assert_eq!(json["response_id"], *delta.response_id);
            assert_eq!(json["item_id"], *delta.item_id);
            assert_eq!(json["delta"], *delta.delta);
            decodes_to_its_length(&delta.delta);
        }
        (Ok(ServerEvent::Unknown { kind }), Ok(json)) => assert_eq!(json["type"], *kind),
        (Ok(_), Ok(json)) => assert!(json["type"].is_string()),
    }
}

fn decodes_to_its_length(payload: &str) {
    let mut out = vec![0; audio::decoded_len(payload)];
    if let Ok(len) = audio::decode_into(payload, &mut out) {
        assert_eq!(len, out.len());
    }
}
