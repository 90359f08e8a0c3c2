//! What stands between the clients and the servers: howdah, or what is used where it is not.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use howdah_e2e::{Running, policy};
use tempfile::TempDir;

use crate::comes_true;
use crate::faults::Stage;
use crate::ledger::Client;

/// Runs a program until the end of its own input, which comes with the end of this process at the latest.
const UNTIL_CLOSED: &str = "\"$@\" & cat >/dev/null; kill $!; wait";

/// Clients wait for the next primary as long as it takes.
const PATIENT: &str = "[pool]\nsize = 12\nwait_timeout = \"60s\"\n";

/// As Patroni's documentation has it, but noticing a failure as fast as howdah is told to here.
const HAPROXY: &str = "defaults\n\
    mode tcp\n timeout connect 1s\n timeout client 1h\n timeout server 1h\n timeout check 1s\n timeout queue 60s\n\
    listen primary\n option httpchk OPTIONS /primary\n http-check expect status 200\n\
    default-server inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions\n";

/// As much patience and as many connections as howdah has here; a server is tried again after a tenth of a second, not
/// after fifteen.
const PGBOUNCER: &str = "auth_type = any\npool_mode = transaction\ndefault_pool_size = 12\nmax_client_conn = 10000\n\
    query_wait_timeout = 60\nserver_connect_timeout = 1\nserver_login_retry = 0.1\nunix_socket_dir =\n\
    ignore_startup_parameters = extra_float_digits\n";

/// Where clients connect to.
pub(crate) struct Front {
    pub(crate) port: u16,
    pub(crate) howdah: Option<Running>,
    _others: Vec<Peer>,
}

impl Front {
    /// The one that `CHAOS_PROXY` names: `howdah`, `haproxy`, or `pgbouncer`, which is put before HAProxy because it does
    /// not look for a primary itself. Howdah may run transactions again, or not.
    pub(crate) fn start(stage: &Stage, replays: bool) -> Front {
        let front = match std::env::var("CHAOS_PROXY").as_deref() {
            Err(_) | Ok("howdah") => {
                let howdah = howdah(stage, replays);
                Front { port: howdah.port, howdah: Some(howdah), _others: Vec::new() }
            }
            Ok("haproxy") => {
                let haproxy = haproxy(stage);
                Front { port: haproxy.port, howdah: None, _others: vec![haproxy] }
            }
            Ok("pgbouncer") => {
                let haproxy = haproxy(stage);
                let pgbouncer = pgbouncer(haproxy.port);
                Front { port: pgbouncer.port, howdah: None, _others: vec![pgbouncer, haproxy] }
            }
            Ok(other) => panic!("CHAOS_PROXY={other}: howdah, haproxy or pgbouncer"),
        };
        // HAProxy takes every server for a primary until it has looked.
        comes_true("the primary alone to be reached", || (0..10).all(|_| is_primary(front.port)));
        front
    }
}

/// Of a proxy that may run transactions again, or not.
fn howdah(stage: &Stage, replays: bool) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.wasm");
    std::fs::copy(policy("read-write-split"), &path).unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\n{PATIENT}[[policy]]\nname = \"split\"\npath = {path:?}\n\
         [cluster.main]\nnodes = {:?}\nprove_autocommit = true\nreplay_transactions = {replays}\nmonitor = {{ interval = \"200ms\", timeout = \"1s\" }}\n",
        stage.nodes()
    );
    let howdah = Running::with_file(directory, &text);
    howdah.wait_up(3);
    howdah
}

/// Another program that listens on a port.
struct Peer {
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl Peer {
    /// Starts it with a file that is its configuration.
    fn start(program: &[&str], configure: impl Fn(u16) -> String) -> Peer {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        // Some give up the right to read what only root may read.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let file = directory.path().join("configuration");
        std::fs::write(&file, configure(port)).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", UNTIL_CLOSED, "sh"]).args(program).arg(&file).stdin(Stdio::piped());
        let child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let what = format!("{program:?} to listen; is it installed? .ci/setup peers");
        comes_true(&what, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Peer { port, child, _directory: directory }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It has been told to end.
        let _ = self.child.wait();
    }
}

fn haproxy(stage: &Stage) -> Peer {
    let checks: Vec<u16> =
        stage.ports().enumerate().map(|(node, port)| check(node, port, &stage.leader)).collect();
    Peer::start(&["/usr/sbin/haproxy", "-db", "-f"], |port| {
        let servers = stage.ports().zip(&checks).enumerate().map(|(node, (server, check))| {
            format!("server node{node} 127.0.0.1:{server} check port {check}\n")
        });
        format!("{HAPROXY} bind 127.0.0.1:{port}\n{}", servers.collect::<String>())
    })
}

fn pgbouncer(server: u16) -> Peer {
    // It does not run as root.
    let root = Path::new("/proc/self").metadata().is_ok_and(|owner| {
        use std::os::unix::fs::MetadataExt;
        owner.uid() == 0
    });
    let user: &[&str] = if root { &["-u", "postgres"] } else { &[] };
    Peer::start(&[&["/usr/sbin/pgbouncer", "-q"], user].concat(), |port| {
        format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\n{PGBOUNCER}"
        )
    })
}

/// Says by HTTP, as Patroni does beside each server, whether that is the primary: it was made the leader, and says so
/// itself. Ends with the process.
fn check(node: usize, server: u16, leader: &Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let leader = Arc::clone(leader);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let leads = leader.load(Ordering::SeqCst) == node;
            // A server that is frozen lets whoever asks wait.
            std::thread::spawn(move || answer(stream, leads && is_primary(server)));
        }
    });
    port
}

fn is_primary(server: u16) -> bool {
    let said = Client::login(server).map(|mut client| client.ask("SELECT pg_is_in_recovery()"));
    matches!(said, Some(Ok(Some(recovers))) if recovers == "f")
}

fn answer(mut stream: TcpStream, yes: bool) {
    let status = if yes { "200 OK" } else { "503 Service Unavailable" };
    let request = BufReader::new(&stream).lines().map_while(Result::ok);
    // The end of the request's head; whoever asked may have gone.
    let _ = request.take_while(|line| !line.is_empty()).count();
    let _ = write!(stream, "HTTP/1.0 {status}\r\n\r\n");
}
