//! Every way to prove who one is, with and without TLS, with what is right, wrong, expired and unknown, by several clients:
//! the proxy says what PostgreSQL says. `docs/authentication.md` has the table; `REGENERATE=1` writes it anew.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use howdah_e2e::Running;
use howdah_e2e::tls::Authority;
use howdah_pgcluster::{Cluster, Installation};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

/// Methods, which are the names of databases; and how a server and the proxy write them.
const METHODS: [&str; 5] = ["trust", "scram-sha-256", "md5", "password", "reject"];

/// Methods with certificates, which are also names of databases; and how a server and the proxy write them.
const CERTIFIED: [(&str, &str, &str); 3] = [
    ("cert", "cert", "method = \"cert\""),
    (
        "verify-ca",
        "scram-sha-256 clientcert=verify-ca",
        "method = \"scram-sha-256\"\nclient_cert = \"verify-ca\"",
    ),
    (
        "verify-full",
        "scram-sha-256 clientcert=verify-full",
        "method = \"scram-sha-256\"\nclient_cert = \"verify-full\"",
    ),
];

/// Who logs in: user, password and certificate, and what these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who(&'static str, &'static str, &'static str, &'static str);

const WHO: [Who; 6] = [
    Who("app", "sesame", "-", "right"),
    Who("app", "no-sesame", "-", "wrong"),
    Who("late", "sesame", "-", "expired"),
    Who("old", "sesame", "-", "right, kept as MD5"),
    Who("old", "no-sesame", "-", "wrong, kept as MD5"),
    Who("nobody", "sesame", "-", "unknown user"),
];

const CERTIFIED_WHO: [Who; 6] = [
    Who("app", "sesame", "app", "right certificate"),
    Who("app", "no-sesame", "app", "right certificate, wrong password"),
    Who("app", "sesame", "other", "somebody else's certificate"),
    Who("app", "sesame", "expired", "expired certificate"),
    Who("app", "sesame", "stranger", "certificate of an unknown authority"),
    Who("app", "sesame", "-", "no certificate"),
];

const ROLES: &str = "CREATE ROLE asks LOGIN; GRANT SELECT ON pg_authid TO asks; \
    CREATE ROLE app LOGIN PASSWORD 'sesame'; \
    CREATE ROLE late LOGIN PASSWORD 'sesame' VALID UNTIL '2001-01-01'; \
    SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'sesame'";

/// A login.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    client: &'static str,
    method: &'static str,
    sslmode: &'static str,
    binding: &'static str,
    who: Who,
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (client, bindings) in [
        ("psql", &["disable", "prefer", "require"][..]),
        ("psycopg", &["disable", "prefer", "require"]),
        ("asyncpg", &["prefer"]),
        ("JDBC", &["prefer"]),
    ] {
        for sslmode in ["disable", "require"] {
            for (binding, method) in bindings.iter().flat_map(|one| METHODS.map(|m| (one, m))) {
                cells.extend(WHO.map(|who| Cell { client, method, sslmode, binding, who }));
            }
            for (method, ..) in CERTIFIED {
                let cell = |who| Cell { client, method, sslmode, binding: "prefer", who };
                cells.extend(CERTIFIED_WHO.map(cell));
            }
        }
    }
    cells
}

fn servers(authority: &Authority) -> Cluster {
    let plain = METHODS.map(|method| match method {
        "password" => "hostssl password all all password".to_owned(),
        method => format!("host {method} all all {method}"),
    });
    let certified = CERTIFIED.map(|(name, hba, _)| format!("hostssl {name} all all {hba}"));
    // Who encrypts nothing has no rule for clear passwords and certificates.
    let last = "host password,cert,verify-ca,verify-full all all reject";
    let rules: Vec<&str> =
        plain.iter().chain(&certified).map(String::as_str).chain([last]).collect();
    let cluster = authority.cluster(0, &rules, &[]);
    cluster.primary().query("postgres", ROLES).unwrap();
    for name in METHODS.into_iter().chain(CERTIFIED.map(|(name, ..)| name)) {
        cluster.primary().query("postgres", &format!("CREATE DATABASE \"{name}\"")).unwrap();
    }
    cluster
}

/// To databases that want certificates of clients the proxy goes by the Unix socket, as it has none of theirs.
fn proxy(cluster: &Cluster, directory: tempfile::TempDir) -> Running {
    let primary = cluster.primary();
    let socket = format!("{}:{}", primary.data().parent().unwrap().display(), primary.port);
    let mut text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\nlimits.failed_login_delay = \"0ms\"\n\
         [tls]\ncert_file = \"server.crt\"\nkey_file = \"server.key\"\nca_file = \"ca.crt\"\n\
         [auth.query]\nuser = \"asks\"\n[cluster.main]\nnodes = {:?}\ntls = {{ mode = \"require\" }}\n\
         [cluster.certified]\nnodes = [\"{socket}\"]\ndatabases = {:?}\n",
        cluster.nodes(),
        CERTIFIED.map(|(name, ..)| name)
    );
    for method in METHODS {
        let tls = if method == "password" { "require" } else { "allow" };
        writeln!(
            text,
            "[[rule]]\nmethod = \"{method}\"\ndatabases = [\"{method}\"]\ntls = \"{tls}\""
        )
        .unwrap();
    }
    for (name, _, keys) in CERTIFIED {
        writeln!(text, "[[rule]]\n{keys}\ndatabases = [\"{name}\"]\ntls = \"require\"").unwrap();
    }
    text.push_str("[[rule]]\nmethod = \"reject\"\n");
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(2);
    proxy
}

/// The files of clients' certificates, by their names in [`CERTIFIED_WHO`].
fn certificates(authority: &Authority) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let stranger = Authority::called("a stranger", directory.path());
    for (name, (certificate, key)) in [
        ("app", authority.sign(Vec::new(), "app")),
        ("other", authority.sign(Vec::new(), "other")),
        ("expired", authority.sign_expired("app")),
        ("stranger", stranger.sign(Vec::new(), "app")),
    ] {
        let path = |end: &str| directory.path().join(format!("{name}.{end}"));
        let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        std::fs::write(path("crt"), certificate).unwrap();
        std::fs::write(path("pk8"), der.secret_der()).unwrap();
        std::fs::write(path("key"), key).unwrap();
        // libpq wants nobody else to be able to read it.
        std::fs::set_permissions(path("key"), Permissions::from_mode(0o600)).unwrap();
    }
    directory
}

/// Where `.ci/setup` has put the drivers. Installs what is missing.
fn drivers() -> PathBuf {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/setup");
    let output =
        Command::new(setup).args(["drivers", "psycopg", "asyncpg", "jdbc"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

/// Where drivers and certificates are.
struct Places {
    drivers: PathBuf,
    certificates: tempfile::TempDir,
}

impl Places {
    /// A certificate's file without its end.
    fn certificate(&self, name: &str) -> Option<String> {
        (name != "-").then(|| self.certificates.path().join(name).display().to_string())
    }
}

/// What becomes of logins of one client, in their order: `in`, or what it is told.
fn outcomes(client: &str, places: &Places, port: &str, cells: &[Cell]) -> Vec<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers");
    let mut program = match client {
        "psql" => return cells.iter().map(|cell| psql(places, port, cell)).collect(),
        "JDBC" => {
            let mut java = Command::new("java");
            java.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(scripts.join("Login.java"));
            java
        }
        driver => {
            let mut python = Command::new(places.drivers.join("python/bin/python"));
            python.arg(scripts.join("login.py")).arg(driver);
            python
        }
    };
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for Cell { method, sslmode, binding, who: Who(user, password, certificate, _), .. } in cells {
        let certificate = places.certificate(certificate).unwrap_or("-".to_owned());
        writeln!(input, "{port} {method} {user} {password} {sslmode} {binding} {certificate}")
            .unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| told(line, port)).collect();
    assert_eq!(lines.len(), cells.len(), "{client} ended early");
    lines
}

fn psql(places: &Places, port: &str, cell: &Cell) -> String {
    let Cell { method, sslmode, binding, who: Who(user, password, certificate, _), .. } = cell;
    let files = places.certificate(certificate);
    let files = files.map(|path| format!("sslcert={path}.crt sslkey={path}.key"));
    let output = Command::new(Installation::find().unwrap().bin.join("psql"))
        .arg(format!(
            "host=127.0.0.1 port={port} user={user} dbname={method} sslmode={sslmode} channel_binding={binding} {}",
            files.unwrap_or_default()
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

/// How clients say that TLS has failed.
const HANDSHAKE: [&str; 6] = [
    "alert",
    "reset by peer",
    "Broken pipe",
    "connection_lost",
    "closed",
    "connection attempt failed",
];

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
        // An alert of TLS, or what is left of it when the connection is reset at once: no words of a server.
        None if HANDSHAKE.iter().any(|word| text.contains(word)) => "the handshake failed".into(),
        None => text.replace('\n', " "),
    }
}

#[test]
fn the_proxy_says_what_postgresql_says() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path());
    let cluster = servers(&authority);
    authority.issue(directory.path());
    let proxy = proxy(&cluster, directory);
    let places = Places { drivers: drivers(), certificates: certificates(&authority) };
    let ports = [cluster.nodes()[0].rsplit(':').next().unwrap().to_owned(), proxy.port.to_string()];
    let (mut table, mut differ) = (BTreeMap::new(), Vec::new());
    let all = cells();
    for cells in all.chunk_by(|one, other| one.client == other.client) {
        let client = cells[0].client;
        let [direct, through] = ports.each_ref().map(|port| outcomes(client, &places, port, cells));
        for ((cell, direct), through) in cells.iter().zip(direct).zip(through) {
            if direct != through {
                let Cell { method, sslmode, binding, who, .. } = cell;
                differ.push(format!(
                    "{client} {method} {sslmode} {binding} {who:?}: {direct} / {through}"
                ));
            }
            let row = (cell.method, cell.who.3, cell.sslmode, cell.binding);
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
        "| method | password or certificate | TLS | channel binding | psql | psycopg | asyncpg | JDBC |\n|---|---|---|---|---|---|---|---|\n",
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
