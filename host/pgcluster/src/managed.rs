use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::cluster::{open_to_all, watchdog};
use crate::installation::Installation;
use crate::user::User;

/// Longest wait for an answer of the REST API: a switchover is answered when it is done.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three servers that Patroni looks after, with etcd as its store. Both must be on the PATH.
#[derive(Debug)]
pub struct Managed {
    members: Vec<Member>,
    store: Child,
    watchdog: Child,
    user: User,
    directory: TempDir,
}

#[derive(Debug)]
struct Member {
    /// TCP port of PostgreSQL on 127.0.0.1.
    port: u16,
    /// TCP port of Patroni's REST API.
    api: u16,
    keeper: Option<Child>,
}

impl Managed {
    /// Starts etcd and three times Patroni, which makes the servers. Returns at once.
    ///
    /// # Errors
    /// A program is not installed.
    pub fn start() -> Result<Managed> {
        let installation = Installation::find()?;
        let user = User::choose()?;
        let directory = tempfile::Builder::new().prefix("howdah-patroni-").tempdir()?;
        open_to_all(directory.path())?;
        user.own(directory.path())?;
        let watchdog = watchdog(user, directory.path())?;
        let [client, peer, ports @ ..] = free_ports::<8>()?;
        let home = directory.path().join("etcd");
        std::fs::create_dir(&home)?;
        user.own(&home)?;
        let urls = |port: u16| format!("http://127.0.0.1:{port}");
        let mut etcd = user.command("etcd", &home);
        etcd.args(["--data-dir", "data", "--name", "only", "--unsafe-no-fsync"])
            .args(["--listen-client-urls", &urls(client), "--advertise-client-urls", &urls(client)])
            .args(["--listen-peer-urls", &urls(peer), "--initial-advertise-peer-urls", &urls(peer)])
            .args(["--initial-cluster", &format!("only={}", urls(peer))]);
        let store = keep(&mut etcd, user, &home).context("etcd")?;
        let mut managed = Managed { members: Vec::new(), store, watchdog, user, directory };
        for (number, ports) in ports.chunks_exact(2).enumerate() {
            let &[port, api] = ports else { continue };
            let home = managed.home(number);
            std::fs::create_dir(&home)?;
            user.own(&home)?;
            let bin = installation.bin.display();
            let settings = settings(number, port, api, client, managed.directory.path(), &bin);
            std::fs::write(home.join("patroni.yml"), settings)?;
            managed.members.push(Member { port, api, keeper: None });
            managed.revive(number)?;
        }
        Ok(managed)
    }

    fn home(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("member{number}"))
    }

    /// The last lines of what etcd and Patroni have said.
    pub fn story(&self) -> String {
        const LINES: usize = 12;
        let homes = (0..self.members.len()).map(|number| self.home(number));
        let logs = std::iter::once(self.directory.path().join("etcd")).chain(homes);
        let last = |home: PathBuf| {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
            format!("{}:\n{last}\n", home.display())
        };
        logs.map(last).collect()
    }

    /// Starts a member's Patroni, which starts its server.
    ///
    /// # Errors
    /// It is not installed.
    pub fn revive(&mut self, number: usize) -> Result<()> {
        let home = self.home(number);
        let mut patroni = self.user.command("patroni", &home);
        patroni.arg("patroni.yml");
        self.members[number].keeper =
            Some(keep(&mut patroni, self.user, &home).context("patroni")?);
        Ok(())
    }

    /// Where the servers listen.
    pub fn nodes(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect()
    }

    /// Where Patroni's REST API is.
    pub fn apis(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("http://127.0.0.1:{}", member.api)).collect()
    }

    /// Makes another member the leader, in good order.
    ///
    /// # Errors
    /// Patroni does not do it; the message has its answer.
    pub fn switch_over(&self, from: usize, to: usize) -> Result<()> {
        let body = format!("{{\"leader\": \"member{from}\", \"candidate\": \"member{to}\"}}");
        let mut stream = TcpStream::connect(("127.0.0.1", self.members[from].api))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST /switchover HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.lines().next() {
            Some(line) if line.contains(" 200 ") => Ok(()),
            _ => bail!("no switchover: {answer}"),
        }
    }

    /// Ends a member as the loss of its machine would.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut keeper) = self.members[number].keeper.take() {
            // Before it would start the server again.
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        let pid_file = self.directory.path().join(format!("node{number}/postmaster.pid"));
        let Ok(text) = std::fs::read_to_string(&pid_file) else { return };
        let Some(postmaster) = text.lines().next().and_then(|line| line.parse().ok()) else {
            return;
        };
        for pid in crate::server::family(postmaster) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        for number in 0..self.members.len() {
            self.kill(number);
        }
        let _ = self.store.kill();
        let _ = self.store.wait();
        // It removes the directory.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Starts a program that runs until it is killed; its process id is where the watchdog looks.
fn keep(command: &mut Command, user: User, home: &Path) -> Result<Child> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(home.join("log"))?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let file = home.join("keeper.pid");
    std::fs::write(&file, child.id().to_string())?;
    user.own(&file)?;
    Ok(child)
}

/// Different ones, that nobody uses at the moment.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// The shortest times that Patroni allows: a leader that is gone is replaced after some seconds.
fn settings(
    number: usize,
    port: u16,
    api: u16,
    store: u16,
    directory: &Path,
    bin: &dyn std::fmt::Display,
) -> String {
    let directory = directory.display();
    format!(
        "scope: howdah\n\
         name: member{number}\n\
         restapi: {{ listen: '127.0.0.1:{api}', connect_address: '127.0.0.1:{api}' }}\n\
         etcd3: {{ host: '127.0.0.1:{store}' }}\n\
         bootstrap:\n\
         \x20 dcs: {{ ttl: 5, loop_wait: 1, retry_timeout: 2, maximum_lag_on_failover: 1048576 }}\n\
         \x20 initdb: [ {{ encoding: UTF8 }}, {{ locale: C }} ]\n\
         postgresql:\n\
         \x20 listen: '127.0.0.1:{port}'\n\
         \x20 connect_address: '127.0.0.1:{port}'\n\
         \x20 data_dir: '{directory}/node{number}'\n\
         \x20 bin_dir: '{bin}'\n\
         \x20 pgpass: '{directory}/member{number}/pgpass'\n\
         \x20 use_unix_socket: true\n\
         \x20 authentication:\n\
         \x20   superuser: {{ username: postgres }}\n\
         \x20   replication: {{ username: replicator, password: replicator }}\n\
         \x20 pg_hba: [ 'local all all trust', 'host all all 127.0.0.1/32 trust', \
                        'host replication all 127.0.0.1/32 trust' ]\n\
         \x20 basebackup: [ {{ checkpoint: fast }} ]\n\
         \x20 parameters:\n\
         \x20   unix_socket_directories: '{directory}'\n\
         \x20   fsync: 'off'\n\
         \x20   shared_buffers: 32MB\n\
         \x20   wal_retrieve_retry_interval: 100ms\n\
         watchdog: {{ mode: 'off' }}\n"
    )
}
