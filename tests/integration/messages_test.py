"""Messages and channels: what was acknowledged is never lost, and reaches an agent that comes back."""

import json
import os
import unittest

from case import UNREACHABLE, NetworkCase, wait_for


class MessagesTest(NetworkCase):
    def setUp(self):
        # Names of this test's own, so that inboxes start empty.
        self.alice, self.bob = (f"{name}-{self._testMethodName.replace('_', '-')[5:40]}" for name in ("alice", "bob"))
        self.register(self.alice, 0)
        self.register(self.bob, 1)

    def send(self, *arguments):
        return self.run_ok(*self.options(self.alice), "send", f"{self.bob}.agent", *arguments)["id"]

    def receive(self, count, *arguments):
        """Listens for so many messages, acknowledges them, and returns them."""
        process = self.listen(self.bob, 1, "--count", str(count), *arguments)
        output = process.stdout.read()  # not communicate(), which passes over what readline() has buffered
        self.assertEqual(process.wait(30), 0, process.stderr.read())
        return [json.loads(line) for line in output.splitlines()]

    def pending(self):
        process = self.network.dotagent_in_background("--json", *self.options(self.bob, 1), "listen")
        first = json.loads(process.stdout.readline())
        process.kill()
        process.communicate()
        return first["pending"]

    def test_offline_then_online(self):
        sent = [self.send(f"message {number}") for number in range(5)]
        received = self.receive(5)
        self.assertEqual([message["id"] for message in received], sent)
        self.assertEqual(received[0]["sender"], f"{self.alice}.agent")
        self.assertEqual(received[4]["content"], {"text": "message 4"})
        wait_for(lambda: self.pending() == 0, "acknowledged messages are gone")

    def test_unacknowledged_comes_again(self):
        sent = self.send("again")
        self.assertEqual([message["id"] for message in self.receive(1, "--no-ack")], [sent])
        self.assertEqual([message["id"] for message in self.receive(1)], [sent])

    def test_acknowledged_send_survives_kill_9(self):
        sent = [self.send(f"message {number}") for number in range(3)]
        self.gateways[1].kill()
        self.gateways[1].restart_where_it_was()
        self.assertEqual([message["id"] for message in self.receive(3)], sent)

    def test_a_request_is_answered_across_gateways(self):
        listener = self.listen(self.bob, 1, "--requests", "echo", "--count", "1")
        asked = {"method": "add", "numbers": [1, 2]}
        answer = self.run_ok(*self.options(self.alice), "request", f"{self.bob}.agent", "--content", json.dumps(asked))
        self.assertEqual((answer["type"], answer["sender"], answer["content"]), ("RESPONSE", f"{self.bob}.agent", asked))
        heard = json.loads(listener.stdout.readline())
        self.assertEqual((heard["event"], heard["id"], heard["sender"]), ("request", answer["id"], f"{self.alice}.agent"))
        self.assertEqual(listener.wait(30), 0)

    def test_a_request_to_who_does_not_listen_is_refused_at_once(self):
        self.run_refused(UNREACHABLE, "is not listening", *self.options(self.alice), "request", f"{self.bob}.agent", "anyone?")
        self.assertEqual(self.pending(), 0)

    def test_attachment(self):
        path = self.folder / "picture"
        path.write_bytes(os.urandom(100_000))
        self.send("--file", str(path), "--media-type", "image/png")
        (message,) = self.receive(1)
        self.assertEqual(message["attachment_bytes"], 100_000)
        self.assertEqual(message["content"]["mediaType"], "image/png")

    def test_an_attachment_over_the_limit(self):
        path = self.folder / "large"
        path.write_bytes(bytes(1024 * 1024 + 1))
        self.run_refused(4, "1048576", *self.options(self.alice), "send", f"{self.bob}.agent", "--file", str(path))

    def test_types_and_content(self):
        self.send("--type", "REQUEST", "--content", '{"method":"ping","numbers":[1,2.5,-3e-7]}')
        (message,) = self.receive(1)
        self.assertEqual(message["type"], "REQUEST")
        self.assertEqual(message["content"], {"method": "ping", "numbers": [1, 2.5, -3e-7]})

    def test_channel_on_one_gateway_and_echo(self):
        self.register(self.bob, 0)
        listener = self.listen(self.bob, 0, "--channels", "echo", "--count", "1")
        text = "hello in private\n" * 1000
        answer = self.run_ok(*self.options(self.alice), "channel", f"{self.bob}.agent", stdin=text)
        self.assertEqual((answer["path"], answer["answer"]), ("local", text))
        self.assertEqual(listener.wait(10), 0)

    def test_many_channels_at_once(self):
        self.listen(self.bob, 1, "--channels", "digest")
        callers = [self.network.dotagent_in_background("--json", *self.options(self.alice), "channel", f"{self.bob}.agent") for _ in range(8)]
        for number, caller in enumerate(callers):
            output, errors = caller.communicate("x" * (number + 1) * 10_000, timeout=60)
            self.assertEqual(caller.returncode, 0, errors)
            self.assertEqual(json.loads(json.loads(output)["answer"])["bytes"], (number + 1) * 10_000)

    def test_the_listener_dies(self):
        listener = self.listen(self.bob, 1, "--channels", "digest")
        caller = self.network.dotagent_in_background(*self.options(self.alice), "channel", f"{self.bob}.agent")
        self.assertIn("open", caller.stderr.readline())
        listener.kill()
        self.assertNotEqual(caller.wait(20), 0)


if __name__ == "__main__":
    unittest.main()
