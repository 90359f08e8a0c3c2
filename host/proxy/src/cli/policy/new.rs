use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::arguments::NewArguments;
use crate::config::suggestion;

/// Language, name and contents of each file of a new project, from `sdk/*/template`, the SDKs and `wit/`.
const FILES: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/projects.rs"));
/// What most people call a language, and what it is called here.
const SHORT: (&str, &str) = ("js", "javascript");
/// What the project and its files are called in templates.
const NAME: (&str, &str) = ("my-router", "my_router");
/// Longest name of a policy, in bytes: it becomes the name of a file, and of a crate or package.
const MAX_NAME: usize = 64;

/// Writes a project.
pub(super) fn new(arguments: &NewArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let NewArguments { name, lang } = arguments;
    let lang = if lang == SHORT.0 { SHORT.1 } else { lang };
    let languages = languages();
    if !languages.contains(&lang) {
        bail!("there is no template for {lang}{}", suggestion(lang, &languages));
    }
    let sound = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !sound || name.len() > MAX_NAME {
        bail!(
            "\"{name}\" is no name of a policy: small letters, digits and hyphens, a letter first"
        );
    }
    let folder = Path::new(name);
    std::fs::create_dir(folder).with_context(|| format!("cannot make the folder {name}"))?;
    for (_, file, contents) in FILES.iter().filter(|(language, ..)| *language == lang) {
        let path = folder.join(named(file, name));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        // The SDK and the interface are as they are; the rest gets the project's name.
        let own = !file.starts_with("howdah/");
        let written = match std::str::from_utf8(contents) {
            Ok(text) if own => std::fs::write(&path, named(text, name)),
            _ => std::fs::write(&path, contents),
        };
        written.with_context(|| path.display().to_string())?;
    }
    writeln!(out, "wrote {name}/, a policy in {lang}\nnext: howdah policy build {name}")?;
    Ok(ExitCode::SUCCESS)
}

fn named(text: &str, name: &str) -> String {
    text.replace(NAME.0, name).replace(NAME.1, &name.replace('-', "_"))
}

fn languages() -> Vec<&'static str> {
    let mut languages: Vec<&str> = FILES.iter().map(|(language, ..)| *language).collect();
    languages.dedup();
    languages
}
