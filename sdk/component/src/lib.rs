//! Makes a policy's component from the core module that a compiler of C, Go or another language made.
//!
//! The module exports the functions of its hooks under the names of the component model's canonical ABI, such as
//! `howdah:policy/route@0.1.0#route`. A module that has functions for hooks which its policy does not have says which
//! ones count by further exports, such as `hook:route`.

mod wit;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

/// What a module exports to say that a hook counts.
const MARK: &str = "hook:";

/// A component with the module's hooks. What it imports is what the module uses. What is a component already stays as
/// it is.
///
/// # Errors
/// It is no core module, it has no hook, or its functions are not what `wit/` says.
pub fn component(module: &[u8]) -> Result<Vec<u8>> {
    if Parser::is_component(module) {
        return Ok(module.to_vec());
    }
    let hooks = hooks(module)?;
    if hooks.is_empty() {
        bail!("it has none of the hooks of howdah:policy");
    }
    let mut resolve = Resolve::default();
    let package = wit::package(&mut resolve, &hooks)?;
    let world = resolve.select_world(&[package], Some(wit::WORLD))?;
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    let adapter = adapter(&resolve, package)?;
    ComponentEncoder::default()
        .module(&module)?
        .adapter("wasi_snapshot_preview1", &adapter)?
        .validate(true)
        .encode()
}

/// What modules of compilers that know only `wasi_snapshot_preview1` are completed with. Unlike the usual adapter it
/// needs no memory, which Go's runtime could not give it while it begins.
fn adapter(resolve: &Resolve, package: PackageId) -> Result<Vec<u8>> {
    let mut adapter = include_bytes!(concat!(env!("OUT_DIR"), "/wasip1.wasm")).to_vec();
    let world = resolve.select_world(&[package], Some(wit::IMPORTS))?;
    embed_component_metadata(&mut adapter, resolve, world, StringEncoding::UTF8, false)?;
    Ok(adapter)
}

/// The hooks that a module has, by name.
///
/// # Errors
/// It is no core module.
pub fn hooks(module: &[u8]) -> Result<BTreeSet<String>> {
    let names = exports(module).context("it is not a WebAssembly core module")?;
    let marked: BTreeSet<String> =
        names.iter().filter_map(|name| name.strip_prefix(MARK)).map(String::from).collect();
    if !marked.is_empty() {
        return Ok(marked);
    }
    let hook = |name: &&str| {
        let interface = name.strip_prefix("howdah:policy/")?.split('#').next()?;
        interface.split('@').next().map(String::from)
    };
    Ok(names.iter().filter_map(hook).collect())
}

fn exports(module: &[u8]) -> Result<Vec<&str>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(section) = payload? {
            for export in section {
                names.push(export?.name);
            }
        }
    }
    Ok(names)
}
