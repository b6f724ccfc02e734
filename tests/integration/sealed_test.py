"""Sealed messages: what two agents say to each other through gateways that hold nothing of it but ciphertext."""

import json
import os
import pathlib
import secrets
import subprocess
import tempfile
import unittest

from case import REFUSED, NetworkCase, wait_for


class SealedTest(NetworkCase):
    def setUp(self):
        # Names of this test's own, so that inboxes start empty.
        self.alice, self.bob = (f"{name}-{self._testMethodName.replace('_', '-')[5:30].strip('-')}" for name in ("alice", "bob"))
        self.secret = secrets.token_hex(24)
        self.register(self.alice, 0)
        self.register(self.bob, 1)

    def send(self, *arguments):
        return self.run_ok(*self.options(self.alice), "send", f"{self.bob}.agent", *arguments)

    def receive(self, count, *arguments):
        process = self.listen(self.bob, 1, "--count", str(count), *arguments)
        output = process.stdout.read()  # not communicate(), which passes over what readline() has buffered
        self.assertEqual(process.wait(30), 0, process.stderr.read())
        return [json.loads(line) for line in output.splitlines()]

    def files_with(self, text):
        """Of all that the services have written: stores, logs, ready files."""
        found = []
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix != ".pem" and path.parent.name != "home" and text.encode() in path.read_bytes():
                found.append(str(path.relative_to(self.folder)))
        return found

    def restart(self, gateway):
        gateway.kill()
        gateway.restart_where_it_was()

    def test_gateways_hold_ciphertext_until_the_recipient_opens_it(self):
        sent = self.send(self.secret, "--seal")
        self.assertIs(sent["sealed"], True)
        self.assertEqual(self.files_with(self.secret), [])
        self.restart(self.gateways[1])
        self.assertEqual(self.files_with(self.secret), [])
        # The same search finds what is not sealed.
        plain = self.send(plain_secret := secrets.token_hex(24))
        self.assertIs(plain["sealed"], False)
        self.assertTrue(any(name.startswith("gateway-1/") for name in self.files_with(plain_secret)), self.files_with(plain_secret))
        first, second = self.receive(2)
        self.assertEqual((first["id"], first["sealed"], first["content"]), (sent["id"], True, {"text": self.secret}))
        self.assertEqual((second["id"], second["sealed"], second["content"]), (plain["id"], False, {"text": plain_secret}))
        self.assertEqual(self.files_with(self.secret), [])

    def test_a_file_and_its_type_are_sealed(self):
        path = self.folder / "home" / "diary"
        path.write_text(self.secret * 1000, encoding="utf-8")
        self.send("--seal", "--file", str(path), "--media-type", f"text/{self.secret}")
        self.assertEqual(self.files_with(self.secret), [])
        (message,) = self.receive(1)
        self.assertEqual((message["attachment_bytes"], message["content"]["mediaType"]), (48_000, f"text/{self.secret}"))

    def test_a_dead_letter_stays_sealed(self):
        gateway = self.network.service("gateway", "gateway-impatient", resolver=self.resolvers[0].info["grpc"], identity=self.identity.info["grpc"],
                                       max_deliveries="1").start()
        self.gateways.append(gateway)
        self.addCleanup(gateway.stop)
        number = len(self.gateways) - 1
        self.register(self.bob, number)
        self.run_ok(*self.options(self.alice), "send", f"{self.bob}.agent", self.secret, "--seal")
        first = self.listen(self.bob, number, "--no-ack", "--no-renew")
        self.assertEqual(json.loads(first.stdout.readline())["content"], {"text": self.secret})
        first.kill()
        first.communicate()
        self.listen(self.bob, number, "--no-ack", "--no-renew")  # it has been delivered often enough
        wait_for(lambda: self.run_ok(*self.options(self.bob, number), "dead-letters"), "a dead letter")
        letter = self.run_ok(*self.options(self.bob, number), "dead-letters")
        self.assertEqual((letter["event"], letter["sealed"], letter["content"]), ("dead_letter", True, {"text": self.secret}))
        self.restart(gateway)
        self.assertEqual(self.files_with(self.secret), [])

    def test_what_was_sealed_before_a_rotation_is_opened_with_the_former_key(self):
        keys = [str(self.folder / f"{self.bob}-{number}.pem") for number in range(3)]
        chain = str(self.folder / f"{self.bob}.chain")
        carol = "carol-rotates"
        self.run_ok("keygen", keys[0], "--name", f"{carol}.agent", "--next", keys[1], "--rotation-chain", chain)
        with_key = lambda number: [*self.options(carol, 1), "--key", keys[number]]
        self.run_ok(*with_key(0), "register", "--rotation-chain", chain)
        self.run_ok(*self.options(self.alice), "send", f"{carol}.agent", self.secret, "--seal")
        self.run_ok(*with_key(0), "key", "rotate", "--next", keys[1], "--after-next", keys[2], "--rotation-chain", chain)

        def events(count, *arguments):
            process = self.network.dotagent_in_background("--json", *with_key(1), "listen", *arguments)
            lines = [json.loads(process.stdout.readline()) for _ in range(count + 1)][1:]
            process.kill()
            process.communicate()
            return lines

        # Twice: it is left where it is. The chain in the DHT is enough to know whose key it was.
        for arguments in (["--rotation-chain", chain], ["--no-renew"]):
            (rejected,) = events(1, *arguments)
            self.assertEqual((rejected["event"], rejected["reason"], rejected["needs_former_key"]), ("rejected", "KEY_MISMATCH", True))
            self.assertEqual(rejected["sender"], f"{self.alice}.agent")
        (opened,) = events(1, "--former-key", keys[0])
        self.assertEqual((opened["event"], opened["content"]), ("message", {"text": self.secret}))

    def test_nothing_is_sent_where_it_could_not_be_sealed_or_opened(self):
        command = [*self.options(self.alice), "send", f"{self.bob}.agent", "--seal"]
        self.run_refused(REFUSED, "a REQUEST is not sealed", *command, "--type", "REQUEST", "--content", '{"method":"x"}')
        large = self.folder / "home" / "large"
        large.write_bytes(os.urandom(1024 * 1024))
        self.run_refused(REFUSED, "over a channel", *command, "--file", str(large))
        self.run_ok(*self.options(self.bob, 1), "register", "--protocol", "/dotagent/message/1.0.0")
        wait_for(lambda: "/dotagent/sealed/1.0.0" not in self.run_ok(*self.options(self.alice), "resolve", f"{self.bob}.agent")["record"]["protocols"],
                 "the new record")
        self.run_refused(REFUSED, "does not list /dotagent/sealed/1.0.0", *command, "x")


class TokenTest(NetworkCase):
    """An agent whose key moves into SoftHSM, which signs with it and does nothing else."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        hardware = pathlib.Path(folder.name)
        (hardware / "tokens").mkdir()
        config = hardware / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {hardware}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", encoding="utf-8")
        os.environ["SOFTHSM2_CONF"] = str(config)
        cls.addClassCleanup(os.environ.pop, "SOFTHSM2_CONF")
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "test", "--so-pin", "5678", "--pin", "1234"], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        pin = hardware / "pin"
        pin.write_text("1234\n", encoding="utf-8")
        pin.chmod(0o600)
        cls.token = f"pkcs11:token=test;object=bob?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source={pin}"
        super().setUpClass()

    def hear(self, wanted, *arguments):
        """The first event of this kind, listening with the key in the token. What came before may not have been acknowledged, and come again."""
        process = self.network.dotagent_in_background("--json", *self.options("bob"), "--key", self.token, "listen", "--no-renew", *arguments)
        event = {}
        while event.get("event") != wanted:
            event = json.loads(process.stdout.readline())
        process.kill()
        process.communicate()
        return event

    def test_a_key_in_a_token_opens_nothing_and_its_record_says_so(self):
        for name in ("alice", "bob"):
            self.register(name)
        send = [*self.options("alice"), "send", "bob.agent", "--seal"]
        self.run_ok(*send, "sealed to the file")
        self.run_ok("key", "import", "--key", self.key("bob"), self.token)
        rejected = self.hear("rejected", "--no-ack")
        self.assertEqual((rejected["event"], rejected["reason"], rejected["needs_former_key"]), ("rejected", "KEY_STORE", False))
        self.assertIn("stays in its token", rejected["error"])
        self.assertEqual(self.hear("message", "--former-key", self.key("bob"))["content"], {"text": "sealed to the file"})
        self.run_refused(REFUSED, "cannot leave its token", *self.options("bob"), "listen", "--former-key", self.token)

        self.run_ok(*self.options("bob"), "--key", self.token, "register")
        wait_for(lambda: "/dotagent/sealed/1.0.0" not in self.run_ok(*self.options("alice"), "resolve", "bob.agent")["record"]["protocols"], "the new record")
        self.run_refused(REFUSED, "does not list /dotagent/sealed/1.0.0", *send, "x")
        self.run_ok(*send[:-1], "not sealed")
        self.assertEqual(self.hear("message")["content"], {"text": "not sealed"})


if __name__ == "__main__":
    unittest.main()
