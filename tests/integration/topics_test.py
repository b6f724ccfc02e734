"""Topics: publications reach who subscribes, at either gateway, and who misses some is told."""

import json
import queue
import signal
import threading
import unittest

from case import REFUSED, USAGE, NetworkCase, wait_for


class Subscriber:
    """A `dotagent subscribe` in the background, whose output is always read."""

    def __init__(self, case, name, gateway, publisher, pattern, *arguments):
        self.process = case.network.dotagent_in_background("--json", *case.options(name, gateway), "subscribe", f"{publisher}.agent", pattern, *arguments)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        first = self.next()
        case.assertEqual(first.get("event"), "subscribed", self.process.stderr.read() if not first else first)

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("{}")

    def next(self):
        return json.loads(self.lines.get(timeout=60))

    def until(self, wanted):
        """The events up to the first one for which `wanted` holds, with it."""
        events = []
        while not events or not wanted(events[-1]):
            event = self.next()
            if not event:
                raise AssertionError(f"it ended after {events}: {self.process.stderr.read()}")
            events.append(event)
        return events


def text_of(event):
    return event.get("content", {}).get("text")


class TopicsTest(NetworkCase):
    def setUp(self):
        # Names of this test's own.
        self.alice, self.bob, self.carol = (f"{name}-{self._testMethodName.replace('_', '-')[5:40]}" for name in ("alice", "bob", "carol"))
        self.register(self.alice, 0)
        self.register(self.bob, 1)
        self.register(self.carol, 0)

    def publish(self, topic, *arguments, **keywords):
        return self.run_ok(*self.options(self.alice, 0), "publish", topic, *arguments, **keywords)

    def test_here_and_there(self):
        far = Subscriber(self, self.bob, 1, self.alice, "prices.>")
        near = Subscriber(self, self.carol, 0, self.alice, "prices.*", "--count", "2")
        first = self.publish("prices.eu", "gas 42")
        self.assertEqual((first["subscribers"], first["gateways"]), (1, 1))
        self.publish("news", "nothing for them")
        self.publish("prices.us", "--content", '{"gas":43}')
        for subscriber in (far, near):
            one, two = subscriber.next(), subscriber.next()
            self.assertEqual((one["topic"], one["content"], one["sequence"]), ("prices.eu", {"text": "gas 42"}, first["sequence"]))
            self.assertEqual((two["topic"], two["content"], two["sequence"]), ("prices.us", {"gas": 43}, first["sequence"] + 2))
            self.assertEqual(one["message"]["sender"], f"{self.alice}.agent")
        self.assertEqual(near.process.wait(10), 0)

    def test_refusals(self):
        self.run_refused(REFUSED, "between dots", *self.options(self.alice), "publish", "a..b", "text")
        self.run_refused(USAGE, "which is not this one", *self.options(self.alice, 1), "publish", "a", "text")
        self.run_ok(*self.options(self.alice), "inbox-policy", "open", "--guard", "topics")
        self.run_refused(REFUSED, "capability token", *self.options(self.bob, 1), "subscribe", f"{self.alice}.agent", "a")

    def test_a_slow_subscriber_is_told_exactly_what_it_missed(self):
        for name, gateway in ((self.bob, 1), (self.carol, 0)):
            slow = Subscriber(self, name, gateway, self.alice, "logs")
            quick = Subscriber(self, name, gateway, self.alice, "logs")
            slow.process.send_signal(signal.SIGSTOP)
            lines = "".join(f"{number} {'x' * 30_000}\n" for number in range(300))
            last = self.publish("logs", "--lines", stdin=lines)["sequence"]
            self.assertEqual(len(quick.until(lambda event, last=last: event.get("sequence") == last)), 300)
            slow.process.send_signal(signal.SIGCONT)
            end = self.publish("logs", "end")["sequence"]
            events = slow.until(lambda event, end=end: event.get("sequence", event.get("last_sequence", 0)) >= end)
            missed = [event for event in events if event["event"] == "missed"]
            self.assertTrue(missed)
            self.assertEqual({event["cause"] for event in missed}, {"slow subscriber"})
            for event in missed:
                self.assertEqual(event["count"], event["last_sequence"] - event["first_sequence"] + 1)
            # Every number once, as a publication or as missed, in order.
            numbers = []
            for event in events:
                numbers += range(event["first_sequence"], event["last_sequence"] + 1) if event["event"] == "missed" else [event["sequence"]]
            self.assertEqual(numbers, list(range(last - 299, end + 1)))

    def test_the_publishers_gateway_dies_and_comes_back(self):
        subscriber = Subscriber(self, self.bob, 1, self.alice, "prices.>")
        self.publish("prices.eu", "before")
        self.assertEqual(text_of(subscriber.next()), "before")
        self.gateways[0].kill()
        self.gateways[0].restart_where_it_was()

        def reaches_it():
            return self.publish("prices.eu", "after")["gateways"] == 1

        wait_for(reaches_it, "the other gateway has subscribed again", 40)
        events = subscriber.until(lambda event: text_of(event) == "after")
        self.assertEqual(events[0]["event"], "missed")
        self.assertEqual(events[0]["cause"], "restart")


if __name__ == "__main__":
    unittest.main()
