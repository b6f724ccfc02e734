"""What the integration tests share: a network of real processes on free ports, and short names for common acts.

Each file is one ctest test: `DOTAGENT_BIN=build/release/bin python3 tests/integration/refusals_test.py`.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "demo"))

from network import Network, free_port, resolver_status, start_resolvers, wait_for  # noqa: E402,F401  pylint: disable=wrong-import-position,unused-import

BIN = os.environ.get("DOTAGENT_BIN", str(ROOT / "build/release/bin"))

# Exit statuses of the dotagent command (docs/cli.md).
OK, FAILED, USAGE, NOT_FOUND, REFUSED, UNREACHABLE, CONTESTED = range(7)


def dotagent(*arguments, env=None, stdin="", timeout=60):
    """Runs the dotagent command; returns the completed process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOTAGENT_")}
    return subprocess.run([os.path.join(BIN, "dotagent"), *arguments], input=stdin, capture_output=True, text=True, env={**environment, **(env or {})},
                          timeout=timeout, check=False)


class NetworkCase(unittest.TestCase):
    """Three resolvers, identity, a relay and two gateways, once for all tests of a class."""

    RESOLVERS = 3

    @classmethod
    def setUpClass(cls):
        cls.network = Network(BIN)
        cls.network.__enter__()
        cls.addClassCleanup(cls.network.__exit__, None, None, None)
        identity_port = free_port()
        cls.resolvers = start_resolvers(cls.network, cls.RESOLVERS, f"127.0.0.1:{identity_port}")
        cls.identity = cls.network.service("identity", "identity", grpc_listen=f"127.0.0.1:{identity_port}", resolver=cls.resolvers[0].info["grpc"]).start()
        cls.relay = cls.network.service("relay", "relay", identity=cls.identity.info["grpc"]).start()
        cls.gateways = [
            cls.network.service("gateway", f"gateway-{number}", resolver=cls.resolvers[number].info["grpc"], identity=cls.identity.info["grpc"],
                                relay=cls.relay.info["p2p"][0]).start() for number in range(2)
        ]
        cls.folder = pathlib.Path(cls.network.folder)

    def key(self, name):
        """The key file of an agent, made when it is first asked for."""
        path = self.folder / f"{name}.pem"
        if not path.exists():
            self.run_ok("keygen", str(path))
        return str(path)

    def options(self, name, gateway=0):
        return ["--gateway", self.gateways[gateway].info["grpc"], "--identity", self.identity.info["grpc"], "--home", str(self.folder / "home"),
                "--name", f"{name}.agent", "--key", self.key(name)]

    def run_ok(self, *arguments, **keywords):
        done = dotagent("--json", *arguments, **keywords)
        self.assertEqual(done.returncode, OK, f"dotagent {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def run_refused(self, status, fragment, *arguments, **keywords):
        """Runs a command that must fail with this status and one line that holds `fragment`."""
        done = dotagent(*arguments, **keywords)
        self.assertEqual(done.returncode, status, f"dotagent {' '.join(arguments)}: {done.stdout}{done.stderr}")
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, f"more or less than one line: {done.stderr!r}")
        self.assertIn(fragment, done.stderr)
        return done.stderr

    def register(self, name, gateway=0):
        return self.run_ok(*self.options(name, gateway), "register")

    def listen(self, name, gateway=0, *arguments):
        """Listens in the background; returns the process once it does."""
        process = self.network.dotagent_in_background("--json", *self.options(name, gateway), "listen", *arguments)
        first = json.loads(process.stdout.readline() or "{}")
        self.assertEqual(first.get("event"), "listening", process.stderr.read() if not first else first)
        return process


def flip(text, member, change):
    """A JSON document with one member changed, not signed again."""
    document = json.loads(text)
    document[member] = change(document[member])
    return json.dumps(document)


def zero_signature(_):
    return base64.b64encode(bytes(64)).decode()
