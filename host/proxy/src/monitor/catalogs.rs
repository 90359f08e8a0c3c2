use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::iter::empty;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use howdah_cluster::catalog::{BODIES, FUNCTIONS, LANGUAGES, OPERATORS, USES, VIEWS};
use howdah_cluster::{Catalog, ClusterId, NodeId};
use howdah_session::proof;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use super::Monitor;
use super::definitions::{Definitions, Everywhere, Origin};
use crate::upstream::{Client, Endpoint, KeyCache, Login, QueryError};

/// For what catalogs say.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Catalogs are loaded again after this: DDL may have come past the proxy.
const REFRESH: Duration = Duration::from_secs(60);
/// After DDL was seen, more of it often follows: wait this long before loading.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// A catalog that lacks a function that is called, or that may have ceased to be true, is not loaded again before this.
const DOUBT: Duration = Duration::from_secs(1);
/// Longest time to load one.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longest that a client waits for the first load of its database's catalog.
const FIRST_LOAD: Duration = Duration::from_secs(2);
/// Databases whose catalogs are kept.
const MAX_DATABASES: usize = 1_000;

/// What is known of a database's schema, for all workers.
#[derive(Default)]
pub struct Schema {
    /// As it was loaded last.
    pub catalog: ArcSwap<Catalog>,
    /// The epoch of that, to be compared without touching it.
    loads: AtomicU64,
    changes: AtomicU64,
    /// Definitions that are about to come true, by which calls may leave something behind in a session.
    arming: AtomicU64,
    /// How often one has begun to, or has done so.
    arms: AtomicU64,
    /// The same number as of the beginning of the last load: what has come true since is not in the catalog.
    seen: AtomicU64,
    /// What the catalog says ([`Catalog::content`]).
    content: AtomicU64,
    /// Whether it is still what the nodes have.
    pub(super) everywhere: Everywhere,
}

impl Schema {
    /// Which edition is in force, from 1.
    pub fn edition(&self) -> u64 {
        1 + self.changes.load(Ordering::Relaxed)
    }

    /// See [`howdah_session::Guide::content`].
    pub fn content(&self) -> u64 {
        self.content.load(Ordering::SeqCst)
    }

    /// What is known of a node's definitions in this database.
    pub fn definitions(&self, node: NodeId) -> Option<&Arc<Definitions>> {
        self.everywhere.of(node)
    }

    /// What servers have prepared may be out of date.
    pub(super) fn has_changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The epoch of the catalog.
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Acquire)
    }

    /// See [`howdah_session::Guide::settled`].
    pub fn settled(&self) -> Option<u64> {
        let arms = self.arms.load(Ordering::SeqCst);
        let known = self.loads() > 0
            && self.arming.load(Ordering::SeqCst) == 0
            && self.seen.load(Ordering::SeqCst) == arms
            && self.arms.load(Ordering::SeqCst) == arms;
        known.then_some(arms)
    }
}

/// A definition by which calls may leave something behind is about to come true. It has, or has not, when this is
/// dropped: the catalog is then loaded anew.
pub struct Arming {
    monitor: Arc<Monitor>,
    cluster: ClusterId,
    database: String,
    schema: Arc<Schema>,
}

impl Arming {
    /// From now on nothing is settled.
    pub fn new(
        monitor: &Arc<Monitor>,
        cluster: ClusterId,
        database: &str,
        schema: &Arc<Schema>,
    ) -> Arming {
        schema.arming.fetch_add(1, Ordering::SeqCst);
        schema.arms.fetch_add(1, Ordering::SeqCst);
        Arming {
            monitor: Arc::clone(monitor),
            cluster,
            database: database.to_owned(),
            schema: Arc::clone(schema),
        }
    }
}

impl Drop for Arming {
    fn drop(&mut self) {
        self.schema.arms.fetch_add(1, Ordering::SeqCst);
        self.schema.arming.fetch_sub(1, Ordering::SeqCst);
        self.monitor.catalogs.changed(self.cluster, &self.database, &self.schema);
    }
}

struct Entry {
    schema: Arc<Schema>,
    loaded: Option<Instant>,
    stale: bool,
    /// See [`Catalogs::doubted`].
    doubted: bool,
}

/// Catalogs by cluster and database.
pub struct Catalogs {
    entries: Mutex<HashMap<(ClusterId, String), Entry>>,
    wanted: Notify,
    loaded: Notify,
}

impl Catalogs {
    pub(super) fn new() -> Catalogs {
        Catalogs { entries: Mutex::default(), wanted: Notify::new(), loaded: Notify::new() }
    }

    pub(super) fn get(
        &self,
        cluster: ClusterId,
        database: &str,
        nodes: impl Iterator<Item = NodeId>,
    ) -> Arc<Schema> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(&(cluster, database.to_owned())) {
            return Arc::clone(&entry.schema);
        }
        if entries.len() >= MAX_DATABASES {
            // Nothing is ever known of it, so what its clients have used is closed, and nobody is asked.
            return Arc::default();
        }
        let schema = Arc::new(Schema { everywhere: Everywhere::new(nodes), ..Schema::default() });
        let entry =
            Entry { schema: Arc::clone(&schema), loaded: None, stale: false, doubted: false };
        entries.insert((cluster, database.to_owned()), entry);
        self.wanted.notify_one();
        schema
    }

    pub(super) fn schemas(&self) -> Vec<Arc<Schema>> {
        self.entries.lock().values().map(|entry| Arc::clone(&entry.schema)).collect()
    }

    /// Those that are kept.
    pub(super) fn known(&self) -> Vec<(ClusterId, String)> {
        self.entries.lock().keys().cloned().collect()
    }

    /// Waits until this catalog has been loaded once, or could not be: until then every function is unknown.
    pub async fn ready(&self, cluster: ClusterId, database: &str) {
        let key = (cluster, database.to_owned());
        let ready = async {
            loop {
                let loaded = self.loaded.notified();
                tokio::pin!(loaded);
                loaded.as_mut().enable();
                if self.entries.lock().get(&key).is_none_or(|entry| entry.loaded.is_some()) {
                    return;
                }
                loaded.await;
            }
        };
        // Without it the first statements are on the safe side: they go to the primary.
        let _ = time::timeout(FIRST_LOAD, ready).await;
    }

    /// DDL has been seen, or its traces: functions and columns may have changed.
    pub fn changed(&self, cluster: ClusterId, database: &str, schema: &Schema) {
        schema.has_changed();
        self.stale(cluster, database);
    }

    /// Loads one again.
    pub(super) fn stale(&self, cluster: ClusterId, database: &str) {
        if let Some(entry) = self.entries.lock().get_mut(&(cluster, database.to_owned())) {
            entry.stale = true;
            self.wanted.notify_one();
        }
    }

    /// Loads all of them again.
    pub fn refresh(&self) {
        for entry in self.entries.lock().values_mut() {
            entry.stale = true;
        }
        self.wanted.notify_one();
    }

    /// It is not known any more whether this one is true, or a function has been called that is not in it.
    pub fn doubted(&self, cluster: ClusterId, database: &str) {
        if let Some(entry) = self.entries.lock().get_mut(&(cluster, database.to_owned()))
            && !std::mem::replace(&mut entry.doubted, true)
        {
            self.wanted.notify_one();
        }
    }

    /// Whether a catalog has never been loaded.
    fn is_new(&self) -> bool {
        self.entries.lock().values().any(|entry| entry.loaded.is_none())
    }

    fn due(&self) -> Vec<((ClusterId, String), Arc<Schema>)> {
        let mut entries = self.entries.lock();
        let due = entries.iter_mut().filter(|(_, entry)| {
            let after = if entry.doubted { DOUBT } else { REFRESH };
            entry.stale || entry.loaded.is_none_or(|at| at.elapsed() >= after)
        });
        due.map(|(key, entry)| {
            (entry.stale, entry.doubted) = (false, false);
            (key.clone(), Arc::clone(&entry.schema))
        })
        .collect()
    }

    /// How long until one may be due.
    fn rest(&self) -> Duration {
        let doubted = self.entries.lock().values().any(|entry| entry.doubted);
        if doubted { DOUBT } else { REFRESH }
    }

    /// A catalog has been loaded, or (none) could not be; `arms`: how many definitions had come true before. With an origin
    /// it is known to be true.
    fn put(
        &self,
        key: &(ClusterId, String),
        epoch: u64,
        arms: u64,
        catalog: Option<(Catalog, Option<Origin>)>,
    ) {
        if let Some(entry) = self.entries.lock().get_mut(key) {
            entry.loaded = Some(Instant::now());
            let schema = &entry.schema;
            // What could never be loaded is a catalog in which every function is unknown.
            let unloaded = || {
                let nothing = || Catalog::new(epoch, empty(), empty(), empty());
                (schema.loads() == 0).then(|| (nothing(), None))
            };
            if let Some((catalog, origin)) = catalog.or_else(unloaded) {
                let content = catalog.content;
                let as_before = schema.loads() > 0 && schema.catalog.load().says_the_same(&catalog);
                let everywhere = &schema.everywhere;
                let stays = as_before && origin.is_none_or(|origin| everywhere.is_still(origin));
                if !stays {
                    everywhere.doubt();
                }
                if !as_before {
                    schema.catalog.store(Arc::new(catalog));
                    schema.content.store(content, Ordering::SeqCst);
                    schema.loads.store(epoch, Ordering::Release);
                }
                schema.seen.store(arms, Ordering::SeqCst);
                if let Some(origin) = origin {
                    entry.doubted = false;
                    if !stays {
                        everywhere.believe(content, origin);
                    }
                }
            }
        }
        self.loaded.notify_waiters();
    }
}

/// Loads catalogs when they are wanted, stale or old, for ever.
pub(super) async fn keep_loaded(monitor: Arc<Monitor>) {
    let mut epochs = monitor.epochs();
    let mut number = 0;
    loop {
        tokio::select! {
            () = monitor.catalogs.wanted.notified() => {
                if !monitor.catalogs.is_new() {
                    time::sleep(DEBOUNCE).await;
                }
            }
            _ = epochs.changed() => {}
            () = time::sleep(monitor.catalogs.rest()) => {}
        }
        for (key, schema) in monitor.catalogs.due() {
            number += 1;
            let arms = schema.arms.load(Ordering::SeqCst);
            match load(&monitor, &key, &schema, number).await {
                Ok(catalog) => monitor.catalogs.put(&key, number, arms, Some(catalog)),
                Err(Unloaded::NoNode) => {}
                Err(Unloaded::Failed(error)) => {
                    tracing::warn!(database = key.1, error, "the function catalog was not loaded");
                    monitor.catalogs.put(&key, number, arms, None);
                }
            }
        }
    }
}

enum Unloaded {
    /// No node is up, or the one that was asked has been lost; a new epoch will tell.
    NoNode,
    Failed(String),
}

/// A catalog, and where it is from, if it is known that it is true there.
async fn load(
    monitor: &Monitor,
    key: &(ClusterId, String),
    schema: &Schema,
    number: u64,
) -> Result<(Catalog, Option<Origin>), Unloaded> {
    let (cluster, database) = key;
    let snapshot = monitor.snapshot();
    let node = snapshot.readable(*cluster).ok_or(Unloaded::NoNode)?;
    let Some((endpoint, login)) = monitor.login_to(node, database) else {
        return Err(Unloaded::NoNode);
    };
    let asks = snapshot.primary(*cluster) == Some(node) && schema.everywhere.is_in_use();
    let definitions = schema.definitions(node).filter(|_| asks);
    let now = async || definitions?.now(node).await;
    let before = now().await;
    let catalog = tokio::select! {
        catalog = fetch(&endpoint, &login, &monitor.keys, number) => catalog.map_err(Unloaded::Failed)?,
        () = monitor.over(node, snapshot.tenure(node)) => return Err(Unloaded::NoNode),
    };
    let after = now().await;
    let origin = after.filter(|after| before.is_some_and(|before| after.is_still(before)));
    if asks && origin.is_none() {
        monitor.catalogs.doubted(*cluster, database);
    }
    Ok((catalog, origin))
}

/// Loads the catalog of the database that a login leads to.
///
/// # Errors
/// The server cannot be reached, or does not answer as it should.
pub async fn fetch(
    endpoint: &Endpoint,
    login: &Login,
    keys: &KeyCache,
    number: u64,
) -> Result<Catalog, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let deadline = Instant::now() + DEADLINE;
    let mut client =
        Client::connect(endpoint, login, deadline, keys).await.map_err(|error| failed(&error))?;
    let mut rows = Vec::new();
    for sql in [FUNCTIONS, VIEWS, OPERATORS, BODIES, USES, LANGUAGES] {
        rows.push(client.query(sql, deadline).await.map_err(|error| failed(&error))?);
    }
    let content =
        rows.iter().enumerate().flat_map(|(table, rows)| rows.iter().map(move |row| (table, row)));
    let content = content.fold(1_u64, |sum, row| sum.wrapping_add(HASHER.hash_one(row)));
    let languages = rows.pop().is_some_and(|languages| !languages.is_empty());
    let proves = may_prove(&mut client, deadline).await.map_err(|error| failed(&error))?;
    let mut tables = rows.into_iter().map(|rows| {
        rows.into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>())
    });
    let (functions, views, operators) = (tables.next(), tables.next(), tables.next());
    let functions =
        functions.into_iter().flatten().filter_map(|row| match <[String; 3]>::try_from(row) {
            Ok([schema, name, volatility]) => Some((schema, name, *volatility.as_bytes().first()?)),
            Err(_) => None,
        });
    let pair = |row: Vec<String>| <[String; 2]>::try_from(row).ok().map(|[a, b]| (a, b));
    let views = views.into_iter().flatten().filter_map(pair);
    let operators = operators.into_iter().flatten().filter_map(|row| row.into_iter().next());
    let (bodies, uses) = (tables.next(), tables.next());
    let bodies = bodies.into_iter().flatten().filter_map(pair);
    let uses = uses.into_iter().flatten().filter_map(pair);
    let mut catalog = Catalog::new(number, functions, views, operators).with_bodies(bodies, uses);
    (catalog.proves, catalog.languages, catalog.content) = (proves, languages, content);
    Ok(catalog)
}

/// Whether everybody may call the functions that are asked in front of a COMMIT. PostgreSQL has them from version 13 on.
async fn may_prove(client: &mut Client, deadline: Instant) -> Result<bool, QueryError> {
    let functions = proof::FUNCTIONS.map(|function| format!("('{function}')")).join(", ");
    let sql = format!(
        "SELECT pg_catalog.has_schema_privilege('public', 'pg_catalog', 'USAGE') \
            AND pg_catalog.bool_and(coalesce(pg_catalog.has_function_privilege('public', \
                pg_catalog.to_regprocedure(f), 'EXECUTE'), false)) FROM (VALUES {functions}) AS v (f)"
    );
    let rows = client.query(&sql, deadline).await?;
    Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some("t"))
}
