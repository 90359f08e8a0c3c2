//! Builds the default policy from source, so that it can be embedded, and lists what `howdah policy new` writes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

fn main() {
    let root = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("../..");
    for watched in ["plugins/read-write-split", "sdk", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
    let out = PathBuf::from(env("OUT_DIR"));
    write(&out.join("projects.rs"), &projects(&root, &out));
    build(&root, &out.join("wasm"));
    let built = out.join("wasm").join(TARGET).join("release/read_write_split.wasm");
    if let Err(error) = std::fs::copy(&built, out.join("read_write_split.wasm")) {
        panic!("the default policy was built but is not at {}: {error}", built.display());
    }
}

/// The files of new projects by language, as Rust source: those of all templates and of its own, then the SDK and the
/// interface in the same places as in the repository.
fn projects(root: &Path, out: &Path) -> String {
    let mut source = String::from("&[\n");
    for language in names(&root.join("sdk")) {
        let sdk = root.join("sdk").join(&language);
        let template = sdk.join("template");
        if !template.is_dir() {
            continue;
        }
        let mut files: Vec<(String, PathBuf)> = listed(&root.join("sdk/template"), "");
        files.extend(listed(&template, ""));
        files.extend(listed(&sdk, &format!("howdah/sdk/{language}/")));
        files.extend(listed(&root.join("wit"), "howdah/wit/"));
        if language == "rust" {
            let manifest = out.join("sdk.toml");
            write(&manifest, &standalone(&sdk.join("Cargo.toml"), &root.join("Cargo.toml")));
            let own = "howdah/sdk/rust/Cargo.toml";
            files.retain(|(name, _)| name != own);
            files.push((own.to_owned(), manifest));
            // The versions that howdah itself was built with; cargo leaves out what is not needed.
            files.push(("Cargo.lock".to_owned(), root.join("Cargo.lock")));
        }
        files.sort();
        for (name, path) in files {
            let path = path.canonicalize().unwrap_or(path);
            let _ = writeln!(source, "({language:?}, {name:?}, include_bytes!({path:?})),");
        }
    }
    source + "]"
}

/// The files of a folder and the folders in it, with their names behind a prefix; not what tools have left there, nor older interfaces.
fn listed(folder: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    const LEFT_OUT: [&str; 6] =
        ["template", "target", "node_modules", "__pycache__", "tests", "released"];
    let mut files = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if !path.is_dir() {
            files.push((format!("{prefix}{name}"), path));
        } else if !LEFT_OUT.contains(&&*name) && !name.starts_with('.') {
            files.extend(listed(&path, &format!("{prefix}{name}/")));
        }
    }
    files
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A manifest without what it inherits from the workspace: that is written out.
fn standalone(manifest: &Path, workspace: &Path) -> String {
    let workspace = read(workspace);
    let mut lines = Vec::new();
    for line in read(manifest).lines() {
        let inherited = line
            .strip_suffix(".workspace = true")
            .or_else(|| line.strip_suffix(" = { workspace = true }"));
        match inherited {
            None => lines.push(line.to_owned()),
            Some(key) => {
                let start = format!("{key} = ");
                match workspace.lines().find(|line| line.starts_with(&start)) {
                    Some(found) => lines.push(found.to_owned()),
                    None => panic!("{key} of {} is not in the workspace", manifest.display()),
                }
            }
        }
    }
    lines.join("\n") + "\n"
}

fn read(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn write(path: &Path, text: &str) {
    if let Err(error) = std::fs::write(path, text) {
        panic!("{}: {error}", path.display());
    }
}

/// A cargo of its own, with a target directory of its own: the outer one holds the lock on its. Flags and wrappers of
/// the outer build (clippy, coverage, sanitizers) are not for the policy.
fn build(root: &Path, target_dir: &Path) {
    let mut cargo = Command::new(env("CARGO"));
    cargo
        .current_dir(root)
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "read-write-split",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target_dir);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let outer = text.starts_with("CARGO_") && text != "CARGO_HOME";
        let flags = matches!(
            &*text,
            "RUSTFLAGS"
                | "RUSTDOCFLAGS"
                | "RUSTC_WRAPPER"
                | "RUSTC_WORKSPACE_WRAPPER"
                | "RUSTC"
                | "TARGET"
        );
        if outer || flags {
            cargo.env_remove(&name);
        }
    }
    let profile = [
        ("DEBUG", "false"),
        ("STRIP", "symbols"),
        ("LTO", "true"),
        ("CODEGEN_UNITS", "1"),
        ("PANIC", "abort"),
    ];
    for (key, value) in profile {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    let status = cargo.status();
    if !status.is_ok_and(|status| status.success()) {
        panic!(
            "the default policy does not build; if {TARGET} is missing: rustup target add {TARGET}"
        );
    }
}

fn env(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) => value,
        Err(error) => panic!("cargo does not set {name}: {error}"),
    }
}
