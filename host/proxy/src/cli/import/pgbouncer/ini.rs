//! PgBouncer's configuration files, as its parser takes them: sections, `key = value`, comments of whole lines,
//! `%include`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::config::{MAX_FILE, Mistake, read_text, suggestion};

/// Files within files: PgBouncer's own limit (libusual's cfparser.c, `MAX_INCLUDE`).
const MAX_INCLUDE: usize = 10;
/// Files in all: those that include each other several times would never come to an end.
const MAX_FILES: usize = 1_000;
/// What is wrong is not shown: there may be a password in it.
const NO_PAIR: &str = "expected key=value, with quotes around values that have blanks";
const INCLUDE: &str = "%include";
const SECTIONS: [&str; 4] = ["pgbouncer", "databases", "users", "peers"];

/// Where something is written; lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Rc<Path>,
    pub(super) line: usize,
}

impl Place {
    pub(super) fn mistake(&self, message: impl Into<String>) -> Mistake {
        let origin = self.file.to_path_buf();
        Mistake { origin, place: Some((self.line, 1)), message: message.into() }
    }
}

/// `key = value` of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) section: &'static str,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) place: Place,
}

/// What a file says, and those that it includes.
#[derive(Debug, Default)]
pub(super) struct Ini {
    entries: Vec<Entry>,
    mistakes: Vec<Mistake>,
    files: usize,
}

impl Ini {
    /// Reads a file. Blocks on it.
    pub(super) fn read(path: &Path) -> Result<Ini, Vec<Mistake>> {
        let mut ini = Ini::default();
        ini.file(path, 0, None);
        if ini.mistakes.is_empty() { Ok(ini) } else { Err(ini.mistakes) }
    }

    /// The entries of a section. Of several with the same key the last one counts, in the place of the first.
    pub(super) fn section(&self, section: &str) -> Vec<&Entry> {
        let mut found: Vec<&Entry> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.section == section) {
            match found.iter_mut().find(|other| other.key == entry.key) {
                Some(earlier) => *earlier = entry,
                None => found.push(entry),
            }
        }
        found
    }

    /// A setting of PgBouncer as a whole.
    pub(super) fn setting(&self, key: &str) -> Option<&Entry> {
        self.section("pgbouncer").into_iter().find(|entry| entry.key == key)
    }

    /// Reads a file in a section, and returns the section at its end.
    fn file(
        &mut self,
        path: &Path,
        depth: usize,
        mut section: Option<&'static str>,
    ) -> Option<&'static str> {
        self.files += 1;
        let text = match read_text(path, MAX_FILE) {
            Ok(text) => text,
            Err(why) => {
                self.mistakes.push(Mistake::general(path, why));
                return section;
            }
        };
        let file: Rc<Path> = path.into();
        for (line, number) in text.lines().zip(1..) {
            let place = Place { file: Rc::clone(&file), line: number };
            match self.line(line.trim(), &place, depth, section) {
                Ok(next) => section = next,
                Err(why) => self.mistakes.push(place.mistake(why)),
            }
        }
        section
    }

    fn line(
        &mut self,
        line: &str,
        place: &Place,
        depth: usize,
        section: Option<&'static str>,
    ) -> Result<Option<&'static str>, String> {
        if line.is_empty() || line.starts_with([';', '#']) {
            return Ok(section);
        }
        if let Some(name) = line.strip_prefix(INCLUDE)
            && name.starts_with([' ', '\t'])
        {
            if depth == MAX_INCLUDE {
                return Err(format!("more than {MAX_INCLUDE} files include each other"));
            }
            if self.files == MAX_FILES {
                return Err(format!("there are more than {MAX_FILES} files"));
            }
            let path = located(&place.file, name.trim());
            return Ok(self.file(&path, depth + 1, section));
        }
        if let Some(rest) = line.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or("the ] of a section is missing")?;
            let known = SECTIONS.iter().find(|section| **section == name);
            let unknown = || format!("unknown section [{name}]{}", suggestion(name, &SECTIONS));
            let section = *known.ok_or_else(unknown)?;
            return self.line(rest.trim_start(), place, depth, Some(section));
        }
        let (key, value) = assignment(line)?;
        let section = section.ok_or("this stands before the first section, such as [databases]")?;
        self.entries.push(Entry { section, key, value, place: place.clone() });
        Ok(Some(section))
    }
}

/// A file that another one names: from the working directory, as PgBouncer does it, or else beside that file.
pub(super) fn located(from: &Path, name: &str) -> PathBuf {
    let path = Path::new(name);
    if path.exists() {
        return path.to_owned();
    }
    from.parent().unwrap_or(Path::new("")).join(path)
}

/// Splits `key = value`. The key may be quoted, as an identifier in SQL.
fn assignment(line: &str) -> Result<(String, String), String> {
    let (key, rest) = match line.strip_prefix('"') {
        Some(quoted) => identifier(quoted).ok_or("the second quote of the name is missing")?,
        None => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
            let end = line.find(|c| !plain(c)).unwrap_or(line.len());
            (line[..end].to_owned(), &line[end..])
        }
    };
    // The line is not shown: there may be a password in it.
    let value = rest.trim_start().strip_prefix('=').ok_or("expected key = value")?;
    if key.is_empty() {
        return Err("the key is missing".to_owned());
    }
    Ok((key, value.trim().to_owned()))
}

/// What stands before the next quote that is not doubled, and what comes behind it.
pub(super) fn identifier(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(behind) => {
                name.push('"');
                rest = behind;
            }
            None => return Some((name, behind)),
        }
    }
}

/// Splits a connection string into its pairs: values may be in single quotes, where a quote is written twice.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').ok_or(NO_PAIR)?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(NO_PAIR.to_owned());
        }
        let unquoted = || format!("the second quote of {key} is missing");
        let (value, behind) = value(behind.trim_start()).ok_or_else(unquoted)?;
        if value.is_empty() {
            return Err(format!("{key} has no value"));
        }
        pairs.push((key.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(pairs)
}

fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if characters.next_if(|(_, next)| *next == '\'').is_some() => value.push('\''),
            '\'' => return Some((value, &quoted[at + 1..])),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn connection_strings_are_split() {
        let all = pairs("host=a  port = 1 password='it''s = '  user=x").unwrap();
        let all: Vec<_> = all.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        assert_eq!(all, ["host:a", "port:1", "password:it's = ", "user:x"]);
        assert_eq!(pairs("").unwrap(), []);
        let wrong = [
            "host",
            "=a",
            "host=",
            "password='hush",
            "a b=c",
            "password=x hush",
            "password=x hush host=a",
        ];
        for wrong in wrong {
            assert!(!pairs(wrong).unwrap_err().contains("hush"), "{wrong}");
        }
    }

    #[test]
    fn names_may_be_quoted() {
        let split = |line| assignment(line).unwrap();
        assert_eq!(split("\"a \"\"b\" = c = d"), ("a \"b".to_owned(), "c = d".to_owned()));
        assert_eq!(split("*="), ("*".to_owned(), String::new()));
        for wrong in ["a b = c", "\"a = b", "= c", "a"] {
            assert!(assignment(wrong).is_err(), "{wrong}");
        }
    }

    fn read(files: &[(&str, &str)]) -> Result<Ini, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let place = format!("{}/", directory.path().display());
        let plain = |mistake: Mistake| mistake.to_string().replace(&place, "");
        Ini::read(&directory.path().join(files[0].0))
            .map_err(|mistakes| mistakes.into_iter().map(plain).collect())
    }

    #[test]
    fn files_include_others_in_their_section() {
        let ini = read(&[
            ("a", "; x\n[databases] # y\nx = 1\n%include b\nz = 3\nx = 4"),
            ("b", "  y= 2 ; no comment\n[users]\n"),
        ]);
        let ini = ini.unwrap();
        let told = |section| -> Vec<String> {
            let entries = ini.section(section).into_iter();
            entries.map(|entry| format!("{}={}", entry.key, entry.value)).collect()
        };
        assert_eq!(told("databases"), ["x=1", "y=2 ; no comment"]);
        assert_eq!(told("users"), ["z=3", "x=4"]);
        assert_eq!(ini.section("users")[1].place.line, 6);
    }

    #[test]
    fn mistakes_have_places() {
        let mistakes = read(&[("a", "x = 1\n[database]\n[users\n[users]\nx y\n%include none\n")]);
        let mistakes = mistakes.unwrap_err();
        assert_eq!(mistakes.len(), 5, "{mistakes:?}");
        assert_eq!(mistakes[1], "a:2:1: unknown section [database]; did you mean \"databases\"?");
        assert!(mistakes[4].starts_with("none: cannot read"), "{mistakes:?}");
        let endless = read(&[("a", "%include a\n")]).unwrap_err();
        assert_eq!(endless, ["a:1:1: more than 10 files include each other"]);
        let often = read(&[("a", "%include a\n%include a\n%include a\n")]).unwrap_err();
        assert!(often.iter().any(|why| why.ends_with("more than 1000 files")), "{often:?}");
    }
}
