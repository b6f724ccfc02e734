"""Uses of capability tokens while identity's counting is killed again and again: never one too many, and each confirmed one counted.

`python3 uses_test.py --redemptions 1000000 --kills 20` is the full form (make redemptions); ctest runs a short one.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from case import BIN

COUNTERS, SHARED = 64, 4
IN_FLIGHT = 4096


class Ledger:
    """What the writer has said over all its lives."""

    def __init__(self, redemptions):
        self.answers = {}  # number of the redemption: taken or refused
        self.end = redemptions
        # Fewer uses than redemptions: counters with odd numbers run out by themselves, the others with what they share.
        self.uses, self.shared_uses = redemptions // COUNTERS * 3 // 8, redemptions // SHARED // 2
        self.found = 0  # taken before a kill that came before the answer
        self.highest = -1

    def hear(self, line):
        word, number = line.split()
        number = int(number)
        before = self.answers.get(number)
        if word == "taken":
            assert before is None, f"{number} was {before}, and is taken anew"
        elif word == "repeated":
            assert before in (None, "taken"), f"{number} was {before}, and is said to have been taken before"
            self.found += before is None
        else:
            assert word == "refused" and before in (None, "refused"), f"{number} was {before}, and is refused"
        self.answers[number] = "refused" if word == "refused" else "taken"
        self.highest = max(self.highest, number)

    def check(self):
        own, shared = [0] * COUNTERS, [0] * SHARED
        for number, answer in self.answers.items():
            if answer == "taken":
                own[number % COUNTERS] += 1
                shared[number % SHARED] += 1
        allowed = [self.uses * (2 if number % 2 == 0 else 1) for number in range(COUNTERS)]
        assert all(used <= most for used, most in zip(own, allowed)), f"too many uses: {own} of {allowed}"
        assert max(shared) <= self.shared_uses, f"too many uses: {shared} of {self.shared_uses}"
        if len(self.answers) == self.end:
            # All that was to be had was taken, so nothing was lost.
            assert own[1::2] == allowed[1::2], f"uses were lost: {own} of {allowed}"
            assert shared[0::2] == [self.shared_uses] * 2, f"uses were lost: {shared} of {self.shared_uses}"
        return sum(own)


def life(ledger, folder, first, kill_after):
    """Runs the writer; kills it once it has answered so many; True if it came to its end."""
    process = subprocess.Popen([os.path.join(BIN, "use_writer"), folder, *map(str, (first, ledger.end, ledger.uses, ledger.shared_uses, IN_FLIGHT))],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    answered = 0
    lines = iter(process.stdout.readline, "")
    assert next(lines, "") == "ready\n", "the writer does not open its store"
    for line in lines:
        if line == "done\n":
            assert process.wait() == 0
            process.stdout.close()
            return True
        if not line.endswith("\n"):
            break  # cut short by the kill
        ledger.hear(line)
        answered += 1
        if answered == kill_after:
            process.send_signal(signal.SIGKILL)
    process.stdout.close()
    status = process.wait()
    assert status == -signal.SIGKILL, f"the writer ended with status {status}"
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redemptions", type=int, default=40_000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, ledger, kills = random.Random(options.seed), Ledger(options.redemptions), 0
    folder = tempfile.mkdtemp(prefix="dotagent-uses-")
    started = time.monotonic()
    try:
        first, ended = 0, False
        while not ended:
            rest = options.redemptions - first
            kill_after = chance.randint(1, max(1, min(2 * rest // (options.kills - kills + 1), rest * 9 // 10))) if kills < options.kills else None
            ended = life(ledger, folder, first, kill_after)
            if not ended:
                kills += 1
                ledger.check()
                # What may have been under way is asked for again, and some of what was answered too.
                first = max(0, ledger.highest - 2 * IN_FLIGHT)
        # And all of it once more: every answer stays what it was.
        assert life(ledger, folder, 0, None)
        taken = ledger.check()
    finally:
        shutil.rmtree(folder)
    assert len(ledger.answers) == options.redemptions
    print(f"{options.redemptions} redemptions, {kills} kills: {taken} uses taken, as many as there were, none twice; {ledger.found} had been written when a kill "
          f"came before their answer. {time.monotonic() - started:.0f} s")
    if kills < options.kills:
        sys.exit(f"it came to its end after {kills} kills only")


if __name__ == "__main__":
    main()
