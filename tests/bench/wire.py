"""A client that costs little itself: it speaks the protocol with trust, and only counts what it is answered."""
import resource
import socket
import struct

READY = b"Z\x00\x00\x00\x05"
CHUNK = 1 << 20


def allow_files(count):
    """Lets this process and those it starts have as many files as it may, and at least so many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        raise SystemExit(f"{count} files at once are needed; the limit is {hard} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def message(tag, body=b""):
    return tag + struct.pack("!i", len(body) + 4) + body


class Client:
    def __init__(self, port, user="postgres"):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = struct.pack("!i", 3 << 16) + f"user\0{user}\0database\0postgres\0\0".encode()
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.until_ready()

    def until_ready(self):
        """Bytes of what comes up to ReadyForQuery, which nothing follows."""
        buffer, count, end = bytearray(CHUNK), 0, b""
        while not (end[:-1] == READY and end[-1:] in b"ITE"):
            got = self.socket.recv_into(buffer)
            if not got:
                raise SystemExit(f"a connection was closed: {bytes(buffer[:200])}")
            count += got
            end = (end + bytes(buffer[max(0, got - 6):got]))[-6:]
        return count

    def query(self, sql):
        self.socket.sendall(message(b"Q", sql.encode() + b"\0"))
        return self.until_ready()

    def copy_in(self, sql, lines, times):
        """Sends the same lines some times; bytes of them."""
        self.socket.sendall(message(b"Q", sql.encode() + b"\0"))
        if self.socket.recv(CHUNK)[:1] != b"G":
            raise SystemExit(f"refused: {sql}")
        data = message(b"d", lines)
        for _ in range(times):
            self.socket.sendall(data)
        self.socket.sendall(message(b"c"))
        self.until_ready()
        return len(data) * times

    def close(self):
        self.socket.close()
