use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, ServerConfig, ServerConnection};
use socket2::{Domain, SockRef};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::Tls;

/// A connection to a client or a server, encrypted or not.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    tls: Option<Box<Tls>>,
}

/// What the bytes travel over.
#[derive(Debug)]
pub(super) enum Socket {
    /// TCP, without Nagle's delay.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A connection that no reactor knows.
#[derive(Debug)]
pub struct Detached {
    socket: DetachedSocket,
    tls: Option<Box<Tls>>,
}

#[derive(Debug)]
enum DetachedSocket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Detached {
    /// A client's connection in the clear, which another process has had until now.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn of_client(socket: OwnedFd) -> io::Result<Detached> {
        let socket = match SockRef::from(&socket).domain()? == Domain::UNIX {
            true => DetachedSocket::Unix(socket.into()),
            false => DetachedSocket::Tcp(socket.into()),
        };
        Ok(Detached { socket, tls: None })
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        Stream { socket: Socket::Tcp(stream), tls: None }
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Stream {
        Stream { socket: Socket::Unix(stream), tls: None }
    }
}

impl Stream {
    /// The socket, when it is TCP.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.socket {
            Socket::Tcp(stream) => Some(stream),
            Socket::Unix(_) => None,
        }
    }

    /// A copy of the socket's descriptor.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Whether what is read and written is encrypted on its way.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The version of TLS that is spoken, where the connection is encrypted.
    pub fn tls_version(&self) -> Option<ProtocolVersion> {
        self.tls.as_ref()?.version()
    }

    /// The server that the client has wanted by name (SNI, RFC 6066), where the connection is encrypted.
    pub fn server_name(&self) -> Option<&str> {
        self.tls.as_ref()?.server_name()
    }

    /// The certificate that the peer has shown, where the connection is encrypted.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.as_ref()?.peer_certificate()
    }

    /// Encrypts the connection from now on, as the client's side of TLS. After an error the connection is of no use. Not
    /// cancel safe: then, too, the connection is of no use.
    ///
    /// # Errors
    /// The handshake failed (the error wraps one of rustls then), or the server has gone.
    pub async fn connect_tls(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        self.handshake(session.into()).await.map(drop)
    }

    /// Encrypts the connection from now on, as the server's side of TLS. True: the client named the protocol
    /// `postgresql` (ALPN). After an error the connection is of no use, and the peer has been told why as far as TLS can
    /// tell it. Not cancel safe: then, too, the connection is of no use.
    ///
    /// # Errors
    /// The handshake failed, or the client has gone.
    pub async fn accept_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<bool> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(self.handshake(session.into()).await?.has_alpn())
    }

    async fn handshake(&mut self, session: rustls::Connection) -> io::Result<&Tls> {
        let Stream { socket, tls } = self;
        let tls = tls.insert(Box::new(Tls::new(session)));
        std::future::poll_fn(|cx| tls.poll_handshake(socket, cx)).await?;
        Ok(tls)
    }

    /// Tells the peer that nothing more comes, where the connection is encrypted: without that it could not tell our end
    /// from an attacker's. Ready when that is written; nobody need wait for it.
    pub fn poll_close_tls(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            Some(tls) => tls.poll_close(&mut self.socket, cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// The same in front of closing, as far as the system takes it at once. PostgreSQL would log an error otherwise.
    pub fn say_farewell(&mut self) {
        let _ = self.poll_close_tls(&mut Context::from_waker(Waker::noop()));
    }

    /// Ready when there may be bytes, an end or an error to read. No system call when nothing has happened.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.tls {
            Some(tls) if tls.has_read() => Poll::Ready(Ok(())),
            _ => self.socket.poll_read_ready(cx),
        }
    }

    /// Ready when the peer has gone, and left nothing to read.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.socket.poll_read_ready(cx) {
            // What it has sent stays where it is; its end will be seen when that is read.
            Poll::Ready(Ok(())) if !self.has_ended() => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes as much of a buffer as the system takes; ready when all is written.
    pub fn poll_write_buf(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            return tls.poll_write_buf(&mut self.socket, cx, buf);
        }
        while !buf.is_empty() {
            let n = ready!(Pin::new(&mut self.socket).poll_write(cx, buf))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            buf.advance(n);
        }
        buf.clear();
        Poll::Ready(Ok(()))
    }

    /// Whether the peer has sent something, or gone. No system call when nothing has happened.
    pub fn has_news(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_read())
            || !matches!(self.peek(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the peer has gone, and left nothing to read.
    pub fn has_ended(&self) -> bool {
        match self.peek() {
            Ok(n) => n == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    fn peek(&self) -> io::Result<usize> {
        let mut byte = [0];
        let readable = tokio::io::Interest::READABLE;
        match &self.socket {
            Socket::Tcp(stream) => stream.try_io(readable, || peek(stream, &mut byte)),
            Socket::Unix(stream) => stream.try_io(readable, || peek(stream, &mut byte)),
        }
    }

    /// Moves the connection from its reactor to that of this thread. After an error it is of no use.
    ///
    /// # Errors
    /// What the system says.
    pub fn move_here(&mut self) -> io::Result<()> {
        // The old descriptor leaves the old reactor when it is closed.
        let socket = match &self.socket {
            Socket::Tcp(stream) => {
                let copy = stream.as_fd().try_clone_to_owned()?;
                Socket::Tcp(TcpStream::from_std(copy.into())?)
            }
            Socket::Unix(stream) => {
                let copy = stream.as_fd().try_clone_to_owned()?;
                Socket::Unix(UnixStream::from_std(copy.into())?)
            }
        };
        self.socket = socket;
        Ok(())
    }

    /// Takes the connection off its reactor.
    ///
    /// # Errors
    /// What the system says.
    pub fn detach(self) -> io::Result<Detached> {
        let socket = match self.socket {
            Socket::Tcp(stream) => DetachedSocket::Tcp(stream.into_std()?),
            Socket::Unix(stream) => DetachedSocket::Unix(stream.into_std()?),
        };
        Ok(Detached { socket, tls: self.tls })
    }

    /// Puts a connection on the reactor of this thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn attach(detached: Detached) -> io::Result<Stream> {
        let socket = match detached.socket {
            DetachedSocket::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            DetachedSocket::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Stream { socket, tls: detached.tls })
    }
}

fn peek(socket: impl AsFd, byte: &mut [u8; 1]) -> io::Result<usize> {
    let (read, _) = rustix::net::recv(socket, byte.as_mut_slice(), rustix::net::RecvFlags::PEEK)?;
    Ok(read)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Stream { socket, tls } = self.get_mut();
        match tls {
            Some(tls) => tls.poll_read(socket, cx, buf),
            None => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Stream { socket, tls } = self.get_mut();
        match tls {
            Some(tls) => tls.poll_write(socket, cx, buf),
            None => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stream { socket, tls } = self.get_mut();
        match tls {
            Some(tls) => tls.poll_flush(socket, cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_close_tls(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Socket {
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Unix(stream) => stream.poll_read_ready(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
