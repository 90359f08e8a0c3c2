#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::pool::{RESTED, TURN};
use crate::{AcquireError, Clearance, Grant, Lease, Limits, Patience, Pool, Worn};

const USUAL: Patience = Patience { priority: 0, at_most: None, since: None };

fn limits(size: usize) -> Limits {
    Limits {
        size,
        wait_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(600),
        lifetime: Duration::from_secs(3600),
        max_waiting: 1000,
    }
}

fn filled(grant: Grant<u32>, fresh: u32, worker: usize) -> Lease<u32> {
    match grant {
        Grant::Conn(lease) => lease,
        Grant::Connect(permit) => permit.fill(fresh, worker),
    }
}

#[tokio::test]
async fn a_released_connection_is_lent_again_last_used_first() {
    let pool = Pool::new(limits(2), 1, |_, _| (), Arc::new(()));
    let a = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
    let b = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 2, 0);
    assert!(pool.try_acquire(0, 0).is_none());
    a.release(0);
    b.release(0);
    let again = filled(pool.try_acquire(0, 0).unwrap(), 9, 0);
    assert_eq!((*again, pool.stats().open), (2, 2));
}

#[tokio::test]
async fn who_is_new_takes_no_connection_that_has_just_been_used_if_there_is_another() {
    let pool = Pool::new(limits(3), 2, |_, _| (), Arc::new(()));
    let lent: Vec<_> =
        (1..4).map(|n| filled(pool.try_acquire(0, n.into()).unwrap(), n, 0)).collect();
    lent.into_iter().for_each(|lease| lease.release(0));
    // All are in use.
    let first = filled(pool.try_acquire(0, 9).unwrap(), 0, 0);
    assert_eq!(*first, 1);
    tokio::time::sleep(RESTED).await;
    filled(pool.try_acquire(0, 3).unwrap(), 0, 0).release(0);
    // Also on another worker.
    let second = filled(pool.try_acquire(1, 9).unwrap(), 0, 1);
    assert_eq!(*second, 2);
    assert_eq!(*filled(pool.try_acquire(0, 9).unwrap(), 0, 0), 3);
}

#[tokio::test]
async fn a_dropped_lease_is_closed_and_its_permit_goes_on() {
    let pool = Pool::new(limits(1), 1, |_, _| (), Arc::new(()));
    let lease = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { matches!(pool.acquire(0, 0, USUAL).await, Ok(Grant::Connect(_))) }
    });
    while pool.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    drop(lease);
    assert!(waiting.await.unwrap());
    assert_eq!(pool.stats().open, 0);
}

#[tokio::test]
async fn clients_are_served_in_the_order_of_their_coming() {
    let pool = Pool::new(limits(1), 1, |_, _| (), Arc::new(()));
    let lease = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for i in 0..5 {
        let (pool, seen, order) = (pool.clone(), pool.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let lease = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
            order.lock().push(i);
            lease.release(0);
        }));
        while seen.stats().waiting <= i {
            tokio::task::yield_now().await;
        }
    }
    assert!(pool.try_acquire(0, 0).is_none(), "a newcomer overtook");
    lease.release(0);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_higher_priority_goes_first_and_who_leaves_is_forgotten() {
    let pool = Pool::new(limits(1), 2, |_, _| (), Arc::new(()));
    let lease = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (i, priority) in [(0, 0), (1, -5), (2, 7), (3, 0), (4, 7), (5, 7)] {
        let (pool, seen, order) = (pool.clone(), pool.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let patience = Patience { priority, ..USUAL };
            let lease = filled(pool.acquire(i % 2, 0, patience).await.unwrap(), 1, 0);
            order.lock().push(i);
            lease.release(0);
        }));
        while seen.stats().waiting <= i {
            tokio::task::yield_now().await;
        }
    }
    tasks.remove(4).abort();
    while pool.stats().waiting > 5 {
        tokio::task::yield_now().await;
    }
    lease.release(0);
    for task in tasks {
        task.await.unwrap();
    }
    // Of the same priority, clients of the connection's own worker may go first.
    let mut order = order.lock().clone();
    order[..2].sort();
    order[2..4].sort();
    assert_eq!(order, [2, 5, 0, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_wait_longer_or_less_long_than_the_others() {
    let pool = Pool::new(limits(1), 1, |_, _| (), Arc::new(()));
    let _lease = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
    for at_most in [Duration::from_secs(1), Duration::from_secs(100)] {
        let began = tokio::time::Instant::now();
        let patience = Patience { at_most: Some(at_most), ..USUAL };
        assert_eq!(pool.acquire(0, 0, patience).await.unwrap_err(), AcquireError::Timeout);
        assert_eq!(began.elapsed().as_secs(), at_most.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_and_swallows_nothing() {
    let pool = Pool::new(Limits { max_waiting: 1, ..limits(1) }, 1, |_, _| (), Arc::new(()));
    let lease = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
    let wait = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(0, 0, USUAL).await.map(|_| ()) }
    });
    while pool.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.acquire(0, 0, USUAL).await.map(|_| ()).unwrap_err(), AcquireError::QueueFull);
    assert_eq!(wait.await.unwrap(), Err(AcquireError::Timeout));
    lease.release(0);
    assert!(matches!(pool.try_acquire(0, 0), Some(Grant::Conn(_))));
}

#[tokio::test]
async fn connections_of_other_workers_are_taken_before_anyone_waits() {
    let pool = Pool::new(limits(1), 2, |_, _| (), Arc::new(()));
    filled(pool.acquire(0, 0, USUAL).await.unwrap(), 7, 0).release(0);
    let Some(Grant::Conn(lease)) = pool.try_acquire(1, 0) else { panic!("nothing was taken") };
    assert_eq!((lease.home(), *lease), (0, 7));
    let mark = |conn: &mut u32| {
        *conn += 1;
        Ok::<_, ()>(())
    };
    let lease = lease.rehome(1, mark).unwrap();
    assert_eq!((lease.home(), *lease), (1, 8));
}

#[tokio::test]
async fn sweeping_and_reconnecting_close_idle_connections() {
    let pool = Pool::new(limits(3), 1, |_, _| (), Arc::new(()));
    let leases: Vec<_> =
        [1, 2, 3].map(|i| filled(pool.try_acquire(0, 0).unwrap(), i, 0)).into_iter().collect();
    leases.into_iter().for_each(|lease| lease.release(0));
    pool.sweep(0, |conn| *conn != 2);
    assert_eq!((pool.stats().open, pool.stats().idle), (2, 2));
    let lease = filled(pool.try_acquire(0, 0).unwrap(), 9, 0);
    pool.reconnect();
    pool.sweep(0, |_| true);
    lease.release(0);
    assert_eq!((pool.stats().open, pool.stats().idle), (0, 0));
}

#[tokio::test]
async fn a_smaller_size_shrinks_the_pool_as_connections_come_back() {
    let pool = Pool::new(limits(2), 1, |_, _| (), Arc::new(()));
    let a = filled(pool.try_acquire(0, 0).unwrap(), 1, 0);
    let b = filled(pool.try_acquire(0, 0).unwrap(), 2, 0);
    pool.set_limits(limits(1));
    a.release(0);
    b.release(0);
    assert_eq!((pool.stats().open, pool.stats().idle), (1, 1));
}

/// Clients of several threads take, hold, drop, time out and go away at random; a connection is never with
/// two of them, never more than the size are open, and everybody is served.
#[test]
fn many_threads() {
    const SIZE: usize = 3;
    let pool = Pool::<u32>::new(
        Limits { wait_timeout: Duration::from_secs(60), ..limits(SIZE) },
        4,
        |_, _| (),
        Arc::new(()),
    );
    let held = Arc::new(parking_lot::Mutex::new(HashSet::new()));
    let names = Arc::new(AtomicUsize::new(0));
    let served = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..4_usize {
            let (pool, held, names, served) =
                (pool.clone(), Arc::clone(&held), Arc::clone(&names), Arc::clone(&served));
            scope.spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async move {
                    let mut tasks = Vec::new();
                    for client in 0..50_u32 {
                        let (pool, held, names, served) = (
                            pool.clone(),
                            Arc::clone(&held),
                            Arc::clone(&names),
                            Arc::clone(&served),
                        );
                        tasks.push(tokio::task::spawn_local(async move {
                            for round in 0..20_u32 {
                                if (client + round) % 7 == 0 {
                                    // A client that gives up at once.
                                    let _ = tokio::time::timeout(
                                        Duration::ZERO,
                                        pool.acquire(worker, 0, USUAL),
                                    )
                                    .await;
                                    continue;
                                }
                                let grant = pool.acquire(worker, 0, USUAL).await.unwrap();
                                let name = names.fetch_add(1, Ordering::SeqCst) as u32;
                                let lease = filled(grant, name, worker);
                                assert!(held.lock().insert(*lease), "lent twice");
                                assert!(held.lock().len() <= SIZE);
                                tokio::task::yield_now().await;
                                held.lock().remove(&*lease);
                                served.fetch_add(1, Ordering::SeqCst);
                                if (client * round) % 11 == 0 {
                                    drop(lease)
                                } else {
                                    lease.release(0)
                                }
                            }
                        }));
                    }
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.open), (0, stats.idle));
    assert!(stats.open <= SIZE);
    assert!(served.load(Ordering::SeqCst) > 3000);
}

#[tokio::test]
async fn who_waited_elsewhere_before_keeps_its_place() {
    let pool = Pool::new(limits(1), 1, |_, _| (), Arc::new(()));
    let lease = filled(pool.acquire(0, 0, USUAL).await.unwrap(), 1, 0);
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let now = std::time::Instant::now();
    let mut tasks = Vec::new();
    for (i, seconds) in [(0, 1), (1, 3), (2, 2)] {
        let (pool, seen, order) = (pool.clone(), pool.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let since = now.checked_sub(Duration::from_secs(seconds));
            let lease =
                filled(pool.acquire(0, 0, Patience { since, ..USUAL }).await.unwrap(), 1, 0);
            order.lock().push(i);
            lease.release(0);
        }));
        while seen.stats().waiting <= i {
            tokio::task::yield_now().await;
        }
    }
    lease.release(0);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), [1, 2, 0]);
}

/// What a connection was told before it was closed.
type Told = Arc<parking_lot::Mutex<Vec<Worn>>>;

#[test]
fn a_connection_is_told_why_the_pool_closes_it() {
    let told = |limits: Limits, end: fn(&Pool<Told>, Lease<Told>)| {
        let pool =
            Pool::new(limits, 1, |told: &mut Told, worn| told.lock().push(worn), Arc::new(()));
        let told = Told::default();
        let Some(Grant::Connect(permit)) = pool.try_acquire(0, 0) else { panic!("no permit") };
        end(&pool, permit.fill(Arc::clone(&told), 0));
        let told = told.lock().clone();
        (told, pool.stats().open)
    };
    let none = Duration::ZERO;
    let swept = |pool: &Pool<Told>, lease: Lease<Told>| {
        lease.release(0);
        pool.sweep(0, |_| true);
    };
    assert_eq!(told(Limits { idle_timeout: none, ..limits(1) }, swept), (vec![Worn::Idle], 0));
    let released = |_: &Pool<Told>, lease: Lease<Told>| lease.release(0);
    assert_eq!(told(Limits { lifetime: none, ..limits(1) }, released), (vec![Worn::Old], 0));
    let renewed = |pool: &Pool<Told>, lease: Lease<Told>| {
        lease.release(0);
        pool.reconnect();
        pool.sweep(0, |_| true);
    };
    assert_eq!(told(limits(1), renewed), (vec![Worn::Surplus], 0));
    let shrunk = |pool: &Pool<Told>, lease: Lease<Told>| {
        pool.set_limits(limits(0));
        lease.release(0);
    };
    assert_eq!(told(limits(1), shrunk), (vec![Worn::Surplus], 0));
    let closed = |pool: &Pool<Told>, lease: Lease<Told>| {
        lease.release(0);
        pool.close();
    };
    assert_eq!(told(limits(1), closed), (vec![Worn::Surplus], 0));
    // Whoever has it says itself why it is dropped.
    assert_eq!(told(limits(1), |_, lease| drop(lease)), (vec![], 0));
    assert_eq!(told(limits(1), swept), (vec![], 1));
}

/// Clears what it is told to.
#[derive(Default)]
struct Gate {
    cleared: AtomicU64,
    promised: AtomicU64,
    hurried: AtomicUsize,
}

impl Clearance for Gate {
    fn cleared(&self) -> u64 {
        self.cleared.load(Ordering::SeqCst)
    }

    fn promised(&self) -> u64 {
        self.promised.load(Ordering::SeqCst)
    }

    fn hurry(&self) {
        self.hurried.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_connection_that_is_not_cleared_is_its_last_users() {
    let gate = Arc::new(Gate::default());
    let pool = Pool::new(limits(2), 1, |_, _| (), Arc::clone(&gate) as _);
    filled(pool.try_acquire(0, 7).unwrap(), 1, 0).release(1);
    assert!(pool.try_acquire(0, 8).is_none(), "it was lent, or another opened");
    let own = filled(pool.try_acquire(0, 7).unwrap(), 9, 0);
    assert_eq!(*own, 1);
    own.release(2);
    gate.cleared.store(1, Ordering::SeqCst);
    assert!(pool.try_acquire(0, 8).is_none(), "an earlier number counts");
    gate.cleared.store(2, Ordering::SeqCst);
    assert_eq!(*filled(pool.try_acquire(0, 8).unwrap(), 9, 0), 1);
}

#[tokio::test]
async fn who_waits_gets_a_connection_when_it_is_cleared() {
    let gate = Arc::new(Gate::default());
    let pool = Pool::new(limits(1), 1, |_, _| (), Arc::clone(&gate) as _);
    let bell = pool.bell();
    tokio::spawn({
        let pool = pool.clone();
        async move { pool.serve(0).await }
    });
    let lease = filled(pool.try_acquire(0, 7).unwrap(), 1, 0);
    let waits = tokio::spawn({
        let pool = pool.clone();
        async move { *filled(pool.acquire(0, 8, USUAL).await.unwrap(), 9, 0) }
    });
    while pool.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    lease.release(1);
    assert!(gate.hurried.load(Ordering::SeqCst) > 0);
    bell();
    tokio::task::yield_now().await;
    assert_eq!(pool.stats().waiting, 1, "it was given before it was cleared");
    // Its last user may go on for a while.
    filled(pool.try_acquire(0, 7).unwrap(), 9, 0).release(1);
    tokio::time::sleep(TURN).await;
    filled(pool.try_acquire(0, 7).unwrap(), 9, 0).release(1);
    filled(pool.try_acquire(0, 7).unwrap(), 9, 0).release(1);
    gate.promised.store(1, Ordering::SeqCst);
    assert!(
        pool.try_acquire(0, 7).is_none(),
        "it is promised to one who has waited for long enough"
    );
    gate.cleared.store(1, Ordering::SeqCst);
    bell();
    assert_eq!(waits.await.unwrap(), 1);
}

#[tokio::test]
async fn more_are_opened_when_more_wait_than_will_be_cleared() {
    let gate = Arc::new(Gate::default());
    let pool = Pool::new(limits(2), 1, |_, _| (), Arc::clone(&gate) as _);
    filled(pool.try_acquire(0, 7).unwrap(), 1, 0).release(1);
    let wait = |user| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire(0, user, USUAL).await })
    };
    let first = wait(8);
    while pool.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.stats().open, 1);
    let _second = wait(9);
    assert!(matches!(first.await.unwrap(), Ok(Grant::Connect(_))));
}
