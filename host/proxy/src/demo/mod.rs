//! `howdah demo`: the whole road on throw-away parts. A real primary with two real replicas, the proxy with its
//! default policy read from a file, and a little load.

mod load;
mod table;

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use howdah_pgcluster::{Cluster, Options};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Http, PolicySource};
use crate::policies::READ_WRITE_SPLIT;
use crate::run::Proxy;
use crate::upstream::Target;
use load::{Load, Tally};

/// Where the demo listens, when that is free.
const PORT: u16 = 6432;
/// Where its page is then.
const PAGE: u16 = 6480;
/// Reads and writes of a check, before and after the swap.
const CHECKED: u64 = 300;
/// Longest time for a check's load, or for a swap.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo until ctrl-C; with `check`, without a terminal: asserts what should be true, and ends.
///
/// # Errors
/// What could not be started.
pub fn demo(check: bool) -> anyhow::Result<ExitCode> {
    say("starting a primary and two streaming replicas …");
    let cluster = Cluster::start(&Options { replicas: 2, ..Options::default() })?;
    cluster.primary().query(
        "postgres",
        "CREATE TABLE demo (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())",
    )?;
    cluster.wait_replayed()?;
    let directory = tempfile::tempdir()?;
    let policy = directory.path().join("read-write-split.wasm");
    std::fs::write(&policy, READ_WRITE_SPLIT)?;
    let proxy = start(&cluster.nodes(), &policy)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        if check {
            checked(&proxy, &cluster, &policy).await
        } else {
            shown(&proxy, &cluster, &policy).await
        }
    });
    proxy.stop();
    outcome
}

/// The proxy on its usual port, with the page, or on any.
fn start(nodes: &[String], policy: &Path) -> anyhow::Result<Proxy> {
    let local = |port| Target { host: "127.0.0.1".into(), port };
    let config = |port, page: Option<u16>| {
        let mistakes = |mistakes: Vec<crate::config::Mistake>| {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        };
        let mut config = Config::from_nodes(nodes).map_err(mistakes)?;
        config.listen = vec![local(port)];
        config.http =
            page.map(|port| Http { listen: local(port), login: false, metrics_login: false });
        for entry in &mut config.policies {
            entry.source = PolicySource::File(policy.to_path_buf());
        }
        anyhow::Ok(config)
    };
    Proxy::start(config(PORT, Some(PAGE))?).or_else(|_| Proxy::start(config(0, None)?))
}

fn target(proxy: &Proxy) -> anyhow::Result<Target> {
    let address = proxy.addresses.first().context("the proxy does not listen")?;
    let (host, port) = address.rsplit_once(':').context("the proxy's address")?;
    Ok(Target { host: host.into(), port: port.parse()? })
}

fn say(line: &str) {
    // Whoever read our output may have gone.
    let _ = writeln!(stdout(), "{line}");
}

/// The live table.
async fn shown(proxy: &Proxy, cluster: &Cluster, policy: &Path) -> anyhow::Result<ExitCode> {
    let target = target(proxy)?;
    let stop = Arc::new(AtomicBool::new(false));
    let load = Load::start(&target, 4, Arc::clone(&stop), Some(Duration::from_millis(10)));
    let page = match &proxy.shared.config.load().http {
        Some(http) => format!("http://{}", http.listen),
        None => format!("none: port {PORT} or {PAGE} is taken"),
    };
    let head = format!(
        "try it:   psql \"host={} port={} user=postgres dbname=postgres\" -c 'SELECT inet_server_port()'\n\
         page:     {page}\n\
         policy:   {}  (replace the file and watch the generation)\n\
         end:      ctrl-C",
        target.host,
        target.port,
        policy.display()
    );
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut screen = table::Screen::new(head, stdout().is_terminal());
    loop {
        screen.draw(&proxy.shared, &cluster.nodes(), &load.tally());
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    stop.store(true, Ordering::Relaxed);
    say("\ncleaning up …");
    Ok(ExitCode::SUCCESS)
}

/// Load before, during and after a swap of the policy's file; then what was seen is judged.
async fn checked(proxy: &Proxy, cluster: &Cluster, policy: &Path) -> anyhow::Result<ExitCode> {
    let target = target(proxy)?;
    ready(proxy, &target).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let load = Load::start(&target, 8, Arc::clone(&stop), None);
    reached(&load, CHECKED).await?;
    say("swapping the policy's file under load …");
    swap(policy)?;
    let swapped = swapped(proxy).await;
    reached(&load, load.tally().reads() + CHECKED).await?;
    stop.store(true, Ordering::Relaxed);
    let tally = load.finish().await;
    table::Screen::new(String::new(), false).draw(&proxy.shared, &cluster.nodes(), &tally);
    let ports: Vec<u16> =
        std::iter::once(cluster.primary()).chain(cluster.replicas()).map(|s| s.port).collect();
    let passed = judge(&tally, &ports, swapped);
    say(if passed { "all is as it should be" } else { "something is not as it should be" });
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until the nodes are known, and the catalog of functions: until then every read goes to the primary.
async fn ready(proxy: &Proxy, target: &Target) -> anyhow::Result<()> {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        let snapshot = proxy.shared.monitor.snapshot();
        let up = snapshot.states.iter().filter(|state| state.up).count();
        if up == snapshot.states.len()
            && load::read_once(target).await.is_ok_and(|read| read.on_replica)
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the proxy did not find its nodes in time")
}

async fn reached(load: &Load, reads: u64) -> anyhow::Result<()> {
    let give_up = Instant::now() + PATIENCE;
    while load.tally().reads() < reads {
        if Instant::now() > give_up {
            bail!("the load made no progress: {:?}", load.tally());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The same policy with a custom section behind it is another file, and so another version.
fn swap(policy: &Path) -> anyhow::Result<()> {
    let mut bytes = READ_WRITE_SPLIT.to_vec();
    let name = b"howdah-demo";
    let length = u8::try_from(name.len() + 1)?;
    bytes.extend_from_slice(&[0, length, length - 1]);
    bytes.extend_from_slice(name);
    let next: PathBuf = policy.with_extension("next");
    std::fs::write(&next, bytes)?;
    Ok(std::fs::rename(next, policy)?)
}

async fn swapped(proxy: &Proxy) -> bool {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        if proxy.shared.registry.generation() > 1 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn judge(tally: &Tally, ports: &[u16], swapped: bool) -> bool {
    let primary = ports.first().copied().unwrap_or_default();
    let on = |seen: &std::collections::BTreeMap<u16, u64>, port: u16| {
        seen.get(&port).copied().unwrap_or(0)
    };
    let fair = tally.reads() / (2 * ports.len() as u64);
    let writes: u64 = tally.writes.values().sum();
    let questions = [
        ("every write was made on the primary", writes > 0 && on(&tally.writes, primary) == writes),
        ("no read was made on the primary", on(&tally.reads, primary) == 0),
        (
            "every replica got its share of the reads",
            ports.iter().skip(1).all(|port| on(&tally.reads, *port) > fair),
        ),
        ("the swapped policy is in force", swapped),
        ("no statement failed", tally.failures.is_empty()),
    ];
    for (question, answer) in &questions {
        say(&format!("  {}  {question}", if *answer { "yes" } else { "NO " }));
    }
    for failure in &tally.failures {
        say(&format!("  failure: {failure}"));
    }
    questions.iter().all(|(_, answer)| *answer)
}
