"""Three gateways of one cluster, and agents that send and read all the time: a fourth joins, one is drained, one is killed -9 and comes back.

Every message that a gateway has confirmed arrives. Some are delivered again around a move or a kill (at least once): the agent knows them by their ids;
in the end no inbox holds anything, and each member has what is its own.
"""

import os
import re
import subprocess
import sys
import threading
import time
import urllib.request

from case import BIN, Network, free_port, wait_for

READERS = 24


def metric(gateway, name, label=""):
    """The value of a gauge or counter, of the series with this label; 0 if there is none."""
    with urllib.request.urlopen(f"http://{gateway.info['http']}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{name}{{[^}}]*{label}[^}}]*}} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


class Mail:
    """The mailer, and what it was told."""

    def __init__(self, gateways):
        self.process = subprocess.Popen([os.path.join(BIN, "cluster_mailer"), str(READERS), *[gateway.info["grpc"] for gateway in gateways]],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.sent, self.got, self.refused, self.words = set(), [], [], []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "sent":
                self.sent.add(int(rest[0]))
            elif word == "got":
                self.got.append(int(rest[0]))
            elif word == "refused":
                self.refused.append(rest)
            else:
                self.words.append(word)

    def tell(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def expect(self, word):
        def heard():
            assert self.process.poll() in (None, 0), "the mailer has failed"
            return word in self.words
        wait_for(heard, f"the mailer says {word}", 90)
        self.words.remove(word)

    def go_on(self, count=300):
        """Waits until so many more are confirmed, and so many more have come."""
        sent, got = len(self.sent) + count, len(set(self.got)) + count
        wait_for(lambda: len(self.sent) >= sent and len(set(self.got)) >= got and self.process.poll() is None, f"{count} more messages", 60)


def say(text, since=time.monotonic()):
    print(f"{time.monotonic() - since:6.1f} s  {text}", flush=True)


def main():
    with Network(BIN) as network:
        resolver = network.service("resolver", "resolver").start()
        secret = os.path.join(network.folder, "cluster.secret")
        with open(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(os.urandom(32).hex())
        first = f"/ip4/127.0.0.1/tcp/{free_port()}"

        def gateway(number):
            # All look where the first is, the last one by a name, and hear of the others from there.
            listen = first if number == 0 else "/ip4/127.0.0.1/tcp/0"
            peer = first if number < 3 else first.replace("/ip4/127.0.0.1", "/dns/localhost")
            return network.service("gateway", f"gateway-{number}", resolver=resolver.info["grpc"], p2p_listen=listen, cluster_peer=peer,
                                   cluster_secret_file=secret, cluster_down_after="2s")

        gateways = [gateway(number).start() for number in range(3)]

        def all_see(count, members):
            wait_for(lambda: all(metric(member, 'dotagent_gateway_cluster_members', 'state="active"') == count for member in members),
                     f"{count} active gateways")

        all_see(3, gateways)
        say("three gateways are a cluster")
        mail = Mail(gateways)
        mail.expect("ready")
        mail.go_on()
        relayed = sum(metric(member, "dotagent_gateway_cluster_relayed") for member in gateways)
        say(f"{READERS} agents read, {relayed:.0f} of them through another gateway than their home; {len(mail.sent)} messages are confirmed")
        assert relayed > 0, "every agent is at its home: nothing is tested"

        gateways.append(gateway(3).start())
        all_see(4, gateways)
        mail.go_on()
        # Within seconds, not at once.
        moved = wait_for(lambda: sum(metric(member, "dotagent_gateway_cluster_inboxes_moved_total") for member in gateways[:3]), "inboxes move to it")
        say(f"a fourth has joined: {moved:.0f} inboxes moved, {len(mail.refused)} messages were refused and sent again")
        mail.tell("gateways", *[member.info["grpc"] for member in gateways])
        mail.tell("register")
        mail.expect("registered")

        drained = gateways.pop(1)
        began = time.monotonic()
        drained.process.terminate()
        status = drained.process.wait(60)
        assert status == 0, f"the drained gateway ended with status {status}"
        mail.tell("gateways", *[member.info["grpc"] for member in gateways])
        all_see(3, gateways)
        mail.go_on()
        say(f"one was drained in {time.monotonic() - began:.1f} s; {len(mail.refused)} refused so far")

        killed = gateways[1]
        killed.kill()
        survivors = [gateways[0], gateways[2]]
        all_see(2, survivors)
        mail.go_on()
        say(f"one was killed, and the others have its agents; {len(mail.refused)} refused so far")
        killed.restart_where_it_was()
        all_see(3, gateways)
        mail.go_on()
        say("it is back, and has its agents again")

        mail.tell("stop")
        # Not at once: what a member has kept whose view of the others was late moves first.
        wait_for(lambda: [metric(member, "dotagent_gateway_inbox_messages") for member in gateways] == [0] * len(gateways), "all inboxes are empty")
        mail.expect("all")
        mail.tell("end")
        mail.expect("done")
        assert mail.process.wait(30) == 0
        mail.reader.join(10)
        lost = mail.sent - set(mail.got)
        assert not lost, f"confirmed, and lost: {sorted(lost)}"
        again = len(mail.got) - len(set(mail.got))
        # What was drained is empty: nothing that it had was left on its disk.
        drained.restart_where_it_was()
        assert metric(drained, "dotagent_gateway_inbox_messages") == 0, "the drained gateway has kept messages"
        say(f"{len(mail.sent)} messages confirmed, all of them delivered; {again} deliveries repeated, {len(mail.refused)} refused and sent again")

        # Who does not know the secret is no member, and takes nobody's agents.
        with open(os.open(secret + "-other", os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(os.urandom(32).hex())
        stranger = network.service("gateway", "stranger", resolver=resolver.info["grpc"], cluster_peer=first, cluster_secret_file=secret + "-other").start()
        assert metric(stranger, 'dotagent_gateway_cluster_members', 'state="up"') == 1
        assert metric(gateways[0], 'dotagent_gateway_cluster_members', 'state="up"') == 4
        say("a gateway with another secret stays alone")
        refused = subprocess.run([os.path.join(BIN, "dotagent-gateway"), "--resolver", resolver.info["grpc"], "--cluster-peer", first, "--data-dir",
                                  os.path.join(network.folder, "none")], capture_output=True, text=True, timeout=30, check=False)
        assert refused.returncode != 0 and "--cluster-secret-file" in refused.stderr, refused.stderr


if __name__ == "__main__":
    sys.exit(main())
