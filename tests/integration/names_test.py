"""Resolving names: several at once, through a gateway and at a resolver itself, and what the answers say."""

import json
import unittest

from case import NOT_FOUND, OK, USAGE, NetworkCase, dotagent


class NamesTest(NetworkCase):
    def resolver(self, number=2):
        return ["--home", str(self.folder / "home"), "resolve", "--resolver", self.resolvers[number].info["grpc"]]

    def test_answers_say_where_they_came_from_and_what_speaks_for_them(self):
        self.register("origin")
        first = self.run_ok(*self.resolver(), "--no-cache", "origin.agent")
        self.assertIn(first["source"], ("store", "dht"))
        self.assertGreaterEqual(first["agreeing_nodes"], 1)
        self.assertFalse(first["stale"])
        again = self.run_ok(*self.resolver(), "origin.agent")
        self.assertEqual((again["source"], again["hops"], again["messages"]), ("cache", 0, 0))
        self.assertLessEqual(again["remaining_ttl_s"], 300)
        self.assertEqual(again["record"], first["record"])
        listed = self.run_ok(*self.resolver(), "--receipts", "origin.agent")
        self.assertEqual(len(listed["receipt_list"]), listed["receipts"])
        through_gateway = self.run_ok(*self.options("asker"), "resolve", "origin.agent")
        for member in ("stale", "remaining_ttl_s", "hops", "messages", "paths_agreed", "agreeing_nodes", "receipts"):
            self.assertIn(member, through_gateway)

    def test_several_names_at_once(self):
        self.register("several-1")
        self.register("several-2")
        names = ["several-1.agent", "nobody.agent", "several-2.agent"]
        for command in (self.resolver(), [*self.options("asker"), "resolve"]):
            done = dotagent("--json", *command, *names)
            self.assertEqual(done.returncode, NOT_FOUND, done.stderr)
            results = json.loads(done.stdout)["results"]
            self.assertEqual([result["name"] for result in results], names)
            self.assertEqual(results[1]["reason"], "NAME_NOT_FOUND")
            self.assertIn("record", results[2])
            done = dotagent(*command, *names)
            self.assertEqual(done.returncode, NOT_FOUND)
            self.assertEqual(len(done.stdout.splitlines()), 3, done.stdout)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        # More than one batch.
        done = dotagent("--json", *self.resolver(), *["several-1.agent"] * 150)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["results"]), 150)

    def test_an_operator_accepts_a_new_owner_at_a_resolver_and_nowhere_else(self):
        self.register("accepted")
        self.assertEqual(self.run_ok(*self.resolver(), "--accept-new-owner", "accepted.agent")["name"], "accepted.agent")
        self.run_refused(USAGE, "one name at a time", *self.resolver(), "--accept-new-owner", "accepted.agent", "origin.agent")
        self.run_refused(USAGE, "--resolver", *self.options("asker"), "resolve", "--accept-new-owner", "accepted.agent")

    def test_a_listener_renews_its_name(self):
        """Its record runs out in a minute; the listener signs it anew before."""
        self.run_ok(*self.options("renewed"), "register", "--ttl", "60")
        before = self.run_ok(*self.resolver(), "--no-cache", "renewed.agent")
        process = self.listen("renewed")
        event = json.loads(process.stdout.readline())
        self.assertEqual(event["event"], "renewed", event)
        after = self.run_ok(*self.resolver(), "--no-cache", "renewed.agent")
        self.assertGreater(after["timestamp"], before["timestamp"])
        self.assertEqual(after["addresses"], before["addresses"])


if __name__ == "__main__":
    unittest.main()
