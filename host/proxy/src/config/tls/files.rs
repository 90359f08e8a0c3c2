use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::upstream;

/// Which file is to blame.
pub(in crate::config) enum Blame {
    Ca(String),
    Cert(String),
    Key(String),
}

/// A certificate, those up to an authority, and the key of the first.
#[derive(Debug, PartialEq)]
pub(super) struct Identity {
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both files.
    pub(super) fn load(cert_file: PathBuf, key_file: PathBuf) -> Result<Identity, Blame> {
        let chain = certificates(&cert_file).map_err(Blame::Cert)?;
        let key = key(&key_file).map_err(Blame::Key)?;
        Ok(Identity { cert_file, key_file, chain, key })
    }

    /// Why certificate and key do not do.
    pub(super) fn unfit(&self, error: &rustls::Error) -> Blame {
        let why = match error {
            rustls::Error::InconsistentKeys(_) => {
                "it does not belong to the certificate".to_owned()
            }
            error => error.to_string(),
        };
        Blame::Key(format!("{}: {why}", self.key_file.display()))
    }
}

/// Certificates that are believed, and those signed by them.
#[derive(Debug, PartialEq)]
pub(super) struct Authorities {
    pub(super) file: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads a file.
    pub(super) fn load(file: PathBuf) -> Result<Authorities, Blame> {
        let certificates = certificates(&file).map_err(Blame::Ca)?;
        Ok(Authorities { file, certificates })
    }

    /// What is checked against them.
    pub(super) fn trusted(&self) -> Result<upstream::Authorities, Blame> {
        let trusted = upstream::Authorities::new(self.certificates.clone());
        trusted.map_err(|error| self.blame(&error))
    }

    /// Why they do not do.
    pub(super) fn blame(&self, error: &dyn std::error::Error) -> Blame {
        Blame::Ca(format!("{}: {error}", self.file.display()))
    }
}

/// The certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = certificates.map_err(|error| unread(path, &error))?;
    match certificates.is_empty() {
        true => Err(format!("{} holds no certificate in PEM", path.display())),
        false => Ok(certificates),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            format!("{} holds no private key in PEM that needs no passphrase", path.display())
        }
        error => unread(path, &error),
    })
}

fn unread(path: &Path, error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot read {}: {error}", path.display()),
        pem::Error::MissingSectionEnd { .. } => {
            format!("{} is not PEM: a section does not end", path.display())
        }
        error => format!("{} is not PEM: {error}", path.display()),
    }
}
