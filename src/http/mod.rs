//! The route table of the HTTP surface: which path is answered by which file.
//!
//! It refuses to know what the answers are.

mod desk;
mod gate;
mod health;
mod media;
mod problem;
mod resume;
mod server;
mod status;
mod voice;
mod webhook;

use actix_web::web::{self, ServiceConfig};

pub use desk::{Desk, Fate, MediaRequest, Refusal, Ring, Standing};
pub use gate::{Gate, Signatures};
pub use server::{BindError, Listener, Serving, serve};

/// Where media sockets are accepted. One more path segment may follow: `/twilio/media/7Qm2`.
const MEDIA: [&str; 3] = ["/twilio/media", "/media-stream", "/phone/media-stream"];

const VOICE: [&str; 3] = ["/twilio/voice", "/voice-realtime", "/phone/incoming-realtime"];

fn routes(app: &mut ServiceConfig) {
    app.service(
        web::resource(VOICE)
            .get(voice::answer)
            .post(voice::answer)
            .default_service(problem::only("GET, POST")),
    )
    .service(web::resource("/twilio/resume").post(resume::resume).default_service(problem::only("POST")))
    .service(
        web::resource(["/health", "/health/live"])
            .get(health::live)
            .head(health::live)
            .default_service(problem::only("GET, HEAD")),
    )
    .service(
        web::resource("/health/ready")
            .get(health::ready)
            .head(health::ready)
            .default_service(problem::only("GET, HEAD")),
    )
    .service(
        web::resource("/")
            .get(status::status)
            .head(status::status)
            .default_service(problem::only("GET, HEAD")),
    );
    for path in MEDIA {
        app.service(web::resource([path, &format!("{path}/{{name:[^/]*}}")]).to(media::not_an_upgrade));
    }
    app.default_service(web::to(problem::not_found));
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
