use std::fs;

use proptest::prelude::*;
use tandem_actors::ports::{ChatUsage, Line};

use super::*;

fn house() -> PriceList {
    PriceList::built_in()
}

/// Tokens that a provider has told apart: fresh and cached text and audio that went in, text and audio that came out.
fn usage([text, text_cached, audio, audio_cached, text_out, audio_out]: [u64; 6]) -> Usage {
    let mut usage = Usage::default();
    let input = &mut usage.input_token_details;
    input.text_tokens = text + text_cached;
    input.audio_tokens = audio + audio_cached;
    input.cached_tokens = text_cached + audio_cached;
    input.cached_tokens_details.text_tokens = text_cached;
    input.cached_tokens_details.audio_tokens = audio_cached;
    usage.input_tokens = input.text_tokens + input.audio_tokens;
    usage.output_token_details.text_tokens = text_out;
    usage.output_token_details.audio_tokens = audio_out;
    usage.output_tokens = text_out + audio_out;
    usage.total_tokens = usage.input_tokens + usage.output_tokens;
    usage
}

/// What is wrong with a list of these lines, below its version and date.
fn complaint(lines: &str) -> String {
    let text = format!("version = 1\ndate = \"2026-11-20\"\n{lines}");
    PriceList::read(&text, Path::new("mine.toml")).expect_err("this must not be read").to_string()
}

// ---------------------------------------------------------------- what things cost

#[test]
fn a_minute_of_speech_costs_what_the_reference_derives() {
    // The caller's audio is 600 tokens a minute, the assistant's 1,200.
    let cost = |model, usage: [u64; 6]| house().tokens(model, &self::usage(usage));
    assert_eq!(cost("gpt-realtime-2.1", [0, 0, 600, 0, 0, 0]), Some(19_200));
    assert_eq!(cost("gpt-realtime-2.1", [0, 0, 0, 0, 0, 1_200]), Some(76_800));
    assert_eq!(cost("gpt-realtime-2.1-mini", [0, 0, 600, 0, 0, 0]), Some(6_000));
    assert_eq!(cost("gpt-realtime-2.1-mini", [0, 0, 0, 0, 0, 1_200]), Some(24_000));
}

#[test]
fn every_kind_of_token_has_its_own_price() {
    // 100 x 4.00 + 1000 x 0.40 + 300 x 32.00 + 2000 x 0.40 + 50 x 24.00 + 200 x 64.00 micro-dollars
    let whole = usage([100, 1_000, 300, 2_000, 50, 200]);
    assert_eq!(house().tokens("gpt-realtime-2.1", &whole), Some(400 + 400 + 9_600 + 800 + 1_200 + 12_800));
    // 100 x 0.60 + 1000 x 0.06 + 300 x 10.00 + 2000 x 0.30 + 50 x 2.40 + 200 x 20.00
    assert_eq!(house().tokens("gpt-realtime-mini", &whole), Some(60 + 60 + 3_000 + 600 + 120 + 4_000));
}

#[test]
fn what_a_chat_model_used_is_priced_however_its_engine_tells_it() {
    let used = ChatUsage { input_tokens: 310, cached_input_tokens: 256, output_tokens: 22 };
    let told = usage([54, 256, 0, 0, 22, 0]);
    let mut half_told = told;
    half_told.input_token_details.cached_tokens_details.text_tokens = 0;
    let mut untold =
        Usage { input_tokens: used.input_tokens, output_tokens: used.output_tokens, ..Usage::default() };
    // 54 x 0.10 + 256 x 0.01 + 22 x 0.50 = 18.96
    for usage in [told, half_told] {
        assert_eq!(house().tokens("gpt-6-luna", &usage), Some(19));
    }
    // 310 x 0.10 + 22 x 0.50: without knowing of what, no discount
    untold.input_token_details.cached_tokens = used.cached_input_tokens;
    assert_eq!(house().tokens("gpt-6-luna", &untold), Some(42));
}

#[test]
fn what_a_server_does_not_tell_apart_is_taken_for_the_dearer() {
    let untold = Usage { input_tokens: 10, output_tokens: 10, ..Usage::default() };
    assert_eq!(house().tokens("gpt-realtime-2.1", &untold), Some(320 + 640));
    let mut cached = usage([100, 0, 100, 0, 0, 0]);
    cached.input_token_details.cached_tokens = 150;
    // 100 of text at 0.40, then 50 of the audio at 0.40 and 50 at 32.00
    assert_eq!(house().tokens("gpt-realtime-2.1", &cached), Some(40 + 20 + 1_600));
}

#[test]
fn a_part_of_a_microdollar_is_a_whole_one_once_per_event() {
    assert_eq!(house().tokens("gpt-6-luna", &usage([1, 0, 0, 0, 0, 0])), Some(1));
    assert_eq!(house().tokens("gpt-6-luna", &usage([1, 1, 0, 0, 1, 0])), Some(1), "0.10 + 0.01 + 0.50");
    assert_eq!(house().tokens("gpt-6-luna", &Usage::default()), Some(0));
}

#[test]
fn what_is_not_listed_is_unknown_and_not_free() {
    let prices = house();
    let some = usage([1, 0, 0, 0, 0, 0]);
    assert_eq!(prices.tokens("gpt-realtime-9", &some), None);
    assert_eq!(prices.tokens("gpt-6-luna", &usage([1, 0, 1, 0, 1, 0])), None, "it has no price for audio");
    let mut image = some;
    image.input_token_details.image_tokens = 1;
    assert_eq!(prices.tokens("gpt-realtime-2.1", &image), None);
    assert_eq!(prices.time("gpt-realtime-2.1", Duration::from_secs(1)), None);
    assert_eq!(prices.characters("whisper-1", 1), None);
}

#[test]
fn time_and_text_are_priced_by_their_length() {
    let prices = house();
    assert_eq!(prices.time("gpt-transcribe", Duration::from_mins(1)), Some(4_500));
    assert_eq!(prices.time("gpt-transcribe", Duration::from_millis(2_500)), Some(188), "187.5");
    assert_eq!(prices.time("gpt-live-transcribe", Duration::from_hours(1)), Some(1_020_000));
    assert_eq!(prices.characters("tts-1", 1_200), Some(18_000));
}

#[test]
fn a_minute_of_the_line_costs_the_call_and_its_stream() {
    let prices = house();
    assert_eq!(prices.carrier_minute(Line::Call), Some(8_500));
    assert_eq!(prices.carrier_minute(Line::Streamed), Some(8_500 + 4_000));
    let only = |lines: &str| {
        let text = format!("version = 1\ndate = \"2026-11-20\"\n[carrier]\n{lines}");
        let prices = PriceList::read(&text, Path::new("mine.toml")).unwrap();
        [Line::Call, Line::Streamed].map(|line| prices.carrier_minute(line))
    };
    assert_eq!(only("inbound_call = 0.01"), [Some(10_000), None]);
    assert_eq!(only("media_stream = 0.01"), [None, None]);
    assert_eq!(only("inbound_call = 0\nmedia_stream = 0"), [Some(0), Some(0)], "a carrier of one's own");
}

#[test]
fn no_figure_of_a_provider_overflows() {
    let mut absurd = usage([u64::MAX, 0, 0, 0, u64::MAX, 0].map(|tokens| tokens / 4));
    assert_eq!(house().tokens("gpt-realtime-2.1", &absurd), Some(u64::MAX));
    absurd.input_token_details.cached_tokens_details.text_tokens = u64::MAX;
    absurd.input_token_details.cached_tokens_details.audio_tokens = u64::MAX;
    assert!(house().tokens("gpt-realtime-2.1", &absurd).is_some());
}

proptest! {
    #[test]
    fn splitting_an_event_adds_at_most_a_microdollar_per_event(
        parts in prop::collection::vec(prop::array::uniform6(0_u64..100_000), 1..12),
        model in prop::sample::select(vec!["gpt-realtime-2.1", "gpt-realtime-mini"]),
    ) {
        let prices = house();
        let cost = |tokens: [u64; 6]| prices.tokens(model, &usage(tokens)).unwrap();
        let whole = parts.iter().fold([0; 6], |sum, part| std::array::from_fn(|kind| sum[kind] + part[kind]));
        let sum: u64 = parts.iter().map(|part| cost(*part)).sum();
        prop_assert!((cost(whole)..=cost(whole) + parts.len() as u64).contains(&sum));
    }

    #[test]
    fn a_price_is_read_as_it_is_written(microusd in 0_u64..=1_000_000_000_000) {
        let written = format!("{}.{:06}", microusd / 1_000_000, microusd % 1_000_000);
        prop_assert_eq!(super::microusd(written.parse().unwrap()), Some(microusd));
    }
}

// ---------------------------------------------------------------- the list

#[test]
fn the_committed_list_knows_the_models_that_are_the_defaults() {
    let committed =
        PriceList::of_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join(PRICES_FILE)).unwrap().unwrap();
    let config = crate::config::Config::load(&crate::config::Sources {
        house_file: Path::new(""),
        chosen_file_opt: None,
        environment: &BTreeMap::new(),
    })
    .unwrap();
    let speech = usage([1, 1, 1, 1, 1, 1]);
    assert!(committed.tokens(&config.openai.realtime_model, &speech).is_some());
    assert!(committed.tokens(&config.chat.model, &usage([1, 1, 0, 0, 1, 0])).is_some());
    assert!(committed.time(&config.agent.transcription_model, Duration::from_secs(1)).is_some());
}

#[test]
fn a_wrong_list_is_refused_whole_and_the_line_is_named() {
    let bad = |line: u32, problem: &str| format!("bad prices in mine.toml, line {line}: {problem}");
    for (lines, expected) in [
        (
            "[tokens]\nm = { text_on = 1.0 }",
            bad(
                4,
                "unknown field `text_on`, expected one of `text_in`, `text_cached_in`, `text_out`, `audio_in`, \
                 `audio_cached_in`, `audio_out`",
            ),
        ),
        (
            "[token]\n",
            bad(
                3,
                "unknown field `token`, expected one of `version`, `date`, `tokens`, `minutes`, `characters`, \
                 `carrier`",
            ),
        ),
        (
            "[minutes]\na = 1\nm = -0.5",
            bad(
                5,
                "`m`: invalid value: floating point `-0.5`, expected 0 to 1000000 dollars, with at most six decimals",
            ),
        ),
        (
            "[minutes]\nm = 0.0000001",
            bad(
                4,
                "`m`: invalid value: floating point `0.0000001`, expected 0 to 1000000 dollars, with at most six decimals",
            ),
        ),
        (
            "[minutes]\nm = \"1.0\"",
            bad(
                4,
                "`m`: invalid type: string \"1.0\", expected 0 to 1000000 dollars, with at most six decimals",
            ),
        ),
        (
            "[carrier]\noutbound = 0.01",
            bad(4, "unknown field `outbound`, expected `inbound_call` or `media_stream`"),
        ),
        (
            "[carrier]\ninbound_call = -1",
            bad(
                4,
                "`inbound_call`: invalid value: floating point `-1.0`, expected 0 to 1000000 dollars, with at most six decimals",
            ),
        ),
        ("[minutes]\nm = 1\n\n[characters]\nm = 1", bad(7, "`m` has a price in another section")),
        ("[tokens]\nm = { text_in = 1 }\nm = { text_in = 2 }", bad(5, "`m`: duplicate key")),
        (
            "[tokens]\n\"a = b\" = { text_in = 1, audio_in = -1 }",
            bad(
                4,
                "`audio_in`: invalid value: floating point `-1.0`, expected 0 to 1000000 dollars, with at most six \
                 decimals",
            ),
        ),
        ("[tokens]\nm = {}", bad(4, "`m` has no price")),
        ("[tokens", bad(3, "unclosed table, expected `]`")),
    ] {
        assert_eq!(complaint(lines), expected);
    }
    for price in ["nan", "inf", "1000001"] {
        assert!(
            complaint(&format!("[minutes]\nm = {price}")).contains("line 4: `m`: invalid value"),
            "{price}"
        );
    }
    let undated = PriceList::read("version = 1", Path::new("mine.toml")).unwrap_err().to_string();
    assert_eq!(undated, "bad prices in mine.toml, line 1: missing field `date`");
    let misdated = PriceList::read("version = 1\ndate = \"soon\"", Path::new("mine.toml")).unwrap_err();
    assert!(misdated.to_string().contains("line 2: "), "{misdated}");
}

#[test]
fn a_list_of_ones_own_takes_the_place_of_the_one_that_is_built_in() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("prices.toml");
    fs::write(&file, "version = 7\ndate = \"2026-12-01\"\n[tokens]\nllama = { text_in = 0, text_out = 0.5 }")
        .unwrap();
    let prices = PriceList::of_file(&file).unwrap().unwrap();
    assert_eq!((prices.version, prices.date.to_string().as_str()), (7, "2026-12-01"));
    assert_eq!(prices.tokens("llama", &usage([900, 0, 0, 0, 4, 0])), Some(2));
    assert_eq!(prices.tokens("gpt-6-luna", &usage([1, 0, 0, 0, 0, 0])), None);
    let unreadable = PriceList::of_file(place.path()).unwrap_err();
    assert!(unreadable.to_string().starts_with("cannot read prices in "), "{unreadable}");
}
