use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use howdah_cluster::{ClusterId, NodeId};
use howdah_decision::Outcome;
use howdah_policy::Registry;
use howdah_pool::{Clearance, Limits, Pool, Stats};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::cancel;
use super::held::Held;
use super::moving::{Arrival, Departure};
use super::server::ServerConn;
use super::{Asked, Ctx, Message};
use crate::access::{Access, Memory};
use crate::admin::Door;
use crate::config::{Cluster, Config, Node, Pool as PoolConfig};
use crate::figures::{Count, Counters, Distribution, Place, Servers, Statement, merged};
use crate::monitor::{Definitions, Monitor};
use crate::pace::Gate;
use crate::peers::Peers;
use crate::reload::Change;
use crate::toll::Tolls;
use crate::traces::Tracer;
use crate::upgrade::{Kin, own_program};
use crate::upstream::Detached;

/// How long a worker may take to answer an operator: it does so between queries.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which pool: node, user on the server, database; and the user whose wishes it follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub(crate) node: NodeId,
    pub(crate) user: String,
    pub(crate) client_user: String,
    pub(crate) database: String,
}

/// Connections to a node, of one user in one database.
pub(crate) type ServerPool = Pool<ServerConn>;

/// What all threads share.
pub struct Shared {
    /// The configuration in force.
    pub config: ArcSwap<Config>,
    /// Its rules.
    pub access: ArcSwap<Access>,
    /// What outlives it.
    pub(crate) memory: Memory,
    /// The other processes.
    pub peers: Peers,
    /// The program that runs.
    pub(crate) program: PathBuf,
    /// The other process while one takes over from the other.
    kin: ArcSwapOption<Kin>,
    /// Policies.
    pub registry: Arc<Registry>,
    /// Nodes.
    pub monitor: Arc<Monitor>,
    /// One set per worker.
    pub(crate) counters: Vec<Counters>,
    /// Connections to nodes that have come and gone.
    pub(crate) servers: Vec<Arc<Servers>>,
    pub(crate) next_client: AtomicU64,
    pub(crate) workers: Vec<UnboundedSender<Message>>,
    /// Where spans go, if they go anywhere.
    pub(crate) tracer: Option<Tracer>,
    /// Where operators bring changes of the configuration.
    pub(crate) changes: UnboundedSender<Change>,
    /// Where workers bring operators.
    pub(crate) door: Door,
    pools: Mutex<HashMap<PoolKey, Pool<ServerConn>>>,
    /// By node.
    gates: Vec<Gate>,
    /// What failovers did to clients.
    pub(crate) tolls: Tolls,
    /// By cluster.
    held: Vec<Held>,
    draining: AtomicBool,
}

/// Where threads are brought what they are to do.
pub(crate) struct Doors {
    pub(crate) workers: Vec<UnboundedSender<Message>>,
    pub(crate) changes: UnboundedSender<Change>,
    pub(crate) door: Door,
    pub(crate) tracer: Option<Tracer>,
}

impl Shared {
    /// What all threads share, before there are any.
    pub(crate) fn new(
        config: Config,
        peers: Peers,
        registry: Arc<Registry>,
        monitor: Arc<Monitor>,
        memory: Memory,
        doors: Doors,
    ) -> Arc<Shared> {
        let Doors { workers, changes, door, tracer } = doors;
        let config = Arc::new(config);
        let access = Access::new(Arc::clone(&config), memory.clone());
        let snapshot = monitor.snapshot();
        let (nodes, clusters) = (snapshot.specs.len(), snapshot.clusters.len());
        Arc::new(Shared {
            access: ArcSwap::from_pointee(access),
            config: ArcSwap::new(config),
            memory,
            peers,
            program: own_program(),
            kin: ArcSwapOption::empty(),
            registry,
            monitor,
            counters: workers.iter().map(|_| Counters::new(nodes, clusters)).collect(),
            servers: (0..nodes).map(|_| Arc::default()).collect(),
            next_client: AtomicU64::new(1),
            workers,
            tracer,
            changes,
            door,
            pools: Mutex::default(),
            gates: (0..nodes).map(|_| Gate::default()).collect(),
            tolls: Tolls::default(),
            held: (0..clusters).map(|_| Held::default()).collect(),
            draining: AtomicBool::new(false),
        })
    }

    /// Connected clients of all workers.
    pub fn clients(&self) -> usize {
        self.counters.iter().map(Counters::clients).sum()
    }

    /// The proxy takes no more clients.
    pub(crate) fn drains(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it takes no more clients.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Clients that wait for a connection of a pool.
    pub fn waiting(&self) -> usize {
        self.pools.lock().values().map(|pool| pool.stats().waiting).sum()
    }

    /// Leases of servers of a node: for batches that only read, and for others.
    pub fn batches(&self, node: NodeId) -> (u64, u64) {
        let sum = |pick: fn(&Place) -> &Count| {
            self.sum(|counters| counters.place(Ok(node)).map_or(0, |place| pick(place).get()))
        };
        (sum(|place| &place.reads), sum(|place| &place.others))
    }

    /// Commits whose answer was lost, and of which this was proven.
    pub fn proven(&self, outcome: Outcome) -> u64 {
        self.sum(|counters| counters.proven(outcome))
    }

    /// Transactions that were run again, and (`same`) went on, or were lost all the same.
    pub fn replayed(&self, same: bool) -> u64 {
        self.sum(|counters| counters.replayed(same))
    }

    /// What all workers have counted of something.
    pub(crate) fn sum(&self, pick: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.iter().map(pick).sum()
    }

    /// What each worker answers. One that does not answer in time is left out, with a word to the log.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        what: impl Fn(&Rc<Ctx>) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let ask = |worker: &UnboundedSender<Message>| {
            let (what, (tell, told)) = (what.clone(), oneshot::channel());
            let asked = Asked(Box::new(move |ctx| {
                // Whoever asked may have lost patience.
                let _ = tell.send(what(ctx));
            }));
            // A worker that has ended has nothing to tell.
            worker.send(Message::Ask(asked)).ok().map(|()| told)
        };
        let answers: Vec<_> = self.workers.iter().filter_map(ask).collect();
        let deadline = Instant::now() + PATIENCE;
        let mut told = Vec::with_capacity(answers.len());
        for answer in answers {
            match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => told.push(answer),
                Ok(Err(_)) => {}
                Err(_) => tracing::warn!("a worker did not answer within {PATIENCE:?}"),
            }
        }
        told
    }

    /// What is known of statements, those first that have taken most time.
    pub(crate) async fn statements(&self) -> Vec<Statement> {
        merged(self.ask(|ctx| ctx.statements()).await.into_iter().flatten())
    }

    /// Forgets what is known of statements.
    pub(crate) async fn forget_statements(&self) {
        self.ask(|ctx| ctx.statements.borrow_mut().clear()).await;
    }

    /// How long the batches that a node has run took.
    pub(crate) fn latencies(&self, node: NodeId) -> Distribution {
        let mut all = Distribution::default();
        let places = self.counters.iter().filter_map(|counters| counters.place(Ok(node)));
        places.flat_map(Place::latencies).for_each(|histogram| all += &histogram.read());
        all
    }

    /// Gives a connection to the worker with the fewest.
    pub(crate) fn hand_out(&self, stream: Detached, peer: Option<IpAddr>) {
        let loads = self.counters.iter().zip(&self.workers);
        let Some((counters, worker)) = loads.min_by_key(|(counters, _)| counters.clients()) else {
            return;
        };
        counters.clients.fetch_add(1, Ordering::Relaxed);
        if worker.send(Message::Client(stream, peer)).is_err() {
            // The worker has drained, and takes no more.
            counters.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The other process while one takes over from the other.
    pub(crate) fn kin(&self) -> Option<Arc<Kin>> {
        self.kin.load_full()
    }

    /// This is it, or there is none any more.
    pub(crate) fn is_kin_to(&self, kin: Option<Arc<Kin>>) {
        self.kin.store(kin);
    }

    /// A cancel request for a session of this process, or of the other one if that has not passed it on.
    pub(crate) fn cancel(&self, pid: u32, key: Box<[u8]>, passed_on: bool) {
        if let Some(worker) = self.worker_of(pid) {
            // A worker that has ended has no sessions.
            let _ = self.workers[worker].send(Message::Cancel(pid, key, passed_on));
        }
    }

    /// A session has come from another process: it goes to the worker that its key leads to.
    ///
    /// # Errors
    /// It has not come far.
    pub(crate) fn arrives(
        &self,
        number: u64,
        departure: Box<Departure>,
        socket: OwnedFd,
    ) -> Result<(), String> {
        let worker = self.worker_of(departure.pid).ok_or("there are no workers")?;
        let socket = Detached::of_client(socket).map_err(|error| error.to_string())?;
        self.counters[worker].clients.fetch_add(1, Ordering::Relaxed);
        let message = Message::Arrival(Arrival { number, departure, socket });
        self.workers[worker].send(message).map_err(|_| {
            self.counters[worker].clients.fetch_sub(1, Ordering::Relaxed);
            "the worker has ended".to_owned()
        })
    }

    /// The worker whose sessions have such keys. The process that a session has come from may have had more workers.
    fn worker_of(&self, pid: u32) -> Option<usize> {
        cancel::worker(pid).checked_rem(self.workers.len())
    }

    /// Whether sessions of a cluster see their own writes in what they read from replicas.
    pub(crate) fn keeps_order(&self, cluster: ClusterId) -> bool {
        self.says(cluster, |cluster| cluster.causal_reads && cluster.nodes.len() > 1)
    }

    /// Whether it is found out what became of commits in a cluster.
    pub(crate) fn proves(&self, cluster: ClusterId) -> bool {
        self.says(cluster, |cluster| cluster.prove_commits)
    }

    /// Whether writes by themselves are put into transactions in a cluster, to find out the same of them.
    pub(crate) fn wraps(&self, cluster: ClusterId) -> bool {
        self.says(cluster, |cluster| cluster.prove_autocommit)
    }

    /// Whether open transactions of a cluster are kept, to be run again.
    pub(crate) fn replays(&self, cluster: ClusterId) -> bool {
        self.says(cluster, |cluster| cluster.replay_transactions)
    }

    /// Whether the configuration of a cluster says so.
    fn says(&self, cluster: ClusterId, what: impl Fn(&Cluster) -> bool) -> bool {
        self.config.load().clusters.get(usize::from(cluster.0)).is_some_and(what)
    }

    /// The pool for a key, made when it is first wanted.
    pub(crate) fn pool(
        &self,
        key: &PoolKey,
        settings: &PoolConfig,
        definitions: impl FnOnce() -> Option<Arc<Definitions>>,
    ) -> Pool<ServerConn> {
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(key) {
            return pool.clone();
        }
        let definitions = definitions();
        let clearance: Arc<dyn Clearance> = match &definitions {
            Some(definitions) => Arc::clone(definitions) as _,
            None => Arc::new(()),
        };
        let pool = Pool::new(limits(settings), self.workers.len(), ServerConn::worn, clearance);
        if let Some(definitions) = definitions {
            definitions.tells(pool.bell());
            for worker in &self.workers {
                let pool = pool.clone();
                let serve = |ctx: &Rc<Ctx>| {
                    let worker = ctx.index;
                    tokio::task::spawn_local(async move { pool.serve(worker).await });
                };
                // A worker that has ended serves nobody.
                let _ = worker.send(Message::Ask(Asked(Box::new(serve))));
            }
        }
        pools.insert(key.clone(), pool.clone());
        pool
    }

    /// Where connections to a node are opened.
    pub(crate) fn gate(&self, node: NodeId) -> &Gate {
        &self.gates[usize::from(node.0)]
    }

    /// What waits for a node of a cluster.
    pub(crate) fn held(&self, cluster: ClusterId) -> &Held {
        &self.held[usize::from(cluster.0)]
    }

    /// The pools of a node together, at the moment.
    pub(crate) fn pools_of(&self, node: NodeId) -> Stats {
        let pools = self.pools.lock();
        let stats = pools.iter().filter(|(key, _)| key.node == node).map(|(_, pool)| pool.stats());
        stats.fold(Stats::default(), |sum, pool| Stats {
            size: sum.size + pool.size,
            open: sum.open + pool.open,
            idle: sum.idle + pool.idle,
            waiting: sum.waiting + pool.waiting,
            max_wait: sum.max_wait.max(pool.max_wait),
        })
    }

    /// All pools, and whose they are.
    pub(crate) fn keyed_pools(&self) -> Vec<(PoolKey, ServerPool)> {
        self.pools.lock().iter().map(|(key, pool)| (key.clone(), pool.clone())).collect()
    }

    /// All pools.
    pub(crate) fn pools(&self) -> Vec<Pool<ServerConn>> {
        self.pools.lock().values().cloned().collect()
    }

    /// This configuration from now on.
    pub fn reconfigure(&self, config: Config) {
        for (key, pool) in &*self.pools.lock() {
            pool.set_limits(limits(&config.pool_for(&key.client_user, &key.database)));
        }
        self.monitor.reach(config.monitor_logins());
        let config = Arc::new(config);
        self.access.store(Arc::new(Access::new(Arc::clone(&config), self.memory.clone())));
        self.config.store(config);
        self.memory.lookup.forget();
    }
}

/// A node as configured, and its cluster: nodes are numbered through all clusters, in their order.
pub(crate) fn configured(config: &Config, node: NodeId) -> Option<(&Cluster, &Node)> {
    let all = config
        .clusters
        .iter()
        .flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)));
    all.into_iter().nth(usize::from(node.0))
}

fn limits(pool: &PoolConfig) -> Limits {
    Limits {
        size: pool.size,
        wait_timeout: pool.wait_timeout,
        idle_timeout: pool.idle_timeout,
        lifetime: pool.lifetime,
        max_waiting: pool.max_waiting,
    }
}
