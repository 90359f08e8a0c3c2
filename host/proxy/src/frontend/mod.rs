//! The opening of a client connection: encryption requests, negotiation, authentication.

mod auth;
mod hello;
mod opening;
#[cfg(test)]
mod tests;

pub use auth::{Authenticator, Caller, Method};
pub use hello::ClientHello;
pub(crate) use opening::FAREWELL;
pub use opening::{Opened, open};
