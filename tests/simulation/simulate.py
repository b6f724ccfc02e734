#!/usr/bin/env python3
"""Runs what the DHT must reach, one row after another, and prints a table: the bar, the figure, whether it is reached.

    make simulate                 all rows at full size: hours
    make simulate QUICK=1         a tenth of the nodes and lookups: minutes
    tests/simulation/simulate.py --bin build/release/bin/dotagent-sim --only churn --only absent --keep

With --keep the outputs go to docs/simulation/table.json, in place of those of the same rows, and the table to
docs/simulation.md. Exit status 1 if a bar is missed."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import runs

# 35 % of the nodes gone in 24 h: 1 - (1 - x/24)^24 = 0.35 for nodes that leave at a constant rate.
CHURN_OF_A_DAY = 0.01795


@dataclass
class Row:
    name: str
    what: str
    bar: str
    arguments: dict[str, object]
    figure: Callable[[dict], str]
    reached: Callable[[dict], bool]


def success(result: dict) -> str:
    return f"{100 * result['success']:.2f} %"


def stolen(result: dict) -> str:
    contested = result["names_contested"] / max(1, result["names_published"])
    return f"{result['names_stolen']} stolen, {100 * contested:.2f} % contested"


def absent_ratio(result: dict) -> float:
    return result["absent_messages_per_lookup"] / max(1e-9, result["messages_per_lookup"])


ROWS = [
    Row("static", "lookups, static, 20 % hostile (drop and lie), d=8", "≥ 99 %",
        {"nodes": 10_000, "hostile": 0.2, "lookups": 10_000},
        success, lambda r: r["success"] >= 0.99),
    Row("churn", "the same with 30 % of nodes replaced an hour", "≥ 98 %",
        {"nodes": 10_000, "hostile": 0.2, "churn": 0.3, "hours": 1, "lookups": 10_000},
        success, lambda r: r["success"] >= 0.98),
    Row("honest", "no hostile node, 30 %/h churn", "≥ 99.9 %",
        {"nodes": 10_000, "churn": 0.3, "hours": 1, "lookups": 10_000},
        success, lambda r: r["success"] >= 0.999),
    Row("claim", "20 % hostile, all claim every name, first-claim", "0 stolen, ≤ 4 % contested",
        {"nodes": 10_000, "hostile": 0.2, "behaviour": "claim", "lookups": 10_000, "names": 10_000},
        stolen, lambda r: r["names_stolen"] == 0 and r["names_contested"] <= 0.04 * r["names_published"]),
    Row("registrar", "the same, registrar policy", "0 stolen, 0 contested",
        {"nodes": 10_000, "hostile": 0.2, "behaviour": "claim", "lookups": 10_000, "names": 10_000, "policy": "registrar"},
        stolen, lambda r: r["names_stolen"] == 0 and r["names_contested"] == 0),
    Row("absent", "a name that does not exist", "NOT_FOUND, ≤ 2 × the messages",
        {"nodes": 10_000, "lookups": 4_000, "absent": 0.5},
        lambda r: f"{r['absent_not_found']} of {r['absent_lookups']}, {absent_ratio(r):.2f} ×",
        lambda r: r["absent_not_found"] == r["absent_lookups"] and absent_ratio(r) <= 2),
    Row("day", "records lost in 24 h, 35 % of nodes gone by its end", "0 of 10,000",
        {"nodes": 10_000, "churn": CHURN_OF_A_DAY, "hours": 24, "lookups": 10_000, "names": 10_000, "ttl": "48h", "refresh": "false"},
        lambda r: f"{r['records_lost']} of {r['names_published']}",
        lambda r: r["records_lost"] == 0 and r["names_unpublished"] == 0),
    Row("large", "100,000 nodes, static", "< 15 min, < 16 GiB, ≤ 100 KB a node",
        {"nodes": 100_000, "lookups": 10_000},
        lambda r: f"{r['wall_s'] / 60:.1f} min, {r['peak_rss_bytes'] / 2**30:.1f} GiB, {r['ram_bytes_per_node'] / 1000:.1f} KB",
        lambda r: r["wall_s"] < 900 and r["peak_rss_bytes"] < 16 * 2**30 and r["ram_bytes_per_node"] <= 100_000),
]  # fmt: skip


PAGE = runs.ROOT / "docs" / "simulation.md"
BEGIN, END = "<!-- simulate.py: begin -->\n", "<!-- simulate.py: end -->\n"


def keep(results: list[dict]) -> None:
    """Keeps the outputs beside those of other rows, and writes the table of all of them into the page."""
    by_row = {result["row"]: result for result in [*runs.kept("table"), *results]}
    runs.keep("table", [by_row[row.name] for row in ROWS if row.name in by_row])
    lines = ["| what | must be | is | | took | commit |", "| --- | --- | --- | --- | ---: | --- |"]
    for row in ROWS:
        result = by_row.get(row.name)
        if result is None:
            lines.append(f"| {row.what} | {row.bar} | no result kept | | | |")
            continue
        verdict = "reached" if row.reached(result) else "missed"
        lines.append(f"| {row.what} | {row.bar} | {row.figure(result)} | {verdict} | {result['wall_s']:.0f} s | {result['commit']} |")
    machines = sorted({result["machine"] for result in by_row.values()})
    seeds = sorted({str(result["seed"]) for result in by_row.values()})
    lines.append(f"\nOn {'; '.join(machines)}; seed {', '.join(seeds)}. Each row's options and all its figures: docs/simulation/table.json.")
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


def shrunk(arguments: dict[str, object]) -> dict[str, object]:
    """A tenth of the nodes, lookups and names."""
    return {name: value // 10 if name in ("nodes", "lookups", "names") else value for name, value in arguments.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", default=str(runs.ROOT / "build/release/bin/dotagent-sim"), help="dotagent-sim")
    parser.add_argument("--quick", action="store_true", help="a tenth of the nodes, lookups and names")
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS], help="run this row; repeatable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the outputs, and write the table into docs/simulation.md")
    options = parser.parse_args()
    print(f"On {runs.machine()}{'; a tenth of the size' if options.quick else ''}, seed {options.seed}.\n")
    layout = "{:52}  {:36}  {:34}  {}"
    print(layout.format("what", "must be", "is", ""))
    results = []
    failed = False
    for row in ROWS:
        if options.only and row.name not in options.only:
            continue
        arguments = shrunk(row.arguments) if options.quick else row.arguments
        result = runs.simulate(options.bin, {**arguments, "seed": options.seed})
        results.append({"row": row.name, **result})
        reached = row.reached(result)
        failed |= not reached
        verdict = ("reached" if reached else "MISSED") + f", {result['wall_s']:.0f} s"
        print(layout.format(row.what, row.bar, row.figure(result), verdict), flush=True)
    if options.keep and not options.quick:
        keep(results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
