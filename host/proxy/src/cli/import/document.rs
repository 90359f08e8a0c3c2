//! A howdah.toml as it grows: tables in the order in which they are first spoken of.

use std::fmt::Write;

use toml::Value;

/// Longest line of a comment.
const WIDTH: usize = 100;

/// The whole file.
#[derive(Default)]
pub(super) struct Document {
    tables: Vec<Table>,
}

/// A table, or what stands before the first one.
pub(super) struct Table {
    /// With its brackets; empty at the top.
    header: String,
    lines: Vec<String>,
}

impl Document {
    /// The table with this header, such as `[pool]`; a new one at the end if there is none.
    pub(super) fn table(&mut self, header: &str) -> &mut Table {
        let found = self.tables.iter().position(|table| table.header == header);
        let index = found.unwrap_or_else(|| {
            self.tables.push(Table { header: header.to_owned(), lines: Vec::new() });
            self.tables.len() - 1
        });
        &mut self.tables[index]
    }

    /// A table of which there may be several, such as `[[rule]]`.
    pub(super) fn another(&mut self, header: &str) -> &mut Table {
        self.tables.push(Table { header: header.to_owned(), lines: Vec::new() });
        let last = self.tables.len() - 1;
        &mut self.tables[last]
    }

    /// The text, behind comments.
    pub(super) fn text(&self, comments: &[String]) -> String {
        let mut text = String::new();
        for comment in comments {
            text.push_str(&wrapped(comment));
        }
        let (top, others): (Vec<_>, Vec<_>) =
            self.tables.iter().partition(|table| table.header.is_empty());
        for table in top.into_iter().chain(others) {
            text.push('\n');
            for line in std::iter::once(&table.header).filter(|h| !h.is_empty()).chain(&table.lines)
            {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

impl Table {
    /// Adds a key, with what it comes from.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>, from: &str) -> &mut Table {
        let line = format!("{key} = {}", value.into());
        let line = if from.is_empty() { line } else { format!("{line} # {from}") };
        self.lines.push(line);
        self
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(&format!("{key} = ")))
    }
}

/// A part of a header as TOML wants it: bare, or in quotes.
pub(super) fn name(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A comment of several lines; those behind the first one of a list's item are indented.
fn wrapped(comment: &str) -> String {
    // They are not allowed in comments.
    let comment = comment.replace(|c: char| c.is_control() && !c.is_whitespace(), "\u{FFFD}");
    let indent = if comment.starts_with("- ") { "  " } else { "" };
    let mut text = "#".to_owned();
    let mut length = 1;
    for word in comment.split_whitespace() {
        if length + word.chars().count() >= WIDTH && length > 1 {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n# {indent}{word}");
            length = 2 + indent.len() + word.chars().count();
        } else {
            let _ = write!(text, " {word}");
            length += 1 + word.chars().count();
        }
    }
    text.push('\n');
    text
}
