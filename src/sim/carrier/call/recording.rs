//! A `<Record>`: the caller speaks after the tone, until he is silent, presses a key or has said enough.
//!
//! Knows no storage: the recording has a URL, and nobody will find anything there.

use reqwest::Url;
use tokio::time::Instant;

use super::{
    super::{
        CallEnd,
        listening::{tick_after, ticks},
        sound::{self, TICK_SAMPLES},
        stream::TICK,
        twiml::Record,
    },
    Call, Next, go, named, sid,
};

impl Call<'_> {
    pub(super) async fn record(&mut self, base: &Url, record: Record) -> Next {
        self.verb("Record", record.action.url.clone());
        self.line.open(Instant::now());
        match self.recorded(&record).await {
            Err(end) => Next::End(end),
            Ok((ticks, key)) => {
                let recording = sid("RE", &mut self.ids);
                let account = &self.plan.account_sid;
                let url =
                    format!("https://api.twilio.com/2010-04-01/Accounts/{account}/Recordings/{recording}");
                let mut told = named([
                    ("RecordingUrl", url),
                    ("RecordingSid", recording),
                    ("RecordingDuration", (TICK * ticks).as_secs().to_string()),
                ]);
                told.extend(key.map(|key| ("Digits".to_owned(), key.to_string())));
                go(base, &record.action, told)
            }
        }
    }

    /// How many ticks were recorded, and the key that ended it.
    async fn recorded(&mut self, record: &Record) -> Result<(u32, Option<char>), CallEnd> {
        let tone = if record.beep { sound::beep() } else { Vec::new() };
        for sound in tone.chunks(TICK_SAMPLES) {
            self.pass(sound).await?;
        }
        let from = self.line.next_tick();
        let mut spoke = from;
        loop {
            let now = self.line.next_tick();
            let is_silent = !record.timeout.is_zero() && now >= tick_after(spoke, record.timeout);
            if is_silent || now - from >= ticks(record.length_max) {
                return Ok((now - from, None));
            }
            let tick = self.pass(&[]).await?;
            if let Some(key) = tick.keys.iter().find(|key| record.finish_keys.contains(**key)) {
                return Ok((tick.number + 1 - from, Some(*key)));
            }
            if tick.voice {
                spoke = tick.number + 1;
            }
        }
    }
}
