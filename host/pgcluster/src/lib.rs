//! Throw-away PostgreSQL clusters: a primary and its streaming replicas in a temporary directory.
//! For the demo and the tests; nothing here is safe for data.
//!
//! **Invariant:** the servers end and the directory goes when the [`Cluster`] is dropped, and also when this
//! process is killed.

mod client;
mod cluster;
mod installation;
mod managed;
mod server;
mod user;

pub use client::Rows;
pub use cluster::{Auth, Cluster, Options};
pub use installation::Installation;
pub use managed::Managed;
pub use server::Server;

#[cfg(test)]
mod tests;
