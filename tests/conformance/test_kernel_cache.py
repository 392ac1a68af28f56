"""A compiled kernel on disk is used again when nothing changed, and never when anything did.

Each scenario is a process of its own with a copy of the package and a cache folder of its own.
Three of them compile the kernel (some 20 s each), so the file is one story told in few tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys, warnings
from scalesim.engines.compiled import kernel, CompiledEngine
from scalesim.components import LoadBalancer, Service, compute
from scalesim.plan import build_plan
from scalesim.recording import RunSpec
from scalesim.topology import Topology
from scalesim.traffic import Traffic
import numpy as np

nrt = "--nrt" in sys.argv
if nrt:
    build, kernel.build_kernel = kernel.build_kernel, lambda: build(nrt=True)
known = kernel.kernel_is_cached()
pool = Service("web", instances=3, workers=2, endpoints={"get": [compute(0.01)]})
model = Topology(LoadBalancer("edge", targets="web"), pool, entry="edge")
plan = build_plan(model, Traffic(100.0))
run = CompiledEngine().run(plan, RunSpec(1, np.asarray([1.0, 2.0]), 0, 100))
kernel.mark_cached()
stats = kernel.build_kernel().stats
print(json.dumps({
    "routed": run.routed.sum(axis=0).tolist(),
    "ended": run.requests[:, 1].tolist(),
    "hits": sum(stats.cache_hits.values()),
    "misses": sum(stats.cache_misses.values()),
    "known": known,
    "known_after": kernel.kernel_is_cached(),
    "file": kernel.__file__,
}))
"""


class Copy:
    """A copy of the package in a folder of its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.package = folder, folder / "scalesim"
        skip = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc", "*.compiled")
        shutil.copytree(source, self.package, ignore=skip)

    def run(self, *options: str, **variables: str) -> dict[str, Any]:
        """Simulate in a process of its own; return what it printed."""
        own = {"PYTHONPATH": str(self.folder), "NUMBA_CACHE_DIR": str(self.folder / "cache")}
        environment = {**os.environ, **own, **variables}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *options],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert Path(answer["file"]).is_relative_to(self.folder)
        return answer

    def insert(self, name: str, after: str, line: str) -> Callable[[], object]:
        """Insert a line into a file, whose time of modification stays; return what undoes it."""
        path = self.package / name
        before, stat = path.read_text(encoding="utf-8"), path.stat()
        edited, count = re.subn(after, lambda match: match[0] + line, before)
        assert count == 1
        path.write_text(edited, encoding="utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        return lambda: path.write_text(before, encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"), repo_root / "scalesim")


def test_cached_kernel_is_used_again_and_never_stale(copy):
    first = copy.run()
    assert first["misses"] == 1
    assert (first["known"], first["known_after"]) == (False, True)
    assert max(first["routed"]) - min(first["routed"]) <= 1  # round robin

    again = copy.run()
    assert (again["hits"], again["misses"]) == (1, 0)
    assert again["known"]
    assert (again["routed"], again["ended"]) == (first["routed"], first["ended"])

    # A callee of a callee, in another file than the entry: everything goes to the first target.
    edit = (
        "policies/load_balancing.py",
        r"def round_robin\(.*\n",
        "    return balancer[b].first\n",
    )
    untouched = copy.insert(*edit)
    edited = copy.run()
    assert edited["misses"] == 1
    assert not edited["known"]
    assert edited["routed"] == [sum(first["routed"]), 0, 0]
    assert edited["ended"] != first["ended"]

    untouched()
    restored = copy.run()
    assert (restored["hits"], restored["misses"]) == (1, 0)
    assert (restored["routed"], restored["ended"]) == (first["routed"], first["ended"])


def test_folder_that_cannot_be_written_and_kernel_with_runtime(tmp_path, repo_root):
    """No cache: compile in this process, say nothing wrong. Also with numba's runtime switched on.

    A folder below a regular file cannot be made, not even by root. Pruning of reference counts is
    off: it takes half a minute on one function of this size, and only makes code faster.
    """
    copy = Copy(tmp_path / "copy", repo_root / "scalesim")
    file = tmp_path / "file"
    file.touch()
    (copy.package / "engines" / "compiled" / "__pycache__").touch()
    below = dict.fromkeys(
        ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"), str(file / "x")
    )
    answer = copy.run("--nrt", NUMBA_LLVM_REFPRUNE_PASS="0", **below)
    assert (answer["known"], answer["known_after"]) == (False, False)
    assert answer["hits"] == 0
    assert sum(answer["routed"]) > 100


def test_every_source_of_the_kernel_is_in_the_digest():
    """A module whose functions are compiled, or whose names they read, cannot change unnoticed."""
    import inspect

    from scalesim.engines.compiled import kernel, ladders

    digested = {module.__name__ for module in kernel._SOURCES}
    policies = set(ladders.POLICY_FUNCTIONS) | set(ladders.LADDERS)
    for function in kernel._helpers():
        if function not in policies:
            assert function.__module__ in digested, function
        for name in inspect.getclosurevars(function).globals:
            value = function.__globals__[name]
            if inspect.isfunction(value) and value not in policies:
                assert value.__module__ in digested, (function, name)
