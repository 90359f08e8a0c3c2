//! The header that a load balancer puts in front of a connection: who is behind it (the PROXY protocol, versions 1 and 2,
//! https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).

use std::io;
use std::net::IpAddr;

use howdah_wire::backend::ErrorReport;
use ppp::{HeaderResult, v1, v2};
use tokio::io::AsyncReadExt;

use super::auth::gone;
use crate::upstream::Stream;

/// What version 2 begins with, and the part whose length is always the same.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;
/// Longest header of version 1, its end included.
const MAX_V1: usize = 107;
/// Longest header of version 2 that is read: addresses take 216 bytes at most, what else a balancer tells some hundreds.
const MAX_V2: usize = 4 << 10;

/// Reads a header, and nothing behind it: the client's address, or none when the balancer speaks for itself, or does not
/// know.
///
/// # Errors
/// There is no header, or it is malformed.
pub(crate) async fn behind(stream: &mut Stream) -> Result<Option<IpAddr>, ErrorReport> {
    let mut header = vec![0; SIGNATURE.len()];
    read(stream, &mut header).await?;
    if header == SIGNATURE {
        header.resize(FIXED, 0);
        read(stream, &mut header[SIGNATURE.len()..]).await?;
        let more = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if FIXED + more > MAX_V2 {
            return Err(malformed("it is too long"));
        }
        header.resize(FIXED + more, 0);
        read(stream, &mut header[FIXED..]).await?;
    } else if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\r\n") {
            if header.len() >= MAX_V1 {
                return Err(malformed("it is too long"));
            }
            let mut next = [0];
            read(stream, &mut next).await?;
            header.extend_from_slice(&next);
        }
    } else {
        return Err(malformed("there is none, and the address is in proxy_protocol_from"));
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
            v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Ok(match (header.command, header.addresses) {
            (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => {
                Some(addresses.source_address.into())
            }
            (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => {
                Some(addresses.source_address.into())
            }
            _ => None,
        }),
        HeaderResult::V1(Err(error)) => Err(malformed(&error.to_string())),
        HeaderResult::V2(Err(error)) => Err(malformed(&error.to_string())),
    }
}

async fn read(stream: &mut Stream, into: &mut [u8]) -> Result<(), ErrorReport> {
    match stream.read_exact(into).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(malformed("it ends")),
        Err(_) => Err(gone()),
    }
}

fn malformed(why: &str) -> ErrorReport {
    ErrorReport::fatal(b"08P01", "malformed PROXY protocol header").detail(why)
}
