//! What one client's statements leave on a server is never another client's.
#![allow(clippy::unwrap_used)]

use howdah_e2e::{RawClient, Running, cluster, policy};
use howdah_pgcluster::Auth;
use howdah_wire::backend::{self, DataRow};

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
    let component = policy("user-to-replica");
    let more =
        format!("[pool]\nsize = {size}\n[[policy]]\nname = \"primary\"\npath = {component:?}\n");
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
        "CREATE TABLE tripped (a int)".to_owned(),
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
        "DO $$ BEGIN SET app.kept = 'mine'; END $$",
        "DO $$ BEGIN PERFORM calls_it(); END $$",
        "DO 'BEGIN IF true THEN PERFORM set_config(''app.kept'', ''mine'', false); END IF; END'",
    ] {
        assert_eq!(left(&through, statement), ["none", "mine"], "{statement}");
    }
    assert_eq!(left(&through, "SELECT is_local()"), ["none", "none"]);
    let mut first = RawClient::login(through.port);
    assert_eq!(ask(&mut first, "SELECT makes(); SELECT 2"), "1 2");
    let mut second = RawClient::login(through.port);
    assert_eq!(ask(&mut second, "SELECT count(*) FROM t"), "42P01");
    assert_eq!(ask(&mut first, "SELECT count(*) FROM t"), "1");
    // A trigger is known to whoever writes.
    let trigger = "CREATE TRIGGER trip BEFORE INSERT ON tripped \
        FOR EACH ROW EXECUTE FUNCTION on_insert()";
    cluster.primary().query("postgres", trigger).unwrap();
    let again = proxy(&cluster.nodes(), 2);
    assert_eq!(left(&again, "INSERT INTO tripped VALUES (1)"), ["none", "mine"]);
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
