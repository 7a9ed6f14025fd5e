//! From files and variables to one layer of values. Each key is tried alone, so that an error knows its name.
//!
//! This file refuses to know any key: the known ones are read from the description that sections give of themselves.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use confique::meta::{FieldKind, Meta};
use confique::{Config, Layer};
use toml::{Table, Value};

use super::nearest::nearest;
use super::{ConfigError, Origin, Sources};

/// What every variable of ours begins with. Two underscores part section and key, since names hold single ones.
const PREFIX: &str = "TANDEM__";

/// Every name that may be used.
#[derive(Default)]
struct Known {
    /// Dotted paths of tables, such as `agent.turn_detection`.
    sections: Vec<String>,
    keys: Vec<Key>,
}

struct Key {
    /// Dotted path, such as `agent.turn_detection.threshold`.
    path: String,
    /// Such as `TANDEM__AGENT__TURN_DETECTION__THRESHOLD`.
    variable: String,
    /// What the replaced systems called it, such as `OPENAI_API_KEY`.
    old_variable_opt: Option<&'static str>,
}

/// One value as somebody set it.
struct Setting {
    key: String,
    value: Value,
    origin: Origin,
}

/// Merges built-in defaults and all sources.
pub(super) fn merge<C: Config>(sources: &Sources<'_>) -> Result<C::Layer, ConfigError> {
    let known = Known::of(&C::META);
    let mut settings = Vec::new();
    if let Some(text) = read_if_there(sources.house_file)? {
        settings.extend(in_file(&known, sources.house_file, &text)?);
    }
    if let Some(file) = sources.chosen_file_opt {
        settings.extend(in_file(&known, file, &read(file)?)?);
    }
    settings.extend(in_environment::<C::Layer>(&known, sources.environment)?);

    settings.into_iter().try_fold(C::Layer::default_values(), |lower, Setting { key, value, origin }| {
        match layer_of::<C::Layer>(&key, value) {
            Ok(layer) => Ok(layer.with_fallback(lower)),
            Err(problem) => Err(ConfigError::BadValue { key, origin, problem }),
        }
    })
}

fn read(file: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })
}

fn read_if_there(file: &Path) -> Result<Option<String>, ConfigError> {
    match read(file) {
        Ok(text) => Ok(Some(text)),
        Err(ConfigError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn in_file(known: &Known, file: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let table = text.parse::<Table>().map_err(|error| {
        // Not the error's own display: it shows the line, and the line may hold a key that lacks its quotes.
        let offset = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
        ConfigError::NotToml { file: file.to_owned(), line, problem: error.message().to_owned() }
    })?;
    let mut settings = Vec::new();
    collect(known, file, None, table, &mut settings)?;
    Ok(settings)
}

/// Descends into the sections of a file; what is neither section nor key is an error.
fn collect(
    known: &Known,
    file: &Path,
    section_opt: Option<&str>,
    table: Table,
    settings: &mut Vec<Setting>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = section_opt.map_or_else(|| name.clone(), |section| format!("{section}.{name}"));
        let origin = Origin::File(file.to_owned());
        let is_key = known.keys.iter().any(|known| known.path == key);
        let is_section = known.sections.contains(&key);
        match value {
            value if is_key => settings.push(Setting { key, value, origin }),
            Value::Table(table) if is_section => collect(known, file, Some(&key), table, settings)?,
            _ if is_section => {
                let problem = format!("this is a section, write [{key}] and its keys below");
                return Err(ConfigError::BadValue { key, origin, problem });
            }
            Value::Table(_) => {
                let nearest = known.nearest_section(&key).to_owned();
                return Err(ConfigError::UnknownKey { key, file: file.to_owned(), nearest });
            }
            _ => {
                let nearest = known.nearest_key(&key).to_owned();
                return Err(ConfigError::UnknownKey { key, file: file.to_owned(), nearest });
            }
        }
    }
    Ok(())
}

/// Old names first, so that ours override them. An old name that is set but empty counts as not set: that is how
/// container files pass on a variable that their reader may not have.
fn in_environment<L: Layer>(
    known: &Known,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Setting>, ConfigError> {
    for variable in environment.keys() {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        if !known.keys.iter().any(|key| key.variable == *variable) {
            let nearest = variable_of(known.nearest_key(&name.to_lowercase().replace("__", ".")));
            return Err(ConfigError::UnknownVariable { variable: variable.clone(), nearest });
        }
    }

    let old = known.keys.iter().filter_map(|key| Some((key, key.old_variable_opt?)));
    let old = old.filter(|(_, name)| environment.get(*name).is_some_and(|text| !text.is_empty()));
    let ours = known.keys.iter().map(|key| (key, key.variable.as_str()));
    let set = old.chain(ours).filter_map(|(key, name)| Some((key, name, environment.get(name)?)));
    Ok(set
        .map(|(key, name, text)| Setting {
            key: key.path.clone(),
            value: typed::<L>(&key.path, text),
            origin: Origin::Variable(name.to_owned()),
        })
        .collect())
}

/// A variable is text; where its key wants a number or a boolean, it is read as TOML would.
fn typed<L: Layer>(key: &str, text: &str) -> Value {
    let as_text = Value::String(text.to_owned());
    if layer_of::<L>(key, as_text.clone()).is_ok() {
        return as_text;
    }
    match text.trim().parse::<Value>() {
        Ok(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => value,
        _ => as_text,
    }
}

/// A layer in which only `key` is set, or what is wrong with the value.
fn layer_of<L: Layer>(key: &str, value: Value) -> Result<L, String> {
    let nested =
        key.rsplit('.').fold(value, |inner, name| Value::Table(Table::from_iter([(name.to_owned(), inner)])));
    L::deserialize(nested).map_err(|error| {
        // The library announces that a validation failed; the sentence of the key says so better.
        let problem = error.message();
        problem.strip_prefix("validation failed: ").unwrap_or(problem).to_owned()
    })
}

impl Known {
    fn of(root: &Meta) -> Self {
        let mut known = Self::default();
        known.add(root, None);
        known
    }

    fn add(&mut self, meta: &Meta, section_opt: Option<&str>) {
        for field in meta.fields {
            let path = section_opt
                .map_or_else(|| field.name.to_owned(), |section| format!("{section}.{}", field.name));
            match field.kind {
                FieldKind::Nested { meta } => {
                    self.add(meta, Some(&path));
                    self.sections.push(path);
                }
                FieldKind::Leaf { env, .. } => {
                    self.keys.push(Key { variable: variable_of(&path), path, old_variable_opt: env });
                }
            }
        }
    }

    fn nearest_section(&self, path: &str) -> &str {
        nearest(path, self.sections.iter().map(String::as_str))
    }

    fn nearest_key(&self, path: &str) -> &str {
        nearest(path, self.keys.iter().map(|key| key.path.as_str()))
    }
}

fn variable_of(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}
