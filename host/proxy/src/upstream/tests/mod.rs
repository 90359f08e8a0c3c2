#![allow(clippy::unwrap_used)]

mod certificates;
mod encrypted;
mod login;
mod other;
mod peer;
mod query;
mod verify;

use std::time::Duration;

pub(crate) use peer::Peer;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{Endpoint, Login, Secret, Target};

/// A deadline that only a test that hangs reaches.
pub(crate) fn far() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A deadline that a peer that keeps silent lets pass, and that leaves a busy machine the time for what comes
/// before the silence.
pub(crate) fn near() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

/// Runs a client against a server that takes one connection.
async fn against<T>(client: impl AsyncFnOnce(Endpoint) -> T, server: impl AsyncFnOnce(Peer)) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target { host: "127.0.0.1".into(), port }.into();
    let server = async { server(Peer::new(listener.accept().await.unwrap().0)).await };
    tokio::join!(client(target), server).0
}

pub(crate) fn login(password: Option<&str>) -> Login {
    Login {
        user: "me".into(),
        database: "db".into(),
        password: password.map(|password| Secret::new(password.into())),
        parameters: vec![("application_name".into(), "howdah".into())],
    }
}
