//! One request to a model over HTTP: how it is sent, what a refusal is called, how the answer comes in.
//!
//! It refuses to know what is asked and answered, and how long anyone is willing to wait. It sends nothing twice and
//! follows no redirect: requests are paid for, and hold what callers have said.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tandem_actors::ports::{ModelError, ModelId};
use tandem_wire::openai::answer::AnswerError;
use tokio::runtime::{Handle, Id};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower_service::Service;

/// Domains of providers, and what they are called.
const PROVIDERS: [(&str, &str); 4] = [
    ("openai.com", "openai"),
    ("openai.azure.com", "azure"),
    ("elevenlabs.io", "elevenlabs"),
    ("anthropic.com", "anthropic"),
];

/// For the name, the connection and its encryption together. A caller is waiting: another rung answers sooner than a
/// provider that needs longer for this.
const CONNECT_TAKES_MAX: Duration = Duration::from_secs(2);

/// An unused connection is kept from one turn of a call to the next, and closed before the other side does it: load
/// balancers wait 60 s.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Unused connections to one host on one thread. 250 calls, each of which has a request under way for 1.5 s of a turn
/// of 8 s, use 47 at once.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// What is left of an answer after its last word, so that its connection can be used again: mostly an empty chunk.
const REST_TAKES_MAX: Duration = Duration::from_secs(1);

/// Of what a provider says about a refusal, read and kept.
const REFUSAL_BYTES_MAX: usize = 4 * 1024;
const DETAIL_CHARS_MAX: usize = 200;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("tandem/", env!("CARGO_PKG_VERSION")));
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why a model cannot be asked at all. No message shows what was set: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("a model's address must start with http:// or https:// and hold no password")]
    Url,
    #[error("a model's key holds characters that no HTTP header can carry")]
    Key,
    #[error("a voice of ElevenLabs is named by an id of letters and digits")]
    Voice,
}

/// The connections to all models, for all lines of the process.
///
/// A connection is driven by a task of the runtime that opened it, and stands still when that runtime does: were it
/// shared, a call would fall silent because a call of another thread is busy. So each runtime has a pool of its own.
/// A pool is never given back; runtimes are the workers of the process and live as long.
pub struct Connections {
    tls: Arc<ClientConfig>,
    pools: Mutex<HashMap<Id, Pool>>,
}

type Pool = Client<Connector, Full<Bytes>>;

/// Connects, or gives up in time.
#[derive(Clone)]
struct Connector(HttpsConnector<HttpConnector>);

/// Where a model is asked.
pub(super) struct Endpoint {
    connections: Arc<Connections>,
    uri: Uri,
    headers: HeaderMap,
    /// To be struck out of whatever a provider says.
    key_opt: Option<SecretString>,
}

/// How a key travels.
#[derive(Clone, Copy)]
pub(super) enum KeyHeader {
    Bearer,
    Own(&'static str),
}

/// An answer that has begun. Dropping it closes its connection, so that the provider stops; hence
/// [`Answer::let_rest_pass`].
pub(super) struct Answer {
    body: Incoming,
    content_type: String,
}

// --- connections -----------------------------------------------------------------------------------------

impl Connections {
    pub fn new(tls: Arc<ClientConfig>) -> Arc<Self> {
        Arc::new(Self { tls, pools: Mutex::default() })
    }

    /// The pool of the runtime that this runs on.
    fn here(&self) -> Pool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner); // a map of handles is always whole
        pools.entry(Handle::current().id()).or_insert_with(|| self.pool()).clone()
    }

    fn pool(&self) -> Pool {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config((*self.tls).clone()) // the cache of sessions stays shared
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // What hyper tries again by itself, it had not begun to send: the connection was closed while it lay unused.
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(Connector(https))
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 2 s");
            timeout(CONNECT_TAKES_MAX, connecting).await.map_err(late)?
        })
    }
}

// --- a request -------------------------------------------------------------------------------------------

impl Endpoint {
    /// `base` may end in a slash and may hold a query, which is kept; `path` starts with a slash and may hold one too.
    pub(super) fn new(
        connections: Arc<Connections>,
        base: &str,
        path: &str,
        key_opt: Option<&SecretString>,
        header: KeyHeader,
    ) -> Result<Self, LineError> {
        let key_opt = key_opt.filter(|key| !key.expose_secret().is_empty()).cloned();
        let mut headers = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
        if let Some(key) = &key_opt {
            let (name, value) = match header {
                KeyHeader::Bearer => (AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
                KeyHeader::Own(name) => (HeaderName::from_static(name), key.expose_secret().to_owned()),
            };
            let mut value = HeaderValue::try_from(value).map_err(|_| LineError::Key)?;
            value.set_sensitive(true); // its Debug does not show it
            headers.insert(name, value);
        }
        Ok(Self { connections, uri: joined(base, path).ok_or(LineError::Url)?, headers, key_opt })
    }

    /// A model at this provider.
    pub(super) fn model(&self, name: &str) -> ModelId {
        ModelId { provider: provider(self.uri.host().unwrap_or_default()), name: name.to_owned() }
    }

    /// Asks, and waits until an answer begins or is refused. Dropping the future abandons the request.
    pub(super) async fn post(
        &self,
        content_type: HeaderValue,
        body: impl Into<Bytes>,
    ) -> Result<Answer, ModelError> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        let response = self.connections.here().request(request).await.map_err(|error| {
            let host = self.uri.authority().map_or("", |authority| authority.as_str());
            ModelError::Unreachable(format!("{host}: {}", cause(&error)))
        })?;
        match response.status().as_u16() {
            200..300 => Ok(Answer::new(response)),
            status @ (401 | 403) => Err(ModelError::Unauthorized(status)),
            429 => Err(ModelError::RateLimited),
            status => {
                let detail = self.shown(&complaint(&Answer::new(response).beginning().await));
                Err(ModelError::Status { status, detail })
            }
        }
    }

    /// What is wrong with an answer that came.
    pub(super) fn fault(&self, error: AnswerError) -> ModelError {
        match error {
            AnswerError::NotJson | AnswerError::NoText => ModelError::Broken(error.to_string()),
            AnswerError::Reported(error) => {
                let code = error.code.unwrap_or(error.kind);
                let code = if code.is_empty() { "error".to_owned() } else { self.shown(&code) };
                ModelError::Reported { code, message: self.shown(&error.message) }
            }
        }
    }

    /// An answer of another kind than was asked for, with what it says.
    pub(super) async fn wrong_kind(&self, answer: Answer) -> ModelError {
        let kind = self.shown(&answer.content_type);
        ModelError::Broken(format!("{kind}: {}", self.shown(&complaint(&answer.beginning().await))))
    }

    /// A stranger's words as they may be logged: in one line, short, and without our key.
    fn shown(&self, words: &str) -> String {
        let words = words.split(|char: char| char.is_whitespace() || char.is_control());
        let mut shown = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        if let Some(key) = &self.key_opt {
            shown = shown.replace(key.expose_secret(), "[key]");
        }
        shown.chars().take(DETAIL_CHARS_MAX).collect()
    }
}

/// What a provider at this host is called in accounts. A server of one's own goes by its host.
pub fn provider(host: &str) -> String {
    let named = PROVIDERS.iter().find(|(domain, _)| {
        host.strip_suffix(domain).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
    });
    named.map_or(host, |(_, name)| name).to_owned()
}

fn joined(base: &str, path: &str) -> Option<Uri> {
    let base: Uri = base.parse().ok()?;
    let scheme = base.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
    let authority = base.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let queries = [base.query().unwrap_or_default(), query];
    let query = queries.into_iter().filter(|query| !query.is_empty()).collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{authority}{}{path}{mark}{query}", base.path().trim_end_matches('/')).parse().ok()
}

/// What a provider says of a refusal: OpenAI in `error.message`, ElevenLabs in `detail.message`, servers in Python in
/// `detail`; otherwise all of it.
fn complaint(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let places = ["/error/message", "/detail/message", "/message", "/error", "/detail"];
    let told = places.iter().find_map(|place| json.pointer(place)?.as_str());
    told.unwrap_or(body).to_owned()
}

/// The innermost error: those around it only say where it happened.
fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

// --- an answer -------------------------------------------------------------------------------------------

impl Answer {
    fn new(response: Response<Incoming>) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        Self { content_type, body: response.into_body() }
    }

    /// Whether it says that it is JSON as a whole.
    pub(super) fn is_json(&self) -> bool {
        self.content_type.starts_with("application/json")
    }

    /// Whether it says that it is to be read, not to be heard.
    pub(super) fn is_text(&self) -> bool {
        self.is_json() || self.content_type.starts_with("text/")
    }

    /// The next bytes, cut anywhere; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ModelError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| ModelError::Broken(cause(&error)))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// All of it, if that is at most `bytes_max`.
    pub(super) async fn whole(mut self, bytes_max: usize) -> Result<String, ModelError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > bytes_max {
                return Err(ModelError::Broken(format!("an answer of more than {bytes_max} bytes")));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(String::from_utf8_lossy(&whole).into_owned())
    }

    /// Of a refusal, as much as is read of it. Where it breaks off does not matter.
    async fn beginning(mut self) -> String {
        let mut beginning = Vec::new();
        while beginning.len() < REFUSAL_BYTES_MAX
            && let Ok(Some(bytes)) = self.next().await
        {
            beginning.extend_from_slice(&bytes);
        }
        beginning.truncate(REFUSAL_BYTES_MAX);
        String::from_utf8_lossy(&beginning).into_owned()
    }

    /// Nothing that comes now is of interest. If it ends soon, its connection serves the next request. Gives the task
    /// that sees to it.
    pub(super) fn let_rest_pass(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            let end = async { while let Ok(Some(_)) = self.next().await {} };
            if timeout(REST_TAKES_MAX, end).await.is_err() {
                tracing::debug!("an answer goes on after its end: its connection is closed");
            }
        })
    }
}

#[cfg(test)]
mod tests;
