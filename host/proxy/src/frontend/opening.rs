use std::net::IpAddr;

use bytes::{Buf, BytesMut};
use howdah_wire::backend::{ErrorReport, NegotiateProtocolVersion};
use howdah_wire::frontend::tag;
use howdah_wire::startup::{self, Opening, Startup};
use howdah_wire::{Version, frame, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::auth::{Authenticator, authenticate, gone};
use crate::upstream::Stream;

/// Encryption requests before the start-up packet: one of each kind, as in PostgreSQL (backend_startup.c).
const MAX_REQUESTS: usize = 2;
/// Longest name of a user or database: PostgreSQL cuts at NAMEDATALEN − 1 = 63 bytes.
const MAX_NAME: usize = 63;

/// What a connection turned out to be.
pub enum Opened {
    /// A client that has been let in, and knows it.
    Client(ClientHello),
    /// A request to cancel.
    Cancel {
        /// As in the key that was given out.
        pid: u32,
        /// As in the key that was given out.
        key: Box<[u8]>,
    },
    /// Nobody: it has gone, or was sent away.
    Gone,
}

/// A client that has been let in.
pub struct ClientHello {
    /// Who it is.
    pub user: String,
    /// The database that it wants.
    pub database: String,
    /// All further start-up parameters.
    pub parameters: Vec<(String, String)>,
    /// What it speaks.
    pub version: Version,
    /// What it has sent already.
    pub input: BytesMut,
}

/// Sees a connection through its opening, up to and with AuthenticationOk. A client that breaks a rule is
/// told so and sent away; one that is too slow is sent away at the deadline.
pub async fn open(
    stream: &mut Stream,
    peer: Option<IpAddr>,
    auth: &impl Authenticator,
    deadline: Instant,
) -> Opened {
    let mut wire = Wire { stream, input: BytesMut::new() };
    let outcome = timeout_at(deadline, wire.open(peer, auth)).await;
    let report = match outcome {
        Ok(Ok(opened)) => return opened,
        Ok(Err(report)) => report,
        Err(_) => ErrorReport::fatal(b"08P01", "canceling authentication due to timeout"),
    };
    tracing::debug!(peer = ?peer, reason = %report, "a client was not let in");
    let mut out = BytesMut::new();
    report.write(&mut out);
    // It may have gone, and need not listen: nobody waits for it.
    let _ = timeout_at(deadline.max(Instant::now() + FAREWELL), stream.write_all(&out)).await;
    Opened::Gone
}

/// How long a client that is sent away may take to hear why.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(100);

pub(super) struct Wire<'a> {
    pub(super) stream: &'a mut Stream,
    input: BytesMut,
}

impl Wire<'_> {
    async fn open(
        &mut self,
        peer: Option<IpAddr>,
        auth: &impl Authenticator,
    ) -> Result<Opened, ErrorReport> {
        let mut requests = 0;
        loop {
            let packet = startup::read(&self.input)
                .map_err(|error| ErrorReport::fatal(b"08P01", &error.to_string()))?;
            let Some((opening, len)) = packet else {
                if !self.read().await? {
                    return Ok(Opened::Gone);
                }
                continue;
            };
            match opening {
                Opening::Ssl | Opening::Gss => {
                    requests += 1;
                    if requests > MAX_REQUESTS {
                        return Err(ErrorReport::fatal(b"08P01", "too many encryption requests"));
                    }
                    self.input.advance(len);
                    self.stream.write_all(b"N").await.map_err(|_| gone())?;
                }
                Opening::Cancel(cancel) => {
                    return Ok(Opened::Cancel { pid: cancel.pid, key: cancel.key.into() });
                }
                Opening::Startup(startup) => {
                    let (hello, answer) = hello(&startup)?;
                    self.input.advance(len);
                    if !answer.is_empty() {
                        self.stream.write_all(&answer).await.map_err(|_| gone())?;
                    }
                    let method = auth.method(&hello.user, &hello.database, peer);
                    authenticate(self, &hello.user, method).await?;
                    let input = std::mem::take(&mut self.input);
                    return Ok(Opened::Client(ClientHello { input, ..hello }));
                }
            }
        }
    }

    /// False: the client has gone.
    async fn read(&mut self) -> Result<bool, ErrorReport> {
        self.stream.read_buf(&mut self.input).await.map(|n| n > 0).map_err(|_| gone())
    }

    /// The body of the next message, which must belong to authentication.
    pub(super) async fn password_message(&mut self) -> Result<BytesMut, ErrorReport> {
        loop {
            let head = frame::peek(&self.input, limits::MAX_AUTH_LEN)
                .map_err(|_| ErrorReport::fatal(b"08P01", "invalid message length"))?;
            if let Some(head) = head {
                if head.tag != tag::PASSWORD {
                    let message = format!("expected password response, got message type {}", head.tag);
                    return Err(ErrorReport::fatal(b"08P01", &message));
                }
                if self.input.len() >= head.len {
                    let mut frame = self.input.split_to(head.len);
                    frame.advance(frame::HEADER_LEN);
                    return Ok(frame);
                }
            }
            if !self.read().await? {
                return Err(gone());
            }
        }
    }
}

/// Reads a start-up packet, and makes the NegotiateProtocolVersion that it may need.
fn hello(startup: &Startup<'_>) -> Result<(ClientHello, BytesMut), ErrorReport> {
    let asked = startup.version;
    let Some(version) = asked.negotiate() else {
        let message = format!("unsupported frontend protocol {asked}: server supports 3.0 to 3.2");
        return Err(ErrorReport::fatal(b"0A000", &message));
    };
    let mut parameters = Vec::new();
    let mut unknown = Vec::new();
    let (mut user, mut database) = (None, None);
    for (name, value) in startup.parameters() {
        let (Ok(text), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(ErrorReport::fatal(b"22021", "a start-up parameter is not valid UTF-8"));
        };
        match text {
            "user" => user = Some(value),
            "database" => database = Some(value),
            "replication" if !matches!(value, "false" | "off" | "no" | "0") => {
                return Err(ErrorReport::fatal(b"0A000", "replication connections are not supported")
                    .hint("Connect to the server itself."));
            }
            "replication" => {}
            _ if text.starts_with("_pq_.") => unknown.push(name),
            _ => parameters.push((text.to_owned(), value.to_owned())),
        }
    }
    let user = user.filter(|user| !user.is_empty()).ok_or_else(|| {
        ErrorReport::fatal(b"28000", "no PostgreSQL user name specified in startup packet")
    })?;
    let database = database.filter(|name| !name.is_empty()).unwrap_or(user);
    if user.len() > MAX_NAME || database.len() > MAX_NAME {
        return Err(ErrorReport::fatal(b"42622", "the name of the user or database is too long"));
    }
    let mut answer = BytesMut::new();
    if asked != version || !unknown.is_empty() {
        NegotiateProtocolVersion { version: version.code(), unknown }.write(&mut answer);
    }
    let (user, database) = (user.to_owned(), database.to_owned());
    Ok((ClientHello { user, database, parameters, version, input: BytesMut::new() }, answer))
}
