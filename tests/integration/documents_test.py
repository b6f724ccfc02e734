"""Records and messages that break a rule, offline: exit status 1 and one line that says which."""

import json
import pathlib
import tempfile
import unittest

from case import FAILED, OK, USAGE, dotagent, flip, zero_signature

NOW = "2026-06-01T12:00:00Z"


class DocumentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="dotagent-documents-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.key = str(cls.folder / "alice.pem")
        made = dotagent("--json", "keygen", cls.key)
        cls.public_key = json.loads(made.stdout)["public_key"]
        cls.record = cls.sign("record", "sign", "--address", "/ip4/192.0.2.1/tcp/4001", "--now", NOW)
        cls.message = cls.sign("message", "sign", "--to", "bob.agent", "--content", '{"text":"hello"}', "--now", NOW)

    @classmethod
    def sign(cls, *arguments):
        done = dotagent("--name", "alice.agent", "--key", cls.key, *arguments)
        assert done.returncode == OK, done.stderr
        return done.stdout

    def verify(self, kind, text, *arguments, now=NOW):
        more = ["--public-key", self.public_key] if kind == "message" else []
        return dotagent(kind, "verify", "-", "--now", now, *more, *arguments, stdin=text)

    def assert_invalid(self, kind, text, fragment, now=NOW):
        done = self.verify(kind, text, now=now)
        self.assertEqual(done.returncode, FAILED, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn(fragment, done.stderr)

    def test_what_was_signed_verifies(self):
        for kind, text in (("record", self.record), ("message", self.message)):
            self.assertEqual(self.verify(kind, text).returncode, OK)

    def test_changed_after_signing(self):
        self.assert_invalid("record", flip(self.record, "addresses", lambda _: ["/ip4/192.0.2.2/tcp/4001"]), "signature")
        self.assert_invalid("message", flip(self.message, "content", lambda _: {"text": "bye"}), "signature")

    def test_signed_by_nobody_or_somebody_else(self):
        for kind, text in (("record", self.record), ("message", self.message)):
            self.assert_invalid(kind, flip(text, "signature", zero_signature), "signature")
            document = json.loads(text)
            del document["signature"]
            self.assert_invalid(kind, json.dumps(document), "signature")

    def test_dates(self):
        self.assert_invalid("record", self.record, "7 days", now="2026-06-09T12:00:00Z")
        self.assert_invalid("record", self.record, "5 minutes", now="2026-06-01T11:54:00Z")
        self.assert_invalid("message", self.message, "5 minutes", now="2026-06-01T11:54:00Z")

    def test_oversized(self):
        self.assert_invalid("record", flip(self.record, "protocols", lambda _: ["/x" * 5000]), "8192")

    def test_not_the_schema(self):
        unknown = json.loads(self.record)
        unknown["colour"] = "blue"
        self.assert_invalid("record", json.dumps(unknown), "colour")
        self.assert_invalid("record", "", "JSON")
        self.assert_invalid("record", "{" * 2000, "JSON")
        self.assert_invalid("record", self.record.replace('"ttl"', '"name":"bob.agent","ttl"', 1), "name")
        self.assert_invalid("record", flip(self.record, "name", lambda _: "not a name"), "name")
        self.assert_invalid("record", flip(self.record, "publicKey", lambda key: key[:-2]), "publicKey")
        bad = dotagent("--name", "alice.agent", "--key", self.key, "record", "sign", "--address", "nowhere")
        self.assertEqual(bad.returncode, USAGE, bad.stderr)
        self.assertIn("nowhere", bad.stderr)
        self.assert_invalid("message", flip(self.message, "type", lambda _: "SHOUT"), "SHOUT")

    def test_wrong_usage_is_another_status(self):
        self.assertEqual(self.verify("record", self.record, now="yesterday").returncode, USAGE)
        folder = dotagent("record", "verify", str(self.folder))
        self.assertEqual(folder.returncode, USAGE, folder.stderr)
        self.assertIn("is a folder", folder.stderr)
        self.assertEqual(dotagent("record", "verify", str(self.folder / "missing.json")).returncode, USAGE)
        self.assertEqual(dotagent("message", "verify", "-", "--public-key", "AAAA", stdin=self.message).returncode, USAGE)


if __name__ == "__main__":
    unittest.main()
