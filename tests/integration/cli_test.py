"""The dotagent command's manners: help, JSON, options from flag, variable and file; `dotagent up`."""

import base64
import json
import os
import pathlib
import signal
import subprocess
import unittest

from case import BIN, OK, ROOT, UNREACHABLE, USAGE, Network, dotagent, free_port

COMMANDS = (["keygen"], ["id"], ["register"], ["resolve"], ["send"], ["listen"], ["channel"], ["revoke"], ["status"], ["up"], ["record", "sign"], ["record", "verify"],
            ["message", "sign"], ["message", "verify"])


class MannersTest(unittest.TestCase):
    def test_help(self):
        overview = dotagent("--help")
        self.assertEqual(overview.returncode, OK)
        for command in COMMANDS:
            with self.subTest(command):
                done = dotagent(*command, "--help")
                self.assertEqual(done.returncode, OK)
                self.assertIn("Examples:", done.stdout)
                self.assertIn(command[0], overview.stdout)

    def test_wrong_usage_is_one_line(self):
        for arguments in ([], ["dance"], ["resolve"], ["--no-such-flag"], ["listen", "--channels", "sing"]):
            with self.subTest(arguments):
                done = dotagent(*arguments)
                self.assertEqual(done.returncode, USAGE)
                self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def test_version(self):
        self.assertRegex(dotagent("--version").stdout, r"^\d+\.\d+\.\d+\n$")

    def test_flag_beats_variable_beats_file(self):
        with Network(BIN) as network:
            config = pathlib.Path(network.folder) / "dotagent.toml"
            key = pathlib.Path(network.folder) / "key.pem"
            self.assertEqual(dotagent("keygen", str(key)).returncode, OK)
            config.write_text(f'gateway = "127.0.0.1:{free_port()}"\nkey = "{key}"\n')
            from_file = config.read_text().split('"')[1]
            from_variable, from_flag = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
            for arguments, env, expected in ((["--config", str(config)], {}, from_file), (["--config", str(config)], {"DOTAGENT_GATEWAY": from_variable}, from_variable),
                                             (["--config", str(config), "--gateway", from_flag], {"DOTAGENT_GATEWAY": from_variable}, from_flag)):
                done = dotagent(*arguments, "resolve", "bob.agent", env=env)
                self.assertEqual(done.returncode, UNREACHABLE, done.stderr)
                self.assertIn(expected, done.stderr)

    def test_a_statement_that_is_only_signed_is_json_where_that_is_asked_for(self):
        with Network(BIN) as network:
            key, token = os.path.join(network.folder, "key.pem"), os.path.join(network.folder, "token")
            public = json.loads(dotagent("--json", "keygen", key).stdout)["public_key"]
            issued = dotagent("token", "issue", "--key", key, "--to", public, "--resource", "agent://bob.agent", "--action", "call")
            pathlib.Path(token).write_text(issued.stdout)
            for command in (["revoke", "--key", key, "--print"], ["token", "revoke", token, "--key", key, "--print"]):
                with self.subTest(command):
                    plain = subprocess.run([os.path.join(BIN, "dotagent"), *command], capture_output=True, timeout=60, check=True).stdout
                    printed = json.loads(dotagent("--json", *command).stdout)
                    self.assertEqual(list(printed), ["statement"])
                    statement = base64.b64decode(printed["statement"], validate=True)
                    # Each is dated and signed anew: the same form and key.
                    self.assertEqual((statement[:2], len(statement)), (plain[:2], len(plain)))
                    self.assertIn(base64.b64decode(public), statement)

    def test_an_encrypted_key(self):
        with Network(BIN) as network:
            key = os.path.join(network.folder, "key.pem")
            secret = {"DOTAGENT_PASSPHRASE": "correct horse"}
            self.assertEqual(dotagent("keygen", key, "--encrypt", env=secret).returncode, OK)
            self.assertEqual(dotagent("id", "--key", key, env=secret).returncode, OK)
            self.assertEqual(dotagent("id", "--key", key, env={"DOTAGENT_PASSPHRASE": "wrong"}).returncode, USAGE)
            self.assertEqual(dotagent("id", "--key", key).returncode, USAGE)
            read = subprocess.run(["openssl", "pkey", "-in", key, "-passin", "pass:correct horse", "-pubout"], capture_output=True, text=True, check=True)
            self.assertEqual(read.stdout, dotagent("id", "--key", key, "--pem", env=secret).stdout)


class UpTest(unittest.TestCase):
    def start(self, network):
        process = subprocess.Popen([os.path.join(BIN, "dotagent"), "--json", "up", "--port", "0", "--data-dir", os.path.join(network.folder, "up")],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        self.assertTrue(line, process.stderr.read() if not line else "")
        services = {}
        for service in json.loads(line)["services"]:
            services.setdefault(service["service"], []).append(service["grpc"])
        return process, services

    def stop(self, process):
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), OK)

    def test_a_network_that_ends_and_comes_back(self):
        with Network(BIN) as network:
            key = os.path.join(network.folder, "alice.pem")
            self.assertEqual(dotagent("keygen", key).returncode, OK)
            process, services = self.start(network)
            home = ["--home", os.path.join(network.folder, "home")]
            status = dotagent("--json", *home, "--gateway", services["gateway"][0], "--identity", services["identity"][0], "status", "--with-identity", "--resolver",
                              services["resolver"][0], "--relay", services["relay"][0])
            self.assertEqual(status.returncode, OK, status.stdout + status.stderr)
            self.assertEqual([row["state"] for row in json.loads(status.stdout)["services"]], ["up"] * 4)
            registered = dotagent(*home, "--gateway", services["gateway"][0], "--name", "alice.agent", "--key", key, "register")
            self.assertEqual(registered.returncode, OK, registered.stderr)
            self.stop(process)

            process, services = self.start(network)
            found = dotagent("--json", *home, "--gateway", services["gateway"][1], "--key", key, "resolve", "alice.agent")
            self.assertEqual(found.returncode, OK, found.stderr)
            self.stop(process)

    def test_the_python_example(self):
        with Network(BIN) as network:
            process, services = self.start(network)
            done = subprocess.run([str(ROOT / "examples/python/run"), services["gateway"][0]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("hello Alice", done.stdout)
            self.stop(process)


if __name__ == "__main__":
    unittest.main()
