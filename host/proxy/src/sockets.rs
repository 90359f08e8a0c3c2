//! The sockets on which this process listens. Some are open before it looks: systemd has opened them
//! (sd_listen_fds(3)), or the process that it follows.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use listenfd::ListenFd;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::Config;
use crate::control::{self, Control};
use crate::upstream::{Stream, Target};

/// Everybody of the machine may connect, whatever the process's umask, as with PostgreSQL's `unix_socket_permissions`:
/// rules say who comes in, and the directory may be closed to others.
const SOCKET_MODE: u32 = 0o777;
/// Connections that the system may hold before they are accepted.
const BACKLOG: u32 = 1024;
/// What systemd calls the socket of operators, and the one for HTTP (systemd.socket(5),
/// `FileDescriptorName`).
const CONTROL: &str = "control";
const HTTP: &str = "http";

/// What a socket is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Purpose {
    /// Clients that are awaited at this address of the configuration.
    Clients(String),
    /// Operators.
    Control(PathBuf),
    /// HTTP.
    Http(String),
    /// What the name says that systemd has given it; any other one: clients.
    Named(String),
}

/// All sockets of a process.
#[derive(Default)]
pub(crate) struct Sockets {
    /// Open already, and still to be used.
    found: Vec<(Purpose, OwnedFd)>,
    /// Copies of those that are used, for a process that follows.
    used: Vec<(Purpose, OwnedFd)>,
    passed_on: PassedOn,
}

/// Whether another process listens from now on: then the files of Unix sockets stay.
#[derive(Clone, Default)]
pub(crate) struct PassedOn(Arc<AtomicBool>);

/// The file of a Unix socket. It goes when this is dropped.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Whoever has made it removes it.
    ours: bool,
    passed_on: PassedOn,
}

impl SocketFile {
    pub(crate) fn new(path: &Path, passed_on: &PassedOn) -> SocketFile {
        SocketFile { path: path.to_owned(), ours: true, passed_on: passed_on.clone() }
    }

    /// One that systemd has made, and keeps.
    fn of_systemd(path: &Path) -> SocketFile {
        SocketFile { path: path.to_owned(), ours: false, passed_on: PassedOn::default() }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.ours && !self.passed_on.0.load(Ordering::Relaxed) {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A socket on which clients knock.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    pub(crate) fn address(&self) -> String {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            Listener::Unix(_, file) => file.path.display().to_string(),
        }
    }

    /// The next connection, and where it comes from.
    pub(crate) async fn accept(&self) -> std::io::Result<(Stream, Option<std::net::IpAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((stream.into(), Some(peer.ip())))
            }
            Listener::Unix(listener, _) => Ok((listener.accept().await?.0.into(), None)),
        }
    }

    /// One that is open already; none: systemd has opened it.
    fn open(socket: OwnedFd, passed_on: Option<&PassedOn>) -> std::io::Result<Listener> {
        if !SockRef::from(&socket).local_addr()?.is_unix() {
            return Ok(Listener::Tcp(tcp(socket)?));
        }
        let listener = StdUnixListener::from(socket);
        let address = listener.local_addr()?;
        let path = address.as_pathname().unwrap_or(Path::new(""));
        let file = match passed_on {
            Some(passed_on) => SocketFile::new(path, passed_on),
            None => SocketFile::of_systemd(path),
        };
        Ok(Listener::Unix(unix(listener.into())?, file))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

fn tcp(socket: OwnedFd) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn unix(socket: OwnedFd) -> std::io::Result<UnixListener> {
    let listener = StdUnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

impl Sockets {
    /// Those that systemd has opened for this process, if any.
    ///
    /// # Errors
    /// One of them is not a stream socket.
    pub(crate) fn activated() -> anyhow::Result<Sockets> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut found = Vec::new();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let socket = match given.take_tcp_listener(index) {
                Ok(socket) => socket.map(OwnedFd::from),
                Err(_) => {
                    let socket = given.take_unix_listener(index);
                    socket
                        .with_context(|| format!("LISTEN_FDS: socket \"{name}\""))?
                        .map(OwnedFd::from)
                }
            };
            found.extend(socket.map(|socket| (Purpose::Named(name), socket)));
        }
        Ok(Sockets { found, ..Sockets::default() })
    }

    /// Those of the process that this one follows, which listens until [`Sockets::take_over`].
    pub(crate) fn inherited(found: Vec<(Purpose, OwnedFd)>) -> Sockets {
        let sockets = Sockets { found, ..Sockets::default() };
        sockets.passed_on.0.store(true, Ordering::Relaxed);
        sockets
    }

    /// This process alone listens from now on.
    pub(crate) fn take_over(&self) {
        self.passed_on.0.store(false, Ordering::Relaxed);
    }

    /// Opens the sockets for clients: those that systemd has opened instead of those that the configuration names.
    pub(crate) async fn listen(&mut self, config: &Config) -> anyhow::Result<Vec<Listener>> {
        let clients = |name: &str| ![CONTROL, HTTP].contains(&name);
        let named = self.take(|purpose| matches!(purpose, Purpose::Named(name) if clients(name)));
        let mut listeners = Vec::new();
        for (purpose, socket) in named {
            let listener = Listener::open(socket, None)?;
            self.uses(purpose, &listener)?;
            listeners.push(listener);
        }
        if !listeners.is_empty() {
            return Ok(listeners);
        }
        for target in &config.listen {
            let purpose = Purpose::Clients(target.to_string());
            let found = self.take(|one| *one == purpose);
            let here = match found.is_empty() {
                true => self.bind(target, config.reuse_port).await?,
                false => {
                    let open = |(_, socket)| Listener::open(socket, Some(&self.passed_on));
                    found.into_iter().map(open).collect::<Result<_, _>>()?
                }
            };
            for listener in here {
                self.uses(purpose.clone(), &listener)?;
                listeners.push(listener);
            }
        }
        Ok(listeners)
    }

    async fn bind(&self, target: &Target, reuse_port: bool) -> anyhow::Result<Vec<Listener>> {
        if let Some(path) = target.socket() {
            // Left behind by a process that was killed; a live one still holds its TCP port, and its own socket file.
            if std::os::unix::net::UnixStream::connect(&path).is_err() {
                let _ = std::fs::remove_file(&path);
            }
            let what = || format!("cannot listen on {}", path.display());
            let listener = UnixListener::bind(&path).with_context(what)?;
            let open = PermissionsExt::from_mode(SOCKET_MODE);
            std::fs::set_permissions(&path, open).with_context(what)?;
            return Ok(vec![Listener::Unix(listener, SocketFile::new(&path, &self.passed_on))]);
        }
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let mut listeners = Vec::new();
        for address in found.with_context(|| format!("cannot listen on {target}"))? {
            let socket =
                if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(reuse_port)?;
            socket.bind(address).with_context(|| format!("cannot listen on {address}"))?;
            listeners.push(Listener::Tcp(socket.listen(BACKLOG)?));
        }
        Ok(listeners)
    }

    /// Opens the socket for operators, if there is to be one.
    pub(crate) fn control(&mut self, config: &Config) -> anyhow::Result<Option<Control>> {
        let named = Purpose::Named(CONTROL.to_owned());
        let ours = config.control.clone().map(Purpose::Control);
        let found = self.take(|one| *one == named || Some(one) == ours.as_ref()).pop();
        let (purpose, listener, file) = match (found, &config.control) {
            (None, None) => return Ok(None),
            (Some((purpose, socket)), _) => {
                let file = match &purpose {
                    Purpose::Control(path) => SocketFile::new(path, &self.passed_on),
                    _ => SocketFile::of_systemd(Path::new("")),
                };
                (purpose, unix(socket)?, file)
            }
            (None, Some(path)) => {
                let (listener, file) = control::bind(path, &self.passed_on)?;
                (Purpose::Control(path.clone()), listener, file)
            }
        };
        self.uses(purpose, &listener)?;
        Ok(Some(Control::new(listener, file)))
    }

    /// Opens the socket for HTTP, if there is to be one.
    pub(crate) async fn http(&mut self, config: &Config) -> anyhow::Result<Option<TcpListener>> {
        let named = Purpose::Named(HTTP.to_owned());
        let ours = config.http.as_ref().map(|http| Purpose::Http(http.listen.to_string()));
        let found = self.take(|one| *one == named || Some(one) == ours.as_ref()).pop();
        let (purpose, listener) = match (found, config.http.as_ref().map(|http| &http.listen)) {
            (None, None) => return Ok(None),
            (Some((purpose, socket)), _) => (purpose, tcp(socket)?),
            (None, Some(target)) => {
                let listener = TcpListener::bind((target.host.as_str(), target.port)).await;
                let what = || format!("http: cannot listen on {target}");
                (Purpose::Http(target.to_string()), listener.with_context(what)?)
            }
        };
        let address = listener.local_addr()?.to_string();
        tracing::info!(address, "the page and the metrics are to be had by HTTP");
        self.uses(purpose, &listener)?;
        Ok(Some(listener))
    }

    fn take(&mut self, which: impl Fn(&Purpose) -> bool) -> Vec<(Purpose, OwnedFd)> {
        self.found.extract_if(.., |(purpose, _)| which(purpose)).collect()
    }

    fn uses(&mut self, purpose: Purpose, socket: &impl AsFd) -> anyhow::Result<()> {
        if self.used.len() >= MOST {
            bail!("listen: a process listens on {MOST} sockets at most");
        }
        self.used.push((purpose, socket.as_fd().try_clone_to_owned()?));
        Ok(())
    }

    /// Those that are not used are of no use.
    pub(crate) fn close_rest(&mut self) {
        self.found.clear();
    }

    /// Those that are used.
    pub(crate) fn used(&self) -> &[(Purpose, OwnedFd)] {
        &self.used
    }

    /// Another process has them, and listens.
    pub(crate) fn pass_on(self) {
        self.passed_on.0.store(true, Ordering::Relaxed);
    }
}

/// Most sockets: as many descriptors as one message carries (unix(7), `SCM_MAX_FD`).
pub(crate) const MOST: usize = 253;
