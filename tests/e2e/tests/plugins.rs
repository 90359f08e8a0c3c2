//! The policies in `plugins/`: each against its cases, and with real servers and a real driver.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use howdah::policies::cases::Cases;
use howdah::policies::trial;
use howdah_e2e::{
    PATIENCE, Running, cluster, connect, on_replica, policy, shared, try_connect, try_value, value,
};
use howdah_pgcluster::Auth;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

const PLUGINS: [&str; 6] =
    ["comment-tagger", "query-guard", "rate-limit", "read-write-split", "retry", "shard-by-key"];

fn folder(plugin: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(plugin)
}

/// The files of cases of a plugin.
fn cases(plugin: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(plugin)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with("cases.toml")).collect()
}

#[test]
fn every_plugin_passes_its_cases() {
    let folders = std::fs::read_dir(folder("")).unwrap();
    let mut names: Vec<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, PLUGINS, "one is not tested");
    for plugin in PLUGINS {
        let (spec, _) = trial::alone(&policy(plugin)).unwrap();
        let files = cases(plugin);
        assert!(!files.is_empty(), "{plugin} has no cases");
        for file in files {
            let report = Cases::load(&file).unwrap().run(&spec).unwrap();
            let failed: Vec<_> =
                report.tested.iter().filter(|tested| !tested.unlike.is_empty()).collect();
            assert!(failed.is_empty(), "{}: {failed:#?}", file.display());
        }
    }
}

/// A proxy with this plugin before the default policy. A busy machine needs more time than the default.
fn with(plugin: &str, grants: &str, settings: &str) -> Running {
    let chain = format!(
        "[[policy]]\nname = \"{plugin}\"\npath = {:?}\ngrants = [{grants}]\nlimits.time = \"1s\"\n[policy.settings]\n{settings}\n\
         [[policy]]\nname = \"split\"\npath = \"built-in\"\n",
        policy(plugin)
    );
    Running::start(&shared().nodes(), &chain)
}

fn sqlstate(error: &Error) -> &str {
    error.code().unwrap_or_else(|| panic!("{error}")).code()
}

#[tokio::test]
async fn query_guard_keeps_rows_in_their_table() {
    let proxy = with("query-guard", "\"metrics\"", "unbounded = true\nddl-users = [\"postgres\"]");
    let client = connect(proxy.port, "postgres").await;
    client.batch_execute("CREATE TABLE guarded AS SELECT 1 AS a").await.unwrap();
    let refused = client.batch_execute("DELETE FROM guarded").await.unwrap_err();
    assert_eq!(sqlstate(&refused), "42501");
    assert!(refused.as_db_error().unwrap().message().contains("rule unbounded"));
    // Prepared, and within a transaction, which has failed then as with any other error.
    let refused = client.execute("UPDATE guarded SET a = $1", &[&2]).await.unwrap_err();
    assert_eq!(sqlstate(&refused), "42501");
    client.batch_execute("BEGIN").await.unwrap();
    let refused = client.batch_execute("DELETE FROM guarded").await.unwrap_err();
    assert_eq!(sqlstate(&refused), "42501");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(
        value(&client, "SELECT count(*) FROM guarded WHERE a = 1 /* howdah: primary */").await,
        "1"
    );
    assert_eq!(client.execute("DELETE FROM guarded WHERE a = $1", &[&1]).await.unwrap(), 1);
    client.batch_execute("DROP TABLE guarded").await.unwrap();
}

#[tokio::test]
async fn query_guard_leaves_the_schema_to_those_who_may() {
    let proxy = with("query-guard", "\"metrics\"", "ddl-applications = [\"migrate\"]");
    let dsn = |application: &str| {
        let port = proxy.port;
        format!(
            "host=127.0.0.1 port={port} user=postgres dbname=postgres application_name={application}"
        )
    };
    let web = try_connect(&dsn("web")).await.unwrap();
    let refused = web.batch_execute("CREATE TABLE guarded_schema (a int)").await.unwrap_err();
    assert_eq!(sqlstate(&refused), "42501");
    let migrate = try_connect(&dsn("migrate")).await.unwrap();
    migrate.batch_execute("CREATE TABLE guarded_schema (a int)").await.unwrap();
    migrate.batch_execute("DROP TABLE guarded_schema").await.unwrap();
}

/// The burst is for both workers together: clients are spread over them.
#[tokio::test]
async fn rate_limit_counts_for_all_workers() {
    let grants = "\"kv\", \"clock\", \"metrics\"";
    let proxy = with("rate-limit", grants, "per-second = 1\nburst = 60\nkey = \"tag:tenant\"");
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(connect(proxy.port, "postgres").await);
    }
    let (mut passed, mut refused) = (0, 0);
    for i in 0..120 {
        let client = &clients[i % clients.len()];
        match try_value(client, "SELECT 1 /* tenant='a' */").await {
            Ok(_) => passed += 1,
            Err(error) => {
                assert_eq!(sqlstate(&error), "53400");
                let told = error.as_db_error().unwrap().message();
                assert!(told.contains("tenant \"a\" may send 1 requests per second"), "{told}");
                refused += 1;
            }
        }
    }
    // A request more for each second that all this took; with a count for each worker, all would have passed.
    assert!((60..=80).contains(&passed), "{passed} passed");
    assert_eq!(passed + refused, 120);
    // A transaction has begun or not: it is not refused half-way.
    value(&clients[0], "BEGIN /* tenant='b' */").await;
    for _ in 0..70 {
        value(&clients[0], "SELECT 1 /* tenant='a' */").await;
    }
    value(&clients[0], "COMMIT").await;
}

/// Two clusters, each of them a shard.
#[tokio::test]
async fn shard_by_key_sends_what_a_driver_binds_to_its_shard() {
    let shards = [cluster(0, Auth::Trust), cluster(0, Auth::Trust)];
    for (i, shard) in shards.iter().enumerate() {
        let create = format!("CREATE TABLE shard AS SELECT {i} AS number");
        shard.primary().value("postgres", &create).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\n\
         [[policy]]\nname = \"shards\"\npath = {:?}\non_failure = \"closed\"\n[policy.settings]\n\
         clusters = [\"shard0\", \"shard1\"]\nparameter = 1\ntag = \"key\"\nranges = [\"..100\", \"100..\"]\n\
         [cluster.shard0]\nnodes = {:?}\n[cluster.shard1]\nnodes = {:?}\ndatabases = [\"other\"]\n",
        policy("shard-by-key"),
        shards[0].nodes(),
        shards[1].nodes(),
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(2);
    let client = connect(proxy.port, "postgres").await;
    let typed = |value: &'static (dyn ToSql + Sync), of: Type| [(value, of)];
    // The driver binds in binary format: int2, int4, int8, each the same shard as its text.
    let sql = "SELECT number FROM shard WHERE $1 IS NOT NULL";
    let keys: [(&'static (dyn ToSql + Sync), Type, i32); 6] = [
        (&99_i16, Type::INT2, 0),
        (&100_i16, Type::INT2, 1),
        (&-1_i32, Type::INT4, 0),
        (&100_000_i32, Type::INT4, 1),
        (&99_i64, Type::INT8, 0),
        (&5_000_000_000_i64, Type::INT8, 1),
    ];
    for (key, of, shard) in keys {
        let rows = client.query_typed(sql, &typed(key, of)).await.unwrap();
        assert_eq!(rows[0].get::<_, i32>(0), shard, "{key:?}");
        let tagged = format!("SELECT number FROM shard /* key='{}' */", [7, 700][shard as usize]);
        assert_eq!(value(&client, &tagged).await, shard.to_string());
    }
    // One prepared statement, executed on both.
    let sql = "SELECT number FROM shard WHERE $1::int4 IS NOT NULL";
    let prepared = client.prepare(sql).await.unwrap();
    for (key, shard) in [(1, 0), (1_000, 1), (2, 0), (2_000, 1)] {
        let row = client.query_one(&prepared, &[&key]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), shard, "{key}");
    }
    // A transaction stays where its key is.
    client.batch_execute("BEGIN /* key='100' */").await.unwrap();
    assert_eq!(value(&client, "SELECT number FROM shard").await, "1");
    client.batch_execute("ROLLBACK").await.unwrap();
    let refused = client.batch_execute("SELECT number FROM shard").await.unwrap_err();
    assert_eq!(sqlstate(&refused), "0A000");
    let refused = client.query_one(&prepared, &[&None::<i32>]).await.unwrap_err();
    assert_eq!(sqlstate(&refused), "22023");
}

#[tokio::test]
async fn comment_tagger_shows_who_asks() {
    let proxy = with("comment-tagger", "", "");
    let dsn = format!(
        "host=127.0.0.1 port={} user=postgres dbname=postgres application_name=it's",
        proxy.port
    );
    let client = try_connect(&dsn.replace("it's", "'it\\'s'")).await.unwrap();
    let own = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let comment = "/* user='postgres',application='it%27s' */";
    assert_eq!(value(&client, own).await, format!("{own} {comment}"));
    let row = client.query_one(&format!("{own} AND $1 = 1 -- by the driver"), &[&1]).await.unwrap();
    let seen: String = row.get(0);
    assert_eq!(seen, format!("{own} AND $1 = 1 -- by the driver\n{comment}"));
    // It may have another name later, which policies learn of.
    client.batch_execute("SET application_name = 'later'").await.unwrap();
    let comment = "/* user='postgres',application='later' */";
    assert_eq!(value(&client, own).await, format!("{own} {comment}"));
    // What was a mistake is one, at its place.
    let error = client.batch_execute("SELECT 1 FORM x").await.unwrap_err();
    assert_eq!(sqlstate(&error), "42601");
    let error = client.batch_execute("SELECT 'open").await.unwrap_err();
    assert_eq!(sqlstate(&error), "42601");
}

/// A backend that reads is terminated: the client gets its answer from another one, unless attempts are used up.
#[tokio::test]
async fn retry_sends_a_read_again_whose_backend_was_terminated() {
    for (attempts, answered) in [(2, true), (1, false)] {
        let grants = "\"random\", \"metrics\"";
        let proxy = with("retry", grants, &format!("attempts = {attempts}"));
        proxy.wait_up(3).wait_split().await;
        let marked = format!("retry plugin {attempts}");
        let reader = connect(proxy.port, "postgres").await;
        let sql = format!(
            "SELECT count(*)::text FROM generate_series(1, 6000000) x WHERE x::text <> '{marked}'"
        );
        let reading = tokio::spawn(async move { try_value(&reader, &sql).await });
        let kill = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE query LIKE '%{marked}%' AND pid <> pg_backend_pid()"
        );
        let mut killers = Vec::new();
        for node in [shared().primary()].into_iter().chain(shared().replicas()) {
            killers.push(connect(node.port, "postgres").await);
        }
        let give_up = Instant::now() + PATIENCE;
        // One of them terminates it, once.
        let mut killers = killers.iter().cycle();
        while value(killers.next().unwrap(), &kill).await == "0" {
            assert!(Instant::now() < give_up, "the read was never seen");
        }
        match reading.await.unwrap() {
            Ok(count) => assert!(answered && count == "6000000", "{attempts}: {count}"),
            Err(error) => assert!(!answered, "{attempts}: {error}"),
        }
    }
}

/// Rules by user are by class, so that one's remembered answer is not another's.
#[tokio::test]
async fn read_write_split_knows_its_users() {
    let chain = "[[policy]]\nname = \"split\"\npath = \"built-in\"\n[policy.settings]\n\
                 applications-to-primary = [\"batch\"]\nusers-to-replica = [\"postgres\"]\n";
    let proxy = Running::start(&shared().nodes(), chain);
    proxy.wait_up(3).wait_split().await;
    let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", proxy.port);
    let web = try_connect(&format!("{dsn} application_name=web")).await.unwrap();
    let batch = try_connect(&format!("{dsn} application_name=batch")).await.unwrap();
    let calls = || proxy.proxy().shared.registry.status()[0].calls;
    for _ in 0..3 {
        assert!(on_replica(&web).await);
        assert!(!on_replica(&batch).await);
    }
    let before = calls();
    for _ in 0..20 {
        assert!(on_replica(&web).await);
        assert!(!on_replica(&batch).await);
    }
    assert_eq!(calls(), before, "answers are remembered");
}
