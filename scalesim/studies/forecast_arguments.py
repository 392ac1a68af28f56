"""The checks of a forecast's arguments, and its progress display."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scalesim.errors import InvalidInput, Problem, shown
from scalesim.fields import in_python
from scalesim.plan import require_fit
from scalesim.studies.bracketing import HIGHEST_RATE, LOWEST_RATE
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
    seed: Any,
) -> None:
    """Check all that `forecast` is given before anything is simulated.

    Raises
    ------
    InvalidInput
        With every argument that can't be used.
    InvalidModel
        The traffic does not fit the topology.
    """
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
        ("seed", seed, 0, 2**62),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            text = f"got {value!r}, allowed is a whole number from {low} to {high}"
            problems.append(Problem(name, text))
    if not isinstance(peak_window, (int, float)) or not 0 < peak_window < math.inf:
        problems.append(Problem("peak_window", f"got {peak_window!r}, allowed is a time above 0 s"))
    if not problems:
        problems += _peaks(traffic.peak_rate(peak_window), growth.monthly_factors(months))
    if problems:
        raise InvalidInput(problems)
    require_fit(topology, traffic)


def _peaks(today: float, factors: Sequence[float]) -> Iterator[Problem]:
    """Yield a problem for the first month whose peak no traffic can have."""
    for month, factor in enumerate(factors):
        peak = today * factor
        if not LOWEST_RATE <= peak <= HIGHEST_RATE:
            low = peak < LOWEST_RATE
            limit = f"at least {LOWEST_RATE:g}" if low else f"at most {HIGHEST_RATE:g}"
            text = f"month {month} would have a peak of {peak:.3g} requests/s; {limit} is allowed"
            yield Problem("growth" if month else "traffic", text)
            return


def _described(name: str, value: Any, cls: type[Any]) -> Sequence[Problem]:
    if not isinstance(value, cls):
        return [Problem(name, f"got {value!r}, allowed is a {cls.__name__}")]
    return [Problem(".".join([name, *map(str, each.path)]), each.message) for each in value.check()]
