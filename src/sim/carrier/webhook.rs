//! The carrier's HTTP side: requests with all their fields, signed, and what the answers are worth.
//!
//! Knows no verbs and keeps no state of the call beyond its name.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, Method, Url, header, redirect};
use tokio::time::timeout;

use self::{
    cookies::Cookies,
    overrides::{Overrides, Trouble},
};
use super::{
    signature,
    sound::{self, AudioError},
};

mod cookies;
mod overrides;

const REDIRECTS_MAX: usize = 10;

pub(crate) type Fields = Vec<(String, String)>;

/// Where the switch is, and where the world believes it to be.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// `http://127.0.0.1:8765`, without a slash at the end.
    origin: String,
    /// `https://switch.example.net`, if that is what is signed.
    public: Option<String>,
}

impl Places {
    pub(crate) fn new(voice_url: &Url, public: Option<&str>) -> Self {
        Self {
            origin: voice_url.origin().ascii_serialization(),
            public: public.map(|base| base.trim_end_matches('/').to_owned()),
        }
    }

    /// The URL that is signed: what the switch's owner configured, not what loopback calls it.
    pub(crate) fn to_public(&self, url: &str) -> String {
        match (&self.public, url.strip_prefix(&self.origin)) {
            (Some(public), Some(path)) => format!("{public}{path}"),
            _ => url.to_owned(),
        }
    }

    /// The URL that is connected to. A public `wss` becomes the `ws` of the place itself.
    pub(crate) fn to_local(&self, url: &str) -> String {
        let Some(public) = &self.public else { return url.to_owned() };
        let moved = |public: &str, origin: &str| {
            let path =
                url.strip_prefix(public).filter(|path| path.is_empty() || path.starts_with(['/', '?']))?;
            Some(format!("{origin}{path}"))
        };
        let socket = |base: &str| base.replacen("http", "ws", 1);
        moved(public, &self.origin)
            .or_else(|| moved(&socket(public), &socket(&self.origin)))
            .unwrap_or_else(|| url.to_owned())
    }
}

/// Why there is no answer of use, in the carrier's own error codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: u32,
    pub(crate) text: String,
}

/// The end of a request: its status, if there was one, and what it is worth.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) status: Option<u16>,
    pub(crate) body: Result<T, Failure>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Twiml(String),
    /// TwiML if it happens to be that, else to be read aloud.
    Plain(String),
    Audio(Vec<i16>),
}

/// A response read to its end.
struct Received {
    status: u16,
    /// Without parameters.
    kind: String,
    bytes: Vec<u8>,
}

/// Everything needed to make a request of this call's.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    client: Client,
    pub(crate) places: Arc<Places>,
    /// Signs, if there is one.
    auth_token: Option<String>,
    cookies: Arc<Mutex<Cookies>>,
}

impl Webhooks {
    pub(crate) fn new(places: Places, auth_token: Option<String>) -> Self {
        let client = client(Overrides::default().connect);
        Self { client, places: Arc::new(places), auth_token, cookies: Arc::default() }
    }

    pub(crate) fn sign(&self, url: &str, fields: &[(String, String)]) -> Option<String> {
        self.auth_token.as_deref().map(|token| signature::sign(token, url, fields))
    }

    /// Asks for a document.
    pub(crate) async fn ask(&self, url: &Url, get: bool, fields: &Fields, token: &str) -> Answer<Body> {
        let received = match self.request(url, get, fields, token).await {
            Ok(received) => received,
            Err(failure) => return Answer { status: None, body: Err(failure) },
        };
        let status = Some(received.status);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let body = is_success(url, &received).and_then(|()| match received.kind.as_str() {
            "text/xml" | "application/xml" | "text/html" => Ok(Body::Twiml(text(&received.bytes))),
            "text/plain" => Ok(Body::Plain(text(&received.bytes))),
            _ => audio(url, &received).map(Body::Audio),
        });
        Answer { status, body }
    }

    /// Fetches what a `<Play>` names: by GET, and without the call's fields.
    pub(crate) async fn fetch_audio(&self, url: &Url, token: &str) -> Answer<Vec<i16>> {
        match self.request(url, true, &Fields::new(), token).await {
            Ok(received) => {
                let body = is_success(url, &received).and_then(|()| audio(url, &received));
                Answer { status: Some(received.status), body }
            }
            Err(failure) => Answer { status: None, body: Err(failure) },
        }
    }

    /// Tells, and gives the status of the answer, which nobody reads.
    pub(crate) async fn tell(
        &self,
        url: &Url,
        get: bool,
        fields: &Fields,
        token: &str,
    ) -> Result<u16, Failure> {
        self.request(url, get, fields, token).await.map(|received| received.status)
    }

    /// A request with its retries, all of them under one token and within one ceiling.
    async fn request(&self, url: &Url, get: bool, fields: &Fields, token: &str) -> Result<Received, Failure> {
        let overrides = Overrides::of(url.fragment().unwrap_or_default());
        let attempts = async {
            let mut attempt = 0;
            loop {
                let received = self.follow(url, get, fields, token, &overrides).await;
                let trouble = match &received {
                    Ok(received) => Some(Trouble::Status(received.status)),
                    Err((trouble, _)) => *trouble,
                };
                let may_retry = trouble.is_some_and(|trouble| overrides.allow_retry(trouble));
                if attempt == overrides.retries || !may_retry {
                    return received.map_err(|(_, failure)| failure);
                }
                attempt += 1;
            }
        };
        timeout(overrides.total, attempts).await.unwrap_or_else(|_| {
            let text = format!("{url} gave no answer within {:.1} s", overrides.total.as_secs_f64());
            Err(Failure { code: 11_200, text })
        })
    }

    /// One attempt, wherever it is sent. What is redirected by 301, 302 or 303 goes on as a GET without the
    /// fields.
    async fn follow(
        &self,
        url: &Url,
        get: bool,
        fields: &Fields,
        token: &str,
        overrides: &Overrides,
    ) -> Result<Received, (Option<Trouble>, Failure)> {
        let (mut at, mut get, mut fields) = (url.clone(), get, fields.as_slice());
        for _ in 0..=REDIRECTS_MAX {
            let sending = self.send(&at, get, fields, token, overrides);
            let response = match timeout(overrides.read, sending).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err((trouble(&error), failure(&at, &error))),
                Err(_) => {
                    let text = format!("{at} gave no answer within {:.1} s", overrides.read.as_secs_f64());
                    return Err((Some(Trouble::Read), Failure { code: 11_200, text }));
                }
            };
            let status = response.status().as_u16();
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            let location = header(header::LOCATION).and_then(|location| at.join(location).ok());
            match (status, location) {
                (301..=303, Some(location)) => (at, get, fields) = (location, true, &[]),
                (307 | 308, Some(location)) => at = location,
                _ => {
                    let kind = header(header::CONTENT_TYPE).unwrap_or_default();
                    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                    let bytes = response.bytes().await.map_err(|error| (None, failure(&at, &error)))?;
                    return Ok(Received { status, kind, bytes: bytes.into() });
                }
            }
        }
        let text = format!("{url} redirects more than {REDIRECTS_MAX} times");
        Err((None, Failure { code: 11_215, text }))
    }

    async fn send(
        &self,
        url: &Url,
        get: bool,
        fields: &[(String, String)],
        token: &str,
        overrides: &Overrides,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let form = encode(fields);
        let mut url = Url::parse(&self.places.to_local(url.as_str())).unwrap_or_else(|_| url.clone());
        url.set_fragment(None); // connection overrides are the carrier's own business
        let (method, signed, body) = if get {
            let joined =
                |query: &str| if form.is_empty() { query.to_owned() } else { format!("{query}&{form}") };
            let query = url.query().map_or_else(|| form.clone(), joined);
            url.set_query((!query.is_empty()).then_some(&query));
            (Method::GET, &[][..], None)
        } else {
            (Method::POST, fields, Some(form))
        };
        let signature = self.sign(&self.places.to_public(&without_password(&url)), signed);
        let host = url.authority().to_owned();
        let client = if overrides.connect == Overrides::default().connect {
            self.client.clone()
        } else {
            client(overrides.connect)
        };
        let mut request = client.request(method, url).header("I-Twilio-Idempotency-Token", token);
        if let Some(cookies) = self.cookies.lock().unwrap_or_else(PoisonError::into_inner).header(&host) {
            request = request.header(header::COOKIE, cookies);
        }
        if let Some(signature) = signature {
            request = request.header("X-Twilio-Signature", signature);
        }
        if let Some(body) = body {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
                .body(body);
        }
        let response = request.send().await?;
        let mut jar = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            jar.set(&host, cookie.to_str().unwrap_or_default());
        }
        Ok(response)
    }
}

/// Redirects and time limits are ours, because each hop is signed and each attempt counted.
fn client(connect: Duration) -> Client {
    Client::builder()
        .user_agent("TwilioProxy/1.1")
        .connect_timeout(connect)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client without TLS or proxies has nothing to set up that could fail")
}

fn is_success(url: &Url, received: &Received) -> Result<(), Failure> {
    match received.status {
        200..=299 => Ok(()),
        status => Err(Failure { code: 11_200, text: format!("{url} answered with status {status}") }),
    }
}

fn audio(url: &Url, received: &Received) -> Result<Vec<i16>, Failure> {
    sound::decode(&received.kind, &received.bytes).map_err(|error| match error {
        AudioError::Kind(kind) => Failure {
            code: 12_300,
            text: format!("{url} answered with content type {kind:?}, neither XML nor audio"),
        },
        AudioError::Wav(error) => Failure { code: 11_200, text: format!("{url} cannot be played: {error}") },
    })
}

fn without_password(url: &Url) -> String {
    let mut plain = url.clone();
    // Fails for URLs without a host only, which have no password either.
    if plain.set_password(None).and_then(|()| plain.set_username("")).is_err() {
        tracing::debug!(%url, "url has no host to sign");
    }
    plain.into()
}

fn trouble(error: &reqwest::Error) -> Option<Trouble> {
    error.is_connect().then_some(Trouble::Connect)
}

fn failure(url: &Url, error: &reqwest::Error) -> Failure {
    let root = std::iter::successors(std::error::Error::source(error), |error| error.source()).last();
    let why = root.map_or_else(|| error.to_string(), ToString::to_string);
    if error.is_connect() {
        Failure { code: 11_205, text: format!("{url} cannot be connected to: {why}") }
    } else {
        Failure { code: 11_200, text: format!("{url} gave no answer: {why}") }
    }
}

/// `application/x-www-form-urlencoded`: a space is a plus, and what is not plain ASCII text is
/// percent-encoded.
fn encode(fields: &[(String, String)]) -> String {
    let encoded = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                    char::from(byte).to_string()
                }
                b' ' => "+".to_owned(),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    fields
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect::<Vec<_>>()
        .join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded_byte_by_byte() {
        let fields = vec![("To".to_owned(), "+1 (4)".to_owned()), ("City".to_owned(), "SÃO".to_owned())];
        assert_eq!(encode(&fields), "To=%2B1+%284%29&City=S%C3%83O");
    }

    #[test]
    fn a_public_name_is_signed_and_the_place_itself_connected_to() {
        let voice = Url::parse("http://127.0.0.1:8765/twilio/voice").unwrap();
        let plain = Places::new(&voice, None);
        assert_eq!(plain.to_public("http://127.0.0.1:8765/x?y"), "http://127.0.0.1:8765/x?y");
        assert_eq!(plain.to_local("wss://switch.example.net/m"), "wss://switch.example.net/m");
        let public = Places::new(&voice, Some("https://switch.example.net/"));
        assert_eq!(public.to_public("http://127.0.0.1:8765/x?y"), "https://switch.example.net/x?y");
        assert_eq!(public.to_local("https://switch.example.net/x"), "http://127.0.0.1:8765/x");
        assert_eq!(public.to_local("wss://switch.example.net/m"), "ws://127.0.0.1:8765/m");
        assert_eq!(public.to_local("wss://switch.example.network/m"), "wss://switch.example.network/m");
    }
}
