use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Something that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file, or the option of the command line.
    pub origin: PathBuf,
    /// Line and column, both counted from 1; none when the mistake has no place.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Mistake {
    /// A mistake that has no place.
    pub(crate) fn general(origin: impl Into<PathBuf>, message: impl Into<String>) -> Mistake {
        Mistake { origin: origin.into(), place: None, message: message.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Where the mistakes of one file are gathered.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    /// By line, then by column.
    found: RefCell<BTreeMap<(usize, usize), Vec<String>>>,
    /// Where the tables begin in which a value could not be read.
    spoiled: RefCell<BTreeSet<usize>>,
    /// The byte at which each line starts.
    lines: Vec<usize>,
    text: String,
}

impl Mistakes {
    pub(super) fn of(text: &str) -> Mistakes {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Mistakes { lines, text: text.to_owned(), ..Mistakes::default() }
    }

    /// Notes a mistake at a byte of the text.
    pub(super) fn add(&self, at: usize, message: impl Into<String>) {
        self.found.borrow_mut().entry(self.place(at)).or_default().push(message.into());
    }

    /// Notes that a value in the table that begins at this byte could not be read, so that it seems to be
    /// missing.
    pub(super) fn spoil(&self, table: usize) {
        self.spoiled.borrow_mut().insert(table);
    }

    /// Notes that something is missing in the table that begins at this byte, unless it may be one of those
    /// values that could not be read.
    pub(super) fn add_missing(&self, table: usize, message: impl Into<String>) {
        if !self.spoiled.borrow().contains(&table) {
            self.add(table, message);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Keeps the first mistake of each line, which tends to cause the others. For broken syntax.
    pub(super) fn first_of_each_line(&self) {
        let mut last = None;
        self.found.borrow_mut().retain(|(line, _), messages| {
            messages.truncate(1);
            last.replace(*line) != Some(*line)
        });
    }

    /// Takes in the mistakes of lines that have none yet.
    pub(super) fn add_on_other_lines(&self, others: Mistakes) {
        let mut found = self.found.borrow_mut();
        for (place, messages) in others.found.into_inner() {
            if found.range((place.0, 0)..=(place.0, usize::MAX)).next().is_none() {
                found.insert(place, messages);
            }
        }
    }

    /// All of them in the order of the text.
    pub(super) fn into_vec(self, origin: &Path) -> Vec<Mistake> {
        let each = |(place, messages): (_, Vec<String>)| {
            let with_place =
                move |message| Mistake { origin: origin.to_owned(), place: Some(place), message };
            messages.into_iter().map(with_place)
        };
        self.found.into_inner().into_iter().flat_map(each).collect()
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

/// The end of a message about an unknown word: what was meant, or what there is.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let distance = |candidate: &&&str| strsim::damerau_levenshtein(word, candidate);
    // A third of the letters may be wrong, of short words one, but never all of them.
    let most = (word.chars().count() / 3).max(1);
    let close = |best: &&&str| distance(best) <= most && distance(best) < word.chars().count();
    let near = known.iter().min_by_key(distance).filter(close);
    match near {
        Some(best) => format!("; did you mean \"{best}\"?"),
        None if known.is_empty() => String::new(),
        None => format!("; known: {}", known.join(", ")),
    }
}
