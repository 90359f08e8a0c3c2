use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_decision::Role;

use crate::failover::{Evidence, Failover, History};
use crate::health::Health;
use crate::marks::Marks;
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
    /// Where a primary's last recovery ended; none when it was started without one, and on a standby.
    pub recovered: Option<u64>,
    /// The first of a connection: the server may have been restarted since the sample before it.
    pub first: bool,
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
    /// It refuses the monitor's login, or has no room for it (53300): the node may be well, but nothing is known of it.
    Login(String),
}

impl Failure {
    /// Whether nobody is there: nothing more can come over connections that were made before.
    pub fn is_gone(&self) -> bool {
        matches!(self, Failure::Unreachable(_) | Failure::Silent)
    }
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
    /// By cluster.
    groups: Vec<Group>,
    /// By node.
    health: Vec<Health>,
}

/// What is remembered of a cluster.
#[derive(Default)]
struct Group {
    /// Its system identifier: that of most of its nodes; of several, the one that was seen first.
    identity: Option<u64>,
    /// The primary on the highest timeline so far. Until that node itself is seen to have gone back, no other one on a
    /// lower timeline is a primary: it would not have what was written since.
    newest: Option<(NodeId, u32)>,
    /// Whom the cluster's manager calls the leader.
    leader: Option<NodeId>,
    /// Where the primary was, and when.
    marks: Marks,
    failovers: History,
}

impl Observer {
    /// Nothing is known of any node.
    pub fn new(clusters: Vec<String>, specs: Vec<NodeSpec>) -> Observer {
        let states = specs.iter().map(|_| NodeState::unknown()).collect();
        let health = specs.iter().map(|_| Health::default()).collect();
        let groups = clusters.iter().map(|_| Group::default()).collect();
        let paused = vec![false; clusters.len()];
        let current = Arc::new(Snapshot { epoch: 0, clusters, paused, specs, states });
        Observer { current, groups, health }
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current)
    }

    /// Takes in a probe: `at` is when it was begun if it was answered, else when the failure was certain. The snapshot is
    /// a new one; its epoch has grown when a role, a node's health or its tenure has changed.
    pub fn observe(
        &mut self,
        node: NodeId,
        at: Instant,
        result: Result<Sample, Failure>,
    ) -> Arc<Snapshot> {
        let mut next = Snapshot::clone(&self.current);
        let Some(cluster) = next.spec(node).map(|spec| spec.cluster) else {
            return self.snapshot();
        };
        let index = (usize::from(node.0), usize::from(cluster.0));
        let (Some(place), Some(health), Some(group)) = (
            next.states.get_mut(index.0),
            self.health.get_mut(index.0),
            self.groups.get_mut(index.1),
        ) else {
            return self.snapshot();
        };
        let tenure = place.tenure + u64::from(health.heard(at, result.as_ref().err()));
        let resting = health.rests(at);
        if let Ok(sample) = &result {
            health.identifier = Some(sample.system_identifier);
            let all = self.current.specs.iter().zip(&self.health);
            let identifiers = all.filter(|(spec, _)| spec.cluster == cluster);
            group.identify(identifiers.filter_map(|(_, health)| health.identifier));
        }
        let how = result.as_ref().err().map(ToString::to_string);
        let state = match result {
            Ok(sample) => following(answered(group, node, at, &sample), place, &sample),
            // The role of a node that is down is not known: it may come back as anything.
            Err(_) => NodeState::unknown(),
        };
        *place = NodeState { tenure, resting, drained: place.drained, ..state };
        refuse_foreign(&mut next, cluster, group, &self.health);
        settle_primaries(&mut next, cluster, group);
        end_tenures(&mut next, &self.current);
        set_lags(&mut next, cluster, &group.marks);
        note_failover(group, cluster, &self.current, &next, node, at, how);
        self.publish(next)
    }

    /// An operator's order: no new work of a cluster goes anywhere until it is taken back.
    pub fn pause(&mut self, cluster: ClusterId, paused: bool) -> Arc<Snapshot> {
        let mut next = Snapshot::clone(&self.current);
        if let Some(place) = next.paused.get_mut(usize::from(cluster.0)) {
            *place = paused;
        }
        self.publish(next)
    }

    /// An operator's order: a node gets no new work until it is taken back.
    pub fn drain(&mut self, node: NodeId, drained: bool) -> Arc<Snapshot> {
        let mut next = Snapshot::clone(&self.current);
        if let Some(state) = next.states.get_mut(usize::from(node.0)) {
            state.drained = drained;
        }
        self.publish(next)
    }

    fn publish(&mut self, mut next: Snapshot) -> Arc<Snapshot> {
        let visible = |s: &NodeState| (s.role, s.up, s.refused, s.resting, s.drained, s.tenure);
        let same = next.states.iter().map(visible).eq(self.current.states.iter().map(visible));
        if !same || next.paused != self.current.paused {
            next.epoch += 1;
        }
        self.current = Arc::new(next);
        self.snapshot()
    }

    /// Something about a node looks wrong. True: its cluster has no primary that can be relied on, so that all its nodes
    /// are to be asked.
    pub fn doubt(&mut self, node: NodeId, at: Instant, evidence: Evidence) -> bool {
        let Some(cluster) = self.current.spec(node).map(|spec| spec.cluster) else { return false };
        let primary = self.current.primary(cluster);
        let timeline = self.current.state(node).map_or(0, |state| state.timeline);
        let Some(group) = self.groups.get_mut(usize::from(cluster.0)) else { return false };
        if primary == Some(node) {
            group.failovers.doubt((node, timeline), at, evidence);
        }
        primary.is_none() || group.failovers.open.is_some()
    }

    /// The cluster's manager says who leads, if anybody does: that counts between primaries on the same timeline.
    pub fn led_by(&mut self, cluster: ClusterId, leader: Option<NodeId>) {
        if let Some(group) = self.groups.get_mut(usize::from(cluster.0)) {
            group.leader = leader;
        }
    }

    /// Whether the cluster has no primary, or one in doubt.
    pub fn in_doubt(&self, cluster: ClusterId) -> bool {
        let group = self.groups.get(usize::from(cluster.0));
        self.current.primary(cluster).is_none()
            || group.is_some_and(|group| group.failovers.open.is_some())
    }

    /// The last failovers of a cluster, at most [`crate::MAX_FAILOVERS`] and the one that is under way.
    pub fn failovers(&self, cluster: ClusterId) -> Vec<Failover> {
        let group = self.groups.get(usize::from(cluster.0));
        let all = group.map(|group| group.failovers.kept.iter().chain(&group.failovers.open));
        all.into_iter().flatten().cloned().collect()
    }

    /// A failover that has ended since the last call.
    pub fn ended(&mut self, cluster: ClusterId) -> Option<Failover> {
        let history = &mut self.groups.get_mut(usize::from(cluster.0))?.failovers;
        let untold = std::mem::take(&mut history.untold);
        history.kept.back().filter(|_| untold).cloned()
    }
}

impl Group {
    /// Takes in the system identifiers that its nodes had when they were last seen.
    fn identify(&mut self, identifiers: impl Iterator<Item = u64>) {
        let all: Vec<u64> = identifiers.collect();
        let count = |one: u64| all.iter().filter(|other| **other == one).count();
        let known = self.identity.map_or(0, count);
        let most = |one: &u64| count(*one) > known.max(all.len() / 2);
        let Some(new) = all.iter().copied().find(most) else { return };
        if self.identity != Some(new) {
            // What was known is of another cluster.
            self.identity = Some(new);
            self.forget();
        }
    }

    /// What was known of its history does not count any more.
    fn forget(&mut self) {
        (self.newest, self.marks) = (None, Marks::default());
    }
}

/// Nodes of another cluster are not used.
fn refuse_foreign(snapshot: &mut Snapshot, cluster: ClusterId, group: &Group, health: &[Health]) {
    const FOREIGN: &str = "it belongs to another cluster (system identifier)";
    let nodes = snapshot.states.iter_mut().zip(&snapshot.specs).zip(health);
    for ((state, _), health) in nodes.filter(|((_, spec), _)| spec.cluster == cluster) {
        if state.up && health.identifier != group.identity {
            state.refused = Some(FOREIGN);
        } else if state.refused == Some(FOREIGN) {
            state.refused = None;
        }
    }
}

fn answered(group: &mut Group, node: NodeId, asked: Instant, sample: &Sample) -> NodeState {
    let foreign = group.identity != Some(sample.system_identifier);
    let gone_back = |(newest, timeline)| newest == node && sample.timeline < timeline;
    if !foreign && group.newest.is_some_and(gone_back) {
        group.forget();
    }
    if !foreign && !sample.in_recovery {
        group.marks.add(asked, sample.timeline, sample.lsn);
    }
    NodeState {
        role: if sample.in_recovery { Role::Replica } else { Role::Primary },
        up: true,
        timeline: sample.timeline,
        lsn: sample.lsn,
        lag: sample.replay_age,
        sampled: Some(asked),
        system_identifier: sample.system_identifier,
        ..NodeState::unknown()
    }
}

/// A node in the same life as when it was seen before, if it was: a standby never goes back to an older timeline, and a
/// standby that has become the primary of the next one has left its own where its recovery ended.
fn following(state: NodeState, before: &NodeState, sample: &Sample) -> NodeState {
    match (before.role, state.role) {
        _ if sample.first => state,
        (Role::Replica, Role::Replica) => {
            NodeState { timeline: state.timeline.max(before.timeline), ..state }
        }
        (Role::Replica, Role::Primary) if state.timeline == before.timeline + 1 => {
            NodeState { forked: sample.recovered, ..state }
        }
        (Role::Primary, Role::Primary) => NodeState { forked: before.forked, ..state },
        _ => state,
    }
}

/// Of two primaries the one on the higher timeline was promoted later; the other one is not written to, even when the
/// later one is away. Of two on the same timeline the one counts that the cluster's manager calls the leader, else the one
/// that was the primary before.
fn settle_primaries(snapshot: &mut Snapshot, cluster: ClusterId, group: &mut Group) {
    const OUTDATED: &str = "another primary is on a higher timeline";
    const SECOND: &str = "another primary is on the same timeline";
    let is_primary = |state: &NodeState| {
        let allowed = |reason| reason == OUTDATED || reason == SECOND;
        state.up && state.role == Role::Primary && state.refused.is_none_or(allowed)
    };
    let seen = || {
        let primaries = snapshot.nodes(cluster).filter(|(.., state)| is_primary(state));
        primaries.map(|(node, _, state)| (node, state.timeline))
    };
    let leader = group.leader;
    let rank = |one: (NodeId, u32)| (one.1, Some(one.0) == leader);
    if let Some(best) = seen().reduce(|a, b| if rank(b) > rank(a) { b } else { a }) {
        let stays = |known: &(NodeId, u32)| {
            known.1 > best.1 || (rank(*known) == rank(best) && seen().any(|one| one == *known))
        };
        group.newest = group.newest.filter(stays).or(Some(best));
    }
    let Some(newest) = group.newest else { return };
    for (index, state) in snapshot.states.iter_mut().enumerate() {
        let here = snapshot.specs.get(index).is_some_and(|spec| spec.cluster == cluster);
        if here && is_primary(state) {
            state.refused = match (NodeId(index as u16), state.timeline) {
                (_, timeline) if timeline < newest.1 => Some(OUTDATED),
                one if one != newest => Some(SECOND),
                _ => None,
            };
        }
    }
}

/// What was opened to a node before it was refused is not gone on with.
fn end_tenures(next: &mut Snapshot, current: &Snapshot) {
    for (state, before) in next.states.iter_mut().zip(&current.states) {
        if state.refused.is_some() && before.refused.is_none() {
            state.tenure += 1;
        }
    }
}

/// LSNs compare on one timeline only. A standby on another one than the primary's is at no known distance.
fn set_lags(snapshot: &mut Snapshot, cluster: ClusterId, marks: &Marks) {
    let primary = snapshot.primary(cluster).and_then(|node| snapshot.state(node)).cloned();
    let specs = &snapshot.specs;
    for (state, spec) in snapshot.states.iter_mut().zip(specs) {
        if spec.cluster != cluster || state.role != Role::Replica {
            continue;
        }
        let comparable = primary.as_ref().filter(|primary| primary.timeline == state.timeline);
        state.lag_bytes = comparable.map(|primary| primary.lsn.saturating_sub(state.lsn));
        if primary.is_some() && comparable.is_none() {
            state.lag = None;
        } else if state.lag_bytes == Some(0) {
            state.lag = Some(Duration::ZERO);
        } else if let Some(asked) = state.sampled
            && let Some(has_all_of) = marks.last_before(state.timeline, state.lsn)
        {
            // What was committed last may be old because nothing was written since.
            let behind = asked.saturating_duration_since(has_all_of);
            state.lag = Some(state.lag.map_or(behind, |age| age.min(behind)));
        }
    }
}

/// Keeps the time line of a primary that goes, and of the next one.
fn note_failover(
    group: &mut Group,
    cluster: ClusterId,
    before: &Snapshot,
    now: &Snapshot,
    node: NodeId,
    at: Instant,
    how: Option<String>,
) {
    let timeline = |snapshot: &Snapshot, node| snapshot.state(node).map_or(0, |s| s.timeline);
    let (old, new) = (before.primary(cluster), now.primary(cluster));
    if let Some(old) = old.filter(|_| old != new) {
        let refused = now.state(old).and_then(|state| state.refused).map(str::to_owned);
        let why = how.or(refused).unwrap_or_else(|| "it is a replica now".to_owned());
        group.failovers.lost((old, timeline(before, old)), at, why);
    }
    if let Some(new) = new.filter(|new| *new == node) {
        group.failovers.found(new, timeline(now, new), at);
    }
}
