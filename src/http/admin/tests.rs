use actix_web::ResponseError;
use actix_web::http::header::{HeaderValue, TryIntoHeaderPair};

use super::*;

const KEY: &str = "k3y-of-the-house";

fn keyed() -> AdminRule {
    AdminRule { api_key: Some(SecretString::from(KEY)), public_url_is_loopback: false }
}

fn keyless() -> AdminRule {
    AdminRule { api_key: None, public_url_is_loopback: true }
}

/// Asks from `peer` with these headers; a refusal is its status.
fn ask(rule: &AdminRule, peer: &str, headers: &[(&'static str, &str)]) -> Result<String, u16> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let (name, value) = (*name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
            .try_into_pair()
            .expect("tests name headers in lower case");
        map.append(name, value);
    }
    let admitted = rule.admit(&map, Some(peer.parse().unwrap()));
    admitted.map(|admin| admin.who).map_err(|problem| problem.status_code().as_u16())
}

#[test]
fn the_key_opens_from_anywhere_and_also_behind_a_proxy() {
    for credentials in [format!("Bearer {KEY}"), format!("bearer {KEY}"), format!("BEARER   {KEY} ")] {
        let headers = [("authorization", credentials.as_str()), ("x-forwarded-for", "198.51.100.7")];
        let who = ask(&keyed(), "203.0.113.5:4711", &headers);
        assert_eq!(who.as_deref(), Ok("admin key at 203.0.113.5"), "{credentials}");
    }
}

#[test]
fn whatever_is_not_the_key_does_not_open_not_even_at_this_machine() {
    let rule = AdminRule { public_url_is_loopback: true, ..keyed() };
    for credentials in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer k3y-of-the-hous",
        "Bearer k3y-of-the-house2",
        "Bearer K3Y-OF-THE-HOUSE",
        "Basic k3y-of-the-house",
        "k3y-of-the-house",
        "Bearer\u{fc} k3y-of-the-house",
    ] {
        let refused = ask(&rule, "127.0.0.1:4711", &[("authorization", credentials)]);
        assert_eq!(refused, Err(401), "{credentials}");
    }
    assert_eq!(ask(&rule, "127.0.0.1:4711", &[("host", "localhost")]), Err(401));
    let bearer = format!("Bearer {KEY}");
    let twice = [("authorization", "Bearer wrong"), ("authorization", bearer.as_str())];
    assert_eq!(ask(&rule, "127.0.0.1:4711", &twice), Err(401));
}

#[test]
fn a_refusal_for_the_key_says_how_to_show_it() {
    for (credentials_opt, challenge) in [
        (None, r#"Bearer realm="tandem""#),
        (Some("Bearer wrong"), r#"Bearer realm="tandem", error="invalid_token""#),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(credentials) = credentials_opt {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(credentials));
        }
        let response = keyed().admit(&headers, None).err().unwrap().error_response();
        assert_eq!(response.headers().get(WWW_AUTHENTICATE).unwrap(), challenge);
    }
}

#[test]
fn without_a_key_this_machine_may_operate_itself() {
    for peer in ["127.0.0.1:4711", "127.8.9.10:1", "[::1]:4711", "[::ffff:127.0.0.1]:4711"] {
        for host in ["127.0.0.1:8765", "localhost", "LOCALHOST:8765", "[::1]:8765", "[::1]", "127.0.0.1"] {
            assert!(ask(&keyless(), peer, &[("host", host)]).is_ok(), "{peer} {host}");
        }
    }
    let console = [("host", "localhost:8765"), ("origin", "http://localhost:8765")];
    assert_eq!(ask(&keyless(), "[::1]:4711", &console).as_deref(), Ok("operator at ::1"));
}

#[test]
fn an_empty_key_is_no_key() {
    let rule = AdminRule { api_key: Some(SecretString::from("")), public_url_is_loopback: true };
    assert!(ask(&rule, "127.0.0.1:4711", &[]).is_ok());
    let rule = AdminRule { public_url_is_loopback: false, ..rule };
    assert_eq!(ask(&rule, "203.0.113.5:4711", &[("authorization", "Bearer ")]), Err(403));
}

#[test]
fn without_a_key_nobody_else_may() {
    for peer in ["203.0.113.5:4711", "10.0.0.2:4711", "[2001:db8::1]:4711", "[::ffff:10.0.0.2]:4711"] {
        assert_eq!(ask(&keyless(), peer, &[("host", "127.0.0.1")]), Err(403), "{peer}");
    }
    let unknown = keyless().admit(&HeaderMap::new(), None);
    assert_eq!(unknown.err().unwrap().status_code(), StatusCode::FORBIDDEN);
}

#[test]
fn without_a_key_a_house_with_a_public_address_takes_no_admin_calls_at_all() {
    let rule = AdminRule { public_url_is_loopback: false, ..keyless() };
    assert_eq!(ask(&rule, "127.0.0.1:4711", &[("host", "127.0.0.1:8765")]), Err(403));
}

#[test]
fn without_a_key_a_proxy_on_this_machine_opens_no_door() {
    for (name, value) in [
        ("forwarded", "for=198.51.100.7"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-proto", "http"),
        ("x-real-ip", "127.0.0.1"),
        ("via", "1.1 proxy"),
    ] {
        let headers = [("host", "127.0.0.1:8765"), (name, value)];
        assert_eq!(ask(&keyless(), "127.0.0.1:4711", &headers), Err(403), "{name}");
    }
}

#[test]
fn without_a_key_a_page_from_elsewhere_cannot_use_the_operators_browser() {
    for origin in
        ["https://evil.example", "null", "http://localhost.evil.example:8765", "http://10.0.0.2", ""]
    {
        let headers = [("host", "127.0.0.1:8765"), ("origin", origin)];
        assert_eq!(ask(&keyless(), "127.0.0.1:4711", &headers), Err(403), "{origin}");
    }
    for host in ["evil.example:8765", "127.0.0.1.evil.example", "localhost@evil.example", "\u{fc}", " "] {
        assert_eq!(ask(&keyless(), "127.0.0.1:4711", &[("host", host)]), Err(403), "{host}");
    }
}
