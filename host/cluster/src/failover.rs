use std::collections::VecDeque;
use std::time::Instant;

use crate::NodeId;

/// Failovers of a cluster that are kept: enough for a bad night; the log has them all.
pub const MAX_FAILOVERS: usize = 32;

/// Why a node is looked at more closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The monitor's connection has ended.
    MonitorLost,
    /// The monitor's question has not been answered yet.
    Unanswered,
    /// The monitor was told that the node is not what it was.
    Probe,
    /// A session's connection has ended.
    SessionLost,
    /// A connection could not be made.
    Connect,
    /// It has refused to write (25006).
    ReadOnly,
    /// The cluster's manager says that another node is the primary, or is to be.
    Manager,
}

impl Evidence {
    /// In words, for the log and for operators.
    pub fn text(self) -> &'static str {
        match self {
            Evidence::MonitorLost => "the monitor's connection has ended",
            Evidence::Unanswered => "it does not answer",
            Evidence::Probe => "it is not what it was",
            Evidence::SessionLost => "a session's connection has ended",
            Evidence::Connect => "a connection could not be made",
            Evidence::ReadOnly => "it has refused to write",
            Evidence::Manager => "the cluster's manager says so",
        }
    }
}

/// What happened from the first doubt in a primary to the next primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The primary that was doubted, and its timeline.
    pub from: (NodeId, u32),
    /// When it was doubted first.
    pub doubted: Instant,
    /// Why.
    pub evidence: Evidence,
    /// When it was certain that it is no primary any more, and how; none as long as it may be one.
    pub lost: Option<(Instant, String)>,
    /// The next primary, its timeline, and when it was seen; none as long as there is none.
    pub to: Option<(NodeId, u32, Instant)>,
}

/// Something that happened in a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// To which node.
    pub node: NodeId,
    /// Its timeline then.
    pub timeline: u32,
    /// What.
    pub what: String,
}

impl Failover {
    /// What happened, in its order.
    pub fn events(&self) -> Vec<Event> {
        let event = |at, (node, timeline), what| Event { at, node, timeline, what };
        let doubt = format!("in doubt: {}", self.evidence.text());
        let mut events = vec![event(self.doubted, self.from, doubt)];
        if let Some((at, how)) = &self.lost {
            events.push(event(*at, self.from, format!("lost: {how}")));
        }
        if let Some((node, timeline, at)) = self.to {
            events.push(event(at, (node, timeline), "is the primary".to_owned()));
        }
        events
    }
}

/// The failovers of a cluster.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The primary is doubted, or lost and not yet replaced.
    pub(crate) open: Option<Failover>,
    pub(crate) kept: VecDeque<Failover>,
    /// The last of those that are kept has not been told of yet.
    pub(crate) untold: bool,
}

impl History {
    pub(crate) fn doubt(&mut self, from: (NodeId, u32), at: Instant, evidence: Evidence) {
        let new = || Failover { from, doubted: at, evidence, lost: None, to: None };
        self.open.get_or_insert_with(new);
    }

    /// The primary has gone.
    pub(crate) fn lost(&mut self, from: (NodeId, u32), at: Instant, how: String) {
        self.doubt(from, at, Evidence::Probe);
        if let Some(open) = &mut self.open {
            open.lost.get_or_insert((at, how));
        }
    }

    /// This node has answered, and is the primary.
    pub(crate) fn found(&mut self, node: NodeId, timeline: u32, at: Instant) {
        let Some(open) = self.open.take_if(|open| open.doubted <= at || open.lost.is_some()) else {
            return;
        };
        if open.lost.is_none() && open.from == (node, timeline) {
            // It was well all the time.
            return;
        }
        // It may have been asked before the loss was certain.
        let at = open.lost.as_ref().map_or(at, |(lost, _)| at.max(*lost));
        self.kept.push_back(Failover { to: Some((node, timeline, at)), ..open });
        if self.kept.len() > MAX_FAILOVERS {
            self.kept.pop_front();
        }
        self.untold = true;
    }
}
