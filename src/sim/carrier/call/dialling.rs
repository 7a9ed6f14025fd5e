//! `<Dial>` and `<Enqueue>`: the caller waits for somebody, and talks with him if he comes.
//!
//! Knows one other person, the plan's callee, whatever number is dialled; no conference and no whisper.

use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::{
    super::{
        Answering, CallEnd, CarrierEvent, DialRecord, Sound,
        listening::tick_after,
        sound::{self, TICK_SAMPLES},
        stream::TICK,
        twiml::{Dial, Enqueue},
    },
    Call, Next, named, sid, then,
};
use crate::speech;

/// Length of one round of music on hold.
const MUSIC: Duration = Duration::from_secs(4);

/// How somebody is waited for, and talked with.
struct Waiting {
    to: String,
    /// One round of what is heard until he comes.
    music: Vec<i16>,
    /// Until nobody is expected any more.
    patience: Duration,
    talk_max: Duration,
    hang_up_on_star: bool,
}

impl Call<'_> {
    pub(super) async fn dial(&mut self, base: &Url, dial: Dial) -> Next {
        let to = dial.to.join(", ");
        self.verb("Dial", to.clone());
        let waiting = Waiting {
            to,
            music: sound::ringing(),
            patience: dial.timeout,
            talk_max: dial.time_limit,
            hang_up_on_star: dial.hang_up_on_star,
        };
        let callee_sid = sid("CA", &mut self.ids);
        match self.wait_for_somebody(waiting).await {
            Err(end) => Next::End(end),
            Ok((status, talked)) => {
                let was_bridged = status == "completed";
                let mut told = named([
                    ("DialCallStatus", status.to_owned()),
                    ("DialCallSid", callee_sid),
                    ("DialBridged", was_bridged.to_string()),
                ]);
                if was_bridged {
                    told.extend(named([("DialCallDuration", talked.as_secs().to_string())]));
                }
                then(base, dial.action.as_ref(), told)
            }
        }
    }

    /// In a queue nobody gives up but the caller: he waits until the call ends if nobody comes.
    pub(super) async fn enqueue(&mut self, base: &Url, enqueue: Enqueue) -> Next {
        self.verb("Enqueue", enqueue.queue.clone());
        let waiting = Waiting {
            to: enqueue.queue,
            music: sound::hum(MUSIC),
            patience: Duration::MAX,
            talk_max: Duration::MAX,
            hang_up_on_star: false,
        };
        let queue_sid = sid("QU", &mut self.ids);
        if let Err(end) = self.wait_for_somebody(waiting).await {
            return Next::End(end);
        }
        let told = named([
            ("QueueResult", "bridged".to_owned()),
            ("QueueSid", queue_sid),
            ("QueueTime", self.plan.callee.rings.as_secs().to_string()),
        ]);
        then(base, enqueue.action.as_ref(), told)
    }

    async fn wait_for_somebody(&mut self, waiting: Waiting) -> Result<(&'static str, Duration), CallEnd> {
        self.line.open(Instant::now());
        let at = self.line.time();
        let mut record = DialRecord { at, to: waiting.to.clone(), status: None, talked: Duration::ZERO };
        let ended = self.waited(&waiting, &mut record).await;
        record.status = ended.as_ref().ok().copied();
        let talked = record.talked;
        self.log.heard(at, self.line.time(), Sound::Dial { to: waiting.to });
        self.log.dials.push(record);
        let status = ended?;
        self.log.event(CarrierEvent::DialEnded { status });
        Ok((status, talked))
    }

    async fn waited(&mut self, waiting: &Waiting, record: &mut DialRecord) -> Result<&'static str, CallEnd> {
        let callee = self.plan.callee.clone();
        self.log.event(CarrierEvent::Ringing { to: waiting.to.clone() });
        let comes = match callee.then {
            Answering::NoAnswer => Duration::MAX,
            // In a queue there is no line that could be busy.
            Answering::Busy | Answering::Failed if waiting.patience == Duration::MAX => Duration::MAX,
            _ => callee.rings,
        };
        let until = tick_after(self.line.next_tick(), comes.min(waiting.patience));
        let mut music = waiting.music.chunks(TICK_SAMPLES).cycle();
        while self.line.next_tick() < until {
            self.pass(music.next().unwrap_or_default()).await?;
        }
        let (words, length) = match callee.then {
            _ if comes > waiting.patience => return Ok("no-answer"),
            Answering::NoAnswer => return Ok("no-answer"),
            Answering::Busy => return Ok("busy"),
            Answering::Failed => return Ok("failed"),
            Answering::Talks { words, length } => (words, length.min(waiting.talk_max)),
        };
        self.log.event(CarrierEvent::Bridged { to: waiting.to.clone() });
        let from = self.line.next_tick();
        let until = tick_after(from, length);
        let talk = self.talk(&speech::speak(&words), until, waiting.hang_up_on_star).await;
        record.talked = TICK * (self.line.next_tick() - from);
        talk.map(|()| "completed")
    }

    async fn talk(&mut self, words: &[i16], until: u32, hang_up_on_star: bool) -> Result<(), CallEnd> {
        let mut words = words.chunks(TICK_SAMPLES);
        while self.line.next_tick() < until {
            let tick = self.pass(words.next().unwrap_or_default()).await?;
            if hang_up_on_star && tick.keys.contains(&'*') {
                break;
            }
        }
        Ok(())
    }
}
