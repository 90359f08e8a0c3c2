//! What goes wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use howdah::config::{Origin, Source};
use howdah::reload::reload;
use howdah_e2e::{Running, policy};
use howdah_pgcluster::{Cluster, Server};

use crate::comes_true;
use crate::ledger::Seen;
use crate::link::{Cut, Link};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    PrimaryRestarts,
    PrimaryReplaced,
    PrimaryFrozen,
    ReplicaKilled,
    Stalled,
    Reset,
    HalfClosed,
    CutBefore,
    CutHalfSent,
    CutHalfRead,
    CutUnanswered,
    PolicySwapped,
}

const ALL: [Fault; 12] = [
    Fault::PrimaryReplaced,
    Fault::CutUnanswered,
    Fault::PrimaryRestarts,
    Fault::CutHalfSent,
    Fault::PrimaryFrozen,
    Fault::Reset,
    Fault::ReplicaKilled,
    Fault::CutHalfRead,
    Fault::Stalled,
    Fault::HalfClosed,
    Fault::CutBefore,
    Fault::PolicySwapped,
];

impl Fault {
    /// Those whose names contain a text.
    pub(crate) fn named(text: &str) -> Vec<Fault> {
        ALL.into_iter().filter(|fault| fault.name().contains(text)).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::PrimaryRestarts => "primary killed with -9 and restarted",
            Fault::PrimaryReplaced => "primary killed with -9, a replica promoted",
            Fault::PrimaryFrozen => "primary frozen, a replica promoted, the old one thawed",
            Fault::ReplicaKilled => "replica killed with -9 and restarted",
            Fault::Stalled => "link to the primary stalled",
            Fault::Reset => "all connections to the primary reset",
            Fault::HalfClosed => "all connections to the primary half-closed",
            Fault::CutBefore => "connection cut before a message",
            Fault::CutHalfSent => "connection cut in the middle of a message",
            Fault::CutHalfRead => "connection cut in the middle of an answer",
            Fault::CutUnanswered => "connection cut before an answer",
            Fault::PolicySwapped => "the policy swapped, the configuration read again",
        }
    }

    fn cut(self) -> Option<Cut> {
        match self {
            Fault::CutBefore => Some(Cut::Before),
            Fault::CutHalfSent => Some(Cut::HalfSent),
            Fault::CutHalfRead => Some(Cut::HalfRead),
            Fault::CutUnanswered => Some(Cut::Unanswered),
            _ => None,
        }
    }
}

/// Longest wait for a replica that needs nothing but time.
const FOLLOWS: Duration = Duration::from_secs(5);

/// A cluster behind faulty links.
pub(crate) struct Stage {
    cluster: Cluster,
    links: Vec<Link>,
    /// Which server is the primary.
    primary: usize,
    /// A server that must be made anew.
    broken: Option<usize>,
    random: u64,
    /// The one that shall be the primary, for whoever is told by a manager.
    pub(crate) leader: Arc<AtomicUsize>,
    versions: u8,
    /// When a primary's successor was there.
    replaced: Vec<Instant>,
}

impl Stage {
    pub(crate) fn new(mut cluster: Cluster, seed: u64) -> Stage {
        let links = cluster.servers_mut().iter().map(|server| Link::to(server.port)).collect();
        let random = seed.wrapping_mul(2).wrapping_add(1);
        let (leader, replaced) = (Arc::default(), Vec::new());
        Stage { cluster, links, primary: 0, broken: None, random, leader, versions: 0, replaced }
    }

    /// Where the servers are, behind their links.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.links.iter().map(|link| link.port)
    }

    pub(crate) fn nodes(&self) -> Vec<String> {
        self.ports().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    pub(crate) fn primary(&mut self) -> &mut Server {
        &mut self.cluster.servers_mut()[self.primary]
    }

    /// xorshift64: good enough to choose.
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Each kind once, in the order of interest, then at random; after a moment.
    pub(crate) fn next(&mut self, kinds: &[Fault], number: u64) -> Fault {
        let moment = self.random(120);
        std::thread::sleep(Duration::from_millis(moment));
        let all = kinds.len() as u64;
        let at = if number < all { number } else { self.random(all) };
        kinds[at as usize]
    }

    /// Something goes wrong. After a promotion, how long it took from its end until clients were told of commits again.
    pub(crate) fn happens(
        &mut self,
        fault: Fault,
        seen: &Seen,
        howdah: Option<&Running>,
    ) -> Option<Duration> {
        let moment = Duration::from_millis(self.random(300));
        match fault {
            Fault::PrimaryRestarts => {
                self.primary().kill();
                std::thread::sleep(moment);
                self.primary().start().unwrap();
            }
            Fault::PrimaryReplaced => {
                seen.promotions.fetch_add(1, Ordering::SeqCst);
                self.primary().kill();
                std::thread::sleep(moment);
                return Some(self.promote(seen));
            }
            Fault::PrimaryFrozen => {
                seen.promotions.fetch_add(1, Ordering::SeqCst);
                self.primary().freeze();
                std::thread::sleep(moment);
                let old = self.primary;
                let pause = self.promote(seen);
                self.cluster.servers_mut()[old].thaw();
                return Some(pause);
            }
            Fault::ReplicaKilled => {
                let replica = self.replica();
                replica.kill();
                std::thread::sleep(moment);
                replica.start().unwrap();
            }
            Fault::Stalled => self.links[self.primary].stall(4 * moment),
            Fault::Reset => self.links[self.primary].reset(),
            Fault::HalfClosed => self.links[self.primary].half_close(),
            Fault::PolicySwapped => {
                if let Some(howdah) = howdah {
                    self.swap(howdah.directory.path());
                    let origin = Origin::File(howdah.directory.path().join("howdah.toml"));
                    reload(howdah.proxy(), &Source::of(origin));
                }
            }
            _ => {
                if let Some(cut) = fault.cut() {
                    self.links[self.primary].cut(cut);
                }
            }
        }
        None
    }

    /// The next version of the policy, which does the same.
    fn swap(&mut self, directory: &Path) {
        self.versions += 1;
        let mut bytes = std::fs::read(policy("read-write-split")).unwrap();
        bytes.extend([0, 3, 1, b'v', self.versions]);
        std::fs::write(directory.join("new"), bytes).unwrap();
        std::fs::rename(directory.join("new"), directory.join("policy.wasm")).unwrap();
    }

    fn replica(&mut self) -> &mut Server {
        let at = (self.primary + 1 + self.random(2) as usize) % 3;
        &mut self.cluster.servers_mut()[at]
    }

    /// The replica that has received most becomes the primary, and the other one follows it.
    fn promote(&mut self, seen: &Seen) -> Duration {
        let old = self.primary;
        let others = [(old + 1) % 3, (old + 2) % 3];
        let sql =
            "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn";
        let has = |at: usize, servers: &mut [Server]| -> u64 {
            servers[at].value("postgres", sql).unwrap().parse().unwrap()
        };
        let servers = self.cluster.servers_mut();
        // What a frozen primary has sent may still arrive: one that had more than its new primary could not follow that.
        for at in others {
            servers[at].query("postgres", "ALTER SYSTEM SET primary_conninfo = ''").unwrap();
            servers[at].query("postgres", "SELECT pg_reload_conf()").unwrap();
        }
        for at in others {
            let receives = "SELECT count(*) FROM pg_stat_wal_receiver";
            comes_true("a replica to receive nothing more", || {
                servers[at].value("postgres", receives).unwrap() == "0"
            });
        }
        let [new, other] = match has(others[0], servers) >= has(others[1], servers) {
            true => others,
            false => [others[1], others[0]],
        };
        self.leader.store(new, Ordering::SeqCst);
        servers[new].promote().unwrap();
        let promoted = Instant::now();
        seen.commits.mark();
        servers[other].follow(&servers[new]).unwrap();
        self.replaced.push(promoted);
        self.primary = new;
        self.broken = Some(old);
        // With synchronous replicas nothing is committed before another one follows, whatever a proxy does.
        let synchronous = servers[new].value("postgres", "SHOW synchronous_standby_names").unwrap();
        let follows = "SELECT EXISTS (SELECT FROM pg_stat_replication \
             WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum'))";
        let mut able = synchronous.is_empty().then_some(promoted);
        comes_true("commits after a promotion", || {
            let first = seen.commits.first();
            if able.is_none()
                && (first.is_some() || servers[new].value("postgres", follows).unwrap() == "t")
            {
                able = Some(Instant::now());
            }
            first.is_some()
        });
        seen.promotions.fetch_add(1, Ordering::SeqCst);
        let able = able.unwrap_or(promoted);
        seen.commits.first().map_or(Duration::ZERO, |first| first.saturating_duration_since(able))
    }

    /// What a primary acknowledged at this moment may have gone with it, if it was replaced by an asynchronous replica: it
    /// was not replaced yet.
    pub(crate) fn may_be_lost(&self, told: Instant) -> bool {
        self.replaced.iter().any(|promoted| told <= *promoted)
    }

    /// Three servers are there again, and follow one another. A replica that received more from a lost primary than the one
    /// that was promoted cannot follow that, and is made anew.
    pub(crate) fn mend(&mut self) {
        if let Some(broken) = self.broken.take() {
            self.make_anew(broken);
        }
        let give_up = Instant::now() + FOLLOWS;
        for replica in [(self.primary + 1) % 3, (self.primary + 2) % 3] {
            while !self.follows(replica) {
                if Instant::now() > give_up {
                    self.make_anew(replica);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn follows(&mut self, replica: usize) -> bool {
        // The control file of a server that was promoted a moment ago has the old timeline until its checkpoint.
        let timeline = "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 7, 2)";
        let timeline = self.primary().value("postgres", timeline).unwrap();
        let there = format!(
            "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming' AND received_tli = x'{timeline}'::int"
        );
        self.cluster.servers_mut()[replica].value("postgres", &there).is_ok_and(|n| n == "1")
    }

    fn make_anew(&mut self, broken: usize) {
        let (primary, servers) = (self.primary, self.cluster.servers_mut());
        let (left, right) = servers.split_at_mut(primary.max(broken));
        let (broken, primary) = match broken < primary {
            true => (&mut left[broken], &right[0]),
            false => (&mut right[0], &left[primary]),
        };
        broken.become_replica_of(primary).unwrap();
    }
}
