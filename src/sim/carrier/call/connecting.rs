//! A `<Connect><Stream>`: whether it may be opened, what its ends mean for the call, and its accidents.
//!
//! Knows nothing of what is said on it.

use reqwest::Url;

use super::{
    super::{
        CallError, CarrierEvent, CarrierFault, SocketEnd, Sound,
        stream::{self, Connected, Ended, StreamError, Surroundings},
        twiml::ConnectStream,
        uplink::Ids,
        webhook::Fields,
    },
    Call, Instant, Next, sid, sleep, then,
};

impl Call<'_> {
    pub(super) async fn connect(&mut self, base: &Url, connect: ConnectStream) -> Result<Next, CallError> {
        self.verb("Connect Stream", connect.url.clone());
        let accident = self.plan.faults.iter().filter(|fault| fault.is_accident()).nth(self.streams_wanted);
        let accident = accident.copied();
        self.streams_wanted += 1;
        let sid = sid("MZ", &mut self.ids);
        let after = |connect: &ConnectStream| then(base, connect.action.as_ref(), Fields::new());
        let local = self.webhooks.places.to_local(&connect.url);
        let opened = if let Some(refused) = may_connect(&connect, &local)? {
            Err(refused)
        } else {
            self.log.event(CarrierEvent::StreamConnecting { url: connect.url.clone() });
            let signature = self.webhooks.sign(&connect.url, &[]);
            let opening = open(&local, signature, accident, &self.plan.faults);
            match self.while_it_lasts(opening).await {
                Ok(opened) => opened,
                Err(end) => return Ok(Next::End(end)),
            }
        };
        let connected = match opened {
            Ok(connected) => connected,
            Err(StreamError { code, text }) => {
                self.log.warn(code, text.clone());
                self.tell_stream(base, &connect, &sid, "stream-error", &text);
                self.log.event(CarrierEvent::StreamFailed { code, text });
                return Ok(after(&connect));
            }
        };
        self.tell_stream(base, &connect, &sid, "stream-started", "");
        self.stream_sids.push(sid.clone());
        let end = match self.stream(connected, &connect, &sid, accident).await {
            Ended::Socket(end) => end,
            Ended::Vanished(socket) => {
                self.vanished.push(*socket);
                SocketEnd::ByUs("vanished")
            }
            Ended::Call(end) => {
                self.tell_stream(base, &connect, &sid, "stream-stopped", "");
                return Ok(Next::End(end));
            }
        };
        let (code, event) = match &end {
            SocketEnd::Closed { .. } => (31_921, "stream-stopped"),
            SocketEnd::Eof | SocketEnd::ByUs(_) => (31_903, "stream-error"),
            SocketEnd::Broken(_) => (31_924, "stream-error"),
        };
        let text = format!("stream {sid}: the socket {end}");
        self.tell_stream(base, &connect, &sid, event, &text);
        self.log.warn(code, text);
        Ok(after(&connect))
    }

    async fn stream(
        &mut self,
        connected: Connected,
        connect: &ConnectStream,
        sid: &str,
        accident: Option<CarrierFault>,
    ) -> Ended {
        let ids =
            Ids { account: self.plan.account_sid.clone(), call: self.sid.clone(), stream: sid.to_owned() };
        self.line.open(Instant::now());
        let at = self.line.time();
        self.stream_started.get_or_insert(at);
        let around = Surroundings { ids, parameters: &connect.parameters, plan: self.plan, accident };
        let ended = stream::run(connected, around, &mut self.line, &mut self.log).await;
        self.log.heard(at, self.line.time(), Sound::Stream { stream_sid: sid.to_owned() });
        ended
    }
}

async fn open(
    local: &str,
    signature: Option<String>,
    accident: Option<CarrierFault>,
    faults: &[CarrierFault],
) -> Result<Connected, StreamError> {
    for fault in faults {
        if let CarrierFault::LateStream(late) = fault {
            sleep(*late).await;
        }
    }
    if accident == Some(CarrierFault::NoStream) {
        let text = format!("{local} did not upgrade: the socket was never connected");
        return Err(StreamError { code: 31_920, text });
    }
    stream::connect(local, signature.as_deref()).await
}

/// Why the carrier's own rules forbid a stream. TLS is a limit of this carrier's and no fault of the switch's.
fn may_connect(connect: &ConnectStream, local: &str) -> Result<Option<StreamError>, CallError> {
    let refused = |code, text: &str| Ok(Some(StreamError { code, text: format!("{local:?} {text}") }));
    if let Some(track) = connect.track.as_deref().filter(|track| *track != "inbound_track") {
        return refused(31_941, &format!("cannot have the track {track} in both directions"));
    }
    let Ok(url) = Url::parse(local) else { return refused(31_923, "is not an absolute URL") };
    match url.scheme() {
        "wss" => Err(CallError::Secure(local.to_owned())),
        "ws" if is_loopback(&url) => Ok(None),
        "ws" => refused(31_922, "is not wss; ws is for loopback only"),
        _ => refused(31_922, "is not wss"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
