#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::pgbouncer::import;
use super::reference;
use crate::config::Config;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

/// A directory with all fixtures, and the certificates that they name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    let made = rcgen::generate_simple_self_signed(["proxy.example.com".to_owned()]).unwrap();
    std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
    let key = directory.path().join("key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    directory
}

/// The text that a file becomes, and the mistakes of one that is none.
fn imported(directory: &Path, file: &str) -> Result<String, String> {
    let path = directory.join(file);
    let plain = |text: String| text.replace(&directory.display().to_string(), "/etc/pgbouncer");
    match import(&path, None) {
        Ok(mut imported) => {
            // Before lines are broken.
            imported.notes = imported.notes.into_iter().map(plain).collect();
            let text = imported.text(Path::new(&plain(path.display().to_string())));
            Config::of_text(&text, Path::new("howdah.toml"))
                .map_err(|mistakes| format!("{mistakes:?}\n{text}"))?;
            Ok(plain(text))
        }
        Err(mistakes) => {
            let lines: Vec<String> = mistakes.iter().map(|m| format!("{m}\n")).collect();
            Ok(plain(lines.concat()))
        }
    }
}

/// Each `NAME.ini` becomes `NAME.toml`, which is sound, or its mistakes are `NAME.mistakes`.
#[test]
fn what_becomes_of_configurations() {
    let directory = directory();
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "ini") {
            names.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let text = imported(directory.path(), &format!("{name}.ini")).unwrap();
        let end = if text.starts_with('#') { "toml" } else { "mistakes" };
        let golden = fixtures().join(format!("{name}.{end}"));
        if std::env::var_os("REGENERATE").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap();
        assert!(text == expected, "{name}: REGENERATE=1 writes {}:\n{text}", golden.display());
    }
}

#[test]
fn the_document_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pgbouncer.md");
    let document = std::fs::read_to_string(path).unwrap();
    assert!(
        document == reference(),
        "docs/pgbouncer.md is out of date: howdah import-reference > docs/pgbouncer.md"
    );
}
