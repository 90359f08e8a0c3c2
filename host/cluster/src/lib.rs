//! Nodes, roles, lag and catalog: an immutable snapshot made from probe results. No IO and no clock.

mod balancer;
pub mod catalog;
mod causality;
mod failover;
mod health;
mod marks;
mod observer;
mod snapshot;

pub use balancer::{Balancer, Pick};
pub use catalog::Catalog;
pub use causality::{Causality, MustHaveSeen, Token};
pub use failover::{Event, Evidence, Failover, MAX_FAILOVERS};
pub use observer::{Failure, Observer, Sample};
pub use snapshot::{ClusterId, NodeId, NodeSpec, NodeState, Snapshot};

#[cfg(test)]
mod tests;
