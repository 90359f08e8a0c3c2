//! `docs/hooks.md`, made from the comments of the policy interface.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;

const INTRODUCTION: &str = "# Hooks

<!-- Made by `howdah hooks-reference wit > docs/hooks.md` from the comments in wit/. -->

All that a policy can export and import, from the [WIT](https://component-model.bytecodealliance.org/design/wit.html) \
of the package `howdah:policy`. How to use it: [write-a-policy.md](write-a-policy.md).
";

/// The interfaces that policies export, in the order in which a policy meets them; all others of `wit/` are imported.
const HOOKS: [&str; 9] =
    ["configure", "session", "rewrite", "route", "retry", "observe", "topology", "tick", "state"];

/// An interface of the WIT.
struct Interface {
    name: String,
    about: String,
    /// What is between its braces.
    body: String,
}

/// The reference of all interfaces in a folder of WIT files, as Markdown.
pub(crate) fn hooks_reference(wit: &Path) -> anyhow::Result<String> {
    let mut files: Vec<_> = std::fs::read_dir(wit)
        .with_context(|| wit.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "wit"))
        .collect();
    files.sort();
    let (mut all, mut about) = (Vec::new(), String::new());
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let (found, package) = interfaces(&text);
        all.extend(found);
        about.push_str(&package);
    }
    let place = |one: &Interface| HOOKS.iter().position(|hook| *hook == one.name);
    let (mut hooks, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| place(one).is_some());
    hooks.sort_by_key(place);
    let (types, offered): (Vec<_>, Vec<_>) = rest.into_iter().partition(|one| one.name == "types");
    let mut page = format!("{INTRODUCTION}\n## What holds for all\n\n{about}");
    section(&mut page, "What a policy exports", &hooks);
    section(&mut page, "What the host offers", &offered);
    section(&mut page, "Words that all share", &types);
    Ok(page)
}

fn section(page: &mut String, title: &str, interfaces: &[Interface]) {
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {title}\n");
    for Interface { name, about, body } in interfaces {
        let _ = write!(page, "\n### `{name}`\n\n{about}\n```wit\n{body}```\n");
    }
}

/// Takes a file apart by the form that all files of `wit/` have: `package`, `interface NAME {` and `}` stand at the
/// beginning of a line, with the comment right above. Its interfaces, and the comment on the package.
fn interfaces(text: &str) -> (Vec<Interface>, String) {
    let (mut found, mut package) = (Vec::new(), String::new());
    let (mut about, mut open): (String, Option<Interface>) = (String::new(), None);
    for line in text.lines() {
        if let Some(interface) = &mut open {
            if line == "}" {
                found.extend(open.take());
                continue;
            }
            interface.body.push_str(line.strip_prefix("    ").unwrap_or(line));
            interface.body.push('\n');
        } else if let Some(comment) = line.strip_prefix("///") {
            about.push_str(comment.trim_start());
            about.push('\n');
        } else if line.starts_with("package ") {
            package = std::mem::take(&mut about);
        } else {
            let name = line.strip_prefix("interface ").and_then(|rest| rest.strip_suffix(" {"));
            let about = std::mem::take(&mut about);
            open = name.map(|name| Interface { name: name.to_owned(), about, body: String::new() });
        }
    }
    (found, package)
}
