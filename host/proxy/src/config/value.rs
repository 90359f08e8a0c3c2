//! Values that keys may have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::mistake::suggestion;
use super::parts::LogLevel;
use super::reader::Item;
use super::units::{Size, parse_duration, parse_size, show_duration, show_size};
use crate::upstream::Secret;
use tracing_subscriber::EnvFilter;

/// What a key may have.
pub(super) trait Value: Sized {
    /// Reads it, or notes a mistake.
    fn read(item: &Item<'_>) -> Option<Self>;
    /// What it is, for the reference.
    fn kind() -> String;
    /// How it is written, for the reference.
    fn show(&self) -> String;
}

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

/// One of several words.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// How each is written.
    const WORDS: &'static [(&'static str, Self)];

    /// How this one is written.
    fn word(&self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, word)| word == self);
        found.map_or("", |(name, _)| *name)
    }
}

impl<T: Word> Value for T {
    fn read(item: &Item<'_>) -> Option<T> {
        let DeValue::String(text) = item.value else {
            item.expected(T::kind());
            return None;
        };
        let found = T::WORDS.iter().find(|(name, _)| *name == text.as_ref());
        if found.is_none() {
            let names: Vec<&str> = T::WORDS.iter().map(|(name, _)| *name).collect();
            item.mistake(format!(
                "expected {}, found \"{text}\"{}",
                T::kind(),
                meant(text, &names)
            ));
        }
        found.map(|(_, word)| *word)
    }

    fn kind() -> String {
        let names: Vec<String> = T::WORDS.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        match names.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.word())
    }
}

/// Like [`suggestion`], when the words have been listed already.
fn meant(text: &str, names: &[&str]) -> String {
    Some(suggestion(text, names)).filter(|end| end.contains("mean")).unwrap_or_default()
}

impl Value for bool {
    fn read(item: &Item<'_>) -> Option<bool> {
        let value = item.value.as_bool();
        if value.is_none() {
            item.expected(bool::kind());
        }
        value
    }

    fn kind() -> String {
        "true or false".to_owned()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A whole number; none when it is too large.
pub(super) fn integer(written: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(written.as_str(), written.radix()).ok()
}

macro_rules! whole_number {
    ($($type:ty)*) => {$(
        impl Value for $type {
            fn read(item: &Item<'_>) -> Option<$type> {
                let DeValue::Integer(written) = item.value else {
                    item.expected("a whole number");
                    return None;
                };
                let value = integer(written).and_then(|number| <$type>::try_from(number).ok());
                if value.is_none() {
                    item.out_of_range();
                }
                value
            }

            fn kind() -> String {
                "whole number".to_owned()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_number!(u16 u32 usize);

/// A text, which must not be empty.
fn text<'a>(item: &'a Item<'_>, what: &str) -> Option<&'a str> {
    match item.value {
        DeValue::String(text) if text.is_empty() => {
            item.mistake("must not be empty");
            None
        }
        // Names and settings travel in messages where a zero byte ends a string.
        DeValue::String(text) if text.contains('\0') => {
            item.mistake("must not contain a zero byte");
            None
        }
        DeValue::String(text) => Some(text.as_ref()),
        _ => {
            item.expected(what);
            None
        }
    }
}

impl Value for String {
    fn read(item: &Item<'_>) -> Option<String> {
        text(item, "a text").map(str::to_owned)
    }

    fn kind() -> String {
        "text".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Value for Secret {
    fn read(item: &Item<'_>) -> Option<Secret> {
        text(item, "a text").map(|text| Secret::new(text.to_owned()))
    }

    fn kind() -> String {
        "text".to_owned()
    }

    fn show(&self) -> String {
        String::new()
    }
}

impl Value for PathBuf {
    fn read(item: &Item<'_>) -> Option<PathBuf> {
        text(item, "the path of a file").map(PathBuf::from)
    }

    fn kind() -> String {
        "path".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.display())
    }
}

/// Reads a text by a function whose error says what is wrong.
pub(super) fn parsed<T>(
    item: &Item<'_>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    match parse(text(item, what)?) {
        Ok(value) => Some(value),
        Err(message) => {
            item.mistake(message);
            None
        }
    }
}

impl Value for Duration {
    fn read(item: &Item<'_>) -> Option<Duration> {
        parsed(item, "a duration such as \"30s\"", parse_duration)
    }

    fn kind() -> String {
        "duration".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{}\"", show_duration(*self))
    }
}

impl Value for Size {
    fn read(item: &Item<'_>) -> Option<Size> {
        parsed(item, "a size such as \"32MiB\"", parse_size)
    }

    fn kind() -> String {
        "size".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{}\"", show_size(*self))
    }
}

impl Value for LogLevel {
    fn read(item: &Item<'_>) -> Option<LogLevel> {
        parsed(item, "a level such as \"info\"", |text| {
            // The library takes any word for the name of a module.
            let levels = ["error", "warn", "info", "debug", "trace", "off"];
            let plain = text.bytes().all(|byte| byte.is_ascii_alphabetic());
            if plain && !levels.contains(&text.to_ascii_lowercase().as_str()) {
                return Err(format!("unknown level \"{text}\"{}", suggestion(text, &levels)));
            }
            match EnvFilter::builder().parse(text) {
                Ok(_) => Ok(LogLevel(text.to_owned())),
                Err(error) => Err(format!("\"{text}\" is not a level: {error}")),
            }
        })
    }

    fn kind() -> String {
        "level".to_owned()
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(item: &Item<'_>) -> Option<Vec<T>> {
        let DeValue::Array(array) = item.value else {
            item.expected("a list");
            return None;
        };
        // What can be read is looked at further, so that all mistakes are found.
        let values: Vec<T> = array.iter().filter_map(|value| T::read(&item.part(value))).collect();
        (array.is_empty() || !values.is_empty()).then_some(values)
    }

    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
}

impl<T: Value> Value for Option<T> {
    fn read(item: &Item<'_>) -> Option<Option<T>> {
        T::read(item).map(Some)
    }

    fn kind() -> String {
        T::kind()
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

impl<T: Value> Value for At<T> {
    fn read(item: &Item<'_>) -> Option<At<T>> {
        T::read(item).map(|value| At { at: item.at, value })
    }

    fn kind() -> String {
        T::kind()
    }

    fn show(&self) -> String {
        self.value.show()
    }
}

impl Value for BTreeMap<String, String> {
    fn read(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
        let Some(mut table) = item.table() else {
            item.expected("a table of texts");
            return None;
        };
        let entries = table.rest().into_iter();
        let read = entries.map(|(key, item)| Some((key.to_owned(), String::read(&item)?)));
        read.collect::<Vec<_>>().into_iter().collect()
    }

    fn kind() -> String {
        "table of texts".to_owned()
    }

    fn show(&self) -> String {
        let entry = |(key, value): (&String, &String)| format!("{key} = \"{value}\"");
        format!("{{{}}}", self.iter().map(entry).collect::<Vec<_>>().join(", "))
    }
}
