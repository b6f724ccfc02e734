"""Durable subscriptions: a subscriber that is away, and a gateway that is killed, lose nothing that a publisher was told is published."""

import json
import unittest

from case import OK, REFUSED, NetworkCase, dotagent


class DurableTest(NetworkCase):
    def setUp(self):
        self.register("alice", 0)
        self.register("bob", 0)

    def publish(self, text):
        return self.run_ok(*self.options("alice", 0), "publish", "prices.eu", text)

    def subscribe(self, count):
        """Takes `count` publications, acknowledges them, and goes away. Returns all that was printed."""
        done = dotagent("--json", *self.options("bob", 0), "subscribe", "alice.agent", "prices.>", "--durable", "prices", "--count", str(count))
        self.assertEqual(done.returncode, OK, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def texts(self, count):
        return [event["content"]["text"] for event in self.subscribe(count) if event["event"] == "publication"]

    def listed(self):
        done = dotagent("--json", *self.options("bob", 0), "subscriptions")
        self.assertEqual(done.returncode, OK, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_everything_that_was_confirmed_arrives(self):
        print("bob subscribes, reads one publication, and goes away")
        subscriber = self.network.dotagent_in_background("--json", *self.options("bob", 0), "subscribe", "alice.agent", "prices.>", "--durable", "prices", "--count", "1")
        self.assertEqual(json.loads(subscriber.stdout.readline())["event"], "subscribed")
        self.publish("first")
        self.assertEqual(json.loads(subscriber.stdout.readline())["content"], {"text": "first"})
        self.assertEqual(subscriber.wait(20), OK)

        confirmed = []
        for life in range(3):
            for number in range(20):
                text = f"life {life}, number {number}"
                self.publish(text)
                confirmed.append(text)
            print(f"alice was told of {len(confirmed)} publications; the gateway is killed")
            self.gateways[0].kill()
            self.gateways[0].restart_where_it_was()
        self.publish("last")
        confirmed.append("last")
        self.assertEqual([(one["name"], one["waiting"], one["not_kept"]) for one in self.listed()], [("prices", len(confirmed), 0)])

        print("bob comes back for ten, dies, and comes back for the rest")
        self.assertEqual(self.texts(10), confirmed[:10])
        self.gateways[0].kill()
        self.gateways[0].restart_where_it_was()
        self.assertEqual(self.texts(len(confirmed) - 10), confirmed[10:])
        self.assertEqual(self.listed()[0]["waiting"], 0)

        print("the subscription is ended, and forgotten")
        self.run_ok(*self.options("bob", 0), "unsubscribe", "prices")
        self.assertEqual(self.listed(), [])

    def test_a_name_stands_for_one_subscription(self):
        self.run_refused(REFUSED, "must be 1", *self.options("bob"), "subscribe", "alice.agent", "prices.>", "--durable", "a/b", "--count", "1")


if __name__ == "__main__":
    unittest.main()
