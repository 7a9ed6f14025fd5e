//! A tiny switch for the carrier to call: it answers webhooks from a list and hands its media sockets to the
//! test.
//!
//! Knows as little as possible of what it answers.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

/// How long anything that has to happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Hook {
    /// A field of the form, as sent: not decoded.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.body
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }
}

/// What a path is answered with. `{sockets}` in a text becomes the switch's own `ws` base.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
    header: &'static str,
    is_silent: bool,
}

impl Answer {
    pub(crate) fn of(status: u16, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, kind, body: body.into(), header: "", is_silent: false }
    }

    pub(crate) fn twiml(document: &str) -> Self {
        Self::of(200, "text/xml", document)
    }

    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::of(status, "text/plain", location)
    }

    /// With a header line of its own.
    pub(crate) fn with(self, header: &'static str) -> Self {
        Self { header, ..self }
    }

    /// The request is read and nothing comes back.
    pub(crate) fn silence() -> Self {
        Self { is_silent: true, ..Self::of(200, "", "") }
    }

    fn bytes(&self, addr: SocketAddr) -> Vec<u8> {
        let body = match std::str::from_utf8(&self.body) {
            Ok(text) => text.replace("{sockets}", &format!("ws://{addr}")).into_bytes(),
            Err(_) => self.body.clone(),
        };
        let location = match self.status {
            300..400 => format!("location: {}\r\n", String::from_utf8_lossy(&body)),
            _ => String::new(),
        };
        let own = if self.header.is_empty() { String::new() } else { format!("{}\r\n", self.header) };
        let head = format!(
            "HTTP/1.1 {} x\r\ncontent-type: {}\r\n{location}{own}content-length: {}\r\n\r\n",
            self.status,
            self.kind,
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

/// Answers by path; the last of several is given again and again.
type Answers = HashMap<&'static str, VecDeque<Answer>>;

pub(crate) struct Switch {
    pub(crate) addr: SocketAddr,
    hooks: Arc<Mutex<Vec<Hook>>>,
    sockets: mpsc::UnboundedReceiver<Media>,
}

impl Switch {
    /// Serves TwiML documents by path; `/media` is where media sockets are accepted.
    pub(crate) async fn with_documents(documents: &[(&'static str, &str)]) -> Self {
        Self::start(documents.iter().map(|(path, twiml)| (*path, Answer::twiml(twiml)))).await
    }

    /// Answers `/voice` with a stream, and with what follows it.
    pub(crate) async fn with_stream(after: &str) -> Self {
        let document =
            format!("<Response><Connect><Stream url='{{sockets}}/media'/></Connect>{after}</Response>");
        Self::with_documents(&[("/voice", &document)]).await
    }

    /// Serves anything. A path that comes more than once has its answers in turn.
    pub(crate) async fn start(answers: impl IntoIterator<Item = (&'static str, Answer)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let hooks = Arc::new(Mutex::new(Vec::new()));
        let (accepted, sockets) = mpsc::unbounded_channel();
        let mut by_path = Answers::new();
        for (path, answer) in answers {
            by_path.entry(path).or_default().push_back(answer);
        }
        let (seen, answers) = (Arc::clone(&hooks), Arc::new(Mutex::new(by_path)));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, addr, Arc::clone(&answers), Arc::clone(&seen), accepted.clone()));
            }
        });
        Self { addr, hooks, sockets }
    }

    pub(crate) fn voice_url(&self) -> String {
        self.url("/voice")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn hooks(&self) -> Vec<Hook> {
        self.hooks.lock().unwrap().clone()
    }

    /// Requests to a path, whatever their query.
    pub(crate) fn hooks_of(&self, path: &str) -> Vec<Hook> {
        self.hooks().into_iter().filter(|hook| hook.path.split('?').next() == Some(path)).collect()
    }

    /// The next media socket the carrier opens.
    pub(crate) async fn media(&mut self) -> Media {
        timeout(PATIENCE, self.sockets.recv()).await.expect("a media socket").expect("the switch to live")
    }
}

async fn serve(
    mut tcp: TcpStream,
    addr: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    hooks: Arc<Mutex<Vec<Hook>>>,
    accepted: mpsc::UnboundedSender<Media>,
) {
    let mut first = [0; 16];
    let Ok(count) = tcp.peek(&mut first).await else { return };
    if first[..count].starts_with(b"GET /media") {
        let mut headers = HashMap::new();
        #[expect(clippy::result_large_err, reason = "the handshake's own callback type")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            for (name, value) in request.headers() {
                headers.insert(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
            }
            Ok(response)
        };
        if let Ok(socket) = accept_hdr_async(tcp, look).await {
            drop(accepted.send(Media { socket, headers, stream_sid: String::new() }));
        }
        return;
    }
    while let Some(hook) = read_request(&mut tcp).await {
        let path = hook.path.split('?').next().unwrap_or_default().to_owned();
        let answer = {
            let mut answers = answers.lock().unwrap();
            let own = answers.get_mut(path.as_str());
            own.and_then(|own| if own.len() > 1 { own.pop_front() } else { own.front().cloned() })
        };
        hooks.lock().unwrap().push(hook);
        let answer = answer.unwrap_or_else(|| Answer::of(404, "text/plain", "nothing here"));
        if !answer.is_silent && tcp.write_all(&answer.bytes(addr)).await.is_err() {
            return;
        }
    }
}

async fn read_request(tcp: &mut TcpStream) -> Option<Hook> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut request = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    tcp.read_exact(&mut body).await.ok()?;
    let (method, path) = (request.next().unwrap(), request.next().unwrap());
    Some(Hook { method, path, headers, body: String::from_utf8(body).unwrap() })
}

/// The switch's end of a media socket.
pub(crate) struct Media {
    socket: WebSocketStream<TcpStream>,
    /// Of the upgrade request.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) stream_sid: String,
}

impl Media {
    /// The next message, whatever it is; `None` at the end, however it came. A goodbye is answered.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await.expect("something to happen");
            match next?.ok()? {
                Message::Close(_) => {}
                message => return Some(message),
            }
        }
    }

    /// The next JSON message; `None` at the end.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        match self.next().await? {
            Message::Text(text) => Some(serde_json::from_str(&text).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// The next event of a kind, past all others.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await.unwrap_or_else(|| panic!("the socket ended before {kind}"));
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// Reads up to `start` and takes the stream's id from it.
    pub(crate) async fn start(&mut self) -> Value {
        let start = self.until("start").await;
        start["streamSid"].as_str().unwrap().clone_into(&mut self.stream_sid);
        start
    }

    /// Everything that still comes.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(event) = self.event().await {
            rest.push(event);
        }
        rest
    }

    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        self.socket.send(message.into()).await.unwrap();
    }

    async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends mu-law audio in messages of 100 ms, all at once.
    pub(crate) async fn play(&mut self, audio: &[u8]) {
        for chunk in audio.chunks(800) {
            let media = json!({"payload": BASE64_STANDARD.encode(chunk)});
            self.say(json!({"event": "media", "streamSid": self.stream_sid, "media": media})).await;
        }
    }

    pub(crate) async fn mark(&mut self, name: &str) {
        self.say(json!({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}})).await;
    }

    pub(crate) async fn clear(&mut self) {
        self.say(json!({"event": "clear", "streamSid": self.stream_sid})).await;
    }

    pub(crate) async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        self.rest().await;
    }
}

/// The mu-law bytes of a `media` message.
pub(crate) fn payload(media: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(media["media"]["payload"].as_str().unwrap()).unwrap()
}
