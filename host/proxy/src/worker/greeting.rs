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
use super::clean::{give_back, run};
use super::lease::Lessee;

/// A greeting is asked for again after this: servers are upgraded, and their defaults changed.
const FRESH: Duration = Duration::from_secs(60);
/// Greetings that a worker keeps. When it has more it forgets all.
const MAX_KEPT: usize = 1_000;
/// Longest time to ask a server.
const DEADLINE: Duration = Duration::from_secs(10);

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
    let primary = ctx.shared.monitor.snapshot().primary(lessee.cluster).is_some();
    // Without a primary a replica tells as well; without any node, whichever comes up first.
    let decision = if primary { Decision::Primary } else { Decision::Replica(Demands::default()) };
    let mut leased = lessee.lease(&decision, 0).await?;
    let Some(conn) = leased.conn() else {
        return Err(ErrorReport::error(b"08006", "the server was lost"));
    };
    let change = settings.difference(conn.state.settings());
    if !change.is_empty() {
        run(conn, &change, Instant::now() + DEADLINE).await?;
        conn.state.now_has(Arc::clone(settings));
    }
    let mut messages = BytesMut::new();
    let parameters = conn.state.parameters.clone();
    parameters.greet(&mut messages);
    give_back(leased, howdah_session::Disposition::Reuse);
    let greeting =
        Rc::new(Greeting { messages: messages.to_vec(), parameters, made: Instant::now() });
    let mut kept = ctx.greetings.borrow_mut();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(key, Rc::clone(&greeting));
    Ok(greeting)
}
