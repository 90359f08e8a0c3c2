use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_decision::Role;

use crate::{ClusterId, NodeId, NodeSpec, NodeState, Snapshot};

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// Timeline of its last checkpoint.
    pub timeline: u32,
    /// `pg_control_system().system_identifier`.
    pub system_identifier: u64,
    /// Inserted on a primary, replayed on a standby.
    pub lsn: u64,
    /// How long ago the last replayed transaction was committed; none on a primary.
    pub replay_age: Option<Duration>,
}

/// Why a node did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens, or the connection was cut.
    Unreachable(String),
    /// No answer in time.
    Silent,
    /// It answers, but not yet or no longer with service (57P01, 57P02, 57P03).
    Unavailable(String),
    /// It refuses the monitor's login: the node may be well, but nothing is known of it.
    Login(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Unreachable(why) => write!(f, "unreachable: {why}"),
            Failure::Silent => f.write_str("no answer in time"),
            Failure::Unavailable(why) => write!(f, "unavailable: {why}"),
            Failure::Login(why) => write!(f, "the monitor cannot log in: {why}"),
        }
    }
}

/// Makes snapshots from probe results.
pub struct Observer {
    current: Arc<Snapshot>,
    /// The identity of each cluster: the first primary's, else the first node's that was seen.
    identities: Vec<Option<u64>>,
}

impl Observer {
    /// Nothing is known of any node.
    pub fn new(clusters: Vec<String>, specs: Vec<NodeSpec>) -> Observer {
        let states = specs.iter().map(|_| NodeState::unknown()).collect();
        let identities = clusters.iter().map(|_| None).collect();
        Observer { current: Arc::new(Snapshot { epoch: 0, clusters, specs, states }), identities }
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current)
    }

    /// Takes in a probe that was begun at `asked`. The snapshot is a new one; its epoch has grown when a role
    /// or a node's health has changed.
    pub fn observe(
        &mut self,
        node: NodeId,
        asked: Instant,
        result: Result<Sample, Failure>,
    ) -> Arc<Snapshot> {
        let mut next = Snapshot::clone(&self.current);
        let Some(cluster) = next.spec(node).map(|spec| spec.cluster) else {
            return self.snapshot();
        };
        let state = match result {
            Ok(sample) => self.answered(cluster, asked, &sample),
            // The role of a node that is down is not known: it may come back as anything.
            Err(_) => NodeState::unknown(),
        };
        if let Some(place) = next.states.get_mut(usize::from(node.0)) {
            *place = state;
        }
        settle_primaries(&mut next, cluster);
        set_lags(&mut next, cluster);
        let visible = |state: &NodeState| (state.role, state.up, state.refused);
        let changed = !next.states.iter().map(visible).eq(self.current.states.iter().map(visible));
        if changed {
            next.epoch += 1;
        }
        self.current = Arc::new(next);
        self.snapshot()
    }

    fn answered(&mut self, cluster: ClusterId, asked: Instant, sample: &Sample) -> NodeState {
        let identity = self.identities.get_mut(usize::from(cluster.0));
        let foreign = match identity {
            Some(known) => {
                *known.get_or_insert(sample.system_identifier) != sample.system_identifier
            }
            None => false,
        };
        NodeState {
            role: if sample.in_recovery { Role::Replica } else { Role::Primary },
            up: true,
            timeline: sample.timeline,
            lsn: sample.lsn,
            lag_bytes: None,
            lag: sample.replay_age,
            sampled: Some(asked),
            refused: foreign.then_some("it belongs to another cluster (system identifier)"),
        }
    }
}

/// Of two primaries the one on the higher timeline was promoted later; the other one is not written to.
fn settle_primaries(snapshot: &mut Snapshot, cluster: ClusterId) {
    const OUTDATED: &str = "another primary is on a higher timeline";
    let is_primary = |state: &NodeState| {
        state.up
            && state.role == Role::Primary
            && state.refused.is_none_or(|reason| reason == OUTDATED)
    };
    let highest =
        snapshot.nodes(cluster).filter(|(.., s)| is_primary(s)).map(|(.., s)| s.timeline).max();
    let Some(highest) = highest else { return };
    let specs = &snapshot.specs;
    for (state, spec) in snapshot.states.iter_mut().zip(specs) {
        if spec.cluster == cluster && is_primary(state) {
            state.refused = (state.timeline < highest).then_some(OUTDATED);
        }
    }
}

/// LSNs compare on one timeline only.
fn set_lags(snapshot: &mut Snapshot, cluster: ClusterId) {
    let primary = snapshot.primary(cluster).and_then(|node| snapshot.state(node)).cloned();
    let specs = &snapshot.specs;
    for (state, spec) in snapshot.states.iter_mut().zip(specs) {
        if spec.cluster != cluster || state.role != Role::Replica {
            continue;
        }
        state.lag_bytes = match &primary {
            Some(primary) if primary.timeline == state.timeline => {
                Some(primary.lsn.saturating_sub(state.lsn))
            }
            _ => None,
        };
        if state.lag_bytes == Some(0) {
            state.lag = Some(Duration::ZERO);
        }
    }
}
