//! The phone's leg as an actor: carrier socket <-> frames.
//!
//! - Owner: the call. Dies with it, and tells it why before it stops.
//! - In: carrier messages (`add_stream`), agent audio (lane), [`LegCommand`].
//! - Out: caller frames (lane), carrier messages (written from the handler), [`FromLeg`].
//! - When full: a full caller lane refuses frames, counted; a carrier that does not read has audio shed, counted.
//! - When it dies: the call cannot redial a carrier. It ends as lost, and the document after the stream goes on.
//!
//! It refuses to know which engine, if any, is at the other end of its lanes.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, StreamHandler};
use bytestring::ByteString;
use tandem_media::frame::G711Frame;
use tandem_media::playout::{Echo, Part, Playout};
use tandem_wire::audio;
use tandem_wire::twilio::inbound::{Inbound, Media, Track};
use tandem_wire::twilio::outbound;
use tokio::time::Instant;

use super::intake::Intake;
use super::loudness::Loudness;
use crate::kit::alarm::{Alarm, AlarmRang, alarm};
use crate::kit::lane::{LaneReader, LaneReady, LaneWriter};
use crate::kit::writer::{Urgency, WriteError, Writer};
use crate::messages::{AgentAudio, FromLeg, Generation, LegAccount, LegCommand, LegEnd, LegFact, Tag};
use crate::ports::{Outgoing, Socket, SocketItem};

/// Audio is sent while no more than this waits in the carrier's queue. With the next message of 100 ms the lead is
/// 400 ms at most: the upper end of what works (DESIGN section 7). With less, a late timer is heard as a gap; with
/// more, hang-up and interruption rest on the carrier's obedience.
const LEAD_REFILL: Duration = Duration::from_millis(300);

/// Frames joined into one message: 5 x 20 ms = 100 ms. A message costs 14 us in the kernel, whatever its size.
const FRAMES_PER_MESSAGE: usize = 5;

/// A mark follows every so much audio, the first audio after a silence of that length, and the end of a part. More
/// marks are more messages both ways; fewer let the reckoning drift when a carrier stalls.
const MARK_EVERY: Duration = Duration::from_millis(200);

/// Nothing came for so long: ask with a ping whether anyone is there.
const QUIET_BEFORE_PING: Duration = Duration::from_secs(5);

/// Nothing came for so long, ping or not: nobody is there.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// How long after a clean close we wait for the peer's. Then the socket is dropped.
const LINGER: Duration = Duration::from_secs(2);

/// A carrier that echoes no marks is believed to have played a part this long after time says so.
const UNMARKED_GRACE: Duration = Duration::from_secs(1);

/// Audio accepted in one message: 10 s. The real one sends 20 ms; nobody sends more by accident.
const MESSAGE_SAMPLES_MAX: usize = 80_000;

/// Lanes and edges that a leg is born with.
pub struct LegWiring {
    pub caller: LaneWriter<G711Frame>,
    pub agent: LaneReader<AgentAudio<u8, 160>>,
    pub call: Recipient<FromLeg>,
    pub incarnation: u32,
}

pub struct TwilioStream {
    /// All durations given to playout and intake count from here.
    origin: Instant,
    stream_sid: String,
    writer: Writer,
    wiring: LegWiring,
    pump: Alarm,
    playout: Playout,
    intake: Intake,
    loudness: Loudness,
    /// Audio of earlier generations is thrown away.
    generation: Generation,
    last_part: Option<Part>,
    /// Parts whose end is on its way to the caller's ear, each with the mark that stands behind it.
    ends: VecDeque<PartEnd>,
    account: LegAccount,
    last_inbound: Duration,
    /// When audio was last sent.
    last_outbound: Duration,
    pinged: bool,
    /// What the call was told. From then on the books are closed and the socket is only drained.
    ended: bool,
    /// Payload bytes of one outgoing message, reused.
    scratch: Vec<u8>,
    /// Name of one mark, reused.
    mark_name: String,
}

#[derive(Clone, Copy)]
struct PartEnd {
    part: Part,
    mark: u32,
}

impl TwilioStream {
    /// Builds the leg in its own context, with the socket's read half and its lane attached.
    /// Audio of generations before `generation` is not played.
    pub fn attach(
        ctx: &mut Context<Self>,
        stream_sid: String,
        generation: Generation,
        socket: Socket,
        wiring: LegWiring,
    ) -> Self {
        let (pump, bell) = alarm();
        ctx.add_stream(socket.reader);
        ctx.add_stream(wiring.agent.arrivals());
        ctx.add_stream(bell);
        Self {
            origin: Instant::now(),
            stream_sid,
            writer: Writer::new(socket.sink),
            wiring,
            pump,
            playout: Playout::default(),
            intake: Intake::new(Duration::ZERO),
            loudness: Loudness::default(),
            generation,
            last_part: None,
            ends: VecDeque::new(),
            account: LegAccount::default(),
            last_inbound: Duration::ZERO,
            last_outbound: Duration::ZERO,
            pinged: false,
            ended: false,
            scratch: Vec::new(),
            mark_name: String::new(),
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn tell(&self, fact: LegFact) {
        // A few facts per turn: this cannot flood the call.
        self.wiring.call.do_send(FromLeg { incarnation: self.wiring.incarnation, fact });
    }

    // ------------------------------------------------------------ carrier -> caller lane

    fn on_text(&mut self, text: &str, ctx: &mut Context<Self>) {
        match Inbound::parse(text) {
            Ok(Inbound::Media(media)) => self.on_media(&media),
            Ok(Inbound::Mark { name }) => self.on_mark(&name),
            Ok(Inbound::Dtmf { digit }) => self.tell(LegFact::Digit(digit)),
            Ok(Inbound::Stop { stream_sid, .. })
                if stream_sid.as_ref().is_none_or(|sid| *sid == self.stream_sid) =>
            {
                self.end(LegEnd::Stopped, ctx);
            }
            Ok(Inbound::Stop { .. }) => self.account.ignored.foreign_stream += 1,
            Ok(Inbound::Start(_)) => self.account.ignored.second_start += 1,
            Ok(Inbound::Connected) => {}
            Ok(Inbound::Unknown { .. }) => self.account.ignored.unknown += 1,
            Err(error) => {
                if self.account.ignored.unparsable == 0 {
                    tracing::warn!(%error, "carrier message ignored; further ones are only counted");
                }
                self.account.ignored.unparsable += 1;
            }
        }
    }

    fn on_media(&mut self, media: &Media<'_>) {
        if media.track == Track::Outbound
            || media.stream_sid.as_deref().is_some_and(|stream_sid| stream_sid != self.stream_sid)
        {
            self.account.ignored.foreign_stream += 1;
            return;
        }
        let samples = audio::decoded_len(&media.payload);
        let now = self.last_inbound;
        if samples <= G711Frame::CAPACITY {
            let mut decoded = Ok(0);
            let frame = G711Frame::fill_with(|buffer| {
                decoded = audio::decode_into(&media.payload, buffer);
                *decoded.as_ref().unwrap_or(&0)
            });
            if decoded.is_err() || frame.is_empty() {
                self.account.ignored.bad_audio += 1;
                return;
            }
            self.fill_gap(media.timestamp_ms, frame.len(), now);
            self.account.frames_in += 1;
            self.listen(&frame);
            self.offer(frame);
        } else {
            self.on_long_media(media, samples, now);
        }
    }

    /// Audio in messages longer than a frame: some carriers join frames.
    fn on_long_media(&mut self, media: &Media<'_>, samples: usize, now: Duration) {
        let mut audio = vec![0; samples.min(MESSAGE_SAMPLES_MAX)];
        let Ok(samples) = audio::decode_into(&media.payload, &mut audio) else {
            self.account.ignored.bad_audio += 1;
            return;
        };
        self.fill_gap(media.timestamp_ms, samples, now);
        for frame in G711Frame::split(&audio[..samples]) {
            self.account.frames_in += 1;
            self.listen(&frame);
            self.offer(frame);
        }
    }

    fn listen(&mut self, frame: &G711Frame) {
        if self.loudness.hear(frame.as_slice()) {
            self.tell(LegFact::CallerLoud);
        }
    }

    fn fill_gap(&mut self, timestamp_ms: Option<u64>, samples: usize, now: Duration) {
        let missing = self.intake.frame(timestamp_ms, samples as u64 / 8, now);
        self.fill(missing);
    }

    fn fill(&mut self, mut ms: u64) {
        while ms > 0 {
            let frame = G711Frame::silence(u32::try_from(ms).unwrap_or(u32::MAX));
            ms = ms.saturating_sub(frame.len() as u64 / 8);
            self.account.frames_filled += 1;
            self.offer(frame);
        }
    }

    fn offer(&mut self, frame: G711Frame) {
        if self.wiring.caller.offer(frame).is_err() {
            if self.account.frames_refused == 0 {
                tracing::warn!("caller lane full: frames dropped; further ones are only counted");
            }
            self.account.frames_refused += 1;
        }
    }

    fn on_mark(&mut self, name: &str) {
        let now = self.last_inbound;
        let (generation, number) = parse_mark(name).unwrap_or((u32::MAX, 0));
        if self.playout.echoed(generation, number, now) == Echo::Played {
            while let Some(end) = self.ends.front().copied().filter(|end| end.mark <= number) {
                self.ends.pop_front();
                self.tell(LegFact::PlayedOut(end.part));
            }
        }
    }

    // ------------------------------------------------------------ agent lane -> carrier

    /// Sends what the lane holds, up to the lead; sets the alarm for the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        while !self.ended {
            let now = self.now();
            let lead = self.playout.lead(now);
            if lead > LEAD_REFILL {
                self.pump.set(Instant::now() + lead.saturating_sub(LEAD_REFILL));
                return;
            }
            let Some(item) = self.wiring.agent.take() else { return };
            match item {
                _ if item.tag().generation < self.generation => {} // interrupted while on its way here
                AgentAudio::Frame(tag, frame) => self.play(tag, &frame, now, ctx),
                AgentAudio::EndOfPart(tag) => self.end_part(tag.part, ctx),
            }
        }
    }

    /// Sends a frame together with those of its part that wait behind it, in one message.
    fn play(&mut self, tag: Tag, first: &G711Frame, now: Duration, ctx: &mut Context<Self>) {
        let after_silence = now.saturating_sub(self.last_outbound) >= MARK_EVERY;
        self.last_outbound = now;
        self.scratch.clear();
        self.scratch.extend_from_slice(first.as_slice());
        // After silence the first frame goes alone: its mark is back soonest, and tells when the carrier began to play.
        let frames = if after_silence { 1 } else { FRAMES_PER_MESSAGE };
        for _ in 1..frames {
            match self.wiring.agent.peek() {
                Some(AgentAudio::Frame(next, frame)) if next == tag => {
                    self.scratch.extend_from_slice(frame.as_slice());
                    self.wiring.agent.take();
                }
                _ => break,
            }
        }
        let samples = self.scratch.len() as u64;
        let mut media = String::new();
        outbound::media(&mut media, &self.stream_sid, &self.scratch);
        match self.writer.queue(Outgoing::Text(ByteString::from(media)), Urgency::Audio) {
            Ok(()) => {}
            Err(WriteError::Shed) => {
                self.account.samples_shed += samples;
                return;
            }
            Err(error) => return self.end(LegEnd::Lost(error.to_string()), ctx),
        }
        self.playout.sent(tag.part, samples, now);
        self.account.samples_out += samples;
        if after_silence || self.playout.unmarked() >= MARK_EVERY {
            self.mark(ctx);
        }
        if let Err(error) = self.writer.flush() {
            return self.end(LegEnd::Lost(error.to_string()), ctx);
        }
        if self.last_part != Some(tag.part) {
            self.last_part = Some(tag.part);
            self.tell(LegFact::FirstOnWire(tag.part));
        }
    }

    fn end_part(&mut self, part: Part, ctx: &mut Context<Self>) {
        let mark = self.mark(ctx);
        self.ends.push_back(PartEnd { part, mark });
        if let Err(error) = self.writer.flush() {
            self.end(LegEnd::Lost(error.to_string()), ctx);
        }
    }

    /// Queues the mark behind everything sent so far, for the next flush.
    fn mark(&mut self, ctx: &mut Context<Self>) -> u32 {
        let (generation, number) = self.playout.mark();
        let mut mark = String::new();
        self.mark_name.clear();
        write!(self.mark_name, "g{generation}:{number}").expect("a String takes whatever is written");
        outbound::mark(&mut mark, &self.stream_sid, &self.mark_name);
        if let Err(error) = self.writer.queue(Outgoing::Text(ByteString::from(mark)), Urgency::Control) {
            self.end(LegEnd::Lost(error.to_string()), ctx);
        }
        number
    }

    fn clear(&mut self, generation: Generation, ctx: &mut Context<Self>) {
        self.generation = self.generation.max(generation);
        let floor = self.generation;
        self.wiring.agent.clear(|item| item.tag().generation < floor);
        let now = self.now();
        let queued = !self.playout.is_idle(now) || self.playout.marks_outstanding() > 0;
        let heard = self.playout.clear(now);
        self.ends.clear();
        if queued {
            let mut clear = String::new();
            outbound::clear(&mut clear, &self.stream_sid);
            self.control(Outgoing::Text(ByteString::from(clear)), ctx);
        }
        self.tell(LegFact::Cleared { heard });
    }

    fn control(&mut self, message: Outgoing, ctx: &mut Context<Self>) {
        if let Err(error) = self.writer.send(message, Urgency::Control) {
            self.end(LegEnd::Lost(error.to_string()), ctx);
        }
    }

    // ------------------------------------------------------------ watching, ending

    /// Looks for what no message tells: a stalled intake, a silent socket, a part played without an echo.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        let missing = self.intake.quiet(now);
        self.fill(missing);

        let silent_for = now.saturating_sub(self.last_inbound);
        if silent_for >= QUIET_MAX {
            self.end(LegEnd::HalfOpen, ctx);
            return;
        }
        if silent_for >= QUIET_BEFORE_PING && !self.pinged {
            self.pinged = true;
            self.control(Outgoing::Ping, ctx);
        }

        if self.playout.is_idle(now.saturating_sub(UNMARKED_GRACE)) && self.wiring.agent.depth() == 0 {
            while let Some(end) = self.ends.pop_front() {
                self.tell(LegFact::PlayedOut(end.part));
            }
        }
    }

    /// Tells the call once, and then sees the socket off.
    fn end(&mut self, end: LegEnd, ctx: &mut Context<Self>) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.account.marks = self.playout.books();
        self.account.marks_outstanding = self.playout.marks_outstanding() as u64;
        self.account.written = self.writer.written();
        let linger = match &end {
            LegEnd::Lost(_) | LegEnd::HalfOpen => false,
            LegEnd::Closed { .. } => true, // the transport answers the close while it is read to its end
            LegEnd::Stopped | LegEnd::HungUp => {
                let closing = Outgoing::Close { code: 1000, reason: "call ended" };
                self.writer.send(closing, Urgency::Control).is_ok()
            }
        };
        let now = self.now();
        // A socket that nobody was behind may have been deaf for a while; one that was lost was read until then.
        let doubtful = matches!(end, LegEnd::HalfOpen | LegEnd::HungUp);
        let (heard, unheard) = self.playout.ended(now, doubtful);
        let unheard_ms = u64::try_from(unheard.as_millis()).unwrap_or(u64::MAX);
        self.tell(LegFact::Ended { end, heard, unheard_ms, account: self.account });
        if linger {
            ctx.run_later(LINGER, |_, ctx| ctx.stop());
        } else {
            ctx.stop();
        }
    }
}

/// `g<generation>:<number>`, as [`TwilioStream::mark`] writes it.
fn parse_mark(name: &str) -> Option<(u32, u32)> {
    let (generation, number) = name.strip_prefix('g')?.split_once(':')?;
    Some((generation.parse().ok()?, number.parse().ok()?))
}

impl Actor for TwilioStream {
    type Context = Context<Self>;
}

impl StreamHandler<SocketItem> for TwilioStream {
    fn handle(&mut self, item: SocketItem, ctx: &mut Self::Context) {
        self.last_inbound = self.now();
        self.pinged = false;
        if self.ended {
            return;
        }
        match item {
            SocketItem::Text(text) => self.on_text(&text, ctx),
            SocketItem::Binary(_) => self.account.ignored.binary += 1,
            SocketItem::Pong => {}
            SocketItem::Closed { code } => self.end(LegEnd::Closed { code }, ctx),
            SocketItem::Lost(error) => self.end(LegEnd::Lost(error.to_string()), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        if self.ended {
            ctx.stop();
        } else {
            self.end(LegEnd::Lost("socket ended".to_owned()), ctx);
        }
    }
}

impl StreamHandler<LaneReady> for TwilioStream {
    fn handle(&mut self, _: LaneReady, ctx: &mut Self::Context) {
        self.pump(ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {} // the lane never ends before the leg
}

impl StreamHandler<AlarmRang> for TwilioStream {
    fn handle(&mut self, _: AlarmRang, ctx: &mut Self::Context) {
        self.pump(ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {} // nor does the alarm
}

impl Handler<LegCommand> for TwilioStream {
    type Result = ();

    fn handle(&mut self, command: LegCommand, ctx: &mut Self::Context) {
        if self.ended {
            return;
        }
        match command {
            LegCommand::Look => self.look(ctx),
            LegCommand::Clear(generation) => self.clear(generation, ctx),
            LegCommand::HangUp => self.end(LegEnd::HungUp, ctx),
        }
    }
}
