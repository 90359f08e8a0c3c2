//! Whose page a request comes from. Browsers send passwords along with whatever any page asks for, and reach what only the
//! machine they run on can reach.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

/// Whether a request is not from a page of another site: browsers say so of each that may change something (Fetch Metadata,
/// or RFC 6454). What is no browser says nothing.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, from)| headers.get(HOST).is_some_and(|host| host == from))
}

/// Whether a browser knows the proxy by its address, or by a name that is known to be its own. Another name may have been
/// made to lead here, so that its page can read what it should not (DNS rebinding).
pub(super) fn is_addressed(headers: &HeaderMap, own: &str) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == own || name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hyper::header::HeaderName;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_page_of_another_site_is_known_by_what_browsers_say() {
        let is_own = |pairs: &[(&str, &str)]| is_own(&headers(pairs));
        assert!(is_own(&[("host", "a:1")]));
        assert!(is_own(&[("host", "a:1"), ("origin", "http://a:1")]));
        assert!(is_own(&[("host", "a"), ("origin", "https://a")]));
        assert!(!is_own(&[("host", "a:1"), ("origin", "http://a:2")]));
        assert!(!is_own(&[("host", "a:1"), ("origin", "null")]));
        assert!(!is_own(&[("origin", "http://a:1")]));
        assert!(is_own(&[
            ("host", "a"),
            ("origin", "http://b"),
            ("sec-fetch-site", "same-origin")
        ]));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!is_own(&[("host", "a"), ("origin", "http://a"), ("sec-fetch-site", site)]));
        }
    }

    #[test]
    fn a_name_that_leads_here_is_not_an_address() {
        let is_addressed = |host: &str| is_addressed(&headers(&[("host", host)]), "proxy.example");
        for host in
            ["127.0.0.1:80", "[::1]:80", "[::1]", "10.0.0.1", "localhost:1", "proxy.example"]
        {
            assert!(is_addressed(host), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", "[evil]", "", "localhost.evil:1"]
        {
            assert!(!is_addressed(host), "{host}");
        }
    }
}
