"""Networks whose rules an operator sets: names that a registrar certifies, rotated keys, crypto puzzles, and what a node with other rules meets."""

import hashlib
import json
import pathlib
import subprocess
import unittest

from case import BIN, NOT_FOUND, OK, REFUSED, Network, NetworkCase, dotagent, free_port, resolver_status, wait_for
from network import base58_decode  # on the path because of case


def leading_zero_bits(data):
    return 8 * len(data) - int.from_bytes(data, "big").bit_length()


class RegistrarTest(NetworkCase):
    """Three resolvers, identity as the registrar, and a gateway."""

    @classmethod
    def setUpClass(cls):
        cls.network = Network(BIN)
        cls.network.__enter__()
        cls.addClassCleanup(cls.network.__exit__, None, None, None)
        cls.folder = pathlib.Path(cls.network.folder)
        resolver_port = free_port()
        cls.identity = cls.network.service("identity", "identity", name_policy="registrar", resolver=f"127.0.0.1:{resolver_port}").start()
        # The first is told who the registrar is, the others take their identity for it: the same rules.
        told = {"name_policy": "registrar", "identity": cls.identity.info["grpc"]}
        first = cls.network.service("resolver", "resolver-0", grpc_listen=f"127.0.0.1:{resolver_port}", registrar=cls.identity.info["peer_id"], **told).start()
        cls.resolvers = [first] + [cls.network.service("resolver", f"resolver-{n}", bootstrap=first.info["p2p"][0], **told).start() for n in (1, 2)]
        for resolver in cls.resolvers:
            wait_for(lambda one=resolver: resolver_status(cls.network, one)["known_nodes"] == 2, "the resolvers know each other")
        cls.gateways = [cls.network.service("gateway", "gateway", resolver=first.info["grpc"], identity=cls.identity.info["grpc"]).start()]

    def certificate(self, name, *arguments):
        """A certificate for NAME.agent, from identity or as `arguments` say."""
        path = str(self.folder / f"{name}.crt")
        issued = self.run_ok(*self.options(name), "cert", "request", f"{name}.agent", "--out", path, *arguments)
        self.assertEqual(issued["name"], f"{name}.agent")
        return path

    def test_a_certified_agent_registers_and_is_found_at_every_resolver(self):
        self.run_ok(*self.options("alice"), "register", "--certificate", self.certificate("alice"))
        for resolver in self.resolvers:
            found = self.run_ok("--home", str(self.folder / "home"), "resolve", "--resolver", resolver.info["grpc"], "--no-cache", "alice.agent")
            self.assertEqual(found["name"], "alice.agent")

    def test_one_without_a_certificate_is_refused(self):
        self.run_refused(REFUSED, "need a registrar's certificate", *self.options("bob"), "register")

    def test_a_certificate_of_another_registrar_is_refused(self):
        """Another deployment's identity, whose network is its own."""
        port = free_port()
        other = self.network.service("identity", "other-identity", name_policy="registrar", resolver=f"127.0.0.1:{port}").start()
        self.network.service("resolver", "other-resolver", grpc_listen=f"127.0.0.1:{port}", name_policy="registrar", registrar=other.info["peer_id"]).start()
        path = self.certificate("carol", "--identity", other.info["grpc"])
        self.run_refused(REFUSED, "of none of the registrars", *self.options("carol"), "register", "--certificate", path)

    def test_a_certificate_for_another_name_or_key_is_refused(self):
        path = self.certificate("dora")
        self.run_refused(REFUSED, "not for erin.agent", *self.options("erin"), "--key", self.key("dora"), "register", "--certificate", path)
        self.run_refused(REFUSED, "another key", *self.options("dora"), "--key", self.key("erin"), "register", "--certificate", path)

    def test_the_registrar_gives_a_name_once_also_before_it_is_registered(self):
        self.certificate("frank")
        self.run_refused(REFUSED, "another agent's", *self.options("frank"), "--key", self.key("thief"), "cert", "request", "frank.agent", "--out",
                         str(self.folder / "thief.crt"))
        self.certificate("frank")

    def test_a_listener_takes_up_the_certificate_that_lies_there_when_it_renews(self):
        path = self.certificate("grace")
        self.run_ok(*self.options("grace"), "register", "--ttl", "60", "--certificate", path)
        process = self.listen("grace", 0, "--certificate", path)
        self.certificate("grace")
        event = json.loads(process.stdout.readline())
        self.assertEqual(event["event"], "renewed", event)

    def test_the_registrar_revokes_a_key_of_its_network_and_no_other_agent_does(self):
        self.run_ok(*self.options("ivan"), "register", "--certificate", self.certificate("ivan"))
        public_key = self.run_ok(*self.options("ivan"), "id")["public_key"]
        revoke = ["revoke", "--of", public_key, "--as-registrar", "--reason", "abuse"]
        self.run_refused(REFUSED, "only the key itself", *self.options("mallory"), *revoke)
        self.run_ok(*self.options("ivan"), "--key", str(self.folder / "identity" / "node.pem"), *revoke)
        self.run_refused(REFUSED, "has been revoked", *self.options("ivan"), "register", "--certificate", str(self.folder / "ivan.crt"))
        for resolver in self.resolvers:
            resolve = ["--home", str(self.folder / "home"), "resolve", "--resolver", resolver.info["grpc"], "ivan.agent"]
            # Refused while the record is there, and then not found.
            wait_for(lambda command=resolve: dotagent(*command).returncode in (REFUSED, NOT_FOUND), "every resolver refuses the name")

    def test_a_file_that_is_no_certificate_is_said_to_be_none(self):
        self.run_refused(REFUSED, "no PEM certificate", *self.options("heidi"), "register", "--certificate", self.key("heidi"))

    def test_status_shows_the_rules(self):
        done = dotagent("--json", "--gateway", self.gateways[0].info["grpc"], "--identity", self.identity.info["grpc"], "--home", str(self.folder / "home"),
                        "status", "--with-identity", "--resolver", self.resolvers[1].info["grpc"])
        self.assertEqual(done.returncode, OK, done.stderr)
        rows = {row["service"]: row for row in json.loads(done.stdout)["services"]}
        self.assertEqual(rows["identity"]["peer_id"], self.identity.info["peer_id"])
        self.assertIn(f"names: registrar {self.identity.info['peer_id']}", rows["resolver"]["details"])

    def test_a_resolver_with_other_rules_is_not_taken_in_and_says_so(self):
        stranger = self.network.service("resolver", "stranger", bootstrap=self.resolvers[0].info["p2p"][0]).start()
        log = pathlib.Path(stranger.log_path)
        wait_for(lambda: "must be the same at all resolvers" in log.read_text(), "the stranger's warning")
        self.assertEqual(resolver_status(self.network, stranger)["known_nodes"], 0)
        self.assertEqual(resolver_status(self.network, self.resolvers[0])["known_nodes"], 2)


class PuzzleTest(NetworkCase):
    """Three resolvers whose keys and ids have cost work."""

    STATIC = 6
    DYNAMIC = 8

    @classmethod
    def setUpClass(cls):
        cls.network = Network(BIN)
        cls.network.__enter__()
        cls.addClassCleanup(cls.network.__exit__, None, None, None)
        cls.rules = {"puzzle_static_bits": str(cls.STATIC), "puzzle_dynamic_bits": str(cls.DYNAMIC)}
        first = cls.network.service("resolver", "resolver-0", **cls.rules).start()
        cls.resolvers = [first] + [cls.network.service("resolver", f"resolver-{n}", bootstrap=first.info["p2p"][0], **cls.rules).start() for n in (1, 2)]

    def test_nodes_that_have_solved_them_make_a_network(self):
        for resolver in self.resolvers:
            wait_for(lambda one=resolver: resolver_status(self.network, one)["known_nodes"] == 2, "the resolvers know each other")
            node = hashlib.sha256(base58_decode(resolver.info["peer_id"])[-32:]).digest()
            self.assertGreaterEqual(leading_zero_bits(hashlib.sha256(node).digest()), self.STATIC)
        # Also with the key and the solution that a first start left behind.
        self.resolvers[2].stop()
        peer = self.resolvers[2].info["peer_id"]
        self.resolvers[2].restart_where_it_was()
        self.assertEqual(self.resolvers[2].info["peer_id"], peer)
        wait_for(lambda: resolver_status(self.network, self.resolvers[2])["known_nodes"] == 2, "it is back")

    def test_a_key_that_does_not_solve_the_puzzle_is_refused_with_what_to_do(self):
        folder = pathlib.Path(self.network.folder) / "unsolved"
        folder.mkdir()
        self.run_ok("keygen", str(folder / "node.pem"))
        # Solved by chance once in four billion.
        done = subprocess.run([f"{BIN}/dotagent-resolver", "--data-dir", str(folder), "--puzzle-static-bits", "32"], capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("does not solve the static puzzle of 32 bits", done.stderr)
        self.assertIn("Move the file away", done.stderr)

    def test_a_node_without_solutions_is_left_alone(self):
        idle = self.network.service("resolver", "idle", bootstrap=self.resolvers[0].info["p2p"][0]).start()
        log = pathlib.Path(idle.log_path)
        wait_for(lambda: "must be the same at all resolvers" in log.read_text(), "the node's warning")
        self.assertEqual(resolver_status(self.network, idle)["known_nodes"], 0)


if __name__ == "__main__":
    unittest.main()
