//! The interface that components are made for: the text of `wit/`, and a world with a policy's hooks.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use wit_parser::{PackageId, Resolve, SourceMap};

/// The world of one policy.
pub(crate) const WORLD: &str = "made";
/// The world of what the host offers, and nothing else.
pub(crate) const IMPORTS: &str = "imports";

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../wit/", $name, ".wit")))),+]
    };
}

pub(crate) const FILES: [(&str, &str); 12] = files![
    "types",
    "host",
    "worlds",
    "configure",
    "session",
    "route",
    "rewrite",
    "topology",
    "retry",
    "observe",
    "tick",
    "state",
];

/// Adds the package to `resolve`, with a world of these hooks.
pub(crate) fn package(resolve: &mut Resolve, hooks: &BTreeSet<String>) -> Result<PackageId> {
    let mut world =
        format!("package howdah:policy@0.1.0;\nworld {WORLD} {{\n    include imports;\n");
    for hook in hooks {
        let known = FILES.iter().skip(3).any(|(name, _)| name == hook);
        if !known {
            bail!("there is no hook \"{hook}\" in howdah:policy");
        }
        world.push_str(&format!("    export {hook};\n"));
    }
    world.push_str("}\n");
    let mut sources = SourceMap::default();
    for (name, text) in FILES {
        sources.push_str(&format!("{name}.wit"), text);
    }
    sources.push_str("made.wit", world);
    let group = match sources.parse() {
        Ok(group) => group,
        Err((sources, error)) => bail!("{}", error.render(&sources)),
    };
    Ok(resolve.push_group(group)?)
}
