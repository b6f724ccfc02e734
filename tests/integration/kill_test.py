"""kill -9 in the middle of storing: whatever was confirmed before is there after, and nothing is half there."""

import os
import random
import select
import signal
import subprocess
import tempfile
import time
import unittest

from case import BIN, Network, dotagent, wait_for

KILLS = 200
CERTIFICATE_KILLS = 100
RESOLVER_KILLS = 10
# Half of the kills come at any moment within so many seconds of the first confirmation, half right after one.
LONGEST_LIFE_S = 0.05
MOST_CONFIRMED = 30
# Where syncing costs nothing, so that a kill finds a write in its middle and not always the disk busy: a process that is
# killed loses nothing that it wrote, synced or not. What a power cut leaves is fuzz_dht_values' business.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def run_and_kill(program, folder, chance):
    """Runs the writer, kills it at some moment after its first confirmation, and returns the whole lines that it wrote."""
    process = subprocess.Popen([os.path.join(BIN, program), folder, str(chance.randrange(1 << 32))], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    life, enough = (chance.uniform(0, LONGEST_LIFE_S), None) if chance.random() < 0.5 else (None, chance.randrange(1, MOST_CONFIRMED))
    output, deadline = b"", None
    while True:
        confirmed = output.partition(b"ready\n")[2].count(b"\n")
        if enough is not None and confirmed >= enough:
            break
        if life is not None and confirmed > 0 and deadline is None:
            deadline = time.monotonic() + life
        if deadline is not None and time.monotonic() >= deadline:
            break
        if select.select([process.stdout], [], [], None if deadline is None else max(0, deadline - time.monotonic()))[0]:
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break  # it ended by itself, which its status will tell
            output += piece
    process.send_signal(signal.SIGKILL)
    output += process.stdout.read()
    process.stdout.close()
    if process.wait() != -signal.SIGKILL:
        raise AssertionError(f"{program} ended with status {process.returncode}")
    return output.decode().split("\n")[:-1]  # what the kill cut short was not said


class StoreKillTest(unittest.TestCase):
    """The resolver's store alone, so that it can be killed often."""

    def test_two_hundred_kills(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        with tempfile.TemporaryDirectory(prefix="dotagent-kill-", dir=MEMORY) as folder:
            versions, revoked = {}, set()  # as confirmed
            confirmed = 0
            for kill in range(KILLS):
                with self.subTest(seed=seed, kill=kill):
                    lines = run_and_kill("store_writer", folder, chance)
                    self.assertIn("ready", lines)
                    confirmed += self.check(lines, versions, revoked)
            self.assertGreater(confirmed, KILLS, "it confirmed next to nothing, so that nothing could be lost")
            self.assertGreater(len(versions), 0)

    def check(self, lines, versions, revoked):
        """Compares what is held with what was confirmed before, and notes what is confirmed now. Returns how much that is."""
        start = lines.index("ready")
        held = {}
        gone = set()
        for line in lines[:start]:
            word, *rest = line.split()
            if word == "held":
                held[rest[0]] = int(rest[1])
            else:
                gone.add(int(rest[0]))
        self.assertLessEqual(revoked, gone, "a confirmed revocation is lost")
        for agent in gone - revoked:  # it was stored when the kill came, before it could be confirmed
            self.forget(agent, versions)
        revoked |= gone
        for name, version in versions.items():
            self.assertGreaterEqual(held.get(name, -1), version, f"the confirmed version of {name} is lost")
            # No more than the one write that was under way.
        self.assertLessEqual(sum(held[name] - versions.get(name, 0) for name in held), 1)
        versions.update(held)
        for line in lines[start + 1:]:
            word, *rest = line.split()
            if word == "stored":
                versions[rest[0]] = int(rest[1])
            else:
                revoked.add(int(rest[0]))
                self.forget(int(rest[0]), versions)
        return len(lines) - start - 1

    @staticmethod
    def forget(agent, versions):
        for name in [name for name in versions if int(name[1:].split(".")[0]) % 40 == agent]:
            del versions[name]


class CertificateKillTest(unittest.TestCase):
    """Identity's log of certificates alone. Whether what is held fits together, the writer checks each time it starts."""

    def test_a_hundred_kills(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        with tempfile.TemporaryDirectory(prefix="dotagent-kill-", dir=MEMORY) as folder:
            confirmed = 0
            for kill in range(CERTIFICATE_KILLS):
                with self.subTest(seed=seed, kill=kill):
                    lines = run_and_kill("certificate_writer", folder, chance)
                    self.assertIn("ready", lines)
                    start = lines.index("ready")
                    self.assertGreaterEqual(start, confirmed, "a confirmed certificate is lost")
                    confirmed = len(lines) - 1  # numbers have no gaps
            self.assertGreater(confirmed, CERTIFICATE_KILLS, "it confirmed next to nothing, so that nothing could be lost")


class ResolverKillTest(unittest.TestCase):
    """The whole resolver: names registered through it, over gRPC, while it is killed again and again."""

    def test_ten_kills(self):
        chance = random.Random(1)
        with Network(BIN) as network:
            resolver = network.service("resolver", "lone").start()
            gateway = network.service("gateway", "gateway", resolver=resolver.info["grpc"]).start()
            key = os.path.join(network.folder, "owner.pem")
            home = ["--home", os.path.join(network.folder, "home")]
            self.assertEqual(dotagent("keygen", key).returncode, 0)
            command = [os.path.join(BIN, "dotagent"), *home, "--gateway", gateway.info["grpc"], "--key", key]
            confirmed = []

            def register(name):
                return subprocess.Popen([*command, "--name", name, "register"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

            for kill in range(RESOLVER_KILLS):
                # The gateway finds the resolver again.
                wait_for(lambda: register(f"first-{kill}.agent").wait(60) == 0, f"a registration after kill {kill}")  # pylint: disable=cell-var-from-loop
                confirmed.append(f"first-{kill}.agent")
                # Several at the same time, so that the kill finds some under way.
                waiting = {name: register(name) for name in [f"kill-{kill}-{number}.agent" for number in range(6)]}
                enough = chance.randrange(1, 6)
                wait_for(lambda: sum(process.poll() is not None for process in waiting.values()) >= enough, "registrations")  # pylint: disable=cell-var-from-loop
                resolver.kill()
                confirmed += [name for name, process in waiting.items() if process.wait(60) == 0]
                resolver.restart_where_it_was()
            self.assertGreater(len(confirmed), RESOLVER_KILLS + RESOLVER_KILLS // 2)
            for name in confirmed:
                done = dotagent(*home, "resolve", "--resolver", resolver.info["grpc"], "--no-cache", name)
                self.assertEqual(done.returncode, 0, f"{name} was confirmed: {done.stderr}")


if __name__ == "__main__":
    unittest.main()
