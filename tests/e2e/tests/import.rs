//! Configurations of other poolers, put in their place.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use howdah::cli::{self, Actions};
use howdah_e2e::{Running, cluster, value};
use howdah_pgcluster::{Auth, Installation};

/// PgBouncer's configuration for a cluster, as an operator would write it.
fn pgbouncer(directory: &Path, node: &str) {
    let (host, port) = node.rsplit_once(':').unwrap();
    let ini = format!(
        "; for the shop\n[databases]\npostgres = host={host} port={port} pool_size=3\n\
         * = host={host} port={port}\n[users]\nreport = pool_mode=session\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nauth_type = scram-sha-256\n\
         auth_file = userlist.txt\nauth_user = asks\nauth_query = SELECT * FROM public.whose($1)\n\
         auth_dbname = postgres\npool_mode = transaction\nserver_fast_close = 1\n"
    );
    std::fs::write(directory.join("pgbouncer.ini"), ini).unwrap();
    let users = "\"app\" \"sesame app\"\n\"asks\" \"sesame why\"\n\"report\" \"sesame app\"\n";
    std::fs::write(directory.join("userlist.txt"), users).unwrap();
}

/// What the command makes of it.
fn imported(directory: &Path) -> String {
    let (from, to) = (directory.join("pgbouncer.ini"), directory.join("howdah.toml"));
    let arguments = [
        "howdah".as_ref(),
        "import".as_ref(),
        from.as_os_str(),
        "--output".as_ref(),
        to.as_os_str(),
    ];
    let actions = Actions { run: |_, _| unreachable!(), demo: |_| unreachable!() };
    cli::execute_from(arguments, &actions, &mut Vec::new()).unwrap();
    let mode = std::fs::metadata(&to).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What is there is never written over.
    assert!(cli::execute_from(arguments, &actions, &mut Vec::new()).is_err());
    std::fs::read_to_string(&to).unwrap()
}

async fn user_of(port: u16, user: &str, database: &str) -> String {
    let dsn =
        format!("host=127.0.0.1 port={port} user={user} password='sesame app' dbname={database}");
    let client = howdah_e2e::try_connect(&dsn).await.unwrap();
    value(&client, "SELECT session_user || '@' || current_database()").await
}

/// What is imported serves the same clients: those of the list, and those that a function looks up, in each database.
#[tokio::test]
async fn a_proxy_takes_the_place_of_pgbouncer() {
    let cluster = cluster(0, Auth::Scram);
    let roles = "SET password_encryption = 'scram-sha-256'; ALTER ROLE postgres PASSWORD 'sesame'; \
         CREATE ROLE asks LOGIN PASSWORD 'sesame why'; CREATE ROLE app LOGIN PASSWORD 'sesame app'; \
         CREATE ROLE report LOGIN PASSWORD 'sesame app'; CREATE ROLE looked LOGIN PASSWORD 'sesame app'; \
         CREATE FUNCTION public.whose(of text, OUT name text, OUT verifier text) LANGUAGE plpgsql SECURITY DEFINER \
         SET search_path = pg_catalog, pg_temp AS $$ BEGIN SELECT rolname, rolpassword FROM pg_authid \
         WHERE rolname = of AND rolcanlogin INTO name, verifier; END $$";
    cluster.primary().query("postgres", roles).unwrap();
    cluster.primary().query("postgres", "CREATE DATABASE shop").unwrap();
    let directory = tempfile::tempdir().unwrap();
    pgbouncer(directory.path(), &cluster.nodes()[0]);
    let text = imported(directory.path());
    assert!(text.contains("pgbouncer.ini:17:") && text.contains("server_fast_close"), "{text}");
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(1);
    assert_eq!(user_of(proxy.port, "app", "postgres").await, "app@postgres");
    assert_eq!(user_of(proxy.port, "report", "shop").await, "report@shop");
    assert_eq!(user_of(proxy.port, "looked", "shop").await, "looked@shop");
    let dsn =
        format!("host=127.0.0.1 port={} user=none password='sesame or so' dbname=shop", proxy.port);
    let refused = howdah_e2e::try_connect(&dsn).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
    let psql = Command::new(Installation::find().unwrap().bin.join("psql"))
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &proxy.port.to_string(),
            "-U",
            "app",
            "-d",
            "shop",
            "-Atc",
            "SELECT 42",
        ])
        .env("PGPASSWORD", "sesame app")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(psql.stdout).unwrap(), "42\n");
}
