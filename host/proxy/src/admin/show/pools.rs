//! Server connections and their pools.

use std::collections::BTreeMap;

use howdah_cluster::NodeId;

use super::super::table::{Row, int, row, text, truth};
use super::clients::sights;
use super::{Operated, Show};
use crate::config::Config;
use crate::worker::configured;

pub(super) const SERVERS: Show = Show {
    name: "SERVERS",
    about: "Connections to servers, and whose they are at the moment.",
    columns: &[
        text("type", "S."),
        text("user", "The role that it has logged in as."),
        text("database", "The database there."),
        text("cluster", "Where the node belongs."),
        text("node", "Where it leads."),
        text("state", "active: a session has it; idle: none has."),
        int("server_pid", "The server's process."),
        truth("tls", "Whether it is encrypted."),
        int("client", "Number of the session that has it."),
        int("age", "Since it was opened, in seconds, where nobody has it."),
        int("idle", "Since it was given back, in seconds."),
    ],
    rows: |operated| Box::pin(servers(operated)),
};

pub(super) const POOLS: Show = Show {
    name: "POOLS",
    about: "Pools of server connections: how full they are, and who waits.",
    columns: &[
        text("database", "The database of its connections."),
        text("user", "The user whose sessions use it."),
        text("cluster", "Where the node belongs."),
        text("node", "Where its connections lead."),
        int("cl_active", "Sessions that have a connection."),
        int("cl_waiting", "Sessions that wait for one."),
        int("sv_active", "Connections that sessions have."),
        int("sv_idle", "Connections that nobody has."),
        int("maxwait", "How long the oldest session has waited, in whole seconds."),
        int("maxwait_us", "The rest of that, in microseconds."),
        text("pool_mode", "session or transaction."),
        int("pool_size", "Most connections."),
    ],
    rows: |operated| Box::pin(async { pools(operated) }),
};

pub(super) const DATABASES: Show = Show {
    name: "DATABASES",
    about: "Databases that sessions have connected to, and where they are.",
    columns: &[
        text("name", "The database; \"*\" stands for all others."),
        text("cluster", "Where clients find it."),
        text("host", "Where the primary listens."),
        int("port", "Its port."),
        text("database", "The same name there."),
        int("pool_size", "Most connections of a pool."),
        int("reserve_pool", "0: there is none."),
        text("pool_mode", "session or transaction."),
        int("max_connections", "Most sessions; 0 for no limit."),
        int("current_connections", "Connections to servers."),
        int("paused", "1: an operator has paused its cluster."),
        int("disabled", "0."),
    ],
    rows: |operated| Box::pin(async { databases(operated) }),
};

/// A node's cluster and name.
fn names(operated: &Operated, node: NodeId) -> (String, String) {
    let snapshot = operated.shared.monitor.snapshot();
    let Some(spec) = snapshot.spec(node) else { return Default::default() };
    let cluster = snapshot.clusters.get(usize::from(spec.cluster.0)).cloned();
    (cluster.unwrap_or_default(), spec.name.clone())
}

async fn servers(operated: &Operated) -> Vec<Row> {
    let mut rows = Vec::new();
    let config = operated.shared.config.load_full();
    for sight in sights(operated).await {
        let Some(link) = sight.link else { continue };
        let (cluster, node) = names(operated, link.node);
        let found = configured(&config, link.node);
        let login =
            found.and_then(|(_, node)| config.login(&sight.who.user, &sight.who.database, node));
        let encrypted = found.is_some_and(|(cluster, _)| cluster.tls.is_some());
        rows.push(row![
            "S",
            login.map(|login| login.user),
            sight.who.database.as_str(),
            cluster,
            node,
            "active",
            link.pid,
            encrypted,
            sight.visitor.id,
            None::<u64>,
            None::<u64>,
        ]);
    }
    for (key, pool) in operated.shared.keyed_pools() {
        let (cluster, node) = names(operated, key.node);
        pool.each_idle(|conn, opened, used| {
            rows.push(row![
                "S",
                key.user.as_str(),
                key.database.as_str(),
                cluster.as_str(),
                node.as_str(),
                "idle",
                conn.key.pid(),
                conn.stream.is_encrypted(),
                None::<u64>,
                opened.elapsed().as_secs(),
                used.elapsed().as_secs(),
            ]);
        });
    }
    rows
}

fn pools(operated: &Operated) -> Vec<Row> {
    let config = operated.shared.config.load();
    let row = |(key, pool): (crate::worker::PoolKey, crate::worker::ServerPool)| {
        let (stats, settings) = (pool.stats(), config.pool_for(&key.client_user, &key.database));
        let active = stats.open.saturating_sub(stats.idle);
        let (cluster, node) = names(operated, key.node);
        row![
            key.database,
            key.client_user,
            cluster,
            node,
            active,
            stats.waiting,
            active,
            stats.idle,
            stats.max_wait.as_secs(),
            u64::from(stats.max_wait.subsec_micros()),
            settings.mode.name(),
            settings.size,
        ]
    };
    let mut rows: Vec<Row> = operated.shared.keyed_pools().into_iter().map(row).collect();
    sort(&mut rows, 4);
    rows
}

/// By the texts of the first columns.
fn sort(rows: &mut [Row], columns: usize) {
    rows.sort_by_cached_key(|row| row.iter().take(columns).map(|v| v.text()).collect::<Vec<_>>());
}

fn databases(operated: &Operated) -> Vec<Row> {
    let shared = &operated.shared;
    let config = shared.config.load();
    let mut open: BTreeMap<String, usize> = named(&config);
    for (key, pool) in shared.keyed_pools() {
        *open.entry(key.database).or_default() += pool.stats().open;
    }
    let snapshot = shared.monitor.snapshot();
    let row = |(name, open): (String, usize)| {
        let at = config.cluster_of(&name)?;
        let cluster = config.clusters.get(at)?;
        let id = howdah_cluster::ClusterId(at as u16);
        let primary = snapshot.primary(id).and_then(|node| configured(&config, node));
        let pool = config.pool_for("", &name);
        let most = config.databases.get(&name).and_then(|database| database.max_clients);
        Some(row![
            name.as_str(),
            cluster.name.as_str(),
            primary.map(|(_, node)| node.address.host.as_str()),
            primary.map(|(_, node)| u32::from(node.address.port)),
            name.as_str(),
            pool.size,
            0_u64,
            pool.mode.name(),
            most.unwrap_or_default(),
            open,
            u32::from(snapshot.is_paused(id)),
            0_u64,
        ])
    };
    open.into_iter().filter_map(row).collect()
}

/// Databases that the configuration names.
fn named(config: &Config) -> BTreeMap<String, usize> {
    let of_clusters = config.clusters.iter().flat_map(|cluster| &cluster.databases);
    of_clusters.chain(config.databases.keys()).map(|name| (name.clone(), 0)).collect()
}
