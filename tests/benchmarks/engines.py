"""What is compared: scalesim, the C programs and the peers, each as a command to run.

Here live the building and installing that a command needs, all of it under `.benchmark-env/` at the
project's root, so that the project's own environment is not touched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / ".benchmark-env"
TIMEOUT = 900  # s for one run of one engine


@dataclass(frozen=True)
class Engine:
    """One row of the table; `why_not` is set instead of `command` where it cannot be run."""

    name: str
    requests: int = 0  # in one full run: about a second's work
    command: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    rounds: int = 5  # takes part in so many rounds
    why_not: str = ""

    def run(self, model: str, requests: int, seed: int) -> dict[str, Any]:
        """Return the JSON line that the engine prints, or {"reason": ...}."""
        command = [*self.command, model, str(requests), str(seed), *self.options]
        environment = dict(os.environ)
        if self.command[0] != sys.executable:
            environment.pop("PYTHONPATH", None)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT, env=environment
            )
        except subprocess.TimeoutExpired:
            return {"reason": f"took more than {TIMEOUT} s"}
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            return {"reason": f"failed: {last}"}
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


def make_build_folder() -> None:
    BUILD.mkdir(exist_ok=True)
    (BUILD / ".gitignore").write_text("*\n", encoding="utf-8")


def scalesim() -> Engine:
    command = (sys.executable, str(HERE / "models.py"))
    return Engine("scalesim, compiled engine", 2_000_000, command)


def c_programs() -> list[Engine]:
    names = ["C, inverse draws", "C, ziggurat draws"]
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        return [Engine(name, why_not="no C compiler") for name in names]
    make_build_folder()
    program = BUILD / "models"
    source = HERE / "c" / "models.c"
    command = [compiler, "-O3", "-march=native", "-o", str(program), str(source), "-lm"]
    if subprocess.run(command).returncode:
        return [Engine(name, why_not="models.c did not compile") for name in names]
    draws = ["inverse", "ziggurat"]
    return [
        Engine(name, 2_000_000, (str(program),), (kind,))
        for name, kind in zip(names, draws, strict=True)
    ]


# name in the table, stem of script and requirements, oldest Python, requests in a full run, rounds
PEERS = [
    ("SimPy, processes", "simpy", (3, 11), 100_000, 5),
    ("cimba", "cimba", (3, 11), 1_000_000, 3),
    ("ciw", "ciw", (3, 11), 30_000, 3),
    ("happysim", "happysim", (3, 13), 20_000, 3),
    ("asyncflow-sim", "asyncflow", (3, 12), 20_000, 3),
]


def peers() -> Iterator[Engine]:
    for name, stem, oldest, requests, rounds in PEERS:
        python = interpreter(oldest)
        if python is None:
            why_not = "needs Python {}.{} or newer, none found".format(*oldest)
            yield Engine(name, why_not=why_not)
            continue
        environment = BUILD / stem
        if not installed(environment, python, HERE / "peers" / f"requirements-{stem}.txt"):
            yield Engine(name, why_not=f"pip could not install it (see {BUILD.name}/{stem}.log)")
            continue
        script = HERE / "peers" / f"run_{stem}.py"
        command = (str(environment / "bin" / "python"), str(script))
        yield Engine(name, requests, command, rounds=rounds)


def interpreter(oldest: tuple[int, int]) -> str | None:
    """Return this Python, or else one on the PATH or of pyenv's that is not older than `oldest`."""
    if sys.version_info[:2] >= oldest:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(oldest[1], 15)]
    candidates = [path for path in map(shutil.which, names) if path]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for name in names:
        version = name.removeprefix("python")
        candidates += map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/{name}")))
    works = "import sys, venv; sys.exit(sys.version_info < ({}, {}))".format(*oldest)
    for candidate in candidates:
        # A shim of pyenv's can be on the PATH without a Python behind it.
        if not subprocess.run([candidate, "-c", works], capture_output=True).returncode:
            return candidate
    return None


def installed(environment: Path, python: str, requirements: Path) -> bool:
    """Make the environment unless it is there and of these requirements."""
    wanted = requirements.read_text(encoding="utf-8")
    stamp = environment / "requirements.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return True
    print(f"installing {requirements.name}", file=sys.stderr)
    make_build_folder()
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "-r", str(requirements)]
    with (BUILD / f"{environment.name}.log").open("w", encoding="utf-8") as log:
        for command in ([python, "-m", "venv", "--clear", str(environment)], pip):
            if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode:
                return False
    stamp.write_text(wanted, encoding="utf-8")
    return True
