#!/usr/bin/env python3
"""Runs a local network (`dotagent up`) with some traffic, has a real Prometheus scrape it, and asserts that every query
of the dashboard and every metric of the alerts returns data.

    tests/deploy/dashboard_test.py --bin build/release/bin
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import check_dashboard


class Traffic(threading.Thread):
    """Resolves and sends, over and over, until it is stopped."""

    def __init__(self, command):
        super().__init__()
        self.command = command
        self.stopped = threading.Event()
        self.error = None

    def run(self):
        while not self.stopped.is_set():
            for arguments in (["resolve", "bob.agent", "--no-cache"], ["send", "bob.agent", "hello"]):
                run = self.command(*arguments)
                if run.returncode != 0:
                    self.error = f"dotagent {' '.join(arguments)}: {run.stderr.strip()}"
                    return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", type=Path, required=True, help="the folder of the programs")
    options = parser.parse_args()
    program = str(options.bin.resolve() / "dotagent")

    with tempfile.TemporaryDirectory(prefix="dotagent-dashboard-") as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DOTAGENT_")}
        environment["DOTAGENT_HOME"] = f"{folder}/home"
        network = subprocess.Popen(
            [program, "up", "--json", "--port", "0", "--data-dir", f"{folder}/net"],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        try:
            services = json.loads(network.stdout.readline())["services"]
            gateway = next(each["grpc"] for each in services if each["service"] == "gateway")
            command = [program, "--gateway", gateway, "--timeout", "10"]

            def dotagent(*arguments: str, agent: str = "alice") -> subprocess.CompletedProcess:
                own = ["--name", f"{agent}.agent", "--key", f"{folder}/{agent}.pem"]
                return subprocess.run(
                    command + own + list(arguments), env=environment, capture_output=True, text=True, timeout=60
                )

            for agent in ("alice", "bob"):
                for arguments in (["keygen", f"{folder}/{agent}.pem"], ["register"]):
                    run = dotagent(*arguments, agent=agent)
                    if run.returncode != 0:
                        sys.exit(f"dotagent {' '.join(arguments)}: {run.stderr.strip()}")

            traffic = Traffic(dotagent)
            traffic.start()
            try:
                urls = [f"http://{each['http']}/metrics" for each in services]
                with check_dashboard.running_prometheus(urls) as prometheus:
                    failed = check_dashboard.report(prometheus, seconds=60, window="30s")
            finally:
                traffic.stopped.set()
                traffic.join()
            if traffic.error:
                print(traffic.error, file=sys.stderr)
            return 1 if failed or traffic.error else 0
        finally:
            network.terminate()
            network.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main())
