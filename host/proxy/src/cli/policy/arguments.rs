use std::path::PathBuf;

use clap::{Args, Subcommand};
use howdah_policy::SettingValue;

use super::control::ControlCommand;
use crate::policies::cases;

/// Write, check, test and measure policies; look after those of a running proxy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Write a small policy project: a router that sends reads to replicas
    #[command(after_help = NEW_HELP)]
    New(NewArguments),
    /// Build the project in a folder, and check what comes out
    #[command(after_help = BUILD_HELP)]
    Build(BuildArguments),
    /// Load policies exactly as the proxy would, and say what they are or what is wrong
    #[command(after_help = CHECK_HELP)]
    Check(CheckArguments),
    /// Ask a policy the questions of its cases, without PostgreSQL
    #[command(after_help = TEST_HELP)]
    Test(TestArguments),
    /// Say what becomes of a statement, and which policy decides that
    #[command(after_help = EXPLAIN_HELP)]
    Explain(ExplainArguments),
    /// Measure what a policy costs per call
    #[command(after_help = BENCH_HELP)]
    Bench(BenchArguments),
    /// Ask another version the questions of a recording, and show where it answers otherwise
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArguments),
    /// Say what is in a component, without running it
    Inspect(InspectArguments),
    /// About the policies of a running proxy
    #[command(flatten)]
    Control(ControlCommand),
}

const NEW_HELP: &str = "\
The folder NAME must not exist. A project needs nothing but its language's own tools: the SDK and the policy
interface (wit/) are written into it.

Examples:
  howdah policy new my-router
  howdah policy new --lang go my-router && howdah policy build my-router && howdah policy test my-router";

const BUILD_HELP: &str = "\
Runs what `howdah-policy.toml` in the folder says, the language's compiler mostly. A core module that comes out, as C's
and Go's compilers make it, becomes a component. Prints where that is.";

const CHECK_HELP: &str = "\
A policy in a file gets the grants that it needs; one of a configuration gets those that the configuration says,
with its settings and limits, and must pass its cases. The exit code is 1 when a policy cannot be used.

Examples:
  howdah policy check my_router.wasm
  howdah policy check --config howdah.toml --json";

const TEST_HELP: &str = "\
Cases are in TOML (docs/write-a-policy.md says all that they can ask):

  [[case]]
  sql = \"SELECT * FROM orders\"
  user = \"report\"
  expect = \"replica\"

By default they are in <policy>.cases.toml beside the policy, or in cases.toml in its folder. The exit code is 1 when
a case fails.";

const EXPLAIN_HELP: &str = "\
Without files and --config it explains the built-in policy. Without --catalog no function is known, and every unknown
one counts as volatile, which keeps a read on the primary; with it, functions and views are looked up as the proxy
does, and the password is taken from PGPASSWORD or ~/.pgpass. A running proxy explains itself: SET howdah.explain = on.

Examples:
  howdah policy explain \"SELECT * FROM orders\"
  howdah policy explain \"SELECT now()\" my_router.wasm --user report
  howdah policy explain \"SELECT now()\" --config howdah.toml --catalog postgres://app@10.0.0.1/shop";

const BENCH_HELP: &str = "\
Measures calls of every hook into one warm instance, and answers from memory. Measure with a release build, on a quiet machine.

Examples:
  howdah policy bench my_router.wasm
  howdah policy bench my_router.wasm --sql-file statements.sql --json";

const REPLAY_HELP: &str = "\
The policy gets the settings, nodes, clocks, random numbers and shared values of the recording, so that the same
version answers the same. `howdah policy record` records.

The exit code is 1 when any answer differs.

Examples:
  howdah policy replay new_version.wasm questions.jsonl
  howdah policy replay new_version.wasm questions.jsonl --against old_version.wasm";

/// A setting of the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SettingValue,
}

/// `NAME=VALUE`, where a value that is no TOML is a text.
fn set(text: &str) -> Result<Set, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let value = match parsed.ok().and_then(|mut table| table.remove("value")) {
        Some(value) => cases::setting(&value)?,
        None => SettingValue::Text(value.to_owned()),
    };
    Ok(Set { name: name.to_owned(), value })
}

/// `howdah policy new`.
#[derive(Debug, Args)]
pub struct NewArguments {
    /// Name of the policy, and of the folder
    pub name: String,
    /// rust, c, go, js or python
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    pub lang: String,
}

/// `howdah policy build`.
#[derive(Debug, Args)]
pub struct BuildArguments {
    /// Folder of the project
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `howdah policy check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Components
    #[arg(value_name = "FILE", required_unless_present = "config")]
    pub files: Vec<PathBuf>,
    /// The policies of this configuration instead
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    pub config: Option<PathBuf>,
    /// Setting for files; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = set)]
    pub set: Vec<Set>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `howdah policy test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Component, folder of a project, or "built-in"
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,
    /// Cases, instead of those beside the policy
    #[arg(long, value_name = "FILE")]
    pub cases: Option<PathBuf>,
    /// Setting, where the cases have none of their own; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = set)]
    pub set: Vec<Set>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `howdah policy explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Statement
    pub sql: String,
    /// Components, in the order of asking
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The policies of this configuration instead
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    pub config: Option<PathBuf>,
    /// Look up functions and views in this database, as the proxy does
    #[arg(long, value_name = "postgres://USER@HOST[:PORT]/DATABASE")]
    pub catalog: Option<String>,
    /// Who asks
    #[arg(long, default_value = "postgres")]
    pub user: String,
    /// In which database; by default the one that is called as the user is
    #[arg(long)]
    pub database: Option<String>,
    /// In which cluster; by default the one that the configuration has for the database
    #[arg(long)]
    pub cluster: Option<String>,
    /// application_name
    #[arg(long, default_value = "")]
    pub application: String,
    /// Session class, instead of what the policies say to the session
    #[arg(long)]
    pub class: Option<u32>,
    /// By the extended protocol, as drivers with parameters send it
    #[arg(long)]
    pub extended: bool,
    /// Inside a transaction
    #[arg(long)]
    pub in_transaction: bool,
    /// Setting for files; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = set)]
    pub set: Vec<Set>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `howdah policy bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Component, folder of a project, or "built-in"
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,
    /// Statements, each ended by a semicolon at the end of a line, instead of a few common ones
    #[arg(long, value_name = "FILE")]
    pub sql_file: Option<PathBuf>,
    /// Calls of each hook
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub calls: u32,
    /// Setting; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = set)]
    pub set: Vec<Set>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `howdah policy replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Component of the other version
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Recording
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// Policy whose calls are asked; by default the one that is called as the file, or the only one
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Compare with what this version answers now, instead of what was answered then
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Setting, instead of the recording's; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = set)]
    pub set: Vec<Set>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `howdah policy inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// Component, folder of a project, or "built-in"
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
