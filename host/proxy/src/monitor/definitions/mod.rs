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
//! - casts and domains are few, and listed; how many entries the list of casts was made from is counted.
//!
//! Temporary tables, VACUUM and ANALYZE look like changes of relations; what relations there are is compared then. If they
//! are the same, the catalog is still true, but there may have been others in between: what connections have done until
//! then is not known.

mod everywhere;
mod inquiry;
mod node;
mod question;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use howdah_cluster::ClusterId;

pub(super) use self::everywhere::{Everywhere, Origin};
use self::inquiry::Inquiry;
pub use self::node::Definitions;
pub(crate) use self::node::Stamp;
use super::{Monitor, Schema};

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
