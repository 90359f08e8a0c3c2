//! Keys that an operator has set while the program runs: they count more than the file.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::surroundings::{MAX_FILE, Surroundings, environment, read};
use super::{Config, Mistake};

/// Most keys that may be set at once.
pub(crate) const MAX_SET: usize = 1_000;

/// Reads a file that is sound by itself, with these keys changed.
pub(super) fn load(path: &Path, set: &BTreeMap<String, String>) -> Result<Config, Vec<Mistake>> {
    let wrong = |why: String| vec![Mistake::general(path, why)];
    let text = read(path, MAX_FILE).map_err(wrong)?;
    let mut document: Table =
        text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    for (key, text) in set {
        put(&mut document, key, value(text)).map_err(|why| wrong(format!("{key}: {why}")))?;
    }
    let text = toml::to_string(&document).map_err(|error| wrong(error.to_string()))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let surroundings = Surroundings { directory, variable: &environment };
    // The lines are not those of the file.
    let nowhere = |mistake: Mistake| Mistake { place: None, ..mistake };
    Config::parse(&text, path, &surroundings)
        .map_err(|mistakes| mistakes.into_iter().map(nowhere).collect())
}

/// A value as an operator writes it: a number, true, false or a list as in the file, anything else is a text.
fn value(text: &str) -> Value {
    let document = format!("value = {text}").parse::<Table>().ok();
    let value = document.and_then(|mut document| document.remove("value"));
    value.filter(|value| !value.is_datetime()).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn put(document: &mut Table, key: &str, value: Value) -> Result<(), &'static str> {
    let mut table = document;
    let mut names = key.split('.').peekable();
    while let Some(name) = names.next() {
        if name.is_empty() {
            return Err("names between dots must not be empty");
        }
        if names.peek().is_none() {
            table.insert(name.to_owned(), value);
            return Ok(());
        }
        let next = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
        table =
            next.as_table_mut().ok_or("it is in a list, and can be changed in the file only")?;
    }
    Err("expected the name of a key")
}
