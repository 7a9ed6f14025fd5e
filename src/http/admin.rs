//! The gate of admin calls: who may look into the house and change it.
//!
//! It refuses to know what the operator wants.
//!
//! - With `admin.api_key`: whoever shows it as `Authorization: Bearer <key>`, from anywhere.
//! - Without: whoever sits at this machine, and only while nobody else is meant to reach it (`server.public_url` is
//!   loopback too). A reverse proxy on this machine also connects from loopback, so a request that shows one is
//!   refused. So does a browser, for whichever page it has open: a page from elsewhere shows in `Origin`, and in `Host`
//!   when its name was made to resolve to us (DNS rebinding).
//!
//! Refusals: 401 with `WWW-Authenticate` where the key would help, 403 where it would not.

use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};

use actix_web::dev::Payload;
use actix_web::http::header::{
    AUTHORIZATION, FORWARDED, HOST, HeaderMap, HeaderName, ORIGIN, VIA, WWW_AUTHENTICATE, X_FORWARDED_FOR,
    X_FORWARDED_HOST, X_FORWARDED_PROTO,
};
use actix_web::http::{StatusCode, Uri};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use super::problem::Problem;

/// What proxies add to a request. A proxy that adds none of them cannot be told from its operator.
const PROXY_HEADERS: [HeaderName; 6] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    VIA,
    HeaderName::from_static("x-real-ip"),
];

/// What the configuration says of admin calls. Shared by all workers.
pub struct AdminRule {
    /// Absent, or empty: admin calls from this machine only.
    pub api_key: Option<SecretString>,
    /// Nobody but this machine is meant to reach the server.
    pub public_url_is_loopback: bool,
}

/// An operator, let in.
pub(super) struct Admin {
    /// For the audit log.
    pub(super) who: String,
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let rule = request.app_data::<Data<AdminRule>>().expect("the server puts a rule into every app");
        let admitted = rule.admit(request.headers(), request.peer_addr());
        if let Err(problem) = &admitted {
            warn!(path = request.path(), %problem, "admin call refused");
        }
        ready(admitted)
    }
}

impl AdminRule {
    fn admit(&self, headers: &HeaderMap, peer_opt: Option<SocketAddr>) -> Result<Admin, Problem> {
        let key_opt = self.api_key.as_ref().map(ExposeSecret::expose_secret).filter(|key| !key.is_empty());
        match key_opt {
            Some(key) => with_key(key, headers)?,
            None => self.at_this_machine(headers, peer_opt)?,
        }
        let from = peer_opt.map_or_else(|| "an unknown address".to_owned(), |peer| peer.ip().to_string());
        let how = if key_opt.is_some() { "admin key" } else { "operator" };
        Ok(Admin { who: format!("{how} at {from}") })
    }

    fn at_this_machine(&self, headers: &HeaderMap, peer_opt: Option<SocketAddr>) -> Result<(), Problem> {
        let forbidden = |detail: String| Err(Problem::new(StatusCode::FORBIDDEN, detail));
        if !self.public_url_is_loopback {
            return forbidden(
                "admin calls need a key here: set admin.api_key, since server.public_url is not loopback"
                    .to_owned(),
            );
        }
        if !peer_opt.is_some_and(|peer| is_loopback(peer.ip())) {
            return forbidden(
                "without admin.api_key, admin calls are taken from this machine only".to_owned(),
            );
        }
        if let Some(shown) = PROXY_HEADERS.iter().find(|name| headers.contains_key(*name)) {
            return forbidden(format!(
                "without admin.api_key, admin calls do not pass a proxy, and {shown} shows one"
            ));
        }
        for name in [HOST, ORIGIN] {
            if !headers.get_all(&name).all(|value| value.to_str().is_ok_and(is_this_machine)) {
                return forbidden(format!(
                    "without admin.api_key, admin calls come from this machine, and {name} names another"
                ));
            }
        }
        Ok(())
    }
}

fn with_key(key: &str, headers: &HeaderMap) -> Result<(), Problem> {
    // RFC 6750, section 3: what is wrong with a token is said only when there was one.
    let unauthorized = |detail, challenge| {
        Err(Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(WWW_AUTHENTICATE, challenge))
    };
    let mut shown = headers.get_all(AUTHORIZATION);
    match (shown.next().and_then(|value| bearer(value.as_bytes())), shown.next()) {
        (Some(token), None) if verify_slices_are_equal(token, key.as_bytes()).is_ok() => Ok(()),
        (Some(_), None) => {
            unauthorized("this is not the admin key", r#"Bearer realm="tandem", error="invalid_token""#)
        }
        _ => unauthorized(
            "admin calls need the header `Authorization: Bearer <admin.api_key>`, once",
            r#"Bearer realm="tandem""#,
        ),
    }
}

/// The scheme's name may be written in any case (RFC 9110, section 11.1).
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Whether a `Host` or an `Origin` names this machine. Names are not resolved, except `localhost`.
fn is_this_machine(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    uri.host().is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
    })
}

/// Also as an IPv4 address within IPv6, as a socket that listens to both shows it.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
