//! A TLS session beside its socket. Encrypted bytes are in rustls' buffers only while they are on their way: what a
//! peer does not take stays with the caller, so that it is the caller who bounds memory.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::pki_types::CertificateDer;
use rustls::{Connection, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Socket;

/// What PostgreSQL's protocol is called in ALPN (protocol documentation, "SSL Session Encryption").
pub(crate) const ALPN: &[u8] = b"postgresql";

/// The state of an encrypted connection.
#[derive(Debug)]
pub(super) struct Tls {
    session: Connection,
    /// Bytes that are decrypted and not yet read.
    decrypted: usize,
    /// The peer has said that nothing more comes, or has just gone.
    ended: bool,
}

impl Tls {
    pub(super) fn new(session: Connection) -> Tls {
        Tls { session, decrypted: 0, ended: false }
    }

    /// Whether the peer has named PostgreSQL's protocol.
    pub(super) fn has_alpn(&self) -> bool {
        self.session.alpn_protocol() == Some(ALPN)
    }

    /// The version of TLS that is spoken.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        self.session.protocol_version()
    }

    /// The name by which the client wants this server.
    pub(super) fn server_name(&self) -> Option<&str> {
        match &self.session {
            rustls::Connection::Server(session) => session.server_name(),
            rustls::Connection::Client(_) => None,
        }
    }

    /// The peer's own certificate.
    pub(super) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.peer_certificates()?.first()
    }

    /// Whether there is something to read without the socket.
    pub(super) fn has_read(&self) -> bool {
        self.decrypted > 0 || self.ended
    }

    pub(super) fn poll_handshake(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(socket, cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(socket, cx))?;
            if self.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    pub(super) fn poll_read(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.has_read() {
            ready!(self.poll_receive(socket, cx))?;
        }
        if self.decrypted > 0 {
            let n = self.session.reader().read(buf.initialize_unfilled())?;
            buf.advance(n);
            self.decrypted -= n;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes encrypted bytes from the socket, once.
    fn poll_receive(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The peer may be waiting for what is left to write. Should it have gone, reading tells.
        let _ = self.poll_flush(socket, cx);
        let received = ready!(waiting(self.session.read_tls(&mut Blocking { socket, cx })))?;
        match self.session.process_new_packets() {
            Ok(state) => {
                self.decrypted = state.plaintext_bytes_to_read();
                // An end without a farewell is no less an end: the protocol above says where its messages end.
                self.ended = received == 0 || state.peer_has_closed();
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                // The alert. The peer may have gone.
                let _ = self.poll_flush(socket, cx);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        }
    }

    /// Encrypts and writes as much of a buffer as the system takes; ready when all is written.
    pub(super) fn poll_write_buf(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(socket, cx))?;
            if buf.is_empty() {
                buf.clear();
                return Poll::Ready(Ok(()));
            }
            let n = self.session.writer().write(buf)?;
            buf.advance(n);
        }
    }

    pub(super) fn poll_write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(socket, cx))?;
        let n = self.session.writer().write(buf)?;
        // What does not leave now leaves with the next write, flush or read.
        match self.poll_flush(socket, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(n)),
        }
    }

    /// Writes what is encrypted.
    pub(super) fn poll_flush(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            if ready!(waiting(self.session.write_tls(&mut Blocking { socket, cx })))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_close(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Said once, however often it is asked for.
        self.session.send_close_notify();
        self.poll_flush(socket, cx)
    }
}

/// A socket as rustls wants it: it says so when it would have to wait.
struct Blocking<'a, 'b> {
    socket: &'a mut Socket,
    cx: &'a mut Context<'b>,
}

impl Blocking<'_, '_> {
    fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
        match polled {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The reverse.
fn waiting<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl Read for Blocking<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        Self::now(Pin::new(&mut *self.socket).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl Write for Blocking<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Self::now(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Self::now(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
