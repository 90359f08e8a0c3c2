use std::cell::RefCell;
use std::fmt::Write;

use toml::de::DeTable;

use super::reader::{Note, Reading};
use super::written::{Top, Written};

/// A file that has something of everything. It is read in the tests.
pub(super) const EXAMPLE: &str = include_str!("example.toml");

/// The reference of all keys as Markdown, made from their declarations: the contents of `docs/config.md`.
pub fn reference() -> String {
    let reading = Reading { notes: Some(RefCell::default()), ..Reading::default() };
    let empty = DeTable::new();
    Written::read(&empty, &reading);
    let mut page = format!(
        "{INTRODUCTION}\n```toml\n{EXAMPLE}```\n\n## At the top\n\n{}\n{HEAD}",
        Top::ABOUT.trim()
    );
    for note in reading.notes.unwrap_or_default().into_inner() {
        describe(&mut page, &note);
    }
    page
}

const INTRODUCTION: &str = "# Configuration

<!-- Made by `howdah config-reference > docs/config.md` from the declarations in host/proxy/src/config. -->

`howdah run --config howdah.toml` reads one file in [TOML](https://toml.io). `howdah check --config howdah.toml` \
reports every mistake in it; keys that do not exist are mistakes. The program reads the file again when it \
changes and on SIGHUP: a file with mistakes changes nothing, and a change of `listen`, `peers`, `workers` or `log.format` \
waits for a restart. SIGHUP also reads anew what functions there are, and what they do.

One cluster is all that a file must have:

```toml
[cluster.main]
nodes = [\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\"]
```

Durations are texts with a unit: `us`, `ms`, `s`, `min`, `h` or `d`. Sizes have `B`, `kB`, `MB` or `GB`, which are \
powers of 1024 as in PostgreSQL (`KiB`, `MiB` and `GiB` mean the same). Paths are relative to the file. An address \
is `host:port`, `[::1]:port`, or `/directory:port` for a Unix socket.

## An example
";

const HEAD: &str = "\n| key | value | default | meaning |\n|---|---|---|---|\n";

fn describe(page: &mut String, note: &Note) {
    // Writing to a String cannot fail.
    let _ = match note {
        Note::Table { header, about } => {
            let head = if header.contains("settings") { "" } else { HEAD };
            write!(page, "\n## `{header}`\n\n{}\n{head}", about.trim())
        }
        Note::Key { name, kind, default, about } => {
            let default =
                if default.is_empty() { "—".to_owned() } else { format!("`{default}`") };
            writeln!(page, "| `{name}` | {kind} | {default} | {} |", about.trim())
        }
    };
}
