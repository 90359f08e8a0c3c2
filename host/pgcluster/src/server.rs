use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Rows, query};
use crate::installation::Installation;
use crate::user::User;

/// Longest time to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// One PostgreSQL server.
#[derive(Debug)]
pub struct Server {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    data: PathBuf,
    sockets: PathBuf,
    installation: Installation,
    user: User,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn new(
        data: PathBuf,
        sockets: PathBuf,
        installation: &Installation,
        user: User,
    ) -> Server {
        Server { port: 0, data, sockets, installation: installation.clone(), user, child: None }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it, on a port that the system chooses the first time and on the same one later. Returns when it
    /// answers queries.
    ///
    /// # Errors
    /// It does not start; the message has the end of its log.
    pub fn start(&mut self) -> Result<()> {
        let attempts = if self.port == 0 { 5 } else { 1 };
        let mut outcome = Ok(());
        for _ in 0..attempts {
            if attempts > 1 {
                // Somebody else may take the port before the server does: then another one is tried.
                self.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            }
            outcome = self.attempt();
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn attempt(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        self.user.own(&self.log())?;
        let child = self
            .user
            .command(self.installation.bin.join("postgres"), &self.sockets)
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        let give_up = Instant::now() + PATIENCE;
        while self.query("postgres", "SELECT 1").is_err() {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten().is_some();
            if ended || Instant::now() > give_up {
                self.kill();
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let tail = log.lines().rev().take(8).collect::<Vec<_>>();
                bail!(
                    "a PostgreSQL server did not start:\n{}",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// The file of its log.
    pub fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// Runs SQL as the superuser.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub fn query(&self, database: &str, sql: &str) -> Result<Rows> {
        query(&self.sockets.join(format!(".s.PGSQL.{}", self.port)), database, sql)
    }

    /// The first value of the first row, empty when there is none.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub fn value(&self, database: &str, sql: &str) -> Result<String> {
        let rows = self.query(database, sql)?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
            .flatten()
            .unwrap_or_default())
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Ends it as a crash would: SIGKILL to all its processes. Returns when none is left, so that it can be started again.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It shall not have more children meanwhile. Any of them may have ended by itself.
        let _ = signal(child.id(), Signal::STOP);
        let family = family(child.id());
        for pid in &family {
            let _ = kill_process(*pid, Signal::KILL);
        }
        let _ = child.wait();
        while family.iter().any(|pid| runs(*pid)) {
            std::thread::sleep(PAUSE);
        }
        let _ = std::fs::remove_file(self.data.join("postmaster.pid"));
    }

    /// Ends it as an operator would: `fast` shutdown.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(child.id(), Signal::INT)?;
        let give_up = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() > give_up {
                bail!("a PostgreSQL server did not stop");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Makes a replica the primary, on the next timeline. Returns when it takes writes.
    ///
    /// # Errors
    /// It is no replica, or not there.
    pub fn promote(&self) -> Result<()> {
        // By itself it would look ten times a second whether it is done.
        self.query("postgres", "SELECT pg_promote(false)")?;
        let give_up = Instant::now() + PATIENCE;
        while self.value("postgres", "SELECT pg_is_in_recovery()")? != "f" {
            if Instant::now() > give_up {
                bail!("server {} was not promoted in time", self.address());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Lets a replica stream from another server from now on.
    ///
    /// # Errors
    /// It is not there.
    pub fn follow(&self, other: &Server) -> Result<()> {
        let from = self.from(other);
        self.query("postgres", &format!("ALTER SYSTEM SET primary_conninfo = '{from}'"))?;
        self.query("postgres", "SELECT pg_reload_conf()")?;
        Ok(())
    }

    /// Ends it, and starts it again as a fresh replica of another server.
    ///
    /// # Errors
    /// The other server cannot be copied, or the copy does not start.
    pub fn become_replica_of(&mut self, other: &Server) -> Result<()> {
        self.thaw();
        self.kill();
        std::fs::remove_dir_all(&self.data)?;
        let output = self
            .user
            .command(self.installation.bin.join("pg_basebackup"), &self.sockets)
            .args(["-U", "postgres", "-c", "fast", "--no-sync", "-X", "stream", "-h"])
            .arg(&other.sockets)
            .args(["-p", &other.port.to_string(), "-D"])
            .arg(&self.data)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("pg_basebackup failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let mut conf = std::fs::OpenOptions::new()
            .append(true)
            .open(self.data.join("postgresql.auto.conf"))?;
        writeln!(conf, "primary_conninfo = '{}'", self.from(other))?;
        std::fs::write(self.data.join("standby.signal"), "")?;
        self.user.own(&self.data.join("standby.signal"))?;
        self.start()
    }

    /// How this server, as a replica, reaches another one.
    fn from(&self, other: &Server) -> String {
        let (host, port) = (other.sockets.display(), other.port);
        let name = self.data.file_name().unwrap_or_default().display();
        format!("host={host} port={port} user=postgres application_name={name}")
    }

    /// Freezes all its processes: connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Undoes [`Server::freeze`].
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        for pid in family(child.id()) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thaw();
        self.kill();
    }
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid =
        i32::try_from(pid).ok().and_then(Pid::from_raw).context("an impossible process id")?;
    Ok(kill_process(pid, signal)?)
}

/// Whether a process has not ended. One that nobody has waited for yet has.
fn runs(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| {
        !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}

/// A process and its children.
pub(crate) fn family(parent: u32) -> Vec<Pid> {
    let pid = |number: u32| i32::try_from(number).ok().and_then(Pid::from_raw);
    let mut found: Vec<Pid> = pid(parent).into_iter().collect();
    let Ok(processes) = std::fs::read_dir("/proc") else { return found };
    for entry in processes.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the command's name in parentheses: state, then the parent.
        let above =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if above == Some(parent) {
            found.extend(pid(number));
        }
    }
    found
}
