use std::io::Write;

use serde_json::Value;

use super::policy::control::{ControlArguments, ask, text};

/// What became of the primaries of a running proxy's clusters.
pub(super) fn execute(
    proxy: ControlArguments,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let answer = ask(&proxy.socket()?, "failovers")?;
    if json {
        writeln!(out, "{answer:#}")?;
        return Ok(());
    }
    let failovers = answer["failovers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if failovers.is_empty() {
        writeln!(out, "no primary has changed since the proxy was started")?;
    }
    for failover in failovers {
        time_line(failover, out)?;
    }
    Ok(())
}

fn time_line(failover: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let (cluster, from) = (text(&failover["cluster"]), text(&failover["from"]));
    let (ago, timeline) = (&failover["seconds_ago"], &failover["timeline_before"]);
    writeln!(out, "{cluster}, {ago} s ago: the primary was {from}, on timeline {timeline}")?;
    writeln!(out, "{:>8} ms  in doubt: {}", 0, text(&failover["evidence"]))?;
    if let Some(after) = failover["lost_after_ms"].as_u64() {
        writeln!(out, "{after:>8} ms  lost: {}", text(&failover["reason"]))?;
    }
    match failover["found_after_ms"].as_u64() {
        Some(after) => {
            let (to, timeline) = (text(&failover["to"]), &failover["timeline"]);
            writeln!(out, "{after:>8} ms  the primary is {to}, on timeline {timeline}")
        }
        None if failover["lost_after_ms"].is_null() => {
            writeln!(out, "{:>8}     it may be well", "…")
        }
        None => writeln!(out, "{:>8}     there is none yet", "…"),
    }?;
    match failover["clients"].as_str() {
        Some(toll) => writeln!(out, "{:>8}     {toll}", ""),
        None => Ok(()),
    }
}
