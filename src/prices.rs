//! The price list: what tokens, minutes and characters of each model cost, and minutes of the carrier's.
//!
//! It refuses to know who used what, and when another list takes its place: `prices/in_use.rs` judges that, and
//! `prices/watch.rs` looks at the file. Money is in integer micro-dollars, so that sums are exact. That is also the unit
//! of the list's own figures: a dollar per million tokens is a micro-dollar per token.

mod in_use;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tandem_actors::ports::{Line, Prices};
use tandem_wire::openai::Usage;
use toml::Spanned;

pub use self::in_use::{Origin, PricesInUse, Rejection, Standing};
pub use self::watch::{Watch, keep_watch};
use crate::money::{Microusd, Usd};

/// Where the list is unless `prices.file` says otherwise, relative to the working directory.
pub const PRICES_FILE: &str = "config/prices.toml";

/// Otherwise what that file was when the program was built.
const BUILT_IN: &str = include_str!("../config/prices.toml");

/// No model costs a dollar a token: a price beyond is a slip of the pen.
const USD_MAX: f64 = 1e6;

/// A list of a hundred models has 10 KB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// As JSON it reads as its file does, in dollars.
#[derive(Clone, Debug, Serialize)]
pub struct PriceList {
    /// Raised with every change, so that what was priced can say by which list.
    pub version: u32,
    pub date: Date,
    /// Where the version stands in the file.
    #[serde(skip)]
    version_line: usize,
    tokens: BTreeMap<String, TokenPrices>,
    minutes: BTreeMap<String, Price>,
    characters: BTreeMap<String, Price>,
    carrier: CarrierPrices,
}

/// Per started minute. What is absent is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct CarrierPrices {
    #[serde(skip_serializing_if = "Option::is_none")]
    inbound_call: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_stream: Option<Price>,
}

/// Per million tokens of each kind. What is absent is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct TokenPrices {
    #[serde(skip_serializing_if = "Option::is_none")]
    text_in: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_cached_in: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_out: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_in: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_cached_in: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_out: Option<Price>,
}

/// Micro-dollars for a million tokens or characters, or for a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Price(u64);

/// Why a list cannot be used. Then none of it is.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    #[error("cannot read prices in {}: {source}", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("bad prices in {}, line {line}: {problem}", .file.display())]
    Bad { file: PathBuf, line: usize, problem: String },
    #[error("prices in {} are gone", .file.display())]
    Gone { file: PathBuf },
}

/// Dollars as micro-dollars. Nothing when they are below 0, not finite, beyond a million, or finer than that.
pub fn microusd(usd: f64) -> Option<u64> {
    let microusd = (usd * 1e6).round();
    let exact = (0.0..=USD_MAX).contains(&usd) && (microusd / 1e6).to_bits() == usd.to_bits();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1e12, and whole")]
    exact.then_some(microusd as u64)
}

impl PriceList {
    /// The list of this file. Nothing when there is no such file.
    fn of_file(file: &Path) -> Result<Option<Self>, PricesError> {
        match contents(file) {
            Ok(text) => Self::read(&text, file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PricesError::Unreadable { file: file.to_owned(), source }),
        }
    }

    pub(crate) fn built_in() -> Self {
        Self::read(BUILT_IN, Path::new(PRICES_FILE)).expect("a test reads the list that is built in")
    }

    fn read(text: &str, file: &Path) -> Result<Self, PricesError> {
        let line = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
        let bad = |offset, problem| PricesError::Bad { file: file.to_owned(), line: line(offset), problem };
        let Written { version, date, tokens, minutes, characters, carrier } =
            toml::from_str(text).map_err(|error| {
                let span = error.span().unwrap_or_default();
                let problem = match key(text, &span, error.message()) {
                    Some(key) => format!("`{key}`: {}", error.message()),
                    None => error.message().to_owned(),
                };
                bad(span.start, problem)
            })?;
        let mut seen = BTreeSet::new();
        for name in tokens.keys().chain(minutes.keys()).chain(characters.keys()) {
            if !seen.insert(name.get_ref()) {
                let problem = format!("`{}` has a price in another section", name.get_ref());
                return Err(bad(name.span().start, problem));
            }
        }
        if let Some((name, _)) = tokens.iter().find(|(_, prices)| **prices == TokenPrices::default()) {
            return Err(bad(name.span().start, format!("`{}` has no price", name.get_ref())));
        }
        let version_line = line(version.span().start);
        let version = version.into_inner();
        let (tokens, minutes, characters) = (plain(tokens), plain(minutes), plain(characters));
        Ok(Self { version, date, version_line, tokens, minutes, characters, carrier })
    }

    /// Whether it says the same, however it is written.
    fn says_the_same_as(&self, other: &Self) -> bool {
        (self.version, self.date, self.carrier) == (other.version, other.date, other.carrier)
            && self.tokens == other.tokens
            && self.minutes == other.minutes
            && self.characters == other.characters
    }
}

fn contents(file: &Path) -> io::Result<String> {
    let opened = File::open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The key whose value is wrong, or that is itself, unless the message names it.
fn key<'a>(text: &'a str, span: &Range<usize>, message: &str) -> Option<&'a str> {
    let before = text.get(..span.start)?.lines().next_back().unwrap_or_default().trim_end();
    let key = match before.strip_suffix('=') {
        Some(before) => before.trim_end().rsplit(['{', ',']).next()?.trim(),
        None if message.contains('`') => return None,
        None => text.get(span.clone())?.trim(),
    };
    let key = key.trim_matches('"');
    (!key.is_empty() && !key.contains('\n')).then_some(key)
}

impl Prices for PriceList {
    fn tokens(&self, model: &str, usage: &Usage) -> Option<u64> {
        self.tokens.get(model)?.cost(usage)
    }

    fn time(&self, model: &str, time: Duration) -> Option<u64> {
        let price = self.minutes.get(model)?;
        Some(rounded_up(time.as_micros().saturating_mul(u128::from(price.0)), 60_000_000))
    }

    fn characters(&self, model: &str, characters: u64) -> Option<u64> {
        let price = self.characters.get(model)?;
        Some(rounded_up(u128::from(characters) * u128::from(price.0), 1_000_000))
    }

    fn carrier_minute(&self, line: Line) -> Option<u64> {
        let call = self.carrier.inbound_call?.0;
        match line {
            Line::Call => Some(call),
            Line::Streamed => Some(call + self.carrier.media_stream?.0), // both a million dollars at most
        }
    }

    fn version(&self) -> u32 {
        self.version
    }
}

// ---------------------------------------------------------------- tokens

impl TokenPrices {
    /// Rounded up once, over all kinds. What a server does not tell apart is taken for the dearer.
    fn cost(&self, usage: &Usage) -> Option<u64> {
        let (input, output) = (&usage.input_token_details, &usage.output_token_details);
        if input.image_tokens > 0 {
            return None; // no agent is shown images, and no price of them is listed
        }
        let cached = &input.cached_tokens_details;
        let all_cached = input.cached_tokens.max(cached.text_tokens.saturating_add(cached.audio_tokens));
        // Of the discounts, text has the least.
        let text_cached = input.text_tokens.min(all_cached - cached.audio_tokens);
        let audio_cached = input.audio_tokens.min(all_cached - text_cached);
        let untold = |all: u64, text: u64, audio: u64| all.saturating_sub(text).saturating_sub(audio);
        let costs = [
            (input.text_tokens - text_cached, self.text_in),
            (text_cached, self.text_cached_in),
            (input.audio_tokens - audio_cached, self.audio_in),
            (audio_cached, self.audio_cached_in),
            (
                untold(usage.input_tokens, input.text_tokens, input.audio_tokens),
                self.text_in.max(self.audio_in),
            ),
            (output.text_tokens, self.text_out),
            (output.audio_tokens, self.audio_out),
            (
                untold(usage.output_tokens, output.text_tokens, output.audio_tokens),
                self.text_out.max(self.audio_out),
            ),
        ];
        let used = costs.into_iter().filter(|(tokens, _)| *tokens > 0);
        // At most 8 x 2^64 x 10^12, i.e. below 2^107.
        let sum = used
            .map(|(tokens, price_opt)| Some(u128::from(tokens) * u128::from(price_opt?.0)))
            .sum::<Option<_>>()?;
        Some(rounded_up(sum, 1_000_000))
    }
}

fn rounded_up(sum: u128, per: u128) -> u64 {
    u64::try_from(sum.div_ceil(per)).unwrap_or(u64::MAX)
}

// ---------------------------------------------------------------- reading

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: Spanned<u32>,
    date: Date,
    #[serde(default)]
    tokens: Section<TokenPrices>,
    #[serde(default)]
    minutes: Section<Price>,
    #[serde(default)]
    characters: Section<Price>,
    #[serde(default)]
    carrier: CarrierPrices,
}

/// By the model's name, and where it stands.
type Section<T> = BTreeMap<Spanned<String>, T>;

fn plain<T>(section: Section<T>) -> BTreeMap<String, T> {
    section.into_iter().map(|(name, prices)| (name.into_inner(), prices)).collect()
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Usd(Microusd::from(self.0)).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PriceVisitor)
    }
}

struct PriceVisitor;

impl Visitor<'_> for PriceVisitor {
    type Value = Price;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0 to 1000000 dollars, with at most six decimals")
    }

    fn visit_f64<E: Error>(self, usd: f64) -> Result<Price, E> {
        microusd(usd).map(Price).ok_or_else(|| E::invalid_value(Unexpected::Float(usd), &self))
    }

    fn visit_i64<E: Error>(self, usd: i64) -> Result<Price, E> {
        self.visit_f64(usd as f64) // exact in the range that is allowed
    }
}

#[cfg(test)]
mod tests;
