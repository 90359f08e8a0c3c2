//! What a client is told after authentication: the server's parameters, as they are with the client's settings.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use howdah_decision::{Decision, Demands};
use howdah_session::{Parameters, Settings};
use howdah_wire::backend::ErrorReport;
use tokio::time::Instant;

use super::Ctx;
use super::clean::{give_back, lost, run};
use super::lease::Lessee;

/// A greeting is asked for again after this: servers are upgraded, and their defaults changed.
const FRESH: Duration = Duration::from_secs(60);
/// Greetings that a worker keeps. When it has more it forgets all.
const MAX_KEPT: usize = 1_000;
/// Longest time to ask a server.
const DEADLINE: Duration = Duration::from_secs(10);

/// Servers that a client may lose while they are asked: it has to wait for others, and nothing worse.
const ATTEMPTS: usize = 5;

/// Whom a greeting is for: cluster, user, database, and the SQL that makes the settings.
pub(crate) type Key = (u16, String, String, String);

/// ParameterStatus messages.
pub(crate) struct Greeting {
    pub(crate) messages: Vec<u8>,
    pub(crate) parameters: Parameters,
    made: Instant,
}

/// The greeting for a client. Asks a server when none is remembered, which also checks that the settings are
/// valid, and that the login works.
pub(crate) async fn greeting(
    ctx: &Rc<Ctx>,
    lessee: &mut Lessee,
    settings: &Arc<Settings>,
) -> Result<Rc<Greeting>, ErrorReport> {
    let sql = settings.difference(&Settings::default());
    let key = (lessee.cluster.0, lessee.user.clone(), lessee.database.clone(), sql);
    if let Some(known) = ctx.greetings.borrow().get(&key)
        && known.made.elapsed() < FRESH
    {
        return Ok(Rc::clone(known));
    }
    let mut parameters = Err(lost());
    for _ in 0..ATTEMPTS {
        parameters = ask(ctx, lessee, settings).await;
        match &parameters {
            Err(report) if report.sqlstate() == lost().sqlstate() => {}
            _ => break,
        }
    }
    let parameters = parameters?;
    let mut messages = BytesMut::new();
    parameters.greet(&mut messages);
    let greeting =
        Rc::new(Greeting { messages: messages.to_vec(), parameters, made: Instant::now() });
    let mut kept = ctx.greetings.borrow_mut();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(key, Rc::clone(&greeting));
    Ok(greeting)
}

/// What a server reports when it has the settings.
async fn ask(
    ctx: &Rc<Ctx>,
    lessee: &mut Lessee,
    settings: &Arc<Settings>,
) -> Result<Parameters, ErrorReport> {
    let (monitor, cluster) = (&ctx.shared.monitor, lessee.cluster);
    let mut leased = if monitor.snapshot().primary(cluster).is_some() {
        tokio::select! {
            leased = lessee.lease(&Decision::Primary) => leased?,
            () = monitor.until(|snapshot| snapshot.primary(cluster).is_none()) => return Err(lost()),
        }
    } else {
        // Without a primary a replica tells as well; without any node, whichever comes up first.
        lessee.lease(&Decision::Replica(Demands::default())).await?
    };
    let over = leased.over();
    let conn = leased.conn().ok_or_else(lost)?;
    let change = settings.difference(conn.state.settings());
    if !change.is_empty() {
        tokio::select! {
            done = run(conn, &change, Instant::now() + DEADLINE) => done?,
            () = over => return Err(lost()),
        }
        conn.state.now_has(Arc::clone(settings));
    }
    let parameters = conn.state.parameters.clone();
    give_back(leased, howdah_session::Disposition::Reuse);
    Ok(parameters)
}
