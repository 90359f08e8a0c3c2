//! From a decision to a connection.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use howdah_cluster::{
    Causality, ClusterId, Evidence, MustHaveSeen, NodeId, NodeState, Pick, Snapshot, Token,
};
use howdah_decision::{Decision, Demands};
use howdah_pool::{AcquireError, Grant, Lease, Patience, Permit, Pool};
use howdah_wire::backend::ErrorReport;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::Ctx;
use super::server::{Leased, ServerConn};
use super::shared::{PoolKey, configured};
use crate::config::Pool as PoolConfig;
use crate::figures::{Life, ServerEnd, micros};
use crate::monitor::{Definitions, Monitor, watch_definitions};
use crate::pace::jittered;
use crate::upstream::{ConnectError, Connected, connect};

/// Between two attempts when a node that should be up cannot be reached.
const RETRY: Duration = Duration::from_millis(20);

/// Between two looks at the snapshot while no node qualifies.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What a session needs to get servers: who it is there, and its pools so far.
pub(crate) struct Lessee {
    pub(crate) ctx: Rc<Ctx>,
    pub(crate) cluster: ClusterId,
    /// The client's user, or the one that a policy chose.
    pub(crate) user: String,
    pub(crate) database: String,
    /// The session's number.
    pub(crate) session: u64,
    /// How it waits for a server.
    pub(crate) patience: Patience,
    /// A replica that is chosen only when there is no other.
    pub(crate) avoided: Option<NodeId>,
    /// What its reads must see of its own writes; none where they need not.
    pub(crate) causality: Option<Causality>,
    /// How long it has waited for the last server, if it had to.
    pub(crate) waited: Duration,
    pools: Vec<(NodeId, Pool<ServerConn>)>,
}

/// Where a decision leads at the moment.
pub(crate) enum Goal {
    Node(NodeId),
    /// Nowhere yet.
    Wait,
    Refuse(ErrorReport),
}

impl Lessee {
    pub(crate) fn new(
        ctx: &Rc<Ctx>,
        session: u64,
        cluster: ClusterId,
        user: String,
        database: String,
    ) -> Lessee {
        Lessee {
            ctx: Rc::clone(ctx),
            cluster,
            user,
            database,
            session,
            patience: Patience::default(),
            avoided: None,
            causality: ctx.shared.keeps_order(cluster).then(Causality::default),
            waited: Duration::ZERO,
            pools: Vec::new(),
        }
    }

    /// A connection that suits the decision and that is idle, of this worker: the hot path. The error is that it takes time,
    /// and where it is to be had.
    pub(crate) fn at_once(&mut self, decision: &Decision) -> Result<Leased, Goal> {
        self.waited = Duration::ZERO;
        let place = self.place(decision);
        if let Goal::Node(node) = place
            && let Some((_, pool)) = self.pools.iter().find(|(n, _)| *n == node)
            && let Some(Grant::Conn(lease)) = pool.try_acquire(self.ctx.index, self.session)
            && let Some(leased) = self.lent(lease)
        {
            return Ok(leased);
        }
        Err(place)
    }

    /// A connection that suits the decision. Cancel safe.
    pub(crate) async fn lease(&mut self, decision: &Decision) -> Result<Leased, ErrorReport> {
        match self.at_once(decision) {
            Ok(leased) => Ok(leased),
            Err(place) => self.lease_later(place, decision, 0).await,
        }
    }

    /// The same for a batch of so many bytes, when it takes time. Cancel safe.
    pub(crate) async fn lease_later(
        &mut self,
        place: Goal,
        decision: &Decision,
        bytes: usize,
    ) -> Result<Leased, ErrorReport> {
        let began = Instant::now();
        let leased = self.wait(place, decision, bytes, began).await;
        self.waited = began.elapsed();
        let at = leased.as_ref().map(Leased::node).map_err(|_| self.cluster);
        self.ctx.counters().waited(at, micros(self.waited));
        leased
    }

    async fn wait(
        &mut self,
        mut place: Goal,
        decision: &Decision,
        bytes: usize,
        began: Instant,
    ) -> Result<Leased, ErrorReport> {
        let settings = self.pool_settings();
        let deadline = began + self.longest_wait(&settings);
        let patience = Patience { since: Some(began.into_std()), ..self.patience };
        let shared = Arc::clone(&self.ctx.shared);
        let mut epochs = shared.monitor.epochs();
        let mut holding = None;
        loop {
            epochs.mark_unchanged();
            match place {
                Goal::Refuse(report) => return Err(report),
                Goal::Node(node) => {
                    holding = None;
                    let leased = tokio::select! {
                        biased;
                        leased = self.lease_at(node, &settings, patience, deadline) => leased?,
                        () = changed(&shared.monitor, node, &mut epochs) => None,
                    };
                    match leased {
                        Some(leased) => return Ok(leased),
                        None => sleep(jittered(RETRY)).await,
                    }
                }
                Goal::Wait => {
                    if holding.is_none() {
                        let most_bytes = shared.config.load().limits.held_bytes.0;
                        let held = shared.held(self.cluster);
                        holding = Some(held.hold(bytes, settings.max_waiting, most_bytes)?);
                    }
                    // A new snapshot may show a node; lag changes without a new epoch, so look now and then.
                    let soon = deadline.min(Instant::now() + LOOK_AGAIN);
                    let _ = timeout_at(soon, epochs.changed()).await;
                }
            }
            if Instant::now() >= deadline {
                return Err(nowhere(decision));
            }
            place = self.place(decision);
        }
    }

    /// A write has been answered, or may have taken effect.
    pub(crate) fn wrote(&mut self) {
        if let Some(causality) = &mut self.causality {
            causality.wrote(std::time::Instant::now());
        }
    }

    /// What another session has seen shall be seen, whether or not the cluster keeps order otherwise.
    pub(crate) fn follow(&mut self, token: Token) {
        self.causality.get_or_insert_default().follow(token, std::time::Instant::now());
    }

    /// In words, where a decision would lead now.
    pub(crate) fn prospect(&mut self, decision: &Decision) -> String {
        if let Decision::Refuse(_) | Decision::Answer(_) = decision {
            return "none: the proxy answers".to_owned();
        }
        match self.place(decision) {
            Goal::Node(node) => {
                let snapshot = self.ctx.shared.monitor.snapshot();
                let role = snapshot.state(node).map_or("unknown", |state| state.role.name());
                format!("{} ({role})", snapshot.spec(node).map_or("", |spec| &spec.name))
            }
            Goal::Wait => "none yet: it would wait for one".to_owned(),
            Goal::Refuse(report) => report.to_string(),
        }
    }

    fn place(&mut self, decision: &Decision) -> Goal {
        let snapshot = self.ctx.shared.monitor.glance();
        let primary = |cluster| match snapshot.writable(cluster) {
            Some(node) if !snapshot.is_paused(cluster) => Goal::Node(node),
            _ => Goal::Wait,
        };
        match decision {
            Decision::Replica(_) if snapshot.is_paused(self.cluster) => Goal::Wait,
            Decision::Replica(demands) => self.replica(&snapshot, demands),
            Decision::Node(name) => match snapshot.named(name) {
                Some(node) if snapshot.is_drained(node) => Goal::Wait,
                Some(node) => Goal::Node(node),
                None => Goal::Refuse(
                    ErrorReport::error(b"57P03", &format!("node \"{name}\" is not available"))
                        .detail("A policy sent this statement there.")
                        .hint("Check the policy and the node."),
                ),
            },
            Decision::Cluster(name) => match snapshot.cluster(name) {
                Some(cluster) => primary(cluster),
                None => Goal::Refuse(
                    ErrorReport::error(b"3D000", &format!("cluster \"{name}\" does not exist"))
                        .detail("A policy sent this statement there.")
                        .hint("Check the policy's settings against the clusters of the configuration."),
                ),
            },
            _ => primary(self.cluster),
        }
    }

    fn replica(&mut self, snapshot: &Snapshot, demands: &Demands) -> Goal {
        let causality = self.causality.as_mut();
        let seen = causality.map_or(MustHaveSeen::Anything, |c| c.demand(snapshot, self.cluster));
        let mut balancer = self.ctx.balancer.borrow_mut();
        let in_use = |node| match self.avoided {
            Some(avoided) if avoided == node => usize::MAX,
            _ => self.ctx.leased(node),
        };
        let pick = balancer.pick(snapshot, self.cluster, demands, seen, in_use);
        let primary = snapshot.primary(self.cluster);
        let on_replica = matches!(pick, Pick::Node(node) if primary != Some(node));
        if seen != MustHaveSeen::Anything && !on_replica {
            // The next read may find that a replica has caught up.
            self.ctx.shared.monitor.want(self.cluster);
        }
        match pick {
            Pick::Node(node) => Goal::Node(node),
            Pick::Wait => Goal::Wait,
            Pick::Refuse => Goal::Refuse(
                ErrorReport::error(b"57P03", "no replica fulfils the policy's demands")
                    .hint("Try again later, or let the policy fall back to the primary."),
            ),
        }
    }

    /// Who the client is to a server.
    pub(crate) fn server_user(&self, node: NodeId) -> Option<String> {
        let config = self.ctx.shared.config.load();
        let login = config.login(&self.user, &self.database, configured(&config, node)?.1);
        login.map(|login| login.user)
    }

    pub(super) fn longest_wait(&self, settings: &PoolConfig) -> Duration {
        self.patience.at_most.unwrap_or(settings.wait_timeout)
    }

    /// What is known of the definitions that its statements call on a node; none where nobody watches them.
    fn definitions(&self, node: NodeId) -> Option<Arc<Definitions>> {
        let monitor = &self.ctx.shared.monitor;
        let cluster = monitor.glance().spec(node)?.cluster;
        if !monitor.watches_definitions(cluster) {
            return None;
        }
        let schema = monitor.schema(cluster, &self.database);
        watch_definitions(monitor, cluster, &self.database, &schema);
        schema.definitions(node).cloned()
    }

    /// How its pools are at the moment.
    pub(crate) fn pool_settings(&self) -> PoolConfig {
        self.ctx.shared.config.load().pool_for(&self.user, &self.database)
    }

    fn pool(&mut self, node: NodeId, settings: &PoolConfig) -> Pool<ServerConn> {
        if let Some((_, pool)) = self.pools.iter().find(|(n, _)| *n == node) {
            return pool.clone();
        }
        let key = PoolKey {
            node,
            user: self.server_user(node).unwrap_or_default(),
            client_user: self.user.clone(),
            database: self.database.clone(),
        };
        let pool = self.ctx.shared.pool(&key, settings, || self.definitions(node));
        self.pools.push((node, pool.clone()));
        pool
    }

    /// A connection to this node. None: it could not be reached, or what the pool gave is of no use.
    async fn lease_at(
        &mut self,
        node: NodeId,
        settings: &PoolConfig,
        patience: Patience,
        deadline: Instant,
    ) -> Result<Option<Leased>, ErrorReport> {
        let pool = self.pool(node, settings);
        let at_most = Some(deadline.saturating_duration_since(Instant::now()));
        let patience = Patience { at_most, ..patience };
        let grant = match pool.acquire(self.ctx.index, self.session, patience).await {
            Ok(grant) => grant,
            Err(AcquireError::QueueFull) => {
                return Err(ErrorReport::error(
                    b"53300",
                    "too many clients wait for a server connection",
                )
                .hint("Raise pool.size or pool.max_waiting."));
            }
            Err(AcquireError::Timeout | AcquireError::Closed) => {
                let waited = self.longest_wait(settings).as_millis();
                return Err(ErrorReport::error(b"53300", "no server connection came free in time")
                    .detail(&format!(
                        "The client waited {waited} ms in the pool of {} connections.",
                        settings.size
                    ))
                    .hint("Raise pool.size or pool.wait_timeout, or shorten transactions."));
            }
        };
        match grant {
            Grant::Conn(lease) => Ok(self.lent(lease)),
            Grant::Connect(permit) => Box::pin(self.open(node, permit, settings)).await,
        }
    }

    async fn open(
        &mut self,
        node: NodeId,
        permit: Permit<ServerConn>,
        settings: &PoolConfig,
    ) -> Result<Option<Leased>, ErrorReport> {
        let tenure = self.ctx.shared.monitor.tenure(node);
        let connected = self.connect(node, settings, &[]).await?;
        Ok(connected.and_then(|connected| {
            let life = Life::begin(&self.ctx.shared.servers[usize::from(node.0)]);
            let conn = ServerConn::new(connected, node, tenure, life, self.definitions(node));
            self.lent(permit.fill(conn, self.ctx.index))
        }))
    }

    /// A connection to the primary that belongs to no pool, with these start-up parameters; and the node with its tenure.
    /// Cancel safe.
    pub(crate) async fn connect_apart(
        &mut self,
        parameters: &[(String, String)],
    ) -> Result<(Connected, NodeId, u64), ErrorReport> {
        let settings = self.pool_settings();
        let deadline = Instant::now() + self.longest_wait(&settings);
        let mut epochs = self.ctx.shared.monitor.epochs();
        loop {
            epochs.mark_unchanged();
            if let Goal::Node(node) = self.place(&Decision::Primary) {
                let tenure = self.ctx.shared.monitor.tenure(node);
                if let Some(connected) = self.connect(node, &settings, parameters).await? {
                    return Ok((connected, node, tenure));
                }
            }
            if Instant::now() >= deadline {
                return Err(nowhere(&Decision::Primary));
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_AGAIN), epochs.changed()).await;
        }
    }

    /// A new connection to this node. None: it could not be reached.
    async fn connect(
        &self,
        node: NodeId,
        settings: &PoolConfig,
        parameters: &[(String, String)],
    ) -> Result<Option<Connected>, ErrorReport> {
        let shared = &self.ctx.shared;
        let config = shared.config.load_full();
        let Some((cluster, spec)) = configured(&config, node) else { return Ok(None) };
        let Some(mut login) = config.login(&self.user, &self.database, spec) else {
            return Err(ErrorReport::error(
                b"28000",
                &format!("user \"{}\" may not come in any more", self.user),
            )
            .hint("The configuration has changed since the client came."));
        };
        login.parameters.extend_from_slice(parameters);
        let gate = shared.gate(node);
        let _turn = gate.turn().await;
        let deadline = Instant::now() + settings.connect_timeout;
        let asked = self.ctx.witness.asked(node);
        let connected =
            connect(&cluster.endpoint(spec), &login, deadline, &shared.memory.keys).await;
        if let (Ok(_), Some(asked)) = (&connected, asked) {
            asked.answered();
        }
        match connected {
            Ok(connected) => {
                gate.opened();
                Ok(Some(connected))
            }
            Err(error) if error.blames_node() => {
                tracing::warn!(node = spec.name, %error, "a connection to a server failed");
                gate.failed();
                self.failed(node);
                shared.monitor.hint(node, Evidence::Connect);
                Ok(None)
            }
            Err(error) => {
                gate.opened();
                self.failed(node);
                Err(login_failed(&spec.name, &error))
            }
        }
    }

    fn failed(&self, node: NodeId) {
        self.ctx.shared.servers[usize::from(node.0)].fails();
    }

    /// Whether functions may have left on a connection what DISCARD ALL would leave there.
    fn may_outlast_discarding(&self) -> bool {
        let schema = || self.ctx.shared.monitor.schema(self.cluster, &self.database);
        !self.pool_settings().reset_always && schema().catalog.load().languages
    }

    /// A connection that the pool gave: on this worker's reactor, and quiet.
    fn lent(&self, lease: Lease<ServerConn>) -> Option<Leased> {
        let worker = self.ctx.index;
        let mut lease = if lease.home() == worker {
            lease
        } else {
            lease.rehome(worker, |conn| conn.stream.move_here()).ok()?
        };
        if lease.is_over(&self.ctx.shared.monitor) {
            lease.ends(ServerEnd::Lost);
            return None;
        }
        if lease.stream.has_news() {
            lease.ends(ServerEnd::Lost);
            // It has ended, or said something unasked: the node may be down.
            self.ctx.shared.monitor.hint(lease.node, Evidence::SessionLost);
            return None;
        }
        lease.is_lent();
        if lease.state.is_unknown_to(self.session) && self.may_outlast_discarding() {
            lease.ends(ServerEnd::Unfit);
            return None;
        }
        lease.state.standby = self.ctx.shared.monitor.is_replica(lease.node);
        Some(Leased::new(lease, &self.ctx))
    }
}

/// Returns when a node is not what it was: waiting for it is of no use any more.
async fn changed(monitor: &Monitor, node: NodeId, epochs: &mut watch::Receiver<u64>) {
    let look = || {
        let snapshot = monitor.glance();
        let of = |state: &NodeState| (state.up, state.role, state.refused, state.tenure);
        (snapshot.state(node).map(of), snapshot.is_drained(node))
    };
    let before = look();
    while look() == before {
        // The monitor lasts as long as the worker.
        let _ = epochs.changed().await;
    }
}

fn nowhere(decision: &Decision) -> ErrorReport {
    let what = if matches!(decision, Decision::Replica(_)) { "replica" } else { "primary" };
    ErrorReport::error(b"57P03", &format!("no {what} is available"))
        .detail("The client waited as long as pool.wait_timeout allows.")
        .hint("Check the nodes of the cluster.")
}

fn login_failed(node: &str, error: &ConnectError) -> ErrorReport {
    let state = match error {
        ConnectError::Refused(report) => *report.sqlstate(),
        _ => *b"08001",
    };
    let hint = match error {
        ConnectError::Tls(_) => "Check tls of the cluster in the configuration.",
        _ => "Check the user's server_user and server_password in the configuration.",
    };
    ErrorReport::error(&state, &format!("cannot log in to server {node}: {error}")).hint(hint)
}
