use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::import::ImportArguments;
use super::nodes::RestArguments;
use super::policy::PolicyCommand;
use super::policy::control::ControlArguments;
use crate::config::{Origin, Source};
use crate::upstream::Target;

/// A PostgreSQL proxy whose decisions are made by WebAssembly policies.
///
/// Clients connect to howdah as if it were the server. It keeps pools of connections to a primary and its
/// standbys, finds out which is which, and asks a chain of policies (WebAssembly components, swapped while
/// queries run) where each query goes. Without a policy of your own, reads go to standbys and all the rest to
/// the primary.
#[derive(Debug, Parser)]
#[command(name = "howdah", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  howdah demo                                     see it work on throw-away servers
  howdah run --node 10.0.0.1 --node 10.0.0.2      no file needed; then: psql -h 127.0.0.1 -p 6432
  howdah run --config howdah.toml                 every key is explained in docs/config.md
  howdah check --config howdah.toml               all mistakes at once";

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy
    #[command(after_help = RUN_HELP)]
    Run(RunArguments),
    /// Read a configuration, and report all its mistakes or what it means
    Check {
        /// File to check
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write a configuration that does what PgBouncer's says
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArguments),
    /// Write, check, test and measure policies; look after those of a running proxy
    Policy {
        /// What to do
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Show the nodes of a running proxy: role, lag, connections, and who gets no work
    Nodes {
        /// Where the proxy is
        #[command(flatten)]
        proxy: ControlArguments,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let new statements and transactions of a running proxy wait, and wait for those under way
    #[command(after_help = PAUSE_HELP)]
    Pause {
        /// Name of the cluster; without it, all
        #[arg(value_name = "CLUSTER")]
        cluster: Option<String>,
        /// How
        #[command(flatten)]
        rest: RestArguments,
    },
    /// Let a paused cluster go on with what has waited
    Resume {
        /// Name of the cluster; without it, all
        #[arg(value_name = "CLUSTER")]
        cluster: Option<String>,
        /// Where the proxy is
        #[command(flatten)]
        proxy: ControlArguments,
    },
    /// Give a node of a running proxy no more work, and wait for what is under way there
    #[command(after_help = DRAIN_HELP)]
    Drain {
        /// Name of the node
        #[arg(value_name = "NODE")]
        node: String,
        /// How
        #[command(flatten)]
        rest: RestArguments,
    },
    /// Give a drained node work again
    Undrain {
        /// Name of the node
        #[arg(value_name = "NODE")]
        node: String,
        /// Where the proxy is
        #[command(flatten)]
        proxy: ControlArguments,
    },
    /// Show when the primaries of a running proxy's clusters changed, and how that was noticed
    Failovers {
        /// Where the proxy is
        #[command(flatten)]
        proxy: ControlArguments,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have another process take over from a running proxy, with its sockets and sessions
    #[command(after_help = UPGRADE_HELP)]
    Upgrade {
        /// Program of the new process; without it, the one that runs, or what has replaced its file
        #[arg(long, value_name = "PATH")]
        program: Option<PathBuf>,
        /// Where the proxy is
        #[command(flatten)]
        proxy: ControlArguments,
    },
    /// Start a primary, two standbys, the proxy and some load, and show where queries go
    Demo {
        /// Show nothing live: check what should be true, print what was seen, and exit with 0 or 1
        #[arg(long)]
        check: bool,
    },
    /// Print what completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version,
    /// Print docs/hooks.md
    #[command(hide = true)]
    HooksReference {
        /// Folder of the policy interface
        wit: PathBuf,
    },
    /// Print docs/pgbouncer.md
    #[command(hide = true)]
    ImportReference,
    /// Print docs/config.md
    #[command(hide = true)]
    ConfigReference,
    /// Print docs/console.md
    #[command(hide = true)]
    ConsoleReference,
    /// Print docs/metrics.md
    #[command(hide = true)]
    MetricsReference,
}

const IMPORT_HELP: &str = "\
All files that it names are read, too. What has no equivalent is told on standard error and at the top of the file, with
what to do about it; that is no failure. Passwords of the list of users are written as they are.

Example:
  howdah import /etc/pgbouncer/pgbouncer.ini --output howdah.toml && howdah check --config howdah.toml";

const PAUSE_HELP: &str = "\
Clients stay connected, and what they send waits, for pool.wait_timeout at most. Transactions under way go on. When they
have ended, all connections to the nodes are closed, and the command ends, with 1 if they have not by the timeout.

A server that is restarted, seen from the clients as a slow statement:
  howdah pause --config howdah.toml main && pg_ctl restart -D …; howdah resume --config howdah.toml main";

const DRAIN_HELP: &str = "\
Reads go to other nodes. What is for a drained primary waits until another node is the primary, and goes on there by itself.

A planned switchover from a to b:
  howdah drain --config howdah.toml a && pg_ctl stop -D A && pg_ctl promote -D B";

const UPGRADE_HELP: &str = "\
The new process has the arguments of the one that runs, and reads the configuration anew. When it is ready, it has the sockets,
and the sessions come to it as soon as they are at rest; see docs/upgrade.md for those that cannot. If it does not become
ready, the proxy goes on, and the command says why, and ends with 1.

A new version:
  install howdah /usr/bin/howdah && howdah upgrade --config /etc/howdah/howdah.toml";

const RUN_HELP: &str = "\
With --node there is no file: clients of this machine come in under any name and log in to the nodes under the
same name. Passwords for the nodes are taken from PGPASSWORD or ~/.pgpass, as psql does. Nodes are watched as
PGUSER (or postgres) in PGDATABASE (or postgres).

SIGHUP, or a change of the file, reloads the configuration; SIGUSR2 has a new process take over, as `howdah upgrade` does;
SIGTERM lets clients finish first.
The log goes to standard error; HOWDAH_LOG=debug shows more of it.

Examples:
  howdah run --config /etc/howdah/howdah.toml
  howdah run --node 10.0.0.1:5432 --node 10.0.0.2:5432 --listen 127.0.0.1:6432";

/// How to run the proxy.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "node", required_unless_present = "node")]
    pub config: Option<PathBuf>,
    /// Node of the cluster, instead of a file; may be given several times
    #[arg(long, value_name = "HOST[:PORT]")]
    pub node: Vec<String>,
    /// Where clients connect, instead of what the file says; may be given several times
    #[arg(long, value_name = "HOST:PORT", value_parser = Source::parse_listen)]
    pub listen: Vec<Target>,
}

impl RunArguments {
    /// Where the configuration comes from.
    pub fn source(self) -> Source {
        let origin = match self.config {
            Some(path) => Origin::File(path),
            None => Origin::Nodes(self.node),
        };
        Source { listen: self.listen, ..Source::of(origin) }
    }
}
