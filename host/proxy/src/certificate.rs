//! What a certificate says. It comes from outside, so what cannot be read says nothing; whether it may be believed is
//! rustls' matter.

use std::net::IpAddr;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    read: x509_cert::Certificate,
    alternatives: Vec<GeneralName>,
}

impl Certificate {
    /// Reads one in DER.
    pub(crate) fn read(der: &[u8]) -> Option<Certificate> {
        let read = x509_cert::Certificate::from_der(der).ok()?;
        let found = read.tbs_certificate().get_extension::<SubjectAltName>().ok()?;
        let alternatives = found.map(|(_, names)| names.0).unwrap_or_default();
        Some(Certificate { read, alternatives })
    }

    /// The first common name of the subject.
    pub(crate) fn common_name(&self) -> Option<String> {
        let name = self.read.tbs_certificate().subject().common_name().ok()??;
        Some(name.value().into_owned())
    }

    /// The host names among the alternative names.
    pub(crate) fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The mail addresses among the alternative names.
    pub(crate) fn mail_addresses(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().filter_map(|name| match name {
            GeneralName::Rfc822Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether the common name is that of this host, or its domain's with an asterisk. As in libpq, it counts only where
    /// no alternative name is one of a host (fe-secure-common.c).
    pub(crate) fn names_host(&self, host: &str) -> bool {
        let of_host = |name| matches!(name, &GeneralName::DnsName(_) | &GeneralName::IpAddress(_));
        if self.alternatives.iter().any(of_host) {
            return false;
        }
        let Some(name) = self.common_name() else { return false };
        name.eq_ignore_ascii_case(host) || has_asterisk_for(&name, host)
    }

    /// Its first and last second, since 1970.
    pub(crate) fn validity(&self) -> (u64, u64) {
        let validity = self.read.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        (seconds(validity.not_before), seconds(validity.not_after))
    }
}

fn has_asterisk_for(name: &str, host: &str) -> bool {
    let (Some(domain), Some((label, rest))) = (name.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    host.parse::<IpAddr>().is_err() && !label.is_empty() && domain.eq_ignore_ascii_case(rest)
}

/// What binds a login to the TLS connection that it is made over: the channel binding `tls-server-end-point` of the
/// server's certificate in DER (RFC 5929, section 4.1). None where it is not defined, as for Ed25519, and for RSASSA-PSS,
/// which says elsewhere what it hashes with.
pub(crate) fn end_point(der: &[u8]) -> Option<Box<[u8]>> {
    let read = x509_cert::Certificate::from_der(der).ok()?;
    let hash = match read.signature_algorithm().oid.to_string().as_str() {
        // RSA and ECDSA with SHA-256, or with MD5 and SHA-1, in whose place it is.
        "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2"
        | "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Sha224::digest(der).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(der).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(der).to_vec(),
        _ => return None,
    };
    Some(hash.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        SignatureAlgorithm,
    };

    use super::*;

    fn signed_by(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::default().self_signed(&key).unwrap().der().to_vec()
    }

    /// RFC 5929, section 4.1: the hash is that of the signature.
    #[test]
    fn logins_are_bound_by_the_hash_that_the_certificate_was_signed_with() {
        let der = signed_by(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&der).unwrap()[..], Sha256::digest(&der)[..]);
        let der = signed_by(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&der).unwrap()[..], Sha384::digest(&der)[..]);
        assert_eq!(end_point(&signed_by(&PKCS_ED25519)), None, "there is no such hash");
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        let der = signed_by(&PKCS_ECDSA_P256_SHA256);
        for end in 0..der.len() {
            assert!(Certificate::read(&der[..end]).is_none() && end_point(&der[..end]).is_none());
        }
    }
}
