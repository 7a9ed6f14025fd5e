use serde_json::json;

use super::*;

fn coded(code: &str) -> ApiError {
    ApiError { kind: "invalid_request_error".to_owned(), code: Some(code.to_owned()), ..ApiError::default() }
}

#[test]
fn a_lost_race_is_benign() {
    for (code, kind) in [
        ("conversation_already_has_active_response", BenignKind::ResponseActive),
        ("response_cancel_not_active", BenignKind::NothingToCancel),
        ("input_audio_buffer_commit_empty", BenignKind::NothingToCommit),
        ("item_truncate_invalid_item_id", BenignKind::UnknownItem),
        ("item_delete_invalid_item_id", BenignKind::UnknownItem),
        ("item_retrieve_invalid_item_id", BenignKind::UnknownItem),
    ] {
        assert_eq!(classify(&coded(code)), Severity::Benign(kind), "{code}");
    }
}

#[test]
fn a_session_that_ended_or_broke_may_be_followed_by_another() {
    let server_error = ApiError { kind: "server_error".to_owned(), ..ApiError::default() };
    for error in [coded("session_expired"), server_error, ApiError::default()] {
        assert_eq!(classify(&error), Severity::Session { retryable: true }, "{error:?}");
    }
}

#[test]
fn a_request_of_ours_that_was_wrong_would_be_wrong_again() {
    for code in [
        "cannot_update_voice",
        "invalid_value",
        "unknown_parameter",
        "missing_required_parameter",
        "invalid_event",
        "something_new",
    ] {
        assert_eq!(classify(&coded(code)), Severity::Session { retryable: false }, "{code}");
    }
}

#[test]
fn a_provider_that_will_not_serve_us_is_fatal() {
    for code in [
        "beta_api_shape_disabled",
        "invalid_api_key",
        "insufficient_quota",
        "rate_limit_exceeded",
        "model_not_found",
    ] {
        assert_eq!(classify(&coded(code)), Severity::Fatal, "{code}");
    }
}

#[test]
fn a_truncate_past_the_end_tells_the_real_length() {
    let refusal = |message: &str| ApiError { message: message.to_owned(), ..coded("invalid_value") };
    let past_end = refusal("Audio content of 3700ms is already shorter than 3760ms");
    assert_eq!(truncate_limit_ms(&past_end), Some(3700));
    assert_eq!(classify(&past_end), Severity::Benign(BenignKind::TruncatePastEnd { audio_ms: 3700 }));
    for message in
        ["", "Audio content of ms is already shorter than 1ms", "Audio content of 3700ms", "3700ms"]
    {
        assert_eq!(truncate_limit_ms(&refusal(message)), None, "{message}");
    }
}

#[test]
fn an_error_is_read_whatever_its_shape() {
    let read = |error| ApiError::from(error);
    assert_eq!(read(json!({})), ApiError::default());
    assert_eq!(read(json!(5)), ApiError::default());
    let odd = read(json!({ "type": "server_error", "code": 503, "message": null, "param": ["a"] }));
    assert_eq!((odd.code.as_deref(), odd.param.as_deref()), (Some("503"), Some("[\"a\"]")));
}
