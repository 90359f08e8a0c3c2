//! The reference of the console: the contents of `docs/console.md`.

use std::fmt::Write;

use super::{order, show};

const INTRODUCTION: &str = "# Console

<!-- Made by `howdah console-reference > docs/console.md` from the tables and orders in host/proxy/src/admin. -->

The database `howdah` is none: whoever may, sees there what the proxy does, and gives it orders, with psql or any driver.

```toml
[admin]
operators = [\"dba\"]      # may give orders
viewers = [\"monitoring\"] # may look
```

```
$ psql -h proxy.example -U dba howdah
howdah=> SHOW CLIENTS WHERE state = 'waiting' ORDER BY wait DESC LIMIT 10;
```

Users prove who they are as everywhere else (`[[rule]]`, or `auth.method`), but from another machine `trust` is not enough. \
Operators are no clients: they are not counted, and there is room for them when there is none for clients. The simple and the \
extended protocol, text and binary, and parameters (`SHOW CLIENTS WHERE user = $1`) all work; what drivers send when they \
connect is taken; BEGIN and COMMIT are taken too, and mean nothing. Where a column means what PgBouncer's means, it has the \
same name.

| who wants to know | asks |
|---|---|
| who is waiting, and why | `SHOW CLIENTS WHERE state = 'waiting'`, `SHOW POOLS WHERE cl_waiting > 0`, `SHOW CLUSTERS` |
| which node is slow, or behind | `SHOW NODES` |
| which statements cost most, or fail | `SHOW STATEMENTS LIMIT 10`, `SHOW STATEMENTS WHERE errors > 0` |
| why a session keeps its server | `SHOW PINS` |
| why a statement goes where it goes | `EXPLAIN ROUTE 'SELECT …' USER app DATABASE shop`; within a session, `SET howdah.explain = on` |
| what the last failover did | `SHOW FAILOVERS` |
| which version of a policy decides, and how the next one differs | `SHOW POLICIES`, `SHOW DISAGREEMENTS` |
| what is configured, and what of it was set here | `SHOW CONFIG` |

## Orders

Only operators may give them.

| order | what it does |
|---|---|
";

const TABLES: &str = "
## Tables

`SHOW TABLE [WHERE column op value [AND …]] [ORDER BY column [DESC] [, …]] [LIMIT n]`. The comparisons are `=`, `<>`, `<`, \
`>`, `<=`, `>=`, `LIKE`, `NOT LIKE`, `IS NULL` and `IS NOT NULL`, as in SQL.
";

/// The reference of all orders and tables, as Markdown.
pub(crate) fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (usage, about) in order::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{usage}` | {about} |");
    }
    page.push_str(TABLES);
    for show in show::ALL {
        let _ = write!(
            page,
            "\n### `SHOW {}`\n\n{}\n\n| column | type | meaning |\n|---|---|---|\n",
            show.name, show.about
        );
        for column in show.columns {
            let kind = column.kind.name();
            let _ = writeln!(page, "| `{}` | {kind} | {} |", column.name, column.about);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_what_the_tables_say() {
        let document = include_str!("../../../../docs/console.md");
        assert!(
            document == super::reference(),
            "docs/console.md is out of date: howdah console-reference > docs/console.md"
        );
    }
}
