//! Whether definitions are still what the catalog says. Functions, views, triggers, rules, policies, defaults, operators,
//! casts and domains decide what a statement leaves behind in a session, and may change past the proxy. Each node is asked,
//! once for all connections that have been given back since the last time; whoever is waiting for one of them gets it when
//! the answer has come.
//!
//! PostgreSQL tells every backend of such changes when they are committed, or replayed (sinval.c), and a backend then forgets
//! what it has kept of them. The question makes one use what it keeps, and counts whether it had to look in the tables:
//!
//! - functions by name: any change of `pg_proc` makes it forget all such lists (catcache.c, `CatCacheInvalidate`);
//! - that a file belongs to no relation: any change of a relation, its columns, rules, triggers or policies makes it forget
//!   that (relfilenumbermap.c, `RelfilenumberMapInvalidateCallback`);
//! - the constraints of a domain, of which an array is read: any change of `pg_constraint` does (typcache.c,
//!   `TypeCacheConstrCallback`);
//! - when the question was analysed: any change of a schema or an operator has it analysed again (plancache.c,
//!   `PlanCacheSysCallback`), and then `now` is another time;
//! - casts and domains are few, and summed up.
//!
//! Temporary tables, VACUUM and ANALYZE look like changes of relations; what relations there are is compared then.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use howdah_cluster::{ClusterId, NodeId};
use howdah_pool::Clearance;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use super::{Monitor, Schema};
use crate::upstream::{Client, QueryError, Rows};

/// Domains there are.
const DOMAINS: &str =
    "SELECT oid FROM pg_catalog.pg_type WHERE typtype = 'd' AND oid >= 16384 ORDER BY oid";
/// Definitions are not watched where there are more.
const MAX_DOMAINS: usize = 1_000;

/// What is asked: six counts of looks in tables, three before and three after, and what has to stay as it is. 2691, 3455 and
/// 2666 are the indexes pg_proc_proname_args_nsp_index, pg_class_tblspc_relfilenode_index and
/// pg_constraint_contypid_index.
fn question(domains: &str) -> String {
    format!(
        "PREPARE howdah_definitions AS SELECT \
        pg_catalog.pg_stat_get_xact_numscans(2691), pg_catalog.pg_stat_get_xact_numscans(3455), \
        pg_catalog.pg_stat_get_xact_numscans(2666), \
        pg_catalog.to_regproc('pg_catalog.pg_backend_pid'), pg_catalog.pg_filenode_relation(0, 1), \
        pg_catalog.concat('{{1}}')::information_schema.cardinal_number[], \
        pg_catalog.pg_stat_get_xact_numscans(2691), pg_catalog.pg_stat_get_xact_numscans(3455), \
        pg_catalog.pg_stat_get_xact_numscans(2666), 'now'::timestamptz, pg_catalog.pg_is_in_recovery(), \
        (SELECT pg_catalog.sum(version) FROM (\
            SELECT oid::int8 AS version FROM pg_catalog.pg_cast WHERE oid >= 16384 UNION ALL \
            SELECT xmin::text::int8 FROM pg_catalog.pg_type WHERE oid = ANY('{{{domains}}}')) AS all_of_them), \
        (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
            ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::int8"
    )
}

const ASK: &str = "EXECUTE howdah_definitions";

/// What relations, columns, constraints, rules, triggers, policies, defaults, domains, operators and schemas there are, but
/// for those of temporary tables, in which versions. VACUUM and ANALYZE make no new ones (heapam.c, `heap_inplace_update`).
const COMPARE: &str = "SELECT pg_catalog.count(*), \
        pg_catalog.sum(pg_catalog.hashtextextended( \
            pg_catalog.concat(kind, relation, ' ', oid, ' ', version), 0)) FROM (\
    SELECT 'r' AS kind, oid, xmin AS version, oid AS relation FROM pg_catalog.pg_class UNION ALL \
    SELECT 'c', oid, xmin, conrelid FROM pg_catalog.pg_constraint UNION ALL \
    SELECT 'w', oid, xmin, ev_class FROM pg_catalog.pg_rewrite UNION ALL \
    SELECT 't', oid, xmin, tgrelid FROM pg_catalog.pg_trigger UNION ALL \
    SELECT 'p', oid, xmin, polrelid FROM pg_catalog.pg_policy UNION ALL \
    SELECT 'a', attnum::int8::oid, xmin, attrelid FROM pg_catalog.pg_attribute \
        WHERE attrelid >= 16384 AND attnum > 0 UNION ALL \
    SELECT 'y', oid, xmin, 0 FROM pg_catalog.pg_type WHERE typtype = 'd' UNION ALL \
    SELECT 'o', oid, xmin, 0 FROM pg_catalog.pg_operator UNION ALL \
    SELECT 'm', oid, xmin, 0 FROM pg_catalog.pg_amop UNION ALL \
    SELECT 'f', oid, xmin, 0 FROM pg_catalog.pg_foreign_data_wrapper UNION ALL \
    SELECT 's', oid, xmin, 0 FROM pg_catalog.pg_foreign_server UNION ALL \
    SELECT 'n', oid, xmin, 0 FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_' UNION ALL \
    SELECT 'd', oid, xmin, adrelid FROM pg_catalog.pg_attrdef) AS all_of_them \
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation AND c.relpersistence = 't')";

/// Longest wait for an answer: in databases with very many relations it takes long to compare them.
const DEADLINE: Duration = Duration::from_secs(10);
/// Clients wait for no answer longer than this: DISCARD ALL makes a connection fit for anybody.
const PATIENCE: Duration = Duration::from_millis(5);
/// Least time from one question to the next while clients wait; timers add up to a millisecond.
const INTERVAL: Duration = Duration::from_micros(500);
/// How soon it is asked when nobody waits, but connections have gone to other clients since the last answer.
const LAZY: Duration = Duration::from_millis(2);
/// How soon when each has stayed with its client.
const LAZIEST: Duration = Duration::from_millis(50);
/// Of the time, relations are compared for one part in so many at most.
const SHARE: u32 = 10;
/// Between two attempts to reach a node, or to make it answer as it should.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks whether there is a catalog, and whether a standby has replayed what it was loaded after.
const AGAIN: Duration = Duration::from_millis(20);
/// How often definitions may change while a connection is made.
const MOST_CHANGES: usize = 3;
/// A connection that nothing has been asked over for so long is closed.
const IDLE: Duration = Duration::from_secs(600);

/// What has to be found out before a connection may go to another client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The time in which its last client has used it; 0: it is not known whether its statements were looked at with what was
    /// true.
    epoch: u64,
    /// The question whose answer tells.
    question: u64,
}

impl Stamp {
    /// Whether it is of this epoch, in which something is known.
    pub(crate) fn is_of(self, epoch: u64) -> bool {
        self.epoch != 0 && self.epoch == epoch
    }

    /// Which question has to be answered first.
    pub(crate) fn until(self) -> u64 {
        self.question
    }
}

/// The primary that a catalog has been loaded from, after so many changes, and when its WAL had come no further than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    node: NodeId,
    changes: u64,
    lsn: u64,
}

impl Origin {
    /// Whether nothing has changed between the two.
    pub(super) fn is_still(self, before: Origin) -> bool {
        (before.node, before.changes) == (self.node, self.changes)
    }
}

/// A catalog that is true: its number, which no other has, and what it says ([`howdah_cluster::Catalog::content`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) content: u64,
}

/// What is known of the definitions in one database of one node.
#[derive(Default)]
pub struct Definitions {
    /// A number for the time since a catalog is known to be what the node has, which it keeps as long as that is so; 0: none
    /// is.
    epoch: AtomicU64,
    /// What that catalog says ([`howdah_cluster::Catalog::content`]).
    content: AtomicU64,
    /// Questions that have been begun.
    begun: AtomicU64,
    /// The last one that has been answered, or given up.
    ended: AtomicU64,
    /// Whether that was answered, and where the node's WAL was.
    answered: AtomicBool,
    lsn: AtomicU64,
    /// The last one by which nothing had changed.
    clean: AtomicU64,
    /// The epoch before the present one, and the last such question of it.
    former: AtomicU64,
    former_clean: AtomicU64,
    /// Connections that have been given back before this one was begun may go to anybody, as they are or after DISCARD ALL.
    cleared: AtomicU64,
    /// Its answer is waited for no longer: all of them may.
    late: AtomicBool,
    /// The last one that somebody needs.
    needed: AtomicU64,
    /// Somebody has looked for a connection that was another one's.
    sought: AtomicBool,
    /// Clients of this node are waiting for an answer.
    urgent: AtomicBool,
    /// Connections come back of which nothing is known.
    unknown: AtomicBool,
    /// None has come back since the catalog was loaded last.
    idle: AtomicBool,
    /// Something of this has changed.
    noted: Notify,
    /// Something has ended.
    told: Notify,
    /// How often they have changed, or may have.
    changes: AtomicU64,
    /// What is called when connections are free: pools that give them to those that wait.
    pools: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl Definitions {
    /// To be called when connections are free.
    pub(crate) fn tells(&self, pool: impl Fn() + Send + Sync + 'static) {
        self.pools.lock().push(Box::new(pool));
    }

    /// Changes when the catalog that is known to be what the node has does; 0: none is.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// What that catalog says, if it is still the same in the end.
    pub(crate) fn content(&self) -> u64 {
        self.content.load(Ordering::SeqCst)
    }

    /// A connection is given back. Its last client's statements were looked at with what was true in this epoch, in which it
    /// was lent, or (0) it is not known.
    pub(crate) fn stamp(&self, epoch: u64) -> Stamp {
        if self.idle.load(Ordering::Relaxed) {
            self.idle.store(false, Ordering::Relaxed);
        }
        if epoch == 0 || self.epoch() != epoch {
            if self.epoch() == 0 && !self.unknown.swap(true, Ordering::SeqCst) {
                self.noted.notify_one();
            }
            return Stamp::default();
        }
        let question = self.begun.load(Ordering::SeqCst) + 1;
        self.need(question);
        Stamp { epoch, question }
    }

    fn need(&self, question: u64) {
        if self.needed.load(Ordering::SeqCst) < question
            && self.needed.fetch_max(question, Ordering::SeqCst) < question
            && !self.urgent.load(Ordering::SeqCst)
        {
            self.noted.notify_one();
        }
    }

    /// Whether it is known what a connection's last client has left there.
    pub(crate) fn vouches(&self, stamp: Stamp) -> bool {
        let was_former = || self.former.load(Ordering::SeqCst) == stamp.epoch;
        let now =
            self.clean.load(Ordering::SeqCst) >= stamp.question && self.epoch() == stamp.epoch;
        let before = || {
            was_former()
                && self.former_clean.load(Ordering::SeqCst) >= stamp.question
                && was_former()
        };
        stamp.epoch != 0 && (now || before())
    }

    /// No catalog is known to be true any more. What was known by the last one stays known.
    fn retire(&self) {
        let epoch = self.epoch.swap(0, Ordering::SeqCst);
        if epoch != 0 {
            self.former.store(0, Ordering::SeqCst);
            self.former_clean.store(self.clean.load(Ordering::SeqCst), Ordering::SeqCst);
            self.former.store(epoch, Ordering::SeqCst);
        }
    }

    /// Asks a question that is begun after this has been called. How often definitions have changed by then; none if there is
    /// no answer.
    async fn ask(&self) -> Option<u64> {
        let question = self.begun.load(Ordering::SeqCst) + 1;
        self.need(question);
        self.hurry();
        loop {
            let told = self.told.notified();
            if self.ended.load(Ordering::SeqCst) >= question {
                break;
            }
            told.await;
        }
        let answered = self.answered.load(Ordering::SeqCst);
        answered.then(|| self.changes.load(Ordering::SeqCst))
    }

    /// What a catalog is loaded between, from a primary.
    pub(super) async fn now(&self, node: NodeId) -> Option<Origin> {
        let changes = self.ask().await?;
        Some(Origin { node, changes, lsn: self.lsn.load(Ordering::SeqCst) })
    }

    fn is_needed(&self) -> bool {
        self.needed.load(Ordering::SeqCst) > self.begun.load(Ordering::SeqCst)
    }

    /// Whoever waits for this question gets connections.
    fn clear(&self, question: u64) {
        self.cleared.store(question, Ordering::SeqCst);
        self.late.store(false, Ordering::SeqCst);
        self.ring();
    }

    /// Whoever waits for any gets connections until [`Definitions::clear`] is called.
    fn is_late(&self) {
        self.late.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        self.pools.lock().iter().for_each(|tell| tell());
    }

    /// How often it has been asked, and how often that told of a change, or there was no answer.
    pub fn figures(&self) -> (u64, u64) {
        (self.begun.load(Ordering::Relaxed), self.changes.load(Ordering::Relaxed))
    }

    /// They have changed, or may have.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.retire();
    }

    /// This catalog is true, if they have not changed more often than that.
    fn believe(&self, catalog: Known, changes: u64) {
        self.content.store(catalog.content, Ordering::SeqCst);
        self.epoch.store(catalog.number, Ordering::SeqCst);
        if self.changes.load(Ordering::SeqCst) != changes {
            self.retire();
        }
    }
}

impl Clearance for Definitions {
    fn cleared(&self) -> u64 {
        if !self.sought.load(Ordering::Relaxed) {
            self.sought.store(true, Ordering::Relaxed);
        }
        match self.late.load(Ordering::SeqCst) {
            true => u64::MAX,
            false => self.cleared.load(Ordering::SeqCst),
        }
    }

    fn hurry(&self) {
        if !self.urgent.swap(true, Ordering::SeqCst) {
            self.noted.notify_one();
        }
    }
}

/// The definitions in a database on all nodes of its cluster.
#[derive(Default)]
pub(super) struct Everywhere {
    nodes: Vec<(NodeId, Arc<Definitions>)>,
    /// Somebody asks the nodes.
    asked: AtomicBool,
    /// The catalog that was the primary's when nothing was known to have changed since, and where it is from.
    origin: Mutex<Option<(Known, Origin)>>,
}

impl Everywhere {
    pub(super) fn new(nodes: impl Iterator<Item = NodeId>) -> Everywhere {
        let nodes = nodes.map(|node| (node, Arc::default())).collect();
        Everywhere { nodes, ..Everywhere::default() }
    }

    pub(super) fn of(&self, node: NodeId) -> Option<&Arc<Definitions>> {
        self.nodes.iter().find(|(n, _)| *n == node).map(|(_, definitions)| definitions)
    }

    /// Whether there is somebody to ask, and has been a reason to since the last call.
    pub(super) fn is_in_use(&self) -> bool {
        let mut used = false;
        for (_, definitions) in &self.nodes {
            used |= !definitions.idle.swap(true, Ordering::Relaxed);
        }
        used && self.asked.load(Ordering::SeqCst)
    }

    /// No catalog is known to be true any more.
    pub(super) fn doubt(&self) {
        let mut origin = self.origin.lock();
        *origin = None;
        for (_, definitions) in &self.nodes {
            definitions.retire();
        }
    }

    /// This catalog is true, on its origin to begin with.
    pub(super) fn believe(&self, catalog: Known, origin: Origin) {
        let mut believed = self.origin.lock();
        *believed = Some((catalog, origin));
        if let Some(definitions) = self.of(origin.node) {
            definitions.believe(catalog, origin.changes);
        }
    }
}

/// Asks the nodes of a cluster about a database when somebody needs it, from the thread that calls this first: it should be
/// one that has connections to them, for it is woken by them anyway.
pub(crate) fn watch(
    monitor: &Arc<Monitor>,
    cluster: ClusterId,
    database: &str,
    schema: &Arc<Schema>,
) {
    if monitor.watches_definitions(cluster) && !schema.everywhere.asked.swap(true, Ordering::SeqCst)
    {
        for (node, _) in &schema.everywhere.nodes {
            let (monitor, schema, node) = (Arc::clone(monitor), Arc::clone(schema), *node);
            let inquiry = Inquiry { monitor, cluster, database: database.to_owned(), schema, node };
            tokio::task::spawn_local(inquiry.run());
        }
        if schema.loads() > 0 {
            monitor.catalogs.stale(cluster, database);
        }
    }
}

/// Asks one node.
struct Inquiry {
    monitor: Arc<Monitor>,
    cluster: ClusterId,
    database: String,
    schema: Arc<Schema>,
    node: NodeId,
}

/// A connection for the question, and what has been answered there last.
struct Line {
    client: Client,
    last: Answer,
    /// What [`COMPARE`] has said last, and when it may be asked again.
    relations: Rows,
    rested: Instant,
    /// It has still to be asked: they may have changed.
    in_doubt: bool,
}

impl Line {
    /// Whether nothing that counts has changed since the last call, and where the WAL is.
    async fn is_same(&mut self, deadline: Instant) -> Result<(bool, u64), String> {
        let Told { answer, looked, lsn } = self.client.told(deadline).await?;
        let [functions, relations, constraints] = looked;
        let before = std::mem::replace(&mut self.last, answer);
        // Temporary tables come and go with their schemas, and statistics of others change.
        self.in_doubt |= relations || constraints || before.analysed != self.last.analysed;
        let settled =
            (before.standby, before.casts) == (self.last.standby, self.last.casts.clone());
        let same =
            settled && !functions && (!self.in_doubt || self.has_same_relations(deadline).await?);
        Ok((same, lsn))
    }

    /// False when that cannot be asked again yet, too.
    async fn has_same_relations(&mut self, deadline: Instant) -> Result<bool, String> {
        let began = Instant::now();
        if began < self.rested {
            return Ok(false);
        }
        let now = self.client.query(COMPARE, deadline).await.map_err(|error| error.to_string())?;
        self.rested = Instant::now() + began.elapsed() * SHARE;
        self.in_doubt = false;
        Ok(now == self.relations)
    }
}

/// What must not change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    analysed: String,
    standby: bool,
    casts: Option<String>,
}

/// The same with the rest.
struct Told {
    answer: Answer,
    /// Functions, files and constraints were looked up in the tables.
    looked: [bool; 3],
    lsn: u64,
}

impl Inquiry {
    /// For ever.
    async fn run(self) {
        let Some(definitions) = self.schema.everywhere.of(self.node).cloned() else { return };
        let mut line: Option<Line> = None;
        let mut rest = Instant::now();
        let (mut before, mut said) = (rest, None);
        loop {
            if !needed(&definitions, line.is_some(), before, rest).await {
                line = None;
                definitions.answered.store(false, Ordering::SeqCst);
                definitions.changed();
                continue;
            }
            before = Instant::now();
            let question = definitions.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = self.ask(&definitions, &mut line, rest).await;
            definitions.answered.store(answer.is_ok(), Ordering::SeqCst);
            match answer {
                Ok(false) => definitions.clean.store(question, Ordering::SeqCst),
                Ok(true) => {
                    // A new one asks for the domains that there are.
                    line.take_if(|line| !line.in_doubt);
                    definitions.changed();
                    self.doubt();
                    self.schema.has_changed();
                }
                Err(reason) => {
                    if line.take().is_some() || rest <= Instant::now() {
                        rest = Instant::now() + RETRY;
                        if said.as_ref() != Some(&reason) {
                            let (node, database) = (self.name(), &self.database);
                            tracing::warn!(node, database, reason, "definitions are not watched");
                            said = Some(reason);
                        }
                    }
                    definitions.changed();
                }
            }
            definitions.ended.store(question, Ordering::SeqCst);
            definitions.told.notify_waiters();
            definitions.clear(question);
            if line.is_some() && definitions.epoch() == 0 {
                rest = Instant::now() + self.join(&definitions, line.as_ref()).await;
            }
        }
    }

    /// Whether definitions have changed since the last answer.
    async fn ask(
        &self,
        definitions: &Definitions,
        line: &mut Option<Line>,
        rest: Instant,
    ) -> Result<bool, String> {
        let deadline = Instant::now() + DEADLINE;
        let asking = async {
            match line {
                Some(line) => {
                    let (same, lsn) = line.is_same(deadline).await?;
                    definitions.lsn.store(lsn, Ordering::SeqCst);
                    Ok(!same)
                }
                None if Instant::now() < rest => Err("it was tried a moment ago".to_owned()),
                None => {
                    let (fresh, lsn) = self.connect(deadline).await?;
                    definitions.lsn.store(lsn, Ordering::SeqCst);
                    *line = Some(fresh);
                    Ok(false)
                }
            }
        };
        let mut asking = pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            () = time::sleep(PATIENCE) => {
                definitions.is_late();
                asking.await
            }
        }
    }

    /// A connection that answers as it should: what it has to look up is looked up once.
    async fn connect(&self, deadline: Instant) -> Result<(Line, u64), String> {
        let snapshot = self.monitor.snapshot();
        let is_up = snapshot.state(self.node).is_some_and(|state| state.up);
        let login = self.monitor.login_to(self.node, &self.database).filter(|_| is_up);
        let (endpoint, login) = login.ok_or("the node is down")?;
        let client = Client::connect(&endpoint, &login, deadline, &self.monitor.keys).await;
        let mut client = client.map_err(|error| error.to_string())?;
        let failed = |error: QueryError| error.to_string();
        let domains = client.query(DOMAINS, deadline).await.map_err(failed)?;
        if domains.len() > MAX_DOMAINS {
            return Err(format!("there are more than {MAX_DOMAINS} domains"));
        }
        let list: Vec<_> = domains.iter().flatten().flatten().map(String::as_str).collect();
        client.query(&question(&list.join(",")), deadline).await.map_err(failed)?;
        let first = client.told(deadline).await?;
        if !first.looked[0] || !first.looked[1] {
            return Err("it does not count what it looks up: is track_counts off?".to_owned());
        }
        let relations = client.query(COMPARE, deadline).await.map_err(failed)?;
        if client.query(DOMAINS, deadline).await.map_err(failed)? != domains {
            return Err("domains come and go".to_owned());
        }
        let (last, rested) = (first.answer, Instant::now());
        let mut line = Line { client, last, relations, rested, in_doubt: false };
        for _ in 0..MOST_CHANGES {
            let Told { answer, looked, lsn } = line.client.told(deadline).await?;
            if looked == [false; 3] && answer == line.last {
                return Ok((line, lsn));
            }
            line.last = answer;
        }
        Err("it looks up everything each time, or definitions change all the time".to_owned())
    }

    /// No catalog is known to be true: one that is has to be loaded.
    fn doubt(&self) {
        self.schema.everywhere.doubt();
        self.monitor.catalogs.doubtful(self.cluster, &self.database);
    }

    /// Finds out whether the node has what the primary had when the catalog was loaded. How long to wait if not.
    async fn join(&self, definitions: &Definitions, line: Option<&Line>) -> Duration {
        definitions.unknown.store(false, Ordering::SeqCst);
        let believed = *self.schema.everywhere.origin.lock();
        let Some((catalog, origin)) = believed else {
            self.monitor.catalogs.doubtful(self.cluster, &self.database);
            return AGAIN;
        };
        let follows = line.is_some_and(|line| line.last.standby) && self.follows(origin.node);
        let Some(primary) = self.schema.everywhere.of(origin.node).filter(|_| follows) else {
            self.doubt();
            return AGAIN;
        };
        if definitions.lsn.load(Ordering::SeqCst) < origin.lsn {
            definitions.unknown.store(true, Ordering::SeqCst);
            return AGAIN;
        }
        // What it has replayed beyond that, the primary had before it answers now.
        let changes = definitions.changes.load(Ordering::SeqCst);
        let now = primary.now(origin.node).await;
        if !now.is_some_and(|now| now.is_still(origin)) {
            self.doubt();
        } else if *self.schema.everywhere.origin.lock() == believed {
            definitions.believe(catalog, changes);
        }
        Duration::ZERO
    }

    /// Whether the node is on the timeline of that one.
    fn follows(&self, primary: NodeId) -> bool {
        let snapshot = self.monitor.snapshot();
        let timeline = |node| snapshot.state(node).map(|state| state.timeline);
        self.node != primary && timeline(self.node) == timeline(primary)
    }

    fn name(&self) -> String {
        self.monitor.snapshot().spec(self.node).map_or_else(String::new, |spec| spec.name.clone())
    }
}

/// Waits until a question is needed. False: none has been for so long that the connection is not needed either.
async fn needed(
    definitions: &Definitions,
    connected: bool,
    before: Instant,
    rest: Instant,
) -> bool {
    let (mut lazily, sought) = (None, definitions.sought.swap(false, Ordering::Relaxed));
    loop {
        let now = Instant::now();
        let urgent = definitions.urgent.load(Ordering::SeqCst);
        let until = if definitions.is_needed() {
            let lazy = if sought { LAZY } else { LAZIEST };
            let at = *lazily.get_or_insert(now + lazy);
            let at = if urgent { at.min(before + INTERVAL) } else { at };
            if at <= now {
                return true;
            }
            at
        } else if urgent {
            // Nobody notifies meanwhile.
            if before + INTERVAL <= now {
                definitions.urgent.store(false, Ordering::SeqCst);
                continue;
            }
            before + INTERVAL
        } else if definitions.unknown.load(Ordering::SeqCst) {
            if rest <= now {
                return true;
            }
            rest
        } else {
            now + IDLE
        };
        tokio::select! {
            () = definitions.noted.notified() => {}
            () = time::sleep_until(until) => {
                if connected && until == now + IDLE {
                    return false;
                }
            }
        }
    }
}

impl Client {
    /// Asks the question.
    async fn told(&mut self, deadline: Instant) -> Result<Told, String> {
        let rows = self.query(ASK, deadline).await.map_err(|error| error.to_string())?;
        read(rows).ok_or_else(|| "its answer makes no sense".to_owned())
    }
}

fn read(rows: Rows) -> Option<Told> {
    let row: [Option<String>; 13] = rows.into_iter().next()?.try_into().ok()?;
    let [a, b, c, _, _, _, d, e, f, analysed, standby, casts, lsn] = row;
    let looked = [(a, d), (b, e), (c, f)].map(|(before, after)| before != after);
    let answer = Answer { analysed: analysed?, standby: standby? == "t", casts };
    Some(Told { answer, looked, lsn: lsn?.parse().ok()? })
}
