use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use howdah_wire::backend::{
    Authentication, BackendKeyData, ErrorReport, ErrorResponse, ParameterStatus, tag,
};
use howdah_wire::frontend::{Password, SaslInitialResponse, SaslResponse};
use howdah_wire::scram::{Binding, Challenge, ClientKeys};
use howdah_wire::{BodyError, Version, frame, limits, md5, scram, startup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::endpoint::open;
use super::{ConnectError, Encryption, Endpoint, KeyCache, Login, Secret, Stream, Target, nonce};
use crate::certificate::end_point;

/// Most bytes that a server may send before it is ready: PostgreSQL sends less than a thousand, and a trigger or
/// an extension may add notices.
const MAX_GREETING: usize = 256 << 10;

const NO_PASSWORD: ConnectError =
    ConnectError::Login("the server asks for a password, and none is known");
const UNKNOWN: &str = "the server asks for an unknown method";
const UNBOUND: &str = "channel binding is required, and the server does without";

/// A connection that has been logged in and is ready for a query.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// Parameters that the server reported (ParameterStatus), in its order.
    pub parameters: Vec<(Box<str>, Box<str>)>,
    /// For cancel requests.
    pub pid: u32,
    /// For cancel requests.
    pub key: Box<[u8]>,
    /// Where it has led: a name may mean several servers, and a cancel request must reach this one.
    pub peer: Endpoint,
}

/// Connects and logs in. Cancel safe: a connection that is not finished is closed.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    endpoint: &Endpoint,
    login: &Login,
    deadline: Instant,
    keys: &KeyCache,
) -> Result<Connected, ConnectError> {
    let attempt = async {
        let stream = open(endpoint).await?;
        let peer = peer(endpoint, &stream)?;
        let must_bind = endpoint.tls.as_ref().is_some_and(|tls| tls.must_bind);
        let input = BytesMut::new();
        let handshake = Handshake { stream, input, taken: 0, login, keys, must_bind, bound: false };
        handshake.run(peer).await
    };
    timeout_at(deadline, attempt).await.unwrap_or(Err(ConnectError::Timeout))
}

/// The same server, for requests about this connection: they are encrypted if it is.
fn peer(endpoint: &Endpoint, stream: &Stream) -> io::Result<Endpoint> {
    let address = stream.tcp().map(TcpStream::peer_addr).transpose()?;
    let target = match address {
        // Its zone is not part of the address, and a name that has one means one server anyway.
        Some(SocketAddr::V6(v6)) if v6.scope_id() != 0 => endpoint.target.clone(),
        Some(address) => Target { host: address.ip().to_string(), port: address.port() },
        None => endpoint.target.clone(),
    };
    let tls = endpoint.tls.clone().filter(|_| stream.is_encrypted());
    Ok(Endpoint { target, tls: tls.map(|tls| Encryption { required: true, ..tls }) })
}

struct Handshake<'a> {
    stream: Stream,
    input: BytesMut,
    /// Bytes taken from the input so far.
    taken: usize,
    login: &'a Login,
    keys: &'a KeyCache,
    /// Whether the login must be bound to the connection, and is.
    must_bind: bool,
    bound: bool,
}

impl Handshake<'_> {
    async fn run(mut self, peer: Endpoint) -> Result<Connected, ConnectError> {
        self.greet().await?;
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
                tag::NOTICE_RESPONSE => {}
                _ => return Err(ConnectError::Protocol("unexpected message at start-up")),
            }
        }
        if !self.input.is_empty() {
            return Err(ConnectError::Protocol("bytes after ReadyForQuery"));
        }
        Ok(Connected { stream: self.stream, parameters, pid, key, peer })
    }

    /// Protocol 3.0: every server speaks it, and all that 3.2 adds is a longer cancel key.
    async fn greet(&mut self) -> Result<(), ConnectError> {
        let login = self.login;
        let mut out = BytesMut::new();
        let fixed = [("user", login.user.as_str()), ("database", login.database.as_str())];
        let more = login.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        startup::write_startup(&mut out, Version::V3_0, fixed.into_iter().chain(more));
        if out.len() > limits::MAX_STARTUP_LEN {
            return Err(ConnectError::Login("the start-up parameters are too long"));
        }
        // A server that refuses our certificate, or has no room, may have gone already: what it has said can still be read.
        let _ = self.stream.write_all(&out).await;
        Ok(())
    }

    async fn authenticate(&mut self) -> Result<(), ConnectError> {
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                tag::AUTHENTICATION => {}
                // The latter when a configured parameter begins with `_pq_.` and the server does not know it.
                tag::NOTICE_RESPONSE | tag::NEGOTIATE_PROTOCOL_VERSION => continue,
                _ => return Err(ConnectError::Protocol("unexpected message at authentication")),
            }
            let request = Authentication::read(&body).map_err(malformed)?;
            match request {
                Authentication::Sasl(_) => self.sasl_login(&request).await?,
                _ if self.must_bind && !self.bound => return Err(ConnectError::Login(UNBOUND)),
                Authentication::Ok => return Ok(()),
                Authentication::CleartextPassword => {
                    let password = self.password()?;
                    self.send_password(password.reveal().as_bytes()).await?;
                }
                Authentication::Md5Password { salt } => {
                    let password = self.password()?;
                    let answer = match md5::is_hash(password.reveal()) {
                        true => md5::answer(&password.reveal().to_ascii_lowercase(), salt),
                        false => {
                            let hash = md5::hash(&self.login.user, password.reveal().as_bytes());
                            md5::answer(&hash, salt)
                        }
                    };
                    self.send_password(answer.as_bytes()).await?;
                }
                _ => return Err(ConnectError::Login(UNKNOWN)),
            }
        }
    }

    /// The password that is configured, or that the client has told.
    fn password(&self) -> Result<Secret, ConnectError> {
        let password = self.login.password.clone().or_else(|| self.keys.told(self.login));
        password.ok_or(NO_PASSWORD)
    }

    /// The keys of the password, or those that the client has shown.
    async fn client_keys(&self, challenge: &Challenge) -> Result<ClientKeys, ConnectError> {
        if self.login.password.is_none()
            && let Some(keys) = self.keys.shown(self.login, challenge)
        {
            return Ok(keys);
        }
        let password = self.password()?;
        self.keys.keys(&password, challenge).await.ok_or(ConnectError::Timeout)
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), ConnectError> {
        let mut out = BytesMut::new();
        Password { password }.write(&mut out);
        Ok(self.stream.write_all(&out).await?)
    }

    /// Bound to the server's certificate where both sides can.
    async fn sasl_login(&mut self, request: &Authentication<'_>) -> Result<(), ConnectError> {
        let end_point = self.stream.peer_certificate().and_then(|one| end_point(one));
        let binding = match &end_point {
            Some(hash) if request.offers(scram::MECHANISM_PLUS) => Binding::EndPoint(hash),
            Some(_) => Binding::Unused,
            None => Binding::Impossible,
        };
        self.bound = matches!(binding, Binding::EndPoint(_));
        match request.offers(binding.mechanism()) {
            true if self.must_bind && !self.bound => Err(ConnectError::Login(UNBOUND)),
            true => self.scram(binding).await,
            false => Err(ConnectError::Login(UNKNOWN)),
        }
    }

    async fn scram(&mut self, binding: Binding<'_>) -> Result<(), ConnectError> {
        if self.login.password.is_none() && !self.keys.has_proof(self.login) {
            return Err(NO_PASSWORD);
        }
        let mut client = scram::Client::new(&nonce(), binding);
        let mut out = BytesMut::new();
        let first = client.first();
        let mechanism = binding.mechanism().as_bytes();
        SaslInitialResponse { mechanism, data: Some(first.as_bytes()) }.write(&mut out);
        self.stream.write_all(&out).await?;
        let body = self.sasl().await?;
        let Ok(Authentication::SaslContinue(server_first)) = Authentication::read(&body) else {
            return Err(ConnectError::Protocol("no SASL challenge"));
        };
        let challenge = client.challenge(server_first)?;
        let keys = self.client_keys(&challenge).await?;
        let last = client.last(server_first, &challenge, &keys);
        out.clear();
        SaslResponse { data: last.as_bytes() }.write(&mut out);
        self.stream.write_all(&out).await?;
        let body = self.sasl().await?;
        let Ok(Authentication::SaslFinal(server_final)) = Authentication::read(&body) else {
            return Err(ConnectError::Protocol("no SASL outcome"));
        };
        client.verify(server_final)?;
        if let Ok(password) = self.password() {
            self.keys.keep(&password, &challenge, keys);
        }
        Ok(())
    }

    /// The body of the next message of authentication.
    async fn sasl(&mut self) -> Result<BytesMut, ConnectError> {
        loop {
            match self.message().await? {
                (tag::AUTHENTICATION, body) => return Ok(body),
                (tag::NOTICE_RESPONSE, _) => {}
                _ => return Err(ConnectError::Protocol("unexpected message in SASL")),
            }
        }
    }

    /// The next message. An ErrorResponse is the end.
    async fn message(&mut self) -> Result<(u8, BytesMut), ConnectError> {
        loop {
            let head = frame::peek(&self.input, limits::MAX_AUTH_LEN)
                .map_err(|_| ConnectError::Protocol("invalid message length"))?;
            if let Some(head) = head
                && self.input.len() >= head.len
            {
                self.taken += head.len;
                if self.taken > MAX_GREETING {
                    return Err(ConnectError::Protocol("it talks and talks"));
                }
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

fn malformed(_: BodyError) -> ConnectError {
    ConnectError::Protocol("malformed message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::UnixStream;

    use super::*;
    use crate::upstream::Fault;
    use crate::upstream::tests::login;

    /// It may go before it is spoken to: it has no room, or does not want our certificate.
    #[tokio::test]
    async fn what_a_server_says_before_it_goes_is_heard() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut out = BytesMut::new();
        ErrorReport::fatal(b"53300", "sorry, too many clients already").write(&mut out);
        theirs.write_all(&out).await.unwrap();
        drop(theirs);
        let (login, keys, stream) = (login(None), KeyCache::default(), ours.into());
        let input = BytesMut::new();
        let (login, keys) = (&login, &keys);
        let handshake =
            Handshake { stream, input, taken: 0, login, keys, must_bind: false, bound: false };
        let peer = Endpoint::from(Target { host: "nowhere".to_owned(), port: 5432 });
        assert_eq!(handshake.run(peer).await.unwrap_err().fault(), Fault::TooManyClients);
    }
}
