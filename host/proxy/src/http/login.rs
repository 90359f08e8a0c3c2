//! Who asks: users of `[admin]`, by HTTP Basic (RFC 7617).

use std::cell::RefCell;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use sha2::{Digest, Sha256};

use super::Caller;
use crate::config::{Config, Role, Secret};

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Visitor {
    /// One who has not logged in, and need not.
    Nobody,
    /// A user, and what it may do.
    User(String, Role),
}

impl Visitor {
    /// What it may do: to look it need not log in, where it is let in without.
    pub(super) fn role(&self) -> Role {
        match self {
            Visitor::Nobody => Role::View,
            Visitor::User(_, role) => *role,
        }
    }
}

/// Who has logged in on a connection, under which configuration, by the hash of what: what was checked once is not checked
/// again with each request, which would cost milliseconds.
#[derive(Default)]
pub(super) struct Proven(RefCell<Option<Login>>);

type Login = (Arc<Config>, [u8; 32], Visitor);

/// Finds out who asks. The error is that it is not who it says; it has waited for that.
pub(super) async fn visitor(
    caller: &Caller,
    headers: &HeaderMap,
    config: &Arc<Config>,
) -> Result<Visitor, ()> {
    let Some(shown) = headers.get(AUTHORIZATION) else { return Ok(Visitor::Nobody) };
    let hash: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
    if let Some((then, known, visitor)) = &*caller.proven.0.borrow()
        && Arc::ptr_eq(then, config)
        && *known == hash
    {
        return Ok(visitor.clone());
    }
    let shared = &caller.operated.shared;
    let (user, password) =
        read(shown).unwrap_or_else(|| (String::new(), Secret::new(String::new())));
    let role = config.admin.role(&user);
    // Whoever is no operator is told so as slowly as one with a wrong password.
    let password = Some(password).filter(|_| role.is_some());
    let proven = shared.access.load_full().operator(&user, password, caller.address).await;
    match (proven, role) {
        (Ok(()), Some(role)) => {
            tracing::info!(user, ?role, "an operator has logged in by HTTP");
            let visitor = Visitor::User(user, role);
            *caller.proven.0.borrow_mut() = Some((Arc::clone(config), hash, visitor.clone()));
            Ok(visitor)
        }
        (Ok(()), None) => Err(()),
        (Err(delay), _) => {
            tracing::warn!(user, address = %caller.address, "a login by HTTP failed");
            tokio::time::sleep(delay).await;
            Err(())
        }
    }
}

/// Name and password.
fn read(shown: &HeaderValue) -> Option<(String, Secret)> {
    let (scheme, encoded) = shown.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Secret::new(password.to_owned())))
}
