"""Revocations while identity and those who follow it are killed again and again: what was confirmed is refused everywhere, for good."""

import os
import random
import subprocess
import unittest

from case import BIN, OK, NetworkCase, dotagent, wait_for

ROUNDS = 4
AGENTS = 5  # a round, of which the kill finds some under way


class RevocationsTest(NetworkCase):
    """Who has an agent's revocation confirmed may rely on it, whoever crashes in between."""

    RESOLVERS = 2

    def revoke(self, name):
        """In the background: it may be refused, or find nobody."""
        command = [os.path.join(BIN, "dotagent"), *self.options(name), "revoke"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def refused(self, name, gateway):
        return "has been revoked" in dotagent(*self.options(name, gateway), "register").stderr

    def test_what_was_confirmed_is_refused_whoever_is_killed(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        for turn in range(ROUNDS):
            with self.subTest(seed=seed, turn=turn):
                names = [f"agent-{turn}-{number}" for number in range(AGENTS)]
                for name in names:
                    self.register(name)
                victim = (self.identity, self.gateways[0], self.resolvers[1], self.identity)[turn]
                waiting = {name: self.revoke(name) for name in names}
                enough = chance.randrange(1, AGENTS)
                wait_for(lambda: sum(process.poll() is not None for process in waiting.values()) >= enough, "revocations")  # pylint: disable=cell-var-from-loop
                victim.kill()
                confirmed = [name for name, process in waiting.items() if process.wait(60) == OK]
                victim.restart_where_it_was()
                self.assertTrue(confirmed, "nothing was confirmed before the kill, so that nothing could be lost")
                for name in confirmed:
                    for gateway in range(2):
                        wait_for(lambda: self.refused(name, gateway), f"{name} is refused at gateway {gateway}")  # pylint: disable=cell-var-from-loop
                # Whoever was not confirmed asks again, and gets through.
                for name in set(names) - set(confirmed):
                    wait_for(lambda: self.revoke(name).wait(60) == OK, f"{name} is revoked")  # pylint: disable=cell-var-from-loop
                    wait_for(lambda: self.refused(name, 1), f"{name} is refused")  # pylint: disable=cell-var-from-loop


if __name__ == "__main__":
    unittest.main()
