"""Runs of dotagent-sim and their kept outputs: what simulate.py and plots.py share."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / "docs" / "simulation"


def simulate(binary: str, arguments: dict[str, object]) -> dict:
    """Runs dotagent-sim with these options and returns its JSON, with the peak of its memory added."""
    command = [binary, "--json"] + [f"--{name}={value}" for name, value in arguments.items()]
    if sys.stderr.isatty():
        command.append("--progress")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with status {process.returncode}")
    result = json.loads(output)
    result["peak_rss_bytes"] = usage.ru_maxrss * 1024
    result["commit"] = commit()
    result["machine"] = machine()
    return result


def keep(name: str, results: list[dict]) -> None:
    """Writes docs/simulation/NAME.json: a list, one result a line."""
    KEPT.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(result) for result in results)
    (KEPT / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def kept(name: str) -> list[dict]:
    """What keep() wrote; nothing if it never did."""
    path = KEPT / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def commit() -> str:
    """The commit that is checked out, in short."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def machine() -> str:
    """The machine, in a few words."""
    model = next(line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").open(encoding="utf-8") if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB"
