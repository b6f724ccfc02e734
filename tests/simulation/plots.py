#!/usr/bin/env python3
"""Draws docs/images/success.svg and docs/images/rounds.svg from the outputs of dotagent-sim in docs/simulation/.

    make plots                                   draws again
    tests/simulation/plots.py --run --bin build/release/bin/dotagent-sim    simulates again first: half an hour

The largest network is not simulated again: it is the row `large` of the table (simulate.py --only large --keep)."""

import argparse
import sys

import runs

PATHS = (1, 4, 8)
HOSTILE = (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
SUCCESS_NODES = 2_000
SIZES = (1_000, 10_000)  # and that of the row `large`


def run(binary: str) -> None:
    success = [
        runs.simulate(binary, {"nodes": SUCCESS_NODES, "hostile": hostile, "paths": paths, "lookups": 2_000})
        for paths in PATHS
        for hostile in HOSTILE
    ]
    runs.keep("success", success)
    runs.keep("rounds", [runs.simulate(binary, {"nodes": nodes, "lookups": 10_000}) for nodes in SIZES])


def new_axes():
    import matplotlib  # installed by `make plots`; not needed to simulate

    matplotlib.use("svg")
    # So that the same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "dotagent"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    axes.grid(alpha=0.3)
    return figure, axes


def save(figure, name: str) -> None:
    figure.tight_layout()
    figure.savefig(runs.ROOT / "docs" / "images" / f"{name}.svg", metadata={"Date": None})


def draw_success(results: list[dict]) -> None:
    figure, axes = new_axes()
    lowest = min(100 * result["success"] for result in results)
    # Lines that lie on each other stay apart by their marks.
    for paths, marker, size in zip(sorted({result["paths"] for result in results}), "os^", (6, 9, 5), strict=True):
        line = sorted((100 * r["hostile"], 100 * r["success"]) for r in results if r["paths"] == paths)
        axes.plot(*zip(*line), marker=marker, markersize=size, fillstyle="none" if marker == "s" else "full", label=f"d = {paths}")
    axes.set_xlabel("hostile nodes (half drop, half lie), %")
    axes.set_ylabel("lookups that found the owner's record, %")
    axes.set_title(f"{results[0]['nodes']:,} nodes, static, seed {results[0]['seed']}")
    axes.set_ylim(max(0, lowest - 1), 100.2)
    axes.legend()
    save(figure, "success")


def draw_rounds(results: list[dict]) -> None:
    figure, axes = new_axes()
    results = sorted(results, key=lambda result: result["nodes"])
    sizes = [result["nodes"] for result in results]
    for key, label in (("rounds_mean", "mean"), ("rounds_p50", "p50"), ("rounds_p99", "p99")):
        axes.plot(sizes, [result[key] for result in results], marker="o", label=label)
    axes.set_xscale("log")
    axes.set_xlabel("nodes (logarithmic)")
    axes.set_ylabel("rounds of a lookup")
    axes.set_title(f"Static, no hostile node, d = {results[0]['paths']}, seed {results[0]['seed']}")
    axes.set_ylim(bottom=0)
    axes.legend()
    save(figure, "rounds")


def draw() -> None:
    """Each plot whose results are kept."""
    large = [result for result in runs.kept("table") if result["row"] == "large"]
    for name, draw_one, more in (("success", draw_success, []), ("rounds", draw_rounds, large)):
        results = runs.kept(name)
        if results:
            draw_one(results + more)
        else:
            print(f"docs/simulation/{name}.json is not there: --run makes it")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--run", action="store_true", help="simulate again first")
    parser.add_argument("--bin", default=str(runs.ROOT / "build/release/bin/dotagent-sim"), help="dotagent-sim")
    options = parser.parse_args()
    if options.run:
        run(options.bin)
    draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())
