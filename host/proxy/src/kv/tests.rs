//! Two proxies' copies and a real Redis between them.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_policy::{Due, Limits, News, Options, Registry, Values, Written};
use redis::aio::MultiplexedConnection;
use tokio::sync::oneshot;

use super::message::Sender;
use super::{Exchange, MAX_KEYS, Status};
use crate::config::Kv;
use crate::upstream::{Secret, Target};

/// Longest wait for anything that must come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of this test's own. It keeps what it has in its directory.
struct Redis {
    port: u16,
    password: Option<&'static str>,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Redis {
    /// One that does not run yet.
    fn new(password: Option<&'static str>) -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Redis { port, password, directory: tempfile::tempdir().unwrap(), child: None }
    }

    async fn running() -> Redis {
        let mut redis = Redis::new(None);
        redis.start().await;
        redis
    }

    async fn start(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]);
        command.arg(self.directory.path()).stdout(Stdio::null());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        self.child = Some(command.spawn().expect("redis-server is missing: run .ci/setup"));
        let started = Instant::now();
        while self.connect().await.is_err() {
            assert!(started.elapsed() < PATIENCE, "Redis does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let login = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        let url = format!("redis://{login}127.0.0.1:{}/3", self.port);
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await?;
        Ok(connection)
    }

    async fn command(&self, words: &[&str]) {
        let mut connection = self.connect().await.unwrap();
        let command = words[1..].iter().fold(redis::cmd(words[0]), |mut command, word| {
            command.arg(*word);
            command
        });
        command.query_async::<redis::Value>(&mut connection).await.unwrap();
    }

    fn settings(&self) -> Kv {
        Kv {
            server: Target { host: "127.0.0.1".into(), port: self.port },
            database: 3,
            user: None,
            password: self.password.map(|password| Secret::new(password.into())),
            refresh: Duration::from_millis(10),
            prefix: "test:".into(),
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What one proxy has of the space "s".
struct Side {
    values: Values,
    status: Arc<Status>,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
}

impl Side {
    fn start(settings: &Kv) -> Side {
        Side::with_room(settings, 10_000)
    }

    fn with_room(settings: &Kv, keys: usize) -> Side {
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        let sharing = registry.share_values();
        let limits = Limits { kv_keys: keys, ..Limits::default() };
        let values = registry.values("s", &limits);
        let exchange = Exchange::new(sharing, settings).unwrap();
        let (stop, stopped) = oneshot::channel();
        let status = exchange.status();
        Side { values, status, stop, running: tokio::spawn(exchange.run(stopped)) }
    }

    async fn has(&self, key: &str, value: &str) {
        until(&format!("{key} = {value}"), || self.text(key).as_deref() == Some(value)).await;
    }

    fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// Waits until all that was said so far has been told and answered.
    async fn exchanged(&self) {
        let after = self.status.exchanges() + 2;
        until("an exchange", || self.status.exchanges() >= after).await;
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "this did not come true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn counts_of_all_proxies_are_added() {
    let redis = Redis::running().await;
    let (a, b) = (Side::start(&redis.settings()), Side::start(&redis.settings()));
    for i in 0..500 {
        a.values.increment("n", 2, Some(3_600_000)).unwrap();
        b.values.increment("n", 1, Some(3_600_000)).unwrap();
        if i % 50 == 0 {
            a.exchanged().await;
        }
    }
    a.has("n", "1500").await;
    b.has("n", "1500").await;
    // The time to live counts from the first.
    let mut connection = redis.connect().await.unwrap();
    let ttl: i64 =
        redis::cmd("PTTL").arg("test:kv:s:n").query_async(&mut connection).await.unwrap();
    assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn what_one_proxy_sets_the_others_see() {
    let redis = Redis::running().await;
    let (a, b) = (Side::start(&redis.settings()), Side::start(&redis.settings()));
    assert!(a.values.set("flag", b"on", None));
    b.has("flag", "on").await;
    assert!(b.values.set("flag", b"off", None));
    a.has("flag", "off").await;
    assert!(a.values.set("flag", b"7", None));
    a.values.increment("flag", 1, None).unwrap();
    b.has("flag", "8").await;
    b.values.delete("flag");
    until("the flag to be gone", || a.text("flag").is_none()).await;
    // What nobody looks at is refreshed too.
    assert!(a.values.set("quiet", b"1", None));
    b.has("quiet", "1").await;
    assert!(a.values.set("quiet", b"2", None));
    let exchanges = b.status.exchanges() + 40;
    until("all shards to have had their turn", || b.status.exchanges() >= exchanges).await;
    assert_eq!(b.text("quiet").as_deref(), Some("2"));
}

#[tokio::test]
async fn values_expire_everywhere() {
    let redis = Redis::running().await;
    let (a, b) = (Side::start(&redis.settings()), Side::start(&redis.settings()));
    assert!(a.values.set("note", b"short", Some(1_500)));
    b.has("note", "short").await;
    a.values.increment("window", 5, Some(1_500)).unwrap();
    b.has("window", "5").await;
    until("both to expire in the other copy", || {
        b.text("note").is_none() && b.text("window").is_none()
    })
    .await;
    until("both to expire here", || a.text("note").is_none() && a.text("window").is_none()).await;
    // Redis is the last to know, by a round trip; what it said before that may be on its way.
    let mut connection = redis.connect().await.unwrap();
    let started = Instant::now();
    let mut exists = redis::cmd("EXISTS");
    exists.arg("test:kv:s:note").arg("test:kv:s:window");
    while exists.query_async::<u8>(&mut connection).await.unwrap() > 0 {
        assert!(started.elapsed() < PATIENCE, "they do not expire in Redis");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    a.exchanged().await;
    b.exchanged().await;
    // The next window begins anew, and what expired before it was told deletes what others had.
    assert_eq!(b.values.increment("window", 1, Some(60_000)), Some(1));
    a.has("window", "1").await;
    assert!(a.values.set("note", b"long", None));
    b.has("note", "long").await;
    assert!(a.values.set("note", b"gone at once", Some(0)));
    until("the note to be gone", || b.text("note").is_none()).await;
}

#[tokio::test]
async fn what_is_counted_while_redis_is_away_is_added_afterwards() {
    let mut redis = Redis::new(None);
    let (a, b) = (Side::start(&redis.settings()), Side::start(&redis.settings()));
    // Away at the start.
    until("a failure", || a.status.failures() > 1 && b.status.failures() > 1).await;
    assert!(!a.status.connected() && a.status.last_failure().unwrap().contains("refused"));
    assert!(a.status.away().is_some() && a.status.last_exchange().is_none());
    assert_eq!(a.values.increment("n", 1, None), Some(1));
    assert_eq!(b.values.increment("n", 2, None), Some(2));
    redis.start().await;
    a.has("n", "3").await;
    b.has("n", "3").await;
    // Away in between: two values are set, and the later one stays, whoever comes back first.
    redis.stop();
    until("both to notice", || !a.status.connected() && !b.status.connected()).await;
    assert!(a.status.last_exchange() >= a.status.away());
    assert_eq!(a.values.increment("n", 10, None), Some(13));
    assert_eq!(b.values.increment("n", 20, None), Some(23));
    assert!(b.values.set("v", b"earlier", None));
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(a.values.set("v", b"later", None));
    redis.start().await;
    for side in [&a, &b] {
        side.has("n", "33").await;
        side.has("v", "later").await;
        assert!(side.status.connected() && side.status.last_failure().is_none());
    }
}

#[tokio::test]
async fn an_exchange_that_was_not_answered_is_not_done_twice() {
    let redis = Redis::running().await;
    let mut connection = redis.connect().await.unwrap();
    let sender = Sender::new("test:");
    let due = |add, at: Option<u64>, value: &str| Due {
        space: "a:b%".into(),
        key: "c:d".into(),
        written: at.map(|at| Written { at, value: Some(value.as_bytes().into()) }),
        add,
        expires: None,
    };
    let believable = 1 << 50;
    // (number, what is due, what is there then)
    let told = [
        (5, due(3, None, ""), "3"),
        (5, due(3, None, ""), "3"),
        (4, due(3, None, ""), "3"),
        (6, due(3, None, ""), "6"),
        (7, due(1, Some(1_000), "40"), "41"),
        (8, due(0, Some(999), "earlier"), "41"),
        (9, due(0, Some(1_001), "later"), "later"),
    ];
    for (number, due, expected) in told {
        let answers = sender.exchange(&mut connection, number, &[due], believable).await.unwrap();
        assert_eq!(answers[0].news, News::Value(expected.into(), None), "{number}");
    }
    let there: bool = redis::cmd("EXISTS")
        .arg("test:kv:a%3Ab%25:c:d")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(there);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let mut redis = Redis::new(Some("open sesame"));
    redis.start().await;
    let wrong = Kv { password: Some(Secret::new("hush hush".into())), ..redis.settings() };
    let a = Side::start(&wrong);
    until("a failure", || a.status.failures() > 0).await;
    let why = a.status.last_failure().unwrap();
    assert!(why.contains("kv.password") && !why.contains("hush"), "{why}");
    let b = Side::start(&Kv { password: None, ..redis.settings() });
    until("a failure", || b.status.failures() > 0).await;
    let why = b.status.last_failure().unwrap();
    assert!(why.contains("kv.password"), "{why}");
    let c = Side::start(&redis.settings());
    assert!(c.values.set("k", b"v", None));
    until("an exchange", || c.status.connected()).await;
}

#[tokio::test]
async fn what_others_put_into_redis_harms_nobody() {
    let redis = Redis::running().await;
    let large = "x".repeat((64 << 10) + 1);
    redis.command(&["HSET", "test:kv:s:large", "v", &large]).await;
    redis.command(&["SET", "test:kv:s:string", "5"]).await;
    redis.command(&["HSET", "test:kv:s:words", "v", "many", "t", "never"]).await;
    redis.command(&["HSET", "test:kv:s:future", "v", "x", "t", "1e300"]).await;
    redis.command(&["HSET", "test:kv:s:top", "v", &i64::MAX.to_string()]).await;
    let a = Side::start(&redis.settings());
    for key in ["large", "string"] {
        assert_eq!(a.values.increment(key, 1, None), Some(1));
        a.exchanged().await;
        assert_eq!(a.text(key).as_deref(), Some("1"), "the copy goes on alone");
    }
    // What cannot be added is dropped, and counted.
    a.values.increment("words", 1, None).unwrap();
    a.has("words", "many").await;
    a.values.increment("top", 1, None).unwrap();
    a.has("top", &i64::MAX.to_string()).await;
    assert_eq!(a.status.refused(), 3);
    assert!(a.values.set("future", b"now", None));
    a.exchanged().await;
    assert_eq!(a.text("future").as_deref(), Some("now"));
    let mut connection = redis.connect().await.unwrap();
    let string: i64 =
        redis::cmd("GET").arg("test:kv:s:string").query_async(&mut connection).await.unwrap();
    assert_eq!(string, 5);
    assert!(a.status.connected());
}

#[tokio::test]
async fn many_keys_are_told_in_turn_and_quotas_hold_for_those_of_others() {
    let redis = Redis::running().await;
    let a = Side::start(&redis.settings());
    let many = 3 * MAX_KEYS;
    for i in 0..many {
        a.values.increment(&format!("k{i}"), 1, None).unwrap();
    }
    let b = Side::with_room(&redis.settings(), 100);
    let looked = || (0..many).filter(|i| b.text(&format!("k{i}")).is_some()).count();
    until("the quota to be used up", || looked() == 100).await;
    b.exchanged().await;
    assert_eq!(looked(), 100);
    assert!(b.status.refused() > 0);
    // What was said last is told before the end.
    a.values.increment("last", 1, None).unwrap();
    a.stop.send(()).unwrap();
    a.running.await.unwrap();
    let c = Side::start(&redis.settings());
    c.has("last", "1").await;
    c.has("k2999", "1").await;
}
