//! Users that are looked up, methods, rules: who may come in, and who they are to the servers.
#![allow(clippy::unwrap_used)]

use howdah_e2e::{PATIENCE, Running, cluster, try_connect, value};
use howdah_pgcluster::{Auth, Cluster};
use std::time::Instant;
use tokio_postgres::Client;

/// A role that may read passwords, and asks for users.
const ASKS: &str = "[auth.query]\nuser = \"asks\"\npassword = \"asks-sesame\"\n";

fn asked(auth: Auth, encryption: &str) -> Cluster {
    let cluster = cluster(0, auth);
    let roles = format!(
        "SET password_encryption = '{encryption}'; ALTER ROLE postgres PASSWORD 'sesame'; \
         CREATE ROLE asks LOGIN PASSWORD 'asks-sesame'; GRANT SELECT ON pg_authid TO asks; \
         CREATE ROLE app LOGIN PASSWORD 'sesame'; CREATE ROLE other LOGIN PASSWORD 'sesame'"
    );
    cluster.primary().query("postgres", &roles).unwrap();
    cluster
}

fn proxy(cluster: &Cluster, more: &str) -> Running {
    let monitor = "monitor = { user = \"postgres\", password = \"sesame\" }";
    let proxy = Running::start_with(&cluster.nodes(), more, monitor);
    proxy.wait_up(1);
    proxy
}

async fn log_in(proxy: &Running, user: &str, password: &str) -> Result<Client, (String, String)> {
    let port = proxy.port;
    let dsn = format!("host=127.0.0.1 port={port} user={user} password={password} dbname=postgres");
    try_connect(&dsn).await.map_err(|error| {
        let error = error.as_db_error().unwrap();
        (error.code().code().to_owned(), error.message().to_owned())
    })
}

async fn refused(proxy: &Running, user: &str, password: &str) {
    let (state, message) = log_in(proxy, user, password).await.err().unwrap();
    assert_eq!(state, "28P01", "{user}");
    assert_eq!(message, format!("password authentication failed for user \"{user}\""));
}

/// No password of theirs is in the configuration: what they have proven to the proxy lets them in at the server.
#[tokio::test]
async fn users_are_looked_up_and_are_themselves_to_the_server() {
    for (auth, encryption, method) in [
        (Auth::Scram, "scram-sha-256", "scram-sha-256"),
        (Auth::Scram, "scram-sha-256", "md5"),
        (Auth::Md5, "md5", "md5"),
    ] {
        let cluster = asked(auth, encryption);
        let proxy = proxy(&cluster, &format!("[auth]\nmethod = \"{method}\"\n{ASKS}"));
        let client = log_in(&proxy, "app", "sesame").await.unwrap();
        assert_eq!(value(&client, "SELECT session_user").await, "app");
        refused(&proxy, "app", "no-sesame").await;
        refused(&proxy, "nobody", "sesame").await;
        // What one has shown lets in nobody else.
        refused(&proxy, "other", "no-sesame").await;
    }
}

#[tokio::test]
async fn who_may_not_log_in_may_not_come_in() {
    let cluster = asked(Auth::Scram, "scram-sha-256");
    let roles = "CREATE ROLE late LOGIN PASSWORD 'sesame' VALID UNTIL '2001-01-01'; \
         CREATE ROLE grp NOLOGIN PASSWORD 'sesame'; CREATE ROLE bare LOGIN; \
         CREATE ROLE soon LOGIN PASSWORD 'sesame' VALID UNTIL 'infinity'";
    cluster.primary().query("postgres", roles).unwrap();
    let proxy = proxy(&cluster, ASKS);
    for user in ["late", "grp", "bare"] {
        refused(&proxy, user, "sesame").await;
    }
    log_in(&proxy, "soon", "sesame").await.unwrap();
    let limit =
        "DO $$ BEGIN EXECUTE format('ALTER ROLE app VALID UNTIL %L', now() + '2 s'); END $$";
    cluster.primary().query("postgres", limit).unwrap();
    // What is kept is not valid for longer than the password.
    log_in(&proxy, "app", "sesame").await.unwrap();
    let give_up = Instant::now() + PATIENCE;
    while log_in(&proxy, "app", "sesame").await.is_ok() {
        assert!(Instant::now() < give_up, "the password is still valid");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    refused(&proxy, "app", "sesame").await;
}

/// A changed password counts as soon as somebody uses it, however long answers are kept.
#[tokio::test]
async fn a_new_password_is_found() {
    let cluster = asked(Auth::Scram, "scram-sha-256");
    let proxy = proxy(&cluster, &format!("{ASKS}keep = \"1h\"\n"));
    log_in(&proxy, "app", "sesame").await.unwrap();
    cluster.primary().query("postgres", "ALTER ROLE app PASSWORD 'new-sesame'").unwrap();
    let give_up = Instant::now() + PATIENCE;
    let client = loop {
        match log_in(&proxy, "app", "new-sesame").await {
            Ok(client) => break client,
            Err((state, _)) => assert_eq!(state, "28P01"),
        }
        assert!(Instant::now() < give_up, "the new password is not found");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(value(&client, "SELECT session_user").await, "app");
    refused(&proxy, "app", "sesame").await;
}

/// Nobody can put a table of their own in the way of the one that is asked for.
#[tokio::test]
async fn a_search_path_leads_nobody_astray() {
    let cluster = asked(Auth::Scram, "scram-sha-256");
    let trap = "CREATE SCHEMA evil; CREATE TABLE evil.pg_authid AS SELECT 'mallory'::name AS rolname, \
         rolpassword, rolvaliduntil, rolcanlogin FROM pg_authid WHERE rolname = 'app'; \
         GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT SELECT ON evil.pg_authid TO PUBLIC; \
         CREATE ROLE mallory LOGIN; ALTER ROLE asks SET search_path = evil, pg_catalog";
    cluster.primary().query("postgres", trap).unwrap();
    let proxy = proxy(&cluster, ASKS);
    refused(&proxy, "mallory", "sesame").await;
    log_in(&proxy, "app", "sesame").await.unwrap();
}

/// Names are what they are, whatever is in them.
#[tokio::test]
async fn a_name_is_not_sql() {
    let cluster = asked(Auth::Scram, "scram-sha-256");
    let odd = "x' OR rolname = 'app";
    let role = format!("CREATE ROLE \"{odd}\" LOGIN PASSWORD 'other-sesame'");
    cluster.primary().query("postgres", &role).unwrap();
    let proxy = proxy(&cluster, ASKS);
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(proxy.port).user(odd).dbname("postgres");
    let error = config.password("sesame").connect(tokio_postgres::NoTls).await.err().unwrap();
    assert_eq!(error.code().unwrap().code(), "28P01");
    let opened = config.password("other-sesame").connect(tokio_postgres::NoTls).await;
    assert!(opened.is_ok());
}

/// The connection that asks may end at any time; while nobody can be asked, that is what clients are told.
#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let cluster = asked(Auth::Scram, "scram-sha-256");
    let proxy = proxy(&cluster, &format!("{ASKS}keep = \"1ms\"\n"));
    log_in(&proxy, "app", "sesame").await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'asks'";
    cluster.primary().query("postgres", end).unwrap();
    log_in(&proxy, "app", "sesame").await.unwrap();
    cluster.primary().query("postgres", "REVOKE SELECT ON pg_authid FROM asks").unwrap();
    let (state, message) = log_in(&proxy, "app", "sesame").await.err().unwrap();
    assert_eq!(
        (state.as_str(), message.as_str()),
        ("57P03", "users cannot be looked up at the moment")
    );
}

/// A verifier is all that the configuration has, and all that is needed.
#[tokio::test]
async fn a_verifier_suffices_when_the_server_has_the_same() {
    let cluster = asked(Auth::Scram, "scram-sha-256");
    let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'";
    let rows = cluster.primary().query("postgres", sql).unwrap();
    let verifier = rows[0][0].clone().unwrap();
    let proxy = proxy(&cluster, &format!("[user.app]\npassword = \"{}\"\n", verifier));
    let client = log_in(&proxy, "app", "sesame").await.unwrap();
    assert_eq!(value(&client, "SELECT session_user").await, "app");
    refused(&proxy, "app", "no-sesame").await;
}

#[tokio::test]
async fn the_first_rule_that_fits_counts() {
    let cluster = cluster(0, Auth::Trust);
    cluster.primary().query("postgres", "CREATE ROLE app; ALTER ROLE app LOGIN").unwrap();
    let rules = "\
        [user.app]\npassword = \"sesame\"\n[user.postgres]\npassword = \"sesame\"\n\
        [[rule]]\nmethod = \"reject\"\nusers = [\"mallory\"]\n\
        [[rule]]\nmethod = \"trust\"\nusers = [\"postgres\"]\ndatabases = [\"postgres\"]\naddresses = [\"127.0.0.1\"]\n\
        [[rule]]\nmethod = \"trust\"\nusers = [\"app\"]\naddresses = [\"10.0.0.0/8\", \"::/0\", \"local\"]\n\
        [[rule]]\nmethod = \"scram-sha-256\"\nusers = [\"app\"]\naddresses = [\"127.0.0.0/8\"]\n";
    let proxy = proxy(&cluster, rules);
    log_in(&proxy, "postgres", "any").await.unwrap();
    log_in(&proxy, "app", "sesame").await.unwrap();
    refused(&proxy, "app", "no-sesame").await;
    let place = |user: &str| {
        format!("host \"127.0.0.1\", user \"{user}\", database \"postgres\", no encryption")
    };
    for (user, said) in [
        ("mallory", format!("a rule rejects connection for {}", place("mallory"))),
        ("bob", format!("no rule for {}", place("bob"))),
    ] {
        let (state, message) = log_in(&proxy, user, "sesame").await.err().unwrap();
        assert_eq!((state.as_str(), message), ("28000", said));
    }
}
