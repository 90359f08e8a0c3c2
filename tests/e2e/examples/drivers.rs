//! Runs the scripts of `tests/drivers` directly and through the proxy. Arguments: the directory of the installed
//! drivers, the directory of the scripts, names of drivers (none: all).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::{Command, ExitCode, Stdio};

use howdah_e2e::{Running, cluster};
use howdah_pgcluster::Auth;

/// Drivers and how their checks are run. A script prints `# DRIVER VERSION`, and for each check `ok NAME` or
/// `not ok NAME: REASON`.
const DRIVERS: [(&str, &str); 7] = [
    ("psycopg", "$INSTALLED/python/bin/python psycopg_checks.py $DSN"),
    ("asyncpg", "$INSTALLED/python/bin/python asyncpg_checks.py $DSN"),
    (
        "node-postgres",
        "NODE_PATH=$INSTALLED/node_modules node --no-deprecation node-postgres.js $DSN",
    ),
    (
        "tokio-postgres",
        "cargo run -q --locked --manifest-path rust/Cargo.toml --bin tokio-postgres $DSN",
    ),
    ("sqlx", "cargo run -q --locked --manifest-path rust/Cargo.toml --bin sqlx $DSN"),
    ("jdbc", "java -cp /usr/share/java/postgresql.jar Jdbc.java $DSN"),
    (
        "pgx",
        "GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$INSTALLED/go-cache \
         PGX_VERSION=$(dpkg-query -W -f '${Version}' golang-github-jackc-pgx-v4-dev) \
         $INSTALLED/python/bin/go run pgx.go $DSN",
    ),
];

/// Longest time for one script, in seconds: compilers are among them.
const PATIENCE: &str = "300";

/// What became of one script.
#[derive(Default)]
struct Outcome {
    driver: String,
    passed: usize,
    failed: Vec<String>,
}

impl Outcome {
    fn show(&self) -> String {
        format!("{}/{}", self.passed, self.passed + self.failed.len())
    }
}

fn run(command: &str, port: u16, installed: &str, scripts: &str) -> Outcome {
    let output = Command::new("timeout")
        .args([PATIENCE, "sh", "-c", command])
        .current_dir(scripts)
        .env("DSN", format!("postgresql://postgres@127.0.0.1:{port}/postgres"))
        .env("INSTALLED", installed)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let mut outcome = Outcome::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(driver) = line.strip_prefix("# ") {
            driver.clone_into(&mut outcome.driver);
        } else if line.starts_with("ok ") {
            outcome.passed += 1;
        } else if let Some(reason) = line.strip_prefix("not ok ") {
            outcome.failed.push(reason.to_owned());
        }
    }
    if (outcome.failed.is_empty() && !output.status.success()) || outcome.passed == 0 {
        outcome.failed.push(format!("the script as a whole: {}", output.status));
    }
    outcome
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (installed, scripts) = (arguments.next().unwrap(), arguments.next().unwrap());
    let names: Vec<String> = arguments.collect();
    let cluster = cluster(2, Auth::Trust);
    // Fewer servers than the scripts have clients.
    let proxy = Running::start(&cluster.nodes(), "[pool]\nsize = 5\n");
    proxy.wait_up(3);
    let (mut table, mut failures) = (Vec::new(), Vec::new());
    for (name, command) in DRIVERS {
        if !names.is_empty() && !names.iter().any(|asked| asked == name) {
            continue;
        }
        let [direct, through] = [cluster.primary().port, proxy.port]
            .map(|port| run(command, port, &installed, &scripts));
        for (way, outcome) in [("directly", &direct), ("through howdah", &through)] {
            let told = |reason| format!("{name}, {way}: {reason}");
            failures.extend(outcome.failed.iter().map(told));
        }
        table.push([direct.driver.clone(), direct.show(), through.show()]);
    }
    println!("{:<28}{:>10}{:>16}", "driver", "directly", "through howdah");
    for [driver, direct, through] in table {
        println!("{driver:<28}{direct:>10}{through:>16}");
    }
    for failure in &failures {
        println!("{failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
