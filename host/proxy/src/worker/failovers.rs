//! `SHOW howdah.failovers`: what became of the primaries of a session's cluster, as a time line.

use howdah_cluster::{ClusterId, Event, NodeId};
use howdah_decision::{Refusal, Table};
use howdah_session::Told;
use howdah_sql::{Own, OwnVerb};

use crate::monitor::Monitor;

/// The setting.
pub(crate) const FAILOVERS: &str = "failovers";

/// The events of the last failovers, the oldest first: how long ago each failover began, how long after that the event was,
/// and what it was.
pub(crate) fn tell(own: &Own, monitor: &Monitor, cluster: ClusterId) -> Result<Told, Refusal> {
    if own.verb != OwnVerb::Show {
        let message = format!("parameter \"howdah.{FAILOVERS}\" cannot be changed");
        return Err(Refusal::new("55P02", &message));
    }
    let snapshot = monitor.snapshot();
    let name = |node: NodeId| snapshot.spec(node).map(|spec| spec.name.clone());
    let mut rows = Vec::new();
    for failover in monitor.failovers(cluster) {
        let ago = failover.doubted.elapsed().as_secs().to_string();
        for Event { at, node, timeline, what } in failover.events() {
            let after = at.saturating_duration_since(failover.doubted).as_millis().to_string();
            let timeline = Some(timeline.to_string());
            rows.push(vec![Some(ago.clone()), Some(after), name(node), timeline, Some(what)]);
        }
    }
    let columns = ["seconds_ago", "after_ms", "node", "timeline", "event"];
    Ok(Told::Table(Table { columns: columns.map(str::to_owned).to_vec(), rows }))
}
