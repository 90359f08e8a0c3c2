//! Builds the default policy from source, so that it can be embedded.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

fn main() {
    let root = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("../..");
    for watched in ["plugins/read-write-split", "sdk/rust", "wit", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
    let out = PathBuf::from(env("OUT_DIR"));
    build(&root, &out.join("wasm"));
    let built = out.join("wasm").join(TARGET).join("release/read_write_split.wasm");
    if let Err(error) = std::fs::copy(&built, out.join("read_write_split.wasm")) {
        panic!("the default policy was built but is not at {}: {error}", built.display());
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
