//! What a server's certificate must be: libpq's `sslmode`, in rustls' terms.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::certificate::Certificate;

/// How much of a certificate is checked. That the server has its key is proven in any case.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    /// Nothing: it may be anybody's.
    Nothing,
    /// That one of these authorities has signed it, or that it is one of these itself.
    Authority(Authorities),
    /// The same, and that it is for the name of the server.
    Name(Authorities),
}

/// Whom we believe.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Those with these certificates.
    ///
    /// # Errors
    /// One of them is not a certificate.
    pub(crate) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Authorities, Error> {
        let mut roots = RootCertStore::empty();
        certificates.iter().try_for_each(|one| roots.add(one.clone()))?;
        Ok(Authorities { roots, certificates })
    }

    /// The same for rustls' own checks.
    pub(crate) fn into_roots(self) -> RootCertStore {
        self.roots
    }

    /// Whether the certificate is one of these: a server that has signed its own.
    fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|one| one == certificate)
    }
}

/// Checks the certificates of servers.
#[derive(Debug)]
pub(crate) struct Verifier {
    /// What is checked.
    pub(crate) check: Check,
    /// Algorithms of signatures.
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (authorities, named) = match &self.check {
            Check::Nothing => return Ok(ServerCertVerified::assertion()),
            Check::Authority(authorities) => (authorities, false),
            Check::Name(authorities) => (authorities, true),
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        if authorities.has(certificate) {
            lasts(certificate, now)?;
        } else {
            let (roots, algorithms) = (&authorities.roots, self.algorithms.all);
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if named {
            verify_server_name(&parsed, name).or_else(|error| {
                let named = Certificate::read(certificate)
                    .is_some_and(|one| one.names_host(&name.to_str()));
                if named { Ok(()) } else { Err(error) }
            })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether now is in a certificate's time.
fn lasts(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let read = Certificate::read(certificate).ok_or(CertificateError::BadEncoding)?;
    let (from, to) = read.validity();
    match now.as_secs() {
        now if now < from => Err(CertificateError::NotValidYet.into()),
        now if now > to => Err(CertificateError::Expired.into()),
        _ => Ok(()),
    }
}
