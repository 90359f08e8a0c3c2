use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use howdah_wire::backend::{
    Authentication, BackendKeyData, ErrorReport, ErrorResponse, ParameterStatus, tag,
};
use howdah_wire::frontend::{Password, SaslInitialResponse, SaslResponse};
use howdah_wire::scram::{self, ClientKeys};
use howdah_wire::{Version, frame, limits, startup};
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::{Login, Stream, Target};

/// A silent peer is asked for a sign of life after this, and three times more at this interval.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Derived keys that are kept. Each is for one password, salt and iteration count, so there are about as many as
/// there are users times clusters.
const MAX_KEYS: usize = 10_000;

/// A connection that has been logged in and is ready for a query.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// Parameters that the server reported.
    pub parameters: Vec<(Box<str>, Box<str>)>,
    /// For cancel requests.
    pub pid: u32,
    /// For cancel requests.
    pub key: Box<[u8]>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network, or nobody listens.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The server says no.
    #[error("the server says: {0}")]
    Refused(ErrorReport),
    /// The server wants what we do not have.
    #[error("{0}")]
    Login(&'static str),
    /// The server does not speak PostgreSQL's protocol as we know it.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
}

impl ConnectError {
    /// Whether the node is to blame, rather than the login: another node may do better.
    pub fn blames_node(&self) -> bool {
        match self {
            ConnectError::Io(_) | ConnectError::Timeout | ConnectError::Protocol(_) => true,
            // cannot_connect_now, too_many_connections, admin_shutdown, crash_shutdown
            ConnectError::Refused(report) => {
                matches!(report.sqlstate(), b"57P03" | b"53300" | b"57P01" | b"57P02")
            }
            ConnectError::Login(_) => false,
        }
    }
}

/// Keys derived from passwords, so that a login costs no PBKDF2. Shared by all threads.
#[derive(Default)]
pub struct KeyCache {
    keys: Mutex<Vec<Derived>>,
}

struct Derived {
    user: String,
    password: super::Secret,
    salt: Vec<u8>,
    iterations: u32,
    keys: ClientKeys,
}

impl KeyCache {
    fn get(&self, login: &Login, password: &super::Secret, challenge: &scram::Challenge) -> ClientKeys {
        let fits = |d: &Derived| {
            d.user == login.user
                && d.salt == challenge.salt
                && d.iterations == challenge.iterations
                && d.password == *password
        };
        if let Some(derived) = self.keys.lock().iter().find(|d| fits(d)) {
            return derived.keys.clone();
        }
        let (salt, iterations) = (challenge.salt.clone(), challenge.iterations);
        let keys = ClientKeys::derive(password.reveal().as_bytes(), &salt, iterations);
        let mut kept = self.keys.lock();
        if kept.len() >= MAX_KEYS {
            kept.remove(0);
        }
        let (user, password) = (login.user.clone(), password.clone());
        kept.push(Derived { user, password, salt, iterations, keys: keys.clone() });
        keys
    }
}

/// A connection without a login.
pub(super) async fn open(target: &Target) -> io::Result<Stream> {
    if let Some(path) = target.socket() {
        return UnixStream::connect(path).await.map(Stream::Unix);
    }
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(Stream::Tcp(stream))
}

/// Connects and logs in. Cancel safe: a connection that is not finished is closed.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    target: &Target,
    login: &Login,
    deadline: Instant,
    keys: &KeyCache,
) -> Result<Connected, ConnectError> {
    let attempt = async {
        let stream = open(target).await?;
        Handshake { stream, input: BytesMut::new(), login, keys }.run().await
    };
    timeout_at(deadline, attempt).await.unwrap_or(Err(ConnectError::Timeout))
}

struct Handshake<'a> {
    stream: Stream,
    input: BytesMut,
    login: &'a Login,
    keys: &'a KeyCache,
}

impl Handshake<'_> {
    async fn run(mut self) -> Result<Connected, ConnectError> {
        let login = self.login;
        let mut out = BytesMut::new();
        let fixed = [("user", login.user.as_str()), ("database", login.database.as_str())];
        let more = login.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        startup::write_startup(&mut out, Version::V3_0, fixed.into_iter().chain(more));
        self.stream.write_all(&out).await?;
        self.authenticate().await?;
        let (mut parameters, mut pid, mut key) = (Vec::new(), 0, Box::<[u8]>::default());
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                tag::PARAMETER_STATUS => {
                    let status = ParameterStatus::read(&body).map_err(malformed)?;
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
                    parameters.push((text(status.name), text(status.value)));
                }
                tag::BACKEND_KEY_DATA => {
                    let data = BackendKeyData::read(&body).map_err(malformed)?;
                    (pid, key) = (data.pid, data.key.into());
                }
                tag::READY_FOR_QUERY => break,
                tag::NOTICE_RESPONSE | tag::NEGOTIATE_PROTOCOL_VERSION => {}
                _ => return Err(ConnectError::Protocol("unexpected message at start-up")),
            }
        }
        if !self.input.is_empty() {
            return Err(ConnectError::Protocol("bytes after ReadyForQuery"));
        }
        Ok(Connected { stream: self.stream, parameters, pid, key })
    }

    async fn authenticate(&mut self) -> Result<(), ConnectError> {
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                tag::AUTHENTICATION => {}
                tag::NOTICE_RESPONSE | tag::NEGOTIATE_PROTOCOL_VERSION => continue,
                _ => return Err(ConnectError::Protocol("unexpected message at authentication")),
            }
            let request = Authentication::read(&body).map_err(malformed)?;
            match request {
                Authentication::Ok => return Ok(()),
                Authentication::CleartextPassword => {
                    let password = self.password()?.clone();
                    self.send_password(password.reveal().as_bytes()).await?;
                }
                Authentication::Md5Password { salt } => {
                    let password = self.password()?.reveal().as_bytes().to_vec();
                    let answer = howdah_wire::md5::answer(&self.login.user, &password, salt);
                    self.send_password(answer.as_bytes()).await?;
                }
                Authentication::Sasl(_) if request.offers(scram::MECHANISM) => self.scram().await?,
                _ => return Err(ConnectError::Login("the server asks for an unknown method")),
            }
        }
    }

    fn password(&self) -> Result<&super::Secret, ConnectError> {
        self.login
            .password
            .as_ref()
            .ok_or(ConnectError::Login("the server asks for a password, and none is configured"))
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), ConnectError> {
        let mut out = BytesMut::new();
        Password { password }.write(&mut out);
        Ok(self.stream.write_all(&out).await?)
    }

    async fn scram(&mut self) -> Result<(), ConnectError> {
        let password = self.password()?.clone();
        let mut client = scram::Client::new(&nonce());
        let mut out = BytesMut::new();
        let first = client.first();
        let mechanism = scram::MECHANISM.as_bytes();
        SaslInitialResponse { mechanism, data: Some(first.as_bytes()) }.write(&mut out);
        self.stream.write_all(&out).await?;
        let (_, body) = self.message().await?;
        let Ok(Authentication::SaslContinue(server_first)) = Authentication::read(&body) else {
            return Err(ConnectError::Protocol("no SASL challenge"));
        };
        let wrong = |_| ConnectError::Protocol("malformed or false SCRAM message");
        let challenge = client.challenge(server_first).map_err(wrong)?;
        let keys = self.keys.get(self.login, &password, &challenge);
        let last = client.last(server_first, &challenge, &keys);
        out.clear();
        SaslResponse { data: last.as_bytes() }.write(&mut out);
        self.stream.write_all(&out).await?;
        let (_, body) = self.message().await?;
        let Ok(Authentication::SaslFinal(server_final)) = Authentication::read(&body) else {
            return Err(ConnectError::Protocol("no SASL outcome"));
        };
        client.verify(server_final).map_err(wrong)
    }

    /// The next message. An ErrorResponse is the end.
    async fn message(&mut self) -> Result<(u8, BytesMut), ConnectError> {
        loop {
            let head = frame::peek(&self.input, limits::MAX_AUTH_LEN)
                .map_err(|_| ConnectError::Protocol("invalid message length"))?;
            if let Some(head) = head
                && self.input.len() >= head.len
            {
                let mut frame = self.input.split_to(head.len);
                frame.advance(frame::HEADER_LEN);
                if head.tag == tag::ERROR_RESPONSE {
                    let error = ErrorResponse::read(&frame).map_err(malformed)?;
                    return Err(ConnectError::Refused(ErrorReport::from_response(&error)));
                }
                return Ok((head.tag, frame));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

fn malformed(_: howdah_wire::BodyError) -> ConnectError {
    ConnectError::Protocol("malformed message")
}

/// 24 random characters, as PostgreSQL's own nonces have 18 random bytes.
pub(crate) fn nonce() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: [u8; 24] = random();
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])).collect()
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without randomness there is no authentication: a system like that cannot be served safely.
        tracing::error!(%error, "the system has no random numbers");
        std::process::abort();
    }
    bytes
}
