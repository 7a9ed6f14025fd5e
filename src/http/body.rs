//! The body of an operator's request: the text of a JSON object, read within limits.
//!
//! It refuses to know what is in the object, and does not ask for a content type: `curl --data` would name a form.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web;
use tokio::time::timeout;

use super::problem::Problem;
use super::query::unfit;

/// From head to end of body.
const BODY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Reads at most `kib_max` KiB. Whether the object is well formed is found out by whoever parses it; but that it is one
/// is found out here, since serde would take an array as well, one field after the other.
pub(super) async fn object(body: web::Payload, kib_max: usize) -> Result<String, Problem> {
    let Ok(read) = timeout(BODY_WAIT_MAX, body.to_bytes_limited(kib_max << 10)).await else {
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 5 s"));
    };
    let Ok(body) = read else {
        let detail = format!("the body is larger than {kib_max} KiB");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    };
    let unreadable =
        |why: String| Problem::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {why}"));
    let body = body.map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(body.into()).map_err(|error| unreadable(error.utf8_error().to_string()))?;
    if text.trim_start().starts_with('{') { Ok(text) } else { Err(unfit("the body is not a JSON object")) }
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Payload;
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;
    use actix_web::web::Bytes;
    use actix_web::{FromRequest, ResponseError};
    use futures_util::{Stream, stream};

    use super::*;

    async fn received(body: impl Stream<Item = Result<Bytes, PayloadError>> + 'static) -> StatusCode {
        let request = TestRequest::put().to_http_request();
        let mut payload: Payload = Payload::Stream { payload: Box::pin(body) };
        let body = web::Payload::from_request(&request, &mut payload).await.unwrap();
        object(body, 1).await.expect_err("there is no whole body").status_code()
    }

    #[actix_rt::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        tokio::time::pause();
        assert_eq!(received(stream::pending()).await, StatusCode::REQUEST_TIMEOUT);
    }

    #[actix_rt::test]
    async fn a_body_that_breaks_off_is_refused() {
        let broken = stream::once(async { Err(PayloadError::EncodingCorrupted) });
        assert_eq!(received(broken).await, StatusCode::BAD_REQUEST);
    }
}
