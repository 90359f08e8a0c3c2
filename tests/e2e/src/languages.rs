//! The examples, built by the SDK of each language.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::program::program;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where `.ci/setup` has put the languages' tools. Installs what is missing.
fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let output = Command::new(root().join(".ci/setup")).arg("sdks").output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the languages' tools cannot be installed: {errors}");
        String::from_utf8(output.stdout).unwrap().trim_end().into()
    })
}

/// A command that finds the languages' tools, and keeps compiled components of a language.
fn command(program: impl AsRef<OsStr>, language: &str) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{}:{path}", tools().join("python/bin").display()))
        .env("GOCACHE", tools().join("go-cache"))
        .env("XDG_CACHE_HOME", cache(language));
    command
}

/// What is kept of a language.
fn cache(language: &str) -> PathBuf {
    crate::cache().join("languages").join(language)
}

/// Where compiled components of a language are kept.
pub fn compiled(language: &str) -> PathBuf {
    let howdah = cache(language).join("howdah");
    std::fs::create_dir_all(&howdah).unwrap();
    howdah.join("compiled")
}

/// Runs a command, and returns what it says.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {told}");
    told
}

/// Builds an example in a language and returns its component.
pub fn example(language: &str, name: &str) -> PathBuf {
    if language == "rust" {
        return crate::policy(name);
    }
    built(language, name, &root().join("examples").join(name).join(language))
}

/// Builds a project with a policy of this folder and returns its component.
pub fn built(language: &str, name: &str, sources: &Path) -> PathBuf {
    let folder = cache(language).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(cache(language)).unwrap();
    let new = ["policy", "new", "--lang", language, name];
    run(command(program(), language).args(new).current_dir(cache(language)));
    let files = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    // The policy of the project gives way to that of the folder.
    let stem = |path: &Path| path.file_stem().is_some_and(|stem| stem == "policy");
    files(&folder).filter(|path| stem(path)).for_each(|path| std::fs::remove_file(path).unwrap());
    for file in files(sources).filter(|path| stem(path)) {
        std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    if language == "javascript" {
        std::os::unix::fs::symlink(tools().join("node_modules"), folder.join("node_modules"))
            .unwrap();
    }
    run(command(program(), language).args(["policy", "build"]).arg(&folder));
    folder.join(name).with_extension("wasm")
}

/// What `go test` says of what is in a folder of the repository.
pub fn go_tests(folder: &str) -> String {
    run(command("go", "go").args(["test", "./..."]).current_dir(root().join(folder)))
}
