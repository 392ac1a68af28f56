"""The examples run as a reader would run them, and print what they are there to show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MAX_LINES = 40

EXPECTED = {
    "01_one_server.py": ("theory", "200.00", "four times the latency"),
    "02_what_breaks_first.py": ("first: at", "in month", "Fix:", "Why:", "breaks at"),
    "03_compare_designs.py": ("7 connections:", "same seeds:", "other seeds:"),
    "04_retry_storm.py": ("the spike", "100% without retries, 0% with retries"),
}
"""Words that each example must print."""


def test_every_example_is_expected() -> None:
    assert [path.name for path in EXAMPLES] == sorted(EXPECTED)


def test_examples_are_short() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in EXAMPLES}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    missing = [word for word in EXPECTED[path.name] if word not in done.stdout]
    assert missing == [], done.stdout


def test_one_server_agrees_with_theory() -> None:
    """Within 5 % up to 90/s (at 95/s chance alone is a few percent)."""
    path = ROOT / "examples" / "01_one_server.py"
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    rows = [line.split() for line in done.stdout.splitlines() if line[:6].strip().isdigit()]
    assert len(rows) == 5
    for _rate, _used, simulated, theory, _p99 in rows[:4]:
        assert float(simulated) == pytest.approx(float(theory), rel=0.05)
