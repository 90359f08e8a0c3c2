use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;

use super::TlsVersion;
use super::files::{Authorities, Blame, Identity};
use crate::config::value::Word;
use crate::upstream::{ALPN, Check, Encryption, Verifier};

/// TLS to servers.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// How much is demanded of a server.
    pub mode: ServerTlsMode,
    /// Whether a login must be bound to its connection.
    pub channel_binding: ChannelBinding,
    client: Arc<ClientConfig>,
    min_version: TlsVersion,
    read: Arc<Read>,
}

/// What was read from the files.
#[derive(Debug, PartialEq)]
struct Read {
    authorities: Option<Authorities>,
    identity: Option<Identity>,
}

/// Two are equal when no server could tell one from the other.
impl PartialEq for ServerTls {
    fn eq(&self, other: &ServerTls) -> bool {
        self.meaning() == other.meaning()
    }
}

impl Eq for ServerTls {}

/// Whether logins are bound to their connections, by SCRAM-SHA-256-PLUS: libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Where the server offers it.
    Prefer,
    /// Always.
    Require,
}

impl Word for ChannelBinding {
    const WORDS: &'static [(&'static str, ChannelBinding)] =
        &[("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)];
}

/// How much is demanded of a server: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTlsMode {
    /// Nothing is encrypted.
    Disable,
    /// Encrypted where the server offers it.
    Prefer,
    /// Encrypted.
    Require,
    /// Encrypted, by a server whose certificate an authority has signed.
    VerifyCa,
    /// The same, and the certificate is for its name.
    VerifyFull,
}

impl Word for ServerTlsMode {
    const WORDS: &'static [(&'static str, ServerTlsMode)] = &[
        ("disable", ServerTlsMode::Disable),
        ("prefer", ServerTlsMode::Prefer),
        ("require", ServerTlsMode::Require),
        ("verify-ca", ServerTlsMode::VerifyCa),
        ("verify-full", ServerTlsMode::VerifyFull),
    ];
}

impl ServerTlsMode {
    /// Whether certificates are checked, for which an authority is needed.
    pub(in crate::config) fn verifies(self) -> bool {
        matches!(self, ServerTlsMode::VerifyCa | ServerTlsMode::VerifyFull)
    }
}

impl ServerTls {
    /// Everything that it was made of.
    fn meaning(&self) -> (ServerTlsMode, ChannelBinding, TlsVersion, &Read) {
        (self.mode, self.channel_binding, self.min_version, &self.read)
    }

    /// The files that it was read from, which may be replaced at any time.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let authorities = self.read.authorities.iter().map(|all| &*all.file);
        let identity = self.read.identity.iter().flat_map(|one| [&*one.cert_file, &*one.key_file]);
        authorities.chain(identity)
    }

    /// The file with our private key, if we have one.
    pub fn key_file(&self) -> Option<&Path> {
        self.read.identity.as_ref().map(|identity| &*identity.key_file)
    }

    /// How connections to the server of this name are encrypted.
    pub(in crate::config) fn encryption(&self, name: ServerName<'static>) -> Encryption {
        let required = self.mode != ServerTlsMode::Prefer;
        let must_bind = self.channel_binding == ChannelBinding::Require;
        Encryption { config: Arc::clone(&self.client), name, required, must_bind }
    }

    /// Reads the files: that of the authorities, which there is where the mode wants one; those of our own certificate and
    /// its key.
    pub(in crate::config) fn load(
        mode: ServerTlsMode,
        channel_binding: ChannelBinding,
        min_version: TlsVersion,
        ca_file: Option<PathBuf>,
        own: Option<(PathBuf, PathBuf)>,
    ) -> Result<ServerTls, Blame> {
        let authorities = ca_file.map(Authorities::load).transpose()?;
        let identity = own.map(|(cert, key)| Identity::load(cert, key)).transpose()?;
        let check = check(mode, authorities.as_ref())?;
        let client = client(check, min_version, identity.as_ref())?;
        let read = Arc::new(Read { authorities, identity });
        Ok(ServerTls { mode, channel_binding, client: Arc::new(client), min_version, read })
    }
}

fn check(mode: ServerTlsMode, authorities: Option<&Authorities>) -> Result<Check, Blame> {
    let Some(trusted) = authorities.map(Authorities::trusted).transpose()? else {
        return Ok(Check::Nothing);
    };
    Ok(match mode {
        ServerTlsMode::VerifyFull => Check::Name(trusted),
        _ => Check::Authority(trusted),
    })
}

fn client(
    check: Check,
    min_version: TlsVersion,
    identity: Option<&Identity>,
) -> Result<ClientConfig, Blame> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(min_version.and_later())
        .map_err(|error| Blame::Ca(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { check, algorithms }));
    let mut client = match identity {
        None => builder.with_no_client_auth(),
        Some(own) => builder
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(|error| own.unfit(&error))?,
    };
    client.alpn_protocols = vec![ALPN.to_vec()];
    // PostgreSQL does not resume sessions, and so each connection sees a certificate.
    client.resumption = Resumption::disabled();
    Ok(client)
}
