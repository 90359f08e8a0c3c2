//! Who comes in, and how those that misbehave are sent away.
#![allow(clippy::unwrap_used)]

use howdah_e2e::{RawClient, Running, cluster, connect, shared, try_connect, value};
use howdah_pgcluster::{Auth, Installation};

#[tokio::test]
async fn clients_prove_who_they_are_by_scram() {
    let users = "[auth]\nmethod = \"scram-sha-256\"\n[user.app]\npassword = \"öpen sesame\"\n\
        server_user = \"postgres\"\n";
    let proxy = Running::start(&shared().nodes(), users);
    proxy.wait_up(3);
    let login = |user: &str, password: &str| {
        try_connect_owned(format!(
            "host=127.0.0.1 port={} user={user} password='{password}' dbname=postgres",
            proxy.port
        ))
    };
    let client = login("app", "öpen sesame").await.unwrap();
    assert_eq!(value(&client, "SELECT current_user").await, "postgres");
    for (user, password) in [("app", "no-sesame"), ("nobody", "öpen sesame")] {
        let refused = login(user, password).await.err().unwrap();
        assert_eq!(refused.code().unwrap().code(), "28P01");
        let message = refused.as_db_error().unwrap().message().to_owned();
        assert_eq!(message, format!("password authentication failed for user \"{user}\""));
    }
}

async fn try_connect_owned(dsn: String) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    try_connect(&dsn).await
}

#[tokio::test]
async fn servers_are_satisfied_in_every_way_they_ask() {
    for (auth, encryption) in
        [(Auth::Scram, "scram-sha-256"), (Auth::Md5, "md5"), (Auth::Password, "scram-sha-256")]
    {
        let cluster = cluster(0, auth);
        let roles = format!(
            "SET password_encryption = '{encryption}'; ALTER ROLE postgres PASSWORD 'sesame'; \
             CREATE ROLE app LOGIN PASSWORD 'sesame'"
        );
        cluster.primary().query("postgres", &roles).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\nworkers = 1\n[auth]\nmethod = \"trust\"\n\
             [user.app]\nserver_password = \"sesame\"\n[user.locked]\nserver_user = \"app\"\nserver_password = \"no-sesame\"\n\
             [cluster.main]\nnodes = {:?}\nmonitor = {{ user = \"postgres\", password = \"sesame\" }}\n",
            cluster.nodes()
        );
        let proxy = Running::with_file(directory, &text);
        proxy.wait_up(1);
        let client = connect(proxy.port, "app").await;
        assert_eq!(value(&client, "SELECT current_user").await, "app");
        let dsn = format!("host=127.0.0.1 port={} user=locked dbname=postgres", proxy.port);
        let refused = try_connect(&dsn).await.err().unwrap();
        assert_eq!(refused.code().unwrap().code(), "28P01", "{auth:?}");
    }
}

#[tokio::test]
async fn hostile_openings_end_alone() {
    let proxy = Running::start(&shared().nodes(), "[limits]\nlogin_timeout = \"300ms\"\n");
    proxy.wait_up(3);
    let port = proxy.port;
    let witness = connect(port, "postgres").await;
    let openings: Vec<(&[u8], &str)> = vec![
        (b"\xff\xff\xff\xff", "08P01"),
        (b"\0\0\0\x04", "08P01"),
        (b"GET / HTTP/1.1\r\n\r\n", "08P01"),
        (b"\0\0\0\x08\0\x02\0\0", "0A000"),
        (b"\0\0\0\x09\0\x03\0\0\0", "28000"),
        (b"\0\0\0\x0d\0\x03\0\0user\0", "08P01"),
        (b"\0\0\0\x10\0\x03\0\0user\0a\0\0", ""),
        // Too slow.
        (b"\0\0", "57014"),
        (b"", "57014"),
    ];
    tokio::task::spawn_blocking(move || {
        for (bytes, sqlstate) in openings {
            let mut client = RawClient::connect(port);
            client.send(bytes);
            let mut last = None;
            while let Some(message) = client.message() {
                last = Some(message);
                if sqlstate.is_empty() {
                    break;
                }
            }
            let found = last
                .as_ref()
                .and_then(RawClient::error)
                .map(|(state, _)| state)
                .unwrap_or_default();
            if sqlstate.is_empty() {
                assert!(last.is_some());
            } else {
                assert_eq!(found, sqlstate, "{:?}", String::from_utf8_lossy(bytes));
            }
        }
        // After the login: a message that there is not, and one of an impossible length.
        for bytes in [
            &b"!\0\0\0\x04"[..],
            b"Q\0\0\0\x01",
            b"Q\xff\xff\xff\xff",
            b"B\0\0\0\x05x",
            b"p\0\0\0\x05\0",
        ] {
            let mut client = RawClient::login(port);
            client.send(bytes);
            let answer = client.until_ready();
            let (state, _) = answer.last().and_then(RawClient::error).unwrap();
            assert_eq!(state, "08P01", "{bytes:?}");
            assert!(client.message().is_none());
        }
    })
    .await
    .unwrap();
    assert_eq!(value(&witness, "SELECT 1").await, "1");
}

#[tokio::test]
async fn start_up_parameters_are_judged_by_the_server() {
    let proxy = Running::start(&shared().nodes(), "");
    proxy.wait_up(3);
    let login = |options: &str| {
        let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", proxy.port);
        try_connect_owned(format!("{dsn} options='{options}'"))
    };
    let client = login("-c work_mem=3MB -c app.test=yes").await.unwrap();
    assert_eq!(value(&client, "SHOW work_mem").await, "3MB");
    assert_eq!(value(&client, "SHOW app.test").await, "yes");
    let explained = login("-c howdah.explain=on").await.unwrap();
    assert_eq!(value(&explained, "SHOW howdah.explain").await, "on");
    for (options, state) in [
        ("-c nonsense=1", "42704"),
        ("-c howdah.nonsense=1", "42704"),
        ("-c howdah.explain=perhaps", "22023"),
        ("-c work_mem=much", "22023"),
        ("-c fsync=off", "55P02"),
        ("--", "22023"),
    ] {
        let refused = login(options).await.err().unwrap();
        let error = refused.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.severity()), (state, "FATAL"), "{options}");
    }
    assert_eq!(value(&client, "SELECT 1").await, "1");
}

/// A whole base backup comes through a proxy in session mode, its WAL over a second connection at the same time.
#[tokio::test]
async fn replication_passes_in_session_mode() {
    let backup = |port: u16, directory: &std::path::Path| {
        std::process::Command::new(Installation::find().unwrap().bin.join("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-X", "stream", "-c", "fast", "-p"])
            .arg(port.to_string())
            .arg("-D")
            .arg(directory.join("backup"))
            .output()
            .unwrap()
    };
    let proxy = Running::start(&shared().nodes(), "[pool]\nmode = \"session\"\n");
    proxy.wait_up(3);
    let directory = tempfile::tempdir().unwrap();
    let output = backup(proxy.port, directory.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verify =
        std::process::Command::new(Installation::find().unwrap().bin.join("pg_verifybackup"))
            .arg(directory.path().join("backup"))
            .output()
            .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
    let proxy = Running::start(&shared().nodes(), "");
    proxy.wait_up(3);
    let output = backup(proxy.port, directory.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("replication connections are not possible in transaction"), "{said}");
    assert!(said.contains("mode = \"session\""), "{said}");
}

#[tokio::test]
async fn servers_see_who_their_clients_are() {
    let proxy = Running::start(&shared().nodes(), "[pool]\nshow_client_address = true\n");
    proxy.wait_up(3);
    let long = "x".repeat(70);
    for (name, seen) in [
        ("shop", "shop - 127.0.0.1".to_owned()),
        ("", "127.0.0.1".to_owned()),
        (&long, format!("{} - 127.0.0.1", &long[..51])),
    ] {
        let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", proxy.port);
        let client = try_connect_owned(format!("{dsn} application_name='{name}'")).await.unwrap();
        let sql = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        assert_eq!(value(&client, sql).await, seen);
    }
}
