//! Whether an HTTP upgrade request becomes a session: path, credentials, model and dialect, as the real
//! server looks at them.
//!
//! Knows nothing of what happens on the socket afterwards.

use hyper::{
    HeaderMap, StatusCode, Uri,
    header::{self, HeaderValue},
};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::{dialect::Dialect, rejection::Rejection};

pub(super) const PATH: &str = "/v1/realtime";

/// Browsers, which cannot set headers, put the key into a subprotocol.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// What the request settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admission {
    pub(super) model: String,
    pub(super) dialect: Dialect,
}

/// Admits or rejects; `api_key` absent means that any will do, but there must be one.
pub(super) fn admit(request: &Request, api_key: Option<&str>) -> Result<Admission, Rejection> {
    if request.uri().path() != PATH {
        let message = format!("Invalid URL ({})", request.uri().path());
        return Err(Rejection::new(StatusCode::NOT_FOUND, "invalid_url", message));
    }
    authorise(request.headers(), api_key)?;
    for (name, message) in [
        ("call_id", "Attaching to a call is not simulated."),
        ("intent", "Only conversation sessions are simulated: omit 'intent' or set it to 'realtime'."),
    ] {
        if query(request.uri(), name).is_some_and(|value| (name, value) != ("intent", "realtime")) {
            return Err(Rejection::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message));
        }
    }
    let Some(model) = query(request.uri(), "model").filter(|model| !model.is_empty()) else {
        let message = "You must provide a model parameter.";
        return Err(Rejection::new(StatusCode::BAD_REQUEST, "missing_model", message));
    };
    let is_beta = request.headers().get("openai-beta").is_some_and(|value| value == "realtime=v1");
    let dialect = if is_beta { Dialect::Beta } else { Dialect::Ga };
    Ok(Admission { model: model.to_owned(), dialect })
}

/// Checks the key, wherever a client may put it.
pub(super) fn authorise(headers: &HeaderMap, api_key: Option<&str>) -> Result<(), Rejection> {
    let refuse = |code, message| Err(Rejection::new(StatusCode::UNAUTHORIZED, code, message));
    match presented_key(headers) {
        None => refuse("missing_api_key", "Missing bearer authentication in header"),
        Some(key) if api_key.is_some_and(|wanted| wanted != key) => {
            refuse("invalid_api_key", "Incorrect API key provided.")
        }
        Some(_) => Ok(()),
    }
}

/// The 101 answer, naming the subprotocol if one was offered that we speak.
pub(super) fn accept(request: &Request, mut response: Response) -> Response {
    if protocols(request.headers()).any(|protocol| protocol == "realtime") {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("realtime"));
    }
    response
}

fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    bearer.or_else(|| protocols(headers).find_map(|protocol| protocol.strip_prefix(KEY_PROTOCOL)))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// A query parameter as it stands; model names need no decoding.
pub(super) fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }

    const KEY: (&str, &str) = ("authorization", "Bearer sk-test");
    const URL: &str = "/v1/realtime?model=gpt-realtime-2.1";

    #[test]
    fn a_proper_request_is_admitted_in_its_dialect() {
        let ga = Admission { model: "gpt-realtime-2.1".to_owned(), dialect: Dialect::Ga };
        assert_eq!(admit(&request(URL, &[KEY]), Some("sk-test")), Ok(ga.clone()));
        assert_eq!(admit(&request(&format!("{URL}&intent=realtime"), &[KEY]), None), Ok(ga.clone()));
        let browser = ("sec-websocket-protocol", "realtime, openai-insecure-api-key.sk-test");
        assert_eq!(admit(&request(URL, &[browser]), Some("sk-test")), Ok(ga));
        let beta = admit(&request(URL, &[KEY, ("openai-beta", "realtime=v1")]), None).unwrap();
        assert_eq!(beta.dialect, Dialect::Beta);
    }

    #[test]
    fn every_fault_of_a_request_has_its_answer() {
        for (uri, headers, key, status, code) in [
            ("/v2/realtime?model=m", &[KEY][..], None, 404, "invalid_url"),
            (URL, &[], None, 401, "missing_api_key"),
            (URL, &[("authorization", "Basic sk-test")], None, 401, "missing_api_key"),
            (URL, &[KEY], Some("sk-other"), 401, "invalid_api_key"),
            ("/v1/realtime", &[KEY], None, 400, "missing_model"),
            ("/v1/realtime?model=", &[KEY], None, 400, "missing_model"),
            ("/v1/realtime?call_id=rtc_1", &[KEY], None, 400, "unsupported_parameter"),
            ("/v1/realtime?intent=transcription", &[KEY], None, 400, "unsupported_parameter"),
        ] {
            let rejection = admit(&request(uri, headers), key).unwrap_err();
            assert_eq!((rejection.status.as_u16(), rejection.code.as_deref()), (status, Some(code)), "{uri}");
        }
    }
}
