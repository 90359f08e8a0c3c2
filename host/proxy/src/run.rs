//! The life of the process: set up, serve, reload, drain.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use howdah_cluster::NodeSpec;
use howdah_policy::{Options, Registry};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{LocalSet, spawn_local};

use crate::config::Config;
use crate::monitor::{Monitor, Watch};
use crate::policies::{self, Swapper};
use crate::upstream::{Detached, KeyCache, Login};
use crate::worker::{self, Message, Shared};

/// Connections that the system may hold before they are accepted.
const BACKLOG: u32 = 1024;
/// A pause of the accept loop when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A configuration file is read when it has not changed for this long.
const SETTLED: Duration = Duration::from_millis(100);

/// A proxy that runs on threads of its own.
pub struct Proxy {
    /// Addresses that it listens on.
    pub addresses: Vec<SocketAddr>,
    /// What its threads share.
    pub shared: Arc<Shared>,
    /// Where its policies are swapped.
    pub swapper: Arc<Swapper>,
    stop: oneshot::Sender<()>,
    control: JoinHandle<()>,
}

impl Proxy {
    /// Sets everything up and starts to serve.
    ///
    /// # Errors
    /// A policy that cannot be used, an address that cannot be bound.
    pub fn start(config: Config) -> anyhow::Result<Proxy> {
        let registry = Registry::new(Options { workers: config.workers }).map_err(anyhow::Error::msg)?;
        let swapper = Arc::new(policies::start(Arc::clone(&registry))?);
        if let Err(errors) = swapper.replace(config.policies.clone()) {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            bail!("{}", lines.join("\n"));
        }
        let keys = Arc::<KeyCache>::default();
        let monitor = Monitor::new(watches(&config), specs(&config), Arc::clone(&keys));
        let (inboxes, workers): (Vec<_>, Vec<_>) =
            (0..config.workers).map(|_| mpsc::unbounded_channel()).map(|(tx, rx)| (rx, tx)).unzip();
        let shared = Shared::new(config, registry, monitor, keys, workers);
        let mut threads = Vec::new();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name(format!("howdah-worker-{index}"))
                .spawn(move || worker::run(index, shared, inbox))?;
            threads.push(thread);
        }
        let (stop, stopped) = oneshot::channel();
        let (bound, addresses) = std::sync::mpsc::channel();
        let control = std::thread::Builder::new().name("howdah-control".into()).spawn({
            let shared = Arc::clone(&shared);
            move || control(shared, threads, &bound, stopped)
        })?;
        let addresses = addresses.recv().context("the control thread has ended")??;
        Ok(Proxy { addresses, shared, swapper, stop, control })
    }

    /// Lets transactions end, sends clients away, and ends. Blocks for as long as `limits.shutdown_timeout` allows.
    pub fn stop(self) {
        // The thread has ended if nobody listens.
        let _ = self.stop.send(());
        let _ = self.control.join();
    }
}

fn watches(config: &Config) -> Vec<Watch> {
    let watch = |cluster: &crate::config::Cluster| Watch {
        name: cluster.name.clone(),
        login: Login {
            user: cluster.monitor.user.clone(),
            database: cluster.monitor.database.clone(),
            password: cluster.monitor.password.clone(),
            parameters: vec![("application_name".into(), "howdah monitor".into())],
        },
        interval: cluster.monitor.interval,
        timeout: cluster.monitor.timeout,
    };
    config.clusters.iter().map(watch).collect()
}

fn specs(config: &Config) -> Vec<NodeSpec> {
    config.clusters.iter().flat_map(|cluster| cluster.nodes.clone()).collect()
}

/// The control thread: listeners, probes, drain.
fn control(
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    bound: &std::sync::mpsc::Sender<anyhow::Result<Vec<SocketAddr>>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = bound.send(Err(error.into()));
            return;
        }
    };
    LocalSet::new().block_on(&runtime, async {
        let config = shared.config.load_full();
        let listeners = match listen(&config.listen).await {
            Ok(listeners) => listeners,
            Err(error) => {
                let _ = bound.send(Err(error));
                return;
            }
        };
        spawn_local(Arc::clone(&shared.monitor).run());
        spawn_local(tell_policies(Arc::clone(&shared)));
        let (close, closed) = watch::channel(false);
        let mut addresses = Vec::new();
        for listener in listeners {
            if let Ok(address) = listener.local_addr() {
                tracing::info!(%address, "listening");
                addresses.push(address);
            }
            spawn_local(accept(listener, Arc::clone(&shared), closed.clone()));
        }
        let _ = bound.send(Ok(addresses));
        // Either the order to stop, or nobody is left to give it.
        let _ = stopped.await;
        let _ = close.send(true);
        drain(&shared, &threads).await;
    });
}

async fn listen(addresses: &[String]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for text in addresses {
        let found = tokio::net::lookup_host(text).await.with_context(|| format!("listen: {text}"))?;
        for address in found {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address).with_context(|| format!("cannot listen on {address}"))?;
            listeners.push(socket.listen(BACKLOG)?);
        }
    }
    Ok(listeners)
}

/// Gives each new connection to the worker with the fewest clients.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut closed: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let detached = stream.set_nodelay(true).and_then(|()| stream.into_std());
                if let (Ok(stream), Some(worker)) = (detached, shared.idlest()) {
                    // A worker that has ended is one that drained.
                    let _ = worker.send(Message::Client(Detached::Tcp(stream), Some(peer.ip())));
                }
            }
            Err(error) => {
                // Out of descriptors or memory, or the client has gone: the next one may do better.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Pushes nodes to policies when they have changed.
async fn tell_policies(shared: Arc<Shared>) {
    let mut epochs = shared.monitor.epochs();
    loop {
        let snapshot = shared.monitor.snapshot();
        shared.registry.topology(snapshot.epoch, snapshot.for_policies().into());
        if epochs.changed().await.is_err() {
            return;
        }
    }
}

async fn drain(shared: &Shared, threads: &[JoinHandle<()>]) {
    let deadline = tokio::time::Instant::now() + shared.config.load().limits.shutdown_timeout;
    tracing::info!(clients = shared.clients(), "draining");
    for worker in &shared.workers {
        let _ = worker.send(Message::Drain);
    }
    while threads.iter().any(|thread| !thread.is_finished()) {
        if tokio::time::Instant::now() >= deadline {
            tracing::warn!(clients = shared.clients(), "clients are cut off: limits.shutdown_timeout has passed");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tracing::info!("drained");
}

/// Runs the proxy until SIGTERM or SIGINT. SIGHUP, and a change of the file, reload the configuration.
///
/// # Errors
/// The proxy cannot start.
pub fn run(config: Config, file: Option<PathBuf>) -> anyhow::Result<()> {
    crate::logging::start(&config.log);
    let proxy = Proxy::start(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let (touched, mut changes) = mpsc::channel(1);
        let _watcher = file.as_deref().and_then(|file| watch_file(file, touched.clone()));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => reload(&proxy, file.as_deref()),
                _ = changes.recv() => {
                    // Editors write in several steps.
                    while tokio::time::timeout(SETTLED, changes.recv()).await.is_ok() {}
                    reload(&proxy, file.as_deref());
                }
            }
        }
        anyhow::Ok(())
    })?;
    proxy.stop();
    Ok(())
}

fn watch_file(file: &Path, touched: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    use notify::{RecursiveMode, Watcher};
    let name = file.file_name()?.to_owned();
    let notice = move |event: notify::Result<notify::Event>| {
        let ours = event.is_ok_and(|event| {
            !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == Some(&name))
        });
        if ours {
            // One notice that waits is enough.
            let _ = touched.try_send(());
        }
    };
    let directory = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let watcher = notify::recommended_watcher(notice).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "the configuration file cannot be watched; use SIGHUP");
            None
        }
    }
}

/// Reads the configuration again. Anything wrong: the old one stays.
fn reload(proxy: &Proxy, file: Option<&Path>) {
    let Some(file) = file else {
        tracing::info!("there is no configuration file to reload");
        return;
    };
    let new = match crate::config::load(file) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes {
                tracing::error!("{mistake}");
            }
            tracing::error!("the configuration was not reloaded; the old one stays");
            return;
        }
    };
    let old = proxy.shared.config.load_full();
    if *old == new {
        return;
    }
    let later = old.restart_needed(&new);
    if !later.is_empty() {
        tracing::warn!(settings = later.join(", "), "these settings change only with a restart");
    }
    if old.policies != new.policies
        && let Err(errors) = proxy.swapper.replace(new.policies.clone())
    {
        for error in errors {
            tracing::error!("{error}");
        }
        tracing::error!("the configuration was not reloaded; the old one stays");
        return;
    }
    let in_force = Config {
        listen: old.listen.clone(),
        workers: old.workers,
        clusters: old.clusters.clone(),
        log: old.log.clone(),
        ..new
    };
    proxy.shared.resize_pools(&in_force);
    proxy.shared.config.store(Arc::new(in_force));
    tracing::info!("configuration reloaded");
}
