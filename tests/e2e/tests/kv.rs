//! Policies of two proxies that share their values by way of Redis.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use howdah_e2e::{PATIENCE, Running, connect, policy, shared, value, wait};

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

fn running(redis: &Redis) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\n[kv]\nurl = \"redis://127.0.0.1:{}\"\nrefresh = \"10ms\"\n\
         [[policy]]\nname = \"counts\"\npath = {:?}\n\
         grants = [\"metrics\", \"kv\", \"clock\", \"random\", \"nodes\", \"catalog\"]\n\
         [policy.settings]\nhook = \"route\"\nmode = \"shared\"\n[cluster.main]\nnodes = {:?}\n",
        redis.1,
        policy("hostile"),
        shared().nodes(),
    );
    Running::with_file(directory, &text)
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
