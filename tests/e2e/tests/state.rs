//! What one client's statements leave on a server is never another client's.
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use howdah_cluster::ClusterId;
use howdah_e2e::{RawClient, Running, cluster, policy, wait};
use howdah_pgcluster::Auth;
use howdah_wire::backend::{self, DataRow};
use howdah_wire::frontend::{Bind, Execute, Parse, Sync};

/// The first values of the rows of a simple query, or its SQLSTATE.
fn ask(client: &mut RawClient, sql: &str) -> String {
    client.query(sql);
    let mut seen = Vec::new();
    for message in client.until_ready() {
        if let Some((state, _)) = RawClient::error(&message) {
            seen.push(state);
        } else if message.0 == backend::tag::DATA_ROW {
            let row = DataRow::read(&message.1).unwrap();
            let value = row.values().next().flatten().unwrap_or(b"NULL");
            seen.push(String::from_utf8_lossy(value).into_owned());
        }
    }
    seen.join(" ")
}

fn leave(mut client: RawClient) {
    client.send(b"X\0\0\0\x04");
    while client.message().is_some() {}
}

/// A proxy that sends everything to the primary, over this many connections.
fn proxy(nodes: &[String], size: usize) -> Running {
    proxy_with(nodes, &format!("size = {size}"))
}

/// The same, with these keys of the pools.
fn proxy_with(nodes: &[String], pool: &str) -> Running {
    let component = policy("user-to-replica");
    let more = format!("[pool]\n{pool}\n[[policy]]\nname = \"primary\"\npath = {component:?}\n");
    let proxy = Running::start(nodes, &more);
    proxy.wait_up(1);
    proxy
}

#[test]
fn what_functions_leave_behind_is_nobody_elses() {
    let cluster = cluster(0, Auth::Trust);
    let set = "PERFORM set_config('app.kept', 'mine', false);";
    let function = |name: &str, returns: &str, body: &str| {
        format!(
            "CREATE FUNCTION {name} RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
        )
    };
    for sql in [
        function("leaves()", "int", &format!("{set} RETURN 1;")),
        function("calls_it()", "int", "RETURN leaves();"),
        function("on_insert()", "trigger", &format!("{set} RETURN NEW;")),
        function("dynamic()", "int", "EXECUTE 'SET app.kept = ''mine'''; RETURN 1;"),
        function("makes()", "int", "CREATE TEMP TABLE t AS SELECT 1; RETURN 1;"),
        function("is_local()", "int", "PERFORM set_config('app.kept', 'x', true); RETURN 1;"),
        "CREATE VIEW view_leaves AS SELECT leaves()".to_owned(),
        "CREATE VIEW view_of_view AS SELECT * FROM view_leaves".to_owned(),
        "CREATE VIEW view_sets AS SELECT set_config('app.kept', 'mine', false)".to_owned(),
        function("leaves(int, int)", "int", &format!("{set} RETURN 1;")),
        "CREATE OPERATOR |+| (FUNCTION = leaves, LEFTARG = int, RIGHTARG = int)".to_owned(),
        "CREATE AGGREGATE total(int) (SFUNC = leaves, STYPE = int, INITCOND = 0)".to_owned(),
        "CREATE TABLE owner (a int)".to_owned(),
        function("field(owner)", "int", &format!("{set} RETURN 1;")),
        function("uses_operator()", "int", "RETURN 1 |+| 1;"),
        "INSERT INTO owner VALUES (1)".to_owned(),
        "CREATE TABLE tripped (a int)".to_owned(),
        function("writes()", "int", "INSERT INTO tripped VALUES (1); RETURN 1;"),
    ] {
        cluster.primary().query("postgres", &sql).unwrap();
    }
    let show = "SELECT coalesce(nullif(current_setting('app.kept', true), ''), 'none')";
    let left = |proxy: &Running, statement: &str| {
        let mut first = RawClient::login(proxy.port);
        let answer = ask(&mut first, statement);
        assert_ne!(answer.len(), 5, "{statement}: {answer}");
        let mut second = RawClient::login(proxy.port);
        let seen = [ask(&mut second, show), ask(&mut first, show)];
        leave(first);
        leave(second);
        seen
    };
    let through = proxy(&cluster.nodes(), 2);
    for statement in [
        "SELECT leaves()",
        "SELECT calls_it()",
        "SELECT dynamic()",
        "SELECT * FROM view_leaves",
        "SELECT * FROM view_of_view",
        "SELECT * FROM view_sets",
        "SELECT 1 |+| 1",
        "SELECT uses_operator()",
        "SELECT total(a) FROM owner",
        "SELECT o.field FROM owner o",
        "CREATE TABLE made AS SELECT leaves()",
        "DO $$ BEGIN SET app.kept = 'mine'; END $$",
        "DO $$ BEGIN PERFORM calls_it(); END $$",
        "DO 'BEGIN IF true THEN PERFORM set_config(''app.kept'', ''mine'', false); END IF; END'",
    ] {
        assert_eq!(left(&through, statement), ["none", "mine"], "{statement}");
    }
    assert_eq!(left(&through, "SELECT is_local()"), ["none", "none"]);
    let mut first = RawClient::login(through.port);
    assert_eq!(ask(&mut first, "SHOW howdah.pin"), "");
    assert_eq!(ask(&mut first, "SET howdah.pin = 'x'"), "55P02");
    assert_eq!(ask(&mut first, "SELECT makes(); SELECT 2"), "1 2");
    assert_eq!(ask(&mut first, "SHOW howdah.pin"), "temporary table");
    let mut second = RawClient::login(through.port);
    assert_eq!(ask(&mut second, "SELECT count(*) FROM t"), "42P01");
    assert_eq!(ask(&mut first, "SELECT count(*) FROM t"), "1");
    assert_eq!(ask(&mut first, "DROP TABLE t"), "");
    assert_eq!(ask(&mut first, "SHOW howdah.pin"), "");
    // A trigger is known to whoever writes.
    let trigger = "CREATE TRIGGER trip BEFORE INSERT ON tripped \
        FOR EACH ROW EXECUTE FUNCTION on_insert()";
    cluster.primary().query("postgres", trigger).unwrap();
    let again = proxy(&cluster.nodes(), 2);
    assert_eq!(left(&again, "INSERT INTO tripped VALUES (1)"), ["none", "mine"]);
    assert_eq!(left(&again, "SELECT writes()"), ["none", "mine"]);
    // A cast is known to whatever runs.
    for sql in [
        "CREATE TYPE pair AS (a int, b int)".to_owned(),
        function("to_pair(int)", "pair", &format!("{set} RETURN ROW(1, 2)::pair;")),
        "CREATE CAST (int AS pair) WITH FUNCTION to_pair(int)".to_owned(),
    ] {
        cluster.primary().query("postgres", &sql).unwrap();
    }
    let again = proxy(&cluster.nodes(), 2);
    assert_eq!(left(&again, "SELECT (1::pair).a"), ["none", "mine"]);
    // What the catalog does not know yet: a function that came past the proxy.
    let young = function("young()", "int", &format!("{set} RETURN 1;"));
    cluster.primary().query("postgres", &young).unwrap();
    let mut first = RawClient::login(again.port);
    let mut second = RawClient::login(again.port);
    assert_eq!(ask(&mut first, "SELECT young()"), "1");
    assert_eq!(ask(&mut second, show), "none");
    assert_eq!(ask(&mut first, show), "mine");
}

/// A harmless function is replaced, through the proxy, by one that leaves a setting behind. A client that calls it right
/// then, even by a statement that it has prepared long before, must not leave it to others.
#[test]
fn a_function_that_has_just_changed_leaves_nothing_to_others() {
    let cluster = cluster(0, Auth::Trust);
    let define = |body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION changes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {body} RETURN 1; END $$"
        )
    };
    cluster.primary().query("postgres", &define("")).unwrap();
    let proxy = proxy(&cluster.nodes(), 1);
    let mut caller = RawClient::login(proxy.port);
    let mut other = RawClient::login(proxy.port);
    let show = "SELECT coalesce(nullif(current_setting('app.kept', true), ''), 'none')";
    let prepare = |client: &mut RawClient| {
        let mut bytes = BytesMut::new();
        Parse { name: b"s", query: b"SELECT changes()", types: b"\0\0" }.write(&mut bytes);
        Sync.write(&mut bytes);
        client.send(&bytes);
        client.until_ready();
    };
    prepare(&mut caller);
    for round in 0..20 {
        let mut owner = RawClient::login(proxy.port);
        let body = format!("PERFORM set_config('app.kept', 'round {round}', false);");
        // Alone, or in a transaction.
        let parts = match round % 2 {
            0 => vec![define(&body)],
            _ => vec!["BEGIN".to_owned(), define(&body), "COMMIT".to_owned()],
        };
        for sql in parts {
            assert_eq!(ask(&mut owner, &sql), "");
        }
        leave(owner);
        let mut bytes = BytesMut::new();
        Bind { portal: b"", statement: b"s", rest: &[0; 6] }.write(&mut bytes);
        Execute { portal: b"", max_rows: 0 }.write(&mut bytes);
        Sync.write(&mut bytes);
        caller.send(&bytes);
        assert!(caller.until_ready().iter().all(|message| RawClient::error(message).is_none()));
        leave(caller);
        assert_eq!(ask(&mut other, show), "none", "round {round}");
        caller = RawClient::login(proxy.port);
        prepare(&mut caller);
        let mut owner = RawClient::login(proxy.port);
        assert_eq!(ask(&mut owner, &define("")), "");
        leave(owner);
    }
}

#[test]
fn values_of_sequences_are_nobody_elses() {
    let cluster = cluster(0, Auth::Trust);
    let sql = "CREATE TABLE counted (id serial, a int)";
    cluster.primary().query("postgres", sql).unwrap();
    let proxy = proxy(&cluster.nodes(), 1);
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    assert_eq!(ask(&mut first, "INSERT INTO counted (a) VALUES (1) RETURNING id"), "1");
    // What the server would say to a session that has drawn nothing.
    assert_eq!(ask(&mut second, "BEGIN; UPDATE counted SET a = 2"), "");
    assert_eq!(ask(&mut second, "SELECT lastval()"), "55000");
    assert_eq!(ask(&mut second, "ROLLBACK; DISCARD ALL"), "25001");
    assert_eq!(ask(&mut second, "DISCARD ALL"), "");
    assert_eq!(ask(&mut first, "BEGIN"), "");
    assert_eq!(ask(&mut first, "INSERT INTO counted (a) VALUES (1)"), "");
    assert_eq!(ask(&mut first, "SELECT currval('counted_id_seq')"), "2");
    // It keeps its server from now on.
    assert_eq!(ask(&mut first, "COMMIT"), "");
    assert_eq!(ask(&mut first, "SELECT lastval()"), "2");
    assert_eq!(ask(&mut first, "DISCARD ALL"), "");
    assert_eq!(ask(&mut second, "INSERT INTO counted (a) VALUES (1); SELECT lastval()"), "3");
}

/// What SIGHUP does: a function that was replaced past the proxy is known when the catalog has been loaded again.
#[test]
fn a_function_replaced_past_the_proxy_is_known_after_a_refresh() {
    let cluster = cluster(0, Auth::Trust);
    let define = |body: &str| {
        let function = "CREATE OR REPLACE FUNCTION changes() RETURNS int LANGUAGE plpgsql";
        let sql = format!("{function} AS $$ BEGIN {body} RETURN 1; END $$");
        cluster.primary().query("postgres", &sql).unwrap();
    };
    define("");
    let proxy = proxy(&cluster.nodes(), 2);
    let mut first = RawClient::login(proxy.port);
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    define("PERFORM set_config('app.kept', 'mine', false);");
    let monitor = &proxy.proxy().shared.monitor;
    let schema = monitor.schema(ClusterId(0), "postgres");
    let before = schema.loads();
    monitor.catalogs.refresh();
    wait("the catalog to be loaded again", || schema.loads() > before);
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    let show = "SELECT coalesce(nullif(current_setting('app.kept', true), ''), 'none')";
    assert_eq!(ask(&mut RawClient::login(proxy.port), show), "none");
    assert_eq!(ask(&mut first, show), "mine");
}

/// Whatever clients do, and whatever is known of it.
#[test]
fn a_connection_that_is_always_reset_gives_nothing_to_others() {
    let cluster = cluster(0, Auth::Trust);
    let define = |body: &str| {
        let function = "CREATE OR REPLACE FUNCTION changes() RETURNS int LANGUAGE plpgsql";
        let sql = format!("{function} AS $$ BEGIN {body} RETURN 1; END $$");
        cluster.primary().query("postgres", &sql).unwrap();
    };
    define("");
    let proxy = proxy_with(&cluster.nodes(), "size = 1\nreset_always = true");
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    // Past the proxy, which goes on to take it for harmless.
    define(
        "PERFORM set_config('app.kept', 'mine', false); PERFORM pg_advisory_lock(1); \
         CREATE TEMP TABLE IF NOT EXISTS kept (); LISTEN kept; EXECUTE 'PREPARE kept AS SELECT 1';",
    );
    assert_eq!(ask(&mut first, "SET work_mem = '7MB'"), "");
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    let left = "SELECT concat_ws(' ', coalesce(nullif(current_setting('app.kept', true), ''), 'none'), \
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), to_regclass('pg_temp.kept'), \
        (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements), \
        current_setting('work_mem'))";
    assert_eq!(ask(&mut second, left), "none 0 0 0 4MB");
    assert_eq!(ask(&mut first, "SHOW work_mem"), "7MB");
}
