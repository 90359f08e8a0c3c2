//! Orders as operators write them.

use howdah_wire::backend::ErrorReport;

use super::grammar::{Reader, Word};
use crate::config::suggestion;

/// Something that is to be done.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// A cluster gets no more work, or all; or work again.
    Pause(Option<Word>, bool),
    /// A node gets no more work, or work again.
    Drain(Word, bool),
    /// Server connections of a node, or all, are not lent any more.
    Reconnect(Option<Word>),
    Reload,
    /// A client's statement, or the client.
    Kill(Word, Kill),
    /// A key of the configuration has this value, or the file's again.
    Set(Word, Option<Word>),
    /// What is known of statements is forgotten.
    Forget,
    Policy(Word, PolicyOrder),
}

/// What a client loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    Statement,
    Session,
}

/// What becomes of a policy's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PolicyOrder {
    Rollback,
    Promote,
    Release,
}

/// All orders as they are written, and what they do.
pub(super) const ALL: &[(&str, &str)] = &[
    (
        "PAUSE [CLUSTER]",
        "Gives a cluster, or all, no more statements; they wait. Answers when none is under way.",
    ),
    ("RESUME [CLUSTER]", "Lets them go on."),
    (
        "DRAIN NODE",
        "Gives a node no more statements, and closes its connections as they come free.",
    ),
    ("UNDRAIN NODE", "Gives it statements again."),
    ("RECONNECT [NODE]", "Replaces the server connections of a node, or all, as they come free."),
    ("RELOAD", "Reads the configuration again."),
    ("KILL CLIENT", "Ends the session of this id, and cancels its statement."),
    ("KILL QUERY CLIENT", "Cancels the statement of the session of this id."),
    (
        "SET KEY = VALUE",
        "Changes a key of the configuration, such as pool.size, until the proxy ends or RESET.",
    ),
    ("RESET KEY", "Lets the configuration's file decide again."),
    ("FORGET STATEMENTS", "Forgets what SHOW STATEMENTS has counted."),
    (
        "POLICY NAME ROLLBACK",
        "Takes a policy's version on trial back, or puts the version before in force.",
    ),
    ("POLICY NAME PROMOTE", "Puts the version on trial in force."),
    ("POLICY NAME RELEASE", "Lets a version that was rolled back come in again."),
];

/// Reads an order whose first word was this.
pub(super) fn read(verb: &str, reader: &mut Reader<'_>) -> Result<Order, ErrorReport> {
    let order = match verb {
        "PAUSE" => Order::Pause(reader.maybe_word("the name of a cluster")?, true),
        "RESUME" => Order::Pause(reader.maybe_word("the name of a cluster")?, false),
        "DRAIN" => Order::Drain(reader.word("the name of a node")?, true),
        "UNDRAIN" => Order::Drain(reader.word("the name of a node")?, false),
        "RECONNECT" => Order::Reconnect(reader.maybe_word("the name of a node")?),
        "RELOAD" => Order::Reload,
        "KILL" if reader.accept("QUERY") => {
            Order::Kill(reader.word("the id of a client")?, Kill::Statement)
        }
        "KILL" => Order::Kill(reader.word("the id of a client")?, Kill::Session),
        "SET" => {
            let key = reader.word("a key")?;
            if !reader.accept_symbol("=") {
                reader.expect("TO")?;
            }
            Order::Set(key, Some(reader.word("a value")?))
        }
        "FORGET" => {
            reader.expect("STATEMENTS")?;
            Order::Forget
        }
        "RESET" => Order::Set(reader.word("a key")?, None),
        "POLICY" => {
            let name = reader.word("the name of a policy")?;
            Order::Policy(name, policy(reader)?)
        }
        _ => {
            let verbs = ALL.iter().filter_map(|(usage, _)| usage.split(' ').next());
            let verbs: Vec<&str> = verbs.chain(["SHOW", "EXPLAIN"]).collect();
            let like = suggestion(verb, &verbs);
            return Err(ErrorReport::error(b"42601", &format!("there is no command {verb}{like}"))
                .hint("SHOW HELP lists all commands. Statements are for other databases."));
        }
    };
    Ok(order)
}

fn policy(reader: &mut Reader<'_>) -> Result<PolicyOrder, ErrorReport> {
    const ORDERS: [(&str, PolicyOrder); 3] = [
        ("ROLLBACK", PolicyOrder::Rollback),
        ("PROMOTE", PolicyOrder::Promote),
        ("RELEASE", PolicyOrder::Release),
    ];
    let order = ORDERS.iter().find(|(word, _)| reader.accept(word));
    order.map(|(_, order)| *order).ok_or_else(|| reader.expected("ROLLBACK, PROMOTE or RELEASE"))
}
