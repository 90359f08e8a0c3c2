use std::time::{Duration, Instant};

use howdah_decision::{Node, Role};

/// A node, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

/// A cluster, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u16);

/// A node as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Unique among all clusters: `host:port`, or a given name.
    pub name: String,
    /// For policies.
    pub labels: Vec<(String, String)>,
    /// Where it belongs.
    pub cluster: ClusterId,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// What it is.
    pub role: Role,
    /// It answered the last probe.
    pub up: bool,
    /// As in `pg_control_system()`, or 0. That of its cluster, unless it is refused.
    pub system_identifier: u64,
    /// Its timeline, or 0.
    pub timeline: u32,
    /// WAL position: inserted on a primary, replayed on a standby.
    pub lsn: u64,
    /// Bytes of WAL behind the primary; none on a primary, and while the primary or the timeline is unknown.
    pub lag_bytes: Option<u64>,
    /// How old what the standby shows is at most: zero when it has all, else the smaller of the time since the last replayed
    /// transaction was committed, and the time since the primary was no further than the standby is. None when neither is
    /// known, and on another timeline than the primary's.
    pub lag: Option<Duration>,
    /// When the sample behind this was asked for.
    pub sampled: Option<Instant>,
    /// Of a primary that was seen to be promoted from the timeline before its own: where it left that.
    pub forked: Option<u64>,
    /// Why it is not used although it answers.
    pub refused: Option<&'static str>,
    /// It has come and gone lately: no reads until it has been up for a while.
    pub resting: bool,
    /// An operator wants it to get no more work.
    pub drained: bool,
    /// Grows when the node is noticed to be gone, or is refused: what was opened before is not gone on with.
    pub tenure: u64,
}

impl NodeState {
    pub(crate) fn unknown() -> NodeState {
        NodeState {
            role: Role::Unknown,
            up: false,
            system_identifier: 0,
            timeline: 0,
            lsn: 0,
            lag_bytes: None,
            lag: None,
            sampled: None,
            forked: None,
            refused: None,
            resting: false,
            drained: false,
            tenure: 0,
        }
    }
}

/// All nodes at a moment. Shared by everybody, changed by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows with every change of a role or of health.
    pub epoch: u64,
    /// Names of the clusters.
    pub clusters: Vec<String>,
    /// Those that an operator has paused, by [`ClusterId`].
    pub paused: Vec<bool>,
    /// Nodes as configured, by [`NodeId`].
    pub specs: Vec<NodeSpec>,
    /// What is known of them, by [`NodeId`].
    pub states: Vec<NodeState>,
}

impl Snapshot {
    /// A node as configured.
    pub fn spec(&self, node: NodeId) -> Option<&NodeSpec> {
        self.specs.get(usize::from(node.0))
    }

    /// What is known of a node.
    pub fn state(&self, node: NodeId) -> Option<&NodeState> {
        self.states.get(usize::from(node.0))
    }

    /// The nodes of a cluster.
    pub fn nodes(
        &self,
        cluster: ClusterId,
    ) -> impl Iterator<Item = (NodeId, &NodeSpec, &NodeState)> {
        self.specs
            .iter()
            .zip(&self.states)
            .enumerate()
            .filter(move |(_, (spec, _))| spec.cluster == cluster)
            .map(|(i, (spec, state))| (NodeId(i as u16), spec, state))
    }

    /// The node that is the primary, whether or not it gets work.
    pub fn primary(&self, cluster: ClusterId) -> Option<NodeId> {
        self.nodes(cluster)
            .find(|(_, _, state)| {
                state.up && state.role == Role::Primary && state.refused.is_none()
            })
            .map(|(node, ..)| node)
    }

    /// The primary, else any node that answers.
    pub fn readable(&self, cluster: ClusterId) -> Option<NodeId> {
        let answers = |state: &NodeState| state.up && state.refused.is_none();
        let any = || self.nodes(cluster).find(|(.., state)| answers(state)).map(|(node, ..)| node);
        self.primary(cluster).or_else(any)
    }

    /// The node that writes go to.
    pub fn writable(&self, cluster: ClusterId) -> Option<NodeId> {
        self.primary(cluster).filter(|node| !self.is_drained(*node))
    }

    /// Whether no new work of a cluster goes anywhere at the moment.
    pub fn is_paused(&self, cluster: ClusterId) -> bool {
        self.paused.get(usize::from(cluster.0)).is_some_and(|paused| *paused)
    }

    /// Whether a node, or all of its cluster, gets no new work.
    pub fn is_drained(&self, node: NodeId) -> bool {
        self.state(node).is_some_and(|state| state.drained)
            || self.spec(node).is_some_and(|spec| self.is_paused(spec.cluster))
    }

    /// Which tenure of a node this is.
    pub fn tenure(&self, node: NodeId) -> u64 {
        self.state(node).map_or(0, |state| state.tenure)
    }

    /// A node by its name, when it is up and gets work.
    pub fn named(&self, name: &str) -> Option<NodeId> {
        let at = self.specs.iter().position(|spec| spec.name == name)?;
        let state = self.states.get(at)?;
        (state.up && state.refused.is_none() && !state.drained).then_some(NodeId(at as u16))
    }

    /// A cluster by its name.
    pub fn cluster(&self, name: &str) -> Option<ClusterId> {
        self.clusters.iter().position(|cluster| cluster == name).map(|at| ClusterId(at as u16))
    }

    /// As policies see it.
    pub fn for_policies(&self) -> Vec<Node> {
        let nodes = self.specs.iter().zip(&self.states).map(|(spec, state)| Node {
            name: spec.name.clone(),
            cluster: self.clusters.get(usize::from(spec.cluster.0)).cloned().unwrap_or_default(),
            role: state.role,
            up: state.up,
            lag_bytes: state.lag_bytes,
            lag_ms: state.lag.map(|lag| lag.as_millis() as u64),
            labels: spec.labels.clone(),
        });
        nodes.collect()
    }
}
