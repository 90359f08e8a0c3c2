//! Assembles the adapter, so that whoever makes components needs no assembler.
#![allow(clippy::unwrap_used)]

use std::path::Path;

const SOURCE: &str = "src/wasip1.wat";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    let out = std::env::var_os("OUT_DIR").unwrap();
    std::fs::write(Path::new(&out).join("wasip1.wasm"), wat::parse_file(SOURCE).unwrap()).unwrap();
}
