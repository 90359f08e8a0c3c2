//! A typed reader over spanned TOML: it takes keys, collects mistakes, and complains at the end about keys
//! that nobody took. With no text to read, it notes what the keys are: the reference is made from that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistakes, suggestion};
use super::value::Value;

/// What readers share.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) mistakes: Mistakes,
    /// What is known of tables and keys; only when there is nothing to read.
    pub(super) notes: Option<RefCell<Vec<Note>>>,
    /// All keys that were read.
    pub(super) shown: RefCell<Vec<Shown>>,
}

/// A key of the configuration, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// With the names of its tables.
    pub key: String,
    /// What it has; of a secret, whether it has any.
    pub value: String,
    /// What it has when nothing is written.
    pub default: String,
}

/// A table or key, for the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Table { header: String, about: &'static str },
    Key { name: &'static str, kind: String, default: String, about: &'static str },
}

/// A value as written.
#[derive(Clone)]
pub(super) struct Item<'a> {
    /// With the names of its tables, for messages.
    pub(super) name: String,
    pub(super) value: &'a DeValue<'a>,
    pub(super) at: usize,
    /// What a number may be.
    pub(super) range: Option<String>,
    pub(super) reading: &'a Reading,
}

impl<'a> Item<'a> {
    /// Notes what is wrong with the value.
    pub(super) fn mistake(&self, message: impl std::fmt::Display) {
        self.reading.mistakes.add(self.at, format!("{}: {message}", self.name));
    }

    /// Notes that a number is too small or too large.
    pub(super) fn out_of_range(&self) {
        match &self.range {
            Some(range) => self.mistake(format!("must be {range}")),
            None => self.mistake("this number is too small or too large"),
        }
    }

    /// Notes that the value is of the wrong type. Never shows the value, which may be a secret.
    pub(super) fn expected(&self, what: impl std::fmt::Display) {
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.mistake(format!("expected {what}, found {found}"));
    }

    /// The same name, another value: an element of a list.
    pub(super) fn part(&self, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        Item { value: value.get_ref(), at: value.span().start, ..self.clone() }
    }

    /// The value as a table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(table) => {
                Some(Table::new(self.name.clone(), self.at, table, self.reading))
            }
            _ => None,
        }
    }
}

/// A key: its name, what it is about, and what it may be.
pub(super) struct Key<T> {
    name: &'static str,
    about: &'static str,
    default: T,
    range: Option<Range<T>>,
}

struct Range<T> {
    text: String,
    includes: Box<dyn Fn(&T) -> bool>,
}

impl<T: Value> Key<T> {
    pub(super) fn new(name: &'static str, about: &'static str, default: T) -> Key<T> {
        Key { name, about, default, range: None }
    }

    pub(super) fn within(mut self, range: RangeInclusive<T>) -> Key<T>
    where
        T: PartialOrd + 'static,
    {
        let text = format!("{} to {}", range.start().show(), range.end().show());
        self.range = Some(Range { text, includes: Box::new(move |value| range.contains(value)) });
        self
    }

    fn note(&self) -> Note {
        let kind = match &self.range {
            Some(range) => format!("{}, {}", T::kind(), range.text),
            None => T::kind(),
        };
        Note::Key { name: self.name, kind, default: self.default.show(), about: self.about }
    }
}

/// A table as written, and which of its keys are known.
pub(super) struct Table<'a> {
    name: String,
    /// Where it begins.
    pub(super) at: usize,
    left: BTreeMap<&'a str, (usize, &'a Spanned<DeValue<'a>>)>,
    known: Vec<&'static str>,
    pub(super) reading: &'a Reading,
}

impl<'a> Table<'a> {
    pub(super) fn new(
        name: String,
        at: usize,
        table: &'a DeTable<'a>,
        reading: &'a Reading,
    ) -> Table<'a> {
        let entry = |(key, value): (&'a Spanned<_>, _)| -> (&'a str, _) {
            let text: &std::borrow::Cow<'_, str> = key.get_ref();
            (text.as_ref(), (key.span().start, value))
        };
        let left = table.iter().map(entry).collect();
        Table { name, at, left, known: Vec::new(), reading }
    }

    /// A table that is not there.
    fn empty(name: String, at: usize, reading: &'a Reading) -> Table<'a> {
        Table { name, at, left: BTreeMap::new(), known: Vec::new(), reading }
    }

    fn full_name(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn note(&self, note: impl FnOnce() -> Note) -> bool {
        if let Some(notes) = &self.reading.notes {
            notes.borrow_mut().push(note());
        }
        self.reading.notes.is_some()
    }

    /// The value of a key, or its default.
    pub(super) fn key<T: Value>(&mut self, key: Key<T>) -> T {
        self.note(|| key.note());
        let taken = self.take(key.name);
        let (default, name) = (key.default.show(), key.name);
        let set = taken.is_some();
        let value = self.value(key, taken);
        let shown =
            if name.ends_with("password") && set { "(set)".to_owned() } else { value.show() };
        let shown = Shown { key: self.full_name(name), value: shown, default };
        self.reading.shown.borrow_mut().push(shown);
        value
    }

    fn value<T: Value>(&self, key: Key<T>, taken: Option<Item<'a>>) -> T {
        let Some(mut item) = taken else { return key.default };
        item.range = key.range.as_ref().map(|range| range.text.clone());
        let in_range = |value: &T| {
            let in_range = key.range.as_ref().is_none_or(|range| (range.includes)(value));
            if !in_range {
                item.out_of_range();
            }
            in_range
        };
        T::read(&item).filter(in_range).unwrap_or_else(|| {
            self.spoil();
            key.default
        })
    }

    fn item(&self, key: &str, at: usize, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        let name = self.full_name(key);
        Item { name, value: value.get_ref(), at, range: None, reading: self.reading }
    }

    fn spoil(&self) {
        self.reading.mistakes.spoil(self.at);
    }

    /// What was written for a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let (_, value) = self.left.remove(key)?;
        Some(self.item(key, value.span().start, value))
    }

    /// The table at a key; without one, an empty table, so that defaults are read the same way.
    pub(super) fn table(&mut self, key: &'static str, about: &'static str) -> Table<'a> {
        self.note(|| Note::Table { header: format!("[{}]", self.full_name(key)), about });
        let item = self.take(key);
        let table = item.as_ref().and_then(|item| {
            item.table().or_else(|| {
                item.expected("a table");
                None
            })
        });
        table.unwrap_or_else(|| Table::empty(self.full_name(key), self.at, self.reading))
    }

    /// The tables `[key.NAME]` with their names, in the order of the text.
    pub(super) fn named(
        &mut self,
        key: &'static str,
        about: &'static str,
    ) -> Vec<(&'a str, Table<'a>)> {
        let header = || format!("[{}.NAME]", self.full_name(key));
        if self.note(|| Note::Table { header: header(), about }) {
            return vec![("NAME", Table::empty(format!("{key}.NAME"), 0, self.reading))];
        }
        let Some(item) = self.take(key) else { return Vec::new() };
        let Some(all) = item.table() else {
            item.expected(format!("tables of the form [{key}.NAME]"));
            self.spoil();
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, (at, value)) in &all.left {
            let one = all.item(name, *at, value);
            match one.table() {
                Some(table) => tables.push((*name, table)),
                None => {
                    one.expected(format!("a table of the form [{key}.NAME]"));
                    self.spoil();
                }
            }
        }
        tables.sort_by_key(|(_, table)| table.at);
        tables
    }

    /// The tables `[[key]]`, in the order of the text.
    pub(super) fn list(&mut self, key: &'static str, about: &'static str) -> Vec<Table<'a>> {
        if self.note(|| Note::Table { header: format!("[[{}]]", self.full_name(key)), about }) {
            return vec![Table::empty(key.to_owned(), 0, self.reading)];
        }
        let Some(item) = self.take(key) else { return Vec::new() };
        let DeValue::Array(array) = item.value else {
            item.expected(format!("tables of the form [[{key}]]"));
            return Vec::new();
        };
        let table = |one: Item<'a>| {
            one.table().or_else(|| {
                one.expected(format!("a table of the form [[{key}]]"));
                None
            })
        };
        array.iter().filter_map(|value| table(item.part(value))).collect()
    }

    /// Notes the keys of a value that may be a table, for the reference.
    pub(super) fn describe<T>(
        &self,
        key: &str,
        about: &'static str,
        read: impl Fn(&mut Table<'_>) -> T,
    ) {
        let name = self.full_name(key);
        if self.note(|| Note::Table { header: name.clone(), about }) {
            read(&mut Table::empty(name, 0, self.reading));
        }
    }

    /// All that is written and not yet taken, for tables whose keys are free.
    pub(super) fn rest(&mut self) -> Vec<(&'a str, Item<'a>)> {
        let left = std::mem::take(&mut self.left);
        let item = |(key, (_, value)): (&'a str, (usize, &'a Spanned<DeValue<'a>>))| {
            (key, self.item(key, value.span().start, value))
        };
        left.into_iter().map(item).collect()
    }

    /// Complains about keys that nobody took.
    pub(super) fn finish(self) {
        for (key, (at, _)) in &self.left {
            let place = match self.name.as_str() {
                "" => "at the top of the file".to_owned(),
                name => format!("in {name}"),
            };
            let end = suggestion(key, &self.known);
            self.reading.mistakes.add(*at, format!("unknown key \"{key}\" {place}{end}"));
        }
    }
}

/// Declares a table: a struct with its keys, each with what it is about, its default, and its range. One line
/// (and its doc comment) per key; struct, reader and reference are made from it.
macro_rules! section {
    ($(#[doc = $about:literal])* $vis:vis struct $name:ident {
        $($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr $(, in $range:expr)?;)*
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[doc = $doc])* pub $key: $type,)*
        }

        impl $name {
            /// What the table is about, for the reference.
            pub(super) const ABOUT: &'static str = concat!($($about),*);

            /// Takes the keys out of a table.
            pub(super) fn read(table: &mut $crate::config::reader::Table<'_>) -> $name {
                $name {
                    $($key: table.key($crate::config::reader::Key::<$type>::new(
                        stringify!($key),
                        concat!($($doc),*),
                        $default,
                    )$(.within($range))?),)*
                }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: $default,)* }
            }
        }
    };
}
pub(super) use section;
