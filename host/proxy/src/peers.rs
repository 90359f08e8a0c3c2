//! Processes that clients reach under the same address. A cancel request may come to another one than the session it
//! is for: the key says to which it belongs, and it is passed on. Nothing else is shared, and nobody coordinates.

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

use anyhow::bail;

use crate::upstream::Target;

/// Most processes: their number is six bits of a key's process id.
pub const MAX_PEERS: usize = 64;

/// All processes, and which one this is.
#[derive(Debug, Default)]
pub struct Peers {
    own: usize,
    addresses: Vec<Target>,
}

impl Peers {
    /// Finds out which of `addresses` belongs to the process that listens at `listen`: it listens there, or at every
    /// address of a machine that has this one.
    ///
    /// # Errors
    /// None of them does, or several.
    pub fn find(listen: &[Target], addresses: &[Target]) -> anyhow::Result<Peers> {
        if addresses.is_empty() {
            return Ok(Peers::default());
        }
        let mut own = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            if listen.contains(address) || (is_covered(listen, address) && is_here(address)) {
                own.push(index);
            }
        }
        match *own {
            [own] => Ok(Peers { own, addresses: addresses.to_vec() }),
            [] => bail!(
                "peers: this process listens at none of these addresses, as far as their names are known"
            ),
            _ => bail!("peers: this process listens at several of these addresses"),
        }
    }

    /// The number of this process.
    pub(crate) fn own(&self) -> usize {
        self.own
    }

    /// Where another process listens. None for this one, and for those that do not exist.
    pub(crate) fn other(&self, number: usize) -> Option<&Target> {
        if number == self.own { None } else { self.addresses.get(number) }
    }
}

/// Whether one of these is every address, with the same port.
fn is_covered(listen: &[Target], address: &Target) -> bool {
    let every = |target: &Target| {
        let ip: Result<IpAddr, _> = target.host.parse();
        ip.is_ok_and(|ip| ip.is_unspecified()) && target.port == address.port
    };
    listen.iter().any(every)
}

/// Whether it is an address of this machine: then a socket can be bound to it. The name of a process that is not there
/// may be unknown at the moment.
fn is_here(address: &Target) -> bool {
    let addresses = (address.host.as_str(), 0).to_socket_addrs();
    addresses.is_ok_and(|mut all| all.any(|address| UdpSocket::bind(address).is_ok()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn targets(all: &[(&str, u16)]) -> Vec<Target> {
        all.iter().map(|(host, port)| Target { host: (*host).to_owned(), port: *port }).collect()
    }

    #[test]
    fn a_process_finds_itself() {
        let peers = targets(&[("192.0.2.1", 6432), ("127.0.0.1", 6432), ("127.0.0.1", 6433)]);
        let find = |listen: &[(&str, u16)]| Peers::find(&targets(listen), &peers);
        assert_eq!(find(&[("127.0.0.1", 6433), ("10.0.0.1", 1)]).unwrap().own(), 2);
        let second = find(&[("0.0.0.0", 6432)]).unwrap();
        assert_eq!((second.own(), second.other(1), second.other(9)), (1, None, None));
        assert_eq!(second.other(0), peers.first());
        assert!(find(&[("127.0.0.1", 1)]).is_err());
        // One that is away is nobody's name at the moment.
        let peers = targets(&[("nowhere.invalid", 6432), ("127.0.0.1", 6432)]);
        assert_eq!(Peers::find(&targets(&[("0.0.0.0", 6432)]), &peers).unwrap().own(), 1);
        assert!(find(&[("127.0.0.1", 6432), ("127.0.0.1", 6433)]).is_err());
        assert_eq!(Peers::find(&targets(&[("127.0.0.1", 1)]), &[]).unwrap().own(), 0);
    }
}
