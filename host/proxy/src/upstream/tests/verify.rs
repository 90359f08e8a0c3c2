//! Which certificates of servers are believed.

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificates::{Authority, self_signed};
use crate::upstream::{Authorities, Check, Verifier};

/// Why a certificate is not believed to be that of this host; empty when it is.
fn why_not(check: Check, certificate: &CertificateDer<'_>, host: &'static str) -> String {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let verifier = Verifier { check, algorithms };
    let host = ServerName::try_from(host).unwrap();
    let verified = verifier.verify_server_cert(certificate, &[], &host, &[], UnixTime::now());
    verified.err().map(|error| error.to_string()).unwrap_or_default()
}

#[track_caller]
fn assert_refused(check: Check, certificate: &CertificateDer<'_>, host: &'static str, why: &str) {
    let said = why_not(check, certificate, host);
    assert!(said.contains(why), "{said}");
}

#[test]
fn an_authority_must_have_signed_it() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let known = || Check::Authority(ours.believed());
    assert_eq!(why_not(known(), &ours.sign(&["db"], "db").certificate, "elsewhere"), "");
    assert_refused(known(), &theirs.sign(&["db"], "db").certificate, "db", "BadSignature");
    assert_refused(known(), &self_signed("db", false).certificate, "db", "UnknownIssuer");
    assert_refused(known(), &ours.sign_for_the_past("db").certificate, "db", "xpired");
    assert_eq!(why_not(Check::Nothing, &theirs.sign_for_the_past("x").certificate, "db"), "");
    assert_refused(known(), &b"not a certificate"[..].into(), "db", "BadEncoding");
}

#[test]
fn it_must_be_for_the_host() {
    let ours = Authority::new();
    let check = || Check::Name(ours.believed());
    for (names, common_name, host, fits) in [
        (&["db.example"][..], "x", "db.example", true),
        (&["db.example"], "x", "DB.example", true),
        (&["*.example.com"], "x", "db.example.com", true),
        (&["10.0.0.1"], "x", "10.0.0.1", true),
        (&["10.0.0.1"], "x", "10.0.0.2", false),
        (&["db.example"], "x", "other.example", false),
        // The common name counts where there is no other.
        (&[], "db.example", "db.example", true),
        (&[], "10.0.0.1", "10.0.0.1", true),
        (&[], "*.example.com", "db.example.com", true),
        (&[], "*.example.com", "a.db.example.com", false),
        (&[], "*.example.com", "example.com", false),
        (&[], "*.0.0.1", "10.0.0.1", false),
        (&["x.example"], "db.example", "db.example", false),
        (&["10.0.0.1"], "db.example", "db.example", false),
        (&[], "db.example.evil", "db.example", false),
    ] {
        let certificate = ours.sign(names, common_name).certificate;
        let why = why_not(check(), &certificate, host);
        assert_eq!(why.is_empty(), fits, "{names:?} {common_name} {host}: {why}");
    }
    let other = Authority::new().sign(&["db"], "db").certificate;
    assert_refused(check(), &other, "db", "BadSignature");
}

/// A server that has signed its own certificate is known by that.
#[test]
fn a_certificate_may_be_known_by_itself() {
    for is_ca in [false, true] {
        let own = self_signed("db.example", is_ca).certificate;
        let known = || Authorities::new(vec![own.clone()]).unwrap();
        assert_eq!(why_not(Check::Authority(known()), &own, "elsewhere"), "");
        assert_eq!(why_not(Check::Name(known()), &own, "db.example"), "");
        assert_ne!(why_not(Check::Name(known()), &own, "elsewhere"), "");
        let other = self_signed("db.example", is_ca).certificate;
        assert_ne!(why_not(Check::Authority(known()), &other, "db.example"), "");
    }
    let old = Authority::new().sign_for_the_past("db").certificate;
    let known = Authorities::new(vec![old.clone()]).unwrap();
    assert_refused(Check::Authority(known), &old, "db", "xpired");
}
