use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::mistake::Mistakes;
use super::reader::Reading;
use super::surroundings::{MAX_FILE, Surroundings, environment, read};
use super::written::Written;
use super::{Config, Mistake, address, changed, meaning, nodes};
use crate::upstream::Target;

/// Where a configuration comes from, at the start and again at every reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The main part.
    pub origin: Origin,
    /// Where to listen instead, unless empty.
    pub listen: Vec<Target>,
    /// What operators have set, by key: it counts more than the file.
    pub set: BTreeMap<String, String>,
}

/// The main part of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// Addresses of nodes, and defaults for all the rest.
    Nodes(Vec<String>),
}

impl Source {
    /// As it stands there.
    pub fn of(origin: Origin) -> Source {
        Source { origin, listen: Vec::new(), set: BTreeMap::new() }
    }

    /// The file to watch, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::Nodes(_) => None,
        }
    }

    /// Reads the configuration. Blocks on files.
    ///
    /// # Errors
    /// Every mistake that is found.
    pub fn load(&self) -> Result<Config, Vec<Mistake>> {
        let mut config = match &self.origin {
            Origin::File(path) => Config::load(path),
            Origin::Nodes(nodes) => Config::from_nodes(nodes),
        }?;
        if let (false, Origin::File(path)) = (self.set.is_empty(), &self.origin) {
            config = changed::load(path, &self.set)?;
        }
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
        }
        Ok(config)
    }

    /// Reads an address to listen at: `host:port`, or `/directory:port` for a Unix socket.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_listen(text: &str) -> Result<Target, String> {
        address::parse_listen(text).map(|listen| listen.0)
    }
}

impl Config {
    /// Reads a file. Blocks on it, and on the files that it names.
    ///
    /// # Errors
    /// Every mistake that is found.
    pub fn load(path: &Path) -> Result<Config, Vec<Mistake>> {
        let text = read(path, MAX_FILE).map_err(|why| vec![Mistake::general(path, why)])?;
        Config::of_text(&text, path)
    }

    /// Reads what is in a file, or will be.
    pub(crate) fn of_text(text: &str, path: &Path) -> Result<Config, Vec<Mistake>> {
        let directory = path.parent().unwrap_or(Path::new(""));
        Config::parse(text, path, &Surroundings { directory, variable: &environment })
    }

    /// A configuration of one cluster with these nodes, and defaults for all the rest. Clients of this machine
    /// are let in under any name; user and passwords for servers are found as libpq finds them.
    ///
    /// # Errors
    /// Every address that is none.
    pub fn from_nodes(addresses: &[String]) -> Result<Config, Vec<Mistake>> {
        nodes::config(addresses, &Surroundings { directory: Path::new(""), variable: &environment })
    }

    /// Reads a text.
    pub(super) fn parse(
        text: &str,
        origin: &Path,
        surroundings: &Surroundings<'_>,
    ) -> Result<Config, Vec<Mistake>> {
        let syntax = Mistakes::of(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            syntax.add(at, error.message());
        }
        let reading = Reading { mistakes: Mistakes::of(text), ..Reading::default() };
        let written = Written::read(document.get_ref(), &reading);
        let (mistakes, shown) = (reading.mistakes, reading.shown.into_inner());
        if !syntax.is_empty() {
            // What has been read is not all that was meant: there is no use in looking further.
            syntax.first_of_each_line();
            syntax.add_on_other_lines(mistakes);
            return Err(syntax.into_vec(origin));
        }
        let config = Config { shown, ..meaning::meaning(written, surroundings, &mistakes) };
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes.into_vec(origin)) }
    }
}
