//! The life of the process: set up, serve, reload, drain.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use howdah_cluster::{ClusterId, NodeSpec};
use howdah_policy::{Options, Registry};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{LocalSet, spawn_local};

use crate::access::{Lookup, Memory, Questions, answer};
use crate::admin::{self, Visit};
use crate::config::{Config, Source, Traces};
use crate::control::{Control, Operated};
use crate::kv::{self, Exchange};
use crate::metrics;
use crate::monitor::{Monitor, Watch};
use crate::peers::Peers;
use crate::policies::record::{Recordings, Wanted};
use crate::policies::{self, Swapper};
use crate::reload::{Change, Files, change, reload};
use crate::traces::{self, Outbox, Tracer};
use crate::upstream::{KeyCache, Stream, Target};
use crate::worker::{self, Doors, Message, Shared};

/// Everybody of the machine may connect, whatever the process's umask, as with PostgreSQL's `unix_socket_permissions`:
/// rules say who comes in, and the directory may be closed to others.
const SOCKET_MODE: u32 = 0o777;
/// Connections that the system may hold before they are accepted.
const BACKLOG: u32 = 1024;
/// A pause of the accept loop when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for the last exchange of shared values when the process ends.
const LAST_EXCHANGE: Duration = Duration::from_secs(2);

/// A proxy that runs on threads of its own.
pub struct Proxy {
    /// Addresses that it listens on.
    pub addresses: Vec<String>,
    /// What its threads share.
    pub shared: Arc<Shared>,
    /// Where its policies are swapped.
    pub swapper: Arc<Swapper>,
    /// How the exchange of policies' shared values goes, if they are exchanged.
    pub kv: Option<Arc<kv::Status>>,
    /// What operators see of it.
    operated: Operated,
    /// What operators want changed.
    changes: mpsc::UnboundedReceiver<Change>,
    stop: oneshot::Sender<()>,
    control: JoinHandle<()>,
}

impl Proxy {
    /// Sets everything up and starts to serve.
    ///
    /// # Errors
    /// A policy that cannot be used, an address that cannot be bound.
    pub fn start(config: Config) -> anyhow::Result<Proxy> {
        let registry =
            Registry::new(Options { workers: config.workers }).map_err(anyhow::Error::msg)?;
        if let Some(directory) = &config.compiled_policies {
            let kept = registry.keep_compiled(directory, policies::MOST_COMPILED);
            kept.map_err(|error| anyhow::anyhow!("compiled_policies: {error}"))?;
        }
        if !config.together.remember {
            registry.remember_nothing();
        }
        let exchange = match &config.kv {
            Some(kv) => Some(Exchange::new(registry.share_values(), kv).context("kv.url")?),
            None => None,
        };
        let kv = exchange.as_ref().map(Exchange::status);
        let swapper = Arc::new(policies::start(Arc::clone(&registry))?);
        if let Err(errors) = swapper.replace(policies::files(&config)) {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            bail!("{}", lines.join("\n"));
        }
        let keys = Arc::<KeyCache>::default();
        let logins = config.monitor_logins();
        let monitor = Monitor::new(watches(&config), specs(&config), logins, Arc::clone(&keys));
        let (inboxes, workers): (Vec<_>, Vec<_>) =
            (0..config.workers).map(|_| mpsc::unbounded_channel()).map(|(tx, rx)| (rx, tx)).unzip();
        let peers = Peers::find(&config.listen, &config.peers)?;
        let recordings = Recordings::new(Arc::clone(&registry));
        let wanted = Wanted::of(&config.together);
        let (lookup, questions) = Lookup::new();
        let memory = Memory { lookup, keys, crowd: Arc::default() };
        let (change, changes) = mpsc::unbounded_channel();
        let (door, visits) = mpsc::unbounded_channel();
        let traced = config.traces.as_ref().map(|traces| (Tracer::new(traces), traces.clone()));
        let (tracer, outbox) = traced.map(|((tracer, outbox), to)| (tracer, (to, outbox))).unzip();
        let doors = Doors { workers, changes: change, door, tracer };
        let shared = Shared::new(config, peers, registry, monitor, memory, doors);
        tell_policies(&shared);
        if let Some(wanted) = wanted {
            let started = recordings.start(wanted);
            started.map_err(|error| anyhow::anyhow!("policies.record: {error}"))?;
        }
        let mut threads = Vec::new();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name(format!("howdah-worker-{index}"))
                .spawn(move || worker::run(index, shared, inbox))?;
            threads.push(thread);
        }
        let operated = Operated {
            registry: Arc::clone(&shared.registry),
            kv: kv.clone(),
            recordings: Arc::clone(&recordings),
            shared: Arc::clone(&shared),
        };
        let (stop, stopped) = oneshot::channel();
        let (bound, addresses) = std::sync::mpsc::channel();
        let control = std::thread::Builder::new().name("howdah-control".into()).spawn({
            let (shared, operated) = (Arc::clone(&shared), operated.clone());
            move || {
                let brought = Brought { questions, visits, operated, outbox };
                control(shared, threads, exchange, recordings, brought, &bound, stopped);
            }
        })?;
        let addresses = addresses.recv().context("the control thread has ended")??;
        Ok(Proxy { addresses, shared, swapper, kv, operated, changes, stop, control })
    }

    /// All that operators are told: the tables by name, a line for each row, and what `/metrics` says, whether or not that is
    /// to be had by HTTP. For threads without a runtime.
    ///
    /// # Errors
    /// The system gives no means to wait.
    pub fn told(&self) -> std::io::Result<Vec<(&'static str, String)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            let mut told = admin::tables(&self.operated).await;
            let metrics = metrics::text(&self.shared).await;
            told.push(("/metrics", metrics.map_err(std::io::Error::other)?));
            Ok(told)
        })
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
        interval: cluster.monitor.interval,
        timeout: cluster.monitor.timeout,
        patroni: cluster.patroni.clone(),
    };
    config.clusters.iter().map(watch).collect()
}

fn specs(config: &Config) -> Vec<NodeSpec> {
    let clusters = config.clusters.iter().enumerate();
    let nodes = clusters.flat_map(|(i, cluster)| cluster.nodes.iter().map(move |node| (i, node)));
    nodes
        .map(|(i, node)| NodeSpec {
            name: node.name.clone(),
            labels: node.labels.clone().into_iter().collect(),
            cluster: ClusterId(i as u16),
        })
        .collect()
}

/// What workers bring to the control thread.
struct Brought {
    questions: Questions,
    visits: mpsc::UnboundedReceiver<Visit>,
    operated: Operated,
    outbox: Option<(Traces, Outbox)>,
}

/// The control thread: listeners, probes, shared values, drain.
fn control(
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    exchange: Option<Exchange>,
    recordings: Arc<Recordings>,
    Brought { questions, visits, operated, outbox }: Brought,
    bound: &std::sync::mpsc::Sender<anyhow::Result<Vec<String>>>,
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
        spawn_local(admin::serve(visits, operated.clone()));
        outbox.map(|(to, outbox)| spawn_local(traces::run(to, outbox)));
        match config.control.as_deref().map(Control::bind).transpose() {
            Ok(socket) => {
                socket.map(|socket| spawn_local(socket.serve(operated)));
            }
            Err(error) => {
                let _ = bound.send(Err(error));
                return;
            }
        }
        if let Some(target) = &config.metrics {
            match metrics_listener(target).await {
                Ok(listener) => {
                    spawn_local(metrics::serve(listener, Arc::clone(&shared)));
                }
                Err(error) => {
                    let _ = bound.send(Err(error));
                    return;
                }
            }
        }
        spawn_local(Arc::clone(&shared.monitor).run());
        spawn_local(keep_policies_told(Arc::clone(&shared)));
        spawn_local(answer(Arc::clone(&shared), questions));
        let (end_exchange, ended) = oneshot::channel();
        let exchanging = exchange.map(|exchange| spawn_local(exchange.run(ended)));
        let (close, closed) = watch::channel(false);
        let mut addresses = Vec::new();
        for listener in listeners {
            let address = listener.address();
            tracing::info!(address, "listening");
            addresses.push(address);
            spawn_local(accept(listener, Arc::clone(&shared), closed.clone()));
        }
        let _ = bound.send(Ok(addresses));
        // Either the order to stop, or nobody is left to give it.
        let _ = stopped.await;
        let _ = close.send(true);
        drain(&shared, &threads).await;
        // Mostly there is nothing to stop.
        let _ = recordings.stop();
        let _ = end_exchange.send(());
        if let Some(exchanging) = exchanging {
            // What was counted last is lost if Redis does not take it by then.
            let _ = tokio::time::timeout(LAST_EXCHANGE, exchanging).await;
        }
    });
}

async fn metrics_listener(target: &Target) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((target.host.as_str(), target.port)).await;
    let listener = listener.with_context(|| format!("metrics: cannot listen on {target}"))?;
    let address = listener.local_addr()?.to_string();
    tracing::info!(address, "metrics are to be had by HTTP");
    Ok(listener)
}

/// A socket on which clients knock.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, String),
}

impl Listener {
    fn address(&self) -> String {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            Listener::Unix(_, path) => path.clone(),
        }
    }

    async fn accept(&self) -> std::io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((stream.into(), Some(peer.ip())))
            }
            Listener::Unix(listener, _) => Ok((listener.accept().await?.0.into(), None)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn listen(targets: &[Target]) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for target in targets {
        if let Some(path) = target.socket() {
            let path = path.display().to_string();
            // Left behind by a process that was killed; a live one still holds its TCP port, and its own socket file.
            if std::os::unix::net::UnixStream::connect(&path).is_err() {
                let _ = std::fs::remove_file(&path);
            }
            let what = || format!("cannot listen on {path}");
            let listener = UnixListener::bind(&path).with_context(what)?;
            let open = PermissionsExt::from_mode(SOCKET_MODE);
            std::fs::set_permissions(&path, open).with_context(what)?;
            listeners.push(Listener::Unix(listener, path));
            continue;
        }
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        for address in found.with_context(|| format!("cannot listen on {target}"))? {
            let socket =
                if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address).with_context(|| format!("cannot listen on {address}"))?;
            listeners.push(Listener::Tcp(socket.listen(BACKLOG)?));
        }
    }
    Ok(listeners)
}

/// Gives each new connection to the worker with the fewest clients.
async fn accept(listener: Listener, shared: Arc<Shared>, mut closed: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // What cannot leave this thread's reactor is lost: its client will try again.
                if let Ok(stream) = stream.detach() {
                    shared.hand_out(stream, peer);
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

/// Pushes nodes to policies.
fn tell_policies(shared: &Shared) {
    let snapshot = shared.monitor.snapshot();
    shared.registry.topology(snapshot.epoch, snapshot.for_policies().into());
}

/// The same whenever they have changed.
async fn keep_policies_told(shared: Arc<Shared>) {
    let mut epochs = shared.monitor.epochs();
    epochs.mark_changed();
    while epochs.changed().await.is_ok() {
        tell_policies(&shared);
    }
}

async fn drain(shared: &Shared, threads: &[JoinHandle<()>]) {
    let deadline = tokio::time::Instant::now() + shared.config.load().limits.shutdown_timeout;
    tracing::info!(clients = shared.clients(), "draining");
    shared.drains();
    for worker in &shared.workers {
        let _ = worker.send(Message::Drain);
    }
    while threads.iter().any(|thread| !thread.is_finished()) {
        if tokio::time::Instant::now() >= deadline {
            tracing::warn!(
                clients = shared.clients(),
                "clients are cut off: limits.shutdown_timeout has passed"
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tracing::info!("drained");
}

/// Runs the proxy until SIGTERM or SIGINT. SIGHUP, and a change of the configuration's files, reload it; SIGHUP reloads the
/// catalogs of functions too.
///
/// # Errors
/// The proxy cannot start.
pub fn run(config: Config, source: Source) -> anyhow::Result<()> {
    let (mut proxy, mut source) = (Proxy::start(config)?, source);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut files = Files::watch(&source, &proxy.shared.config.load());
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => proxy.shared.monitor.catalogs.refresh(),
                Some(wanted) = proxy.changes.recv() => {
                    change(&proxy, &mut source, wanted);
                    files.follow(&source, &proxy.shared.config.load());
                    continue;
                }
                () = files.changed() => {}
            }
            reload(&proxy, &source);
            files.follow(&source, &proxy.shared.config.load());
        }
        anyhow::Ok(())
    })?;
    proxy.stop();
    Ok(())
}
