#!/usr/bin/env python3
"""The main job, end to end: two agents find each other and talk, over a network of separate processes on loopback.

Eight resolvers, identity, a relay and two gateways; the agents use the `dotagent` command only. Each step compares what it got with what it
should be; exit status 0 only if every comparison held.
"""

import argparse
import glob
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

from network import Failure, Network, distance, free_port, node_id, resolver_status, start_resolvers, wait_for

RESOLVERS = 8
REPLICAS = 5
QUORUM = 3
MAX_FILE = 64 * 1024 * 1024
# A text of several hundred KB in perl-base, which is Essential: on every Debian machine.
DEFAULT_FILE = "/usr/lib/*/perl-base/unicore/To/NFKCCF.pl"


class Table:
    """The steps as they are done, and the table at the end."""

    def __init__(self):
        self.rows = []
        self.colour = sys.stdout.isatty()

    def paint(self, text, code):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def step(self, title, action):
        print(f"{self.paint('▸', 34)} {title} …", flush=True)
        started = time.monotonic()
        shown = action()
        seconds = time.monotonic() - started
        self.rows.append((title, shown, f"{seconds:.2f} s"))
        for line in shown.split("\n"):
            print(f"  {self.paint('✓', 32)} {line}", flush=True)

    def show(self):
        widths = [max(len(line) for row in self.rows + [("step", "shown", "time")] for line in row[column].split("\n")) for column in range(3)]
        rule = "  ".join("─" * width for width in widths)
        print()
        for row in [("step", "shown", "time"), None, *self.rows]:
            if row is None:
                print(rule)
                continue
            cells = [cell.split("\n") for cell in row]
            for line in range(max(len(cell) for cell in cells)):
                print("  ".join((cell[line] if line < len(cell) else "").ljust(width) for cell, width in zip(cells, widths)).rstrip())
        print()


def expect(holds, what):
    if not holds:
        raise Failure(what)


def measure(path):
    """SHA-256, lines, words and bytes, by the machine's own tools."""
    sha256 = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    counts = subprocess.run(["wc", path], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout.split()
    return {"sha256": sha256, "lines": int(counts[0]), "words": int(counts[1]), "bytes": int(counts[2])}


def samples(path, count=40, size=48):
    """Pieces spread over a file, none of them dull (a run of zeros proves nothing)."""
    with open(path, "rb") as file:
        data = file.read()
    pieces = [data[i:i + size] for i in range(0, max(1, len(data) - size), max(1, (len(data) - size) // count))]
    return [piece for piece in pieces if len(set(piece)) > 8]


class Demo:
    def __init__(self, network, file):
        self.network = network
        self.file = file
        self.truth = measure(file)
        self.keys = {name: os.path.join(network.folder, name + ".pem") for name in ("alice", "bob")}
        self.taps = {}

    def start_network(self):
        identity_port = free_port()
        self.resolvers = start_resolvers(self.network, RESOLVERS, f"127.0.0.1:{identity_port}")
        self.identity = self.network.service("identity", "identity", grpc_listen=f"127.0.0.1:{identity_port}", resolver=self.resolvers[0].info["grpc"]).start()
        self.taps["relay"] = os.path.join(self.network.folder, "relay.tap")
        self.relay = self.network.service("relay", "relay", tap=self.taps["relay"], identity=self.identity.info["grpc"]).start()

        # The gateways use resolvers that will not store bob.agent: those that are not among the nearest to its hash.
        key = hashlib.sha256(b"bob.agent").digest()
        by_distance = sorted(self.resolvers, key=lambda resolver: distance(key, node_id(resolver.info["peer_id"])))
        self.storing, others = by_distance[:REPLICAS], by_distance[REPLICAS:]
        self.gateways = [self.start_gateway(number, resolver) for number, resolver in ((1, others[0]), (2, others[1]))]
        return f"{RESOLVERS} resolvers know each other from one bootstrap address; identity, relay, 2 gateways"

    def start_gateway(self, number, resolver):
        # The direct path to a gateway's public port goes through a wire that can be cut.
        p2p_port = free_port()
        wire = self.network.wire_to(p2p_port)
        tap = self.taps[f"gateway-{number}"] = os.path.join(self.network.folder, f"gateway-{number}.tap")
        gateway = self.network.service("gateway", f"gateway-{number}", resolver=resolver.info["grpc"], identity=self.identity.info["grpc"],
                                       relay=self.relay.info["p2p"][0], p2p_listen=f"/ip4/127.0.0.1/tcp/{p2p_port}",
                                       p2p_advertise=f"/ip4/127.0.0.1/tcp/{wire.port}", tap=tap)
        gateway.resolver = resolver
        gateway.wire = wire
        return gateway.start()

    def agent(self, name, *arguments):
        gateway = self.gateways[0] if name == "alice" else self.gateways[1]
        return ["--gateway", gateway.info["grpc"], "--identity", self.identity.info["grpc"], "--name", f"{name}.agent", "--key", self.keys[name], *arguments]

    def register(self):
        for name in ("alice", "bob"):
            self.network.dotagent("keygen", self.keys[name])
        self.network.dotagent(*self.agent("alice", "register"))
        bob, _ = self.network.dotagent(*self.agent("bob", "register"))
        self.stored_by = set(bob["stored_by"])
        expect(bob["asked"] == REPLICAS, f"{bob['asked']} nodes were asked to store, not {REPLICAS}")
        expect(bob["confirmed"] >= QUORUM, f"only {bob['confirmed']} of {REPLICAS} storing nodes confirmed")
        return f"bob.agent registered through gateway 2: {bob['confirmed']} of {REPLICAS} storing nodes confirmed"

    def resolve(self):
        resolver = self.gateways[0].resolver.info["peer_id"]
        expect(resolver not in self.stored_by, "gateway 1's resolver stores bob.agent itself")
        bob, _ = self.network.dotagent(*self.agent("alice", "resolve", "bob.agent"))
        key, _ = self.network.dotagent("id", "--key", self.keys["bob"])
        expect(bob["source"] == "dht", f"the answer came from {bob['source']}, not from the DHT")
        expect(bob["public_key"] == key["public_key"], "the record holds another key than Bob's")
        expect(bob["signature"] == "verified", "the signature was not verified")
        return f"alice found bob.agent in the DHT in {bob['hops']} hop(s), {bob['agreeing_nodes']} nodes agree, signature verified"

    def bob_listens(self):
        process = self.network.dotagent_in_background("--json", *self.agent("bob", "listen", "--channels", "digest"))
        first = process.stdout.readline()
        expect('"listening"' in first, f"bob does not listen: {first or process.stderr.read()}")

    def talk(self, path):
        started = time.monotonic()
        result, _ = self.network.dotagent(*self.agent("alice", "channel", "bob.agent", "--file", self.file), timeout_s=300)
        seconds = time.monotonic() - started
        expect(result["path"] == path, f"the channel ran {result['path']}, not {path}")
        answer = json.loads(result["answer"])
        expect(answer == self.truth, f"bob answered {answer}, sha256sum and wc say {self.truth}")
        return (f"{self.truth['bytes']:,} bytes end to end encrypted ({path}) in {seconds:.2f} s\n"
                f"bob: sha256 {answer['sha256'][:16]}…, {answer['lines']} lines, {answer['words']} words = sha256sum, wc")

    def direct_channel(self):
        self.bob_listens()
        return self.talk("direct")

    def relayed_channel(self):
        carried = self.gateways[1].wire.bytes
        expect(carried >= self.truth["bytes"], "the direct path carried less than the file")
        for gateway in self.gateways:
            gateway.wire.cut()
        shown = self.talk("relayed")
        marker = f"unsealed-{os.urandom(8).hex()}"
        self.network.dotagent(*self.agent("alice", "send", "bob.agent", marker))
        return shown + "\n" + self.check_taps(marker)

    def check_taps(self, marker):
        pieces = samples(self.file)
        expect(pieces, f"{self.file} is too dull to look for")
        sizes = []
        for name, path in self.taps.items():
            with open(path, "rb") as file:
                captured = file.read()
            expect(len(captured) >= self.truth["bytes"], f"the capture of {name} holds {len(captured)} bytes, less than the file")
            for piece in pieces:
                expect(piece not in captured, f"{name} saw text of the file: {piece!r}")
            # A message that is signed and not sealed is there to be read by gateways: so the captures are what they say they are.
            if name.startswith("gateway"):
                expect(marker.encode() in captured, f"the capture of {name} does not hold the unsealed message, so it proves nothing")
            sizes.append(f"{name} {len(captured):,}")
        return f"captured: {', '.join(sizes)} bytes; none of {len(pieces)} samples of the file in them"

    def kill_resolver(self):
        victim = self.storing[0]
        # Its gauge is brought up to date once a second.
        before = wait_for(lambda: resolver_status(self.network, victim).get("stored_values", 0), f"{victim.name} stores a record")
        victim.kill()
        bob, _ = self.network.dotagent(*self.agent("alice", "resolve", "bob.agent", "--no-cache"))
        expect(bob["source"] == "dht", f"the answer came from {bob['source']}")
        victim.restart_where_it_was()
        wait_for(lambda: resolver_status(self.network, victim).get("stored_values", 0) >= before, f"{victim.name} has its {before} values again")
        return f"{victim.name} killed -9: bob.agent still resolves ({bob['agreeing_nodes']} nodes agree)\nstarted again on its data: its {before} record(s) are still there"

    def revoke(self):
        channel = self.network.dotagent_in_background(*self.agent("alice", "channel", "bob.agent"))
        line = channel.stderr.readline()
        expect("open" in line, f"alice's channel did not open: {line}{channel.stderr.read() if channel.poll() is not None else ''}")
        started = time.monotonic()
        self.network.dotagent(*self.agent("bob", "revoke", "--reason", "the demo ends here"))
        revoked = time.monotonic()
        status = channel.wait(30)
        ended = time.monotonic()
        why = channel.stderr.read()
        expect(status == 4 and "revoked" in why, f"alice's channel ended with status {status}: {why}")
        _, refusal = self.network.dotagent(*self.agent("alice", "channel", "bob.agent", "--file", self.file), expect=4)
        refused = time.monotonic()
        expect("revoked" in refusal, f"the next attempt was refused for another reason: {refusal}")
        return (f"alice's open channel ended {max(0.0, ended - revoked) * 1000:.0f} ms after `dotagent revoke` returned ({(ended - started) * 1000:.0f} ms after it started)\n"
                f"her next attempt was refused {(refused - ended) * 1000:.0f} ms later")

    def run(self, table):
        table.step("start the network", self.start_network)
        table.step("1 register", self.register)
        table.step("2 resolve", self.resolve)
        table.step("3 talk, directly", self.direct_channel)
        table.step("4 talk, relayed", self.relayed_channel)
        table.step("5 lose a node", self.kill_resolver)
        table.step("6 revoke a key", self.revoke)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", default="build/release/bin", help="folder of the binaries (default: %(default)s)")
    parser.add_argument("--file", default=None, help="the file that Alice sends, at most 64 MiB (default: a text that every Debian machine has)")
    arguments = parser.parse_args()
    file = arguments.file or next(iter(sorted(glob.glob(DEFAULT_FILE))), None)
    if file is None or not os.path.isfile(file):
        print(f"demo: there is no file {arguments.file or DEFAULT_FILE}", file=sys.stderr)
        return 2
    if not 0 < os.path.getsize(file) <= MAX_FILE:
        print(f"demo: {file} has {os.path.getsize(file)} bytes; send 1 byte to 64 MiB", file=sys.stderr)
        return 2

    # Ctrl-C and kill end it the same way, so that both clean up.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    table = Table()
    try:
        with Network(arguments.bin) as network:
            Demo(network, file).run(table)
    except KeyboardInterrupt:
        print("\ndemo: interrupted; nothing is left behind", file=sys.stderr)
        return 130
    except (Failure, subprocess.SubprocessError, OSError) as failure:
        table.show()
        print(f"demo: FAILED: {failure}", file=sys.stderr)
        return 1
    table.show()
    print("every comparison held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
