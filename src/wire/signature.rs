//! Twilio's request signature: base64 of HMAC-SHA1, keyed with the account's auth token, over the URL and the form.
//! Knows no header and no proxy: the caller says which public URL was called, and hands over the body untouched.
//!
//! Source: Twilio's page "Security", its Python and Node validators. The token is the primary one of the account;
//! while it is rotated the old one goes on being used, so every check takes a list.

use base64::engine::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::form;

/// Signs a request as the carrier does. `form_body` is the raw body of a posted form, and empty for a GET, for JSON and
/// for a WebSocket upgrade, where the URL alone is signed.
pub fn sign(token: &str, url: &str, form_body: &[u8]) -> String {
    STANDARD.encode(mac(token, url, &signed_form(form_body)).finalize().into_bytes())
}

/// Checks a posted form. `url` is the public one, scheme, host, path and query as they were called.
pub fn verify_post(tokens: &[&str], url: &str, form_body: &[u8], signature: &str) -> bool {
    let form = signed_form(form_body);
    port_forms(url).iter().any(|url| matches(tokens, url, &form, signature))
}

/// Checks a GET: its fields are in the query, and so in `url`.
pub fn verify_get(tokens: &[&str], url: &str, signature: &str) -> bool {
    verify_post(tokens, url, b"", signature)
}

/// Checks a JSON body: the URL is signed, and its `bodySHA256` vouches for the body.
pub fn verify_json(tokens: &[&str], url: &str, body: &[u8], signature: &str) -> bool {
    let query = without_fragment(url).split_once('?').map_or("", |(_, query)| query);
    let digest = Sha256::digest(body);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let hash: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    let vouched = form::parse(query.as_bytes()).get("bodySHA256").is_some_and(|stated| stated == hash);
    vouched && verify_get(tokens, url, signature)
}

/// Checks a WebSocket upgrade and says which form of the URL was signed. `url` is the one in the TwiML. What Twilio
/// makes of a port and of a trailing slash differs between its pages, so these are tried in turn: without the port and
/// with it, each as it ends and with the slash toggled, and then all of them as `https` (for `ws`, `http`).
pub fn verify_upgrade(tokens: &[&str], url: &str, signature: &str) -> Option<String> {
    let toggled = |url: &str| url.strip_suffix('/').map_or_else(|| format!("{url}/"), str::to_owned);
    let sockets: Vec<_> = port_forms(url).into_iter().flat_map(|url| [url.clone(), toggled(&url)]).collect();
    let pages: Vec<_> =
        sockets.iter().filter_map(|url| Some(format!("http{}", url.strip_prefix("ws")?))).collect();
    sockets.into_iter().chain(pages).find(|url| matches(tokens, url, &[], signature))
}

fn matches(tokens: &[&str], url: &str, form: &[u8], signature: &str) -> bool {
    let Ok(claimed) = STANDARD.decode(signature) else { return false };
    // In constant time.
    tokens.iter().any(|token| mac(token, url, form).verify_slice(&claimed).is_ok())
}

fn mac(token: &str, url: &str, form: &[u8]) -> Hmac<Sha1> {
    let mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update(url).chain_update(form)
}

/// The form as it is signed: names and decoded values, sorted, each pair once, without separators.
fn signed_form(form_body: &[u8]) -> Vec<u8> {
    let fields = form::parse(form_body).into_signed_order();
    fields.into_iter().flat_map(|field| [field.name, field.value]).flatten().collect()
}

/// The URL without its port and with it: voice over HTTPS is signed without, other products with. A port that is not
/// written is the scheme's own. What is never signed is left out: the fragment and `user:password@`.
fn port_forms(url: &str) -> Vec<String> {
    let url = without_fragment(url);
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let written =
        authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let own = if matches!(scheme, "https" | "wss") { "443" } else { "80" };
    let (host, port) = written.unwrap_or((authority, own));
    vec![format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")]
}

/// The fragment holds the carrier's own connection settings.
fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(url, _)| url)
}

#[cfg(test)]
mod tests;
