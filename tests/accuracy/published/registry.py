"""Cases by name: what a source expects, the model that answers it, and how the two are compared.

A case is a function of the seed that builds a topology and traffic, simulates once, and returns its
figures by name. A figure of the form ``metric[variant]`` is compared with what is expected of
``metric``; so a model of which several variants must agree returns each of them.

A figure holds if its tolerance and its 99 % interval over the seeds together reach what is
expected. Seeds are fixed, so a test that passes passes again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy.judge import Expected, Verdict, judge

__all__ = ["CASES", "EXPECTED", "UNSUPPORTED", "case", "run"]

Figures = dict[str, Any]

_DATA = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))
EXPECTED: dict[str, dict[str, Any]] = {each["id"]: each for each in _DATA["cases"]}
UNSUPPORTED: dict[str, str] = _DATA["unsupported"]
"""Id of a case -> what the library lacks to express it."""

CASES: dict[str, Case] = {}
WIDEST = 0.2
"""Half of the widest interval that still counts as an answer, relative to the figure."""


@dataclass(frozen=True)
class Case:
    """A model that answers a case, and how many seeds give its interval."""

    model: Callable[[int], Figures]
    trials: int


def case(*names: str, trials: int = 10) -> Callable[[Callable[..., Figures]], Any]:
    """Register the model of a case, or of several: then the model takes the name as well."""

    def register(model: Callable[..., Figures]) -> Callable[..., Figures]:
        for name in names:
            if len(names) == 1:
                CASES[name] = Case(model, trials)
            else:
                CASES[name] = Case(lambda seed, name=name: model(seed, name), trials)
        return model

    return register


def run(name: str) -> list[tuple[str, Verdict, bool]]:
    """Run a case and judge its figures: (figure, verdict, whether it holds) of each."""
    model, trials = CASES[name].model, CASES[name].trials
    samples = [model(1), model(2)]
    if samples[0] == samples[1]:  # without chance
        samples = samples[:1]
    else:
        samples += [model(seed) for seed in range(3, trials + 1)]
    expected = EXPECTED[name]["expected"]
    rows = []
    for figure in samples[0]:
        wanted = expected[figure.partition("[")[0]]
        tolerance = Expected(wanted["value"], "published", wanted["tolerance_rel"])
        for verdict in judge(tolerance, [each[figure] for each in samples], figures=1):
            rows.append((figure, verdict, _holds(verdict)))
    missing = set(expected) - {figure.partition("[")[0] for figure in samples[0]}
    if missing:
        raise AssertionError(f"{name} does not answer {', '.join(sorted(missing))}")
    return rows


def _holds(verdict: Verdict) -> bool:
    if verdict.wrong:
        return False
    return not verdict.half or verdict.half <= WIDEST * math.fabs(verdict.expected)
