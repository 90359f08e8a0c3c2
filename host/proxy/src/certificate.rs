//! What a certificate says. It comes from outside, so what cannot be read says nothing; whether it may be believed is
//! rustls' matter.

use std::net::IpAddr;

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
