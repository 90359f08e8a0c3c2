//! The first packets of a connection. What reads is written again to the same bytes, and is not read sooner.
#![no_main]

use bytes::BytesMut;
use howdah_wire::startup::{self, Opening, Startup};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((opening, len))) = startup::read(rest) {
        let (packet, more) = rest.split_at(len);
        assert_eq!(startup::read(&packet[..len - 1]), Ok(None), "read before it was whole");
        let mut again = BytesMut::new();
        match opening {
            // What these carry beyond their codes is ignored, as in PostgreSQL.
            Opening::Ssl => startup::write_ssl_request(&mut again),
            Opening::Gss => startup::write_gssenc_request(&mut again),
            Opening::Cancel(cancel) => {
                startup::write_cancel(&mut again, cancel.pid, cancel.key);
                assert_eq!(again, packet);
            }
            Opening::Startup(startup) => {
                check(&startup);
                if let Some(parameters) = text(&startup) {
                    startup::write_startup(&mut again, startup.version, parameters.into_iter());
                    assert_eq!(again, packet);
                }
            }
        }
        rest = more;
    }
});

fn check(startup: &Startup<'_>) {
    assert!(startup.parameters().all(|(name, _)| !name.is_empty()));
    let _ = startup.get("user");
    if let Some(version) = startup.version.negotiate() {
        assert!(version <= startup.version && version.major == 3 && version.minor <= 2);
    }
}

/// The parameters, when they are text and the version is one whose layout we know.
fn text<'a>(startup: &Startup<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    startup.version.negotiate()?;
    startup
        .parameters()
        .map(|(name, value)| Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?)))
        .collect()
}
