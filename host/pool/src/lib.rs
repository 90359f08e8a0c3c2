//! Leases of server connections, shared by the worker threads.
//!
//! Idle connections lie in shards, one per worker, because a socket is known to the reactor of one thread.
//! While connections are to be had, a worker touches only its own shard. When a pool is exhausted, clients
//! wait in one queue: those of a higher priority first, else first come, first served. A connection that has to be cleared
//! before it goes to another user ([`Clearance`]) may be had by its last one meanwhile, for a while even if others wait. Who
//! comes anew takes one that nobody seems to use before another's own.
//!
//! **Invariant:** open connections and permits never exceed the size; a connection that is dropped without
//! [`Lease::release`] is closed and never lent again.

mod lease;
mod pool;
mod queue;

pub use lease::{Grant, Lease, Permit};
pub use pool::{AcquireError, Clearance, Limits, Patience, Pool, Stats, Worn};

#[cfg(test)]
mod tests;
