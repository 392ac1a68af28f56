"""Cases from theory: a file in the vocabulary of cases, turned into cases of the suite."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accuracy.experiment import simulate
from accuracy.judge import Expected
from accuracy.measure import Measure, Metric, parse
from accuracy.question import Question, changed, in_milliseconds, question, variants
from accuracy.studies import study_of, without_studies
from accuracy.suite import Case, Effort, Reading
from accuracy.table import APART, LEVELS, measure_of
from accuracy.theorem import Theorem
from accuracy.words import Unsupported

__all__ = ["read_cases"]


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a file that holds one or a list of them."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return [_case(each) for each in (data if isinstance(data, list) else [data])]


def _case(data: dict[str, Any]) -> Case:
    expected = {name: Expected.read(each) for name, each in data["expected"].items()}

    def run(effort: Effort) -> dict[str, Reading]:
        return _answer(data["model"], expected, effort)

    return Case(data["id"], data.get("family", ""), expected, run)


def _answer(
    model: dict[str, Any], expected: dict[str, Expected], effort: Effort
) -> dict[str, Reading]:
    """Run every model that the metrics ask about, and read the metrics from it."""
    readings: dict[str, Reading] = {}
    studied = {
        name: study
        for name, right in expected.items()
        if (study := study_of(_without_bound(name, right), model))
    }
    rest = {name: right for name, right in expected.items() if name not in studied}
    questions = list(_asked(without_studies(model), rest)) if rest else []
    for name, study in studied.items():
        readings[name] = study(effort)
    for asked, metrics in questions:
        theorem = Theorem(asked)
        if effort.engine == "analytic":
            readings |= {name: _by_theorem(theorem, each.metric) for name, each in metrics.items()}
            continue
        records = any(each.records for each in metrics.values())
        keys = max((each.keys for each in metrics.values()), default=0)
        trials = simulate(asked, effort, records, keys)
        for name, measure in metrics.items():
            values = [measure.read(trial) for trial in trials]
            if name in readings:  # the same of every variant: they are trials of one figure
                values = [*readings[name].values, *values]
            analytic = theorem.value(measure.metric) if effort.beside else None
            readings[name] = Reading(values, measure.resolution, analytic)
    return readings


def _by_theorem(theorem: Theorem, metric: Metric) -> Reading:
    """Return the analytic engine's value, which must be exact."""
    figure = theorem.figure(metric)
    if figure.kind != "exact":
        raise Unsupported(f"analytic: {metric.name} is only {figure.kind}")
    if math.isnan(figure.value):
        raise Unsupported(f"analytic: {metric.name}: {figure.method}")
    return Reading([figure.value], NUMERICS, figure.value)


NUMERICS = 1e-4
"""Relative error of numerics where the formula is exact: quantiles are searched to about 2e-5."""


def _asked(
    model: dict[str, Any], expected: dict[str, Expected]
) -> Iterator[tuple[Question, dict[str, Measure]]]:
    """Yield each question, and how to read the metrics that are asked of it."""
    groups: list[tuple[dict[str, Any], dict[str, Metric]]] = []
    for name, right in expected.items():
        plain, other = changed(_without_bound(name, right), model)
        for known, metrics in groups:
            if known == other:
                metrics[name] = parse(plain, right.figures)
                break
        else:
            groups.append((other, {name: parse(plain, right.figures)}))
    found = []
    for other, metrics in groups:
        alternatives = list(variants(other))
        spans = frozenset(
            m.station if m.station else "miss" for m in metrics.values()
            if m.label == "miss" or (m.label and m.station)
        )  # fmt: skip
        for label, told in alternatives:
            one = in_milliseconds(told) if _recorded(told) else told
            bases = {m.base for m in metrics.values()}
            each = question(label, one, spans, bool(bases & APART), bool(bases & LEVELS))
            own = {
                name: m for name, m in metrics.items()
                if len(alternatives) == 1 or m.label in ("", label)
            }  # fmt: skip
            measures = {name: measure_of(m, each) for name, m in own.items()}
            if _recorded(told):
                measures = {name: m.in_seconds() for name, m in measures.items()}
            found.append((each, measures))
    read = {name for _, metrics in found for name in metrics}
    for name in expected:
        if name not in read:
            raise Unsupported(f"metric {name}")
    yield from found


def _recorded(model: dict[str, Any]) -> bool:
    """Whether the arrivals are stretches of a clockwork, in which instants coincide."""
    arrival = model.get("arrival")
    return isinstance(arrival, dict) and arrival.get("kind") == "trace_segments"


def _without_bound(name: str, expected: Expected) -> str:
    """Return a metric's name without the ``_max`` or ``_min`` that says that it is a bound."""
    if expected.kind.startswith("bound"):
        return name.removesuffix("_max").removesuffix("_min")
    return name
