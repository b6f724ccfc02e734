"""A dotagent network of separate processes on loopback, for the demo and for tests: starts, kills and cleans up.

Standard library only. Every port is picked free, all data is in one temporary folder, and nothing is left behind.
"""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 15
POLL_S = 0.02
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Failure(Exception):
    """Something did not hold; the message says what."""


def wait_for(condition, what, timeout_s=READY_TIMEOUT_S):
    """Waits until condition() is true and returns what it returned."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {timeout_s} s")
        time.sleep(POLL_S)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def base58_decode(text):
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number = 0
    for character in text:
        number = number * 58 + alphabet.index(character)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def node_id(peer_id):
    """A DHT node's id: SHA-256 of its Ed25519 key, which ends its peer id."""
    return hashlib.sha256(base58_decode(peer_id)[-32:]).digest()


def distance(key, other):
    return bytes(a ^ b for a, b in zip(key, other))


def _die_with_parent():
    # If this program is killed -9, its children must not live on.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Service:
    """One service process. `info` is what it wrote when it was ready: peer_id, grpc, http, p2p."""

    def __init__(self, network, kind, name, options):
        self.network = network
        self.kind = kind
        self.name = name
        self.options = dict(options)
        self.data_dir = os.path.join(network.folder, name)
        self.log_path = os.path.join(network.folder, name + ".log")
        self.process = None
        self.info = None

    def start(self):
        ready_file = os.path.join(self.network.folder, self.name + ".ready")
        if os.path.exists(ready_file):
            os.remove(ready_file)
        command = [os.path.join(self.network.bin_dir, "dotagent-" + self.kind), "--data-dir", self.data_dir,
                   "--ready-file", ready_file, "--drain-grace", "2s"]
        for option, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                command += ["--" + option, one]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent)

        def ready():
            if self.process.poll() is not None:
                with open(self.log_path, encoding="utf-8", errors="replace") as log:
                    raise Failure(f"{self.name} ended with status {self.process.returncode}:\n{log.read()[-2000:]}")
            return os.path.exists(ready_file)

        wait_for(ready, f"{self.name} ready")
        with open(ready_file, encoding="utf-8") as file:
            self.info = json.load(file)
        return self

    def restart_where_it_was(self):
        """Starts it again on its data and its ports."""
        self.options["grpc-listen"] = self.info["grpc"]
        self.options["http-listen"] = self.info["http"]
        if self.info["p2p"]:
            self.options["p2p-listen"] = self.info["p2p"][0].split("/p2p/")[0]
        return self.start()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()


class Wire:
    """A TCP path that can be cut: forwards connections from a port of its own to another."""

    def __init__(self, target_port):
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open = []
        self._cut = False
        self.bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(self._target)
            except OSError:
                if self._cut:
                    return
                continue
            with self._lock:
                if self._cut:
                    inner.close()
                    outer.close()
                    return
                self._open += [inner, outer]
            threading.Thread(target=self._pump, args=(inner, outer), daemon=True).start()
            threading.Thread(target=self._pump, args=(outer, inner), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(256 * 1024):
                sink.sendall(data)
                self.bytes += len(data)
        except OSError:
            pass  # cut, or one end has gone: either way the other learns it below
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # gone already

    def cut(self):
        with self._lock:
            self._cut = True
            ends, self._open = self._open, []
        self._listener.close()
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # gone already
            end.close()


class Network:
    """Use as a context manager: everything is stopped and removed at its end."""

    def __init__(self, bin_dir):
        self.bin_dir = os.path.abspath(bin_dir)
        self.folder = None
        self.services = []
        self.background = []
        self.wires = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="dotagent-")
        return self

    def __exit__(self, *_):
        for process in self.background:
            if process.poll() is None:
                process.kill()
            process.wait()
        for wire in self.wires:
            wire.cut()
        for service in self.services:  # all at once, then each
            if service.process is not None and service.process.poll() is None:
                service.process.terminate()
        for service in self.services:
            service.stop()
        shutil.rmtree(self.folder)

    def service(self, kind, name, **options):
        service = Service(self, kind, name, {option.replace("_", "-"): value for option, value in options.items()})
        self.services.append(service)
        return service

    def wire_to(self, port):
        wire = Wire(port)
        self.wires.append(wire)
        return wire

    def environment(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOTAGENT_")}
        environment["DOTAGENT_HOME"] = os.path.join(self.folder, "home")
        return environment

    def dotagent(self, *arguments, timeout_s=60, expect=0):
        """Runs the dotagent command with --json and returns (its answer, its standard error)."""
        command = [os.path.join(self.bin_dir, "dotagent"), "--json", *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment(), timeout=timeout_s, check=False)
        if done.returncode != expect:
            raise Failure(f"`dotagent {' '.join(arguments)}` ended with status {done.returncode}, not {expect}: {done.stderr.strip()[-1000:]}")
        return (json.loads(done.stdout) if done.stdout.strip() else {}), done.stderr

    def dotagent_in_background(self, *arguments):
        """Starts the dotagent command; its standard input stays open, its output can be read line by line."""
        command = [os.path.join(self.bin_dir, "dotagent"), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment(),
                                   preexec_fn=_die_with_parent)
        self.background.append(process)
        return process


def start_resolvers(network, count, identity_address):
    """Resolvers that find each other from one bootstrap address; returns when each knows all others."""
    resolvers = [network.service("resolver", "resolver-1", identity=identity_address).start()]
    for number in range(2, count + 1):
        resolvers.append(network.service("resolver", f"resolver-{number}", identity=identity_address, bootstrap=resolvers[0].info["p2p"][0]).start())

    def all_known():
        return all(resolver_status(network, resolver)["known_nodes"] >= count - 1 for resolver in resolvers)

    wait_for(all_known, f"{count} resolvers know each other")
    return resolvers


def resolver_status(network, resolver):
    """Routing table and store sizes, from the resolver's own metrics."""
    with urllib.request.urlopen(f"http://{resolver.info['http']}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    values = {}
    for line in metrics.splitlines():
        for name in ("known_nodes", "stored_values"):
            if line.startswith(f"dotagent_dht_{name}{{"):
                values[name] = int(float(line.rsplit(" ", 1)[1]))
    return values
