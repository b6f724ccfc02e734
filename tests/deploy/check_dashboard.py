#!/usr/bin/env python3
"""Asserts that every query of the Grafana dashboard and of the alerts returns data from running services, and that no
two of the dashboard's panels have one id or one place.

    tests/deploy/check_dashboard.py http://127.0.0.1:8080/metrics http://127.0.0.1:8081/metrics
        starts Debian's Prometheus on a free port, with deploy/prometheus/prometheus.yml scraping these
    tests/deploy/check_dashboard.py --prometheus http://127.0.0.1:9090
        asks one that runs

Waits until each query has returned a number, at most --seconds in all. Exit status 0 if all have.
"""

import argparse
import contextlib
import json
import math
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "dotagent.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"
POLL_SECONDS = 0.5
METRIC = re.compile(r"\bdotagent_[a-z0-9_]+\b")


def panels(board: dict) -> list[dict]:
    """All panels with queries, those inside of rows too."""
    found = []
    for panel in board["panels"]:
        found += panels(panel) if panel.get("panels") else []
        found += [panel] if panel.get("targets") else []
    return found


def misplaced() -> list[str]:
    """A line for each pair of panels that Grafana would take for one, or draw over each other."""
    board = json.loads(DASHBOARD.read_text())["panels"]
    problems = []
    for number, panel in enumerate(board):
        a = panel["gridPos"]
        for other in board[:number]:
            b = other["gridPos"]
            pair = f"{other['title']} and {panel['title']}"
            if panel["id"] == other["id"]:
                problems.append(f"{pair} have the id {panel['id']}")
            beside = a["x"] >= b["x"] + b["w"] or b["x"] >= a["x"] + a["w"]
            below = a["y"] >= b["y"] + b["h"] or b["y"] >= a["y"] + a["h"]
            if not beside and not below:
                problems.append(f"{pair} overlap")
    return problems


def dashboard_queries(window: str) -> list[tuple[str, str]]:
    """(panel's title, query), with Grafana's variables put in as "all"."""
    queries = []
    for panel in panels(json.loads(DASHBOARD.read_text())):
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", window)
            queries.append((panel["title"], re.sub(r"\$(?:\w+|\{\w+\})", ".*", query)))
    return queries


def alert_queries() -> list[tuple[str, str]]:
    """(alert, metric) for each metric of each alert: an alert that watches a name that nobody exports never fires."""
    text = (PROMETHEUS / "alerts.yml").read_text()
    queries = []
    for block in re.split(r"^\s*- alert: ", text, flags=re.M)[1:]:
        name, _, rest = block.partition("\n")
        expression = re.search(r"expr: (.*?)\n\s*(?:for|labels|annotations):", rest, re.S)
        queries += [(f"alert {name.strip()}", metric) for metric in sorted(set(METRIC.findall(expression[1])))]
    return queries


def ask(prometheus: str, path: str, **parameters: str) -> dict:
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)["data"]


def has_data(prometheus: str, query: str) -> bool:
    return any(not math.isnan(float(sample["value"][1])) for sample in ask(prometheus, "query", query=query)["result"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_prometheus(metrics_urls: list[str]):
    program = shutil.which("prometheus")
    if program is None:
        sys.exit("there is no prometheus: scripts/install-dependencies --test")
    targets = []
    for url in metrics_urls:
        parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}/metrics")
        if parts.path != "/metrics":
            sys.exit(f"{url}: expected http://HOST:PORT/metrics")
        targets.append(parts.netloc)
    with tempfile.TemporaryDirectory(prefix="dotagent-prometheus-") as folder:
        home = Path(folder)
        (home / "targets").mkdir()
        (home / "targets" / "all.json").write_text(json.dumps([{"targets": targets}]))
        config = (PROMETHEUS / "prometheus.yml").read_text()
        (home / "prometheus.yml").write_text(re.sub(r"(scrape_interval|evaluation_interval): \S+", r"\1: 1s", config))
        shutil.copyfile(PROMETHEUS / "alerts.yml", home / "alerts.yml")
        address = f"127.0.0.1:{free_port()}"
        with (home / "log").open("w+") as log:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={home / 'prometheus.yml'}",
                    f"--storage.tsdb.path={home / 'data'}",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
            try:
                wait_ready(f"http://{address}", process, home / "log")
                yield f"http://{address}"
            finally:
                process.terminate()
                process.wait(timeout=30)


def wait_ready(prometheus: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{prometheus}/-/ready", timeout=2) as response:
            if response.status == 200:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
    sys.exit(f"prometheus did not get ready:\n{log.read_text()[-2000:]}")


def missing_queries(prometheus: str, seconds: float, window: str) -> list[tuple[str, str]]:
    """Prints a line for each query that answers, and returns those that have not within `seconds`."""
    waiting = dashboard_queries(window) + alert_queries()
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        answered = [each for each in waiting if has_data(prometheus, each[1])]
        for title, query in answered:
            print(f"data     {title}: {query}")
        waiting = [each for each in waiting if each not in answered]
        if waiting:
            pause.wait(POLL_SECONDS)
    return waiting


def report(prometheus: str, seconds: float, window: str) -> bool:
    """Prints a line for each query. True if any has no data, any rule is broken, or any panel is misplaced."""
    missing = missing_queries(prometheus, seconds, window)
    broken = [
        f"{rule['name']}: {rule.get('lastError')}"
        for group in ask(prometheus, "rules")["groups"]
        for rule in group["rules"]
        if rule["health"] == "err"
    ]
    for title, query in missing:
        print(f"NO DATA  {title}: {query}")
    broken += misplaced()
    for each in broken:
        print(f"BROKEN   {each}")
    return bool(missing or broken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prometheus", help="base URL of one that runs")
    parser.add_argument("--seconds", type=float, default=60, help="how long to wait for data (60)")
    parser.add_argument("--window", default="30s", help="what $__rate_interval stands for (30s)")
    parser.add_argument("metrics", nargs="*", help="http://HOST:PORT/metrics of each service")
    options = parser.parse_args()
    if bool(options.prometheus) == bool(options.metrics):
        parser.error("give either --prometheus or the services' /metrics")
    source = contextlib.nullcontext(options.prometheus) if options.prometheus else running_prometheus(options.metrics)
    with source as prometheus:
        return int(report(prometheus, options.seconds, options.window))


if __name__ == "__main__":
    sys.exit(main())
