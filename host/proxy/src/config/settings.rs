//! Settings of policies: anything that TOML can say and a policy can be told.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::reader::{Item, Table};
use super::value::integer;

/// A value of a policy's setting.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// true or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

/// All settings of a table; those of nested tables have dotted names.
pub(super) fn read(mut table: Table<'_>) -> BTreeMap<String, SettingValue> {
    let mut settings = BTreeMap::new();
    read_into(&mut settings, "", &mut table);
    settings
}

// As deep as the file is nested, which the TOML parser limits.
fn read_into(settings: &mut BTreeMap<String, SettingValue>, prefix: &str, table: &mut Table<'_>) {
    for (key, item) in table.rest() {
        let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        if let Some(mut nested) = item.table() {
            read_into(settings, &name, &mut nested);
        } else if let Some(value) = value(&item)
            && settings.insert(name, value).is_some()
        {
            item.mistake("is given twice, once with a dotted name and once in a table");
        }
    }
}

fn value(item: &Item<'_>) -> Option<SettingValue> {
    let value = match item.value {
        DeValue::Boolean(value) => Some(SettingValue::Boolean(*value)),
        DeValue::Integer(written) => integer(written).map(SettingValue::Integer),
        DeValue::Float(written) => written.as_str().parse().ok().map(SettingValue::Number),
        DeValue::String(text) => Some(SettingValue::Text(text.to_string())),
        DeValue::Array(array) => {
            let texts = array.iter().map(|one| one.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(SettingValue::Texts)
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    };
    if value.is_none() {
        let what = "a text, a list of texts, true or false, or a number of 64 bits";
        match item.value {
            DeValue::Integer(_) => item.mistake(format!("expected {what}")),
            DeValue::Array(_) => {
                item.mistake(format!("expected {what}; lists may hold texts only"))
            }
            _ => item.expected(what),
        }
    }
    value
}
