"""kill -9 of a gateway in the middle of sends: what was acknowledged is there after, once, for an agent that knows a message by its id.

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


class Mail:
    """What Alice and Bob were told, over all lives of the gateway."""

    def __init__(self):
        self.begun, self.acknowledged = set(), set()
        self.sequences = {}  # by number
        self.numbers = {}  # by sequence
        self.redelivered = self.found = 0

    def hear(self, line):
        word, *rest = line.split()
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
            self.redelivered += number in self.sequences
            assert self.sequences.setdefault(number, sequence) == sequence, f"{number} is in the inbox twice"
            assert self.numbers.setdefault(sequence, number) == number, f"sequence {sequence} was given out twice"

    def unanswered(self):
        return sorted(self.begun - self.acknowledged)


def hear_all(mail, process, kill_after, kill):
    """Listens to the mailer; kills the gateway once so many sends were answered. Returns how many were, and whether it did.

    It does not if the mailer ends before: a sender's record could not be looked up, which is tried again in the next life."""
    lines = iter(process.stdout.readline, "")
    assert next(lines, "") == "ready\n", "the mailer does not connect"
    answered, held = 0, []
    for line in lines:
        if line == "done\n":
            break
        if line.startswith("got"):
            held.append(line)  # it may come before the answer to who sent it
            continue
        mail.hear(line)
        answered += not line.startswith("begun")
        if kill is not None and answered >= kill_after:
            kill()
            kill = None
    for line in held:
        mail.hear(line)
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
            process = mailer(alices.info["grpc"], bobs.info["grpc"], network.folder, chance.choice(("ack", "keep")), dated, first, IN_FLIGHT, *again)
            killed = chance.choice((alices, bobs))
            count, was_killed = hear_all(mail, process, chance.randint(1, MOST_ANSWERED), killed.kill)
            answered += count
            if was_killed:
                killings += 1
                killed.restart_where_it_was()
        hear_all(mail, mailer(bobs.info["grpc"], network.folder, "drain"), 0, None)
    lost = mail.acknowledged - set(mail.sequences)
    assert not lost, f"acknowledged, and lost: {sorted(lost)}"
    assert set(mail.sequences) <= mail.begun
    assert answered >= kills, "next to nothing was acknowledged, so that nothing could be lost"
    print(f"{kills} kills of {'either of two gateways' if two else 'one gateway'}: {len(mail.acknowledged)} messages acknowledged, each of them delivered under "
          f"one sequence; {mail.redelivered} deliveries repeated; {mail.found} had been written when a kill came before their answer. "
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
