"""An agent that floods its gateway is throttled, then quarantined, while others are served; and is let in again when its time is up.

What happens is printed as it does: `python3 tests/integration/abuse_test.py`.
"""

import http.server
import json
import os
import subprocess
import threading
import time
import unittest
import urllib.request

from case import BIN, OK, REFUSED, UNREACHABLE, NetworkCase, dotagent, wait_for

QUARANTINE_S = 12
# Small, so that it takes seconds: 20 calls a second, points for two or three seconds of flood throttle, for twice as many quarantine.
LIMITS = {"agent_rate": "20", "agent_burst": "200", "throttle_score": "12", "quarantine_score": "24", "quarantine_time": f"{QUARANTINE_S}s"}


def tell(what):
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


class AbuseTest(NetworkCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.strict = cls.network.service("gateway", "strict", resolver=cls.resolvers[0].info["grpc"], identity=cls.identity.info["grpc"], **LIMITS).start()

    def options(self, name, gateway=0):
        options = super().options(name, gateway)
        options[1] = self.strict.info["grpc"]
        return options

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.strict.info['http']}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    def metric(self, name, **labels):
        found = [value for series, value in self.metrics().items()
                 if series.startswith(name + "{") and all(f'{label}="{text}"' in series for label, text in labels.items())]
        self.assertEqual(len(found), 1, name)
        return found[0]

    def doctor(self, name, expect, *arguments):
        done = dotagent("--json", *self.options(name), "doctor", *arguments)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        return report, {check["check"]: check for check in report["checks"]}

    def test_a_flood(self):
        for name in ("alice", "bob", "mallory"):
            self.register(name)
        _, checks = self.doctor("mallory", OK)
        self.assertEqual({check["result"] for check in checks.values()}, {"ok"}, checks)
        tell(f"mallory before: {checks['standing']['details']}")

        with subprocess.Popen([os.path.join(BIN, "flooder"), self.strict.info["grpc"], str(self.folder), "mallory", "bob.agent"], stdout=subprocess.PIPE,
                              text=True) as flooder:
            delivered = 0
            heard = []
            for line in flooder.stdout:
                tell(f"mallory floods: {line.strip()}")
                heard.append(line.split())
                # Whenever mallory is told something new, alice is served.
                self.run_ok(*self.options("alice"), "send", "bob.agent", f"while mallory floods, {delivered}")
                delivered += 1
        self.assertEqual(flooder.returncode, 0)
        self.assertEqual([words[1] for words in heard[:-1]], ["TAKEN", "RATE_LIMITED", "THROTTLED", "QUARANTINED"])
        self.assertLess(0, int(heard[1][2]))
        self.assertGreater(QUARANTINE_S * 1000 + 1, int(heard[3][2]))
        ended = time.monotonic()
        _, sent, _, taken = heard[-1]
        self.assertLess(int(taken), int(sent) / 2, "most were refused")
        wait_for(lambda: self.metric("dotagent_gateway_quarantines_total", of="agent") == 1, "the gateway counts no quarantine")
        self.assertGreaterEqual(self.metric("dotagent_gateway_anomalies_total", of="agent", kind="flood"), 2)
        self.assertEqual(self.metric("dotagent_gateway_bad_standing", of="agent", standing="quarantined"), 1)
        self.assertGreater(self.metric("dotagent_gateway_turned_away_total", of="agent", cause="rate"), 20)

        self.run_refused(REFUSED, "quarantined", *self.options("mallory"), "send", "bob.agent", "still here")
        _, checks = self.doctor("mallory", REFUSED)
        self.assertEqual(checks["standing"]["result"], "fail")
        tell(f"mallory's doctor: {checks['standing']['details']}: {checks['standing']['advice']}")
        report, checks = self.doctor("alice", OK, "--http", self.strict.info["http"])
        self.assertEqual(checks["standing"]["result"], "ok")
        self.assertEqual(checks["conduct"]["result"], "warn")
        worst = report["standings"]["agents"][0]
        self.assertEqual((worst["party"], worst["standing"]), (self.run_ok("--key", self.key("mallory"), "id")["peer_id"], "quarantined"))
        tell(f"the operator's: {checks['conduct']['details']}, {worst['party']}")
        self.assertLess(time.monotonic() - ended, QUARANTINE_S, "this machine is too slow to look within the quarantine")

        def let_in():
            return dotagent("--json", *self.options("mallory"), "send", "bob.agent", "sorry").returncode == OK

        wait_for(let_in, "mallory's quarantine does not end", QUARANTINE_S + 30)
        waited = time.monotonic() - ended
        tell(f"mallory is let in again after {waited:.1f} s")
        self.assertGreater(waited, QUARANTINE_S - 1.5)
        _, checks = self.doctor("mallory", OK)
        self.assertEqual(checks["standing"]["result"], "ok", checks["standing"])

        # All of alice's messages are there.
        inbox = self.listen("bob", 0, "--count", str(int(taken) + delivered + 1))
        senders = [json.loads(line)["sender"] for line in inbox.stdout if '"message"' in line]
        self.assertEqual(senders.count("alice.agent"), delivered)


class Liar(http.server.BaseHTTPRequestHandler):
    """An HTTP port that answers with JSON of other types than a gateway's."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b'{"agents": [1, {"party": 2, "standing": 5, "score": "x"}, {"standing": "throttled"}], "gateways": 7}')

    def log_message(self, *_):
        pass


class DoctorTest(unittest.TestCase):
    def test_it_minds_no_nonsense(self):
        with http.server.HTTPServer(("127.0.0.1", 0), Liar) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            done = dotagent("--gateway", "127.0.0.1:1", "--timeout", "1", "doctor", "--http", f"127.0.0.1:{server.server_port}")
            server.shutdown()
        self.assertIn("1 throttled or quarantined", done.stdout, done.stderr)
        self.assertEqual(done.returncode, UNREACHABLE, done.stderr)  # of the gateway


if __name__ == "__main__":
    unittest.main()
