//! Servers whose connections are encrypted.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use bytes::BytesMut;
use howdah_e2e::tls::Authority;
use howdah_e2e::{PATIENCE, RawClient, Running, cluster, connect, try_connect, value, wait};
use howdah_pgcluster::{Auth, Cluster};
use howdah_wire::startup::write_cancel;

/// Nothing comes in without encryption.
const ENCRYPTED: &str = "hostnossl all all all reject";

/// Whether this session's server connection is encrypted, and whose certificate the proxy has shown there.
const HOW: &str =
    "SELECT ssl || ' ' || coalesce(client_dn, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

const VERIFIED: &str = "mode = \"verify-full\"\nca_file = \"ca.crt\"";

/// An authority whose files are where the proxy's are.
fn authority() -> (Authority, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Authority::new(directory.path()), directory)
}

/// A proxy in front of these servers, which are called `localhost`; `tls` are keys of `[cluster.main.tls]`.
fn front(cluster: &Cluster, directory: tempfile::TempDir, tls: &str) -> Running {
    let node =
        |address: &String| format!("{{ address = \"{address}\", tls_host = \"localhost\" }}");
    let nodes: Vec<String> = cluster.nodes().iter().map(node).collect();
    let nodes = nodes.join(", ");
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\npool.size = 1\n[cluster.main]\nnodes = [{nodes}]\n\
         [cluster.main.tls]\n{tls}\n"
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(cluster.nodes().len());
    proxy
}

/// Puts further keys behind these in the configuration.
fn change(proxy: &Running, behind: &str, more: &str) {
    let file = proxy.directory.path().join("howdah.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(behind));
    std::fs::write(&file, text.replace(behind, &format!("{behind}\n{more}"))).unwrap();
    proxy.reload();
}

#[tokio::test]
async fn sessions_and_the_monitor_are_encrypted() {
    let (authority, directory) = authority();
    let cluster = authority.cluster(1, &[ENCRYPTED], &[]);
    let proxy = front(&cluster, directory, VERIFIED);
    proxy.wait_split().await;
    // One connection for two workers: it moves from one to the other.
    let clients = [connect(proxy.port, "postgres").await, connect(proxy.port, "postgres").await];
    for client in clients.iter().cycle().take(10) {
        client.batch_execute("BEGIN").await.unwrap();
        assert_eq!(value(client, HOW).await, "true ");
        client.batch_execute("COMMIT").await.unwrap();
    }
    let monitors = "SELECT count(*) || ' ' || bool_and(ssl) FROM pg_stat_activity \
        JOIN pg_stat_ssl USING (pid) WHERE application_name = 'howdah monitor'";
    for server in [cluster.primary(), &cluster.replicas()[0]] {
        // One that probes, and one that asks whether definitions have changed.
        let encrypted = || server.value("postgres", monitors).unwrap() == "2 true";
        wait("the monitor's connections to be encrypted", encrypted);
    }
}

#[test]
fn a_cancel_request_reaches_its_query() {
    let (authority, directory) = authority();
    let cluster = authority.cluster(0, &[ENCRYPTED], &[]);
    let proxy = front(&cluster, directory, VERIFIED);
    let sql = "BEGIN; SELECT pg_sleep(31)";
    let mut client = RawClient::login(proxy.port);
    let (pid, key) = client.key.clone().unwrap();
    client.query(sql);
    let running =
        format!("SELECT count(*) FROM pg_stat_activity WHERE query = '{sql}' AND state = 'active'");
    wait("the query to run", || cluster.primary().value("postgres", &running).unwrap() == "1");
    let mut request = RawClient::connect(proxy.port);
    let mut out = BytesMut::new();
    write_cancel(&mut out, pid, &key);
    request.send(&out);
    assert_eq!(request.message(), None);
    let answer = client.until_ready();
    assert_eq!(RawClient::error(&answer[answer.len() - 2]).unwrap().0, "57014");
}

#[tokio::test]
async fn much_goes_both_ways() {
    let (authority, directory) = authority();
    let cluster = authority.cluster(0, &[ENCRYPTED], &[]);
    let proxy = front(&cluster, directory, "mode = \"require\"\nmin_version = \"TLSv1.3\"");
    let client = connect(proxy.port, "postgres").await;
    let text = "x".repeat(10 << 20);
    assert_eq!(value(&client, &format!("SELECT '{text}' || '{text}'")).await.len(), 20 << 20);
}

#[tokio::test]
async fn where_it_is_preferred_servers_need_not_encrypt() {
    let (authority, directory) = authority();
    let preferred = "mode = \"prefer\"";
    for (cluster, how) in
        [(cluster(0, Auth::Trust), "false "), (authority.cluster(0, &[], &[]), "true ")]
    {
        let proxy = front(&cluster, tempfile::tempdir().unwrap(), preferred);
        assert_eq!(value(&connect(proxy.port, "postgres").await, HOW).await, how);
    }
    drop(directory);
}

/// What is not as it must be is refused; what was opened before goes on.
#[tokio::test]
async fn certificates_are_checked_and_authorities_renewed() {
    let (authority, directory) = authority();
    let cluster = authority.cluster(0, &[ENCRYPTED], &[]);
    cluster.primary().query("postgres", "CREATE ROLE other LOGIN").unwrap();
    let proxy = front(&cluster, directory, VERIFIED);
    let session = connect(proxy.port, "postgres").await;
    assert_eq!(value(&session, HOW).await, "true ");
    let elsewhere = tempfile::tempdir().unwrap();
    let next = Authority::new(elsewhere.path());
    std::fs::copy(next.file(), proxy.directory.path().join("ca.crt")).unwrap();
    proxy.reload();
    let dsn = format!("host=127.0.0.1 port={} user=other dbname=postgres", proxy.port);
    let refused = try_connect(&dsn).await.err().unwrap();
    let error = refused.as_db_error().unwrap();
    assert_eq!(error.code().code(), "08001");
    let node = &cluster.nodes()[0];
    let expected = format!("cannot log in to server {node}: TLS: invalid peer certificate: ");
    assert!(error.message().starts_with(&expected), "{error}");
    assert_eq!(value(&session, HOW).await, "true ");
    renew(&cluster, &next);
    let give_up = Instant::now() + PATIENCE;
    let other = loop {
        match try_connect(&dsn).await {
            Ok(client) => break client,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(value(&other, HOW).await, "true ");
}

/// Gives the primary a certificate of another authority.
fn renew(cluster: &Cluster, authority: &Authority) {
    let data = cluster.primary().data();
    let (certificate, key) = authority.sign(Vec::new(), "localhost");
    // The files keep their owner and mode.
    std::fs::write(data.join("server.key"), key).unwrap();
    std::fs::write(data.join("server.crt"), certificate).unwrap();
    cluster.primary().query("postgres", "SELECT pg_reload_conf()").unwrap();
}

/// The method `cert` of `pg_hba.conf`.
#[tokio::test]
async fn the_proxy_logs_in_by_its_certificate() {
    let (authority, directory) = authority();
    let rules = [ENCRYPTED, "hostssl all all 127.0.0.1/32 cert map=proxies"];
    let users = "proxies howdah postgres\nproxies howdah app\n";
    let cluster = authority.cluster(0, &rules, &[("pg_ident.conf", users)]);
    cluster.primary().query("postgres", "CREATE ROLE app LOGIN; CREATE ROLE other LOGIN").unwrap();
    authority.issue_for("howdah", directory.path(), "howdah");
    let keys = format!("{VERIFIED}\ncert_file = \"howdah.crt\"\nkey_file = \"howdah.key\"");
    let proxy = front(&cluster, directory, &keys);
    let client = connect(proxy.port, "app").await;
    assert_eq!(value(&client, HOW).await, "true /CN=howdah");
    let dsn = format!("host=127.0.0.1 port={} user=other dbname=postgres", proxy.port);
    let refused = try_connect(&dsn).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28000");
}

/// The server's alert is what is told, though the server has gone before it is spoken to.
#[tokio::test]
async fn a_certificate_that_the_server_refuses_is_told_of() {
    let (authority, directory) = authority();
    let cluster = authority.cluster(0, &[ENCRYPTED, "hostssl all app all cert"], &[]);
    let proxy = front(&cluster, directory, VERIFIED);
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Authority::called("a stranger", elsewhere.path());
    stranger.issue_for("app", proxy.directory.path(), "stranger");
    change(&proxy, VERIFIED, "cert_file = \"stranger.crt\"\nkey_file = \"stranger.key\"");
    let dsn = format!("host=127.0.0.1 port={} user=app dbname=postgres", proxy.port);
    for _ in 0..20 {
        let refused = try_connect(&dsn).await.err().unwrap();
        let error = refused.as_db_error().unwrap();
        assert!(error.message().ends_with("TLS: received fatal alert: UnknownCA"), "{error}");
    }
}

/// Connections that the proxy closes end as TLS wants it: a server would log an error otherwise.
#[tokio::test]
async fn connections_that_nobody_uses_end_quietly() {
    let (authority, directory) = authority();
    let cluster = authority.cluster(0, &[ENCRYPTED], &[]);
    let proxy = front(&cluster, directory, VERIFIED);
    change(&proxy, "pool.size = 1", "pool.idle_timeout = \"1s\"");
    let count = "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
        WHERE ssl AND application_name = 'idle'";
    let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", proxy.port);
    let client = try_connect(&format!("{dsn} application_name=idle")).await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await, "1");
    let there = || cluster.primary().value("postgres", count).unwrap();
    assert_eq!(there(), "1");
    wait("the connection to be closed", || there() == "0");
    drop((client, proxy));
    let log = std::fs::read_to_string(cluster.primary().log()).unwrap();
    assert!(!log.contains("could not receive") && !log.contains("SSL error"), "{log}");
}

/// By SCRAM-SHA-256-PLUS. PostgreSQL cannot be told to insist, so the proxy does.
#[tokio::test]
async fn logins_are_bound_to_the_server() {
    let (authority, directory) = authority();
    let rules =
        [ENCRYPTED, "hostssl all app,postgres all scram-sha-256", "hostssl all all all md5"];
    let cluster = authority.cluster(0, &rules, &[]);
    let roles = "ALTER ROLE postgres PASSWORD 'sesame'; CREATE ROLE app LOGIN PASSWORD 'sesame'; \
        SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'sesame'";
    cluster.primary().query("postgres", roles).unwrap();
    let keys = format!(
        "{VERIFIED}\nchannel_binding = \"require\"\n[cluster.main.monitor]\npassword = \"sesame\"\n\
         [auth]\nmethod = \"trust\"\n[user.app]\nserver_password = \"sesame\"\n\
         [user.old]\nserver_password = \"sesame\"\n"
    );
    let proxy = front(&cluster, directory, &keys);
    assert_eq!(value(&connect(proxy.port, "app").await, HOW).await, "true ");
    let dsn = format!("host=127.0.0.1 port={} user=old dbname=postgres", proxy.port);
    let refused = try_connect(&dsn).await.err().unwrap();
    let error = refused.as_db_error().unwrap();
    assert_eq!(error.code().code(), "08001");
    assert!(error.message().ends_with("channel binding is required, and the server does without"));
}
