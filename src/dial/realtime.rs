//! Dials sessions at a provider that speaks OpenAI Realtime over WebSocket.
//!
//! It refuses to know what is said in a session, and how long anyone is willing to wait for one.

use std::fmt::Write;
use std::io;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tandem_actors::ports::{DialError, EngineDialer, Socket};
use tandem_wire::openai::Dialect;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};
use tokio_tungstenite::{Connector, client_async_tls_with_config};

use crate::socket::{self, SocketGauge};

/// Opens the beta dialect at servers that still speak it. OpenAI shut it off on 2026-05-12: there it must not be sent.
const BETA: (HeaderName, HeaderValue) =
    (HeaderName::from_static("openai-beta"), HeaderValue::from_static("realtime=v1"));

const AGENT: HeaderValue = HeaderValue::from_static(concat!("tandem/", env!("CARGO_PKG_VERSION")));

/// Why a provider cannot be dialled at all. No message shows what was set: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    #[error("`openai.realtime_url` is no address that starts with ws:// or wss://")]
    Url,
    /// The model is chosen per agent: two in one address would contradict each other.
    #[error("`openai.realtime_url` names a model; name it in `openai.realtime_model` instead")]
    ModelInUrl,
    #[error("`openai.api_key` holds characters that no HTTP header can carry")]
    Key,
}

/// Dials one provider for all calls of all threads.
pub struct RealtimeDialer {
    provider: Arc<Provider>,
}

struct Provider {
    host: String,
    port: u16,
    /// Address without the model: scheme, authority and path.
    base: String,
    /// What the address already asked for, ending in `&`, or empty.
    query: String,
    /// Marked as sensitive, so that its `Debug` does not show it. Absent for servers without keys.
    authorization_opt: Option<HeaderValue>,
    dialect: Dialect,
    tls: Arc<ClientConfig>,
    gauge: SocketGauge,
}

impl RealtimeDialer {
    /// `url` may hold a query, which is kept. `gauge` counts the sockets that this dialer opens.
    pub fn new(
        url: &str,
        key_opt: Option<&SecretString>,
        dialect: Dialect,
        tls: Arc<ClientConfig>,
        gauge: SocketGauge,
    ) -> Result<Self, ProviderError> {
        let uri: Uri = url.parse().map_err(|_| ProviderError::Url)?;
        let scheme = uri.scheme_str().ok_or(ProviderError::Url)?;
        let default_port = match scheme {
            "ws" => 80,
            "wss" => 443,
            _ => return Err(ProviderError::Url),
        };
        let authority = uri.authority().ok_or(ProviderError::Url)?;
        let query = uri.query().unwrap_or_default();
        if query.split('&').any(|pair| pair == "model" || pair.starts_with("model=")) {
            return Err(ProviderError::ModelInUrl);
        }
        let provider = Provider {
            // IPv6 addresses stand in brackets in an URL and nowhere else.
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            base: format!("{scheme}://{authority}{}", uri.path()),
            query: if query.is_empty() { String::new() } else { format!("{query}&") },
            authorization_opt: key_opt.map(bearer).transpose()?,
            dialect,
            tls,
            gauge,
        };
        Ok(Self { provider: Arc::new(provider) })
    }
}

impl EngineDialer for RealtimeDialer {
    fn dial_realtime(&self, model: &str) -> LocalBoxFuture<'static, Result<Socket, DialError>> {
        let provider = Arc::clone(&self.provider);
        let request = provider.request(model);
        Box::pin(async move { provider.dial(request?).await })
    }
}

impl Provider {
    fn request(&self, model: &str) -> Result<Request, DialError> {
        let url = format!("{}?{}model={}", self.base, self.query, percent_encoded(model));
        let mut request = url.into_client_request().map_err(dial_error)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT);
        if let Some(authorization) = &self.authorization_opt {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if self.dialect == Dialect::Beta {
            headers.insert(BETA.0, BETA.1);
        }
        Ok(request)
    }

    async fn dial(&self, request: Request) -> Result<Socket, DialError> {
        let unreachable =
            |error: io::Error| DialError::Unreachable(format!("{}:{}: {error}", self.host, self.port));
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let config = socket::config(socket::Peer::Provider);
        let connector = Connector::Rustls(Arc::clone(&self.tls)); // used for wss:// only
        let (stream, _response) = client_async_tls_with_config(request, tcp, Some(config), Some(connector))
            .await
            .map_err(dial_error)?;
        Ok(socket::wrap(stream, &self.gauge))
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, ProviderError> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).map_err(|_| ProviderError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Encodes all but the unreserved characters of RFC 3986, section 2.3.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a String takes all that is written"),
        }
    }
    encoded
}

fn dial_error(error: WsError) -> DialError {
    match error {
        WsError::Http(response) => match response.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                DialError::Unauthorized(status.as_u16())
            }
            StatusCode::TOO_MANY_REQUESTS => DialError::RateLimited,
            status => DialError::Status(status.as_u16()),
        },
        WsError::Tls(error) => DialError::Tls(error.to_string()),
        WsError::Io(error) if is_of_tls(&error) => DialError::Tls(error.to_string()),
        error => DialError::Unreachable(error.to_string()),
    }
}

/// tokio-rustls hands errors of TLS on as errors of I/O.
fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
}

#[cfg(test)]
mod tests;
