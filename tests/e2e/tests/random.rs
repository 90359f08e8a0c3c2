//! Random sessions: several clients share a few servers, and each sees what it would see if it had one of its own.
//!
//! `PROPTEST_CASES` says how many; a failure prints the shortest sequence that was found.
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use howdah_e2e::{RawClient, Running, cluster, policy, wait};
use howdah_pgcluster::{Auth, Cluster};
use howdah_wire::frontend::{Bind, Close, Describe, Execute, Parse, Query, Sync, Target};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Clients that take turns.
const CLIENTS: usize = 3;

/// Of the cluster: what becomes of writes by themselves can be proven, and transactions are kept.
const PROVEN: &str = "prove_autocommit = true\nreplay_transactions = true";

/// What a client does.
#[derive(Clone, Debug)]
enum Act {
    /// A simple query, of one statement or several.
    Query(Vec<String>),
    /// Parse and Describe under a name, and Sync.
    Prepare(usize, usize),
    /// Bind and Execute of a name, and Sync.
    Execute(usize),
    /// Parse, Bind and Execute without a name, and Sync; `true`: followed by a second one in the same packet.
    Unnamed(usize, bool),
    /// Parse, Bind and Execute without a name, twice, and one Sync.
    Batch(usize, usize),
    /// Close of a name, and Sync.
    Close(usize),
    /// It leaves, and comes back as a new one.
    Reconnect,
}

const NAMES: [&str; 3] = ["p", "q", ""];
const PREPARED: [&str; 9] = [
    "SELECT current_setting('work_mem'), current_user",
    "SELECT count(*) FROM mine",
    "INSERT INTO mine VALUES (7)",
    "SELECT now()::date - now()::date, 1.5::float8, date '2024-02-03'",
    "SELECT date '1/2/2024', timestamptz '2024-01-02 12:00' AT TIME ZONE 'UTC', 0.1::float4::text",
    "SELECT * FROM mine UNION ALL SELECT * FROM mine LIMIT 1",
    "SELECT 1/0",
    "DELETE FROM mine RETURNING a + 0",
    "INSERT INTO kept VALUES (1), (1)",
];

fn setting() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "work_mem = '1MB'",
        "work_mem = '2MB'",
        "work_mem TO DEFAULT",
        "search_path = other, public",
        "search_path = public",
        "datestyle = german",
        "datestyle = 'ISO, DMY'",
        "datestyle = ymd",
        "timezone = 'Europe/Oslo'",
        "TIME ZONE -3",
        "TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
        "extra_float_digits = 0",
        "application_name = 'x y'",
        "bytea_output = 'escape'",
        "app.user = 'alice'",
        "app.user = 'bob'",
        "app.\"Other\" = 'it''s'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = off",
        "ROLE one",
        "ROLE two",
        "ROLE NONE",
        "SESSION AUTHORIZATION one",
        "SESSION AUTHORIZATION DEFAULT",
        "NAMES 'latin1'",
        "XML OPTION DOCUMENT",
        "work_mem = 'nonsense'",
        "nonsense = 1",
    ])
}

fn statement() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "RESET ALL",
        "RESET work_mem",
        "RESET datestyle",
        "RESET TIME ZONE",
        "RESET ROLE",
        "RESET SESSION AUTHORIZATION",
        "SHOW work_mem",
        "SHOW search_path",
        "SHOW datestyle",
        "SHOW timezone",
        "SHOW application_name",
        "SHOW default_transaction_isolation",
        "SELECT current_user, session_user, current_setting('role')",
        "SELECT nullif(current_setting('app.user', true), ''), nullif(current_setting('app.Other', true), '')",
        "SELECT date '2024-02-03', 0.1::float8, '\\x41ff'::bytea",
        "SELECT xmloption FROM (SELECT current_setting('xmloption') AS xmloption) x",
        "SELECT set_config('work_mem', '3MB', false)",
        "SELECT set_config('work_mem', '4MB', true)",
        "BEGIN",
        "BEGIN READ ONLY",
        "COMMIT",
        "COMMIT AND CHAIN",
        "ROLLBACK",
        "SAVEPOINT a",
        "SAVEPOINT b",
        "ROLLBACK TO a",
        "ROLLBACK TO b",
        "RELEASE a",
        "SELECT 1/0",
        "SELEC",
        "",
        "INSERT INTO mine VALUES (1)",
        "INSERT INTO mine VALUES (2) RETURNING 6 / a",
        "INSERT INTO mine VALUES (0) RETURNING 6 / a",
        "UPDATE mine SET a = a + 1 RETURNING set_config('work_mem', '5MB', false)",
        "INSERT INTO mine SELECT 3 WHERE set_config('datestyle', 'german', false) IS NOT NULL",
        "INSERT INTO kept VALUES (1), (1)",
        "SELECT count(*) FROM mine",
        "DELETE FROM mine",
        "ALTER TABLE mine ADD b int DEFAULT 3",
        "ALTER TABLE mine DROP b",
        "PREPARE s AS SELECT current_setting('work_mem')",
        "EXECUTE s",
        "DEALLOCATE s",
        "DEALLOCATE p",
        "DEALLOCATE ALL",
        "CREATE TEMP TABLE temporary (a int)",
        "CREATE TEMP TABLE temporary ON COMMIT DROP AS SELECT 5 AS a",
        "INSERT INTO temporary VALUES (2)",
        "SELECT count(*) FROM temporary",
        "DROP TABLE temporary",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT pg_advisory_unlock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT pg_advisory_unlock_all()",
        "DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 3)",
        "DECLARE plain CURSOR FOR SELECT generate_series(1, 3)",
        "FETCH held",
        "FETCH plain",
        "CLOSE held",
        "CLOSE ALL",
        "LISTEN c",
        "UNLISTEN *",
        "DISCARD ALL",
        "DISCARD TEMP",
        "DISCARD PLANS",
    ]);
    prop_oneof![
        2 => setting().prop_map(|setting| format!("SET {setting}")),
        1 => setting().prop_map(|setting| format!("SET LOCAL {setting}")),
        1 => setting().prop_map(|setting| format!("SET SESSION {setting}")),
        6 => fixed.prop_map(str::to_owned),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let name = || 0..NAMES.len();
    let sql = || 0..PREPARED.len();
    prop_oneof![
        10 => statement().prop_map(|one| Act::Query(vec![one])),
        2 => prop::collection::vec(statement(), 2..4).prop_map(Act::Query),
        1 => (name(), sql()).prop_map(|(name, sql)| Act::Prepare(name, sql)),
        2 => name().prop_map(Act::Execute),
        1 => (sql(), any::<bool>()).prop_map(|(sql, twice)| Act::Unnamed(sql, twice)),
        1 => (sql(), sql()).prop_map(|(first, second)| Act::Batch(first, second)),
        1 => name().prop_map(Act::Close),
        1 => Just(Act::Reconnect),
    ]
}

/// What is sent for it, and how many ReadyForQuery come back. Tables and locks are the client's own: clients that wait
/// for each other would wait for ever, because they take turns.
fn bytes(client: usize, act: &Act) -> (BytesMut, usize) {
    let mut out = BytesMut::new();
    let own = |sql: &str| {
        sql.replace("mine", &format!("mine{client}"))
            .replace("kept", &format!("kept{client}"))
            .replace("lock(1)", &format!("lock({client})"))
    };
    let bind = |out: &mut BytesMut, statement: &str, max_rows: u32| {
        let statement = statement.as_bytes();
        Bind { portal: b"", statement, rest: b"\0\0\0\0\0\0" }.write(out);
        Describe { target: Target::Portal, name: b"" }.write(out);
        Execute { portal: b"", max_rows }.write(out);
    };
    let unnamed = |out: &mut BytesMut, sql: usize, max_rows: u32| {
        let query = own(PREPARED[sql]);
        Parse { name: b"", query: query.as_bytes(), types: b"\0\0" }.write(out);
        bind(out, "", max_rows);
    };
    let mut answers = 1;
    match act {
        Act::Query(statements) => {
            Query { text: own(&statements.join("; ")).as_bytes() }.write(&mut out);
            return (out, 1);
        }
        Act::Prepare(name, sql) => {
            let (name, query) = (NAMES[*name].as_bytes(), own(PREPARED[*sql]));
            Parse { name, query: query.as_bytes(), types: b"\0\0" }.write(&mut out);
            Describe { target: Target::Statement, name }.write(&mut out);
        }
        Act::Execute(name) => bind(&mut out, NAMES[*name], 0),
        Act::Unnamed(sql, twice) => {
            for _ in 0..=usize::from(*twice) {
                // The second one may leave its portal suspended.
                unnamed(&mut out, *sql, answers as u32 - 1);
                if *twice && answers == 1 {
                    Sync.write(&mut out);
                    answers = 2;
                }
            }
        }
        Act::Batch(first, second) => {
            unnamed(&mut out, *first, 0);
            unnamed(&mut out, *second, 0);
        }
        Act::Close(name) => {
            Close { target: Target::Statement, name: NAMES[*name].as_bytes() }.write(&mut out);
        }
        Act::Reconnect => {}
    }
    Sync.write(&mut out);
    (out, answers)
}

/// A message, without the place in the server's source that an error comes from.
fn shown(tag: u8, body: &[u8]) -> String {
    let mut fields: Vec<&[u8]> = body.split_inclusive(|byte| *byte == 0).collect();
    if matches!(tag, b'E' | b'N') {
        fields.retain(|field| !matches!(field[0], b'F' | b'L' | b'R'));
    }
    format!("{} {}", tag as char, fields.concat().escape_ascii())
}

/// Clients of one database.
struct World<'a> {
    port: u16,
    clients: Vec<RawClient>,
    database: &'static str,
    cluster: &'a Cluster,
}

impl World<'_> {
    fn new<'a>(cluster: &'a Cluster, port: u16, database: &'static str) -> World<'a> {
        let clients = (0..CLIENTS).map(|_| RawClient::login_to(port, database)).collect();
        World { port, clients, database, cluster }
    }

    fn does(&mut self, client: usize, act: &Act) -> Vec<String> {
        if let Act::Reconnect = act {
            self.clients[client].send(b"X\0\0\0\x04");
            while self.clients[client].message().is_some() {}
            // The server is cleaned up behind its back.
            let locks = format!(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                 WHERE datname = current_database() AND locktype = 'advisory' AND objid = {client}"
            );
            wait("the locks of a client that has left to be gone", || {
                self.cluster.primary().value(self.database, &locks).unwrap() == "0"
            });
            self.clients[client] = RawClient::login_to(self.port, self.database);
            return Vec::new();
        }
        let (bytes, answers) = bytes(client, act);
        self.clients[client].send(&bytes);
        let seen = (0..answers).flat_map(|_| self.clients[client].until_ready());
        seen.map(|(tag, body)| shown(tag, &body)).collect()
    }
}

/// How often a failing sequence is made shorter. Each time takes long when the failure is that nothing comes.
fn shrink() -> u32 {
    std::env::var("PROPTEST_MAX_SHRINK_ITERS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

fn tables() -> Vec<String> {
    let both = |i| [format!("public.mine{i}"), format!("other.mine{i}")];
    (0..CLIENTS).flat_map(both).collect()
}

fn prepare(cluster: &Cluster) {
    for sql in
        ["CREATE ROLE one", "CREATE ROLE two", "CREATE DATABASE direct", "CREATE DATABASE pooled"]
    {
        cluster.primary().query("postgres", sql).unwrap();
    }
    for database in ["direct", "pooled"] {
        for sql in ["CREATE SCHEMA other", "GRANT ALL ON SCHEMA public, other TO PUBLIC"] {
            cluster.primary().query(database, sql).unwrap();
        }
        for table in tables() {
            let sql = format!("CREATE TABLE {table} (a int); GRANT ALL ON {table} TO PUBLIC");
            cluster.primary().query(database, &sql).unwrap();
        }
        // COMMIT refuses what breaks its rule.
        for table in (0..CLIENTS).map(|i| format!("kept{i}")) {
            let sql = format!(
                "CREATE TABLE {table} (a int UNIQUE DEFERRABLE INITIALLY DEFERRED); \
                 GRANT ALL ON {table} TO PUBLIC"
            );
            cluster.primary().query(database, &sql).unwrap();
        }
    }
}

/// Does the same with servers of their own for all, and with shared ones.
fn same(
    cluster: &Cluster,
    more: &str,
    keys: &str,
    acts: &[(usize, Act)],
) -> Result<(), TestCaseError> {
    // As they were made: what fails shall fail again by itself.
    let anew = |table| format!("TRUNCATE {table}; ALTER TABLE {table} DROP COLUMN IF EXISTS b");
    let anew: Vec<String> = tables().into_iter().map(anew).collect();
    for database in ["direct", "pooled"] {
        cluster.primary().query(database, &anew.join("; ")).unwrap();
    }
    let proxy = Running::start_with(&cluster.nodes(), more, keys);
    proxy.wait_up(1);
    let mut direct = World::new(cluster, cluster.primary().port, "direct");
    let mut pooled = World::new(cluster, proxy.port, "pooled");
    for (number, (client, act)) in acts.iter().enumerate() {
        let expected = direct.does(*client, act);
        let found = pooled.does(*client, act);
        prop_assert_eq!(found, expected, "at {}: client {}, {:?}", number, client, act);
    }
    Ok(())
}

/// Sequences that once went wrong.
#[test]
fn what_went_wrong_once_goes_right() {
    let query = |texts: &[&str]| Act::Query(texts.iter().map(|t| (*t).to_owned()).collect());
    let sequences = [
        // A name prepared twice, then given back: the stray name was left on the server.
        vec![
            (0, Act::Prepare(0, 4)),
            (0, query(&["SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE"])),
            (0, Act::Prepare(0, 4)),
            (0, query(&["DEALLOCATE p"])),
            (2, query(&["DEALLOCATE p"])),
            (2, Act::Unnamed(0, false)),
            (0, query(&["SELECT 1/0", "ROLLBACK"])),
        ],
        // The same in a transaction, which fails by it.
        vec![
            (1, query(&["BEGIN"])),
            (1, Act::Prepare(0, 0)),
            (1, Act::Prepare(0, 0)),
            (1, Act::Close(0)),
            (1, Act::Execute(0)),
        ],
        // One pin goes, but not the other.
        vec![
            (0, query(&["PREPARE s AS SELECT 1"])),
            (0, query(&["SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE"])),
            (0, query(&["DEALLOCATE ALL"])),
            (2, query(&["SHOW timezone"])),
            (0, query(&["EXECUTE s"])),
        ],
        // What was set has been committed when the client leaves in the transaction that followed at once.
        vec![
            (0, query(&["BEGIN"])),
            (0, query(&["SET datestyle = german", "COMMIT AND CHAIN"])),
            (0, Act::Reconnect),
            (2, query(&["SET work_mem = '1MB'"])),
        ],
        // Plans that another client has discarded were made anew, and a date was read by later settings.
        vec![
            (0, Act::Prepare(1, 4)),
            (0, query(&["SET SESSION datestyle = german"])),
            (2, query(&["DISCARD PLANS"])),
            (0, Act::Execute(1)),
        ],
        // Plans that the client itself has discarded are made under later settings.
        vec![
            (2, Act::Prepare(1, 4)),
            (2, query(&["DISCARD PLANS"])),
            (2, query(&["SET SESSION datestyle = german"])),
            (2, Act::Execute(1)),
            (2, query(&["SET SESSION datestyle = ymd"])),
            (0, query(&["DISCARD PLANS"])),
            (2, Act::Execute(1)),
        ],
        // Prepared under other settings, and not known where a lock has kept the client since.
        vec![
            (0, Act::Prepare(1, 4)),
            (0, query(&["SET datestyle = german"])),
            (2, query(&["SELECT 1"])),
            (0, query(&["SELECT pg_advisory_lock(1)"])),
            (0, Act::Execute(1)),
        ],
        // The same, by another role.
        vec![
            (0, query(&["SET ROLE one"])),
            (0, Act::Prepare(1, 4)),
            (0, query(&["SET datestyle = german"])),
            (2, query(&["SELECT 1"])),
            (0, Act::Execute(1)),
        ],
        // Prepared under other settings, and not known where settings that can't be carried keep the client.
        vec![
            (2, Act::Prepare(0, 4)),
            (2, Act::Prepare(0, 0)),
            (
                2,
                query(&[
                    "SET SESSION TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
                    "SET work_mem = '1MB'",
                ]),
            ),
            (2, Act::Execute(0)),
        ],
        // The same in a transaction.
        vec![
            (2, Act::Prepare(0, 4)),
            (2, Act::Prepare(0, 0)),
            (2, query(&["BEGIN"])),
            (
                2,
                query(&[
                    "INSERT INTO mine SELECT 3 WHERE set_config('datestyle', 'german', false) IS NOT NULL",
                ]),
            ),
            (2, Act::Execute(0)),
            (2, query(&["SHOW datestyle"])),
            (2, query(&["COMMIT"])),
            (2, query(&["SHOW datestyle"])),
        ],
        // The second of two unnamed statements is skipped.
        vec![(1, Act::Batch(6, 0)), (1, Act::Execute(2)), (0, Act::Execute(2))],
        // A name means another table, with other columns, where a server has to prepare it anew: for a transaction, for a
        // role, and in a transaction that has changed the table itself.
        vec![
            (2, query(&["ALTER TABLE mine ADD b int DEFAULT 3"])),
            (2, Act::Prepare(0, 5)),
            (0, query(&["SET work_mem = '1MB'"])),
            (2, query(&["BEGIN"])),
            (2, query(&["SET LOCAL work_mem = '1MB'", "SET LOCAL search_path = other, public"])),
            (2, Act::Execute(0)),
            (2, query(&["ROLLBACK"])),
            (2, Act::Execute(0)),
        ],
        vec![
            (2, query(&["ALTER TABLE mine ADD b int DEFAULT 3"])),
            (2, Act::Prepare(0, 5)),
            (0, query(&["SELECT 1"])),
            (2, query(&["SET ROLE one", "SET search_path = other, public"])),
            (2, Act::Execute(0)),
            (2, query(&["SET ROLE NONE", "SET search_path = public"])),
            (2, Act::Execute(0)),
        ],
        vec![
            (2, Act::Prepare(0, 5)),
            (0, query(&["SELECT 1"])),
            (2, query(&["BEGIN", "ALTER TABLE mine ADD b int DEFAULT 3"])),
            (2, Act::Execute(0)),
            (2, query(&["ROLLBACK"])),
            (2, Act::Execute(0)),
        ],
        // SET takes over what SET LOCAL has made of the same setting.
        vec![
            (2, query(&["SET LOCAL datestyle = german", "SET SESSION datestyle = ymd"])),
            (0, query(&["SET datestyle = ymd"])),
            (2, query(&["SHOW datestyle"])),
            (0, query(&["SELECT 1"])),
            (
                2,
                query(&[
                    "BEGIN",
                    "SET LOCAL datestyle = german",
                    "SAVEPOINT a",
                    "SET datestyle = ymd",
                ]),
            ),
            (2, query(&["ROLLBACK TO a", "COMMIT"])),
            (0, query(&["SELECT 1"])),
            (2, query(&["SHOW datestyle"])),
        ],
        // What the protocol has prepared is named in a text of several statements.
        vec![(1, Act::Prepare(0, 0)), (1, query(&["SET work_mem = '1MB'", "DEALLOCATE p"]))],
    ];
    let (cluster, more) = setting_up();
    for (key, keys) in [("", ""), (ALWAYS, ""), (ONCE, ""), ("", PROVEN)] {
        for acts in &sequences {
            same(&cluster, &with_key(&more, key), keys, acts).unwrap();
        }
    }
}

/// Connections are reset whenever they go to another client.
const ALWAYS: &str = "reset_always = true\n";

/// What comes again without a name is prepared once.
const ONCE: &str = "prepare_unnamed = true\n";

/// A configuration with this key of the pools.
fn with_key(more: &str, key: &str) -> String {
    more.replacen("[pool]\n", &format!("[pool]\n{key}"), 1)
}

/// A server, and the configuration of a proxy that shares a few connections to it.
fn setting_up() -> (Cluster, String) {
    let cluster = cluster(0, Auth::Trust);
    prepare(&cluster);
    let component = policy("user-to-replica");
    let more =
        format!("[pool]\nsize = {CLIENTS}\n[[policy]]\nname = \"primary\"\npath = {component:?}\n");
    (cluster, more)
}

#[test]
fn nobody_sees_that_servers_are_shared() {
    random("", "");
}

#[test]
fn nobody_sees_that_servers_are_shared_and_always_reset() {
    random(ALWAYS, "");
}

#[test]
fn nobody_sees_that_unnamed_statements_are_prepared_once() {
    random(ONCE, "");
}

#[test]
fn nobody_sees_that_writes_are_put_into_transactions() {
    random("", PROVEN);
}

/// Random sessions, with these keys of the pools and of the cluster.
fn random(key: &str, keys: &str) {
    let (cluster, more) = setting_up();
    let more = with_key(&more, key);
    let config =
        Config { max_shrink_iters: shrink(), failure_persistence: None, ..Config::default() };
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut runner = TestRunner::new(Config { cases, ..config });
    let acts = prop::collection::vec((0..CLIENTS, act()), 1..60);
    let outcome = runner.run(&acts, |acts| same(&cluster, &more, keys, &acts));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
