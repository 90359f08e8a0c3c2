//! What one client's statements leave on a server is never another client's.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use howdah::monitor::Definitions;
use howdah_cluster::{ClusterId, NodeId};
use howdah_e2e::{RawClient, Running, cluster, policy, wait};
use howdah_pgcluster::{Auth, Cluster};
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
    let left = |proxy: &Running, statement: &str| {
        let mut first = RawClient::login(proxy.port);
        let answer = ask(&mut first, statement);
        assert_ne!(answer.len(), 5, "{statement}: {answer}");
        let mut second = RawClient::login(proxy.port);
        let seen = [ask(&mut second, KEPT), ask(&mut first, KEPT)];
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
    assert_eq!(ask(&mut second, KEPT), "none");
    assert_eq!(ask(&mut first, KEPT), "mine");
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
        assert_eq!(ask(&mut other, KEPT), "none", "round {round}");
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
    define(&cluster, "");
    let proxy = proxy(&cluster.nodes(), 2);
    let mut first = RawClient::login(proxy.port);
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    define(&cluster, "PERFORM set_config('app.kept', 'mine', false);");
    let monitor = &proxy.proxy().shared.monitor;
    let schema = monitor.schema(ClusterId(0), "postgres");
    let before = schema.loads();
    monitor.catalogs.refresh();
    wait("the catalog to be loaded again", || schema.loads() > before);
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    assert_eq!(ask(&mut RawClient::login(proxy.port), KEPT), "none");
    assert_eq!(ask(&mut first, KEPT), "mine");
}

/// What is read once a minute: what has not changed since stays known, and is there as before.
#[test]
fn a_catalog_that_says_the_same_when_it_is_read_again_changes_nothing() {
    let cluster = cluster(0, Auth::Trust);
    let proxy = proxy(&cluster.nodes(), 1);
    let mut client = RawClient::login(proxy.port);
    let mut direct = RawClient::login(cluster.primary().port);
    let monitor = &proxy.proxy().shared.monitor;
    let schema = monitor.schema(ClusterId(0), "postgres");
    let node = known(&proxy);
    let before = (node.epoch(), schema.loads(), schema.catalog.load().epoch);
    let mut readings = || {
        let sql = "SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'";
        ask(&mut direct, sql).parse::<u64>().unwrap()
    };
    // What has followed from one reading is there when the next one is over; each takes a connection.
    for used in [true, true, false, false, true, true] {
        if used {
            assert_eq!(ask(&mut client, "SELECT 1"), "1");
        }
        let seen = readings();
        monitor.catalogs.refresh();
        wait("the catalog to be read", || readings() > seen);
        assert_eq!((node.epoch(), schema.loads(), schema.catalog.load().epoch), before);
    }
}

#[test]
fn what_the_default_of_a_domain_leaves_behind_is_nobody_elses() {
    let cluster = cluster(0, Auth::Trust);
    let sql = "CREATE DOMAIN kept AS text DEFAULT set_config('app.kept', 'mine', false); \
        CREATE TABLE keeps (a int, kept kept)";
    cluster.primary().query("postgres", sql).unwrap();
    let proxy = proxy(&cluster.nodes(), 2);
    let mut first = RawClient::login(proxy.port);
    assert_eq!(ask(&mut first, "INSERT INTO keeps (a) VALUES (1)"), "");
    assert_eq!(ask(&mut RawClient::login(proxy.port), KEPT), "none");
    assert_eq!(ask(&mut first, KEPT), "mine");
}

/// Past the proxy, which takes it for harmless until it hears of it.
#[test]
fn a_function_replaced_past_the_proxy_leaves_nothing_to_others() {
    let cluster = cluster(0, Auth::Trust);
    define(&cluster, "");
    let proxy = proxy(&cluster.nodes(), 1);
    let mut second = RawClient::login(proxy.port);
    let mut unpinned = Vec::new();
    for body in ["", LEAVES].repeat(20) {
        define(&cluster, body);
        unpinned.extend(calls(&proxy, "SELECT changes()", "1"));
        assert_eq!(ask(&mut second, LEFT), "none 0 0 0 4MB");
    }
    assert!(!unpinned.is_empty());
}

/// DISCARD ALL does not do away with everything.
#[test]
fn a_seed_is_nobody_elses() {
    let cluster = cluster(0, Auth::Trust);
    let mut direct = RawClient::login(cluster.primary().port);
    let sown = ask(&mut direct, "SELECT setseed(0.5); SELECT random()");
    let sown = sown.split(' ').next_back().unwrap();
    define(&cluster, "");
    let proxy = proxy(&cluster.nodes(), 1);
    let mut second = RawClient::login(proxy.port);
    let mut unpinned = Vec::new();
    for body in ["", "PERFORM setseed(0.5);"].repeat(10) {
        define(&cluster, body);
        unpinned.extend(calls(&proxy, "SELECT changes()", "1"));
        assert_ne!(ask(&mut second, "SELECT random()"), sown);
    }
    assert!(!unpinned.is_empty());
}

/// Languages keep variables of their own, and so do some extensions.
#[test]
fn what_languages_and_extensions_keep_is_nobody_elses() {
    let cluster = cluster(0, Auth::Trust);
    let sql = "CREATE LANGUAGE other HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler; \
        CREATE FUNCTION calm() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'; \
        CREATE FUNCTION other() RETURNS int LANGUAGE other AS 'BEGIN RETURN 1; END'; \
        CREATE FUNCTION alias(float8) RETURNS void LANGUAGE internal AS 'setseed'; \
        CREATE EXTENSION dblink; CREATE EXTENSION pg_trgm";
    cluster.primary().query("postgres", sql).unwrap();
    let proxy = proxy(&cluster.nodes(), 4);
    let stays = |statement: &str| {
        let mut client = RawClient::login(proxy.port);
        ask(&mut client, statement);
        let pin = ask(&mut client, "SHOW howdah.pin");
        leave(client);
        !pin.is_empty()
    };
    for statement in [
        "SELECT other()",
        "DO LANGUAGE other 'BEGIN END'",
        "SELECT alias(0.5)",
        "SELECT dblink_connect('one', 'host=/nowhere')",
        "SELECT set_limit(0.9)",
    ] {
        assert!(stays(statement), "{statement}");
    }
    for statement in ["SELECT calm()", "SELECT similarity('a', 'b')", "DO 'BEGIN END'"] {
        assert!(!stays(statement), "{statement}");
    }
}

/// DISCARD ALL does not do away with variables of a language.
#[test]
fn what_is_not_known_is_closed_where_there_are_other_languages() {
    let cluster = cluster(0, Auth::Trust);
    define(&cluster, "");
    let sql = "CREATE LANGUAGE other HANDLER plpgsql_call_handler";
    cluster.primary().query("postgres", sql).unwrap();
    let proxy = proxy(&cluster.nodes(), 1);
    let mut second = RawClient::login(proxy.port);
    let node = definitions(&proxy);
    let mut closed = Vec::new();
    for _ in 0..10 {
        wait("the catalog to be known to be true", || {
            ask(&mut second, "SELECT 1");
            node.epoch() != 0
        });
        let mut first = RawClient::login(proxy.port);
        let sql = "SELECT concat(pg_backend_pid(), ' ', changes())";
        let before = ask(&mut first, sql).replace(" 1", "");
        let pinned = !ask(&mut first, "SHOW howdah.pin").is_empty();
        define(&cluster, LEAVES);
        let after = ask(&mut second, "SELECT pg_backend_pid()");
        closed.push(!pinned && before != after);
        leave(first);
        define(&cluster, "");
    }
    assert!(closed.contains(&true), "{closed:?}");
}

/// It is not forgotten what a client has left before it has used a connection once more.
#[test]
fn what_a_client_has_left_counts_until_the_connection_is_reset() {
    let cluster = cluster(0, Auth::Trust);
    define(&cluster, "");
    let proxy = proxy(&cluster.nodes(), 1);
    let mut second = RawClient::login(proxy.port);
    let node = known(&proxy);
    let before = node.epoch();
    define(&cluster, LEAVES);
    // On a slow machine it may be known before it is called.
    let Some(mut first) = calls(&proxy, "SELECT changes()", "1") else { return };
    wait("the change to be known", || ![0, before].contains(&node.epoch()));
    // Harmless, and looked at with what is true.
    assert_eq!(ask(&mut first, "SELECT 1"), "1");
    assert_eq!(ask(&mut second, LEFT), "none 0 0 0 4MB");
}

/// What it has prepared stays there.
#[test]
fn a_connection_of_which_all_is_known_is_not_reset() {
    let cluster = cluster(0, Auth::Trust);
    let proxy = proxy(&cluster.nodes(), 1);
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    known(&proxy);
    let mut number = 0;
    // An answer that takes long is not waited for.
    wait("twenty changes of clients without a reset", || {
        number += 1;
        let mut bytes = BytesMut::new();
        let (name, query) = (format!("s{number}"), format!("SELECT {number}"));
        let (name, query) = (name.as_bytes(), query.as_bytes());
        Parse { name, query, types: b"\0\0" }.write(&mut bytes);
        Sync.write(&mut bytes);
        first.send(&bytes);
        first.until_ready();
        (0..20).all(|_| {
            assert_eq!(ask(&mut first, "SELECT 'first'"), "first");
            ask(&mut second, "SELECT count(*) FROM pg_prepared_statements") != "0"
        })
    });
}

/// On a replica they change when it has replayed them.
#[test]
fn a_function_replaced_past_the_proxy_leaves_nothing_to_others_on_a_replica() {
    let cluster = cluster(1, Auth::Trust);
    define(&cluster, "");
    let component = policy("user-to-replica");
    let proxy = Running::start(
        &cluster.nodes(),
        &format!(
            "[pool]\nsize = 1\n[[policy]]\nname = \"replica\"\npath = {component:?}\n\
             [policy.settings]\nusers = [\"postgres\"]\n"
        ),
    );
    proxy.wait_up(2);
    let mut second = RawClient::login(proxy.port);
    let mut unpinned = Vec::new();
    for body in ["NULL;", "PERFORM set_config('app.kept', 'mine', false);"].repeat(10) {
        define(&cluster, body);
        let seen = "SELECT prosrc FROM pg_proc WHERE proname = 'changes'";
        let replayed = || cluster.replicas()[0].value("postgres", seen).unwrap().contains(body);
        wait("the definition to be replayed", replayed);
        unpinned.extend(calls(&proxy, "SELECT concat(pg_is_in_recovery(), changes())", "t1"));
        assert_eq!(ask(&mut second, KEPT), "none");
    }
    assert!(!unpinned.is_empty());
}

/// Whatever may decide what a statement leaves behind.
#[test]
fn definitions_of_every_kind_are_noticed_past_the_proxy() {
    let cluster = cluster(0, Auth::Trust);
    let run = |sql: &str| cluster.primary().query("postgres", sql).unwrap();
    run("CREATE SCHEMA there; CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT 1 AS a; \
         CREATE DOMAIN d AS int; CREATE TYPE pair AS (a int, b int); \
         CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'; \
         CREATE FUNCTION g(pair) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         CREATE FUNCTION r() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'");
    let proxy = proxy(&cluster.nodes(), 1);
    let mut clients = [RawClient::login(proxy.port), RawClient::login(proxy.port)];
    let node = definitions(&proxy);
    let mut noticed = |what: &str, sql: &str| {
        let mut epoch = || {
            clients.iter_mut().for_each(|client| assert_eq!(ask(client, "SELECT 1"), "1"));
            node.epoch()
        };
        wait("the catalog to be known to be true", || epoch() != 0);
        let (_, before) = node.figures();
        run(sql);
        wait(what, || {
            epoch();
            node.figures().1 > before
        });
    };
    noticed("a function", "CREATE FUNCTION h() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    noticed(
        "a function replaced",
        "CREATE OR REPLACE FUNCTION h() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    );
    noticed("a function renamed", "ALTER FUNCTION h() RENAME TO i");
    noticed("a function of the system", "ALTER FUNCTION pg_catalog.lower(text) COST 2");
    noticed("an aggregate", "CREATE AGGREGATE s (int) (SFUNC = int4pl, STYPE = int)");
    noticed("a view", "CREATE VIEW w AS SELECT 1 AS a");
    noticed("a view replaced", "CREATE OR REPLACE VIEW v AS SELECT f(1) AS a");
    noticed("a rule", "CREATE RULE e AS ON INSERT TO t DO ALSO SELECT f(1)");
    noticed("a trigger", "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION r()");
    noticed("a trigger disabled", "ALTER TABLE t DISABLE TRIGGER r");
    noticed("a policy", "CREATE POLICY p ON t USING (f(a) = 1)");
    noticed("row security", "ALTER TABLE t ENABLE ROW LEVEL SECURITY");
    noticed("a default", "ALTER TABLE t ALTER a SET DEFAULT f(1)");
    noticed("a check", "ALTER TABLE t ADD CHECK (f(a) = 1)");
    noticed("an index", "CREATE INDEX ON t (f(a))");
    noticed("a domain's check", "ALTER DOMAIN d ADD CHECK (f(VALUE) = 1)");
    noticed("a domain's default", "ALTER DOMAIN d SET DEFAULT 1");
    noticed("a domain", "CREATE DOMAIN e AS text; CREATE TABLE of (e e)");
    noticed("its default", "ALTER DOMAIN e SET DEFAULT set_config('app.kept', 'mine', false)");
    noticed("an operator", "CREATE OPERATOR ||| (FUNCTION = f, RIGHTARG = int)");
    noticed("a cast", "CREATE CAST (pair AS int) WITH FUNCTION g(pair) AS IMPLICIT");
    noticed("a schema renamed", "ALTER SCHEMA there RENAME TO elsewhere");
    noticed("a table renamed", "ALTER TABLE t RENAME TO u");
    noticed("a view in its place", "CREATE VIEW t AS SELECT f(a) AS a FROM u");
}

/// Temporary tables, VACUUM and ANALYZE change no definition that counts.
#[test]
fn what_looks_like_a_change_is_none() {
    let cluster = cluster(0, Auth::Trust);
    cluster
        .primary()
        .query("postgres", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .unwrap();
    let proxy = proxy(&cluster.nodes(), 1);
    let mut clients = [RawClient::login(proxy.port), RawClient::login(proxy.port)];
    let node = known(&proxy);
    let (_, before) = node.figures();
    for sql in ["CREATE TEMP TABLE of (a int PRIMARY KEY)", "VACUUM t", "ANALYZE t"] {
        cluster.primary().query("postgres", sql).unwrap();
        let (asked, _) = node.figures();
        wait("two questions", || {
            clients.iter_mut().for_each(|client| assert_eq!(ask(client, "SELECT 1"), "1"));
            node.figures().0 > asked + 1
        });
        // Comparing takes its time, and may be done for a part of the time only.
        std::thread::sleep(Duration::from_secs(2));
    }
    assert_eq!(node.figures().1, before);
}

/// Nobody finds it when relations are compared, but it has been there.
#[test]
fn what_has_been_there_for_a_moment_leaves_nothing_to_others() {
    let cluster = cluster(0, Auth::Trust);
    // A temporary table would be noticed by itself.
    define(&cluster, "PERFORM set_config('app.kept', 'mine', false);");
    let sql = "CREATE TYPE pair AS (a int, b int); CREATE TABLE pairs (pair pair); \
        INSERT INTO pairs VALUES ((1, 2)); CREATE FUNCTION changes(pair) RETURNS int \
        LANGUAGE plpgsql AS 'BEGIN RETURN changes(); END'; CREATE FUNCTION changed() \
        RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM changes(); END'";
    cluster.primary().query("postgres", sql).unwrap();
    let proxy = proxy(&cluster.nodes(), 1);
    let mut second = RawClient::login(proxy.port);
    let node = definitions(&proxy);
    let mut leaves = |make: &str, (sql, answer): (&str, &str), unmake: &str| {
        wait("the catalog to be known to be true", || {
            ask(&mut second, "SELECT 1");
            node.epoch() != 0
        });
        let mut unpinned = Vec::new();
        for _ in 0..20 {
            cluster.primary().query("postgres", make).unwrap();
            unpinned.extend(calls(&proxy, sql, answer));
            cluster.primary().query("postgres", unmake).unwrap();
            assert_eq!(ask(&mut second, KEPT), "none");
        }
        assert!(!unpinned.is_empty());
    };
    let cast = "CREATE CAST (pair AS int) WITH FUNCTION changes(pair) AS IMPLICIT";
    leaves(cast, ("SELECT abs(pair) FROM pairs", "1"), "DROP CAST (pair AS int)");
    leaves("CREATE VIEW v AS SELECT changes()", ("SELECT * FROM v", "1"), "DROP VIEW v");
    let trigger = "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION changed()";
    leaves(trigger, ("COMMENT ON TABLE pairs IS 'two'", ""), "DROP EVENT TRIGGER e");
}

/// It says what it needs, and is on the safe side without it.
#[test]
fn what_cannot_be_asked_is_not_believed() {
    let cluster = cluster(0, Auth::Trust);
    define(&cluster, "");
    cluster.primary().query("postgres", "ALTER DATABASE postgres SET track_counts = off").unwrap();
    let proxy = proxy(&cluster.nodes(), 1);
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    nothing_is_left(&cluster, &mut first, &mut second);
}

/// The same when it was there to begin with.
#[test]
fn what_can_be_asked_no_longer_is_not_believed() {
    let cluster = cluster(0, Auth::Trust);
    define(&cluster, "");
    let proxy = proxy(&cluster.nodes(), 1);
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    known(&proxy);
    cluster.primary().query("postgres", "ALTER SYSTEM SET track_counts = off").unwrap();
    cluster.primary().query("postgres", "SELECT pg_reload_conf()").unwrap();
    let counts = "SELECT current_setting('track_counts')";
    wait("the setting", || ask(&mut second, counts) == "off");
    nothing_is_left(&cluster, &mut first, &mut second);
}

/// Whatever clients do, and whatever is known of it.
#[test]
fn a_connection_that_is_always_reset_gives_nothing_to_others() {
    let cluster = cluster(0, Auth::Trust);
    define(&cluster, "");
    let proxy = proxy_with(&cluster.nodes(), "size = 1\nreset_always = true");
    let mut first = RawClient::login(proxy.port);
    let mut second = RawClient::login(proxy.port);
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    define(&cluster, LEAVES);
    assert_eq!(ask(&mut first, "SET work_mem = '7MB'"), "");
    assert_eq!(ask(&mut first, "SELECT changes()"), "1");
    assert_eq!(ask(&mut second, LEFT), "none 0 0 0 4MB");
    assert_eq!(ask(&mut first, "SHOW work_mem"), "7MB");
}

/// What is known of the first node's definitions.
fn definitions(proxy: &Running) -> Arc<Definitions> {
    let schema = proxy.proxy().shared.monitor.schema(ClusterId(0), "postgres");
    Arc::clone(schema.definitions(NodeId(0)).unwrap())
}

/// The same, when it is known that the catalog is true.
fn known(proxy: &Running) -> Arc<Definitions> {
    let node = definitions(proxy);
    wait("the catalog to be known to be true", || node.epoch() != 0);
    node
}

/// Whatever is defined past the proxy, what one client has called leaves nothing to the other.
fn nothing_is_left(cluster: &Cluster, first: &mut RawClient, second: &mut RawClient) {
    for body in ["", LEAVES].repeat(3) {
        define(cluster, body);
        assert_eq!(ask(first, "SELECT changes()"), "1");
        assert_eq!(ask(second, LEFT), "none 0 0 0 4MB");
    }
}

/// Defines a function, past the proxy.
fn define(cluster: &Cluster, body: &str) {
    let function = "CREATE OR REPLACE FUNCTION changes() RETURNS int LANGUAGE plpgsql";
    let sql = format!("{function} AS $$ BEGIN {body} RETURN 1; END $$");
    cluster.primary().query("postgres", &sql).unwrap();
}

/// A client that calls something, if that lets go of its server afterwards.
fn calls(proxy: &Running, sql: &str, answer: &str) -> Option<RawClient> {
    let mut client = RawClient::login(proxy.port);
    assert_eq!(ask(&mut client, sql), answer);
    if ask(&mut client, "SHOW howdah.pin").is_empty() {
        return Some(client);
    }
    leave(client);
    None
}

/// Leaves something of each kind.
const LEAVES: &str = "PERFORM set_config('app.kept', 'mine', false); PERFORM pg_advisory_lock(1); \
    CREATE TEMP TABLE IF NOT EXISTS kept (); LISTEN kept; \
    IF NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'kept') THEN \
        EXECUTE 'PREPARE kept AS SELECT 1'; END IF;";

/// What others have left.
const LEFT: &str = "SELECT concat_ws(' ', coalesce(nullif(current_setting('app.kept', true), ''), 'none'), \
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), to_regclass('pg_temp.kept'), \
    (SELECT count(*) FROM pg_listening_channels()), \
    (SELECT count(*) FROM pg_prepared_statements), current_setting('work_mem'))";

const KEPT: &str = "SELECT coalesce(nullif(current_setting('app.kept', true), ''), 'none')";
