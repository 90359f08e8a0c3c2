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
        let parameters = (challenge.salt.clone(), challenge.iterations);
        if let Some(kept) = self.kept(&parameters, password) {
            return Some(kept);
        }
        let secret = password.clone();
        let derive = move || {
            let keys = ClientKeys::derive(secret.reveal().as_bytes(), &parameters.0, parameters.1);
            (parameters, keys)
        };
        // It fails only when the runtime is being shut down.
        let (parameters, keys) = tokio::task::spawn_blocking(derive).await.ok()?;
        let derived = Derived { password: password.clone(), keys: keys.clone() };
        self.derived.lock().put(parameters, derived);
        Some(keys)
    }

    fn kept(&self, parameters: &Parameters, password: &Secret) -> Option<ClientKeys> {
        let mut derived = self.derived.lock();
        let kept = derived.get(parameters).filter(|kept| kept.password == *password)?;
        Some(kept.keys.clone())
    }
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

    fn challenge(iterations: u32) -> Challenge {
        let message = format!("r=abcd,s=c2FsdA==,i={iterations}");
        Client::new("abc").challenge(message.as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn keys_are_derived_once_and_only_for_their_password() {
        let cache = KeyCache::default();
        let (old, new) = (Secret::new("old".into()), Secret::new("new".into()));
        let expected = |secret: &Secret| ClientKeys::derive(secret.reveal().as_bytes(), b"salt", 2);
        for secret in [&old, &old, &new, &old] {
            assert!(cache.keys(secret, &challenge(2)).await.unwrap() == expected(secret));
            assert!(cache.kept(&(b"salt".to_vec(), 2), secret).is_some());
        }
        assert!(cache.kept(&(b"salt".to_vec(), 2), &new).is_none());
        assert!(cache.kept(&(b"salt".to_vec(), 3), &old).is_none());
        assert_eq!(format!("{cache:?}"), "KeyCache(1 kept)");
    }

    #[tokio::test]
    async fn the_cache_is_bounded() {
        let cache = KeyCache::default();
        let secret = Secret::new("secret".into());
        let keys = ClientKeys::derive(b"secret", b"salt", 1);
        for i in 0..2 * u32::try_from(MAX_KEYS.get()).unwrap() {
            let derived = Derived { password: secret.clone(), keys: keys.clone() };
            cache.derived.lock().put((i.to_be_bytes().to_vec(), 1), derived);
        }
        cache.keys(&secret, &challenge(1)).await.unwrap();
        assert_eq!(cache.derived.lock().len(), MAX_KEYS.get());
    }
}
