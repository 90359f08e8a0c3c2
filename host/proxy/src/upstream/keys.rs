use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use howdah_wire::scram::{Challenge, ClientKeys};
use lru::LruCache;
use parking_lot::Mutex;

use super::Secret;

/// Derived keys that are kept: one per role and cluster, and a role is a few hundred bytes here.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// Keys derived from passwords, so that only the first login of a role costs a PBKDF2, which takes milliseconds.
/// Shared by all threads.
#[derive(Clone)]
pub struct KeyCache {
    /// Salts are random: one stands for one role of one cluster, and one password.
    derived: Arc<Mutex<LruCache<Parameters, Derived>>>,
}

/// Salt and iterations.
type Parameters = (Vec<u8>, u32);

struct Derived {
    password: Secret,
    keys: ClientKeys,
}

impl Default for KeyCache {
    fn default() -> KeyCache {
        KeyCache { derived: Arc::new(Mutex::new(LruCache::new(MAX_KEYS))) }
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

    use howdah_wire::scram::Client;

    use super::*;

    fn challenge(salt: &str, iterations: u32) -> Challenge {
        let message = format!("r=abcd,s={salt},i={iterations}");
        Client::new("abc").challenge(message.as_bytes()).unwrap()
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
