//! A carrier's webhook: read within limits, proved by its signature, parsed.
//!
//! It refuses to know what is answered.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes, Data};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use tandem_wire::form::{self, Form};
use tokio::time::timeout;

use super::gate::{Gate, Signed};
use super::problem::Problem;

/// A webhook has about 30 fields of 100 bytes, and a caller's identity token of 1 to 2 KB: 16 times that.
const BODY_BYTES_MAX: usize = 64 << 10;

/// From head to end of body. Twilio gives up on the whole request after 15 s.
const BODY_WAIT_MAX: Duration = Duration::from_secs(5);

/// The fields of a request that the carrier has signed, or that need not be signed.
pub(super) struct Webhook {
    pub(super) call_sid: String,
    fields: Form,
}

impl Webhook {
    pub(super) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.fields.get(name)
    }
}

impl FromRequest for Webhook {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = web::Payload::from_request(request, payload).into_inner();
        let request = request.clone();
        Box::pin(async move {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let gate = request.app_data::<Data<Gate>>().expect("the server puts a gate into every app");
            let fields = if request.method() == Method::GET {
                gate.check(path, request.headers(), &Signed::Query)?;
                form::parse(request.query_string().as_bytes())
            } else {
                let body = read(body.map_err(|error| unreadable(&error))?).await?;
                gate.check(path, request.headers(), &Signed::Form(&body))?;
                form::parse(&body)
            };
            let call_sid = fields.get("CallSid").filter(|sid| !sid.is_empty()).map(Cow::into_owned);
            let call_sid = call_sid
                .ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the field CallSid is missing"))?;
            Ok(Self { call_sid, fields })
        })
    }
}

async fn read(body: web::Payload) -> Result<Bytes, Problem> {
    let Ok(read) = timeout(BODY_WAIT_MAX, body.to_bytes_limited(BODY_BYTES_MAX)).await else {
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 5 s"));
    };
    let Ok(body) = read else {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB"));
    };
    body.map_err(|error| unreadable(&error))
}

fn unreadable(error: &actix_web::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::super::gate::Signatures;
    use super::*;

    async fn received(mut payload: Payload) -> StatusCode {
        let gate = Data::new(Gate::new("http://127.0.0.1", Signatures::Off));
        let request = TestRequest::post().app_data(gate).to_http_request();
        let refused = Webhook::from_request(&request, &mut payload).await.err();
        refused.expect("there is no whole body").status_code()
    }

    #[actix_rt::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        tokio::time::pause();
        let pending = Box::pin(stream::pending());
        assert_eq!(received(Payload::Stream { payload: pending }).await, StatusCode::REQUEST_TIMEOUT);
    }

    #[actix_rt::test]
    async fn a_body_that_breaks_off_is_refused() {
        let broken = stream::once(async { Err(actix_web::error::PayloadError::EncodingCorrupted) });
        assert_eq!(received(Payload::Stream { payload: Box::pin(broken) }).await, StatusCode::BAD_REQUEST);
    }
}
