use howdah_decision::{Demands, Otherwise, Role};

use crate::{ClusterId, MustHaveSeen, NodeId, NodeSpec, NodeState, Snapshot};

/// Where a read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// To this node.
    Node(NodeId),
    /// Nowhere yet: a node may qualify later.
    Wait,
    /// Nowhere.
    Refuse,
}

/// Spreads reads over the replicas that qualify: those with the fewest connections in use, in turn.
#[derive(Debug, Default)]
pub struct Balancer {
    turn: usize,
}

impl Balancer {
    /// Picks a node for a read with these demands, of a session that wants to see its own writes. `in_use` counts the
    /// connections that are lent.
    pub fn pick(
        &mut self,
        snapshot: &Snapshot,
        cluster: ClusterId,
        demands: &Demands,
        seen: MustHaveSeen,
        in_use: impl Fn(NodeId) -> usize,
    ) -> Pick {
        let able = || {
            let nodes = snapshot.nodes(cluster);
            nodes.filter(|(_, spec, state)| qualifies(spec, state, demands) && seen.by(state))
        };
        let primary =
            snapshot.writable(cluster).filter(|_| demands.otherwise == Otherwise::Primary);
        // A node that has come and gone lately is better than none.
        let rests = able().all(|(.., state)| state.resting) && primary.is_none();
        let qualified =
            || able().filter(|(.., state)| rests || !state.resting).map(|(node, ..)| node);
        if let Some(least) = qualified().map(&in_use).min() {
            self.turn = self.turn.wrapping_add(1);
            let best = || qualified().filter(|node| in_use(*node) == least);
            if let Some(node) = best().nth(self.turn % best().count().max(1)) {
                return Pick::Node(node);
            }
        }
        match demands.otherwise {
            Otherwise::Primary => primary.map_or(Pick::Wait, Pick::Node),
            Otherwise::Wait => Pick::Wait,
            Otherwise::Refuse => Pick::Refuse,
        }
    }
}

fn qualifies(spec: &NodeSpec, state: &NodeState, demands: &Demands) -> bool {
    let ms = state.lag.map(|lag| lag.as_millis() as u64);
    state.up
        && state.role == Role::Replica
        && state.refused.is_none()
        && !state.drained
        && demands.max_lag_ms.is_none_or(|max| ms.is_some_and(|lag| lag <= max))
        && demands.max_lag_bytes.is_none_or(|max| state.lag_bytes.is_some_and(|lag| lag <= max))
        && demands.label.as_ref().is_none_or(|(key, value)| {
            spec.labels.iter().any(|(k, v)| **k == **key && **v == **value)
        })
}
