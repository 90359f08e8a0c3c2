use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use howdah_wire::scram::{Challenge, ClientKeys};
use lru::LruCache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Login, Secret};
use crate::frontend::Proof;

/// Proofs of clients that are kept, each a few hundred bytes: one per user and database.
const MAX_PROOFS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Derived keys that are kept: one per role and cluster, and a role is a few hundred bytes here.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// Keys derived from passwords, so that only the first login of a role costs a PBKDF2, which takes milliseconds.
/// Shared by all threads.
#[derive(Clone)]
pub struct KeyCache {
    /// Salts are random: one stands for one role of one cluster, and one password.
    derived: Arc<Mutex<LruCache<Parameters, Derived>>>,
    /// What clients have proven, by user and database.
    proven: Arc<Mutex<LruCache<(String, String), Proven>>>,
}

/// What a client has shown last when it proved who it is.
enum Proven {
    /// Keys, and of which verifier.
    Keys(Parameters, ClientKeys),
    /// The password, or its MD5 hash.
    Password(Secret),
}

/// What a client has shown, for another process.
#[derive(Deserialize, Serialize)]
pub(crate) struct Shown {
    user: String,
    database: String,
    what: ShownAs,
}

#[derive(Deserialize, Serialize)]
enum ShownAs {
    Keys { salt: Vec<u8>, iterations: u32, client_key: [u8; 32], server_key: [u8; 32] },
    Password(String),
}

/// Salt and iterations.
type Parameters = (Vec<u8>, u32);

struct Derived {
    password: Secret,
    keys: ClientKeys,
}

impl Default for KeyCache {
    fn default() -> KeyCache {
        KeyCache {
            derived: Arc::new(Mutex::new(LruCache::new(MAX_KEYS))),
            proven: Arc::new(Mutex::new(LruCache::new(MAX_PROOFS))),
        }
    }
}

impl KeyCache {
    /// The keys of this password for this challenge. New ones are derived on a thread of their own: a hostile
    /// server may choose the number of iterations up to a limit, and nobody else must wait for that.
    pub(super) async fn keys(
        &self,
        password: &Secret,
        challenge: &Challenge,
    ) -> Option<ClientKeys> {
        if let Some(kept) = self.kept(password, challenge) {
            return Some(kept);
        }
        let (salt, iterations) = (challenge.salt.clone(), challenge.iterations);
        let secret = password.clone();
        let derive = move || ClientKeys::derive(secret.reveal().as_bytes(), &salt, iterations);
        // It fails only when the runtime is being shut down.
        tokio::task::spawn_blocking(derive).await.ok()
    }

    /// Keeps what a client has shown, for logins under its name for which no password is configured.
    pub(crate) fn pass_on(&self, user: &str, database: &str, proof: Proof) {
        let proven = match proof {
            Proof::Scram(verifier, keys) => {
                let (salt, iterations) = verifier.parameters();
                Proven::Keys((salt.to_vec(), iterations), keys)
            }
            Proof::Password(password) => Proven::Password(password),
        };
        self.proven.lock().put((user.to_owned(), database.to_owned()), proven);
    }

    /// All that clients have shown, what was used last at the end.
    pub(crate) fn all_shown(&self) -> Vec<Shown> {
        let proven = self.proven.lock();
        let shown = |((user, database), proven): (&(String, String), &Proven)| {
            let what = match proven {
                Proven::Keys((salt, iterations), keys) => {
                    let (client_key, server_key) = keys.reveal();
                    let salt = salt.clone();
                    ShownAs::Keys { salt, iterations: *iterations, client_key, server_key }
                }
                Proven::Password(password) => ShownAs::Password(password.reveal().to_owned()),
            };
            Shown { user: user.clone(), database: database.clone(), what }
        };
        proven.iter().rev().map(shown).collect()
    }

    /// Takes that from another process.
    pub(crate) fn learn(&self, all: Vec<Shown>) {
        let mut known = self.proven.lock();
        for Shown { user, database, what } in all {
            let proven = match what {
                ShownAs::Keys { salt, iterations, client_key, server_key } => {
                    Proven::Keys((salt, iterations), ClientKeys::revealed(client_key, server_key))
                }
                ShownAs::Password(password) => Proven::Password(Secret::new(password)),
            };
            known.put((user, database), proven);
        }
    }

    /// Whether a client has shown anything.
    pub(super) fn has_proof(&self, login: &Login) -> bool {
        self.proven.lock().contains(&of(login))
    }

    /// The keys that a client has shown for this challenge, which a server makes that has the same verifier.
    pub(super) fn shown(&self, login: &Login, challenge: &Challenge) -> Option<ClientKeys> {
        match self.proven.lock().get(&of(login))? {
            Proven::Keys(of, keys) if *of == parameters(challenge) => Some(keys.clone()),
            Proven::Keys(..) | Proven::Password(_) => None,
        }
    }

    /// The password that a client has told, or the hash of it that it has shown to know.
    pub(super) fn told(&self, login: &Login) -> Option<Secret> {
        match self.proven.lock().get(&of(login))? {
            Proven::Password(password) => Some(password.clone()),
            Proven::Keys(..) => None,
        }
    }

    /// Keeps keys that a server has accepted.
    pub(super) fn keep(&self, password: &Secret, challenge: &Challenge, keys: ClientKeys) {
        let derived = Derived { password: password.clone(), keys };
        self.derived.lock().put(parameters(challenge), derived);
    }

    fn kept(&self, password: &Secret, challenge: &Challenge) -> Option<ClientKeys> {
        let mut derived = self.derived.lock();
        let kept = derived.get(&parameters(challenge)).filter(|kept| kept.password == *password)?;
        Some(kept.keys.clone())
    }
}

fn of(login: &Login) -> (String, String) {
    (login.user.clone(), login.database.clone())
}

fn parameters(challenge: &Challenge) -> Parameters {
    (challenge.salt.clone(), challenge.iterations)
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache({} kept)", self.derived.lock().len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use howdah_wire::scram::{Binding, Client};

    use super::*;

    fn challenge(salt: &str, iterations: u32) -> Challenge {
        let message = format!("r=abcd,s={salt},i={iterations}");
        Client::new("abc", Binding::Impossible).challenge(message.as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn keys_are_kept_for_their_password_and_challenge_alone() {
        let cache = KeyCache::default();
        let (old, new) = (Secret::new("old".into()), Secret::new("new".into()));
        let asked = challenge("c2FsdA==", 2);
        let expected = ClientKeys::derive(b"old", b"salt", 2);
        assert!(cache.keys(&old, &asked).await.unwrap() == expected);
        assert!(cache.kept(&old, &asked).is_none(), "nobody has accepted them");
        cache.keep(&old, &asked, expected.clone());
        assert!(cache.kept(&old, &asked).unwrap() == expected);
        assert!(cache.kept(&new, &asked).is_none());
        assert!(cache.kept(&old, &challenge("c2FsdA==", 3)).is_none());
        assert!(cache.kept(&old, &challenge("cGVwcGVy", 2)).is_none());
        let other = ClientKeys::derive(b"new", b"salt", 2);
        assert!(cache.keys(&new, &asked).await.unwrap() == other);
        cache.keep(&new, &asked, other);
        assert!(cache.kept(&old, &asked).is_none(), "a password has been changed");
        assert_eq!(format!("{cache:?}"), "KeyCache(1 kept)");
    }

    #[test]
    fn another_process_knows_what_clients_have_shown() {
        let (here, there) = (KeyCache::default(), KeyCache::default());
        let keys = ClientKeys::derive(b"secret", b"salt", 2);
        let verifier = howdah_wire::scram::Verifier::derive(b"secret", b"salt", 2);
        here.pass_on("app", "shop", Proof::Scram(Arc::new(verifier), keys.clone()));
        here.pass_on("bob", "shop", Proof::Password(Secret::new("in clear".into())));
        let text = serde_json::to_string(&here.all_shown()).unwrap();
        there.learn(serde_json::from_str(&text).unwrap());
        let login = |user: &str| {
            let (user, database) = (user.to_owned(), "shop".to_owned());
            Login { user, database, password: None, parameters: Vec::new() }
        };
        assert!(there.shown(&login("app"), &challenge("c2FsdA==", 2)).unwrap() == keys);
        assert_eq!(there.told(&login("bob")).unwrap().reveal(), "in clear");
        assert_eq!(
            there.all_shown().last().unwrap().user,
            "bob",
            "what was used last is kept longest"
        );
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = KeyCache::default();
        let keys = ClientKeys::derive(b"secret", b"salt", 1);
        for iterations in 1..=2 * u32::try_from(MAX_KEYS.get()).unwrap() {
            let asked = challenge("c2FsdA==", iterations);
            cache.keep(&Secret::new("secret".into()), &asked, keys.clone());
        }
        assert_eq!(cache.derived.lock().len(), MAX_KEYS.get());
    }
}
