"""Sidecar mode: an agent without a key talks through a gateway of its own, and nobody else gets at the socket."""

import json
import os
import queue
import stat
import subprocess
import sys
import threading
import unittest

from case import BIN, NOT_FOUND, ROOT, NetworkCase, dotagent, wait_for

NOBODY = 65534


def in_stubs(python, *arguments, **keywords):
    """Starts the example agent; see examples/python/sidecar.py."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "build/python-example/stubs")}
    return subprocess.Popen([python, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **keywords)


class SidecarTest(NetworkCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = subprocess.run([str(ROOT / "examples/python/setup")], stdout=subprocess.PIPE, text=True, timeout=240, check=True)
        cls.python = made.stdout.strip()
        cls.socket = str(cls.folder / "side" / "agent.sock")
        cls.sidecar = cls.network.service("gateway", "sidecar", resolver=cls.resolvers[0].info["grpc"], identity=cls.identity.info["grpc"],
                                          sidecar_socket=cls.socket, agent_name="sid.agent", agent_key=str(cls.folder / "sid.pem")).start()

    def agent(self, *arguments):
        process = in_stubs(self.python, str(ROOT / "examples/python/sidecar.py"), self.socket, *arguments)
        self.network.background.append(process)
        return process

    def ran(self, *arguments):
        process = self.agent(*arguments)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        return out

    def refused(self, *arguments):
        process = self.agent(*arguments)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, err)
        return err

    def wait_registered(self):
        def registered():
            return dotagent("--json", *self.options("asker"), "resolve", "sid.agent").returncode != NOT_FOUND

        wait_for(registered, "the gateway has registered its agent")

    def test_messages_and_requests_both_ways(self):
        self.register("bob", 1)
        self.wait_registered()
        bob = self.listen("bob", 1, "--requests", "echo")

        # From the agent without a key to bob, who verifies by the record in the DHT.
        self.ran("send", "bob.agent", "hello")
        event = json.loads(bob.stdout.readline())
        self.assertEqual((event["message"]["sender"], event["message"]["content"]), ("sid.agent", {"text": "hello"}))
        self.assertEqual(json.loads(self.ran("ask", "bob.agent", "who?")), {"text": "who?"})

        # And from bob to it.
        serving = self.agent("serve")
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in serving.stdout], daemon=True).start()
        self.assertEqual(lines.get(timeout=30), "listening\n")
        self.run_ok(*self.options("bob", 1), "send", "sid.agent", "hello yourself")
        self.assertEqual(lines.get(timeout=30), 'message from bob.agent {"text":"hello yourself"}\n')
        answer = dotagent(*self.options("bob", 1), "request", "sid.agent", "--content", '{"method":"ping"}')
        self.assertEqual((answer.returncode, answer.stdout.strip()), (0, '{"method":"ping"}'), answer.stderr)
        self.assertEqual(lines.get(timeout=30), 'request from bob.agent {"method":"ping"}\n')

        self.assertIn("NOT_FOUND", self.refused("send", "nobody.agent", "hello"))
        self.assertIn("UNAVAILABLE", self.refused("ask", "nobody-listens.agent", "?") if self.register("nobody-listens", 1) else "")

    def test_only_the_users_own_processes_get_in(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(self.socket)).st_mode), 0o700)
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        probe = "import os, socket, sys\nos.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
        probe += "s.settimeout(20)\ns.connect(sys.argv[1])\ns.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))\n"
        probe += "print(len(s.recv(100)))"

        def tried_by(probe):
            done = subprocess.run([sys.executable, "-c", probe, self.socket], capture_output=True, text=True, timeout=60, check=False)
            return done.stdout.strip(), done.stderr

        own = probe.replace("os.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n", "")
        self.assertGreater(int(tried_by(own)[0]), 0)  # the server's SETTINGS: the probe is one that gets in
        self.assertIn("PermissionError", tried_by(probe)[1])
        # Also where the modes were loosened: the kernel says who it is.
        chmod = [(path, stat.S_IMODE(os.stat(path).st_mode), mode) for path, mode in
                 ((str(self.folder), 0o755), (os.path.dirname(self.socket), 0o755), (self.socket, 0o666))]
        try:
            for path, _, mode in chmod:
                os.chmod(path, mode)
            out, err = tried_by(probe)
            self.assertTrue(out == "0" or "ConnectionResetError" in err or "BrokenPipeError" in err, (out, err))
        finally:
            for path, mode, _ in chmod:
                os.chmod(path, mode)

    def test_no_agent_is_served_on_the_tcp_port(self):
        done = dotagent("--gateway", self.sidecar.info["grpc"], *self.options("asker")[2:], "resolve", "sid.agent")
        self.assertNotEqual(done.returncode, 0)

    def test_a_stale_socket_is_replaced_and_a_live_one_is_not(self):
        other = str(self.folder / "other" / "agent.sock")
        options = {"resolver": self.resolvers[0].info["grpc"], "sidecar_socket": other, "agent_name": "other.agent", "agent_key": str(self.folder / "other.pem")}
        first = self.network.service("gateway", "side-1", **options).start()
        second = subprocess.run([os.path.join(BIN, "dotagent-gateway"), "--data-dir", str(self.folder / "side-2"),
                                 *(part for name, value in options.items() for part in ("--" + name.replace("_", "-"), value))],
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another process listens on", second.stderr)
        first.kill()
        self.assertTrue(os.path.exists(other))
        first.start()
        first.stop()
        self.assertFalse(os.path.exists(other))


if __name__ == "__main__":
    unittest.main()
