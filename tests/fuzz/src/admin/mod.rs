//! What operators write at the console, with two tables in place of those of a running proxy.

#[path = "../../../../host/proxy/src/admin/grammar.rs"]
pub(crate) mod grammar;
#[path = "../../../../host/proxy/src/admin/order.rs"]
mod order;
#[path = "../../../../host/proxy/src/admin/table.rs"]
pub(crate) mod table;

pub(crate) mod show {
    use super::table::{Column, float, int, text, truth};

    #[derive(Debug)]
    pub(crate) struct Show {
        pub(crate) name: &'static str,
        pub(crate) columns: &'static [Column],
    }

    pub(crate) const ALL: &[Show] = &[
        Show { name: "CLIENTS", columns: &[int("id", ""), text("state", ""), float("wait", "")] },
        Show { name: "NODES", columns: &[text("node", ""), truth("up", "")] },
    ];
}

/// Whatever is written is understood or refused, with a word.
pub fn console(text: &str) {
    for command in grammar::split(text).into_iter().flatten() {
        assert!(grammar::parameters(&command) <= grammar::MAX_PARAMETERS);
        if let Err(report) = grammar::understand(&command) {
            assert!(report.sqlstate() != b"XX000" && !report.message().is_empty());
        }
    }
}
