//! The console of operators: the database `howdah`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use howdah::config::{Config, Origin, Source};
use howdah_e2e::{RawClient, Running, connect, shared, try_connect, try_value, value, wait};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

const ADMIN: &str = "[admin]\noperators = [\"dba\"]\nviewers = [\"watcher\"]\n";

async fn console(port: u16, user: &str) -> Client {
    try_connect(&format!("host=127.0.0.1 port={port} user={user} dbname=howdah")).await.unwrap()
}

/// The only row of a table.
async fn only(console: &Client, sql: &str) -> Row {
    let mut rows = console.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
    rows.remove(0)
}

async fn ordered(console: &Client, sql: &str) {
    console.batch_execute(sql).await.unwrap();
}

async fn refused(console: &Client, sql: &str) -> (String, String) {
    let error = console.batch_execute(sql).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    (error.code().code().to_owned(), error.message().to_owned())
}

/// Waits until a table has so many rows.
async fn until(console: &Client, sql: &str, rows: usize) {
    let give_up = std::time::Instant::now() + howdah_e2e::PATIENCE;
    while console.query(sql, &[]).await.unwrap().len() != rows {
        assert!(std::time::Instant::now() < give_up, "{sql} does not come to {rows} rows");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn every_table_is_shown_in_both_protocols_and_formats() {
    let proxy = Running::start(&shared().nodes(), ADMIN);
    proxy.wait_up(3).wait_split().await;
    let (console, client) =
        (console(proxy.port, "watcher").await, connect(proxy.port, "postgres").await);
    value(&client, "SELECT 1").await;
    let help = console.query("SHOW HELP", &[]).await.unwrap();
    let commands: Vec<String> = help.iter().map(|row| row.get("command")).collect();
    let tables: Vec<&str> = commands.iter().filter_map(|line| line.strip_prefix("SHOW ")).collect();
    let tables: Vec<_> = tables.into_iter().filter(|table| !table.contains('…')).collect();
    assert!(tables.len() > 15, "{tables:?}");
    for table in tables {
        // Binary, with the columns described before.
        let sql = format!("SHOW {table}");
        let statement = console.prepare(&sql).await.unwrap();
        let rows = console.query(&statement, &[]).await.unwrap();
        for (row, column) in rows.iter().flat_map(|row| row.columns().iter().map(move |c| (row, c)))
        {
            let readable = match column.type_().name() {
                "text" => row.try_get::<_, Option<&str>>(column.name()).map(drop),
                "int8" => row.try_get::<_, Option<i64>>(column.name()).map(drop),
                "float8" => row.try_get::<_, Option<f64>>(column.name()).map(drop),
                "bool" => row.try_get::<_, Option<bool>>(column.name()).map(drop),
                other => panic!("{sql}: {other}"),
            };
            readable.unwrap();
        }
        // Text.
        let simple = console.simple_query(&sql).await.unwrap();
        let is_row = |message: &&SimpleQueryMessage| matches!(message, SimpleQueryMessage::Row(_));
        assert_eq!(simple.iter().filter(is_row).count() > 0, !rows.is_empty(), "{sql}");
    }
    let nodes = console.query("SHOW NODES WHERE role = $1", &[&"replica"]).await.unwrap();
    assert_eq!(nodes.len(), 2);
    let client = only(&console, "SHOW CLIENTS WHERE user = 'postgres'").await;
    assert_eq!(client.get::<_, &str>("state"), "idle");
    assert_eq!(client.get::<_, &str>("addr"), "127.0.0.1");
    assert_eq!(client.get::<_, Option<&str>>("pin"), None);
    assert!(console.query("SHOW SERVERS", &[]).await.unwrap().len() > 1);
    let pools = console.query("SHOW POOLS WHERE user = 'postgres' AND sv_idle > 0", &[]).await;
    assert!(!pools.unwrap().is_empty());
    assert!(!console.query("SHOW VERDICTS", &[]).await.unwrap().is_empty());
}

#[test]
fn psql_shows_tables() {
    let proxy = Running::start(&shared().nodes(), ADMIN);
    let sql = "SHOW VERSION; SHOW RULES;";
    let url = format!("host=127.0.0.1 port={} user=dba dbname=howdah", proxy.port);
    let out = Command::new("psql").args([&*url, "-X", "-At", "-c", sql]).output().unwrap();
    let (told, wrong) =
        (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert!(out.status.success(), "{wrong}");
    assert!(told.starts_with("howdah "), "{told}");
    assert!(told.contains("trust"), "{told}");
}

#[tokio::test]
async fn who_waits_and_why_and_who_is_sent_away() {
    let more = format!("{ADMIN}[pool]\nsize = 1\n");
    let proxy = Running::start(&shared().nodes(), &more);
    proxy.wait_up(3);
    let console = console(proxy.port, "dba").await;
    let (mut first, mut second) = (RawClient::login(proxy.port), RawClient::login(proxy.port));
    first.query("BEGIN; LOCK TABLE pg_class IN ACCESS SHARE MODE");
    first.until_ready();
    second.query("CREATE TEMP TABLE never (n int)");
    until(&console, "SHOW CLIENTS WHERE state = 'waiting'", 1).await;
    let waits = only(&console, "SHOW CLIENTS WHERE state = 'waiting'").await;
    assert_eq!(waits.get::<_, &str>("waits_for"), "primary");
    assert!(waits.get::<_, f64>("wait") >= 0.0);
    let holds = only(&console, "SHOW CLIENTS WHERE state = 'idle in transaction'").await;
    assert_eq!(holds.get::<_, &str>("node"), shared().nodes()[0]);
    let server = only(&console, "SHOW SERVERS WHERE state = 'active'").await;
    assert_eq!(server.get::<_, i64>("client"), holds.get::<_, i64>("id"));
    assert_eq!(server.get::<_, i64>("server_pid"), holds.get::<_, i64>("server_pid"));
    let pool = only(&console, "SHOW POOLS WHERE cl_waiting > 0").await;
    assert_eq!(pool.get::<_, i64>("cl_active"), 1);

    ordered(&console, &format!("KILL {}", waits.get::<_, i64>("id"))).await;
    let told = second.until_closed();
    assert_eq!(told.iter().find_map(RawClient::error).unwrap().0, "57P01");
    first.query("SELECT pg_sleep(600)");
    until(&console, "SHOW CLIENTS WHERE state = 'active'", 1).await;
    ordered(&console, &format!("KILL QUERY {}", holds.get::<_, i64>("id"))).await;
    let told = first.until_ready();
    assert_eq!(told.iter().find_map(RawClient::error).unwrap().0, "57014");
    let id = holds.get::<_, i64>("id");
    ordered(&console, &format!("KILL {id}")).await;
    let told = first.until_closed();
    assert_eq!(told.iter().find_map(RawClient::error).unwrap().0, "57P01");
    until(&console, "SHOW CLIENTS", 0).await;
    assert_eq!(
        refused(&console, &format!("KILL {id}")).await.1,
        format!("there is no client {id}")
    );
}

#[tokio::test]
async fn a_pin_shows_its_reason() {
    let proxy = Running::start(&shared().nodes(), ADMIN);
    let (console, client) =
        (console(proxy.port, "watcher").await, connect(proxy.port, "postgres").await);
    value(&client, "CREATE TEMP TABLE mine (n int)").await;
    until(&console, "SHOW PINS", 1).await;
    let pin = only(&console, "SHOW PINS").await;
    assert_eq!(
        (pin.get::<_, &str>("reason"), pin.get::<_, &str>("by")),
        ("temporary table", "state")
    );
    value(&client, "DROP TABLE mine").await;
    until(&console, "SHOW PINS", 0).await;
}

#[tokio::test]
async fn viewers_look_operators_order_and_nobody_else_comes_in() {
    let more = format!("{ADMIN}[limits]\nmax_clients = 1\n");
    let proxy = Running::start(&shared().nodes(), &more);
    proxy.wait_up(3);
    let _only = connect(proxy.port, "postgres").await;
    // Operators are no clients: there is always room for them.
    let (watcher, dba) = (console(proxy.port, "watcher").await, console(proxy.port, "dba").await);
    let told = refused(&watcher, "PAUSE").await;
    assert_eq!(told, ("42501".into(), "permission denied: only operators give orders".into()));
    let explained = watcher
        .query("EXPLAIN ROUTE 'SELECT 1' USER postgres DATABASE postgres", &[])
        .await
        .unwrap();
    let steps: Vec<(String, String)> =
        explained.iter().map(|row| (row.get(0), row.get(1))).collect();
    let what = |step: &str| steps.iter().find(|(name, _)| name == step).map(|(_, what)| &**what);
    assert_eq!(what("kind"), Some("read"));
    assert!(what("decision").unwrap().contains("replica"), "{steps:?}");
    assert!(what("node").unwrap().contains("(replica)"), "{steps:?}");
    for user in ["postgres", "nobody"] {
        let url = format!("host=127.0.0.1 port={} user={user} dbname=howdah", proxy.port);
        let error = try_connect(&url).await.err().unwrap();
        assert_eq!(error.code().unwrap().code(), "42501");
    }
    ordered(&dba, "BEGIN; SHOW NODES; COMMIT").await;
    assert_eq!(refused(&dba, "POLICY nothing ROLLBACK").await.0, "22023");
    assert_eq!(refused(&dba, "SELECT * FROM t").await.0, "42601");
    assert_eq!(value(&dba, "SELECT 1").await, "1");
}

#[tokio::test]
async fn orders_hold_back_statements_and_let_them_go() {
    let proxy = Running::start(&shared().nodes(), ADMIN);
    proxy.wait_up(3);
    let (dba, client) = (console(proxy.port, "dba").await, connect(proxy.port, "postgres").await);
    value(&client, "SELECT 1").await;
    ordered(&dba, "PAUSE main").await;
    let asks = tokio::spawn(async move { try_value(&client, "SELECT 2").await });
    until(&dba, "SHOW CLIENTS WHERE state = 'waiting'", 1).await;
    assert!(only(&dba, "SHOW CLUSTERS").await.get::<_, bool>("paused"));
    ordered(&dba, "RESUME main").await;
    assert_eq!(asks.await.unwrap().unwrap(), "2");
    let node = &shared().nodes()[1];
    ordered(&dba, &format!("DRAIN '{node}'")).await;
    assert_eq!(only(&dba, "SHOW NODES WHERE note = 'drained'").await.get::<_, &str>("node"), node);
    ordered(&dba, &format!("UNDRAIN '{node}'")).await;
    until(&dba, "SHOW NODES WHERE note = 'drained'", 0).await;
    value(&connect(proxy.port, "postgres").await, "SELECT 1").await;
    let idle = "SHOW SERVERS WHERE state = 'idle'";
    assert!(!dba.query(idle, &[]).await.unwrap().is_empty());
    ordered(&dba, "RECONNECT").await;
    until(&dba, idle, 0).await;
    assert_eq!(refused(&dba, "PAUSE nothing").await.0, "22023");
}

/// A whole program, but for its process: it does not end before this one.
fn program(more: &str) -> (u16, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let file = directory.path().join("howdah.toml");
    let nodes = shared().nodes();
    let listen = format!("listen = [\"127.0.0.1:{port}\"]\nworkers = 1\n");
    std::fs::write(&file, format!("{listen}{ADMIN}{more}\n[cluster.main]\nnodes = {nodes:?}\n"))
        .unwrap();
    drop(free);
    let (config, source) = (Config::load(&file).unwrap(), Source::of(Origin::File(file)));
    std::thread::spawn(move || howdah::run::run(config, source).unwrap());
    wait("the proxy", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    (port, directory)
}

#[tokio::test]
async fn keys_are_set_until_they_are_reset_and_mistakes_are_told() {
    let (port, directory) = program("[pool]\nsize = 3 # of the file");
    let dba = console(port, "dba").await;
    let size = async || {
        let row = only(&dba, "SHOW CONFIG WHERE key = 'pool.size'").await;
        row.get::<_, String>("value")
    };
    assert_eq!(size().await, "3");
    ordered(&dba, "SET pool.size = 7").await;
    assert_eq!(size().await, "7");
    ordered(&dba, "SET pool.wait_timeout TO '7s'").await;
    let row = only(&dba, "SHOW CONFIG WHERE key = 'pool.wait_timeout'").await;
    assert_eq!(row.get::<_, &str>("value"), "\"7s\"");
    for (order, message) in [
        ("SET pool.size = 0", "pool.size: must be 1 to"),
        ("SET pool.sise = 1", "unknown key \"sise\" in pool"),
        ("SET workers.x = 1", "workers"),
        ("SET \"workers\" = 2", "workers changes only with a restart"),
        ("RESET limits.max_clients", "limits.max_clients has not been set"),
    ] {
        let (_, told) = refused(&dba, order).await;
        assert!(told.contains(message), "{order}: {told}");
    }
    let file = directory.path().join("howdah.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("size = 3", "size = 4")).unwrap();
    ordered(&dba, "RELOAD").await;
    // What was set counts more than the file.
    assert_eq!(size().await, "7");
    ordered(&dba, "RESET pool.size").await;
    assert_eq!(size().await, "4");
    std::fs::write(&file, text.replace("size = 3", "size = -4")).unwrap();
    let (_, told) = refused(&dba, "RELOAD").await;
    assert!(told.contains("howdah.toml:") && told.contains("pool.size"), "{told}");
    assert_eq!(size().await, "4");
}

#[tokio::test]
async fn statements_are_told_by_digest_until_they_are_forgotten() {
    let proxy = Running::start(&shared().nodes(), &format!("{ADMIN}[statements]\nkeep = 4\n"));
    proxy.wait_up(3).wait_split().await;
    let console = console(proxy.port, "dba").await;
    ordered(&console, "FORGET STATEMENTS").await;
    assert_eq!(console.query("SHOW STATEMENTS", &[]).await.unwrap().len(), 0);
    let client = connect(proxy.port, "postgres").await;
    for n in 0..5 {
        value(&client, &format!("SELECT  'secret' || {n}")).await;
    }
    client.query("SELECT 'more' || 7", &[]).await.unwrap();
    let all = "SHOW STATEMENTS WHERE text LIKE '%||%'";
    let row = only(&console, all).await;
    assert_eq!(row.get::<_, &str>("text"), "SELECT '' || 0");
    assert_eq!((row.get::<_, &str>("kind"), row.get::<_, &str>("database")), ("read", "postgres"));
    let counts = ["calls", "on_replica", "rows", "on_primary", "errors"];
    assert_eq!(counts.map(|name| row.get::<_, i64>(name)), [6, 6, 6, 0, 0]);
    let times = ["p95_ms", "max_ms", "total_ms"].map(|name| row.get::<_, f64>(name));
    assert!(times[0] > 0.0 && times.is_sorted(), "{times:?}");
    try_value(&client, "SELECT nothing || 'at all'").await.unwrap_err();
    let failed = only(&console, &format!("{all} AND errors > 0")).await;
    assert_eq!(failed.get::<_, i64>("errors"), 1);
    let stats = only(&console, "SHOW STATS WHERE database = 'postgres'").await;
    assert!(stats.get::<_, i64>("total_query_count") >= 7);
    // A session is served by one worker, which keeps four.
    for n in 0..40 {
        value(&client, &format!("SELECT 1 AS a{n}")).await;
    }
    let kept = console.query("SHOW STATEMENTS WHERE calls > 0", &[]).await.unwrap();
    assert!(kept.len() <= 4, "{kept:?}");
    let file = proxy.directory.path().join("howdah.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("keep = 4", "keep = 0")).unwrap();
    proxy.reload();
    until(&console, "SHOW STATEMENTS", 0).await;
    value(&client, "SELECT 1").await;
    assert_eq!(console.query("SHOW STATEMENTS", &[]).await.unwrap().len(), 0);
}
