use std::io::Write;
use std::process::ExitCode;

use howdah_policy::Description;
use serde_json::{Value, json};

use super::arguments::InspectArguments;
use super::{alone, print_json};

/// Prints what is in a component.
pub(super) fn inspect(
    arguments: &InspectArguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (_, found) = alone(&arguments.file, &[])?;
    if arguments.json {
        print_json(&as_json(&found), out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}", arguments.file.display())?;
    print(&found, out)?;
    writeln!(out, "  exports    {}", lines(&found.exports))?;
    writeln!(out, "  imports    {}", lines(&found.imports))?;
    Ok(ExitCode::SUCCESS)
}

/// The facts of a component as JSON.
pub(super) fn as_json(found: &Description) -> Value {
    json!({
        "size": found.size,
        "sha256": found.sha256,
        "hooks": found.hooks,
        "versions": found.versions,
        "grants": found.grants,
        "exports": found.exports,
        "imports": found.imports,
        "core_modules": found.core_modules,
        "core_instances": found.core_instances,
        "memory": found.memory,
        "memory_maximum": found.memory_maximum,
        "producers": found.producers,
    })
}

/// The facts of a component in a few lines.
pub(super) fn print(found: &Description, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "  hooks      {}", list(&found.hooks))?;
    writeln!(out, "  built for  howdah:policy {}", list(&found.versions))?;
    if !found.producers.is_empty() {
        writeln!(out, "  by         {}", list(&found.producers))?;
    }
    writeln!(out, "  size       {} bytes", grouped(found.size as u64))?;
    writeln!(out, "  sha256     {}", found.sha256)?;
    let needs = match found.grants.as_slice() {
        [] => "no grants".to_owned(),
        some => format!("grants = {some:?}"),
    };
    let wasi = match found.wasi() {
        0 => String::new(),
        some => format!("; {some} interfaces of wasi:*, which give it nothing"),
    };
    writeln!(out, "  needs      {needs}{wasi}")?;
    let most = match found.memory_maximum {
        Some(most) => format!("at most {} of its own accord", grouped(most)),
        None => "more up to its limit".to_owned(),
    };
    let (instances, memory) = (found.core_instances, grouped(found.memory));
    writeln!(out, "  instance   {instances} core instances; {memory} bytes of memory, {most}")
}

fn list(all: &[String]) -> String {
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn lines(all: &[String]) -> String {
    if all.is_empty() { "none".to_owned() } else { all.join("\n             ") }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
