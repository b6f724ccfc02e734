"""A recipient moves to another gateway while a sender is in the middle of a stream of messages to it: nothing that was acknowledged is lost or comes twice.

Bob reads at his old gateway all the while, and afterwards what has come to his new one. The sender's gateway finds him there without being told.
"""

import time

from case import BIN, Network, wait_for
from inbox_kill_test import mailer, register

IN_FLIGHT = 16
BEFORE = AFTER = 300  # messages


class Mail:
    """What the mailer has said so far."""

    def __init__(self, process):
        self.lines, self.sent, self.got = iter(process.stdout.readline, ""), set(), []

    def hear(self, enough):
        """Listens until it is enough, or the mailer has ended."""
        while not enough():
            line = next(self.lines, None)
            if line is None:
                return
            word, *rest = line.split()
            if word == "sent":
                self.sent.add(int(rest[0]))
            elif word == "got":
                self.got.append(int(rest[1]))
            else:
                assert word in ("ready", "begun", "acked", "settled", "done"), line


def drain(gateway, folder):
    process = mailer(gateway.info["grpc"], folder, "drain")
    mail = Mail(process)
    mail.hear(lambda: False)
    process.stdout.close()
    assert process.wait(60) == 0
    return mail.got


def main():
    with Network(BIN) as network:
        resolver = network.service("resolver", "resolver").start()
        alices, old, new = [network.service("gateway", name, resolver=resolver.info["grpc"]).start() for name in ("alices", "old", "new")]
        register(alices, network.folder, "alice")
        register(old, network.folder, "bob")
        process = mailer(alices.info["grpc"], old.info["grpc"], network.folder, "ack", int(time.time()), 1, IN_FLIGHT)
        mail = Mail(process)
        mail.hear(lambda: len(mail.got) >= BEFORE)
        register(new, network.folder, "bob")
        # From some moment on all of them go there: as many as are under way may still come to the old one.
        moved_at, quiet_since, came = len(mail.sent), 0, len(mail.got)

        def all_go_there():
            nonlocal quiet_since, came
            if len(mail.got) != came:
                came, quiet_since = len(mail.got), len(mail.sent)
            return len(mail.sent) - max(quiet_since, moved_at) >= AFTER

        mail.hear(all_go_there)
        assert process.poll() is None, "the mailer has ended early"
        alices.kill()
        mail.hear(lambda: False)
        process.stdout.close()
        assert process.wait(60) == 0, f"the mailer ended with status {process.returncode}"
        at_old = mail.got + drain(old, network.folder)
        at_new = wait_for(lambda: drain(new, network.folder), "messages at the new gateway")
        assert len(at_new) >= AFTER
        lost = mail.sent - set(at_old) - set(at_new)
        assert not lost, f"acknowledged, and lost: {sorted(lost)}"
        assert len(set(at_old + at_new)) == len(at_old) + len(at_new), "some came twice"
        print(f"{len(mail.sent)} messages acknowledged, {len(at_old)} of them read at the old gateway, {len(at_new)} at the new one")


if __name__ == "__main__":
    main()
