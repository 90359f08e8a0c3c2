//! Every way to prove who one is, with and without TLS, with what is right, wrong, expired and unknown, by several clients:
//! the proxy says what PostgreSQL says. `docs/authentication.md` has the table; `REGENERATE=1` writes it anew.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use howdah_e2e::Running;
use howdah_e2e::tls::Authority;
use howdah_pgcluster::{Cluster, Installation};

/// Methods, which are the names of databases; and how a server and the proxy write them.
const METHODS: [&str; 5] = ["trust", "scram-sha-256", "md5", "password", "reject"];

/// User and password, and what that is.
const WHO: [(&str, &str, &str); 6] = [
    ("app", "secret", "right"),
    ("app", "wrong", "wrong"),
    ("late", "secret", "expired"),
    ("old", "secret", "right, kept as MD5"),
    ("old", "wrong", "wrong, kept as MD5"),
    ("nobody", "secret", "unknown user"),
];

const ROLES: &str = "CREATE ROLE asks LOGIN; GRANT SELECT ON pg_authid TO asks; \
    CREATE ROLE app LOGIN PASSWORD 'secret'; \
    CREATE ROLE late LOGIN PASSWORD 'secret' VALID UNTIL '2001-01-01'; \
    SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'secret'";

/// A login.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    client: &'static str,
    method: &'static str,
    sslmode: &'static str,
    binding: &'static str,
    who: (&'static str, &'static str, &'static str),
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (client, bindings) in [
        ("psql", &["disable", "prefer", "require"][..]),
        ("psycopg", &["disable", "prefer", "require"]),
        ("asyncpg", &["prefer"]),
        ("JDBC", &["prefer"]),
    ] {
        for method in METHODS {
            for sslmode in ["disable", "require"] {
                for binding in bindings {
                    let cell = |who| Cell { client, method, sslmode, binding, who };
                    cells.extend(WHO.map(cell));
                }
            }
        }
    }
    cells
}

fn servers(directory: &Path) -> Cluster {
    let rules = METHODS.map(|method| match method {
        "password" => "hostssl password all all password".to_owned(),
        method => format!("host {method} all all {method}"),
    });
    // Who encrypts nothing has no rule for clear passwords.
    let last = "host password all all reject";
    let rules: Vec<&str> = rules.iter().map(String::as_str).chain([last]).collect();
    let cluster = Authority::new(directory).cluster(0, &rules, &[]);
    cluster.primary().query("postgres", ROLES).unwrap();
    for method in METHODS {
        cluster.primary().query("postgres", &format!("CREATE DATABASE \"{method}\"")).unwrap();
    }
    cluster
}

fn proxy(cluster: &Cluster, directory: tempfile::TempDir) -> Running {
    let mut text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\nlimits.failed_login_delay = \"0ms\"\n[tls]\ncert_file = \"server.crt\"\nkey_file = \"server.key\"\n\
         [auth.query]\nuser = \"asks\"\n[cluster.main]\nnodes = {:?}\ntls = {{ mode = \"require\" }}\n",
        cluster.nodes()
    );
    for method in METHODS {
        let tls = if method == "password" { "require" } else { "allow" };
        writeln!(
            text,
            "[[rule]]\nmethod = \"{method}\"\ndatabases = [\"{method}\"]\ntls = \"{tls}\""
        )
        .unwrap();
    }
    text.push_str("[[rule]]\nmethod = \"reject\"\n");
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(1);
    proxy
}

/// Where `.ci/setup` has put the drivers. Installs what is missing.
fn drivers() -> PathBuf {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/setup");
    let output =
        Command::new(setup).args(["drivers", "psycopg", "asyncpg", "jdbc"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

/// What becomes of logins of one client, in their order: `in`, or what it is told.
fn outcomes(client: &str, drivers: &Path, port: &str, cells: &[Cell]) -> Vec<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers");
    let mut program = match client {
        "psql" => return cells.iter().map(|cell| psql(port, cell)).collect(),
        "JDBC" => {
            let mut java = Command::new("java");
            java.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(scripts.join("Login.java"));
            java
        }
        driver => {
            let mut python = Command::new(drivers.join("python/bin/python"));
            python.arg(scripts.join("login.py")).arg(driver);
            python
        }
    };
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for Cell { method, sslmode, binding, who: (user, password, _), .. } in cells {
        writeln!(input, "{port} {method} {user} {password} {sslmode} {binding}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| told(line, port)).collect();
    assert_eq!(lines.len(), cells.len(), "{client} ended early");
    lines
}

fn psql(port: &str, cell: &Cell) -> String {
    let Cell { method, sslmode, binding, who: (user, password, _), .. } = cell;
    let output = Command::new(Installation::find().unwrap().bin.join("psql"))
        .arg(format!(
            "host=127.0.0.1 port={port} user={user} dbname={method} sslmode={sslmode} channel_binding={binding}"
        ))
        .args(["-XAtc", "SELECT 'in'"])
        .env("PGPASSWORD", password)
        .output()
        .unwrap();
    match output.status.success() {
        true => String::from_utf8(output.stdout).unwrap().trim_end().to_owned(),
        false => told(String::from_utf8_lossy(&output.stderr).trim_end(), port),
    }
}

/// The same for both: without the place, and what only one of them has a file for.
fn told(text: &str, port: &str) -> String {
    let text = text.replace(port, "PORT").replace("pg_hba.conf", "a rule");
    // What a server says to the proxy, which says where.
    if let Some((before, said)) = text.split_once("cannot log in to server ")
        && let Some((_, said)) = said.split_once("the server says: ")
        && let Some((said, _)) = said.rsplit_once(" (28000)")
    {
        return told(&format!("{before}{said}"), port);
    }
    match text.split_once("FATAL:") {
        Some((_, message)) => message.trim().lines().next().unwrap_or_default().to_owned(),
        None => text.replace('\n', " "),
    }
}

#[test]
fn the_proxy_says_what_postgresql_says() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = servers(directory.path());
    Authority::new(directory.path()).issue(directory.path());
    let (proxy, drivers) = (proxy(&cluster, directory), drivers());
    let ports = [cluster.nodes()[0].rsplit(':').next().unwrap().to_owned(), proxy.port.to_string()];
    let (mut table, mut differ) = (BTreeMap::new(), Vec::new());
    let all = cells();
    for cells in all.chunk_by(|one, other| one.client == other.client) {
        let client = cells[0].client;
        let [direct, through] =
            ports.each_ref().map(|port| outcomes(client, &drivers, port, cells));
        for ((cell, direct), through) in cells.iter().zip(direct).zip(through) {
            if direct != through {
                let Cell { method, sslmode, binding, who, .. } = cell;
                differ.push(format!(
                    "{client} {method} {sslmode} {binding} {who:?}: {direct} / {through}"
                ));
            }
            let row = (cell.method, cell.who.2, cell.sslmode, cell.binding);
            table.entry(row).or_insert_with(BTreeMap::new).insert(client, direct == "in");
        }
    }
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), all.len(), differ.join("\n"));
    compare(&document(&table));
}

type Table = BTreeMap<
    (&'static str, &'static str, &'static str, &'static str),
    BTreeMap<&'static str, bool>,
>;

fn document(table: &Table) -> String {
    let clients = ["psql", "psycopg", "asyncpg", "JDBC"];
    let mut text = String::from(
        "| method | password | TLS | channel binding | psql | psycopg | asyncpg | JDBC |\n|---|---|---|---|---|---|---|---|\n",
    );
    for ((method, who, sslmode, binding), outcomes) in table {
        let tls = if *sslmode == "require" { "yes" } else { "no" };
        write!(text, "| {method} | {who} | {tls} | {binding} |").unwrap();
        for client in clients {
            let outcome = match outcomes.get(client) {
                Some(true) => "in",
                Some(false) => "refused",
                None => "–",
            };
            write!(text, " {outcome} |").unwrap();
        }
        text.push('\n');
    }
    text
}

/// The table of the document is what was found.
fn compare(table: &str) {
    const BEGIN: &str = "<!-- Made by tests/e2e/tests/matrix.rs. -->\n\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authentication.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once(BEGIN).unwrap();
    let made = format!("{before}{BEGIN}{table}");
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::write(&path, made).unwrap();
    } else {
        assert!(
            text == made,
            "docs/authentication.md is out of date: REGENERATE=1 cargo test -p howdah-e2e --test matrix"
        );
    }
}
