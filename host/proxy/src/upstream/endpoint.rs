use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use howdah_wire::startup::write_ssl_request;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::{ConnectError, Stream, Target};

/// A silent peer is asked for a sign of life after this, and three times more at this interval.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection ends when what was sent has not been acknowledged by the peer's system for so long: half a dozen
/// retransmissions. The monitor notices most losses before; this is for a path that only some connections have lost.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// A server: where it listens, and how connections to it are encrypted.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub target: Target,
    /// None: not at all. Connections by a Unix socket never are.
    pub tls: Option<Encryption>,
}

/// How connections to a server are encrypted.
#[derive(Clone, Debug)]
pub struct Encryption {
    /// What its certificate must be, and our own.
    pub config: Arc<ClientConfig>,
    /// What it is asked for by (SNI), and what its certificate may have to be for.
    pub name: ServerName<'static>,
    /// False: a server that does not offer it is spoken to in the clear.
    pub required: bool,
    /// Whether a login must be bound to the connection: by SCRAM-SHA-256-PLUS.
    pub must_bind: bool,
}

/// A server that is spoken to in the clear.
impl From<Target> for Endpoint {
    fn from(target: Target) -> Endpoint {
        Endpoint { target, tls: None }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

/// A connection without a login.
pub(super) async fn open(endpoint: &Endpoint) -> Result<Stream, ConnectError> {
    let mut stream = dial(&endpoint.target).await?;
    let Some(tls) = endpoint.tls.as_ref().filter(|_| stream.tcp().is_some()) else {
        return Ok(stream);
    };
    match encrypt(&mut stream, tls).await {
        Ok(true) => Ok(stream),
        Ok(false) if !tls.required => Ok(stream),
        Ok(false) => {
            Err(ConnectError::Tls("server does not support SSL, but SSL was required".to_owned()))
        }
        // As libpq does with sslmode=prefer (fe-connect.c).
        Err(ConnectError::Tls(_)) if !tls.required => Ok(dial(&endpoint.target).await?),
        Err(error) => Err(error),
    }
}

async fn dial(target: &Target) -> io::Result<Stream> {
    if let Some(path) = target.socket() {
        return UnixStream::connect(path).await.map(Stream::from);
    }
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(stream.into())
}

/// Asks for encryption, and begins it. False: the server has none.
async fn encrypt(stream: &mut Stream, tls: &Encryption) -> Result<bool, ConnectError> {
    let mut out = BytesMut::new();
    write_ssl_request(&mut out);
    stream.write_all(&out).await?;
    // Room for more than the answer, so that more is noticed.
    let mut answer = [0; 2];
    let n = stream.read(&mut answer).await?;
    let wrong = match answer[..n] {
        [b'S'] => {
            stream.connect_tls(Arc::clone(&tls.config), tls.name.clone()).await?;
            return Ok(true);
        }
        [b'N'] => return Ok(false),
        [] => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        // What came before encryption would seem to have come through it (CVE-2021-23222).
        [b'S', ..] => "received unencrypted data after SSL response",
        // It could not even fork, say. Nobody has proven who says so: the message is not shown.
        [b'E', ..] => "an error answers the SSL request",
        _ => "nothing known answers the SSL request",
    };
    Err(ConnectError::Protocol(wrong))
}
