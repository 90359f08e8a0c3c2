//! Who is served, and how: there is room for the client, its database exists, and the policies have let it in.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use howdah_cluster::ClusterId;
use howdah_decision::{Admission, Client, PoolMode, SessionDecision};
use howdah_policy::Who;
use howdah_pool::Patience;
use howdah_session::{Guide as _, Settings, Value};
use howdah_sql::{OWN, Own, OwnVerb};
use howdah_wire::backend::ErrorReport;

use super::Ctx;
use super::explain::Explaining;
use super::guide::{Database, SessionGuide};
use super::lease::Lessee;
use super::seat::Visitor;
use crate::frontend::{ClientHello, LoginFailure};

/// Why a client that has authenticated is not served.
pub(super) struct Refused {
    pub(super) why: LoginFailure,
    pub(super) report: ErrorReport,
}

impl From<ErrorReport> for Refused {
    fn from(report: ErrorReport) -> Refused {
        Refused { why: LoginFailure::of(&report), report }
    }
}

/// A client whom the policies have let in.
pub(super) struct Admitted {
    pub(super) guide: SessionGuide,
    pub(super) lessee: Lessee,
    pub(super) mode: PoolMode,
    pub(super) settings: Arc<Settings>,
    pub(super) visitor: Visitor,
}

/// Whether there is room for one more client.
pub(super) fn may_come(ctx: &Ctx) -> Result<(), ErrorReport> {
    let config = ctx.shared.config.load();
    if ctx.shared.clients() > config.limits.max_clients {
        let most = config.limits.max_clients;
        return Err(ErrorReport::fatal(b"53300", "sorry, too many clients already")
            .detail(&format!("The proxy takes {most} clients."))
            .hint("Raise limits.max_clients."));
    }
    if ctx.draining.get() {
        return Err(ErrorReport::fatal(b"57P03", "the proxy is shutting down"));
    }
    Ok(())
}

pub(super) async fn admit(
    ctx: &Rc<Ctx>,
    visitor: Visitor,
    hello: &ClientHello,
) -> Result<Admitted, Refused> {
    let id = visitor.id;
    let config = ctx.shared.config.load_full();
    let no_database = || {
        let message = format!("database \"{}\" does not exist", hello.database);
        ErrorReport::fatal(b"3D000", &message)
            .detail("No cluster of the configuration has it.")
            .hint("Add it to the databases of a cluster.")
    };
    let home = config.cluster_of(&hello.database).ok_or_else(no_database)?;
    let home = config.clusters.get(home).map(|c| c.name.clone()).ok_or_else(no_database)?;
    let client = describe(&visitor, hello);
    let chain = ctx.policies.chain(id);
    let admission = match ctx.policies.open(&chain, &client, &home) {
        SessionDecision::Accept(admission) => admission,
        SessionDecision::Refuse(refusal) => {
            let report = ErrorReport::fatal(&refusal.sqlstate, &refusal.message);
            return Err(Refused { why: LoginFailure::Policy, report });
        }
    };
    let cluster_name = admission.cluster.clone().unwrap_or(home);
    let cluster = config.clusters.iter().position(|c| c.name == cluster_name).ok_or_else(|| {
        ErrorReport::fatal(
            b"3D000",
            &format!("a policy chose cluster \"{cluster_name}\", which does not exist"),
        )
        .hint("Check the policy's settings against the clusters of the configuration.")
    })?;
    let mut settings = settings(hello, &admission)?;
    let database = admission.database.clone().unwrap_or_else(|| hello.database.clone());
    let user = admission.user.clone().unwrap_or_else(|| hello.user.clone());
    let pool = config.pool_for(&user, &database);
    let mode = admission.pool_mode.unwrap_or(pool.mode);
    if pool.show_client_address {
        show_address(Arc::make_mut(&mut settings), &client.address);
    }
    let cluster = ClusterId(cluster as u16);
    let who = Arc::new(Who {
        user: client.user,
        database: client.database,
        cluster: cluster_name,
        application_name: client.application_name,
    });
    let interest = chain.interest(&who.user, &who.database, &who.cluster);
    let mut guide = SessionGuide {
        ctx: Rc::clone(ctx),
        database: database_of(ctx, cluster, &database),
        who,
        told: None,
        class: admission.class,
        chain,
        interest,
        arming: None,
        id,
        node: None,
        failed: None,
        sent: None,
        began: None,
        waited: Duration::ZERO,
        on_standby: false,
        text: None,
        traced: None,
        explaining: Explaining::default(),
        follows: None,
    };
    take_own(Arc::make_mut(&mut settings), &mut guide)?;
    ctx.shared.monitor.catalogs.ready(cluster, &database).await;
    let mut lessee = Lessee::new(ctx, id, cluster, user, database);
    if let Some(token) = guide.follows.take() {
        lessee.follow(token);
    }
    lessee.patience = Patience {
        priority: admission.priority,
        at_most: admission.max_wait_ms.map(|ms| Duration::from_millis(ms.into())),
        since: None,
    };
    Ok(Admitted { guide, lessee, mode, settings, visitor })
}

fn describe(visitor: &Visitor, hello: &ClientHello) -> Client {
    let application = hello.parameters.iter().find(|(name, _)| name == "application_name");
    Client {
        id: visitor.id,
        user: hello.user.clone(),
        database: hello.database.clone(),
        application_name: application.map(|(_, value)| value.clone()).unwrap_or_default(),
        address: visitor.address.map_or_else(|| "local".to_owned(), |ip| ip.to_string()),
        parameters: hello.parameters.clone(),
    }
}

fn settings(hello: &ClientHello, admission: &Admission) -> Result<Arc<Settings>, ErrorReport> {
    let all = hello.parameters.iter().chain(&admission.settings);
    Settings::from_startup(all.map(|(name, value)| (name.as_str(), value.as_str())))
        .map(Arc::new)
        .map_err(|error| ErrorReport::fatal(b"22023", &error.to_string()))
}

/// Settings of the proxy itself are not for servers.
fn take_own(settings: &mut Settings, guide: &mut SessionGuide) -> Result<(), ErrorReport> {
    let text = |value: &Value| match value {
        Value::Plain(text) | Value::Sql(text) => text.clone(),
    };
    let own: Vec<_> = settings
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(OWN)?.into(), text(value))))
        .collect();
    for (name, value) in own {
        settings.reset(&format!("{OWN}{name}"));
        guide
            .own_setting(&Own { name, verb: OwnVerb::Set(value) })
            .map_err(|refusal| ErrorReport::fatal(&refusal.sqlstate, &refusal.message))?;
    }
    Ok(())
}

/// Puts the client's address behind its application_name. PostgreSQL cuts that at NAMEDATALEN − 1 = 63 bytes, so the
/// name makes room.
fn show_address(settings: &mut Settings, address: &str) {
    const MOST: usize = 63;
    let name = match settings.get("application_name") {
        Some(Value::Plain(name) | Value::Sql(name)) => &**name,
        None => "",
    };
    let end = format!(" - {address}");
    let name = &name[..name.floor_char_boundary(MOST.saturating_sub(end.len()))];
    let shown = format!("{name}{end}");
    // A name and an address are neither malformed nor too long; one setting too many is not worth a refusal.
    let _ = settings.set("application_name", Value::Plain(shown.trim_start_matches(" - ").into()));
}

pub(super) fn database_of(ctx: &Ctx, cluster: ClusterId, name: &str) -> Rc<Database> {
    let mut databases = ctx.databases.borrow_mut();
    let number = databases.len() as u32;
    let database = databases
        .entry((cluster.0, name.to_owned()))
        .or_insert_with(|| Database::new(ctx, cluster, name, number));
    Rc::clone(database)
}
