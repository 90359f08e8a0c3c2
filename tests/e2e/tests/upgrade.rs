//! Another process takes over from a proxy, and no client notices.
#![allow(clippy::unwrap_used)]

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Child, Command};
use std::time::Duration;

use bytes::BytesMut;
use howdah_e2e::program::{Howdah, program, signal};
use howdah_e2e::tls::Authority;
use howdah_e2e::{
    PATIENCE, RawClient, cluster, connect, finished, pgbench, shared, try_connect, value, wait,
};
use howdah_pgcluster::{Auth, Cluster};
use howdah_wire::startup;

/// Two workers and a control socket; `more` comes before the cluster.
fn text(cluster: &Cluster, more: &str) -> String {
    format!(
        "listen = [\"127.0.0.1:0\", \"@DIR@:1\"]\nworkers = 2\ncontrol = \"control\"\n\
         compiled_policies = \"compiled\"\n{more}\n[cluster.main]\nnodes = {:?}\n",
        cluster.nodes()
    )
}

fn howdah(cluster: &Cluster, more: &str) -> Howdah {
    Howdah::start(&text(cluster, more))
}

/// These loads have been there all the time, and nothing of them has failed.
fn well_to_the_end<const N: usize>(mut loads: [Child; N]) {
    // They end at about the same time: all are looked at before one is waited for.
    for load in &mut loads {
        assert!(load.try_wait().unwrap().is_none(), "the load has ended too early");
    }
    for load in loads {
        let text = finished(load);
        assert!(text.contains("number of failed transactions: 0 "), "{text}");
    }
}

/// Cancels what a client does, by a key.
fn cancel(port: u16, (pid, secret): &(u32, Vec<u8>)) {
    let mut out = BytesMut::new();
    startup::write_cancel(&mut out, *pid, secret);
    let mut request = RawClient::connect(port);
    request.send(&out);
    assert!(request.message().is_none(), "a request has no answer");
}

/// Cancels by a key until a query that sleeps has ended by it.
fn is_cancelled(port: u16, client: &mut RawClient) {
    let key = client.key.clone().unwrap();
    client.query("SELECT pg_sleep(600)");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One that comes before the query has begun is for nobody.
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                cancel(port, &key);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let messages = client.until_ready();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let errors: Vec<_> = messages.iter().filter_map(RawClient::error).collect();
        assert_eq!(errors.iter().map(|(state, _)| &**state).collect::<Vec<_>>(), ["57014"]);
    });
}

/// A query that has no error.
fn well(client: &mut RawClient, sql: &str) {
    client.query(sql);
    let messages = client.until_ready();
    let errors: Vec<_> = messages.iter().filter_map(RawClient::error).collect();
    assert!(errors.is_empty() && !messages.is_empty(), "{sql}: {errors:?}");
}

#[tokio::test]
async fn two_upgrades_under_load_fail_nothing_and_keep_idle_sessions() {
    let cluster = cluster(1, Auth::Trust);
    let mut howdah = howdah(&cluster, "[pool]\nsize = 8\n");
    let port = howdah.port;
    finished(pgbench(cluster.primary().port, &["-i", "-s", "1", "-q"]));
    // Idle sessions: of a driver, of a Unix socket, and one whose bytes are known.
    let driver = connect(port, "postgres").await;
    driver.batch_execute("SET work_mem = '7MB'; SET application_name = 'idle'").await.unwrap();
    let statement =
        driver.prepare("SELECT $1::int + 1, current_setting('work_mem')").await.unwrap();
    let dates = driver.prepare("SELECT '02-01-2000'::date::text").await.unwrap();
    driver.batch_execute("CREATE TABLE changing (x int)").await.unwrap();
    let changing = driver.prepare("SELECT * FROM changing").await.unwrap();
    // Past the proxy.
    cluster.primary().query("postgres", "ALTER TABLE changing ADD y int").unwrap();
    let local =
        format!("host={} port=1 user=postgres dbname=postgres", howdah.directory.path().display());
    let local = try_connect(&local).await.unwrap();
    local.batch_execute("SET statement_timeout = '59s'").await.unwrap();
    let mut raw = RawClient::login(port);
    let key = raw.key.clone();
    let loads = [
        pgbench(port, &["-M", "simple", "-c", "4", "-T", "12"]),
        pgbench(port, &["-M", "prepared", "-c", "4", "-T", "12"]),
        pgbench(port, &["-S", "-C", "-c", "2", "-T", "12"]),
    ];
    let first = howdah.child.id();
    let mut before = first;
    for _ in 0..2 {
        let pid = howdah.upgrade();
        assert_ne!(pid, before);
        wait("the process before to end", || before == first || !signal("0", before));
        howdah.first_ends();
        howdah.says("the process before this one has ended");
        before = pid;
        let row = driver.query_one(&statement, &[&41]).await.unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (42, "7MB"));
        driver.batch_execute("SET datestyle = 'SQL, DMY'").await.unwrap();
        let date: String = driver.query_one(&dates, &[]).await.unwrap().get(0);
        assert_eq!(date, "01/02/2000", "read as when it was prepared, shown as it is set now");
        assert_eq!(value(&driver, "SHOW application_name").await, "idle");
        assert_eq!(value(&local, "SHOW statement_timeout").await, "59s");
        is_cancelled(port, &mut raw);
        assert_eq!(raw.key, key);
    }
    let error = driver.query(&changing, &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "0A000", "the columns are not those that it was told");
    assert!(howdah.ask(&["nodes"]).status.success(), "the control socket has been handed over");
    well_to_the_end(loads);
}

#[tokio::test]
async fn a_process_that_does_not_start_changes_nothing() {
    let mut howdah = howdah(shared(), "");
    let client = connect(howdah.port, "postgres").await;
    client.batch_execute("SET work_mem = '7MB'").await.unwrap();
    let garbage = howdah.directory.path().join("garbage");
    std::fs::write(&garbage, "no program").unwrap();
    std::fs::set_permissions(&garbage, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let file = howdah.directory.path().join("howdah.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let refused = |howdah: &Howdah, arguments: &[&str]| {
        let output = howdah.ask(arguments);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused(&howdah, &["upgrade", "--program", garbage.to_str().unwrap()]);
    assert!(error.contains("does not take over") && error.contains("garbage"), "{error}");
    let error = refused(&howdah, &["upgrade", "--program", "/bin/false"]);
    assert!(error.contains("exit status: 1"), "{error}");
    std::fs::write(&file, good.replace("workers = 2", "workers = \"many\"")).unwrap();
    let error = refused(&howdah, &["upgrade"]);
    assert!(error.contains("howdah.toml:2:11: workers"), "{error}");
    std::fs::write(&file, &good).unwrap();
    assert!(howdah.first_runs());
    assert_eq!(value(&client, "SHOW work_mem").await, "7MB");
    assert_eq!(value(&connect(howdah.port, "postgres").await, "SELECT 1").await, "1");
    // Nothing is left behind that would hinder one that does start.
    howdah.upgrade();
    howdah.first_ends();
    assert_eq!(value(&client, "SHOW work_mem").await, "7MB");
    drop(client);
    let last = howdah.ask(&["upgrade", "--program", "/bin/false"]);
    assert_eq!(last.status.code(), Some(1));
}

#[test]
fn a_transaction_ends_where_it_began_and_is_cancelled_from_elsewhere() {
    let mut howdah = howdah(shared(), "");
    let port = howdah.port;
    let mut busy = RawClient::login(port);
    let mut pinned = RawClient::login(port);
    well(&mut busy, "BEGIN");
    well(&mut pinned, "CREATE TEMP TABLE kept (x int)");
    let next = howdah.upgrade();
    assert!(howdah.first_runs());
    let again = howdah.ask(&["upgrade"]);
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("has not handed over all its sessions yet"), "{error}");
    // Requests come to the new process, and the session is with the old one.
    is_cancelled(port, &mut busy);
    well(&mut busy, "ROLLBACK");
    well(&mut busy, "SELECT 1");
    well(&mut pinned, "INSERT INTO kept VALUES (1)");
    well(&mut pinned, "DROP TABLE kept");
    howdah.first_ends();
    well(&mut busy, "SELECT 1");
    well(&mut pinned, "SELECT 1");
    assert!(signal("TERM", next));
    wait("the new process to end", || !signal("0", next));
}

#[test]
fn what_cannot_go_is_sent_away_at_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path());
    authority.issue(directory.path());
    let more = "[tls]\ncert_file = \"server.crt\"\nkey_file = \"server.key\"\n\
                [limits]\nupgrade_timeout = \"2s\"\n";
    let text = text(shared(), more);
    let mut howdah = Howdah::start_in(directory, &text, Command::new(program()), &[]);
    let mut encrypted = authority.client(howdah.port);
    encrypted.log_in("postgres");
    howdah.upgrade();
    well(&mut encrypted, "SELECT 1");
    let (state, _) = RawClient::error(&encrypted.message().unwrap()).unwrap();
    assert_eq!(state, "57P01");
    howdah.first_ends();
    let mut encrypted = authority.client(howdah.port);
    encrypted.log_in("postgres");
    well(&mut encrypted, "SELECT 1");
}

#[tokio::test]
async fn what_clients_have_proven_and_what_operators_want_goes_along() {
    let cluster = cluster(0, Auth::Scram);
    let roles = "SET password_encryption = 'scram-sha-256'; ALTER ROLE postgres PASSWORD 'sesame'; \
        CREATE ROLE app LOGIN PASSWORD 'sesame too'";
    cluster.primary().query("postgres", roles).unwrap();
    let more = "[auth.query]\nuser = \"postgres\"\npassword = \"sesame\"\n";
    let text = text(&cluster, more) + "monitor = { user = \"postgres\", password = \"sesame\" }\n";
    let mut howdah = Howdah::start(&text);
    howdah.says("node is up");
    let port = howdah.port;
    let dsn = format!("host=127.0.0.1 port={port} user=app password='sesame too' dbname=postgres");
    let client = try_connect(&dsn).await.unwrap();
    assert_eq!(value(&client, "SELECT current_user").await, "app");
    assert!(howdah.ask(&["pause", "main"]).status.success());
    howdah.upgrade();
    howdah.first_ends();
    let nodes = howdah.ask(&["nodes", "--json"]);
    let nodes: serde_json::Value = serde_json::from_slice(&nodes.stdout).unwrap();
    assert_eq!(nodes["clusters"][0]["paused"], true);
    assert!(howdah.ask(&["resume", "main"]).status.success());
    assert_eq!(value(&client, "SELECT current_user").await, "app");
}

/// What systemd would do: sockets at descriptor 3 and up, and a socket for notices.
struct Launcher {
    notices: UnixDatagram,
}

impl Launcher {
    /// The command that gives the program two sockets: one for clients, one for operators.
    fn command(&self, clients: OwnedFd, control: OwnedFd, notices: &std::path::Path) -> Command {
        let script = "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program()).stdin(clients).stdout(control);
        command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "howdah.socket:control");
        command.env("NOTIFY_SOCKET", notices).env("WATCHDOG_USEC", "1000000");
        command
    }

    /// Waits for a notice.
    fn hears(&self, words: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let n =
                self.notices.recv(&mut buffer).unwrap_or_else(|_| panic!("nobody says {words}"));
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if text.contains(words) {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn systemd_opens_the_sockets_and_is_told_what_happens() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("notices");
    let launcher = Launcher { notices: UnixDatagram::bind(&at).unwrap() };
    launcher.notices.set_read_timeout(Some(PATIENCE)).unwrap();
    let clients = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = clients.local_addr().unwrap().port();
    let control = directory.path().join("control");
    let operators = UnixListener::bind(&control).unwrap();
    let command = launcher.command(clients.try_clone().unwrap().into(), operators.into(), &at);
    // The sockets come instead of what the file says.
    let text =
        format!("listen = [\"127.0.0.1:1\"]\n[cluster.main]\nnodes = {:?}\n", shared().nodes());
    let mut howdah = Howdah::start_in(directory, &text, command, &[]);
    assert_eq!(howdah.port, port);
    launcher.hears("READY=1");
    launcher.hears("WATCHDOG=1");
    let client = connect(port, "postgres").await;
    assert_eq!(value(&client, "SELECT 1").await, "1");
    assert!(signal("HUP", howdah.child.id()));
    assert!(launcher.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    launcher.hears("READY=1");
    assert!(signal("USR2", howdah.child.id()));
    let notice = launcher.hears("MAINPID=");
    let pid: u32 =
        notice.split("MAINPID=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    howdah.followed_by(pid);
    howdah.first_ends();
    launcher.hears("WATCHDOG=1");
    assert_eq!(value(&client, "SELECT 1").await, "1");
    assert_eq!(value(&connect(port, "postgres").await, "SELECT 1").await, "1");
    assert!(answers(&control), "the new process answers operators");
    assert!(signal("TERM", pid));
    launcher.hears("STOPPING=1");
    wait("the process to end", || !signal("0", pid));
    assert!(control.exists(), "it is systemd that has made the socket");
}

fn answers(control: &std::path::Path) -> bool {
    use std::io::{Read, Write};
    let mut stream = UnixStream::connect(control).unwrap();
    stream.write_all(b"nodes\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.contains("clusters")
}

#[test]
fn several_processes_share_a_port_and_pass_requests_on() {
    // A port that is free, and stays so: nobody listens, but it is taken.
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    taken.set_reuse_address(true).unwrap();
    taken.set_reuse_port(true).unwrap();
    taken.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let port = taken.local_addr().unwrap().as_socket().unwrap().port();
    let own: Vec<u16> = (0..2)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
        .collect();
    let peers: Vec<String> = own.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let text = format!(
        "reuse_port = true\npeers = {peers:?}\nworkers = 1\n[cluster.main]\nnodes = {:?}\n",
        shared().nodes()
    );
    let start = |own: &String| {
        let listen = [format!("127.0.0.1:{port}"), own.clone()];
        let more = ["--listen", &listen[0], "--listen", &listen[1]];
        let directory = tempfile::tempdir().unwrap();
        Howdah::start_in(directory, &text, Command::new(program()), &more)
    };
    let _processes: Vec<Howdah> = peers.iter().map(start).collect();
    // The system spreads connections by their ports: soon both have some.
    let mut both: [Option<RawClient>; 2] = [None, None];
    while both.iter().any(Option::is_none) {
        let client = RawClient::login(port);
        let process = client.key.as_ref().unwrap().0 >> 25;
        both[process as usize] = Some(client);
    }
    for mut client in both.into_iter().flatten() {
        is_cancelled(port, &mut client);
    }
}
