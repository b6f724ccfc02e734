"""Keys from their making to their end: rotated in a running network, kept in tokens and TPMs, certified and renewed."""

import datetime
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import unittest

from case import CONTESTED, FAILED, OK, REFUSED, UNREACHABLE, USAGE, NetworkCase, dotagent, free_port, wait_for

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)


class KeysTest(NetworkCase):
    def make(self, name):
        """An agent whose key can be rotated; returns the paths of its keys and of its chain."""
        keys = [str(self.folder / f"{name}-{number}.pem") for number in range(4)]
        chain = str(self.folder / f"{name}.chain")
        made = self.run_ok("keygen", keys[0], "--name", f"{name}.agent", "--next", keys[1], "--rotation-chain", chain)
        return keys, chain, made["agent_id"]

    def with_key(self, name, key):
        return [*self.options(name), "--key", key]

    def rotate(self, name, keys, chain, number):
        return self.run_ok(*self.with_key(name, keys[number]), "key", "rotate", "--next", keys[number + 1], "--after-next", keys[number + 2],
                           "--rotation-chain", chain)

    def resolve(self, name):
        return self.run_ok("--home", str(self.folder / "home"), "resolve", "--resolver", self.resolvers[2].info["grpc"], "--no-cache", f"{name}.agent")

    def test_identity_and_name_stay_when_the_key_changes(self):
        keys, chain, agent_id = self.make("rotating")
        self.run_ok(*self.with_key("rotating", keys[0]), "register", "--ttl", "7200", "--address", "/ip4/192.0.2.1/tcp/1", "--rotation-chain", chain)
        before = self.resolve("rotating")
        self.assertEqual(before["owner"], agent_id)
        rotated = self.rotate("rotating", keys, chain, 0)
        self.assertEqual((rotated["agent_id"], rotated["rotations"]), (agent_id, 1))
        after = self.resolve("rotating")
        self.assertEqual(after["owner"], agent_id)
        self.assertEqual(after["public_key"], rotated["public_key"])
        self.assertNotEqual(after["public_key"], before["public_key"])
        self.assertEqual((after["addresses"], after["record"]["ttl"]), (before["addresses"], 7200))
        through_gateway = self.run_ok(*self.options("asker"), "resolve", "rotating.agent")
        self.assertEqual(through_gateway["owner"], agent_id)
        # Each key's file says whose it is, and once more goes as well.
        self.assertEqual(self.run_ok("id", "--key", keys[1])["agent_id"], agent_id)
        self.assertEqual(self.rotate("rotating", keys, chain, 1)["rotations"], 2)
        self.assertEqual(self.resolve("rotating")["owner"], agent_id)

    def test_anyone_finds_the_rotation_chain(self):
        keys, chain, agent_id = self.make("public")
        self.run_ok(*self.with_key("public", keys[0]), "register", "--rotation-chain", chain)
        rotated = self.rotate("public", keys, chain, 0)
        out = self.folder / "public.found"
        for whose in ("public.agent", agent_id):
            found = self.run_ok(*self.options("asker", 1), "key", "chain", whose, "--out", str(out))
            self.assertEqual((found["agent_id"], found["public_key"], found["rotations"]), (agent_id, rotated["public_key"], 1))
            self.assertEqual(out.read_bytes(), pathlib.Path(chain).read_bytes())
        self.run_refused(3, "rotation chain", *self.options("asker"), "key", "chain", "00" * 32)

    def test_a_rotated_away_key_is_revoked_by_its_successor(self):
        keys, chain, agent_id = self.make("retired")
        self.run_ok(*self.with_key("retired", keys[0]), "register", "--rotation-chain", chain)
        first = self.run_ok("id", "--key", keys[0])["public_key"]
        self.rotate("retired", keys, chain, 0)
        successor = [*self.with_key("retired", keys[1]), "revoke"]
        self.run_refused(REFUSED, "pre-rotated successor", *successor, "--of", first)
        revoked = self.run_ok(*successor, "--of", first, "--rotation-chain", chain, "--reason", "retired")
        self.assertEqual((revoked["agent_id"], revoked["public_key"]), (agent_id, first))
        self.run_refused(REFUSED, "revoked", *self.with_key("retired", keys[0]), "resolve", "retired.agent")
        self.assertEqual(self.resolve("retired")["owner"], agent_id)  # the name stays, under the new key
        # A later key, by the one that it commits to.
        current = self.run_ok("id", "--key", keys[1])["public_key"]
        self.run_ok(*self.options("retired"), "--key", keys[2], "revoke", "--of", current, "--rotation-chain", chain)
        wait_for(lambda: dotagent(*self.options("asker"), "resolve", "--no-cache", "retired.agent").returncode == REFUSED, "the revocation at the resolver")

    def test_a_rotation_that_was_interrupted_goes_on(self):
        keys, chain, _ = self.make("interrupted")
        signed = self.run_ok("key", "rotate", "--key", keys[0], "--next", keys[1], "--after-next", keys[2], "--rotation-chain", chain)
        self.assertNotIn("name", signed)
        again = self.rotate("interrupted", keys, chain, 0)
        self.assertEqual((again["rotations"], again["name"]), (1, "interrupted.agent"))
        self.assertEqual(self.resolve("interrupted")["public_key"], again["public_key"])

    def test_a_stolen_old_key_does_not_take_the_name_back(self):
        keys, chain, _ = self.make("stolen")
        self.run_ok(*self.with_key("stolen", keys[0]), "register", "--rotation-chain", chain)
        old_chain = pathlib.Path(chain).read_bytes()
        new = self.rotate("stolen", keys, chain, 0)["public_key"]
        self.run_refused(REFUSED, "was retired", *self.with_key("stolen", keys[0]), "register")
        stolen_chain = self.folder / "stolen.old-chain"
        stolen_chain.write_bytes(old_chain)
        self.run_refused(REFUSED, "longer than this one of 1", *self.with_key("stolen", keys[0]), "register", "--rotation-chain", str(stolen_chain))
        self.assertEqual(self.resolve("stolen")["public_key"], new)

    def test_a_stolen_current_key_cannot_rotate(self):
        keys, chain, _ = self.make("careful")
        thief = str(self.folder / "careful-thief.pem")
        self.run_ok("keygen", thief)
        after = str(self.folder / "careful-after.pem")
        self.run_refused(REFUSED, "no other can take its place", "key", "rotate", "--key", keys[0], "--next", thief, "--after-next", after,
                         "--rotation-chain", chain)
        self.run_refused(REFUSED, "not the identity's current key", "key", "rotate", "--key", thief, "--next", keys[1], "--after-next", after,
                         "--rotation-chain", chain)
        self.assertFalse(os.path.exists(after))

    def test_a_forked_rotation_is_refused(self):
        """The first two keys were stolen once both were retired: they sign another chain."""
        keys, chain, _ = self.make("forked")
        forked = self.folder / "forked.other-chain"
        inception = pathlib.Path(chain).read_bytes()
        self.rotate("forked", keys, chain, 0)
        first_rotation = pathlib.Path(chain).read_bytes()
        self.rotate("forked", keys, chain, 1)
        held = self.resolve("forked")["public_key"]
        forked.write_bytes(inception)
        other = [str(self.folder / f"forked-other-{number}.pem") for number in range(2)]
        self.run_ok("key", "rotate", "--key", keys[0], "--next", keys[1], "--after-next", other[0], "--rotation-chain", str(forked))
        self.assertNotEqual(forked.read_bytes(), first_rotation)
        self.run_ok("key", "rotate", "--key", keys[1], "--next", other[0], "--after-next", other[1], "--rotation-chain", str(forked))
        self.run_refused(CONTESTED, "parts from the one", *self.with_key("forked", other[0]), "register", "--rotation-chain", str(forked))
        self.assertEqual(self.resolve("forked")["public_key"], held)

    def test_messages_that_wait_and_the_listener_move_to_the_new_key(self):
        keys, chain, _ = self.make("moving")
        self.run_ok(*self.with_key("moving", keys[0]), "register", "--rotation-chain", chain)
        self.register("sender")
        listener = self.network.dotagent_in_background("--json", *self.with_key("moving", keys[0]), "listen", "--no-ack", "--no-renew")
        self.assertEqual(json.loads(listener.stdout.readline())["event"], "listening")
        self.run_ok(*self.options("sender"), "send", "moving.agent", "before the rotation")
        self.assertEqual(json.loads(listener.stdout.readline())["content"]["text"], "before the rotation")
        self.rotate("moving", keys, chain, 0)
        self.assertEqual(listener.wait(timeout=60), REFUSED)
        self.assertIn("the key was rotated", listener.stderr.read())
        again = self.network.dotagent_in_background("--json", *self.with_key("moving", keys[1]), "listen", "--count", "2", "--no-renew",
                                                    "--rotation-chain", chain)
        self.assertEqual(json.loads(again.stdout.readline())["pending"], 1)
        self.run_ok(*self.options("sender"), "send", "moving.agent", "after the rotation")
        texts = [json.loads(again.stdout.readline())["content"]["text"] for _ in range(2)]
        self.assertEqual(texts, ["before the rotation", "after the rotation"])
        self.assertEqual(again.wait(timeout=60), OK)

    def test_keys_go_from_file_to_file_under_another_passphrase(self):
        passphrase = self.folder / "passphrase"
        passphrase.write_text("correct horse\n")
        original = self.key("copied")
        copy = str(self.folder / "copied-sealed.pem")
        exported = self.run_ok("key", "export", "--key", original, copy, "--to-passphrase-file", str(passphrase), "--name", "copied.agent")
        self.assertEqual(openssl("pkey", "-in", copy, "-passin", f"file:{passphrase}", "-pubout").stdout, openssl("pkey", "-in", original, "-pubout").stdout)
        self.assertEqual(self.run_ok("id", "--key", copy, "--passphrase-file", str(passphrase))["name"], "copied.agent")
        self.assertEqual(exported["agent_id"], self.run_ok("id", "--key", original)["agent_id"])
        self.run_refused(USAGE, "--plain", "key", "export", "--key", original, str(self.folder / "nothing.pem"))
        self.run_refused(REFUSED, "never overwritten", "key", "export", "--key", original, copy, "--plain")
        foreign = str(self.folder / "foreign.pem")
        self.assertEqual(openssl("genpkey", "-algorithm", "ed25519", "-out", foreign).returncode, 0)
        os.chmod(foreign, 0o600)
        self.run_ok("key", "import", "--key", foreign, str(self.folder / "imported.pem"))

    def test_a_certificate_is_shown_and_renewed_at_half_of_its_life(self):
        self.register("certified")
        path = str(self.folder / "certified.crt")
        self.run_ok(*self.options("certified"), "cert", "request", "certified.agent", "--out", path)
        bundle = str(self.folder / "root.pem")
        self.run_ok(*self.options("certified"), "cert", "bundle", "--out", bundle)
        self.assertEqual(openssl("verify", "-x509_strict", "-CAfile", bundle, path).returncode, 0)
        self.assertEqual(self.run_ok(*self.options("certified"), "cert", "bundle"), {"bundle_pem": pathlib.Path(bundle).read_text()})
        self.assertIn("URI:agent://certified.agent", openssl("x509", "-in", path, "-noout", "-text").stdout)
        shown = self.run_ok("cert", "show", path, "--registrar", self.identity.info["peer_id"])
        self.assertEqual((shown["name"], shown["signature"], shown["valid"]), ("certified.agent", "verified", True))
        begins, half, ends = (datetime.datetime.fromisoformat(shown[when].replace("Z", "+00:00")) for when in ("not_before", "renew_at", "expires"))
        self.assertEqual(ends - begins, datetime.timedelta(hours=24, minutes=5))  # dated back five minutes, for clocks that are behind
        self.assertLess(abs((half - begins) - (ends - half)), datetime.timedelta(seconds=2))
        early = self.run_ok(*self.options("certified"), "cert", "renew", path)
        self.assertFalse(early["renewed"])
        self.assertEqual(early["renew_at"], shown["renew_at"])
        self.assertTrue(self.run_ok(*self.options("certified"), "cert", "renew", path, "--force")["renewed"])
        self.assertNotEqual(self.run_ok("cert", "show", path)["serial"], shown["serial"])
        stranger = dotagent("--json", "cert", "show", path, "--registrar", self.gateways[0].info["peer_id"])
        self.assertEqual(stranger.returncode, FAILED, stranger.stderr)
        self.assertEqual(json.loads(stranger.stdout)["reason"], "KEY_MISMATCH")

    def test_a_rotated_key_is_certified_for_the_same_identity(self):
        keys, chain, agent_id = self.make("recertified")
        self.run_ok(*self.with_key("recertified", keys[0]), "register", "--rotation-chain", chain)
        self.rotate("recertified", keys, chain, 0)
        path = str(self.folder / "recertified.crt")
        issued = self.run_ok(*self.with_key("recertified", keys[1]), "cert", "request", "recertified.agent", "--rotation-chain", chain, "--out", path)
        self.assertEqual(issued["agent_id"], agent_id)
        self.run_refused(REFUSED, "held by another key", *self.with_key("recertified", keys[0]), "cert", "request", "recertified.agent", "--out", path)


class ShortLivedTest(NetworkCase):
    """Identity issues for a minute, dated five minutes back: more than half of such a life is over at once."""

    def test_renewing_goes_on_by_itself(self):
        short = self.network.service("identity", "short-identity", resolver=self.resolvers[0].info["grpc"], certificate_lifetime="1m").start()
        self.register("brief")
        path = str(self.folder / "brief.crt")
        options = [*self.options("brief"), "--identity", short.info["grpc"]]
        self.run_ok(*options, "cert", "request", "brief.agent", "--out", path)
        first = self.run_ok("cert", "show", path)
        process = self.network.dotagent_in_background("--json", *options, "cert", "renew", path, "--watch")
        too_late = threading.Timer(120, process.kill)
        too_late.start()
        self.addCleanup(too_late.cancel)

        def renewed():
            event = json.loads(process.stdout.readline() or "{}")
            self.assertIs(event.get("renewed"), True)
            return self.run_ok("cert", "show", path)

        second = renewed()  # due at once
        third = renewed()  # at half of what is ahead of the second, which nobody asks for
        self.assertEqual(len({shown["serial"] for shown in (first, second, third)}), 3)
        self.assertLess(datetime.datetime.now(datetime.timezone.utc), datetime.datetime.fromisoformat(second["expires"].replace("Z", "+00:00")))
        self.assertIsNone(process.poll())


class HardwareTest(NetworkCase):
    """Agents and registrars whose keys are in SoftHSM, or sealed by swtpm."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.hardware = pathlib.Path(folder.name)
        (cls.hardware / "tokens").mkdir()
        config = cls.hardware / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {cls.hardware}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(config)
        cls.addClassCleanup(os.environ.pop, "SOFTHSM2_CONF")
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "test", "--so-pin", "5678", "--pin", "1234"], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        cls.pin = cls.hardware / "pin"
        cls.pin.write_text("1234\n")
        cls.pin.chmod(0o600)
        super().setUpClass()

    def token(self, name):
        return f"pkcs11:token=test;object={name}?module-path={SOFTHSM}&pin-source={self.pin}"

    def start_tpm(self):
        """Returns how to reach a TPM of its own: two ports in a row, others if somebody took them meanwhile."""
        state = tempfile.mkdtemp(prefix="tpm-", dir=self.hardware)

        def started():
            port = free_port()
            tpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--server", f"type=tcp,port={port}", "--ctrl",
                                    f"type=tcp,port={port + 1}", "--flags", "not-need-init,startup-clear"], stderr=subprocess.DEVNULL)
            self.addCleanup(tpm.wait)
            self.addCleanup(tpm.kill)

            def settled():
                if tpm.poll() is not None:
                    return "ended"
                with socket.socket() as first, socket.socket() as second:
                    return first.connect_ex(("127.0.0.1", port)) == 0 and second.connect_ex(("127.0.0.1", port + 1)) == 0 and "answers"

            return wait_for(settled, "swtpm") == "answers" and f"swtpm:host%3D127.0.0.1,port%3D{port}"

        return wait_for(started, "swtpm on two ports in a row")

    def test_an_agent_whose_key_is_in_a_token_lives_like_any_other(self):
        key = self.token("alice")
        made = self.run_ok("keygen", key)
        options = ["--gateway", self.gateways[0].info["grpc"], "--home", str(self.folder / "home"), "--name", "tokened.agent", "--key", key]
        self.run_ok(*options, "register")
        self.register("writer")
        self.run_ok(*self.options("writer"), "send", "tokened.agent", "hello")
        listener = self.network.dotagent_in_background("--json", *options, "listen", "--count", "1", "--no-renew")
        events = [json.loads(listener.stdout.readline()) for _ in range(2)]
        self.assertEqual(events[1]["content"], {"text": "hello"})
        self.assertEqual(self.run_ok("id", "--key", key)["peer_id"], made["peer_id"])
        self.run_refused(USAGE, "cannot leave its token", "key", "export", "--key", key, str(self.folder / "leaked.pem"), "--plain")
        wrong = self.hardware / "wrong-pin"
        wrong.write_text("4321")
        self.run_refused(USAGE, "is wrong", "id", "--key", key, "--passphrase-file", str(wrong))
        self.run_refused(UNREACHABLE, "no-module.so", "id", "--key", "pkcs11:object=a?module-path=/usr/lib/no-module.so")

    def test_a_registrar_whose_key_is_in_any_store_issues_what_openssl_accepts(self):
        stores = {"file": str(self.hardware / "registrar.pem"), "pkcs11": self.token("registrar"),
                  "tpm2": f"tpm2:{self.hardware}/registrar.tpm?tcti={self.start_tpm()}"}
        for kind, key in stores.items():
            with self.subTest(kind):
                self.check_registrar(kind, key)

    def check_registrar(self, kind, key):
        registrar = self.network.service("identity", f"{kind}-identity", resolver=self.resolvers[0].info["grpc"], key_file=key).start()
        holder = f"holder-{kind}"
        self.register(holder)
        path, svid, bundle = (str(self.folder / name) for name in (f"{holder}.crt", f"{holder}-svid.pem", f"{holder}-root.pem"))
        options = [*self.options(holder), "--identity", registrar.info["grpc"]]
        request = [*options, "cert", "request", f"{holder}.agent", "--out", path, "--svid", svid]
        self.run_ok(*request)
        self.run_ok(*options, "cert", "bundle", "--out", bundle)
        peer = registrar.info["peer_id"]

        def check():
            for certificate in (path, svid):
                self.assertEqual(openssl("verify", "-x509_strict", "-CAfile", bundle, certificate).returncode, 0)
            self.assertEqual(self.run_ok("cert", "show", path, "--registrar", peer)["signature"], "verified")

        check()
        registrar.stop()
        registrar.restart_where_it_was()
        self.assertEqual(registrar.info["peer_id"], peer)
        self.assertFalse(os.path.exists(os.path.join(registrar.data_dir, "node.pem")))
        # What it signs after the restart is of the same root.
        for old in (path, svid):
            os.remove(old)
        self.run_ok(*request)
        check()

    def test_a_key_moves_from_a_file_into_a_tpm_and_a_token(self):
        tpm = f"tpm2:{self.hardware}/sealed.tpm?tcti={self.start_tpm()}"
        original = self.key("mover")
        peer = self.run_ok("id", "--key", original)["peer_id"]
        for address in (tpm, self.token("mover")):
            self.assertEqual(self.run_ok("key", "import", "--key", original, address)["peer_id"], peer)
            self.assertEqual(self.run_ok(*self.options("mover"), "--key", address, "register")["name"], "mover.agent")
        self.run_refused(REFUSED, "never overwritten", "key", "import", "--key", original, tpm)
        back = str(self.folder / "mover-back.pem")
        self.assertEqual(self.run_ok("key", "export", "--key", tpm, back, "--plain")["peer_id"], peer)

    def test_a_key_rotates_from_a_file_into_a_token(self):
        first = str(self.folder / "hardened.pem")
        chain = str(self.folder / "hardened.chain")
        made = self.run_ok("keygen", first, "--next", self.token("hardened-2"), "--rotation-chain", chain)
        options = ["--gateway", self.gateways[0].info["grpc"], "--home", str(self.folder / "home"), "--name", "hardened.agent"]
        self.run_ok(*options, "--key", first, "register", "--rotation-chain", chain)
        rotated = self.run_ok(*options, "--key", first, "key", "rotate", "--next", self.token("hardened-2"), "--after-next", self.token("hardened-3"),
                              "--rotation-chain", chain)
        self.assertEqual(rotated["agent_id"], made["agent_id"])
        self.assertEqual(self.run_ok("id", "--key", self.token("hardened-2"), "--rotation-chain", chain)["agent_id"], made["agent_id"])


if __name__ == "__main__":
    unittest.main()
