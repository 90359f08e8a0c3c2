use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use howdah_wire::backend::{Authentication, ErrorReport};
use howdah_wire::frontend::{Password, SaslInitialResponse};
use howdah_wire::scram::{self, Binding, ClientKeys, ServerError, Verifier};
use howdah_wire::{md5, same};
use tokio::time::sleep;

use super::opening::Wire;
use super::{ClientHello, LoginMethod, Stored};
use crate::certificate::Certificate;
use crate::config::Tls;
use crate::upstream::{Secret, nonce, random};

/// How a client proves who it is.
pub enum Method {
    /// It need not.
    Trust,
    /// It has done so already, by its certificate.
    Certificate,
    /// By SCRAM-SHA-256 against this verifier, which fits nothing when the user is not known.
    Scram(Arc<Verifier>),
    /// By MD5 against this hash.
    Md5(Secret),
    /// With a password in clear; none when the user is not known.
    Password(Option<Arc<Stored>>),
    /// It cannot.
    Reject(ErrorReport),
}

/// What a client has shown when it proved who it is: a server that knows the same password takes it too.
pub enum Proof {
    /// The keys that belong to a verifier.
    Scram(Arc<Verifier>, ClientKeys),
    /// The password, or its MD5 hash.
    Password(Secret),
}

/// Where a client calls from, and how.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// None for a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether its connection is encrypted.
    pub encrypted: bool,
    /// The certificate that it has shown, which is in order.
    pub(crate) certificate: Option<&'a Certificate>,
}

/// Decides how clients prove who they are.
pub trait Authenticator {
    /// What clients are offered that would rather not be overheard.
    fn tls(&self) -> Option<&Tls>;
    /// The method for a client. Cancel safe.
    fn method(&self, client: &ClientHello, caller: Caller<'_>) -> impl Future<Output = Method>;
    /// A client has proven who it is.
    fn proven(&self, client: &ClientHello, proof: Proof);
    /// A client has not. How long it waits until it is told.
    fn failed(&self, client: &ClientHello, caller: Caller<'_>) -> Duration;
}

/// Lets a client prove who it is, by a login that may be bound to `end_point`, and says how it has. On success it is
/// still to be told what `wire` holds, which ends with AuthenticationOk.
pub(super) async fn authenticate(
    wire: &mut Wire<'_>,
    client: &ClientHello,
    caller: Caller<'_>,
    auth: &impl Authenticator,
) -> Result<LoginMethod, ErrorReport> {
    let user = &client.user;
    let own = auth.tls().filter(|_| caller.encrypted);
    let wanted = wire.stream.server_name().map(str::to_owned);
    let end_point = own.and_then(|tls| tls.end_point(wanted.as_deref()));
    let (method, proof) = match auth.method(client, caller).await {
        Method::Trust => (LoginMethod::Trust, Ok(None)),
        Method::Certificate => (LoginMethod::Certificate, Ok(None)),
        Method::Reject(report) => return Err(report),
        Method::Scram(verifier) => {
            (LoginMethod::Scram, scram(wire, user, verifier, end_point).await.map(Some))
        }
        Method::Md5(hash) => (LoginMethod::Md5, md5(wire, user, hash).await.map(Some)),
        Method::Password(stored) => {
            (LoginMethod::Password, password(wire, user, stored).await.map(Some))
        }
    };
    match proof {
        Ok(Some(proof)) => auth.proven(client, proof),
        Ok(None) => {}
        Err(report) => {
            if report.sqlstate() == b"28P01" {
                sleep(auth.failed(client, caller)).await;
            }
            return Err(report);
        }
    }
    Authentication::Ok.write(&mut wire.output);
    Ok(method)
}

async fn scram(
    wire: &mut Wire<'_>,
    user: &str,
    verifier: Arc<Verifier>,
    end_point: Option<&[u8]>,
) -> Result<Proof, ErrorReport> {
    let bindings = match end_point {
        Some(hash) => &[Binding::EndPoint(hash), Binding::Unused][..],
        None => &[Binding::Impossible],
    };
    let mechanisms: Vec<&str> = bindings.iter().map(Binding::mechanism).collect();
    Authentication::write_sasl(&mut wire.output, &mechanisms);
    wire.flush().await?;
    let (binding, client_first) = client_first(wire, bindings).await?;
    let mut server = scram::Server::new(&verifier, &nonce(), binding);
    let first = server.first(&client_first).map_err(|e| refused(e, user))?;
    wire.tell(&Authentication::SaslContinue(first.as_bytes())).await?;
    let body = wire.password_message().await?;
    let (last, keys) = server.last(&body).map_err(|e| refused(e, user))?;
    Authentication::SaslFinal(last.as_bytes()).write(&mut wire.output);
    Ok(Proof::Scram(verifier, keys))
}

async fn md5(wire: &mut Wire<'_>, user: &str, hash: Secret) -> Result<Proof, ErrorReport> {
    let salt = random();
    wire.tell(&Authentication::Md5Password { salt }).await?;
    let body = wire.password_message().await?;
    let Password { password } = Password::read(&body).map_err(|_| bad_password())?;
    let expected = md5::answer(&hash.reveal().to_ascii_lowercase(), salt);
    match same(expected.as_bytes(), password) {
        true => Ok(Proof::Password(hash)),
        false => Err(wrong_password(user)),
    }
}

async fn password(
    wire: &mut Wire<'_>,
    user: &str,
    stored: Option<Arc<Stored>>,
) -> Result<Proof, ErrorReport> {
    wire.tell(&Authentication::CleartextPassword).await?;
    let body = wire.password_message().await?;
    let Password { password } = Password::read(&body).map_err(|_| bad_password())?;
    if password.is_empty() {
        return Err(ErrorReport::fatal(b"28P01", "empty password returned by client"));
    }
    let given = std::str::from_utf8(password).map_err(|_| wrong_password(user))?;
    let given = Secret::new(given.to_owned());
    match stored {
        Some(stored) if stored.fits(user, &given).await => Ok(Proof::Password(given)),
        _ => Err(wrong_password(user)),
    }
}

fn bad_password() -> ErrorReport {
    ErrorReport::fatal(b"08P01", "invalid password packet size")
}

/// An unknown user looks the same (auth.c, `auth_failed`).
pub(crate) fn wrong_password(user: &str) -> ErrorReport {
    let message = format!("password authentication failed for user \"{user}\"");
    ErrorReport::fatal(b"28P01", &message)
}

/// What the client has chosen, and its client-first-message. A client may choose the mechanism without that, and is then
/// asked for it with an empty challenge (auth-sasl.c).
async fn client_first<'a>(
    wire: &mut Wire<'_>,
    bindings: &[Binding<'a>],
) -> Result<(Binding<'a>, BytesMut), ErrorReport> {
    let body = wire.password_message().await?;
    let initial = SaslInitialResponse::read(&body).map_err(|_| malformed())?;
    let chosen = bindings.iter().find(|one| one.mechanism().as_bytes() == initial.mechanism);
    let binding = *chosen.ok_or_else(|| {
        let message = "client selected an invalid SASL authentication mechanism";
        ErrorReport::fatal(b"08P01", message)
    })?;
    if let Some(data) = initial.data {
        return Ok((binding, data.into()));
    }
    wire.tell(&Authentication::SaslContinue(b"")).await?;
    Ok((binding, wire.password_message().await?))
}

/// The words of PostgreSQL (auth-scram.c).
fn refused(error: ServerError, user: &str) -> ErrorReport {
    match error {
        ServerError::Proof => wrong_password(user),
        ServerError::Negotiation | ServerError::Binding => {
            ErrorReport::fatal(b"28000", &error.to_string())
        }
        ServerError::BindingType => ErrorReport::fatal(b"08P01", &error.to_string()),
        ServerError::Malformed | ServerError::Contradiction => {
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
