//! The examples, built by the SDK of each language.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Languages, and the file or folder of an example that their `sdk/LANGUAGE/build` is given.
const SOURCES: [(&str, &[&str]); 4] = [
    ("c", &["policy.c"]),
    ("go", &[""]),
    ("javascript", &["policy.js", "policy.ts"]),
    ("python", &["policy.py"]),
];

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

/// The program that makes components of core modules.
fn componentizer() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // The build's own target folder, where it is mostly built already.
        let target = crate::cache().with_file_name("");
        let mut cargo = crate::cargo();
        cargo.args(["build", "--locked", "--quiet", "--package", "howdah-component"]);
        assert!(cargo.arg("--target-dir").arg(&target).status().unwrap().success());
        target.join("debug/howdah-component")
    })
}

/// Builds an example in a language and returns its component.
pub fn example(language: &str, name: &str) -> PathBuf {
    if language == "rust" {
        return crate::policy(name);
    }
    let folder = root().join("examples").join(name).join(language);
    let (_, sources) = SOURCES.iter().find(|(known, _)| *known == language).unwrap();
    let source = sources.iter().map(|source| folder.join(source)).find(|path| path.exists());
    let out = crate::cache().join("languages").join(language);
    std::fs::create_dir_all(&out).unwrap();
    let out = out.join(name).with_extension("wasm");
    let built = Command::new(root().join("sdk").join(language).join("build"))
        .arg(&out)
        .arg(source.unwrap())
        .env("HOWDAH_COMPONENT", componentizer())
        .env("HOWDAH_NODE_MODULES", tools().join("node_modules"))
        .env("COMPONENTIZE_PY", tools().join("python/bin/componentize-py"))
        .env("GO", tools().join("python/bin/go"))
        .env("GOCACHE", tools().join("go-cache"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{name} in {language} does not build: {errors}");
    out
}

/// What `go test` says of an example.
pub fn go_tests(name: &str) -> String {
    let folder = root().join("examples").join(name).join("go");
    let mut go = Command::new(tools().join("python/bin/go"));
    go.current_dir(folder).args(["test", "./..."]).env("GOCACHE", tools().join("go-cache"));
    let output = go.output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{told}");
    told
}
