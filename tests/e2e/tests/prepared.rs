//! Prepared statements on servers that many clients share: each means what its own client meant.
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use howdah_e2e::{RawClient, Running, cluster, policy};
use howdah_pgcluster::{Auth, Cluster};
use howdah_wire::backend::{self, DataRow};
use howdah_wire::frontend::{Bind, Close, Describe, Execute, Parse, Sync, Target};

/// What the next messages shall be, up to Sync.
#[derive(Default)]
struct Batch(BytesMut);

impl Batch {
    fn parse(mut self, name: &str, query: &str) -> Batch {
        let (name, query) = (name.as_bytes(), query.as_bytes());
        Parse { name, query, types: b"\0\0" }.write(&mut self.0);
        self
    }

    fn describe(mut self, name: &str) -> Batch {
        Describe { target: Target::Statement, name: name.as_bytes() }.write(&mut self.0);
        self
    }

    fn close(mut self, name: &str) -> Batch {
        Close { target: Target::Statement, name: name.as_bytes() }.write(&mut self.0);
        self
    }

    fn run(mut self, name: &str) -> Batch {
        Bind { portal: b"", statement: name.as_bytes(), rest: b"\0\0\0\0\0\0" }.write(&mut self.0);
        Execute { portal: b"", max_rows: 0 }.write(&mut self.0);
        self
    }

    /// The values of the rows, or the SQLSTATE.
    fn sync(mut self, client: &mut RawClient) -> String {
        Sync.write(&mut self.0);
        client.send(&self.0);
        answer(client)
    }
}

fn answer(client: &mut RawClient) -> String {
    let mut seen = Vec::new();
    for message in client.until_ready() {
        if let Some((state, _)) = RawClient::error(&message) {
            seen.push(state);
        } else if message.0 == backend::tag::DATA_ROW {
            let row = DataRow::read(&message.1).unwrap();
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap()).into_owned();
            seen.push(row.values().map(text).collect::<Vec<_>>().join(","));
        }
    }
    seen.join(" ")
}

fn prepare(client: &mut RawClient, name: &str, query: &str) {
    assert_eq!(Batch::default().parse(name, query).sync(client), "");
}

fn run(client: &mut RawClient, name: &str) -> String {
    Batch::default().run(name).sync(client)
}

fn ask(client: &mut RawClient, sql: &str) -> String {
    client.query(sql);
    answer(client)
}

/// A proxy that sends everything to the primary, over one connection.
fn proxy(cluster: &Cluster) -> Running {
    proxy_with(cluster, "")
}

/// One with these keys of its pools, and sections behind them.
fn proxy_with(cluster: &Cluster, keys: &str) -> Running {
    let component = policy("user-to-replica");
    let more =
        format!("[pool]\nsize = 1\n{keys}\n[[policy]]\nname = \"primary\"\npath = {component:?}\n");
    let proxy = Running::start(&cluster.nodes(), &more);
    proxy.wait_up(1);
    proxy
}

#[test]
fn what_comes_again_without_a_name_is_prepared_once() {
    let cluster = cluster(0, Auth::Trust);
    cluster.primary().query("postgres", "CREATE TABLE t AS SELECT 6 AS a").unwrap();
    for once in [false, true] {
        let proxy = proxy_with(&cluster, &format!("prepare_unnamed = {once}"));
        let mut first = RawClient::login(proxy.port);
        let mut second = RawClient::login(proxy.port);
        for _ in 0..3 {
            for client in [&mut first, &mut second] {
                let batch = || Batch::default().parse("", "SELECT a * 7 FROM t").describe("");
                assert_eq!(batch().run("").sync(client), "42");
                assert_eq!(run(client, ""), "42", "it is there until something else is prepared");
            }
        }
        // The first time nobody knows that it will come again.
        let again = "SELECT count(*), coalesce(sum(generic_plans + custom_plans), 0) >= 4 \
                     FROM pg_prepared_statements WHERE statement LIKE 'SELECT a%'";
        assert_eq!(ask(&mut first, again), if once { "1,t" } else { "0,f" });
        assert_eq!(run(&mut first, ""), "26000", "a simple query has dropped it");
        assert_eq!(run(&mut second, ""), "42");
        // It is no other statement that only looks like one.
        assert_eq!(Batch::default().parse("", "SELEC").run("").sync(&mut second), "42601");
        assert_eq!(run(&mut second, ""), "26000");
        for _ in 0..2 {
            let write = Batch::default().parse("", "INSERT INTO t SELECT 7 WHERE false").run("");
            assert_eq!(write.sync(&mut second), "");
        }
        // Another table of the same name, in the same packet as what asks for it.
        let other = Batch::default().parse("", "ALTER TABLE t ADD b int DEFAULT 1").run("");
        assert_eq!(other.sync(&mut first), "");
        let batch = Batch::default().parse("", "SELECT * FROM t").describe("").run("");
        assert_eq!(batch.sync(&mut second), "6,1");
        assert_eq!(ask(&mut first, "ALTER TABLE t DROP b"), "");
        let batch = Batch::default().parse("", "SELECT * FROM t").describe("").run("");
        assert_eq!(batch.sync(&mut second), "6");
    }
}

#[test]
fn settings_decide_for_their_own_client_only_what_a_statement_means() {
    [false, true].into_iter().for_each(settings_decide);
}

fn settings_decide(once: bool) {
    let cluster = cluster(0, Auth::Trust);
    for sql in [
        "CREATE SCHEMA a; CREATE TABLE a.t AS SELECT 1 AS n",
        "CREATE SCHEMA b; CREATE TABLE b.t AS SELECT 'one'::text AS t, 2 AS n",
    ] {
        cluster.primary().query("postgres", sql).unwrap();
    }
    let proxy = proxy_with(&cluster, &format!("prepare_unnamed = {once}"));
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    assert_eq!(ask(&mut first, "SET datestyle TO dmy; SET search_path TO a"), "");
    assert_eq!(ask(&mut second, "SET datestyle TO mdy; SET search_path TO b"), "");
    let date = "SELECT extract(month FROM '2/1/2026'::date)";
    for name in ["", "dates"] {
        prepare(&mut first, name, date);
        prepare(&mut second, name, date);
        assert_eq!([run(&mut first, name), run(&mut second, name)], ["1", "2"], "{name:?}");
        assert_eq!([run(&mut first, name), run(&mut second, name)], ["1", "2"], "{name:?}");
    }
    for name in ["", "tables"] {
        prepare(&mut first, name, "SELECT * FROM t");
        prepare(&mut second, name, "SELECT * FROM t");
        assert_eq!([run(&mut first, name), run(&mut second, name)], ["1", "one,2"], "{name:?}");
        assert_eq!([run(&mut first, name), run(&mut second, name)], ["1", "one,2"], "{name:?}");
    }
    // As in PostgreSQL, a statement keeps what its text meant when it was prepared, even where a server has to prepare
    // it anew.
    assert_eq!(ask(&mut first, "SET datestyle TO mdy"), "");
    assert_eq!(run(&mut first, "dates"), "1");
    assert_eq!(ask(&mut second, "DEALLOCATE ALL"), "");
    assert_eq!(run(&mut first, "dates"), "1");
    assert_eq!(ask(&mut first, "SHOW datestyle"), "ISO, MDY");
    // What is meant within a transaction only is nobody else's either.
    let time = "SELECT '2026-11-24 12:00'::timestamptz AT TIME ZONE 'UTC'";
    assert_eq!(ask(&mut first, "BEGIN; SET LOCAL timezone TO 'Asia/Tokyo'"), "");
    prepare(&mut first, "times", time);
    assert_eq!(run(&mut first, "times"), "2026-11-24 03:00:00");
    assert_eq!(ask(&mut first, "COMMIT; SET timezone TO 'UTC'"), "");
    assert_eq!(ask(&mut second, "SET timezone TO 'UTC'"), "");
    prepare(&mut second, "times", time);
    assert_eq!(run(&mut second, "times"), "2026-11-24 12:00:00");
    assert_eq!(run(&mut first, "times"), "2026-11-24 03:00:00");
}

#[test]
fn a_statement_is_prepared_anew_when_the_schema_has_changed() {
    let cluster = cluster(0, Auth::Trust);
    let direct = |sql: &str| cluster.primary().query("postgres", sql).unwrap();
    direct("CREATE TABLE t AS SELECT 1 AS a");
    // What changes past the proxy is found out by servers' errors alone.
    let proxy = proxy_with(&cluster, "[cluster.main.monitor]\ndefinitions = false");
    let query = "SELECT * FROM t";
    let mut relies = RawClient::login(proxy.port);
    prepare(&mut relies, "s", query);
    assert_eq!(Batch::default().describe("s").run("s").sync(&mut relies), "1");
    let mut ignorant = RawClient::login(proxy.port);
    prepare(&mut ignorant, "s", query);
    // Past the proxy: it finds out by the server's error.
    direct("ALTER TABLE t ADD b int DEFAULT 2");
    let mut fresh = RawClient::login(proxy.port);
    assert_eq!(Batch::default().parse("s", query).run("s").sync(&mut fresh), "1,2");
    assert_eq!(run(&mut ignorant, "s"), "1,2");
    direct("ALTER TABLE t ADD c int DEFAULT 3");
    // It must not be surprised by another column, but can go on as with PostgreSQL.
    assert_eq!(run(&mut relies, "s"), "0A000");
    assert_eq!(Batch::default().parse("s2", query).describe("s2").sync(&mut relies), "");
    assert_eq!(run(&mut relies, "s2"), "1,2,3");
    // Through the proxy: no error is needed, so that it works in a transaction too.
    assert_eq!(ask(&mut fresh, "ALTER TABLE t DROP c"), "");
    assert_eq!(ask(&mut fresh, "BEGIN"), "");
    prepare(&mut fresh, "s3", query);
    assert_eq!(run(&mut fresh, "s3"), "1,2");
    // What others do not see yet, and perhaps never will, is for this transaction only.
    assert_eq!(ask(&mut fresh, "ALTER TABLE t DROP b"), "");
    prepare(&mut fresh, "s4", query);
    assert_eq!(run(&mut fresh, "s4"), "1");
    assert_eq!(ask(&mut fresh, "ROLLBACK"), "");
    prepare(&mut ignorant, "s5", query);
    assert_eq!(Batch::default().describe("s5").run("s5").sync(&mut ignorant), "1,2");
    assert_eq!(run(&mut ignorant, "s5"), "1,2");
    // The server has it as it is now, and would not notice that somebody relies on more columns.
    assert_eq!(run(&mut relies, "s2"), "0A000");
    assert_eq!(Batch::default().parse("s3", query).describe("s3").sync(&mut relies), "");
    assert_eq!(ask(&mut fresh, "CREATE TABLE another (a int)"), "");
    prepare(&mut fresh, "s6", query);
    assert_eq!(run(&mut fresh, "s6"), "1,2");
    assert_eq!(run(&mut relies, "s3"), "1,2", "another table is not its business");
    // A column has another type: what was known of the parameter is out of date.
    prepare(&mut fresh, "by a", "SELECT a FROM t WHERE a = '1'");
    assert_eq!(run(&mut fresh, "by a"), "1");
    direct("ALTER TABLE t ALTER a TYPE text");
    let mut other = RawClient::login(proxy.port);
    assert_eq!(
        Batch::default().parse("x", "SELECT a FROM t WHERE a = '1'").run("x").sync(&mut other),
        "1"
    );
    // What is wrong by itself stays wrong.
    direct("DROP TABLE t");
    assert_eq!(run(&mut other, "x"), "42P01");
    assert_eq!(ask(&mut other, "SELECT 1"), "1");
}

/// What a server skips after an error has not happened, and what a client has not prepared it has not.
#[test]
fn statements_exist_for_a_client_as_on_its_own_server() {
    [false, true].into_iter().for_each(statements_exist);
}

fn statements_exist(once: bool) {
    let cluster = cluster(0, Auth::Trust);
    let proxy = proxy_with(&cluster, &format!("prepare_unnamed = {once}"));
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    prepare(&mut first, "", "SELECT 'first'");
    assert_eq!(run(&mut first, ""), "first");
    assert_eq!(run(&mut second, ""), "26000");
    assert_eq!(Batch::default().describe("").sync(&mut second), "26000");
    assert_eq!(run(&mut first, ""), "first");
    prepare(&mut first, "old", "SELECT 'old'");
    prepare(&mut second, "known", "SELECT 'known'");
    // The second Parse is of what the server knows, and is skipped like the Close.
    let broken = Batch::default().parse("wrong", "SELEC").parse("new", "SELECT 'known'");
    assert_eq!(broken.close("old").sync(&mut first), "42601");
    assert_eq!(run(&mut first, "new"), "26000");
    prepare(&mut first, "new", "SELECT 'new'");
    assert_eq!(run(&mut first, "new"), "new");
    assert_eq!(run(&mut first, "old"), "old");
    assert_eq!(Batch::default().close("old").sync(&mut first), "");
    assert_eq!(run(&mut first, "old"), "26000");
}

/// A temporary table hides another one from its own session only.
#[test]
fn what_is_prepared_with_a_temporary_table_is_nobody_elses() {
    let cluster = cluster(0, Auth::Trust);
    cluster.primary().query("postgres", "CREATE TABLE t AS SELECT 1 AS a").unwrap();
    let proxy = proxy(&cluster);
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    prepare(&mut second, "s", "SELECT * FROM t");
    assert_eq!(Batch::default().describe("s").run("s").sync(&mut second), "1");
    assert_eq!(ask(&mut first, "CREATE TEMP TABLE t AS SELECT 'mine' AS a, 'too' AS b"), "");
    prepare(&mut first, "s", "SELECT * FROM t");
    assert_eq!(run(&mut first, "s"), "mine,too");
    assert_eq!(ask(&mut first, "DROP TABLE t"), "");
    assert_eq!(run(&mut second, "s"), "1");
}
