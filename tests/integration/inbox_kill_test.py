"""kill -9 of a gateway in the middle of sends: what Alice's gateway has confirmed is there after, once, for an agent that knows a message by its id; and
what Bob has acknowledged does not come again, but for what his gateway may not have written when it was killed itself.

First one gateway that is both Alice's and Bob's, then two, of which now hers, now his is killed. `python3 inbox_kill_test.py --kills 200` is the full form
(make kills), with so many kills of each kind; ctest runs a short one.
"""

import argparse
import os
import random
import subprocess
import time

from case import BIN, Network, dotagent, wait_for

IN_FLIGHT = 32
MOST_ANSWERED = 400  # before a kill
RESENT = 20  # of those that were acknowledged
WINDOW = 64  # messages that a gateway has out unacknowledged, at most: docs/protocol.md, Inbox


class Acks:
    """Which of Bob's acknowledgements, in one life of his gateway, are on disk for sure.

    His gateway hands nothing out while WINDOW messages are unacknowledged: it has worked off all but so many of the acknowledgements for what Bob has. It
    writes in order, and hands a message out once that is on disk: then so is what it had worked off before Alice began to send it.
    """

    def __init__(self, known):
        self.known = known  # numbers that were begun before this life: they may have waited on disk all along
        self.acked, self.begun, self.written = [], {}, 0

    def hear(self, line):
        word, *rest = line.split()
        if word == "begun" and int(rest[0]) not in self.known:
            self.begun.setdefault(rest[0], max(0, len(self.acked) - WINDOW))
        elif word == "acked":
            self.acked.append(int(rest[0]))
        elif word == "got":
            self.written = max(self.written, self.begun.get(rest[1], 0))
        elif word == "settled":
            self.written = len(self.acked)


class Mail:
    """What Alice and Bob were told, over all lives of the gateway."""

    def __init__(self):
        self.begun, self.acknowledged = set(), set()
        self.sequences = {}  # by number
        self.numbers = {}  # by sequence
        self.redelivered = self.found = self.repeated = 0
        self.forgotten = set()  # sequences that Bob's gateway has written off: they must not come again
        self.acked_ever = set()

    def hear(self, line):
        word, *rest = line.split()
        if word in ("acked", "settled"):
            return
        number = int(rest[-1])
        if word == "begun":
            self.begun.add(number)
        elif word == "sent":
            assert number not in self.acknowledged, f"{number} had been acknowledged, and is taken anew"
            assert number not in self.sequences, f"{number} had been delivered, and is taken anew"
            self.acknowledged.add(number)
        elif word == "again":
            self.found += number not in self.acknowledged  # written before a kill that came before the answer
            self.acknowledged.add(number)
        else:
            assert word == "got", line
            sequence = int(rest[0])
            assert sequence not in self.forgotten, f"{number} was acknowledged as {sequence}, and has come again"
            self.redelivered += number in self.sequences
            self.repeated += sequence in self.acked_ever
            assert self.sequences.setdefault(number, sequence) == sequence, f"{number} is in the inbox twice"
            assert self.numbers.setdefault(sequence, number) == number, f"sequence {sequence} was given out twice"

    def end_life(self, acks):
        self.acked_ever.update(acks.acked)
        self.forgotten.update(acks.acked[:acks.written])

    def unanswered(self):
        return sorted(self.begun - self.acknowledged)


def hear_all(mail, process, kill_after, kill):
    """Listens to the mailer; kills the gateway once so many sends were answered. Returns how many were, and whether it did.

    It does not if the mailer ends before: a sender's record could not be looked up, which is tried again in the next life."""
    lines = iter(process.stdout.readline, "")
    assert next(lines, "") == "ready\n", "the mailer does not connect"
    answered, held, acks = 0, [], Acks(frozenset(mail.begun))
    for line in lines:
        if line == "done\n":
            break
        acks.hear(line)
        if line.startswith("got"):
            held.append(line)  # it may come before the answer to who sent it
            continue
        mail.hear(line)
        answered += line.startswith(("sent", "again"))
        if kill is not None and answered >= kill_after:
            kill()
            kill = None
    for line in held:
        mail.hear(line)
    mail.end_life(acks)
    process.stdout.close()
    assert process.wait(60) == 0, f"the mailer ended with status {process.returncode}"
    return answered, kill is None


def mailer(*arguments):
    return subprocess.Popen([os.path.join(BIN, "mailer"), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def register(gateway, folder, name):
    key = os.path.join(folder, f"{name}.pem")
    assert os.path.exists(key) or dotagent("keygen", key).returncode == 0

    def registered():
        done = dotagent("--home", os.path.join(folder, "home"), "--gateway", gateway.info["grpc"], "--name", f"{name}.agent", "--key", key, "register")
        return done.returncode == 0

    wait_for(registered, f"{name} is registered")


def run(kills, chance, two):
    """Alice and Bob at one gateway, or each at one."""
    mail, answered, started, dated = Mail(), 0, time.monotonic(), int(time.time())
    with Network(BIN) as network:
        resolver = network.service("resolver", "resolver").start()

        def start(name):
            return network.service("gateway", name, resolver=resolver.info["grpc"], max_inbox_messages="1000000", max_deliveries="0").start()

        alices = start("alices")
        bobs = start("bobs") if two else alices
        for gateway, name in ((alices, "alice"), (bobs, "bob")):
            register(gateway, network.folder, name)
        killings = lives = 0
        while killings < kills:
            lives += 1
            assert lives <= kills + 5 + kills // 10, "the mailer ends by itself too often"
            # What was not answered is sent again, and some of what was.
            again = mail.unanswered() + chance.sample(sorted(mail.acknowledged), min(RESENT, len(mail.acknowledged)))
            first = max(mail.begun, default=0) + 1
            # The first life says something of acknowledgements whatever the seed.
            mode, killed = ("ack", alices) if lives == 1 else (chance.choice(("ack", "keep")), chance.choice((alices, bobs)))
            process = mailer(alices.info["grpc"], bobs.info["grpc"], network.folder, mode, dated, first, IN_FLIGHT, *again)
            count, was_killed = hear_all(mail, process, MOST_ANSWERED if lives == 1 else chance.randint(1, MOST_ANSWERED), killed.kill)
            answered += count
            if was_killed:
                killings += 1
                killed.restart_where_it_was()
        hear_all(mail, mailer(bobs.info["grpc"], network.folder, "drain"), 0, None)
    lost = mail.acknowledged - set(mail.sequences)
    assert not lost, f"acknowledged, and lost: {sorted(lost)}"
    assert set(mail.sequences) <= mail.begun
    assert mail.forgotten, "no acknowledgement was written for sure, so that none could be forgotten"
    assert answered >= kills, "next to nothing was acknowledged, so that nothing could be lost"
    print(f"{kills} kills of {'either of two gateways' if two else 'one gateway'}: {len(mail.acknowledged)} messages acknowledged, each of them delivered under "
          f"one sequence; {mail.redelivered} deliveries repeated, {mail.repeated} of what Bob had acknowledged a moment before his gateway was killed; none of "
          f"{len(mail.forgotten)} acknowledgements that were on disk was in vain; {mail.found} had been written when a kill came before their answer. "
          f"{time.monotonic() - started:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    run(options.kills, chance, two=False)
    run(options.kills, chance, two=True)


if __name__ == "__main__":
    main()
