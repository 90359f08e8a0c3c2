//! Asking and ordering a running proxy through its control socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Mistakes;
use crate::config::{Config, Size, parse_duration, parse_size};
use crate::control::LONGEST;

/// Longest wait for the proxy: it starts instances of a policy before it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;
/// Digits of a hash that tell versions apart for people.
const SHORT: usize = 12;

/// What a running proxy can be asked and told about its policies.
#[derive(Debug, Subcommand)]
pub enum ControlCommand {
    /// Show the versions of a running proxy's policies, and how they do
    Status {
        /// Where the proxy is
        #[command(flatten)]
        proxy: ControlArguments,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a policy's version on trial in force, or the one that was rolled back
    Promote(PolicyName),
    /// End the trial of a policy's new version, or put the previous version back
    Rollback(PolicyName),
    /// Let a policy in quarantine be asked again
    Release(PolicyName),
    /// Record what a running proxy's policies are asked, and what they answer
    #[command(subcommand, after_help = RECORD_HELP)]
    Record(RecordCommand),
}

const RECORD_HELP: &str = "\
The proxy writes the file, which must not be there, with mode 0600: it holds statements and names in clear. A recording
ends when it is stopped, when its time is over, or when the file has reached its size.

Examples:
  howdah policy record start --config howdah.toml questions.jsonl
  howdah policy record start --socket howdah.control --time 1h --size 1GiB /var/tmp/questions.jsonl
  howdah policy record stop --config howdah.toml
  howdah policy replay new_version.wasm questions.jsonl";

/// Recordings of a running proxy: one at a time.
#[derive(Debug, Subcommand)]
pub enum RecordCommand {
    /// Begin to record
    Start {
        /// File to make
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Longest time
        #[arg(long, default_value = "10min", value_parser = recording_time)]
        time: Duration,
        /// Largest size of the file
        #[arg(long, default_value = "64MiB", value_parser = parse_size)]
        size: Size,
        /// Leave out literals, comments and values of parameters
        #[arg(long)]
        without_literals: bool,
        /// Where the proxy is
        #[command(flatten)]
        common: RecordArguments,
    },
    /// End the recording that is under way
    Stop(RecordArguments),
    /// Say what is being recorded, or was last
    Status(RecordArguments),
}

/// Where the proxy is that records, and how it is told of.
#[derive(Debug, Args)]
pub struct RecordArguments {
    /// Where the proxy is
    #[command(flatten)]
    pub proxy: ControlArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A time that a recording may take: at least a second.
fn recording_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time < Duration::from_secs(1) || time > LONGEST {
        return Err(format!("it must be from 1s to {}d", LONGEST.as_secs() / 86_400));
    }
    Ok(time)
}

/// A policy of a running proxy.
#[derive(Debug, Args)]
pub struct PolicyName {
    /// Name of the policy
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where the proxy is
    #[command(flatten)]
    pub proxy: ControlArguments,
}

/// Where a running proxy is.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ControlArguments {
    /// Configuration of the proxy, whose key `control` names the socket
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The socket itself
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

impl ControlArguments {
    pub(in crate::cli) fn socket(self) -> anyhow::Result<PathBuf> {
        if let Some(socket) = self.socket {
            return Ok(socket);
        }
        let file = self.config.unwrap_or_default();
        let config = Config::load(&file).map_err(Mistakes)?;
        let why = || {
            let file = file.display();
            format!("{file} names no socket: add control = \"howdah.control\" and restart")
        };
        config.control.with_context(why)
    }
}

pub(super) fn execute(command: ControlCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (order, policy, done) = match command {
        ControlCommand::Status { proxy, json } => {
            let answer = ask(&proxy.socket()?, "status")?;
            if json {
                writeln!(out, "{answer:#}")?;
            } else {
                table(&answer, out)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        ControlCommand::Promote(policy) => ("promote", policy, "is in force"),
        ControlCommand::Rollback(policy) => ("rollback", policy, "was rolled back"),
        ControlCommand::Release(policy) => ("release", policy, "is asked again"),
        ControlCommand::Record(command) => return record(command, out),
    };
    ask(&policy.proxy.socket()?, &format!("{order} {}", policy.name))?;
    writeln!(out, "{} {done}", policy.name)?;
    Ok(ExitCode::SUCCESS)
}

fn record(command: RecordCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (order, common) = match command {
        RecordCommand::Start { file, time, size, without_literals, common } => {
            // The proxy has a directory of its own.
            let file = std::path::absolute(&file)?;
            let file = file.to_str().context("the name of the file is no UTF-8")?;
            let (size, seconds, literals) = (size.0, time.as_secs(), !without_literals);
            let wanted =
                json!({ "file": file, "size": size, "seconds": seconds, "literals": literals });
            (format!("record start {wanted}"), common)
        }
        RecordCommand::Stop(common) => ("record stop".to_owned(), common),
        RecordCommand::Status(common) => ("record status".to_owned(), common),
    };
    let answer = ask(&common.proxy.socket()?, &order)?;
    if common.json {
        writeln!(out, "{answer:#}")?;
    } else {
        recording(&answer["recording"], out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How a recording goes, or went.
fn recording(recording: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    if recording.is_null() {
        return writeln!(out, "nothing is being recorded");
    }
    let file = text(&recording["file"]);
    let held = format!(
        "{} calls, {} of {} bytes, {} s",
        recording["calls"], recording["bytes"], recording["size"], recording["seconds"]
    );
    let longest = match recording["time"].as_u64() {
        Some(longest) => format!(" of {longest} s"),
        None => String::new(),
    };
    match recording["ended"].as_str() {
        None => writeln!(out, "recording to {file}: {held}{longest}")?,
        Some(_) => {
            let why = text(&recording["ended"]);
            writeln!(out, "recorded to {file}: {held}{longest}; ended because {why}")?;
        }
    }
    match recording["dropped"].as_u64() {
        None | Some(0) => Ok(()),
        Some(dropped) => {
            writeln!(out, "{dropped} calls are not in it: the disk was slower than they came")
        }
    }
}

/// Sends a line and reads the answer; one that says `error` is an error.
pub(in crate::cli) fn ask(socket: &Path, line: &str) -> anyhow::Result<Value> {
    ask_for(socket, line, PATIENCE)
}

/// The same, for so long.
pub(in crate::cli) fn ask_for(
    socket: &Path,
    line: &str,
    patience: Duration,
) -> anyhow::Result<Value> {
    if line.contains('\n') {
        bail!("a name has no line break");
    }
    let what = || format!("no proxy answers at {}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(what)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("{line}\n").as_bytes()).with_context(what)?;
    let mut text = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut text).with_context(what)?;
    let answer: Value = serde_json::from_str(&text).with_context(what)?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}

/// A line for each policy, and some more for what is out of the ordinary.
fn table(answer: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let policies = answer["policies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let width = policies.iter().map(|p| text(&p["name"]).chars().count()).max().unwrap_or(0).max(6);
    writeln!(
        out,
        "{:width$}  {:SHORT$}  {:6}  {:>10}  {:>10}  {:>8}  {:>8}",
        "POLICY", "VERSION", "MODE", "CALLS", "REMEMBERED", "FAILURES", "NS/CALL"
    )?;
    for policy in policies {
        writeln!(
            out,
            "{:width$}  {}  {:6}  {:>10}  {:>10}  {:>8}  {:>8}",
            text(&policy["name"]),
            short(&policy["sha256"]),
            text(&policy["mode"]),
            policy["calls"],
            policy["remembered"],
            policy["failures"],
            average(policy)
        )?;
        details(policy, out)?;
    }
    shared_values(&answer["kv"], out)
}

/// Where the values are that policies share, and how many.
fn shared_values(kv: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let redis = &kv["redis"];
    if redis.is_null() {
        writeln!(out, "shared values: in memory")?;
    } else {
        let why = text(&redis["last_failure"]);
        let state = match redis["away_seconds"].as_u64() {
            None => "Redis is connected".to_owned(),
            Some(seconds) if why.is_empty() => format!("Redis is away for {seconds} s"),
            Some(seconds) => format!("Redis is away for {seconds} s ({why})"),
        };
        let last = match redis["last_exchange_seconds"].as_u64() {
            Some(seconds) => format!("exchanged {seconds} s ago"),
            None => "never exchanged".to_owned(),
        };
        let (exchanges, failures) = (&redis["exchanges"], &redis["failures"]);
        writeln!(
            out,
            "shared values: {state}; {last}; {exchanges} exchanges, {failures} failures, {} dropped",
            redis["dropped"]
        )?;
    }
    for space in kv["spaces"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "  {}: {} keys, {} bytes",
            text(&space["name"]),
            space["keys"],
            space["bytes"]
        )?;
    }
    Ok(())
}

fn details(policy: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    if policy["quarantined"] == true {
        writeln!(out, "  in quarantine: {}", text(&policy["last_failure"]))?;
    }
    let trial = &policy["trial"];
    if trial.is_object() {
        writeln!(
            out,
            "  on trial: {} as {} for {} s, obeyed by {} % of the sessions; {} calls, {} failed, {} ns/call",
            short(&trial["sha256"]),
            text(&trial["mode"]),
            trial["seconds"],
            trial["share"],
            trial["calls"],
            trial["failures"],
            average(trial)
        )?;
        writeln!(
            out,
            "    compared: {} agreed, {} disagreed, {} skipped",
            trial["agreed"], trial["disagreed"], trial["skipped"]
        )?;
        if trial["quarantined"] == true {
            writeln!(out, "    in quarantine: {}", text(&trial["last_failure"]))?;
        }
        for one in trial["disagreements"].as_array().into_iter().flatten() {
            let (hook, digest) = (text(&one["hook"]), text(&one["digest"]));
            let (live, candidate) = (text(&one["live"]), text(&one["candidate"]));
            writeln!(out, "    {hook} {digest}: {live} in force, {candidate} on trial")?;
        }
    }
    for (key, label) in [("previous", "previous"), ("rolled_back", "rolled back")] {
        if policy[key].is_string() {
            writeln!(out, "  {label}: {}", short(&policy[key]))?;
        }
    }
    if policy["refused"].is_string() {
        writeln!(out, "  refused: {}", text(&policy["refused"]))?;
    }
    Ok(())
}

fn average(version: &Value) -> u64 {
    let number = |key: &str| version[key].as_u64().unwrap_or_default();
    number("nanoseconds") / number("calls").max(1)
}

/// Without control characters: guests have a say in some of the texts, and a terminal obeys them.
pub(in crate::cli) fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn short(value: &Value) -> String {
    text(value).chars().take(SHORT).collect()
}
