//! How many clients there are of each kind, how fast they come, and who keeps trying passwords.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_wire::backend::ErrorReport;
use parking_lot::Mutex;

use crate::config::Config;

/// So often is the delay of an answer to a wrong password doubled.
const MAX_DOUBLINGS: u32 = 6;
/// An address that has sent no wrong password for so long is as good as any other.
const FORGIVEN: Duration = Duration::from_secs(60);
/// Addresses without a client that are remembered; beyond that those are forgotten that nothing is held against.
const MAX_IDLE: usize = 10_000;

/// Clients by address, user and database. Shared by all threads; touched once when a client comes, and once when it goes.
#[derive(Default)]
pub(crate) struct Crowd {
    addresses: Mutex<HashMap<IpAddr, Address>>,
    users: Mutex<HashMap<String, usize>>,
    databases: Mutex<HashMap<String, usize>>,
}

/// What is known of an address.
struct Address {
    clients: usize,
    /// Connections that it may make at once, as of `at`.
    credit: f64,
    at: Instant,
    /// Wrong passwords, and when the last one came.
    failures: Option<(u32, Instant)>,
}

/// One more client of an address. It goes when this is dropped.
pub(crate) struct Caller(Option<(Arc<Crowd>, IpAddr)>);

/// One more client of a user, in a database. It goes when this is dropped.
pub(crate) struct Member(Arc<Crowd>, String, String);

impl Crowd {
    /// A client of an address comes; of a Unix socket there may be as many as there is room for.
    ///
    /// # Errors
    /// There are too many of that address, or they come too fast.
    pub(crate) fn call(
        self: &Arc<Crowd>,
        address: Option<IpAddr>,
        config: &Config,
    ) -> Result<Caller, ErrorReport> {
        let Some(address) = address.map(|address| address.to_canonical()) else {
            return Ok(Caller(None));
        };
        let limits = &config.limits;
        let (now, most) = (Instant::now(), limits.connections_per_second_per_address);
        let mut addresses = self.addresses.lock();
        let known = known(&mut addresses, address, config, now);
        if let Some(most) = limits.max_clients_per_address
            && known.clients >= most
        {
            return Err(ErrorReport::fatal(b"53300", "too many connections from this address")
                .detail(&format!("The proxy takes {most} from each."))
                .hint("Raise limits.max_clients_per_address."));
        }
        if let Some(most) = most
            && !known.pay(now, f64::from(most))
        {
            let message = "connections come too fast from this address";
            return Err(ErrorReport::fatal(b"53300", message)
                .detail(&format!("The proxy takes {most} per second from each."))
                .hint("Use a pool of connections, or raise limits.connections_per_second_per_address."));
        }
        known.clients += 1;
        Ok(Caller(Some((Arc::clone(self), address))))
    }

    /// A client of an address comes from another process, where it has been let in.
    pub(crate) fn comes(self: &Arc<Crowd>, address: Option<IpAddr>) -> Caller {
        let Some(address) = address.map(|address| address.to_canonical()) else {
            return Caller(None);
        };
        self.addresses.lock().entry(address).or_insert_with(Address::unknown).clients += 1;
        Caller(Some((Arc::clone(self), address)))
    }

    /// A client that has proven who it is comes in.
    ///
    /// # Errors
    /// There are too many of that user, or in that database.
    pub(crate) fn join(
        self: &Arc<Crowd>,
        user: &str,
        database: &str,
        config: &Config,
    ) -> Result<Member, ErrorReport> {
        let of_user = config.users.get(user).and_then(|user| user.max_clients);
        let of_database = config.databases.get(database).and_then(|database| database.max_clients);
        let full = |what: &str, name: &str, most: Option<usize>| {
            let message = format!("too many connections for {what} \"{name}\"");
            let detail = format!("The proxy takes {} of them.", most.unwrap_or_default());
            ErrorReport::fatal(b"53300", &message).detail(&detail)
        };
        if !enter(&mut self.users.lock(), user, of_user) {
            return Err(full("role", user, of_user).hint("Raise max_clients of the user."));
        }
        if !enter(&mut self.databases.lock(), database, of_database) {
            leave(&mut self.users.lock(), user);
            return Err(
                full("database", database, of_database).hint("Raise max_clients of the database.")
            );
        }
        Ok(Member(Arc::clone(self), user.to_owned(), database.to_owned()))
    }

    /// A wrong password has come from an address: how long it waits for the answer.
    pub(crate) fn failed(&self, address: Option<IpAddr>, config: &Config) -> Duration {
        let first = config.limits.failed_login_delay;
        let Some(address) = address.map(|address| address.to_canonical()) else { return first };
        let now = Instant::now();
        let mut addresses = self.addresses.lock();
        let known = known(&mut addresses, address, config, now);
        let before = known.failures.filter(|_| known.is_blamed(now)).map_or(0, |(count, _)| count);
        known.failures = Some((before.saturating_add(1), now));
        first * 2u32.pow(before.min(MAX_DOUBLINGS))
    }
}

/// What is known of an address; nothing, at first.
fn known<'a>(
    addresses: &'a mut HashMap<IpAddr, Address>,
    address: IpAddr,
    config: &Config,
    now: Instant,
) -> &'a mut Address {
    let limits = &config.limits;
    if addresses.len() > MAX_IDLE + limits.max_clients {
        addresses.retain(|_, known| known.clients > 0 || known.is_blamed(now));
    }
    addresses.entry(address).or_insert_with(Address::unknown)
}

impl Address {
    /// It has as much credit as there can be from the first payment on.
    fn unknown() -> Address {
        Address { clients: 0, credit: f64::INFINITY, at: Instant::now(), failures: None }
    }

    fn is_blamed(&self, now: Instant) -> bool {
        self.failures.is_some_and(|(_, last)| now.duration_since(last) < FORGIVEN)
    }

    /// Takes one connection off the credit, which grows by `most` each second, and to no more than that.
    fn pay(&mut self, now: Instant, most: f64) -> bool {
        let earned = now.duration_since(self.at).as_secs_f64() * most;
        self.credit = (self.credit + earned).min(most);
        self.at = now;
        let can = self.credit >= 1.0;
        self.credit -= if can { 1.0 } else { 0.0 };
        can
    }
}

/// False: there are as many as there may be.
fn enter(counts: &mut HashMap<String, usize>, name: &str, most: Option<usize>) -> bool {
    let count = counts.get(name).copied().unwrap_or_default();
    if most.is_some_and(|most| count >= most) {
        return false;
    }
    counts.insert(name.to_owned(), count + 1);
    true
}

fn leave<K: Eq + Hash + ?Sized>(counts: &mut HashMap<String, usize>, name: &K)
where
    String: std::borrow::Borrow<K>,
{
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let Some((crowd, address)) = &self.0 else { return };
        if let Some(known) = crowd.addresses.lock().get_mut(address) {
            known.clients -= 1;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        leave(&mut self.0.users.lock(), self.1.as_str());
        leave(&mut self.0.databases.lock(), self.2.as_str());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn config(limits: &str) -> Config {
        let text = format!("{limits}\n[cluster.main]\nnodes = [\"a\"]\n");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("howdah.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file).unwrap()
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn an_address_has_so_many_clients_and_no_more() {
        let (crowd, config) =
            (Arc::<Crowd>::default(), config("[limits]\nmax_clients_per_address = 2"));
        let both =
            [crowd.call(address(1), &config).unwrap(), crowd.call(address(1), &config).unwrap()];
        let refused = crowd.call(address(1), &config).err().unwrap();
        assert_eq!(refused.sqlstate(), b"53300");
        let mapped = Some("::ffff:10.0.0.1".parse().unwrap());
        assert!(crowd.call(mapped, &config).is_err(), "it is the same address");
        crowd.call(address(2), &config).unwrap();
        crowd.call(None, &config).unwrap();
        drop(both);
        crowd.call(address(1), &config).unwrap();
    }

    #[test]
    fn who_comes_from_another_process_counts_but_is_not_refused() {
        let (crowd, config) = (
            Arc::<Crowd>::default(),
            config("[limits]\nmax_clients_per_address = 2\nconnections_per_second_per_address = 2"),
        );
        let three = [(); 3].map(|()| crowd.comes(address(1)));
        assert!(crowd.call(address(1), &config).is_err());
        drop(three);
        crowd.call(address(1), &config).unwrap();
    }

    #[test]
    fn an_address_that_comes_too_fast_waits() {
        let mut known = Address { clients: 0, credit: 2.0, at: Instant::now(), failures: None };
        let now = known.at;
        assert!(known.pay(now, 2.0) && known.pay(now, 2.0));
        assert!(!known.pay(now, 2.0));
        let soon = now + Duration::from_millis(600);
        assert!(known.pay(soon, 2.0) && !known.pay(soon, 2.0));
        let late = now + FORGIVEN;
        assert!(known.pay(late, 2.0) && known.pay(late, 2.0) && !known.pay(late, 2.0));
    }

    #[test]
    fn users_and_databases_have_limits() {
        let crowd = Arc::<Crowd>::default();
        let limits =
            "[user.app]\npassword = \"x\"\nmax_clients = 1\n[database.shop]\nmax_clients = 1";
        let config = config(limits);
        let one = crowd.join("app", "other", &config).unwrap();
        let refused = crowd.join("app", "shop", &config).err().unwrap();
        assert_eq!(refused.message(), "too many connections for role \"app\"");
        let two = crowd.join("bob", "shop", &config).unwrap();
        let refused = crowd.join("eve", "shop", &config).err().unwrap();
        assert_eq!(refused.message(), "too many connections for database \"shop\"");
        drop((one, two));
        crowd.join("app", "shop", &config).unwrap();
        assert!(crowd.users.lock().is_empty() && crowd.databases.lock().is_empty());
    }

    #[test]
    fn wrong_passwords_are_answered_ever_more_slowly() {
        let (crowd, config) = (Arc::<Crowd>::default(), config(""));
        let _guest = crowd.call(address(1), &config).unwrap();
        let delays: Vec<u128> =
            (0..9).map(|_| crowd.failed(address(1), &config).as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1600, 3200, 3200, 3200]);
        // Operators are not counted, and yet told apart.
        assert_eq!(crowd.failed(address(2), &config).as_millis(), 50);
        assert_eq!(crowd.failed(address(2), &config).as_millis(), 100);
    }
}
