use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::installation::Installation;
use crate::server::Server;
use crate::user::User;

/// How servers let clients in that come by TCP. By the Unix socket everybody is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Without a password.
    #[default]
    Trust,
    /// SCRAM-SHA-256.
    Scram,
    /// MD5.
    Md5,
    /// A password in clear text.
    Password,
}

/// What a cluster shall be.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Streaming replicas.
    pub replicas: usize,
    /// How clients are let in.
    pub auth: Auth,
    /// Lines of `pg_hba.conf` that come before those of `auth`, for TCP.
    pub rules: Vec<String>,
    /// Further lines of `postgresql.conf`.
    pub settings: Vec<String>,
    /// Further files in the data directories, by name, such as certificates: only the server may read them.
    pub files: Vec<(String, String)>,
    /// Where a freshly initialised data directory is kept for the next time. None: it is made anew.
    pub template: Option<PathBuf>,
}

/// A primary with its replicas.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    /// Ends the servers and removes the directory when its input ends, which it does with this process.
    watchdog: Option<Child>,
    directory: TempDir,
}

/// Longest wait for replicas.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fast, and good for nothing else.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nfsync = off\nfull_page_writes = off\n\
    max_connections = 200\nshared_buffers = 32MB\nwal_level = replica\nhot_standby = on\n\
    max_wal_senders = 20\nwal_retrieve_retry_interval = 100ms\nlog_min_messages = warning\n";

/// Waits for the end of its input, then ends all servers below its argument, after whoever would start them again.
const WATCHDOG: &str = "trap '' INT TERM HUP; cat >/dev/null; \
    for f in \"$1\"/*/keeper.pid; do [ -f \"$f\" ] && kill -KILL \"$(cat \"$f\")\"; done; \
    for f in \"$1\"/*/postmaster.pid; do [ -f \"$f\" ] && kill -QUIT \"$(head -n 1 \"$f\")\"; done; \
    i=0; while ls \"$1\"/*/postmaster.pid >/dev/null 2>&1 && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; \
    rm -rf \"$1\"";

impl Cluster {
    /// Starts one, in about a second and a half.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub fn start(options: &Options) -> Result<Cluster> {
        let installation = Installation::find()?;
        let user = User::choose()?;
        let directory = tempfile::Builder::new().prefix("howdah-pg-").tempdir()?;
        open_to_all(directory.path())?;
        user.own(directory.path())?;
        let watchdog = watchdog(user, directory.path())?;
        let mut cluster = Cluster { servers: Vec::new(), watchdog: Some(watchdog), directory };
        let template = cluster.template(&installation, user, options.template.as_deref())?;
        for number in 0..=options.replicas {
            cluster.add(&installation, user, &template, number, options)?;
        }
        Ok(cluster)
    }

    /// The primary that the cluster began with.
    pub fn primary(&self) -> &Server {
        &self.servers[0]
    }

    /// The same, to be stopped and started.
    pub fn primary_mut(&mut self) -> &mut Server {
        &mut self.servers[0]
    }

    /// The replicas that the cluster began with.
    pub fn replicas(&self) -> &[Server] {
        &self.servers[1..]
    }

    /// The same, to be stopped and started.
    pub fn replicas_mut(&mut self) -> &mut [Server] {
        &mut self.servers[1..]
    }

    /// All servers, in the order of [`Cluster::nodes`], whatever each is by now.
    pub fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// Addresses, the primary's first.
    pub fn nodes(&self) -> Vec<String> {
        self.servers.iter().map(Server::address).collect()
    }

    /// Returns when all running replicas have replayed what the primary has written so far.
    ///
    /// # Errors
    /// They do not, within a minute.
    pub fn wait_replayed(&self) -> Result<()> {
        let lsn = self.primary().value("postgres", "SELECT pg_current_wal_flush_lsn()")?;
        let give_up = Instant::now() + PATIENCE;
        for replica in self.replicas().iter().filter(|replica| replica.is_running()) {
            let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
            while replica.value("postgres", &sql)? != "t" {
                if Instant::now() > give_up {
                    bail!("replica {} does not catch up", replica.address());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// A data directory as `initdb` makes it: all servers are copies of it, so they have one history.
    fn template(
        &self,
        installation: &Installation,
        user: User,
        kept: Option<&Path>,
    ) -> Result<PathBuf> {
        let fresh = self.directory.path().join("template");
        let Some(kept) = kept else {
            initdb(installation, user, self.directory.path(), &fresh)?;
            return Ok(fresh);
        };
        let kept = kept.join(format!("pg{}-template", installation.major));
        if !kept.exists() {
            initdb(installation, user, self.directory.path(), &fresh)?;
            if let Some(parent) = kept.parent() {
                std::fs::create_dir_all(parent)?;
            }
            // Copied under a name of its own and then renamed: others, in this process too, may be doing the same at this
            // moment.
            let mine = kept.with_extension(self.directory.path().file_name().unwrap_or_default());
            copy(&fresh, &mine)?;
            if std::fs::rename(&mine, &kept).is_err() {
                std::fs::remove_dir_all(&mine)?;
            }
        }
        Ok(kept)
    }

    fn add(
        &mut self,
        installation: &Installation,
        user: User,
        template: &Path,
        number: usize,
        options: &Options,
    ) -> Result<()> {
        let sockets = self.directory.path().to_path_buf();
        let data = sockets.join(format!("node{number}"));
        copy(template, &data)?;
        let mut conf = format!("{SETTINGS}unix_socket_directories = '{}'\n", sockets.display());
        for line in &options.settings {
            writeln!(conf, "{line}")?;
        }
        if number > 0 {
            let (host, port) = (sockets.display(), self.primary().port);
            writeln!(
                conf,
                "primary_conninfo = 'host={host} port={port} user=postgres application_name=node{number}'"
            )?;
            std::fs::write(data.join("standby.signal"), "")?;
            user.own(&data.join("standby.signal"))?;
        }
        let path = data.join("postgresql.auto.conf");
        std::fs::write(&path, conf)?;
        std::fs::write(data.join("pg_hba.conf"), hba(options))?;
        for (name, content) in &options.files {
            server_only(user, &data.join(name), content)?;
        }
        let mut server = Server::new(data, sockets, installation, user);
        server.start()?;
        self.servers.push(server);
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Replicas first: they would only complain.
        while let Some(server) = self.servers.pop() {
            drop(server);
        }
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
    }
}

/// As PostgreSQL wants the file of a private key to be.
fn server_only(user: User, path: &Path, content: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(content.as_bytes())?;
    user.own(path)
}

fn hba(options: &Options) -> String {
    let method = match options.auth {
        Auth::Trust => "trust",
        Auth::Scram => "scram-sha-256",
        Auth::Md5 => "md5",
        Auth::Password => "password",
    };
    let rules = options.rules.join("\n");
    format!(
        "local all all trust\nlocal replication all trust\n{rules}\nhost all all 127.0.0.1/32 {method}\n\
         host replication all 127.0.0.1/32 {method}\n"
    )
}

fn initdb(installation: &Installation, user: User, directory: &Path, data: &Path) -> Result<()> {
    let output = user
        .command(installation.bin.join("initdb"), directory)
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .context("initdb")?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Owners and modes stay as they are.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let status =
        std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().context("cp")?;
    if !status.success() {
        bail!("{} could not be copied", from.display());
    }
    Ok(())
}

/// The unprivileged user must be able to get there.
pub(crate) fn open_to_all(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?)
}

pub(crate) fn watchdog(user: User, directory: &Path) -> Result<Child> {
    user.command("sh", Path::new("/"))
        .args(["-c", WATCHDOG, "sh"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("sh")
}
