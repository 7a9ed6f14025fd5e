//! Who may come in: checks the carrier's signature over the public address of a request.
//!
//! It refuses to know what the request wants. The signature itself is `wire`'s; here its parts are put together:
//! our own idea of our address (never that of the `Host` header, which anyone can write), the tokens and a count.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use tandem_wire::signature;
use tracing::{info, warn};

use super::problem::Problem;

/// Lower case, as header names are compared.
const SIGNATURE: &str = "x-twilio-signature";

/// Whether requests must prove that they come from the carrier.
pub enum Signatures {
    /// For loopback and simulated carriers only.
    Off,
    /// Signed with one of these auth tokens: two while they are rotated.
    Checked(Vec<SecretString>),
}

/// The door of the HTTP surface, shared by all workers.
pub struct Gate {
    /// Without a slash at its end.
    public_url: String,
    signatures: Signatures,
    refused: AtomicU64,
}

/// What the carrier signs, besides the address.
pub(super) enum Signed<'a> {
    Form(&'a [u8]),
    Query,
    Upgrade,
}

impl Gate {
    /// `public_url` is `http://` or `https://`, a host, perhaps a port and a path, as configuration has checked.
    pub fn new(public_url: &str, signatures: Signatures) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            signatures,
            refused: AtomicU64::new(0),
        }
    }

    /// Requests refused for their signature since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A path of ours as the outside sees it.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }

    /// The same for a WebSocket: `http` becomes `ws`, and so `https` becomes `wss`.
    pub(super) fn web_socket_url(&self, path: &str) -> String {
        self.url(path).replacen("http", "ws", 1)
    }

    /// Lets a request pass whose signature fits. `path` is as it was received, with its raw query.
    pub(super) fn check(&self, path: &str, headers: &HeaderMap, signed: &Signed<'_>) -> Result<(), Problem> {
        let Signatures::Checked(tokens) = &self.signatures else { return Ok(()) };
        let tokens: Vec<&str> = tokens.iter().map(ExposeSecret::expose_secret).collect();
        let detail = match headers.get(SIGNATURE).map(|value| value.to_str().unwrap_or_default()) {
            Some(signature) if self.fits(&tokens, path, signed, signature) => return Ok(()),
            Some(_) => "X-Twilio-Signature does not fit: see server.public_url and twilio.auth_token",
            None => "X-Twilio-Signature is missing",
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        // The query may hold a caller's number.
        let path = path.split('?').next().unwrap_or_default();
        warn!(path, detail, "request refused");
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    fn fits(&self, tokens: &[&str], path: &str, signed: &Signed<'_>, signature: &str) -> bool {
        match signed {
            Signed::Form(body) => signature::verify_post(tokens, &self.url(path), body, signature),
            Signed::Query => signature::verify_get(tokens, &self.url(path), signature),
            Signed::Upgrade => {
                let url = self.web_socket_url(path);
                let matched_opt = signature::verify_upgrade(tokens, &url, signature);
                // Twilio's pages differ on the spelling that is signed, so `wire` tries several.
                if let Some(matched) = matched_opt.as_deref().filter(|matched| *matched != url) {
                    info!(expected = url, matched, "signature fits another spelling of the address");
                }
                matched_opt.is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_as_public_and_as_encrypted_as_pages() {
        for (public_url, page, socket) in [
            ("http://127.0.0.1:8765", "http://127.0.0.1:8765/x", "ws://127.0.0.1:8765/x"),
            ("https://http.example.net/", "https://http.example.net/x", "wss://http.example.net/x"),
            ("https://example.net/tandem", "https://example.net/tandem/x", "wss://example.net/tandem/x"),
        ] {
            let gate = Gate::new(public_url, Signatures::Off);
            assert_eq!((gate.url("/x").as_str(), gate.web_socket_url("/x").as_str()), (page, socket));
        }
    }
}
