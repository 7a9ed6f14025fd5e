//! The route table of the HTTP surface: which path is answered by which file.
//!
//! It refuses to know what the answers are.

mod admin;
mod analytics;
mod audit;
mod body;
mod callbacks;
mod calls;
mod clips;
mod desk;
mod gate;
mod gather;
mod health;
mod media;
mod metrics;
mod outcome;
mod prices;
mod probability;
mod problem;
mod query;
mod routing;
mod server;
mod status;
mod users;
mod voice;
mod webhook;
mod workers;

use actix_web::web::{self, ServiceConfig};
use tandem_actors::mode::Mode;

pub use admin::AdminRule;
pub use analytics::Analyst;
pub use desk::{Asked, Desk, MediaRequest, Refusal, Reply, Ring, Standing};
pub use gate::{Gate, Signatures};
pub use gather::TurnDesk;
pub use server::{BindError, Listener, Operation, Serving, serve};
pub use status::WhoAnswers;
pub use workers::Workers;

/// Where media sockets are accepted. One more path segment may follow: `/twilio/media/7Qm2`.
const MEDIA: [&str; 3] = ["/twilio/media", "/media-stream", "/phone/media-stream"];

/// Voice webhooks whose path names the mode: ours, and those of the systems that we replace.
const VOICE_IN: [(&str, Mode); 8] = [
    ("/twilio/voice/traditional", Mode::Traditional),
    ("/twilio/voice/realtime", Mode::Realtime),
    ("/twilio/voice/hybrid", Mode::Hybrid),
    ("/twilio/voice/cascade", Mode::Cascade),
    ("/voice", Mode::Traditional),
    ("/voice-realtime", Mode::Realtime),
    ("/phone/incoming", Mode::Traditional),
    ("/phone/incoming-realtime", Mode::Realtime),
];

fn routes(app: &mut ServiceConfig) {
    telephony(app);
    operation(app);
    for path in MEDIA {
        app.service(web::resource([path, &format!("{path}/{{name:[^/]*}}")]).to(media::not_an_upgrade));
    }
    app.default_service(web::to(problem::not_found));
}

/// What carriers, load balancers and scrapers ask.
fn telephony(app: &mut ServiceConfig) {
    app.service(
        web::resource("/twilio/voice")
            .get(voice::answer)
            .post(voice::answer)
            .default_service(problem::only("GET, POST")),
    )
    .service(
        web::resource("/twilio/resume")
            .get(voice::resume)
            .post(voice::resume)
            .default_service(problem::only("GET, POST")),
    )
    .service(
        web::resource("/twilio/gather")
            .get(gather::gather)
            .post(gather::gather)
            .default_service(problem::only("GET, POST")),
    )
    .service(
        web::resource("/twilio/clips/{name}")
            .get(clips::clip)
            .head(clips::clip)
            .default_service(problem::only("GET, HEAD")),
    )
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
    .service(web::resource("/metrics").get(metrics::scrape).default_service(problem::only("GET")))
    .service(
        web::resource("/")
            .get(status::status)
            .head(status::status)
            .default_service(problem::only("GET, HEAD")),
    );
    app.service(
        web::resource("/twilio/status").post(callbacks::status).default_service(problem::only("POST")),
    )
    .service(
        web::resource("/twilio/stream-status")
            .post(callbacks::stream_status)
            .default_service(problem::only("POST")),
    )
    .service(
        web::resource("/twilio/recording").post(callbacks::recording).default_service(problem::only("POST")),
    );
    for (path, mode) in VOICE_IN {
        let answer = move |request, hook, desk, gate| voice::answer_in(mode, request, hook, desk, gate);
        let resource = web::resource(path).get(answer).post(answer);
        app.service(resource.default_service(problem::only("GET, POST")));
    }
}

/// What operators ask and change.
fn operation(app: &mut ServiceConfig) {
    app.service(
        web::resource("/realtime-api-config")
            .get(probability::read)
            .post(probability::update)
            .default_service(problem::only("GET, POST")),
    )
    .service(
        web::resource("/api/v1/routing")
            .get(routing::read)
            .put(routing::replace)
            .default_service(problem::only("GET, PUT")),
    )
    .service(
        web::resource("/api/v1/routing/explain").get(routing::explain).default_service(problem::only("GET")),
    )
    .service(web::resource("/api/v1/routing/plans").get(routing::plans).default_service(problem::only("GET")))
    .service(
        web::resource("/api/v1/routing/plans/{rule}/restart")
            .post(routing::restart)
            .default_service(problem::only("POST")),
    )
    .service(
        web::resource("/api/v1/calls/{call}/outcome")
            .post(outcome::tell)
            .default_service(problem::only("POST")),
    )
    .service(web::resource("/api/v1/calls").get(calls::list).default_service(problem::only("GET")))
    .service(web::resource("/api/v1/calls/{call}").get(calls::read_one).default_service(problem::only("GET")))
    .service(
        web::resource("/api/v1/calls/{call}/timeline")
            .get(calls::timeline)
            .default_service(problem::only("GET")),
    )
    .service(web::resource("/api/v1/prices").get(prices::read).default_service(problem::only("GET")))
    .service(
        web::resource("/api/v1/analytics/dashboard")
            .get(analytics::read_dashboard)
            .default_service(problem::only("GET")),
    )
    .service(
        web::resource("/api/v1/analytics/projection")
            .get(analytics::project)
            .default_service(problem::only("GET")),
    )
    .service(
        web::resource("/api/v1/analytics/revenue")
            .get(analytics::read_revenue)
            .post(analytics::enter_revenue)
            .default_service(problem::only("GET, POST")),
    )
    .service(
        web::resource("/api/v1/users/{user}")
            .get(users::read)
            .delete(users::forget)
            .default_service(problem::only("GET, DELETE")),
    )
    .service(
        web::resource("/api/v1/users/{user}/memory")
            .get(users::memory)
            .delete(users::forget_memory)
            .default_service(problem::only("GET, DELETE")),
    )
    .service(web::resource("/api/v1/audit").get(audit::list).default_service(problem::only("GET")));
}

#[cfg(test)]
mod control_room;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
