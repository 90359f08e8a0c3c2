use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use howdah_wire::backend::{Authentication, ErrorReport};
use howdah_wire::frontend::SaslInitialResponse;
use howdah_wire::scram::{self, ServerError, Verifier};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;

use super::opening::Wire;
use crate::upstream::nonce;

/// How a client proves who it is.
pub enum Method {
    /// It need not.
    Trust,
    /// By SCRAM-SHA-256 against this verifier, which fits nothing when the user is not known.
    Scram(Arc<Verifier>),
    /// It cannot.
    Reject(ErrorReport),
}

/// Where a client calls from, and how.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// None for a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether its connection is encrypted.
    pub encrypted: bool,
}

/// Decides how clients prove who they are.
pub trait Authenticator {
    /// What clients are offered that would rather not be overheard.
    fn tls(&self) -> Option<Arc<ServerConfig>>;
    /// The method for a client.
    fn method(&self, user: &str, caller: Caller) -> Method;
}

/// Lets a client prove who it is. On success AuthenticationOk has been sent.
pub(super) async fn authenticate(
    wire: &mut Wire<'_>,
    user: &str,
    method: Method,
) -> Result<(), ErrorReport> {
    match method {
        Method::Trust => {}
        Method::Reject(report) => return Err(report),
        Method::Scram(verifier) => scram(wire, user, &verifier).await?,
    }
    let mut out = BytesMut::new();
    Authentication::Ok.write(&mut out);
    wire.stream.write_all(&out).await.map_err(|_| gone())
}

async fn scram(wire: &mut Wire<'_>, user: &str, verifier: &Verifier) -> Result<(), ErrorReport> {
    let mut out = BytesMut::new();
    Authentication::write_sasl(&mut out, &[scram::MECHANISM]);
    wire.stream.write_all(&out).await.map_err(|_| gone())?;
    let client_first = client_first(wire).await?;
    let mut server = scram::Server::new(verifier, &nonce());
    let first = server.first(&client_first).map_err(|e| refused(e, user))?;
    out.clear();
    Authentication::SaslContinue(first.as_bytes()).write(&mut out);
    wire.stream.write_all(&out).await.map_err(|_| gone())?;
    let body = wire.password_message().await?;
    let (last, _) = server.last(&body).map_err(|e| refused(e, user))?;
    out.clear();
    Authentication::SaslFinal(last.as_bytes()).write(&mut out);
    wire.stream.write_all(&out).await.map_err(|_| gone())
}

/// The client-first-message. A client may choose the mechanism without it, and is then asked for it with an empty
/// challenge (auth-sasl.c).
async fn client_first(wire: &mut Wire<'_>) -> Result<BytesMut, ErrorReport> {
    let body = wire.password_message().await?;
    let initial = SaslInitialResponse::read(&body).map_err(|_| malformed())?;
    if initial.mechanism != scram::MECHANISM.as_bytes() {
        let message = "client selected an invalid SASL authentication mechanism";
        return Err(ErrorReport::fatal(b"08P01", message));
    }
    if let Some(data) = initial.data {
        return Ok(data.into());
    }
    let mut out = BytesMut::new();
    Authentication::SaslContinue(b"").write(&mut out);
    wire.stream.write_all(&out).await.map_err(|_| gone())?;
    wire.password_message().await
}

/// The words of PostgreSQL (auth.c, auth-scram.c). An unknown user looks like a wrong password.
fn refused(error: ServerError, user: &str) -> ErrorReport {
    match error {
        ServerError::Proof => ErrorReport::fatal(
            b"28P01",
            &format!("password authentication failed for user \"{user}\""),
        ),
        ServerError::Malformed | ServerError::ChannelBinding => {
            malformed().detail(&error.to_string())
        }
    }
}

fn malformed() -> ErrorReport {
    ErrorReport::fatal(b"08P01", "malformed SCRAM message")
}

/// For a client that cannot hear it any more.
pub(super) fn gone() -> ErrorReport {
    ErrorReport::fatal(b"08006", "the client has gone")
}
