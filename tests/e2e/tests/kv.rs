//! Policies of two proxies that share their values by way of Redis.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use howdah_e2e::{PATIENCE, Running, connect, policy, shared, try_value, value, wait};

/// A Redis of this test's own.
struct Redis(Child, u16, #[expect(dead_code, reason = "it goes with it")] tempfile::TempDir);

impl Redis {
    fn start() -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is missing: run .ci/setup");
        wait("Redis", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Redis(child, port, directory)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy with this policy, which has these settings and all grants.
fn with(redis: &Redis, component: &str, settings: &str) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let control = directory.path().join("control");
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\ncontrol = {control:?}\n[kv]\nurl = \"redis://127.0.0.1:{}\"\nrefresh = \"10ms\"\n\
         [[policy]]\nname = \"counts\"\npath = {:?}\nlimits.time = \"1s\"\n\
         grants = [\"metrics\", \"kv\", \"clock\", \"random\", \"nodes\", \"catalog\"]\n\
         [policy.settings]\n{settings}\n[cluster.main]\nnodes = {:?}\n",
        redis.1,
        policy(component),
        shared().nodes(),
    );
    Running::with_file(directory, &text)
}

fn running(redis: &Redis) -> Running {
    with(redis, "hostile", "hook = \"route\"\nmode = \"shared\"")
}

/// What `howdah policy status --json` says of shared values.
fn status(proxy: &Running) -> serde_json::Value {
    let (told, _) = proxy.howdah(&["policy", "status", "--json"]);
    serde_json::from_str::<serde_json::Value>(&told).unwrap()["kv"].take()
}

/// What the policy says after it has counted one more.
async fn count(client: &tokio_postgres::Client) -> i64 {
    value(client, "SELECT 'shared'").await.parse().unwrap()
}

#[tokio::test]
async fn policies_of_two_proxies_count_together() {
    let redis = Redis::start();
    let (a, b) = (running(&redis), running(&redis));
    let client = connect(a.port, "postgres").await;
    for i in 1..=7 {
        assert_eq!(count(&client).await, i);
    }
    let other = connect(b.port, "postgres").await;
    let started = Instant::now();
    let mut own = 1;
    while count(&other).await != 7 + own {
        assert!(started.elapsed() < PATIENCE, "the other proxy's counts do not come");
        own += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told = status(&b);
    assert_eq!(told["redis"]["connected"], true, "{told}");
    assert!(told["redis"]["exchanges"].as_u64() > Some(0), "{told}");
    assert_eq!(
        (&told["spaces"][0]["name"], &told["spaces"][0]["keys"]),
        (&"counts".into(), &1.into())
    );
    // What was counted last is told before a proxy ends.
    count(&client).await;
    drop(client);
    drop(a);
    let c = running(&redis);
    let third = connect(c.port, "postgres").await;
    let started = Instant::now();
    let mut own_here = 1;
    while count(&third).await != 8 + own + own_here {
        assert!(started.elapsed() < PATIENCE, "what was counted last is lost");
        own_here += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a request is within its tenant's limit.
async fn admitted(client: &tokio_postgres::Client, tenant: &str) -> bool {
    match try_value(client, &format!("SELECT 1 /* tenant='{tenant}' */")).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code().map(|code| code.code()), Some("53400"), "{error}");
            false
        }
    }
}

/// Waits until a proxy has told what it counted, and heard what others did.
async fn exchanged(proxy: &Running) {
    let exchanges = || proxy.proxy().kv.as_ref().unwrap().exchanges();
    let (started, before) = (Instant::now(), exchanges());
    while exchanges() < before + 2 {
        assert!(started.elapsed() < PATIENCE, "nothing is exchanged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many of a tenant's requests a proxy admits until it refuses one. It hears what the other has counted when the first
/// of them has made it look.
async fn admits(proxy: &Running, client: &tokio_postgres::Client, tenant: &str) -> u64 {
    let started = Instant::now();
    let mut requests = 0;
    while admitted(client, tenant).await {
        requests += 1;
        if requests == 1 {
            exchanged(proxy).await;
        }
        assert!(started.elapsed() < PATIENCE, "all are admitted");
    }
    requests
}

/// The budget of a tenant is for both proxies together, whichever its requests come to.
#[tokio::test]
async fn a_rate_limit_counts_across_two_proxies() {
    const BURST: u64 = 200;
    let redis = Redis::start();
    let settings = format!("key = \"tag:tenant\"\nper-second = 1\nburst = {BURST}");
    let (a, b) = (with(&redis, "rate-limit", &settings), with(&redis, "rate-limit", &settings));
    let (to_a, to_b) = (connect(a.port, "postgres").await, connect(b.port, "postgres").await);
    let began = Instant::now();
    for _ in 0..BURST / 2 {
        assert!(admitted(&to_a, "one").await);
    }
    exchanged(&a).await;
    let rest = admits(&b, &to_b, "one").await;
    exchanged(&b).await;
    let more = admits(&a, &to_a, "one").await;
    // One before each has looked, and what each second that has begun allows, may come on top.
    let most = BURST + 2 + began.elapsed().as_secs() + 1;
    let all = BURST / 2 + rest + more;
    assert!((BURST..=most).contains(&all), "half, {rest} and {more} make {all} of {most}");
    // Another tenant has a budget of its own.
    assert!(admitted(&to_b, "other").await);
}
