//! What policies are told beside the questions: that time has passed, and what has become of statements. In a task of
//! its own, so that it happens while no statement is being handled.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::Ctx;

/// Observations wait no longer than this.
const REPORT: Duration = Duration::from_secs(1);
/// Between two looks whether there are other policies, which may want to be told soon.
const LOOK: Duration = Duration::from_millis(250);

/// Tells policies, for ever.
pub(super) async fn tell(ctx: Rc<Ctx>) {
    let mut reported = Instant::now();
    loop {
        let due = ctx.policies.tick();
        let wake = Instant::now() + LOOK;
        let wake = due.map_or(wake, |due| wake.min(due.into()));
        let full = timeout_at(wake, ctx.observed.notified()).await.is_ok();
        if full || reported.elapsed() >= REPORT {
            reported = Instant::now();
            for _ in 0..ctx.policies.batches() {
                ctx.policies.report();
                // The clients of this worker come first.
                yield_now().await;
            }
        }
    }
}
