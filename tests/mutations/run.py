"""Does the suite notice a broken semantics? ``python tests/mutations/run.py [NAME...]``

Copies the project, breaks one rule at a time on purpose (in both engines where both have it), runs
the tests that should notice, and prints which one did. The exit status is 1 if a mutant survives.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["MUTANTS", "ROOT", "Edit", "Mutant"]

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("scalesim", "tests", "models", "pyproject.toml")


class Edit(NamedTuple):
    """Replace `old`, which stands in the file once, by `new`."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One rule broken, and the tests that should fail."""

    name: str
    broken: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


TRACES, THEORY = "tests/traces", "tests/theory"
COMPILED, REFERENCE = "scalesim/engines/compiled", "scalesim/engines/reference"

MUTANTS = (
    Mutant(
        "tie order",
        "arrivals come before departures at the same instant",
        (
            Edit(
                "scalesim/ops.py",
                "DEPARTURE, ARRIVAL, TIMER = 1, 2, 3",
                "DEPARTURE, ARRIVAL, TIMER = 2, 1, 3",
            ),
        ),
        (f"{TRACES}/test_time_traces.py",),
    ),
    Mutant(
        "first come first served",
        "the last in the waiting line is served next",
        (
            Edit(
                f"{COMPILED}/stations.py",
                "    tail = here.tail\n    if tail >= 0:\n"
                "        st.strand[ix(tail)].next = i\n    else:\n        here.head = i\n"
                "    here.tail = i\n",
                "    me.next = here.head\n    if here.head < 0:\n        here.tail = i\n"
                "    here.head = i\n",
            ),
            Edit(f"{REFERENCE}/stations.py", "first = self.line.pop(0)", "first = self.line.pop()"),
        ),
        (f"{TRACES}/test_service_traces.py", f"{THEORY}/test_single_station.py"),
    ),
    Mutant(
        "processor share",
        "n requests on c cores each progress at c / (n + 1)",
        (
            Edit(f"{COMPILED}/stations.py", "here.slots / n\n", "here.slots / (n + 1)\n"),
            Edit(f"{REFERENCE}/stations.py", "self.slots / n\n", "self.slots / (n + 1)\n"),
        ),
        (f"{TRACES}/test_service_traces.py", f"{THEORY}/test_single_station.py"),
    ),
    Mutant(
        "LRU touch",
        "a hit leaves the item where it was",
        (
            Edit(
                "scalesim/policies/eviction.py",
                "    touched = staticmethod(rules.move_to_head)\n",
                "    touched = staticmethod(rules.change_nothing)\n",
            ),
        ),
        (f"{TRACES}/test_cache_traces.py",),
    ),
    Mutant(
        "replicas apply",
        "one replica never applies the writes",
        (
            Edit(
                "scalesim/components/database.py",
                "for replica in range(1, group):",
                "for replica in range(2, group):",
            ),
        ),
        (f"{TRACES}/test_database_traces.py",),
    ),
    Mutant(
        "retry count",
        "one attempt more than asked for",
        (
            Edit(
                f"{COMPILED}/operations.py",
                "attempt == rule.attempts",
                "attempt - 1 == rule.attempts",
            ),
            Edit(
                f"{REFERENCE}/interpreter.py",
                "number == rule.attempts",
                "number - 1 == rule.attempts",
            ),
        ),
        (f"{TRACES}/test_client_traces.py",),
    ),
    Mutant(
        "warm-up cut",
        "the last bucket of the warm-up is measured",
        (
            Edit(
                "scalesim/results/measured.py",
                "[each.spec.warmup_buckets :]",
                "[max(each.spec.warmup_buckets - 1, 0) :]",
            ),
        ),
        (f"{TRACES}/test_time_traces.py",),
    ),
    Mutant(
        "percentile rank",
        "quantiles are one rank too high",
        (
            Edit(
                "scalesim/results/latency.py",
                "rank = max(1, math.ceil(p * total - 1e-9))",
                "rank = min(total, math.ceil(p * total - 1e-9) + 1)",
            ),
        ),
        ("tests/test_results.py", f"{TRACES}/test_time_traces.py"),
    ),
    Mutant(
        "time weighting",
        "utilization and depth count changes, not time",
        (
            Edit(
                f"{COMPILED}/stations.py",
                "here.depth_area += here.depth * elapsed",
                "here.depth_area += here.depth",
            ),
            Edit(
                f"{REFERENCE}/stations.py",
                "self.depth_area += self.depth * elapsed",
                "self.depth_area += self.depth",
            ),
        ),
        (f"{TRACES}/test_service_traces.py", f"{THEORY}/test_laws.py"),
    ),
    Mutant(
        "bracket side",
        "a rate that meets the objective is taken as the failing side",
        (Edit("scalesim/studies/bracketing.py", "if self.ask(rate):", "if not self.ask(rate):"),),
        ("tests/studies/test_forecast.py",),
    ),
)


def main(names: list[str]) -> int:
    """Try the mutants of these names (all, if none is given)."""
    chosen = [each for each in MUTANTS if not names or each.name in names]
    survivors = []
    print("| rule | broken so that | noticed by | s |\n|---|---|---|---|")
    for mutant in chosen:
        start = time.monotonic()
        killer = _first_failure(mutant)
        seconds = round(time.monotonic() - start)
        print(
            f"| {mutant.name} | {mutant.broken} | {killer or '**nothing**'} | {seconds} |",
            flush=True,
        )
        survivors += [] if killer else [mutant.name]
    return 1 if survivors else 0


def _first_failure(mutant: Mutant) -> str:
    """Return the first test that fails for a mutant; empty if none does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        for edit in mutant.edits:
            path = copy / edit.file
            text = path.read_text(encoding="utf-8")
            assert text.count(edit.old) == 1, f"{mutant.name}: {edit.file} has changed"
            path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "--no-header",
                "-p",
                "no:cacheprovider",
                *mutant.tests,
            ],
            cwd=copy,
            env={"PYTHONPATH": f"{copy}:{copy / 'tests'}", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return failed[0].split(" - ")[0].split(" ", 1)[1] if failed else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
