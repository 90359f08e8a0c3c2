#![allow(clippy::unwrap_used)]

mod good;
mod mistakes;
mod reference;

use std::ffi::OsString;
use std::path::Path;

use super::Config;
use super::surroundings::Surroundings;

/// Reads a text in a directory that holds `policy.wasm`, `app.password` and an empty file.
fn parse(text: &str) -> Result<Config, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [("policy.wasm", "\0asm"), ("app.password", "hush\n"), ("empty", "\n")] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    parse_in(text, directory.path())
}

fn parse_in(text: &str, directory: &Path) -> Result<Config, Vec<String>> {
    let variable =
        |name: &str| (name == "APP_PASSWORD").then(|| OsString::from("from the environment"));
    let surroundings = Surroundings { directory, variable: &variable };
    let result = Config::parse(text, Path::new("howdah.toml"), &surroundings);
    let place = format!("{}/", directory.display());
    result
        .map_err(|all| all.iter().map(|mistake| mistake.to_string().replace(&place, "")).collect())
}
