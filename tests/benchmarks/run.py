"""`make benchmark`: the compiled engine beside C, SimPy and other simulators, in one run.

Speeds are measured and printed, never asserted: they depend on the machine and on what else it is
doing. Mean latencies are asserted: the exit status is 1 if one is not what theory says.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import engines
from engines import Engine

MODELS = "abc"
TITLES = {"a": "M/M/1", "b": "M/M/8", "c": "load balancer, web, cache, database"}
RIGHT = {"a": 5.0, "b": 1.87692, "c": 0.015810}  # mean latency [s]; a, b exact, c ± 0.000008
# Standard error of the mean of n successive latencies is SPREAD / sqrt(n) [s]; from 120 runs each
# of the C program, 2026-11-25. Successive latencies are correlated: independent ones would have 5
# in model a.
SPREAD = {"a": 48.0, "b": 23.0, "c": 0.14}
ERRORS_ALLOWED = 5.0


@dataclass
class Row:
    """What was measured of one engine, a list entry a round and model."""

    engine: Engine
    version: str = ""
    deviation: str = ""
    results: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {m: [] for m in MODELS}
    )
    reasons: dict[str, str] = field(default_factory=dict)

    def measure(self, model: str, requests: int, seed: int) -> None:
        if self.engine.why_not or model in self.reasons:
            return
        result = self.engine.run(model, requests, seed)
        if "reason" in result:
            self.reasons[model] = result["reason"]
            return
        self.version = result["version"]
        self.deviation = result.get("deviation", "")
        self.results[model].append(result)

    def speed(self, model: str) -> float:
        """Return requests a second in the best round; NaN if there was none."""
        speeds = [each["requests"] / each["seconds"] for each in self.results[model]]
        return max(speeds, default=math.nan)

    def mean_latency(self, model: str) -> tuple[float, float]:
        """Return the mean over all rounds and how far it may be from the right one [s]."""
        counts = [each["requests"] for each in self.results[model]]
        means = [each["mean_latency_s"] for each in self.results[model]]
        total = sum(counts)
        mean = sum(n * m for n, m in zip(counts, means, strict=True)) / total
        return mean, ERRORS_ALLOWED * SPREAD[model] / math.sqrt(total)

    def is_wrong(self, model: str) -> bool:
        if not self.results[model] or self.deviation:
            return False
        mean, tolerance = self.mean_latency(model)
        return not abs(mean - RIGHT[model]) <= tolerance  # not >: NaN is wrong too


def compare(rows: list[Row], *, rounds: int, share: float) -> None:
    """Run every engine once a round, in turns, so that the machine's drift hits all alike."""
    for number in range(rounds):
        taking_part = [row for row in rows if number < row.engine.rounds]
        for model in MODELS:
            print(f"round {number + 1} of {rounds}, model {model}", file=sys.stderr)
            for row in taking_part if number % 2 == 0 else taking_part[::-1]:
                row.measure(model, round(row.engine.requests * share), seed=number + 1)


def ratio(row: Row, base: Row, model: str) -> str:
    value = row.speed(model) / base.speed(model)
    if math.isnan(value):
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def speed(row: Row, model: str) -> str:
    value = row.speed(model)
    if math.isnan(value):
        return "–"
    text = f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.3g} k"
    return text + ("†" if row.deviation else "")


def latency(row: Row, model: str) -> str:
    if not row.results[model]:
        return "–"
    mean, tolerance = row.mean_latency(model)
    if row.deviation:
        return f"{mean:.4g}†"
    verdict = "WRONG" if row.is_wrong(model) else "ok"
    return f"{mean:.4g} (±{tolerance:.2g} {verdict})"


def table(header: list[str], body: list[list[str]]) -> list[str]:
    """Return a Markdown table whose columns line up in a terminal too."""
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    return [line(header), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, body)]


def speed_table(rows: list[Row]) -> list[str]:
    by_name = {row.engine.name: row for row in rows}
    bases = [by_name[name] for name in ("C, inverse draws", "SimPy, processes") if name in by_name]
    header = ["engine", "version", *(f"{m}: requests/s" for m in MODELS)]
    header += [f"a / b / c, times {base.engine.name}" for base in bases]
    header += [f"{m}: mean latency, s" for m in MODELS]
    body, notes = [], []
    for row in rows:
        cells = [row.engine.name, row.version or "–", *(speed(row, m) for m in MODELS)]
        cells += [" / ".join(ratio(row, base, m) for m in MODELS) for base in bases]
        cells += [latency(row, m) for m in MODELS]
        body.append(cells)
        if row.engine.why_not:
            notes.append(f"* {row.engine.name}: {row.engine.why_not}.")
        notes += [f"* {row.engine.name}, model {m}: {why}." for m, why in row.reasons.items()]
        if row.deviation:
            notes.append(f"* † {row.engine.name} runs its nearest model: {row.deviation}.")
    return [*table(header, body), "", *notes]


def flatness_table(engine: Engine, sizes: list[int]) -> list[str]:
    """Return cost and memory against run length, each cell from a process of its own."""
    header = ["requests"]
    header += [f"{m}: {unit}" for m in MODELS for unit in ("ns a request", "peak RSS, MiB")]
    body = []
    for size in sizes:
        cells = [f"{size:.0e}".replace("e+0", "e")]
        for model in MODELS:
            print(f"flatness, {size} requests, model {model}", file=sys.stderr)
            runs = [engine.run(model, size, seed) for seed in range(1, 2 if size > 1e7 else 4)]
            runs = [run for run in runs if "reason" not in run]
            if not runs:
                cells += ["–", "–"]
                continue
            nanoseconds = min(1e9 * run["seconds"] / run["requests"] for run in runs)
            cells += [f"{nanoseconds:.0f}", f"{max(run['peak_rss_mib'] for run in runs):.0f}"]
        body.append(cells)
    return table(header, body)


IMPORT = (
    "import time; started = time.perf_counter(); import scalesim;"
    "print(time.perf_counter() - started)"
)


def start_up_table(repeats: int = 5) -> list[str]:
    """Return medians; the first run of each, which may compile, is not counted."""
    imports, firsts = [], []
    small = [sys.executable, str(engines.HERE / "first_result.py")]
    for _ in range(repeats + 1):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
        )
        imports.append(float(done.stdout))
        started = time.perf_counter()
        subprocess.run(small, capture_output=True, check=True)
        firsts.append(time.perf_counter() - started)
    body = [
        ["`import scalesim`", f"{statistics.median(imports[1:]):.3f}"],
        ["first result, whole process, warm cache", f"{statistics.median(firsts[1:]):.2f}"],
    ]
    return table(["start-up", f"s, median of {repeats}"], body)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds of a fifth of the requests")
    parser.add_argument("--huge", action="store_true", help="flatness up to 10^8 requests")
    parser.add_argument("--no-peers", action="store_true", help="scalesim and C only")
    parser.add_argument("--output", type=Path, help="also write the tables to this Markdown file")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    rounds, share, largest = (3, 0.2, 6) if options.quick else (5, 1.0, 7)
    largest = 8 if options.huge else largest
    subject = engines.scalesim()
    others = [*engines.c_programs(), *([] if options.no_peers else engines.peers())]
    rows = [Row(engine) for engine in [subject, *others]]
    compare(rows, rounds=rounds, share=share)
    lines = [
        "# Benchmark",
        "",
        *(f"* {m}: {TITLES[m]}; right mean latency {RIGHT[m]:g} s" for m in MODELS),
        "",
        f"Speeds: best of {rounds} rounds (peers but SimPy: of 3).",
        "",
        *speed_table(rows),
        "",
        "Compiled engine against run length (best of 3 processes, of 1 above 10^7):",
        "",
        *flatness_table(subject, [10**power for power in range(4, largest + 1)]),
        "",
        *start_up_table(),
    ]
    report = "\n".join(lines) + "\n"
    print(report)
    if options.output:
        options.output.write_text(report, encoding="utf-8")
    faults = [f"{r.engine.name}, {m}: wrong mean" for r in rows for m in MODELS if r.is_wrong(m)]
    faults += [f"{subject.name}, model {m}: {why}" for m, why in rows[0].reasons.items()]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
