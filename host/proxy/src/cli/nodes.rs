//! Seeing and ordering what the nodes of a running proxy are given to do.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::policy::control::{ControlArguments, ask, text};
use crate::config::parse_duration;

/// Between two looks whether the work is done.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A node or a cluster that is to be given no more work.
#[derive(Debug, Args)]
pub struct RestArguments {
    /// Longest wait for what is under way; the order stays in force when it is over
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Where the proxy is
    #[command(flatten)]
    pub proxy: ControlArguments,
}

/// Prints all nodes.
pub(super) fn show(proxy: ControlArguments, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let answer = ask(&proxy.socket()?, "nodes")?;
    if json {
        writeln!(out, "{answer:#}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{:12} {:24} {:8} {:>4} {:>12} {:>10} {:>6} {:>6}  note",
        "cluster", "node", "role", "tli", "lag bytes", "lag ms", "open", "busy"
    )?;
    for cluster in items(&answer["clusters"]) {
        for node in items(&cluster["nodes"]) {
            let number = |key: &str| node[key].as_u64().map_or("-".to_owned(), |n| n.to_string());
            writeln!(
                out,
                "{:12} {:24} {:8} {:>4} {:>12} {:>10} {:>6} {:>6}  {}",
                text(&cluster["name"]),
                text(&node["name"]),
                text(&node["role"]),
                number("timeline"),
                number("lag_bytes"),
                number("lag_ms"),
                number("open"),
                number("busy"),
                note(cluster, node)
            )?;
        }
        let (name, held, waiting) = (text(&cluster["name"]), &cluster["held"], &cluster["waiting"]);
        writeln!(out, "{name}: {held} statements wait for a node, {waiting} for a connection")?;
    }
    Ok(())
}

fn note(cluster: &Value, node: &Value) -> String {
    let is = |value: &Value| value.as_bool() == Some(true);
    let mut notes = Vec::new();
    if !is(&node["up"]) {
        notes.push("down".to_owned());
    }
    if node["refused"].is_string() {
        notes.push(format!("not used: {}", text(&node["refused"])));
    }
    let flags = [
        (&cluster["paused"], "paused"),
        (&node["drained"], "drained"),
        (&node["resting"], "resting"),
    ];
    notes.extend(flags.iter().filter(|(flag, _)| is(flag)).map(|(_, word)| (*word).to_owned()));
    notes.join(", ")
}

/// Pauses a cluster, or all, and waits until nothing of it is under way.
pub(super) fn pause(
    cluster: Option<String>,
    rest: RestArguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let of = cluster.clone();
    let counts = move |one: &Value, _: &Value| of.as_ref().is_none_or(|name| one["name"] == **name);
    let name = cluster.as_deref().unwrap_or("everything");
    let order = format!("pause {}", cluster.as_deref().unwrap_or_default());
    come_to_rest(&rest, order.trim_end(), &format!("{name} is paused"), &counts, out)
}

/// Drains a node, and waits until nothing is under way there.
pub(super) fn drain(
    node: &str,
    rest: RestArguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let counts = |_: &Value, one: &Value| one["name"] == *node;
    come_to_rest(&rest, &format!("drain {node}"), &format!("{node} is drained"), &counts, out)
}

/// Whether connections to a node of a cluster count.
type Counts<'c> = &'c dyn Fn(&Value, &Value) -> bool;

fn come_to_rest(
    rest: &RestArguments,
    order: &str,
    done: &str,
    counts: Counts<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let socket = rest.proxy.clone().socket()?;
    let began = Instant::now();
    let mut answer = ask(&socket, order)?;
    loop {
        let open = connections(&answer, counts);
        let waited = began.elapsed();
        if open == 0 {
            let held = held(&answer);
            writeln!(out, "{done} after {} ms; {held} statements wait", waited.as_millis())?;
            return Ok(ExitCode::SUCCESS);
        }
        if waited >= rest.timeout {
            writeln!(
                out,
                "{done}, but {open} connections are in use after {} ms",
                waited.as_millis()
            )?;
            return Ok(ExitCode::FAILURE);
        }
        sleep(LOOK_AGAIN);
        answer = ask(&socket, "nodes")?;
    }
}

fn connections(answer: &Value, counts: Counts<'_>) -> u64 {
    let clusters = items(&answer["clusters"]).iter();
    let of = |cluster: &Value| {
        let nodes = items(&cluster["nodes"]).iter().filter(|node| counts(cluster, node));
        nodes.filter_map(|node| node["open"].as_u64()).sum::<u64>()
    };
    clusters.map(of).sum()
}

fn held(answer: &Value) -> u64 {
    items(&answer["clusters"]).iter().filter_map(|cluster| cluster["held"].as_u64()).sum()
}

/// Takes an order back.
pub(super) fn go_on(
    order: &str,
    name: Option<&str>,
    socket: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let held = held(&ask(socket, "nodes")?);
    ask(socket, format!("{order} {}", name.unwrap_or_default()).trim_end())?;
    writeln!(out, "{} goes on; {held} statements waited", name.unwrap_or("everything"))?;
    Ok(())
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
