"""The checks of a forecast's arguments, and its progress display."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from scalesim.errors import InvalidInput, Problem, shown
from scalesim.fields import in_python
from scalesim.studies.objective import Objective
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, Growth, Traffic

__all__ = ["Ticker", "check_arguments"]


class Ticker:
    """Counts simulations on standard error while a forecast runs."""

    def __init__(self, show: bool | None) -> None:
        self.show = sys.stderr.isatty() if show is None else show
        self.bar: Any = None

    def __enter__(self) -> Callable[[], None]:
        if self.show:
            from tqdm.auto import tqdm

            form = "forecast: {n} simulations [{elapsed}]"
            self.bar = tqdm(bar_format=form, leave=False, delay=0.5)
        return self.tick

    def tick(self) -> None:
        if self.bar is not None:
            self.bar.update(1)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def check_arguments(
    topology: Any,
    traffic: Any,
    growth: Any,
    objective: Any,
    months: Any,
    peak_window: Any,
    trials: Any,
    requests: Any,
) -> None:
    """Raise `InvalidInput` with every argument that can't be used."""
    problems: list[Problem] = []
    if not isinstance(topology, Topology):
        problems.append(
            Problem("topology", f"got {type(topology).__name__}, allowed is a Topology")
        )
    if isinstance(traffic, AnyTraffic) and not isinstance(traffic, Traffic):
        message = f"{traffic.type_name} traffic has no rate that could grow; give open traffic"
        problems.append(Problem("traffic", message))
    elif not isinstance(traffic, Traffic):
        problems.append(Problem("traffic", f"got {type(traffic).__name__}, allowed is a Traffic"))
    else:
        problems += _described("traffic", traffic, Traffic)
    if isinstance(growth, Growth):
        problems += _described("growth", growth, Growth)
    else:
        allowed = "allowed is a Growth, or a number: 0.15 is 15 % a month"
        hint = in_python(growth, "1/month") or allowed
        problems.append(Problem("growth", f"got {shown(growth)}, {hint}"))
    problems += _described("objective", objective, Objective)
    for name, value, low, high in (
        ("months", months, 1, 1200),
        ("trials", trials, 2, 100),
        ("requests", requests, 1000, 10**8),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            text = f"got {value!r}, allowed is a whole number from {low} to {high}"
            problems.append(Problem(name, text))
    if not isinstance(peak_window, (int, float)) or not 0 < peak_window < math.inf:
        problems.append(Problem("peak_window", f"got {peak_window!r}, allowed is a time above 0 s"))
    if not problems:
        peak = traffic.peak_rate(peak_window) * growth.factor(months)
        if not peak <= 1e9:
            text = (
                f"month {months} would have a peak of {peak:.3g} requests/s; at most 1e9 is allowed"
            )
            problems.append(Problem("growth", text))
    if problems:
        raise InvalidInput(problems)


def _described(name: str, value: Any, cls: type[Any]) -> Sequence[Problem]:
    if not isinstance(value, cls):
        return [Problem(name, f"got {value!r}, allowed is a {cls.__name__}")]
    return [Problem(".".join([name, *map(str, each.path)]), each.message) for each in value.check()]
