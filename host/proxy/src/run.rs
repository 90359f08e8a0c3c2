//! The life of the process: set up, serve, reload, drain.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, bail};
use howdah_cluster::{ClusterId, NodeSpec};
use howdah_policy::{Options, Registry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::access::{Lookup, Memory};
use crate::admin;
use crate::config::{Config, Source};
use crate::control::Operated;
use crate::house::{House, control, tell_policies};
use crate::kv::{self, Exchange};
use crate::metrics;
use crate::monitor::{Monitor, Watch};
use crate::peers::Peers;
use crate::policies::record::{Recordings, Wanted};
use crate::policies::{self, Swapper};
use crate::reload::{Change, Files, change, reload};
use crate::sockets::Sockets;
use crate::systemd;
use crate::traces::Tracer;
use crate::upgrade::{Order, Predecessor};
use crate::upstream::KeyCache;
use crate::worker::{self, Doors, Shared};

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
    /// Has come to an end when the control thread has.
    ended: oneshot::Receiver<()>,
    control: JoinHandle<()>,
}

impl Proxy {
    /// Sets everything up and starts to serve.
    ///
    /// # Errors
    /// A policy that cannot be used, an address that cannot be bound.
    pub fn start(config: Config) -> anyhow::Result<Proxy> {
        Proxy::begin(config, Sockets::default(), None)
    }

    /// The same, with sockets that are open already, and in the place of a process that runs, if there is one.
    fn begin(
        config: Config,
        sockets: Sockets,
        predecessor: Option<Predecessor>,
    ) -> anyhow::Result<Proxy> {
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
        let (upgrades, orders) = mpsc::unbounded_channel();
        let operated = Operated {
            registry: Arc::clone(&shared.registry),
            kv: kv.clone(),
            recordings: Arc::clone(&recordings),
            shared: Arc::clone(&shared),
            upgrades,
        };
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let (bound, addresses) = std::sync::mpsc::channel();
        let house = House {
            operated: operated.clone(),
            threads,
            exchange,
            questions,
            visits,
            outbox,
            sockets,
            predecessor,
            orders,
            stopped,
        };
        let control =
            std::thread::Builder::new().name("howdah-control".into()).spawn(move || {
                control(house, &bound);
                drop(alive);
            })?;
        let addresses = addresses.recv().context("the control thread has ended")??;
        Ok(Proxy { addresses, shared, swapper, kv, operated, changes, stop, ended, control })
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

    /// Has another process take over, if it can; the log tells.
    fn upgrade(&self) {
        let (answer, _) = oneshot::channel();
        // The thread has ended if nobody listens.
        let _ = self.operated.upgrades.send(Order { program: None, answer });
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
        definitions: cluster.monitor.definitions,
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

/// Runs the proxy until SIGTERM or SIGINT, or until another process has taken over, which SIGUSR2 starts. SIGHUP, and a
/// change of the configuration's files, reload it; SIGHUP reloads the catalogs of functions too.
///
/// # Errors
/// The proxy cannot start.
pub fn run(config: Config, source: Source) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (predecessor, sockets) = match runtime.block_on(Predecessor::find())? {
        Some((predecessor, sockets)) => (Some(predecessor), sockets),
        None => (None, Sockets::activated()?),
    };
    let (mut proxy, mut source) = (Proxy::begin(config, sockets, predecessor)?, source);
    systemd::ready();
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut upgrade = signal(SignalKind::user_defined2())?;
        let mut files = Files::watch(&source, &proxy.shared.config.load());
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = &mut proxy.ended => break,
                _ = upgrade.recv() => {
                    proxy.upgrade();
                    continue;
                }
                _ = hangup.recv() => proxy.shared.monitor.catalogs.refresh(),
                Some(wanted) = proxy.changes.recv() => {
                    change(&proxy, &mut source, wanted);
                    files.follow(&source, &proxy.shared.config.load());
                    continue;
                }
                () = files.changed() => {}
            }
            systemd::reloading();
            reload(&proxy, &source);
            systemd::ready();
            files.follow(&source, &proxy.shared.config.load());
        }
        anyhow::Ok(())
    })?;
    proxy.stop();
    Ok(())
}
