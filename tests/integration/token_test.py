"""Capability tokens through the command: issued, handed on, shown, checked; what breaks a rule is exit status 1 and one line that says which."""

import base64
import json
import pathlib
import subprocess
import tempfile
import unittest

from case import BIN, FAILED, OK, REFUSED, USAGE, NetworkCase, dotagent, wait_for

CALENDAR = "agent://bob.agent/calendar"


class TokenTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="dotagent-tokens-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.keys = {}
        for name in ("bob", "alice", "carol"):
            made = dotagent("--json", "keygen", str(cls.folder / f"{name}.pem"))
            cls.keys[name] = json.loads(made.stdout)["public_key"]
        cls.alices = cls.run_ok("issue", *cls.key("bob"), "--to", cls.keys["alice"], "--resource", CALENDAR, "--action", "read", "--action", "call", "--uses",
                                "10")
        cls.carols = cls.run_ok("delegate", "-", *cls.key("alice"), "--to", cls.keys["carol"], "--action", "call", "--resource", CALENDAR + "/events",
                                "--expires-in", "1h", stdin=cls.alices)

    @classmethod
    def key(cls, name):
        return ["--key", str(cls.folder / f"{name}.pem")]

    @staticmethod
    def run_ok(*arguments, stdin=""):
        done = dotagent("token", *arguments, stdin=stdin)
        assert done.returncode == OK, done.stderr
        return done.stdout

    def verify(self, token, presenter, resource=CALENDAR + "/events", action="call", owner="bob", *more):
        return dotagent("token", "verify", "-", "--owner", self.keys[owner], "--presenter", self.keys[presenter], "--resource", resource, "--action", action,
                        *more, stdin=token)

    def assert_invalid(self, done, fragment):
        self.assertEqual(done.returncode, FAILED, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn(fragment, done.stderr)

    def test_allows_its_holder_what_it_covers(self):
        self.assertEqual(self.verify(self.alices, "alice", CALENDAR, "read").returncode, OK)
        self.assertEqual(self.verify(self.carols, "carol", CALENDAR + "/events/7").returncode, OK)

    def test_allows_nothing_else(self):
        self.assert_invalid(self.verify(self.carols, "carol", action="read"), "allows call on agent://bob.agent/calendar/events, but not read")
        self.assert_invalid(self.verify(self.carols, "carol", CALENDAR), "not below")
        self.assert_invalid(self.verify(self.carols, "alice"), "another key")
        self.assert_invalid(self.verify(self.carols, "carol", owner="alice"), "not signed by the key that owns bob.agent")
        self.assert_invalid(self.verify(self.carols, "carol", CALENDAR + "/events", "call", "bob", "--now", "2124-01-01T00:00:00Z"), "ended")
        self.assert_invalid(self.verify(self.carols, "carol", CALENDAR + "/events", "call", "bob", "--now", "2024-01-01T00:00:00Z"), "holds from")

    def test_says_why_as_json(self):
        done = dotagent("--json", "token", "verify", "-", "--owner", self.keys["bob"], "--presenter", self.keys["carol"], "--resource", CALENDAR, "--action",
                        "call", stdin=self.carols)
        self.assertEqual(done.returncode, FAILED)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["valid"], answer["reason"]), (False, "NOT_COVERED"))

    def test_inspect_prints_a_tree(self):
        lines = self.run_ok("inspect", "-", stdin=self.carols).splitlines()
        self.assertEqual(lines[0], f"agent://bob.agent  signed by {self.keys['bob']}")
        self.assertEqual(lines[1], f"└─ 1. to {self.keys['alice']}")
        self.assertEqual(lines[2], f"   │  call, read on {CALENDAR}")
        self.assertIn("10 uses", lines[3])
        self.assertEqual(lines[5], f"   └─ 2. to {self.keys['carol']}")
        self.assertEqual(lines[6], f"         call on {CALENDAR}/events")
        self.assertTrue(lines[-1].startswith("The chain is valid until "), lines[-1])

    def test_inspect_as_json(self):
        blocks = json.loads(self.run_ok("--json", "inspect", "-", stdin=self.carols))["blocks"]
        self.assertEqual([block["issuer"] for block in blocks], [self.keys["bob"], self.keys["alice"]])
        self.assertEqual([block["audience"] for block in blocks], [self.keys["alice"], self.keys["carol"]])
        self.assertEqual(blocks[0]["actions"], ["call", "read"])
        self.assertEqual(blocks[1]["max_uses"], 10)

    def test_issue_and_delegate_as_json(self):
        resource = f"{CALENDAR}/events"
        issued = json.loads(self.run_ok("--json", "issue", *self.key("bob"), "--to", self.keys["alice"], "--resource", CALENDAR, "--action", "call", "--uses",
                                        "3", "--expires-in", "2h"))
        delegated = json.loads(self.run_ok("--json", "delegate", "-", *self.key("alice"), "--to", self.keys["carol"], "--resource", resource, "--expires-in",
                                           "1h", stdin=issued["token"]))
        self.assertEqual(self.verify(issued["token"], "alice", CALENDAR).returncode, OK)
        self.assertEqual(self.verify(delegated["token"], "carol", resource).returncode, OK)
        blocks = json.loads(self.run_ok("--json", "inspect", "-", stdin=delegated["token"]))["blocks"]
        self.assertEqual(len(blocks), 2)
        for told, block in ((issued, blocks[0]), (delegated, blocks[1])):
            self.assertEqual(set(told), {"token", "id", "expires"})
            self.assertEqual((told["id"], told["expires"]), (block["id"], block["expires"]))
        self.assertEqual([block["resource"] for block in blocks], [CALENDAR, resource])

    def test_bytes_do_as_well(self):
        path = self.folder / "alice.bin"
        path.write_bytes(base64.b64decode(self.alices))
        self.assertEqual(self.run_ok("inspect", str(path)), self.run_ok("inspect", "-", stdin=self.alices))

    def test_widening_is_refused(self):
        for more, fragment in ((["--resource", "agent://bob.agent"], "resource"), (["--action", "delete"], "action"), (["--uses", "11"], "uses"),
                               (["--expires-in", "48h"], "times")):
            done = dotagent("token", "delegate", "-", *self.key("alice"), "--to", self.keys["carol"], *more, stdin=self.alices)
            self.assertEqual(done.returncode, REFUSED, done.stdout + done.stderr)
            self.assertIn(fragment, done.stderr)

    def test_only_the_holder_delegates(self):
        done = dotagent("token", "delegate", "-", *self.key("bob"), "--to", self.keys["carol"], stdin=self.alices)
        self.assertEqual(done.returncode, REFUSED)
        self.assertIn("another key", done.stderr)

    def test_broken_tokens(self):
        token = base64.b64decode(self.carols)
        for broken, fragment in ((token[:-1], "cut"), (token[:-1] + bytes([token[-1] ^ 1]), "signature"), (b"hello\n", "does not know"), (b"\x12\x00", "does not know"), (b"\x08\x00", "form"), (b"", "at least one"),
                                 (token + b"\x50\x01", "does not know"), (bytes(8193), "8192")):
            self.assert_invalid(dotagent("token", "inspect", "-", stdin=base64.b64encode(broken).decode()), fragment)

    def test_wrong_usage(self):
        self.assertEqual(dotagent("token", "issue", *self.key("bob"), "--to", "xyz", "--resource", CALENDAR, "--action", "call").returncode, USAGE)
        self.assertEqual(dotagent("token", "issue", *self.key("bob"), "--to", self.keys["alice"]).returncode, USAGE)
        self.assertEqual(dotagent("token", "inspect", str(self.folder / "none")).returncode, USAGE)
        for command in ("issue", "delegate", "inspect", "verify"):
            self.assertIn("Examples:", dotagent("token", command, "--help").stdout)


class TokenNetworkTest(NetworkCase):
    """Bob at one gateway, Carol at the other: what Bob lets her do, how often, and until when he takes it back."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = cls()
        cls.keys = {}
        for name, gateway in (("bob", 0), ("alice", 0), ("carol", 1)):
            cls.agents.register(name, gateway)
            cls.keys[name] = cls.agents.run_ok("id", "--key", cls.agents.key(name))["public_key"]

    def policy(self, *arguments):
        self.run_ok(*self.options("bob"), "inbox-policy", *arguments)

    def token(self, name, *arguments):
        """A file with a token of Bob's for that agent."""
        path = self.folder / f"{name}-{len(list(self.folder.glob('*.token')))}.token"
        done = dotagent("token", "issue", "--key", self.key("bob"), "--to", self.keys[name], "--resource", "agent://bob.agent/calendar", "--action", "call",
                        *arguments)
        self.assertEqual(done.returncode, OK, done.stderr)
        path.write_text(done.stdout)
        return path

    def request(self, name, method, *more):
        return dotagent(*self.options(name, 1 if name == "carol" else 0), "send", "bob.agent", "--type", "REQUEST", "--content",
                        json.dumps({"method": method}), *more)

    def assert_refused(self, done, fragment):
        self.assertEqual(done.returncode, REFUSED, done.stdout + done.stderr)
        self.assertIn(fragment, done.stderr)

    def test_contacts(self):
        self.policy("contacts", "--contact", "alice.agent")
        self.assertEqual(self.request("alice", "mail").returncode, OK)
        self.assert_refused(self.request("carol", "mail"), "contacts only")

    def test_guarded_method(self):
        self.policy("open", "--guard", "calendar")
        self.assertEqual(self.request("carol", "mail").returncode, OK)
        self.assert_refused(self.request("carol", "calendar/events"), "asks for a capability token")
        token = self.token("carol")
        self.assertEqual(self.request("carol", "calendar/events", "--token", str(token)).returncode, OK)
        self.assert_refused(self.request("alice", "calendar/events", "--token", str(token)), "another key")

    def test_uses_are_counted_at_identity(self):
        self.policy("capability")
        token = self.token("carol", "--uses", "2")
        for _ in range(2):
            self.assertEqual(self.request("carol", "calendar", "--token", str(token)).returncode, OK)
        self.assert_refused(self.request("carol", "calendar", "--token", str(token)), "used up")

    def channel(self, name, *more, stdin="hello"):
        return dotagent("--json", *self.options(name, 1 if name == "carol" else 0), "channel", "bob.agent", *more, stdin=stdin)

    @staticmethod
    def next_channel(listener):
        """What the listener says of the next channel; messages of other tests may come before."""
        while True:
            event = json.loads(listener.stdout.readline())
            if event["event"] == "channel":
                return event

    def test_channels_keep_to_the_policy(self):
        listener = self.listen("bob", 0, "--channels", "echo")
        self.policy("contacts", "--contact", "alice.agent")
        self.assertEqual(json.loads(self.channel("alice").stdout)["answer"], "hello")
        self.assert_refused(self.channel("carol"), "contacts only")
        self.policy("open", "--guard", "calendar")
        self.assertEqual(self.channel("carol").returncode, OK)
        self.assert_refused(self.channel("carol", "--method", "calendar/events"), "asks for a capability token that allows channel")
        calls, channels = self.token("carol"), self.token("carol", "--action", "channel", "--uses", "1")
        self.assert_refused(self.channel("carol", "--method", "calendar", "--token", str(calls)), "not channel")
        self.assertEqual(self.channel("carol", "--method", "calendar/events", "--token", str(channels)).returncode, OK)
        self.assert_refused(self.channel("carol", "--method", "calendar/events", "--token", str(channels)), "used up")
        listener.kill()

    def test_a_listener_checks_tokens_itself(self):
        self.policy("open")
        listener = self.listen("bob", 0, "--channels", "echo", "--require-token")
        token = self.token("carol", "--action", "channel")
        self.assertEqual(self.channel("carol", "--method", "calendar", "--token", str(token)).returncode, OK)
        taken = self.next_channel(listener)
        self.assertEqual((taken["caller"], taken["method"]), ("carol.agent", "calendar"))
        caller = self.network.dotagent_in_background(*self.options("carol", 1), "channel", "bob.agent")
        refused = self.next_channel(listener)
        self.assertEqual(refused["reason"], "TOKEN_REQUIRED")
        for process in (caller, listener):
            process.kill()

    def test_revoked_token_ends_its_channel(self):
        self.policy("capability")
        listener = self.listen("bob", 0, "--channels", "echo")
        token = self.token("carol", "--action", "channel")
        caller = self.network.dotagent_in_background(*self.options("carol", 1), "channel", "bob.agent", "--method", "calendar", "--token", str(token))
        self.assertIn("open", caller.stderr.readline())
        self.run_ok(*self.options("bob"), "token", "revoke", str(token))
        self.assertEqual(caller.wait(20), REFUSED)
        ended = self.next_channel(listener)
        self.assertEqual(ended["reason"], "TOKEN_REVOKED")
        listener.kill()

    def test_revoked_block_is_refused_at_the_gateway(self):
        self.policy("capability")
        alices = self.token("alice")
        carols = self.folder / "handed-on.token"
        carols.write_text(dotagent("token", "delegate", str(alices), "--key", self.key("alice"), "--to", self.keys["carol"]).stdout)
        self.assertEqual(self.request("carol", "calendar", "--token", str(carols)).returncode, OK)
        # Not by its holder; by who issued the block before.
        stranger = dotagent(*self.options("carol"), "token", "revoke", str(carols))
        self.assert_refused(stranger, "none of them")
        self.run_ok(*self.options("bob"), "token", "revoke", str(carols), "--reason", "project over")
        wait_for(lambda: self.request("carol", "calendar", "--token", str(carols)).returncode == REFUSED, "the revocation at the gateway")
        self.assert_refused(self.request("carol", "calendar", "--token", str(carols)), "revoked")
        self.assertEqual(self.request("alice", "calendar", "--token", str(alices)).returncode, OK)

    def test_a_revoked_block_is_refused_at_both_gateways_of_its_identity(self):
        """Bob's inbox moves from one to the other and back; told once, both know."""
        self.register("roamer", 0)
        token = self.folder / "roamer.token"
        token.write_text(dotagent("token", "issue", "--key", self.key("roamer"), "--to", self.keys["carol"], "--resource", "agent://roamer.agent", "--action",
                                  "call").stdout)

        def ask():
            return dotagent(*self.options("carol", 1), "send", "roamer.agent", "--type", "REQUEST", "--token", str(token))

        def policy(gateway, *arguments):
            self.run_ok(*self.options("roamer", gateway), "inbox-policy", *arguments)

        for gateway in (0, 1):
            # Where it is not, its inbox is for contacts: so that who answers is the one where it is.
            policy(gateway, "capability")
            policy(1 - gateway, "contacts")
            self.register("roamer", gateway)
            wait_for(lambda: ask().returncode == OK, f"a request at gateway {gateway}")  # pylint: disable=cell-var-from-loop
        self.run_ok(*self.options("roamer"), "token", "revoke", str(token))
        wait_for(lambda: "revoked" in ask().stderr, "the revocation at gateway 1")
        policy(0, "capability")
        policy(1, "contacts")
        self.assert_refused(ask(), "contacts only")
        self.register("roamer", 0)
        wait_for(lambda: "revoked" in ask().stderr, "the refusal at gateway 0")

    def test_a_statement_counts_at_every_deployment_that_is_told(self):
        """Bob moves to a second deployment, with an identity and a gateway of its own."""
        identity = self.network.service("identity", "identity-elsewhere", resolver=self.resolvers[2].info["grpc"]).start()
        gateway = self.network.service("gateway", "gateway-elsewhere", resolver=self.resolvers[2].info["grpc"], identity=identity.info["grpc"]).start()
        elsewhere = ["--gateway", gateway.info["grpc"], "--identity", identity.info["grpc"]]
        self.register("mover", 0)
        mover = self.options("mover")
        token = self.folder / "mover.token"
        token.write_text(dotagent("token", "issue", "--key", self.key("mover"), "--to", self.keys["carol"], "--resource", "agent://mover.agent", "--action",
                                  "call").stdout)
        statement = self.folder / "mover.revocation"
        signed = subprocess.run([f"{BIN}/dotagent", *mover, "token", "revoke", str(token), "--print"], capture_output=True, timeout=60, check=True)
        statement.write_bytes(signed.stdout)

        def ask():
            return dotagent(*self.options("carol", 1), "send", "mover.agent", "--type", "REQUEST", "--token", str(token))

        self.run_ok(*mover, *elsewhere, "register")
        self.run_ok(*mover, *elsewhere, "inbox-policy", "capability")
        wait_for(lambda: "mover.agent" in dotagent(*self.options("carol", 1), "resolve", "--no-cache", "mover.agent").stdout, "the move")
        wait_for(lambda: ask().returncode == OK, "the first request at the new home")
        told = self.run_ok(*self.options("carol"), *elsewhere, "token", "revoke", "--statement", str(statement))
        self.assertEqual(told["sequence"], 1)
        wait_for(lambda: ask().returncode == REFUSED, "the revocation at the second deployment's gateway")
        self.assert_refused(ask(), "revoked")


if __name__ == "__main__":
    unittest.main()
