use std::sync::Arc;

use howdah_wire::scram::{self, Verifier};
use howdah_wire::{md5, same};

use crate::upstream::Secret;

/// What is kept of a password.
#[derive(Debug)]
pub enum Stored {
    /// All.
    Plain(Secret),
    /// `md5` and a hash of it and the user's name.
    Md5(Secret),
    /// What SCRAM needs to check it.
    Verifier(Arc<Verifier>),
}

impl Stored {
    /// Takes what is in one of PostgreSQL's forms for a hash, and all the rest for a password.
    pub fn read(password: &Secret) -> Stored {
        Stored::hashed(password).unwrap_or_else(|| Stored::Plain(password.clone()))
    }

    /// The same for what is never a password.
    pub fn hashed(text: &Secret) -> Option<Stored> {
        if md5::is_hash(text.reveal()) {
            return Some(Stored::Md5(text.clone()));
        }
        Verifier::parse(text.reveal()).ok().map(|verifier| Stored::Verifier(Arc::new(verifier)))
    }

    /// What SCRAM needs, when that is what is kept.
    pub fn verifier(&self) -> Option<&Arc<Verifier>> {
        match self {
            Stored::Verifier(verifier) => Some(verifier),
            Stored::Plain(_) | Stored::Md5(_) => None,
        }
    }

    /// Whether a password is the one (crypt.c, `plain_crypt_verify`). What costs milliseconds is done on another thread.
    pub(crate) async fn fits(&self, user: &str, password: &Secret) -> bool {
        let given = password.reveal();
        match self {
            Stored::Plain(kept) => same(kept.reveal().as_bytes(), given.as_bytes()),
            Stored::Md5(kept) => {
                let hash = md5::hash(user, given.as_bytes());
                same(kept.reveal().to_ascii_lowercase().as_bytes(), hash.as_bytes())
            }
            Stored::Verifier(verifier) => {
                let (verifier, password) = (Arc::clone(verifier), password.clone());
                let fits = move || scram::fits(&verifier, password.reveal().as_bytes());
                // It fails only when the runtime is being shut down.
                tokio::task::spawn_blocking(fits).await.unwrap_or(false)
            }
        }
    }
}
