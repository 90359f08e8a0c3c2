//! The opening of a client connection: encryption requests, negotiation, authentication.

mod auth;
mod balancer;
mod hello;
mod known;
mod opening;
mod stored;
#[cfg(test)]
mod tests;

pub(crate) use auth::wrong_password;
pub use auth::{Authenticator, Caller, Method, Proof};
pub(crate) use balancer::behind;
pub use hello::ClientHello;
pub use known::{LoginFailure, LoginMethod, TlsSpoken};
pub(crate) use opening::{FAREWELL, send_away};
pub use opening::{Opened, open};
pub use stored::Stored;
