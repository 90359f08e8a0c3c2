use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use howdah_wire::backend::{Authentication, ErrorReport};
use howdah_wire::frontend::tag;
use howdah_wire::startup::{self, Opening};
use howdah_wire::{frame, limits};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::auth::{Authenticator, Caller, authenticate, gone};
use super::hello::{ClientHello, hello, unsupported};
use super::known::LoginFailure;
use crate::certificate::Certificate;
use crate::upstream::Stream;

/// How long a client may take to hear the last that it is told: nobody waits for it longer.
pub(crate) const FAREWELL: Duration = Duration::from_millis(100);

/// Bytes that are read at once: most start-up packets, and each message of a login.
const ROOM: usize = 512;

/// The first byte of a TLS handshake (RFC 8446, section 5.1). As the length of a start-up packet it would be too much.
const HANDSHAKE: u8 = 22;

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Opened {
    /// A client that has been let in, and is to be told so.
    Client(ClientHello),
    /// A request to cancel.
    Cancel {
        /// As in the key that was given out.
        pid: u32,
        /// As in the key that was given out.
        key: Box<[u8]>,
    },
    /// Nobody: it has gone, or was sent away, for this reason.
    Gone(LoginFailure),
}

/// Sees a connection through its opening, up to AuthenticationOk, which is left to be sent with what follows. A client
/// that breaks a rule is told so and sent away; one that is too slow is sent away at the deadline.
pub async fn open(
    stream: &mut Stream,
    peer: Option<IpAddr>,
    auth: &impl Authenticator,
    deadline: Instant,
) -> Opened {
    let mut wire = Wire { stream, input: BytesMut::new(), output: BytesMut::new() };
    let outcome = timeout_at(deadline, wire.open(peer, auth)).await;
    let report = match outcome {
        Ok(Ok(opened)) => return opened,
        Ok(Err(report)) => report,
        Err(_) => ErrorReport::fatal(b"57014", "canceling authentication due to timeout"),
    };
    send_away(stream, peer, BytesMut::new(), &report).await;
    Opened::Gone(LoginFailure::of(&report))
}

/// Tells a client why it is not let in, after what it is told before. It may have gone, and need not listen: nobody
/// waits for it.
pub(crate) async fn send_away(
    stream: &mut Stream,
    peer: Option<IpAddr>,
    mut out: BytesMut,
    report: &ErrorReport,
) {
    tracing::debug!(peer = ?peer, reason = %report, "a client was not let in");
    report.write(&mut out);
    let _ = timeout_at(Instant::now() + FAREWELL, stream.write_all(&out)).await;
}

/// Bytes that came before encryption would seem to have come through it (CVE-2021-23214).
fn smuggled() -> ErrorReport {
    ErrorReport::fatal(b"08P01", "received unencrypted data after SSL request").detail(
        "It was sent before the answer: by a faulty client, or by somebody between the client and the proxy.",
    )
}

pub(super) struct Wire<'a> {
    pub(super) stream: &'a mut Stream,
    input: BytesMut,
    /// What has not been sent yet.
    pub(super) output: BytesMut,
}

impl Wire<'_> {
    async fn open(
        &mut self,
        peer: Option<IpAddr>,
        auth: &impl Authenticator,
    ) -> Result<Opened, ErrorReport> {
        let tls = auth.tls().filter(|_| self.stream.tcp().is_some());
        if let Some(tls) = tls
            && self.begins_with_tls().await?
            && !self.encrypt(&tls.server, true).await
        {
            return Ok(Opened::Gone(LoginFailure::Handshake));
        }
        // One of each kind, in any order, as in PostgreSQL (backend_startup.c), and none within encryption.
        let (mut ssl, mut gss) = (self.stream.is_encrypted(), self.stream.is_encrypted());
        loop {
            let packet = startup::read(&self.input)
                .map_err(|error| ErrorReport::fatal(b"08P01", &error.to_string()))?;
            let Some((opening, len)) = packet else {
                if !self.read().await? {
                    return Ok(Opened::Gone(LoginFailure::Left));
                }
                continue;
            };
            match opening {
                Opening::Ssl | Opening::Gss => {
                    let is_ssl = opening == Opening::Ssl;
                    let asked = if is_ssl { &mut ssl } else { &mut gss };
                    if std::mem::replace(asked, true) {
                        return Err(unsupported(opening.version()));
                    }
                    self.input.advance(len);
                    let Some(tls) = tls.filter(|_| is_ssl) else {
                        // Bytes behind the request are plain protocol like all others.
                        self.stream.write_all(b"N").await.map_err(|_| gone())?;
                        continue;
                    };
                    if !self.input.is_empty() {
                        return Err(smuggled());
                    }
                    self.stream.write_all(b"S").await.map_err(|_| gone())?;
                    if !self.encrypt(&tls.server, false).await {
                        return Ok(Opened::Gone(LoginFailure::Handshake));
                    }
                    gss = true;
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
                    let shown =
                        self.stream.peer_certificate().and_then(|one| Certificate::read(one));
                    let (encrypted, certificate) = (self.stream.is_encrypted(), shown.as_ref());
                    let caller = Caller { address: peer, encrypted, certificate };
                    let method = authenticate(self, &hello, caller, auth).await?;
                    let (input, output) =
                        (std::mem::take(&mut self.input), std::mem::take(&mut self.output));
                    return Ok(Opened::Client(ClientHello { method, input, output, ..hello }));
                }
            }
        }
    }

    /// Whether the client encrypts without asking first, as it may since PostgreSQL 17.
    async fn begins_with_tls(&mut self) -> Result<bool, ErrorReport> {
        let Some(socket) = self.stream.tcp() else { return Ok(false) };
        let mut first = [0];
        let n = socket.peek(&mut first).await.map_err(|_| gone())?;
        Ok(n == 1 && first == [HANDSHAKE])
    }

    /// Encrypts the connection. False: that was not to be, and there is nobody to tell. Who did not ask first must name
    /// the protocol, lest a client of another protocol be led here (backend_startup.c).
    async fn encrypt(&mut self, tls: &Arc<ServerConfig>, unasked: bool) -> bool {
        match self.stream.accept_tls(Arc::clone(tls)).await {
            Ok(named) if named || !unasked => return true,
            Ok(_) => tracing::debug!("direct TLS without ALPN protocol \"postgresql\""),
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
        false
    }

    /// False: the client has gone.
    async fn read(&mut self) -> Result<bool, ErrorReport> {
        self.input.reserve(ROOM);
        self.stream.read_buf(&mut self.input).await.map(|n| n > 0).map_err(|_| gone())
    }

    /// Says something of authentication.
    pub(super) async fn tell(&mut self, what: &Authentication<'_>) -> Result<(), ErrorReport> {
        what.write(&mut self.output);
        self.flush().await
    }

    /// Sends what is to be sent.
    pub(super) async fn flush(&mut self) -> Result<(), ErrorReport> {
        self.stream.write_all_buf(&mut self.output).await.map_err(|_| gone())
    }

    /// The body of the next message, which must belong to authentication.
    pub(super) async fn password_message(&mut self) -> Result<BytesMut, ErrorReport> {
        loop {
            let head = frame::peek(&self.input, limits::MAX_AUTH_LEN)
                .map_err(|_| ErrorReport::fatal(b"08P01", "invalid message length"))?;
            if let Some(head) = head {
                if head.tag != tag::PASSWORD {
                    let message =
                        format!("expected password response, got message type {}", head.tag);
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
