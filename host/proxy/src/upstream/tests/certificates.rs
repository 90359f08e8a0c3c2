use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};

use crate::upstream::{Authorities, Check, Verifier};

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    own: CertificateDer<'static>,
}

/// A certificate with its key.
pub(crate) struct Signed {
    pub(crate) certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Signed {
    fn new(certificate: &Certificate, key: &KeyPair) -> Signed {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Signed { certificate: certificate.der().clone(), key }
    }

    /// A server that shows it to those who ask for [`NAME`].
    pub(crate) fn server(&self) -> ServerConfig {
        let provider = ring::default_provider();
        let (chain, key) = (vec![self.certificate.clone()], self.key.clone_key());
        let shown = CertifiedKey::from_der(chain, key, &provider).unwrap();
        let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByName(Arc::new(shown))));
        server.alpn_protocols = vec![crate::upstream::ALPN.to_vec()];
        server
    }
}

/// What the server under test is asked for by.
pub(crate) const NAME: &str = "db.example";

#[derive(Debug)]
struct ByName(Arc<CertifiedKey>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (hello.server_name() == Some(NAME)).then(|| Arc::clone(&self.0))
    }
}

/// A client that checks this much.
pub(crate) fn client(check: Check) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { check, algorithms }))
        .with_no_client_auth();
    client.alpn_protocols = vec![crate::upstream::ALPN.to_vec()];
    client
}

fn named(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = named(&[], "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap().der().clone();
        Authority { issuer: Issuer::new(params, key), own }
    }

    /// Those who believe this one.
    pub(crate) fn believed(&self) -> Authorities {
        Authorities::new(vec![self.own.clone()]).unwrap()
    }

    /// A certificate for these alternative names, and with this common name.
    pub(crate) fn sign(&self, names: &[&str], common_name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        Signed::new(&named(names, common_name).signed_by(&key, &self.issuer).unwrap(), &key)
    }

    /// One whose time is over.
    pub(crate) fn sign_for_the_past(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = named(&[name], name);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        Signed::new(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

/// A server's certificate that nobody but itself has signed, as PostgreSQL's documentation tells how to make one.
pub(crate) fn self_signed(common_name: &str, is_ca: bool) -> Signed {
    let key = KeyPair::generate().unwrap();
    let mut params = named(&[], common_name);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    Signed::new(&params.self_signed(&key).unwrap(), &key)
}
