"""Sessions against strangers: a stock js-libp2p (TCP, multistream-select, Noise), and a Noise library from PyPI. Each is
dialled and dials, proves its key, and gets back what it sends on a stream.

    check_session.py SESSION_TOOL TOOLS      TOOLS: the folder that scripts/install-tools makes
"""

import hashlib
import json
import socket
import subprocess
import sys
import unittest
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from noise_peer import Peer

HERE = Path(__file__).resolve().parent
SECONDS = 50
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def peer_id(key: bytes) -> str:
    """base58 of the identity multihash of the libp2p key."""
    number = int.from_bytes(b"\x00\x24\x08\x01\x12\x20" + key, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" + text


class Process:
    """A program that prints lines of JSON."""

    def __init__(self, *command: str):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def line(self) -> dict:
        text = self.process.stdout.readline()
        if not text:
            raise AssertionError(f"{self.process.args} ended without a word")
        return json.loads(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def tool(*arguments: str) -> Process:
    return Process(TOOL, *arguments)


class StockLibp2p(unittest.TestCase):
    EXPECTED = hashlib.sha256(bytes(i * 7 & 0xFF for i in range(100_000))).hexdigest()

    def libp2p(self, *arguments: str) -> Process:
        return Process("node", str(HERE / "libp2p_peer.mjs"), str(TOOLS), *arguments)

    def dials(self, listen: str):
        with tool(listen) as ours:
            at = ours.line()
            with self.libp2p("dial", str(at["port"]), at["peer"]) as theirs:
                told = theirs.line()
                self.assertEqual((told["remote"], told["echoed"]), (at["peer"], self.EXPECTED))
            ended = ours.line()
            self.assertEqual((ended["remote"], ended["echoed"]), (told["self"], 100_000))

    def is_dialled(self, dial: str):
        with self.libp2p("listen") as theirs:
            at = theirs.line()
            with tool(dial, str(at["port"])) as ours:
                told = theirs.line()
                self.assertEqual((told["self"], told["echoed"]), (at["peer"], self.EXPECTED))
                ended = ours.line()
                self.assertEqual((ended["remote"], ended["echoed"]), (at["peer"], 100_000))
                self.assertNotEqual(told["remote"], at["peer"])

    def test_dials(self):
        self.dials("listen")

    def test_is_dialled(self):
        self.is_dialled("dial")

    def test_dials_a_listener_that_asks_others_for_work(self):
        self.dials("busy")

    def test_is_dialled_by_one_that_offers_work(self):
        self.is_dialled("ready")


class PlainNoise(unittest.TestCase):
    def talk(self, peer: Peer, ours: Process) -> None:
        """So many messages that both directions change their keys twice."""
        peer.sock.settimeout(SECONDS)
        peer.handshake()
        data = bytes(i * 11 & 0xFF for i in range(2400))
        self.assertEqual(peer.echo(data, 1), data)
        peer.sock.close()
        ended = ours.line()
        identity = peer.identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.assertEqual((ended["remote"], ended["echoed"]), (peer_id(identity), 2400))
        self.assertIn("closed the connection", ended["why"])

    def test_dials(self):
        with tool("listen") as ours:
            port = ours.line()["port"]
            self.talk(Peer(socket.create_connection(("127.0.0.1", port)), dials=True), ours)

    def test_is_dialled(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            with tool("dial", str(listening.getsockname()[1])) as ours:
                self.talk(Peer(listening.accept()[0], dials=False), ours)

    def test_long_messages(self):
        with tool("listen") as ours:
            peer = Peer(socket.create_connection(("127.0.0.1", ours.line()["port"])), dials=True)
            peer.sock.settimeout(SECONDS)
            peer.handshake()
            data = bytes(i * 13 & 0xFF for i in range(200_000))
            self.assertEqual(peer.echo(data, 16_000), data)
            peer.sock.close()

    def test_a_changed_message_ends_it_and_says_so(self):
        with tool("listen") as ours:
            peer = Peer(socket.create_connection(("127.0.0.1", ours.line()["port"])), dials=True)
            peer.sock.settimeout(SECONDS)
            peer.handshake()
            sealed = bytearray(peer.noise.encrypt(b"\x01"))
            sealed[0] ^= 1
            peer.send_message(bytes(sealed))
            goaway = bytes(peer.noise.decrypt(peer.receive_message()))
            self.assertEqual(goaway[:3], b"\x3a\x41\x00", "GOAWAY with code 256")
            self.assertIn(b"was changed on its way", goaway)
            self.assertIn("was changed on its way", ours.line()["why"])
            peer.sock.close()


if __name__ == "__main__":
    TOOL, TOOLS = sys.argv[1], Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1], verbosity=2)
