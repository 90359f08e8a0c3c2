//! What the end-to-end tests share: clusters, proxies, clients.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod house;
pub mod http;
pub mod languages;
pub mod program;
mod raw;
pub mod relay;
pub mod secrets;
pub mod tls;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use howdah::config::{Config, Origin, Source};
use howdah::run::Proxy;
use howdah_pgcluster::{Auth, Cluster, Installation, Options};

pub use raw::{RawClient, Transport, socket};

/// Longest wait for anything that must come true.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Beside the build's own output: kept from run to run.
fn cache() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(3).unwrap().join("howdah-tests")
}

/// A cluster of this test's own, with this many replicas.
pub fn cluster(replicas: usize, auth: Auth) -> Cluster {
    Cluster::start(&Options { replicas, auth, template: Some(cache()), ..Options::default() })
        .unwrap()
}

/// A primary with two replicas for tests that leave it as it was. It ends with the process.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| cluster(2, Auth::Trust))
}

/// A proxy in this process. It drains when it is dropped, and then what it has printed is searched for secrets.
pub struct Running {
    proxy: Option<Proxy>,
    /// Its configuration file's directory.
    pub directory: tempfile::TempDir,
    /// Where it listens.
    pub port: u16,
}

impl Running {
    /// What `howdah …` prints, and whether it succeeds; asked over the proxy's `control` socket, which is in its directory.
    pub fn howdah(&self, arguments: &[&str]) -> (String, bool) {
        let actions = howdah::cli::Actions {
            run: |_, _| anyhow::bail!("nothing is to run"),
            demo: |_| anyhow::bail!("nothing is to be shown"),
        };
        let socket = self.directory.path().join("control");
        let typed = ["howdah"].iter().chain(arguments).copied();
        let typed = typed.chain(["--socket", socket.to_str().unwrap()]);
        let mut out = Vec::new();
        let done = howdah::cli::execute_from(typed, &actions, &mut out);
        (String::from_utf8(out).unwrap(), done.unwrap() == std::process::ExitCode::SUCCESS)
    }

    /// Statements that wait because there is no node of the first cluster for them, as `howdah nodes` tells.
    pub fn held(&self) -> u64 {
        let nodes: serde_json::Value =
            serde_json::from_str(&self.howdah(&["nodes", "--json"]).0).unwrap();
        nodes["clusters"][0]["held"].as_u64().unwrap()
    }

    /// Starts a proxy in front of these nodes; `more` is TOML that is put before the cluster's.
    pub fn start(nodes: &[String], more: &str) -> Running {
        Running::start_with(nodes, more, "")
    }

    /// The same, with further keys of the cluster.
    pub fn start_with(nodes: &[String], more: &str, keys: &str) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let more = more.replace("@DIR@", &directory.path().display().to_string());
        let nodes = format!("{nodes:?}");
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\nworkers = 2\n{more}\n[cluster.main]\nnodes = {nodes}\n{keys}\n"
        );
        Running::with_file(directory, &text)
    }

    /// Starts a proxy with this configuration, and with a socket for operators if that names none.
    pub fn with_file(directory: tempfile::TempDir, text: &str) -> Running {
        secrets::search_logs();
        let file = directory.path().join("howdah.toml");
        let control = if text.contains("control = ") { "" } else { "control = \"control\"\n" };
        std::fs::write(&file, format!("{control}{text}")).unwrap();
        let config = Config::load(&file).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
        let proxy = Proxy::start(config).unwrap();
        let port = proxy.addresses[0].rsplit(':').next().unwrap().parse().unwrap();
        Running { proxy: Some(proxy), directory, port }
    }

    /// The proxy's inside.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// Reads the configuration's files again.
    pub fn reload(&self) {
        let file = self.directory.path().join("howdah.toml");
        let source = Source::of(Origin::File(file));
        howdah::reload::reload(self.proxy(), &source);
    }

    /// Waits until this many nodes are up.
    pub fn wait_up(&self, nodes: usize) -> &Running {
        wait("nodes to be up", || {
            let snapshot = self.proxy().shared.monitor.snapshot();
            snapshot.states.iter().filter(|state| state.up).count() == nodes
        });
        self
    }

    /// Waits until reads go to replicas: the nodes are known, and the catalog of functions is loaded.
    pub async fn wait_split(&self) -> &Running {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let client = connect(self.port, "postgres").await;
            if on_replica(&client).await {
                return self;
            }
            assert!(Instant::now() < give_up, "reads do not go to replicas");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(proxy) = self.proxy.take() else { return };
        let told = secrets::told(&proxy, self.directory.path());
        proxy.stop();
        if !std::thread::panicking() {
            secrets::search(&told);
        }
    }
}

/// Waits for a condition.
pub fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client of a real driver.
pub async fn connect(port: u16, user: &str) -> tokio_postgres::Client {
    try_connect(&format!("host=127.0.0.1 port={port} user={user} dbname=postgres")).await.unwrap()
}

/// The same, for a login that may fail.
pub async fn try_connect(dsn: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(dsn, tokio_postgres::NoTls).await?;
    tokio::spawn(async move {
        // The client itself is told when its connection ends.
        let _ = connection.await;
    });
    Ok(client)
}

/// The first value of a simple query.
pub async fn value(client: &tokio_postgres::Client, sql: &str) -> String {
    try_value(client, sql).await.unwrap()
}

/// The same, for a query that may fail.
pub async fn try_value(
    client: &tokio_postgres::Client,
    sql: &str,
) -> Result<String, tokio_postgres::Error> {
    for message in client.simple_query(sql).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            return Ok(row.get(0).unwrap_or_default().to_owned());
        }
    }
    Ok(String::new())
}

/// Whether a read is answered by a replica.
pub async fn on_replica(client: &tokio_postgres::Client) -> bool {
    value(client, "SELECT current_setting('transaction_read_only')").await == "on"
}

/// pgbench at a port, without vacuuming first.
pub fn pgbench(port: u16, more: &[&str]) -> Child {
    Command::new(Installation::find().unwrap().bin.join("pgbench"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "-n"])
        .args(more)
        .arg("postgres")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What it has told, when it has ended without any error.
pub fn finished(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(!errors.contains("ERROR") && !errors.contains("FATAL"), "{errors}");
    text
}

/// Builds a policy of this workspace and returns its component.
pub fn policy(package: &str) -> PathBuf {
    built(package, "wasm32-wasip2")
}

/// The same, made the other way: a core module without any `wasi:*` import, turned into a component.
pub fn component(package: &str) -> Vec<u8> {
    let module = std::fs::read(built(package, "wasm32-unknown-unknown")).unwrap();
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.module(&module).unwrap().validate(true).encode().unwrap()
}

fn built(package: &str, wasm: &str) -> PathBuf {
    let target = cache().join("policies");
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", wasm]);
    cargo.args(["--package", package]).arg("--target-dir").arg(&target);
    assert!(cargo.status().unwrap().success(), "{package} does not build");
    target.join(wasm).join("release").join(format!("{}.wasm", package.replace('-', "_")))
}

/// Cargo in this workspace, without the settings of the one that runs the tests.
fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") && text != "CARGO_HOME"
            || text.starts_with("RUST") && text != "RUSTUP_HOME"
        {
            cargo.env_remove(&name);
        }
    }
    cargo
}
