//! The carrier's HTTP side: requests with all their fields, signed, and what the answers are worth.
//!
//! Knows no verbs and keeps no state of the call beyond its name.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, Url, header, redirect};

use super::signature;

/// Hard ceiling of a call-related request, and of its TCP connect.
const ANSWER_TAKES_MAX: Duration = Duration::from_secs(15);
const CONNECT_TAKES_MAX: Duration = Duration::from_secs(5);

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

/// Why there is no document, in the carrier's own error codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: u32,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Result<String, Failure>,
}

/// Everything needed to make a request of this call's.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    client: Client,
    pub(crate) places: Arc<Places>,
    /// Signs, if there is one.
    auth_token: Option<String>,
}

impl Webhooks {
    pub(crate) fn new(places: Places, auth_token: Option<String>) -> Self {
        let client = Client::builder()
            .user_agent("TwilioProxy/1.1")
            .timeout(ANSWER_TAKES_MAX)
            .connect_timeout(CONNECT_TAKES_MAX)
            .redirect(redirect::Policy::limited(REDIRECTS_MAX))
            .no_proxy()
            .build()
            .expect("a client without TLS or proxies has nothing to set up that could fail");
        Self { client, places: Arc::new(places), auth_token }
    }

    pub(crate) fn sign(&self, url: &str, fields: &[(String, String)]) -> Option<String> {
        self.auth_token.as_deref().map(|token| signature::sign(token, url, fields))
    }

    /// Asks, and gives the answer if it is one of TwiML.
    pub(crate) async fn ask(
        &self,
        url: &Url,
        get: bool,
        fields: &Fields,
        token: &str,
    ) -> Result<Answer, Failure> {
        let response = self.send(url, get, fields, token).await.map_err(|error| failure(url, &error))?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let text = format!("{url} answered with status {status}");
            return Ok(Answer { status, body: Err(Failure { code: 11_200, text }) });
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        let body = match kind.as_str() {
            "text/xml" | "application/xml" | "text/html" | "text/plain" => {
                response.text().await.map_err(|error| failure(url, &error))
            }
            _ => Err(Failure {
                code: 12_300,
                text: format!("{url} answered with content type {kind:?}, not XML"),
            }),
        };
        Ok(Answer { status, body })
    }

    /// Tells, and gives the status of the answer, which nobody reads.
    pub(crate) async fn tell(
        &self,
        url: &Url,
        get: bool,
        fields: &Fields,
        token: &str,
    ) -> Result<u16, Failure> {
        let response = self.send(url, get, fields, token).await.map_err(|error| failure(url, &error))?;
        Ok(response.status().as_u16())
    }

    async fn send(
        &self,
        url: &Url,
        get: bool,
        fields: &Fields,
        token: &str,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let form = encode(fields);
        let mut url = Url::parse(&self.places.to_local(url.as_str())).unwrap_or_else(|_| url.clone());
        url.set_fragment(None); // connection overrides are the carrier's own business
        let (method, signed, body) = if get {
            let query = url.query().map_or_else(|| form.clone(), |query| format!("{query}&{form}"));
            url.set_query(Some(&query));
            (Method::GET, &[][..], None)
        } else {
            (Method::POST, fields.as_slice(), Some(form))
        };
        let signature = self.sign(&self.places.to_public(url.as_str()), signed);
        let mut request = self.client.request(method, url).header("I-Twilio-Idempotency-Token", token);
        if let Some(signature) = signature {
            request = request.header("X-Twilio-Signature", signature);
        }
        if let Some(body) = body {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
                .body(body);
        }
        request.send().await
    }
}

fn failure(url: &Url, error: &reqwest::Error) -> Failure {
    let root = std::iter::successors(std::error::Error::source(error), |error| error.source()).last();
    let why = root.map_or_else(|| error.to_string(), ToString::to_string);
    if error.is_redirect() {
        Failure { code: 11_215, text: format!("{url} redirects more than {REDIRECTS_MAX} times") }
    } else if error.is_connect() {
        Failure { code: 11_205, text: format!("{url} cannot be connected to: {why}") }
    } else {
        Failure { code: 11_200, text: format!("{url} gave no answer: {why}") }
    }
}

/// `application/x-www-form-urlencoded`: a space is a plus, and what is not plain ASCII text is
/// percent-encoded.
fn encode(fields: &Fields) -> String {
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
