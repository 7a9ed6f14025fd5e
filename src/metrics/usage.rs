//! What is counted of usage events, on their way to where they are kept.
//!
//! It refuses to know calls. An event that is told twice, which happens when a recorder dies, counts twice here, and once
//! where it is kept: bills are made there.

use std::sync::Arc;

use tandem_actors::ports::{CallId, UsageSpool};
use tandem_actors::usage::Run;
use tandem_actors::usage::event::{Tokens, UsageEvent};

use super::Metrics;
use super::names::Names;
use super::table::{COST_USD, TOKENS, UNPRICED_USAGE, UNTOLD_USAGE};

/// A switch is joined to one provider for each of its lines, and to a carrier.
const PROVIDERS_MAX: usize = 16;

/// Each line has a model, and now and then another; with 8 kinds of tokens these are 512 series.
const MODELS_MAX: usize = 64;

/// Counts, and passes on.
pub struct CountedUsage {
    spool: Arc<dyn UsageSpool>,
    metrics: Arc<Metrics>,
    providers: Names,
    models: Names,
}

impl CountedUsage {
    pub fn new(spool: Arc<dyn UsageSpool>, metrics: Arc<Metrics>) -> Self {
        let (providers, models) = (Names::at_most(PROVIDERS_MAX), Names::at_most(MODELS_MAX));
        Self { spool, metrics, providers, models }
    }

    fn count(&self, event: &UsageEvent) {
        let (Some(provider), Some(model)) = (&event.provider_opt, &event.model_opt) else { return }; // nobody is paid
        let (provider, model) = (self.providers.bounded(provider), self.models.bounded(model));
        match event.cost_microusd_opt {
            Some(microusd) => self.metrics.pay(&COST_USD, &[provider, event.mode.name()], microusd),
            None if event.is_untold() => self.metrics.counter(&UNTOLD_USAGE, &[provider, model]).increment(1),
            None => self.metrics.counter(&UNPRICED_USAGE, &[provider, model]).increment(1),
        }
        for (kind, tokens) in
            event.metadata.tokens_opt.iter().flat_map(kinds).filter(|(_, tokens)| *tokens > 0)
        {
            self.metrics.counter(&TOKENS, &[provider, model, kind]).increment(tokens);
        }
    }
}

impl UsageSpool for CountedUsage {
    fn append(&self, event: UsageEvent) {
        self.count(&event);
        self.spool.append(event);
    }

    fn running(&self, call: CallId, run_opt: Option<Run>) {
        self.spool.running(call, run_opt);
    }
}

/// Tokens by kinds that have none in common: their sum is all of them.
fn kinds(tokens: &Tokens) -> [(&'static str, u64); 8] {
    let rest = |all: u64, parts: [u64; 2]| parts.into_iter().fold(all, u64::saturating_sub);
    [
        ("text_in", rest(tokens.text_in, [tokens.text_cached_in, 0])),
        ("text_cached_in", tokens.text_cached_in.min(tokens.text_in)),
        ("audio_in", rest(tokens.audio_in, [tokens.audio_cached_in, 0])),
        ("audio_cached_in", tokens.audio_cached_in.min(tokens.audio_in)),
        ("untold_in", rest(tokens.input, [tokens.text_in, tokens.audio_in])),
        ("text_out", tokens.text_out),
        ("audio_out", tokens.audio_out),
        ("untold_out", rest(tokens.output, [tokens.text_out, tokens.audio_out])),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_actors::mode::Mode;
    use tandem_actors::ports::ModelId;
    use tandem_actors::testing::{FlatPrice, MemorySpool, VirtualClock, always};
    use tandem_actors::usage::{Amount, Item, Used, Work};
    use tandem_wire::openai::Usage;
    use uuid::Uuid;

    use super::*;

    /// What is scraped when these were used, in this order, at a price of 1 micro-dollar for what `known` does.
    fn scraped(used: Vec<(String, Amount)>) -> (String, usize) {
        let spool = Arc::<MemorySpool>::default();
        let recording = spool.recording(always(FlatPrice("known")), Arc::new(VirtualClock::new()));
        let recorder = recording.recorder(CallId(Uuid::nil()), "night desk");
        let metrics = Arc::new(Metrics::new());
        let counted =
            CountedUsage::new(Arc::<MemorySpool>::clone(&spool) as Arc<dyn UsageSpool>, Arc::clone(&metrics));
        for (name, amount) in used {
            let model = ModelId { provider: "lab".to_owned(), name };
            let item = Item::Used(model, Used { work: Work::Answering, amount });
            counted.append(recorder.record(&recording.entry(Mode::Cascade, item)).event);
        }
        (metrics.scrape(), spool.events().len())
    }

    fn tokens() -> Amount {
        let mut usage = Usage { total_tokens: 107, input_tokens: 100, output_tokens: 7, ..Usage::default() };
        usage.input_token_details.text_tokens = 60;
        usage.input_token_details.cached_tokens_details.text_tokens = 50;
        usage.output_token_details.audio_tokens = 7;
        Amount::Tokens(usage)
    }

    #[track_caller]
    fn assert_has(text: &str, series: &str) {
        assert!(text.lines().any(|line| line == series), "no {series} in {text}");
    }

    #[test]
    fn what_has_a_price_is_a_cost_and_its_tokens_are_counted_once() {
        let (text, kept) = scraped(vec![("known".to_owned(), tokens()), ("known".to_owned(), tokens())]);
        assert_eq!(kept, 2, "and it is passed on");
        assert_has(&text, r#"tandem_cost_usd_total{provider="lab",mode="cascade"} 0.000214"#);
        for (kind, count) in [("text_in", 20), ("text_cached_in", 100), ("untold_in", 80), ("audio_out", 14)]
        {
            assert_has(
                &text,
                &format!(r#"tandem_tokens_total{{provider="lab",model="known",kind="{kind}"}} {count}"#),
            );
        }
        assert_eq!(text.matches("tandem_tokens_total{").count(), 4, "{text}");
    }

    #[test]
    fn what_has_none_is_an_alarm_and_no_cost_of_nothing() {
        let (text, _) = scraped(vec![
            ("new".to_owned(), tokens()),
            ("new".to_owned(), Amount::Audio(Duration::from_secs(1))),
            ("known".to_owned(), Amount::Untold),
        ]);
        assert_has(&text, r#"tandem_unpriced_usage_total{provider="lab",model="new"} 2"#);
        assert_has(&text, r#"tandem_untold_usage_total{provider="lab",model="known"} 1"#);
        assert!(!text.contains("tandem_cost_usd_total{"), "{text}");
    }

    #[test]
    fn a_thousand_models_are_sixty_four_and_others() {
        let used = (0..1_000).map(|n| (format!("model-{n}"), Amount::Characters(1)));
        let (text, _) = scraped(used.collect());
        assert_eq!(text.matches("tandem_unpriced_usage_total{").count(), MODELS_MAX + 1, "{text}");
        assert_has(&text, r#"tandem_unpriced_usage_total{provider="lab",model="other"} 936"#);
    }
}
