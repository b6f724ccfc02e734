"""What a network refuses: each time one line that says what to do, and an exit status that tells the cases apart."""

import json
import os
import unittest

from case import NOT_FOUND, REFUSED, UNREACHABLE, USAGE, NetworkCase, dotagent, flip, free_port, zero_signature


class RefusalsTest(NetworkCase):
    def signed_record(self, name, *arguments):
        info = dotagent("--json", "status", "--gateway", self.gateways[0].info["grpc"], "--home", str(self.folder / "home"))
        self.assertEqual(info.returncode, 0, info.stderr)
        done = dotagent(*self.options(name), "record", "sign", "--address", self.gateways[0].info["p2p"][0], *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refuse_record(self, name, text, fragment, status=REFUSED):
        path = self.folder / f"{name}.json"
        path.write_text(text)
        self.run_refused(status, fragment, *self.options(name), "register", "--record", str(path))

    def test_records_that_break_a_rule(self):
        good = self.signed_record("rules")
        self.refuse_record("rules", flip(good, "ttl", lambda ttl: ttl + 1), "signature")
        self.refuse_record("rules", flip(good, "signature", zero_signature), "signature")
        self.refuse_record("rules", self.signed_record("rules", "--now", "2020-01-01T00:00:00Z"), "7 days")
        self.refuse_record("rules", self.signed_record("rules", "--now", "2099-01-01T00:00:00Z"), "5 minutes")
        self.refuse_record("rules", good + " " * 9000, "8192")
        self.refuse_record("rules", "not json", "JSON")

    def test_a_record_of_another_key(self):
        self.refuse_record("thief", self.signed_record("owner"), "key")

    def test_a_name_that_is_taken(self):
        self.register("taken")
        impostor = self.key("impostor")
        self.run_refused(REFUSED, "taken.agent", *self.options("taken", 1)[:-1], impostor, "register")
        # The owner still holds it, and may refresh it.
        self.register("taken")

    def test_names_that_are_none(self):
        for name in ("alice", "alice.agents", "-a.agent", "a..agent", "a_b.agent", "x" * 64 + ".agent", ".agent", "ä.agent"):
            with self.subTest(name):
                self.run_refused(USAGE, "name", *self.options("caller"), "resolve", "--", name)

    def test_unknown_names(self):
        self.register("caller")
        for command in (["resolve", "nobody.agent"], ["send", "nobody.agent", "hello"], ["channel", "nobody.agent"]):
            with self.subTest(command):
                self.run_refused(NOT_FOUND, "nobody.agent", *self.options("caller"), *command)

    def test_a_recipient_that_does_not_listen(self):
        self.register("caller")
        self.register("asleep", 1)
        self.run_refused(UNREACHABLE, "asleep.agent", *self.options("caller"), "channel", "asleep.agent")

    def test_messages_of_somebody_else(self):
        self.register("owner")
        self.register("asleep", 1)
        # The thief's key does not hold the name that it claims.
        self.run_refused(REFUSED, "owner.agent", *self.options("owner")[:-1], self.key("thief"), "send", "asleep.agent", "hello")
        # Nor may it read the inbox.
        self.run_refused(REFUSED, "asleep.agent", *self.options("asleep", 1)[:-1], self.key("thief"), "listen")

    def test_key_files(self):
        path = self.folder / "bad.pem"
        options = self.options("caller")[:-1]
        path.write_text("not a key")
        path.chmod(0o600)
        self.run_refused(USAGE, "bad.pem", *options, str(path), "register")
        path.write_text((self.folder / "caller.pem").read_text())
        path.chmod(0o644)
        self.run_refused(USAGE, "chmod 600", *options, str(path), "register")
        self.run_refused(USAGE, "missing.pem", *options, str(self.folder / "missing.pem"), "register")
        self.run_refused(USAGE, "keygen", *options[:-1], "register")
        self.run_refused(REFUSED, "exists", "keygen", str(self.folder / "caller.pem"))

    def test_a_gateway_that_is_not_there(self):
        options = self.options("caller")
        options[1] = f"127.0.0.1:{free_port()}"
        self.run_refused(UNREACHABLE, options[1], *options, "resolve", "bob.agent")
        options[1] = "nowhere"
        self.run_refused(USAGE, "host:port", *options, "resolve", "bob.agent")

    def test_a_gateway_whose_key_has_changed(self):
        home = self.folder / "other-home"
        home.mkdir()
        (home / "known_nodes").write_text(f"{self.gateways[0].info['grpc']} {self.gateways[1].info['peer_id']}\n")
        options = self.options("caller")
        options[options.index("--home") + 1] = str(home)
        self.run_refused(REFUSED, "known_nodes", *options, "resolve", "bob.agent")
        # Said outright, a peer id is checked too.
        options = self.options("caller")
        options[1] = f"{self.gateways[1].info['peer_id']}@{options[1]}"
        self.run_refused(REFUSED, self.gateways[0].info["peer_id"], *options, "resolve", "bob.agent")

    def test_the_errors_of_json_users(self):
        # Standard output stays clean for a program that reads it.
        done = dotagent("--json", *self.options("caller"), "resolve", "nobody.agent")
        self.assertEqual((done.returncode, done.stdout), (NOT_FOUND, ""))
        self.assertTrue(json.loads(dotagent("--json", *self.options("caller"), "id").stdout)["peer_id"])
        self.assertTrue(os.path.exists(self.folder / "home" / "known_nodes"))


if __name__ == "__main__":
    unittest.main()
