"""Ports that are taken, disks that are full or read-only, folders in use, garbage on every port."""

import os
import pathlib
import socket
import subprocess
import sys
import unittest
import urllib.request

from case import BIN, UNREACHABLE, Network, NetworkCase, dotagent, free_port, wait_for

SERVICES = ("resolver", "identity", "relay", "gateway")


def required(kind):
    return ["--resolver", "127.0.0.1:1"] if kind == "gateway" else []


def run_service(kind, *arguments, timeout=30):
    return subprocess.run([os.path.join(BIN, f"dotagent-{kind}"), *required(kind), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                          check=False)


class StartTest(unittest.TestCase):
    def setUp(self):
        self.network = Network(BIN)
        self.network.__enter__()
        self.addCleanup(self.network.__exit__, None, None, None)

    def assert_does_not_start(self, done, fragment):
        self.assertEqual(done.returncode, 1, done.stderr)
        errors = [line for line in done.stderr.strip().splitlines() if line.startswith("dotagent-")]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertIn(fragment, errors[0])

    def test_ports_that_are_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for kind in SERVICES:
                for option, value in (("--grpc-listen", f"127.0.0.1:{port}"), ("--http-listen", f"127.0.0.1:{port}"), ("--p2p-listen", f"/ip4/127.0.0.1/tcp/{port}")):
                    with self.subTest(f"{kind} {option}"):
                        done = run_service(kind, "--data-dir", os.path.join(self.network.folder, f"{kind}{option}"), option, value)
                        self.assert_does_not_start(done, str(port))

    def test_a_data_folder_in_use(self):
        resolver = self.network.service("resolver", "first").start()
        self.assert_does_not_start(run_service("resolver", "--data-dir", resolver.data_dir), resolver.data_dir)

    def test_a_data_folder_that_cannot_be_made(self):
        path = os.path.join(self.network.folder, "file")
        pathlib.Path(path).write_text("in the way")
        self.assert_does_not_start(run_service("resolver", "--data-dir", path + "/below"), path)

    def test_options(self):
        self.assertEqual(run_service("resolver", "--no-such-flag").returncode, 2)
        for kind in SERVICES:
            done = run_service(kind, "--help")
            self.assertEqual(done.returncode, 0)
            for expected in ("--data-dir", "DOTAGENT_DATA_DIR", f"dotagent-{kind} --data-dir"):
                self.assertIn(expected, done.stdout)
            self.assertRegex(run_service(kind, "--version").stdout, r"\d+\.\d+\.\d+")

    def test_flag_beats_variable_beats_file(self):
        config = os.path.join(self.network.folder, "resolver.toml")
        ports = {name: free_port() for name in ("file", "variable", "flag")}
        pathlib.Path(config).write_text(f'grpc-listen = "127.0.0.1:{ports["file"]}"\nlog-level = "warning"\n')
        for variable, flag, expected in ((None, None, "file"), ("variable", None, "variable"), ("variable", "flag", "flag")):
            with self.subTest(expected):
                service = self.network.service("resolver", f"by-{expected}", config=config)
                if flag:
                    service.options["grpc-listen"] = f"127.0.0.1:{ports[flag]}"
                if variable:
                    os.environ["DOTAGENT_GRPC_LISTEN"] = f"127.0.0.1:{ports[variable]}"
                try:
                    service.start()
                finally:
                    os.environ.pop("DOTAGENT_GRPC_LISTEN", None)
                self.assertEqual(service.info["grpc"], f"127.0.0.1:{ports[expected]}")
                service.process.terminate()
                self.assertEqual(service.process.wait(10), 0)

    def test_an_unknown_key_in_the_file(self):
        config = os.path.join(self.network.folder, "bad.toml")
        pathlib.Path(config).write_text('grpc-lisen = "127.0.0.1:0"\n')
        done = run_service("resolver", "--config", config)
        self.assertEqual(done.returncode, 2)
        self.assertIn("grpc-lisen", done.stderr)


class GarbageTest(NetworkCase):
    RESOLVERS = 2

    def pour(self, address, data):
        """Sends data as far as the other side takes it."""
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.settimeout(2)
            try:
                connection.sendall(data)
                while connection.recv(65536):
                    pass
            except OSError:
                pass  # refused in the middle, which is as good an answer as any

    def test_garbage_on_every_port(self):
        # What each service sees: noise, the beginnings of the protocols it speaks, a zero byte (a relay circuit), endless headers.
        noise = os.urandom(256 * 1024)
        floods = [noise, b"\x00" * 65536, b"\x13/multistream/1.0.0\n" + noise, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + noise, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20000, b"\xff" * 100]
        services = [self.resolvers[0], self.identity, self.relay, self.gateways[0]]
        held = []
        for service in services:
            addresses = [service.info["grpc"], service.info["http"]]
            addresses += [path.split("/")[2] + ":" + path.split("/")[4] for path in service.info["p2p"]]
            for address in addresses:
                for flood in floods:
                    self.pour(address, flood)
                host, port = address.rsplit(":", 1)
                held.append(socket.create_connection((host, int(port))))  # and one that never says anything
        for service in services:
            self.assertIsNone(service.process.poll(), f"{service.name} died")
            with urllib.request.urlopen(f"http://{service.info['http']}/readyz", timeout=10) as answer:
                self.assertEqual(answer.status, 200)
        # All of them still do their work.
        self.register("after")
        self.assertEqual(self.run_ok(*self.options("after", 1), "resolve", "after.agent")["name"], "after.agent")
        for connection in held:
            connection.close()


# What runs inside a mount namespace of its own, where a small tmpfs is the data folder.
INSIDE = """
import json, os, subprocess, sys
bin_dir, folder, mode = sys.argv[1:4]
data = os.path.join(folder, "data")
os.makedirs(data, exist_ok=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", data], check=True)
if mode == "readonly":
    subprocess.run(["mount", "-o", "remount,ro", data], check=True)
    os.execv(os.path.join(bin_dir, "dotagent-resolver"), ["dotagent-resolver", "--data-dir", os.path.join(data, "resolver")])
os.execv(os.path.join(bin_dir, "dotagent-resolver"),
         ["dotagent-resolver", "--data-dir", os.path.join(data, "resolver"), "--grpc-listen", sys.argv[4], "--ready-file", os.path.join(folder, "ready")])
"""


# Stores refuse to write below this (common/storage/store.h).
MIN_FREE = 16 * 1024 * 1024


@unittest.skipIf(os.geteuid() != 0, "mounting needs root")
class DiskTest(NetworkCase):
    RESOLVERS = 2

    def start_inside(self, folder, *arguments):
        return subprocess.Popen(["unshare", "-m", "--propagation", "private", sys.executable, "-c", INSIDE, BIN, folder, *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_a_read_only_disk(self):
        folder = str(self.folder / "ro")
        os.makedirs(folder)
        process = self.start_inside(folder, "readonly")
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn("Read-only file system", errors)

    def test_a_full_disk(self):
        """A lone resolver: publishing is refused while its disk is full, what was confirmed is there, and with room again it goes on."""
        folder = str(self.folder / "full")
        os.makedirs(folder)
        address = f"127.0.0.1:{free_port()}"
        process = self.start_inside(folder, "full", address)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        wait_for(lambda: os.path.exists(os.path.join(folder, "ready")) or process.poll() is not None, "resolver ready")
        self.assertIsNone(process.poll(), "the resolver did not start")
        gateway = self.network.service("gateway", "gateway-on-full", resolver=address).start()
        options = ["--gateway", gateway.info["grpc"], "--home", str(self.folder / "home"), "--key", self.key("full")]
        protocols = [word for number in range(60) for word in ("--protocol", f"/{number}/{'x' * 100}")]  # records near 8 KiB

        def register(number):
            return dotagent("--json", *options, "--name", f"full-{number}.agent", "register", *protocols)

        self.assertEqual(register(0).returncode, 0)
        confirmed, refusal = ["full-0.agent"], None
        ballast = self.fill(f"/proc/{process.pid}/root{folder}/data/ballast", leave=MIN_FREE + 200 * 1024)
        while refusal is None and len(confirmed) < 500:
            done = register(len(confirmed))
            if done.returncode == 0:
                confirmed.append(f"full-{len(confirmed)}.agent")
            else:
                refusal = done
        self.assertIsNotNone(refusal, "the disk never filled")
        self.assertEqual(refusal.returncode, UNREACHABLE, refusal.stderr)
        self.assertEqual(len(refusal.stderr.strip().splitlines()), 1, refusal.stderr)
        self.assertIn("full", refusal.stderr)
        self.assertIsNone(process.poll(), "the resolver died of the full disk")
        for name in (confirmed[0], confirmed[-1]):
            self.assertEqual(self.run_ok(*options, "resolve", "--no-cache", name)["name"], name)

        os.remove(ballast)
        wait_for(lambda: register(501).returncode == 0, "room again: publishing goes on")

    @staticmethod
    def fill(path, leave):
        """Writes a file until the disk is full, then gives `leave` bytes back."""
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024 * 1024))
            except OSError:
                pass  # full
            file.truncate(file.tell() - leave)
        return path


if __name__ == "__main__":
    unittest.main()
