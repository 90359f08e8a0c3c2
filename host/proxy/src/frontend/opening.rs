use std::net::IpAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use howdah_wire::backend::ErrorReport;
use howdah_wire::frontend::tag;
use howdah_wire::startup::{self, Opening};
use howdah_wire::{frame, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::auth::{Authenticator, authenticate, gone};
use super::hello::{ClientHello, hello};
use crate::upstream::Stream;

/// How long a client that is sent away may take to hear why.
const FAREWELL: Duration = Duration::from_millis(100);

/// What a connection turned out to be.
#[derive(Debug)]
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

/// Sees a connection through its opening, up to and with AuthenticationOk. A client that breaks a rule is
/// told so and sent away; one that is too slow is sent away at the deadline.
pub async fn open(
    stream: &mut Stream,
    peer: Option<IpAddr>,
    auth: &(impl Authenticator + ?Sized),
    deadline: Instant,
) -> Opened {
    let mut wire = Wire { stream, input: BytesMut::new() };
    let outcome = timeout_at(deadline, wire.open(peer, auth)).await;
    let report = match outcome {
        Ok(Ok(opened)) => return opened,
        Ok(Err(report)) => report,
        Err(_) => ErrorReport::fatal(b"57014", "canceling authentication due to timeout"),
    };
    tracing::debug!(peer = ?peer, reason = %report, "a client was not let in");
    let mut out = BytesMut::new();
    report.write(&mut out);
    // It may have gone, and need not listen: nobody waits for it.
    let _ = timeout_at(deadline.max(Instant::now() + FAREWELL), stream.write_all(&out)).await;
    Opened::Gone
}

pub(super) struct Wire<'a> {
    pub(super) stream: &'a mut Stream,
    input: BytesMut,
}

impl Wire<'_> {
    async fn open(
        &mut self,
        peer: Option<IpAddr>,
        auth: &(impl Authenticator + ?Sized),
    ) -> Result<Opened, ErrorReport> {
        // One of each kind, in any order, as in PostgreSQL (backend_startup.c).
        let (mut ssl, mut gss) = (false, false);
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
                    let asked = if opening == Opening::Ssl { &mut ssl } else { &mut gss };
                    if std::mem::replace(asked, true) {
                        return Err(ErrorReport::fatal(b"08P01", "repeated encryption request"));
                    }
                    // Bytes behind the request were sent before our answer. They could be an attacker's if
                    // encryption followed; as it does not, they are plain protocol like all others.
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
