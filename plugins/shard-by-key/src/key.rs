//! What a key is, however it is sent.

use std::fmt;

use howdah_sdk::question::ParameterValue;

/// A key, the same for the same value in any format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// `int2`, `int4` or `int8`.
    Integer(i64),
    /// Any text; or a UUID in its usual form.
    Text(String),
}

/// Of which type keys are. No format tells: four bytes are a number as well as a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    /// `int2`, `int4` or `int8`.
    #[default]
    Integer,
    /// `text` or `varchar`.
    Text,
    /// `uuid`.
    Uuid,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Integer(number) => write!(f, "{number}"),
            Key::Text(text) => f.write_str(text),
        }
    }
}

impl KeyType {
    /// By its name in the settings.
    pub fn named(name: &str) -> Result<KeyType, String> {
        match name {
            "integer" => Ok(KeyType::Integer),
            "text" => Ok(KeyType::Text),
            "uuid" => Ok(KeyType::Uuid),
            other => Err(format!("key-type must be integer, text or uuid, not {other}")),
        }
    }

    /// A key from its text: a literal, a tag, a parameter in text format.
    pub fn of_text(self, text: &str) -> Result<Key, String> {
        match self {
            // PostgreSQL takes white space around a number.
            KeyType::Integer => {
                text.trim_ascii().parse().map(Key::Integer).map_err(|_| self.not(text))
            }
            KeyType::Text => Ok(Key::Text(text.to_owned())),
            KeyType::Uuid => {
                uuid(text).map(|bytes| hyphenated(&bytes)).ok_or_else(|| self.not(text))
            }
        }
    }

    /// A key that is bound to a parameter.
    pub fn of_parameter(self, value: &ParameterValue) -> Result<Key, String> {
        match value {
            ParameterValue::Null => Err("the shard key is NULL".into()),
            ParameterValue::Text(text) => self.of_text(text),
            ParameterValue::Binary(bytes) => self.of_binary(bytes),
        }
    }

    fn of_binary(self, bytes: &[u8]) -> Result<Key, String> {
        let wrong = || format!("a binary parameter of {} bytes is no shard key", bytes.len());
        match self {
            KeyType::Integer => match *bytes {
                [a, b] => Ok(Key::Integer(i16::from_be_bytes([a, b]).into())),
                [a, b, c, d] => Ok(Key::Integer(i32::from_be_bytes([a, b, c, d]).into())),
                [a, b, c, d, e, f, g, h] => {
                    Ok(Key::Integer(i64::from_be_bytes([a, b, c, d, e, f, g, h])))
                }
                _ => Err(wrong()),
            },
            KeyType::Text => std::str::from_utf8(bytes)
                .map(|text| Key::Text(text.to_owned()))
                .map_err(|_| wrong()),
            KeyType::Uuid => {
                bytes.try_into().map(|bytes: &[u8; 16]| hyphenated(bytes)).map_err(|_| wrong())
            }
        }
    }

    fn not(self, text: &str) -> String {
        let what = if self == KeyType::Uuid { "UUID" } else { "integer of 64 bits" };
        format!("the shard key \"{text}\" is no {what}")
    }
}

/// As PostgreSQL reads it: any case, braces around it, a hyphen after any four digits.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.trim_ascii();
    let inner = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    let mut bytes = [0; 16];
    let mut digits = 0;
    let mut hyphen = false;
    for c in inner.bytes() {
        if c == b'-' {
            if hyphen || digits == 0 || digits == 32 || digits % 4 != 0 {
                return None;
            }
            hyphen = true;
            continue;
        }
        hyphen = false;
        let value = u8::try_from(char::from(c).to_digit(16)?).ok()?;
        let byte = bytes.get_mut(digits / 2)?;
        *byte = *byte << 4 | value;
        digits += 1;
    }
    (digits == 32).then_some(bytes)
}

fn hyphenated(bytes: &[u8; 16]) -> Key {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Key::Text(text)
}
