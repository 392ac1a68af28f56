"""The notebooks run from start to end, and are committed as they ran: with outputs, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 600_000

EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
where = {"metadata": {"path": sys.argv[2]}}
NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
nbformat.write(notebook, sys.argv[3])
"""
"""In a process of its own: Jupyter's event loop and its warnings stay out of pytest."""

EXPECTED = {
    "01_first_forecast.ipynb": ("bottleneck:", "first: at", "in month", "as it is: p99"),
}
"""Words that each notebook must print."""


def cells(path: Path) -> list[dict]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(path: Path) -> str:
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    return "".join("".join(each.get("text", "")) for each in outputs)


def pictures(path: Path) -> int:
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    return sum("image/png" in each.get("data", {}) for each in outputs)


def test_every_notebook_is_expected() -> None:
    assert [path.name for path in NOTEBOOKS] == sorted(EXPECTED)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_as_it_ran(path: Path) -> None:
    assert path.stat().st_size <= MAX_BYTES
    numbers = [cell["execution_count"] for cell in cells(path)]
    assert numbers == list(range(1, len(numbers) + 1))
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert [each["ename"] for each in outputs if each["output_type"] == "error"] == []
    assert [each["text"] for each in outputs if each.get("name") == "stderr"] == []
    assert [word for word in EXPECTED[path.name] if word not in printed(path)] == []
    assert str(ROOT) not in path.read_text(encoding="utf-8"), "no path of one machine"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    out = tmp_path / path.name
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(path), str(path.parent), str(out)],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert [word for word in EXPECTED[path.name] if word not in printed(out)] == []
    assert pictures(out) == pictures(path)
