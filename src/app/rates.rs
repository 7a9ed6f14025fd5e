//! What a minute would cost in each mode by the price list: for projections, as long as nothing was measured.
//!
//! Pure. It refuses to know what a call costs; that is measured. **A minute of talk**, as it is taken here: of the caller
//! 36 s are heard (30 s of speech, and the silence around his turns that a provider counts too), and the agent speaks for
//! 30 s. So a realtime model hears 360 tokens (one per 100 ms) and speaks 600 (one per 50 ms): at the launch plan's prices,
//! 32 and 64 dollars a million, that is its 0.50 dollars for ten minutes. A model that answers in writing is asked four
//! times, with a thousand tokens each time, and writes 40; spoken, that is 450 characters. The line to the carrier and
//! what a model reads again of a long conversation are not in it.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_actors::mode::Mode;
use tandem_actors::ports::Prices;
use tandem_wire::openai::Usage;
use tandem_wire::openai::response::{InputTokenDetails, OutputTokenDetails};

use crate::analytics::Rate;
use crate::config::Config;
use crate::money::Microusd;

const MINUTE_MS: u64 = 60_000;

const HEARD: Duration = Duration::from_secs(36);
const HEARD_TOKENS: u64 = 360;
const SPOKEN_TOKENS: u64 = 600;
const SPOKEN_CHARACTERS: u64 = 450;
const READ_TOKENS: u64 = 4_000;
const WRITTEN_TOKENS: u64 = 160;

/// What is configured: one's own figures, and the models that serve calls.
pub(super) struct Rates {
    own: BTreeMap<Mode, Microusd>,
    realtime: String,
    chat: String,
    transcription: String,
    speech: String,
}

impl Rates {
    pub(super) fn of(config: &Config) -> Self {
        let own = &config.analytics.usd_per_minute;
        let own = [
            (Mode::Traditional, own.traditional),
            (Mode::Realtime, own.realtime),
            (Mode::Hybrid, own.hybrid),
            (Mode::Cascade, own.cascade),
        ];
        Self {
            own: own.into_iter().filter_map(|(mode, cost_opt)| Some((mode, cost_opt?))).collect(),
            realtime: config.openai.realtime_model.clone(),
            chat: config.chat.model.clone(),
            transcription: config.transcription.model.clone(),
            speech: config.speech.model.clone(),
        }
    }

    /// One's own figures go before what is estimated. A mode of which anything has no price has no rate.
    pub(super) fn by(&self, prices: &dyn Prices) -> BTreeMap<Mode, Rate> {
        let rate = |mode| {
            let cost = self.own.get(&mode).copied().or_else(|| self.estimated(mode, prices))?;
            Some((mode, Rate { cost, ms: MINUTE_MS }))
        };
        Mode::ALL.into_iter().filter_map(rate).collect()
    }

    fn estimated(&self, mode: Mode, prices: &dyn Prices) -> Option<Microusd> {
        let writes = || prices.tokens(&self.chat, &text(READ_TOKENS, WRITTEN_TOKENS)).map(Microusd::from);
        match mode {
            Mode::Traditional => writes(),
            Mode::Realtime => {
                prices.tokens(&self.realtime, &audio(HEARD_TOKENS, SPOKEN_TOKENS)).map(Microusd::from)
            }
            Mode::Hybrid => None,
            Mode::Cascade => {
                let listens = prices.time(&self.transcription, HEARD).map(Microusd::from)?;
                let speaks = prices.characters(&self.speech, SPOKEN_CHARACTERS).map(Microusd::from)?;
                listens.checked_add(writes()?)?.checked_add(speaks)
            }
        }
    }
}

fn audio(input: u64, output: u64) -> Usage {
    Usage {
        total_tokens: input + output,
        input_tokens: input,
        output_tokens: output,
        input_token_details: InputTokenDetails { audio_tokens: input, ..InputTokenDetails::default() },
        output_token_details: OutputTokenDetails { audio_tokens: output, text_tokens: 0 },
    }
}

fn text(input: u64, output: u64) -> Usage {
    Usage {
        total_tokens: input + output,
        input_tokens: input,
        output_tokens: output,
        input_token_details: InputTokenDetails { text_tokens: input, ..InputTokenDetails::default() },
        output_token_details: OutputTokenDetails { text_tokens: output, audio_tokens: 0 },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::analytics::projection;
    use crate::config::Sources;
    use crate::prices::PriceList;

    fn config(environment: &[(&str, &str)]) -> Config {
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Config::load(&Sources {
            house_file: Path::new("/nonexistent/tandem.toml"),
            chosen_file_opt: None,
            environment: &environment.collect(),
        })
        .unwrap()
    }

    fn built_in() -> PriceList {
        PriceList::built_in()
    }

    #[test]
    fn at_the_launch_plans_prices_its_scenarios_come_out_within_its_rounding() {
        let rates = Rates::of(&config(&[])).by(&built_in());
        for (users, dollars) in [(50, 375.0), (200, 1_500.0), (1_000, 7_500.0)] {
            let projected = projection(users, 5.0, &[], &rates).unwrap();
            let cost = i64::from(projected.modes[&Mode::Realtime].monthly_cost.unwrap().0) as f64 / 1e6;
            assert!((cost / dollars - 1.0).abs() < 0.005, "{users} users cost {cost}");
        }
    }

    #[test]
    fn ones_own_figure_goes_first_and_what_has_no_price_has_no_rate() {
        let own = [("TANDEM__ANALYTICS__USD_PER_MINUTE__REALTIME", "0.07")];
        let told = Rates::of(&config(&own)).by(&built_in());
        assert_eq!(told[&Mode::Realtime], Rate { cost: Microusd::from(70_000), ms: MINUTE_MS });
        assert!(!told.contains_key(&Mode::Hybrid));
        let priced = [
            ("TANDEM__TRANSCRIPTION__MODEL", "whisper-1"),
            ("TANDEM__SPEECH__MODEL", "tts-1"),
            ("TANDEM__CHAT__MODEL", "gpt-5-mini"),
        ];
        // 36 s at 0.006 a minute, 4,000 tokens at 0.25 and 160 at 2 a million, 450 characters at 15 a million.
        let cascade = Rates::of(&config(&priced)).by(&built_in())[&Mode::Cascade];
        assert_eq!(cascade.cost, Microusd::from(3_600 + 1_320 + 6_750));
        let unknown = Rates::of(&config(&[("TANDEM__CHAT__MODEL", "nobody-knows")])).by(&built_in());
        assert!(!unknown.contains_key(&Mode::Cascade) && !unknown.contains_key(&Mode::Traditional));
    }
}
