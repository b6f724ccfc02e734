"""kill -9 of identity in the middle of requests whose token it counts: in the end as many were taken as the token has uses, whatever had to be sent again.

Alice's gateway hands them to Bob's, which has each use counted at identity before it takes the request.
"""

import os
import random
import subprocess
import threading
import time
import unittest

from case import BIN, OK, NetworkCase, dotagent, wait_for

USES = 60
KILLS = 4
NEW_EACH_ROUND = 25
LATEST_KILL_S = 0.01  # about what eight at the same time take
RESENT = 5  # of those that were answered


class SpendingKillTest(NetworkCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        agents = cls()
        cls.dated = str(int(time.time()))
        for name, gateway in (("bob", 0), ("alice", 1)):
            agents.register(name, gateway)
        agents.run_ok(*agents.options("bob"), "inbox-policy", "capability")
        alice = agents.run_ok("id", "--key", agents.key("alice"))["public_key"]
        issued = dotagent("token", "issue", "--key", agents.key("bob"), "--to", alice, "--resource", "agent://bob.agent/calendar", "--action", "call", "--uses",
                          str(USES))
        assert issued.returncode == OK, issued.stderr
        cls.token = cls.folder / "alice.token"
        cls.token.touch(mode=0o600)
        cls.token.write_text(issued.stdout)

    def setUp(self):
        self.answers = {}  # by number: taken or refused
        self.interrupted = 0

    def hear(self, line):
        word, number = line.split()
        before = self.answers.get(number)
        if word == "unknown":
            return
        if word == "refused":
            self.assertIn(before, (None, "refused"), f"{number} was taken, and is refused")
        elif word == "taken":
            self.assertIsNone(before, f"{number} was {before}, and is taken anew")
        else:
            self.assertEqual(word, "again")
            self.assertIn(before, (None, "taken"), f"{number} was refused, and is said to have come before")
        self.answers[number] = "refused" if word == "refused" else "taken"
        # At every moment, not only in the end.
        self.assertLessEqual(self.taken(), USES)

    def taken(self):
        return sum(answer == "taken" for answer in self.answers.values())

    def spend(self, numbers, kill_after=None, kill_delay=0):
        """Sends them; kills identity once so many were answered, at some moment in the middle of the next. Returns whether it did."""
        process = subprocess.Popen([os.path.join(BIN, "spender"), self.gateways[1].info["grpc"], self.key("alice"), str(self.token), self.dated, *numbers],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        lines = iter(process.stdout.readline, "")
        self.assertEqual(next(lines, ""), "ready\n")
        answered, killing = 0, None
        for line in lines:
            self.hear(line)
            answered += not line.startswith("unknown")
            self.interrupted += killing is not None and line.startswith("unknown")
            if kill_after is not None and answered >= kill_after and killing is None:
                killing = threading.Timer(kill_delay, self.identity.kill)
                killing.start()
        process.stdout.close()
        self.assertEqual(process.wait(60), 0)
        if killing is not None:
            killing.join()
        return killing is not None

    def test_never_one_too_many_and_none_lost(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        sent = []

        def unanswered():
            return [number for number in sent if number not in self.answers]

        def all_answered():
            if unanswered():
                self.spend(unanswered())
            return not unanswered()

        with self.subTest(seed=seed):
            for kill in range(KILLS):
                sent += [str(number) for number in range(len(sent), len(sent) + NEW_EACH_ROUND)]
                kill_after = chance.randrange(1, NEW_EACH_ROUND // 2)
                kill_delay = chance.uniform(0, LATEST_KILL_S) if kill % 2 else 0

                def round_with_a_kill():
                    again = chance.sample(sorted(self.answers), min(RESENT, len(self.answers)))
                    return self.spend(unanswered() + again, kill_after, kill_delay)  # pylint: disable=cell-var-from-loop

                wait_for(round_with_a_kill, "answers in the middle of which identity is killed")
                self.identity.restart_where_it_was()
            self.assertGreater(self.interrupted, 0, "no kill came in the middle")
            wait_for(all_answered, "an answer to every request")
            self.assertEqual(self.taken(), USES)
            # And once more: every answer stays what it was.
            before = dict(self.answers)
            self.spend(sent)
            self.assertEqual(self.answers, before)
            self.assertEqual(self.inbox(), {number for number, answer in before.items() if answer == "taken"})
        print(f"{KILLS} kills of identity: {USES} uses taken of {len(sent)} requests; {self.interrupted} were interrupted.", flush=True)

    def inbox(self):
        """The numbers of the requests in Bob's inbox, none of which is there twice."""
        drained = subprocess.run([os.path.join(BIN, "mailer"), self.gateways[0].info["grpc"], str(self.folder), "drain"], capture_output=True, text=True,
                                 timeout=60, check=True)
        numbers = [line.split()[2] for line in drained.stdout.splitlines() if line.startswith("got")]
        self.assertEqual(len(numbers), len(set(numbers)), "a request is in the inbox twice")
        return set(numbers)


if __name__ == "__main__":
    unittest.main()
