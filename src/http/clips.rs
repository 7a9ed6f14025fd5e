//! `GET /twilio/clips/{id}.wav`: what an agent says in its own voice, for the carrier to play.
//!
//! It refuses to know who asks: the carrier does not sign these requests in a way its pages promise, and the id, 128
//! random bits, is known to nobody else.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CacheControl, CacheDirective};
use actix_web::web::{Data, Path};
use tandem_actors::call::turns::ClipId;

use super::problem::Problem;
use crate::clips::{CLIP_LIFETIME, ClipShelf};

/// Where a clip is fetched.
pub(super) fn path(id: ClipId) -> String {
    format!("/twilio/clips/{id}.wav")
}

pub(super) async fn clip(name: Path<String>, shelf: Data<ClipShelf>) -> Result<HttpResponse, Problem> {
    let clip = id(&name).and_then(|id| shelf.fetch(id));
    let clip =
        clip.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such clip, or it has expired"))?;
    let seconds = u32::try_from(CLIP_LIFETIME.as_secs()).unwrap_or(u32::MAX);
    let cached = CacheControl(vec![CacheDirective::Private, CacheDirective::MaxAge(seconds)]);
    Ok(HttpResponse::Ok()
        .content_type("audio/wav")
        .insert_header((CACHE_CONTROL, cached.to_string()))
        .body(clip))
}

fn id(name: &str) -> Option<ClipId> {
    let digits = name.strip_suffix(".wav")?;
    let exact = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u128::from_str_radix(digits, 16).ok().filter(|_| exact).map(ClipId)
}
