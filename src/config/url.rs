//! The URLs that somebody configures: a scheme, a host, perhaps a port and a path.
//!
//! This file refuses to know what is served there. Queries, fragments and user names are refused: the first would be
//! lost when a path is appended, the last would put a password into logs.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// `scheme://host[:port][/path]`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// As written, an IPv6 address in brackets.
    host: String,
    port_opt: Option<u16>,
    /// Empty, or with a slash at its start and none at its end.
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
}

pub(super) fn http<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    String::deserialize(from)
        .ok()
        .and_then(|text| Url::parse(&text))
        .filter(|url| matches!(url.scheme, Scheme::Http | Scheme::Https))
        .ok_or_else(|| {
            D::Error::custom("must be http:// or https://, a host, perhaps a port and a path, no more")
        })
}

pub(super) fn web_socket<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    String::deserialize(from)
        .ok()
        .and_then(|text| Url::parse(&text))
        .filter(|url| matches!(url.scheme, Scheme::Ws | Scheme::Wss))
        .ok_or_else(|| {
            D::Error::custom("must be ws:// or wss://, a host, perhaps a port and a path, no more")
        })
}

impl Url {
    /// `None` for whatever is not such a URL.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let colon = authority.rfind(':').filter(|_| !authority.ends_with(']'));
        let (host, port) =
            colon.map_or((authority, None), |at| (&authority[..at], Some(&authority[at + 1..])));
        let port_opt = match port {
            Some(digits) => Some(digits.parse().ok().filter(|&port| port != 0)?),
            None => None,
        };
        let path_is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        (is_host(host) && path_is_plain).then_some(Self {
            scheme: Scheme::parse(scheme)?,
            host: host.to_owned(),
            port_opt,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// As dialling and certificates want it: an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port that is dialled: as written, else the scheme's own.
    pub fn port(&self) -> u16 {
        self.port_opt.unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Wss)
    }

    /// Whether it leads to this machine by name or number. Names are not resolved, except `localhost`.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
            || in_brackets(&self.host).is_some_and(|address| address.is_loopback())
    }

    /// The same place for a WebSocket: `ws` for `http`, `wss` for `https`.
    #[must_use]
    pub fn as_web_socket(&self) -> Self {
        let scheme = if self.is_encrypted() { Scheme::Wss } else { Scheme::Ws };
        Self { scheme, ..self.clone() }
    }
}

fn is_host(host: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    in_brackets(host).is_some() || !host.is_empty() && host.bytes().all(is_name)
}

fn in_brackets(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port_opt, path } = self;
        write!(f, "{}://{host}", scheme.as_str())?;
        if let Some(port) = port_opt {
            write!(f, ":{port}")?;
        }
        f.write_str(path)
    }
}

// ---------------------------------------------------------------------------------------------------------------------

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::Ws, Self::Wss].into_iter().find(|scheme| scheme.as_str() == text)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_written_as_it_was_read() {
        for text in [
            "http://127.0.0.1:8765",
            "https://voice.example.org",
            "https://example.org:8443/tandem",
            "wss://api.openai.com/v1/realtime",
            "ws://[::1]:9000/v1/realtime",
            "ws://some_box.local:1",
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_slash_at_the_end_is_left_out() {
        let written = |text| Url::parse(text).map(|url| url.to_string());
        assert_eq!(written("https://example.org/").as_deref(), Some("https://example.org"));
        assert_eq!(written("https://example.org/a/").as_deref(), Some("https://example.org/a"));
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        for text in [
            "",
            "example.org",
            "//example.org",
            "ftp://example.org",
            "http://",
            "http:///path",
            "http://:80",
            "http://example.org:",
            "http://example.org:0",
            "http://example.org:65536",
            "http://example.org:8x",
            "http://user:password@example.org",
            "http://example.org/?model=x",
            "http://example.org?model=x",
            "http://example.org/#top",
            "http://exam ple.org",
            "http://example.org/a b",
            "http://[::1",
            "http://[nonsense]:80",
            "http://::1:80",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_told_by_name_and_number() {
        let is_loopback = |text| Url::parse(text).is_some_and(|url| url.is_loopback());
        for text in [
            "http://localhost",
            "ws://LOCALHOST:1",
            "http://127.0.0.1:8765",
            "http://127.1.2.3",
            "ws://[::1]:9",
        ] {
            assert!(is_loopback(text), "{text}");
        }
        for text in
            ["http://localhost.example.org", "http://128.0.0.1", "ws://[::2]", "https://api.openai.com"]
        {
            assert!(!is_loopback(text), "{text}");
        }
    }

    #[test]
    fn a_host_is_given_without_brackets() {
        let host = |text| Url::parse(text).map(|url| url.host().to_owned());
        assert_eq!(host("ws://[::1]:9000").as_deref(), Some("::1"));
        assert_eq!(host("wss://example.org/v1").as_deref(), Some("example.org"));
    }

    #[test]
    fn the_port_dialled_is_the_written_one_or_the_schemes_own() {
        let port = |text| Url::parse(text).map(|url| url.port());
        assert_eq!(port("ws://[::1]:9000"), Some(9000));
        assert_eq!(port("wss://example.org"), Some(443));
        assert_eq!(port("ws://example.org"), Some(80));
    }

    #[test]
    fn a_web_socket_is_as_encrypted_as_the_page_it_belongs_to() {
        let web_socket = |text| Url::parse(text).map(|url| url.as_web_socket().to_string());
        assert_eq!(web_socket("http://127.0.0.1:8765").as_deref(), Some("ws://127.0.0.1:8765"));
        assert_eq!(web_socket("https://example.org/tandem").as_deref(), Some("wss://example.org/tandem"));
    }
}
