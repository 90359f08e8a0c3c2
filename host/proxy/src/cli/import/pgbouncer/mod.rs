//! From PgBouncer's configuration to ours.

mod accounts;
mod clients;
mod clusters;
mod hba;
mod ini;
mod pools;
pub(super) mod settings;
mod userlist;

use std::path::{Path, PathBuf};

use ini::{Entry, Ini, Place, pairs};
use settings::{Fate, Setting};

use super::{Imported, document::Document};
use crate::config::{Mistake, suggestion};

/// A name in `[databases]`, `[users]` or `[peers]`, and its connection string.
struct Named {
    name: String,
    pairs: Vec<(String, String)>,
    place: Place,
}

impl Named {
    /// The value of a key; of several the last one counts.
    fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rfind(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// What is read, and what becomes of it.
struct Import<'a> {
    ini: &'a Ini,
    databases: Vec<Named>,
    users: Vec<Named>,
    peers: Vec<Named>,
    document: Document,
    notes: Vec<String>,
    mistakes: Vec<Mistake>,
}

/// Reads PgBouncer's configuration, with this list of users instead of the one that it names. Blocks on files.
///
/// # Errors
/// Every mistake in it.
pub(super) fn import(file: &Path, userlist: Option<&Path>) -> Result<Imported, Vec<Mistake>> {
    let ini = Ini::read(file)?;
    let mut import = Import {
        ini: &ini,
        databases: Vec::new(),
        users: Vec::new(),
        peers: Vec::new(),
        document: Document::default(),
        notes: Vec::new(),
        mistakes: Vec::new(),
    };
    import.databases = import.named("databases", settings::DATABASE);
    import.users = import.named("users", settings::USER);
    import.peers = import.named("peers", settings::PEER);
    for entry in ini.section("pgbouncer") {
        import.fate("", &entry.key, &entry.value, settings::SETTINGS, &entry.place);
    }
    import.listen();
    let accounts = import.accounts(userlist);
    import.entrance(&accounts);
    import.client_tls();
    import.clusters(&accounts);
    import.pools();
    import.console();
    if import.mistakes.is_empty() {
        Ok(Imported { document: import.document, notes: import.notes })
    } else {
        let mut mistakes = import.mistakes;
        mistakes.sort_by(|a, b| (&a.origin, a.place).cmp(&(&b.origin, b.place)));
        Err(mistakes)
    }
}

impl<'a> Import<'a> {
    /// The names of a section with what is said of them.
    fn named(&mut self, section: &str, known: &[Setting]) -> Vec<Named> {
        let mut all = Vec::new();
        for Entry { key, value, place, .. } in self.ini.section(section) {
            match pairs(value) {
                Ok(pairs) => {
                    for (name, value) in &pairs {
                        self.fate(&format!("{key}: "), name, value, known, place);
                    }
                    all.push(Named { name: key.clone(), pairs, place: place.clone() });
                }
                Err(why) => self.mistakes.push(place.mistake(format!("{key}: {why}"))),
            }
        }
        all
    }

    /// Tells what does not become anything, and refuses what PgBouncer does not know.
    fn fate(&mut self, of: &str, key: &str, value: &str, known: &[Setting], place: &Place) {
        let Some((_, default, fate)) = known.iter().find(|(name, ..)| *name == key) else {
            let names: Vec<&str> = known.iter().map(|(name, ..)| *name).collect();
            let near = suggestion(key, &names);
            let near = if near.contains("mean") { near } else { String::new() };
            self.mistakes.push(place.mistake(format!("{of}unknown key \"{key}\"{near}")));
            return;
        };
        match fate {
            _ if value == *default => {}
            Fate::Key(_) => {}
            Fate::Needless(why) => self.note(place, format!("{of}{key} is not needed: {why}")),
            Fate::Missing(what) => self.note(place, format!("{of}{key} has no equivalent: {what}")),
        }
    }

    fn note(&mut self, place: &Place, text: impl std::fmt::Display) {
        self.notes.push(format!("{}:{}: {text}", place.file.display(), place.line));
    }

    /// Notes something of a setting, or of its default.
    fn note_of(&mut self, setting: &str, text: impl std::fmt::Display) {
        match self.ini.setting(setting) {
            Some(entry) => self.note(&entry.place, format!("{setting}: {text}")),
            None => self.notes.push(format!("{setting} (PgBouncer's default): {text}")),
        }
    }

    /// The value of a setting, or PgBouncer's default.
    fn text(&self, setting: &str) -> &'a str {
        let default = settings::SETTINGS.iter().find(|(name, ..)| *name == setting);
        let default = default.map_or("", |(_, default, _)| default);
        self.ini.setting(setting).map_or(default, |entry| &entry.value)
    }

    /// The same, when it may be one of these.
    fn word(&mut self, setting: &str, words: &[&'static str]) -> &'static str {
        let text = self.text(setting);
        if let Some(word) = words.iter().find(|word| **word == text) {
            return word;
        }
        let message = format!("{setting}: \"{text}\" is none of {}", words.join(", "));
        self.mistake_of(setting, message);
        words[0]
    }

    /// The same, when it is 0 or 1.
    fn is_on(&mut self, setting: &str) -> bool {
        self.whole(setting) != 0
    }

    /// The same, when it is a whole number.
    fn whole(&mut self, setting: &str) -> u64 {
        let text = self.text(setting);
        text.parse().unwrap_or_else(|_| {
            self.mistake_of(setting, format!("{setting}: \"{text}\" is not a whole number"));
            0
        })
    }

    fn mistake_of(&mut self, setting: &str, message: String) {
        if let Some(entry) = self.ini.setting(setting) {
            self.mistakes.push(entry.place.mistake(message));
        }
    }

    /// What a setting's key has as comment.
    fn from(&self, setting: &str) -> String {
        match self.ini.setting(setting) {
            Some(_) => setting.to_owned(),
            None => format!("{setting}, PgBouncer's default"),
        }
    }

    /// A file that a setting names, with its whole path.
    fn path(&self, setting: &str) -> Option<PathBuf> {
        let entry = self.ini.setting(setting).filter(|entry| !entry.value.is_empty())?;
        let path = ini::located(&entry.place.file, &entry.value);
        Some(std::path::absolute(&path).unwrap_or(path))
    }
}
