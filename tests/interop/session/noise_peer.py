"""The far end of a session by PyPI's `noiseprotocol`: multistream-select, libp2p's handshake payload and a few frames
are written out here, from docs/protocol.md."""

import socket
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from noise.connection import Keypair, NoiseConnection

GREETING = b"\x13/multistream/1.0.0\n\x07/noise\n"
MUXER = b"/dotagent/mux/1.0.0"
REKEY_MESSAGES = 1000


def raw(key) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def varint(value: int) -> bytes:
    """QUIC's."""
    if value < 64:
        return bytes([value])
    if value < 16384:
        return struct.pack(">H", 0x4000 | value)
    return struct.pack(">I", 0x80000000 | value)


def field(number: int, value: bytes) -> bytes:
    """Of a protobuf message; all that are needed here are shorter than 128 bytes, or fit two bytes of length."""
    length = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 127 | 128, len(value) >> 7])
    return bytes([number << 3 | 2]) + length + value


def fields(message: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(message):
        tag, at = take(message, at)
        assert tag & 7 == 2, f"wire type {tag & 7}"
        size, at = take(message, at)
        found[tag >> 3] = message[at : at + size]
        at += size
    return found


def take(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


class Peer:
    def __init__(self, sock: socket.socket, dials: bool):
        self.sock, self.dials = sock, dials
        self.identity = Ed25519PrivateKey.generate()
        self.static = X25519PrivateKey.generate()
        self.noise = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
        secret = self.static.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        self.noise.set_keypair_from_private_bytes(Keypair.STATIC, secret)
        self.noise.set_as_initiator() if dials else self.noise.set_as_responder()
        self.noise.start_handshake()
        self.state = self.noise.noise_protocol.handshake_state  # it is let go of when the handshake is over
        self.sent = 0

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError(f"{len(data)} of {size} bytes")
            data += piece
        return data

    def receive_message(self) -> bytes:
        return self.receive(struct.unpack(">H", self.receive(2))[0])

    def send_message(self, message: bytes) -> None:
        self.sock.sendall(struct.pack(">H", len(message)) + message)

    def payload(self) -> bytes:
        key = b"\x08\x01\x12\x20" + raw(self.identity.public_key())
        signature = self.identity.sign(b"noise-libp2p-static-key:" + raw(self.static.public_key()))
        return field(1, key) + field(2, signature) + field(4, field(2, MUXER))

    def check(self, payload: bytes, static: bytes) -> None:
        found = fields(payload)
        assert found[1][:4] == b"\x08\x01\x12\x20", found[1].hex()
        Ed25519PublicKey.from_public_bytes(found[1][4:]).verify(found[2], b"noise-libp2p-static-key:" + static)
        assert fields(found[4])[2] == MUXER, found[4].hex()

    def handshake(self) -> None:
        self.sock.sendall(GREETING)
        if self.dials:
            self.send_message(bytes(self.noise.write_message()))
        assert self.receive(len(GREETING)) == GREETING
        if not self.dials:
            self.noise.read_message(self.receive_message())
            self.send_message(bytes(self.noise.write_message(self.payload())))
        payload = bytes(self.noise.read_message(self.receive_message()))
        self.check(payload, self.state.rs.public_bytes)
        if self.dials:
            self.send_message(bytes(self.noise.write_message(self.payload())))
        assert self.noise.handshake_finished

    def send_frames(self, frames: bytes) -> None:
        """As one message; every thousandth begins with REKEY and is the last one under its key."""
        self.sent += 1
        rekeys = self.sent % REKEY_MESSAGES == 0
        self.send_message(self.noise.encrypt((b"\x39" if rekeys else b"") + frames))
        if rekeys:
            self.noise.noise_protocol.cipher_state_encrypt.rekey()

    def receive_frames(self) -> bytes:
        plaintext = bytes(self.noise.decrypt(self.receive_message()))
        if plaintext[:1] != b"\x39":
            return plaintext
        self.noise.noise_protocol.cipher_state_decrypt.rekey()
        return plaintext[1:]

    def echo(self, data: bytes, piece: int) -> bytes:
        """Sends `data` on a new stream, `piece` bytes a message, and returns what comes back."""
        stream = 0 if self.dials else 1
        line = b"\x05/echo"
        self.send_frames(b"\x0a" + varint(stream) + varint(len(line)) + line)
        self.send_frames(b"\x10" + varint(len(data)) + b"\x11" + varint(stream) + varint(len(data)))
        back = b""
        for at in range(0, len(data), piece):
            part = data[at : at + piece]
            self.send_frames(b"\x0a" + varint(stream) + varint(len(part)) + part)
            while len(back) < at:
                back += self.stream_data(self.receive_frames())
        while len(back) < len(data):
            back += self.stream_data(self.receive_frames())
        return back

    @staticmethod
    def stream_data(frames: bytes) -> bytes:
        fields_of = {0x0A: 2, 0x0B: 2, 0x10: 1, 0x11: 2, 0x12: 1, 0x14: 1, 0x15: 2}
        data, at = b"", 0
        while at < len(frames):
            kind, values = frames[at], []
            at += 1
            for _ in range(fields_of[kind]):
                size = 1 << (frames[at] >> 6)
                values.append(int.from_bytes(frames[at : at + size], "big") & (1 << 8 * size - 2) - 1)
                at += size
            if kind in (0x0A, 0x0B):
                data += frames[at : at + values[1]]
                at += values[1]
        return data
