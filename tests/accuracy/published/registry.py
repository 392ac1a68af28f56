"""Published figures: the models that answer them, as cases of the accuracy suite.

A model is a function of the seed. It builds a topology and traffic, simulates, and returns its
figures by name: all those, and only those, that `cases.json` expects, with the source of each. The
suite repeats a model with other seeds, as many as make its figures precise. A model without chance
returns the same for two seeds, and its figures must be equal to what is expected.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy.judge import Expected
from accuracy.suite import Case, Effort, Reading
from accuracy.words import Unsupported

__all__ = ["MODELS", "TRIALS", "UNSUPPORTED", "Figures", "cases", "model"]

TRIALS = 80
"""Seeds of a model with chance at scale 1: its interval is over them."""

Figures = dict[str, Any]

_DATA = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))
UNSUPPORTED: dict[str, str] = _DATA["unsupported"]
"""Id of a case -> what the library lacks to express it."""


@dataclass(frozen=True)
class Model:
    """What answers a case; `long` if that takes more than a second or two."""

    figures: Callable[[int], Figures]
    long: bool


MODELS: dict[str, Model] = {}


def model(
    name: str, *, long: bool = False, **parameters: Any
) -> Callable[[Callable[..., Figures]], Callable[..., Figures]]:
    """Register the model of a case; several cases may share one, with other parameters."""

    def register(figures: Callable[..., Figures]) -> Callable[..., Figures]:
        MODELS[name] = Model(functools.partial(figures, **parameters), long)
        return figures

    return register


def cases() -> list[Case]:
    """Return every published case, those that the library cannot express included."""
    return [_case(data) for data in _DATA["cases"]]


def _case(data: dict[str, Any]) -> Case:
    expected = {name: Expected.read(each) for name, each in data["expected"].items()}

    def measure(effort: Effort) -> dict[str, Reading]:
        name = data["id"]
        if name in UNSUPPORTED:
            raise Unsupported(UNSUPPORTED[name])
        if effort.engine != "compiled":
            raise Unsupported(f"engine {effort.engine}: models choose their engine")
        try:
            samples = _samples(MODELS[name].figures, effort)
        except Exception as error:  # the suite would take some for words that are not known
            raise AssertionError(f"the model of {name} does not run") from error
        if samples[0].keys() != expected.keys():
            wrong = ", ".join(sorted(samples[0].keys() ^ expected.keys()))
            raise AssertionError(f"{name}: the model and cases.json do not agree on {wrong}")
        return {figure: Reading([each[figure] for each in samples]) for figure in expected}

    return Case(data["id"], data["family"], expected, measure)


def _samples(figures: Callable[[int], Figures], effort: Effort) -> list[Figures]:
    """Return the figures of as many seeds as the effort asks for, of one if there is no chance."""
    seeds = range(effort.seed, effort.seed + max(round(TRIALS * effort.scale), 2))
    first, second = (figures(seed) for seed in seeds[:2])
    return [first] if first == second else [first, second, *map(figures, seeds[2:])]
