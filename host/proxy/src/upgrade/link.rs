//! What two processes of an upgrade say to each other, and how: messages of JSON behind their length, with sockets, over
//! a pair of Unix sockets that nobody else has.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use howdah_session::HashKey;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::sockets::{MOST, Purpose};
use crate::upstream::Shown;
use crate::worker::Departure;

/// The version of [`Message`], but for sessions. To be raised when a message changes in a way that an older process does not
/// understand; it then goes on, and a restart is needed.
pub(super) const PROTOCOL: u32 = 1;
/// The version of [`Departure`]. To be raised when the state of a session changes so; sessions then stay where they are.
pub(super) const SESSIONS: u32 = 1;

/// Longest message: the largest session (`howdah_session::limits::MAX_MOVED`) as JSON, of which a byte may need six, and some
/// room.
const MAX_MESSAGE: usize = 32 << 20;
/// In front of each message: its length.
const HEADER: usize = 4;

/// The old process begins with [`Message::Estate`], the new one answers [`Message::Ready`], and gets [`Message::Go`].
#[derive(Deserialize, Serialize)]
pub(super) enum Message {
    /// What the new process needs to start. With the sockets.
    Estate(Estate),
    /// The new process could serve clients, and sessions of this version.
    Ready { sessions: u32 },
    /// It could not.
    Failed(String),
    /// The old process listens no more.
    Go(Box<Go>),
    /// A session, under a number of the conversation. With its socket.
    Session(u64, Box<Departure>),
    /// The new process serves the session of this number.
    Taken(u64),
    /// It does not, for this reason.
    Refused(u64, String),
    /// A cancel request, for a session that the other process may have.
    Cancel(u32, Vec<u8>),
}

/// What a process leaves to the one that follows.
#[derive(Deserialize, Serialize)]
pub(super) struct Estate {
    pub(super) protocol: u32,
    /// What the sockets are for.
    pub(super) sockets: Vec<Purpose>,
    pub(super) hash_key: HashKey,
    /// Clusters, by name, and their databases, of which catalogs are in use.
    pub(super) databases: Vec<(String, String)>,
}

/// What it knows at the last moment.
#[derive(Deserialize, Serialize)]
pub(super) struct Go {
    /// Numbers of clients that it may have given are smaller.
    pub(super) next_client: u64,
    /// Clusters and nodes for which an operator's order is in force.
    pub(super) paused: Vec<String>,
    pub(super) drained: Vec<String>,
    /// With what servers let its clients in.
    pub(super) shown: Vec<Shown>,
}

/// The way to the other process. One at a time may send, and one receive.
pub(super) struct Link(UnixStream);

impl Link {
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Link> {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream).map(Link)
    }

    /// Off this reactor.
    pub(super) fn detach(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.0.into_std()
    }

    /// Not cancel safe: then the link is of no use any more.
    pub(super) async fn send(
        &self,
        message: &Message,
        sockets: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = frame(message)?;
        let mut sent = 0;
        while sent < frame.len() {
            let sockets = if sent == 0 { sockets } else { &[] };
            let write = || write(&self.0, &frame[sent..], sockets);
            sent += self.0.async_io(Interest::WRITABLE, write).await?;
        }
        Ok(())
    }

    /// The next message; none: the other process has ended. Not cancel safe.
    pub(super) async fn receive(&self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        let mut sockets = Vec::new();
        let mut header = [0; HEADER];
        if !self.fill(&mut header, &mut sockets).await? {
            return Ok(None);
        }
        let len = u32::from_be_bytes(header) as usize;
        if len > MAX_MESSAGE {
            return Err(io::Error::new(ErrorKind::InvalidData, "a message is too long"));
        }
        let mut body = Zeroizing::new(vec![0; len]);
        if !self.fill(&mut body, &mut sockets).await? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((serde_json::from_slice(&body)?, sockets)))
    }

    /// False: there is nothing more.
    async fn fill(&self, buffer: &mut [u8], sockets: &mut Vec<OwnedFd>) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read = || read(&self.0, &mut buffer[filled..], sockets);
            match self.0.async_io(Interest::READABLE, read).await? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(true)
    }
}

/// A message with its length.
pub(super) fn frame(message: &Message) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut frame = Zeroizing::new(vec![0; HEADER]);
    serde_json::to_writer(&mut *frame, message)?;
    let len = frame.len() - HEADER;
    if len > MAX_MESSAGE {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is too large"));
    }
    frame[..HEADER].copy_from_slice(&(len as u32).to_be_bytes());
    Ok(frame)
}

fn write(stream: &UnixStream, bytes: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "there are too many sockets"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

fn read(stream: &UnixStream, buffer: &mut [u8], sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            sockets.extend(rights);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream as Socket;

    use super::*;

    fn pair() -> (Link, Link) {
        let (one, other) = Socket::pair().unwrap();
        (Link::new(one).unwrap(), Link::new(other).unwrap())
    }

    #[tokio::test]
    async fn messages_arrive_whole_and_with_their_own_sockets() {
        let (one, other) = pair();
        let (mut near, far) = Socket::pair().unwrap();
        // More than the system takes at once, so that it arrives in pieces.
        let long = "x".repeat(4 << 20);
        let send = async {
            one.send(&Message::Failed(long.clone()), &[]).await.unwrap();
            one.send(&Message::Taken(1), &[far.as_fd()]).await.unwrap();
            one.send(&Message::Taken(2), &[]).await.unwrap();
        };
        let receive = async {
            let mut received = Vec::new();
            for _ in 0..3 {
                received.push(other.receive().await.unwrap().unwrap());
            }
            received
        };
        let ((), received) = tokio::join!(send, receive);
        let sockets: Vec<usize> = received.iter().map(|(_, sockets)| sockets.len()).collect();
        assert_eq!(sockets, [0, 1, 0]);
        assert!(matches!(&received[0].0, Message::Failed(text) if *text == long));
        let mut arrived = received.into_iter().nth(1).unwrap().1;
        Socket::from(arrived.pop().unwrap()).write_all(b"it is the same").unwrap();
        let mut text = [0; 14];
        near.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"it is the same");
        drop(one);
        assert!(other.receive().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_too_long_or_no_message_is_an_error() {
        let (one, _other) = pair();
        let long = Message::Failed("x".repeat(MAX_MESSAGE));
        assert!(one.send(&long, &[]).await.is_err());
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{}", b"\0\0\0\x09{\"Nonsen"] {
            let (mut garbage, other) = Socket::pair().unwrap();
            garbage.write_all(bytes).unwrap();
            drop(garbage);
            assert!(Link::new(other).unwrap().receive().await.is_err(), "{bytes:?}");
        }
    }
}
