"""Rates that change over time: the pointwise stationary approximation and the fluid backlog.

Green & Kolesar, Management Science 37 (1991): at each moment as if its rate held for ever. Where
the rate is beyond the capacity there is no steady state; the line then grows by the difference (a
fluid), and drains likewise.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scalesim.engines.analytic.labels import Figure
from scalesim.engines.analytic.results import AnalyticResults
from scalesim.engines.analytic.solver import Solver
from scalesim.topology import Topology
from scalesim.traffic import RateProfile, Traffic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnalyticProfile", "solve_profile"]

_MOST_RATES = 40
_POINTWISE = "pointwise stationary"
_OVER_TIME = ("busy_mean", "utilization", "queue_depth_mean", "throughput_rps",
              "arrival_rate_rps", "in_flight_mean")  # fmt: skip


class Stretch(NamedTuple):
    """A stretch of constant rate."""

    start: float
    end: float
    rate: float


class AnalyticProfile(AnalyticResults):
    """Analytic results under a rate that changes: figures averaged over time or over requests.

    ``profile_table`` has them stretch by stretch, with the fluid backlog.
    """

    def __init__(self, whole: AnalyticResults, stretches: list[Stretch],
                 at_rate: dict[float, AnalyticResults]) -> None:  # fmt: skip
        super().__init__(whole.topology, whole.traffic, whole.solver, whole.solution)
        self.stretches, self.at_rate = stretches, at_rate

    @property
    def unstable(self) -> str:
        return next((each.unstable for each in self.at_rate.values() if each.unstable), "")

    def metric(
        self,
        name: str,
        component: str | None = None,
        resource: str | None = None,
        endpoint: str | None = None,
    ) -> Figure:
        if name in ("capacity_rps", "offered_utilization"):
            return super().metric(name, component, resource, endpoint)
        total = weight = 0.0
        methods = {_POINTWISE}
        figures = {
            rate: results.metric(name, component, resource, endpoint)
            for rate, results in self.at_rate.items()
            if rate > 0
        }
        for stretch in self.stretches:
            figure = figures.get(_near(stretch.rate, self.at_rate))
            if figure is None:
                continue
            share = stretch.end - stretch.start
            share *= 1.0 if name in _OVER_TIME else stretch.rate
            total += share * figure.value
            weight += share
            if figure.kind != "exact":
                methods.add(figure.method)
        if name in _OVER_TIME:
            weight = self.stretches[-1].end - self.stretches[0].start
        value = total / weight if weight else math.nan
        return Figure(value, "approximate", ", ".join(sorted(methods)))

    def profile_table(self) -> pd.DataFrame:
        """Return one row for each stretch: rate, latency, and the fluid backlog at its end."""
        import pandas as pd

        capacity, backlog = self.capacity.value, 0.0
        rows = []
        for start, end, rate in self.stretches:
            backlog = max(backlog + (rate - capacity) * (end - start), 0.0)
            steady = self.at_rate.get(_near(rate, self.at_rate))
            rows.append(
                {
                    "start_s": start,
                    "end_s": end,
                    "rate_rps": rate,
                    "offered_utilization_ratio": rate / capacity,
                    "latency_mean_s": math.nan
                    if steady is None or rate == 0
                    else steady.metric("latency_mean_s").value,
                    "latency_method": _POINTWISE,
                    "backlog_requests": backlog,
                    "backlog_drain_s": backlog / capacity,
                    "backlog_method": "fluid",
                }
            )
        return pd.DataFrame(rows)

    def summary(self) -> str:
        table = self.profile_table()
        worst = table["backlog_requests"].max()
        lines = [super().summary()]
        if worst > 0:
            at = float(table["end_s"].iloc[int(table["backlog_requests"].argmax())])
            lines.append(
                f"beyond capacity for a while: about {worst:,.4g} requests wait at "
                f"{at:,.6g} s (approximate: fluid)"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        records = self.profile_table().to_dict("records")
        plain = [
            {str(k): None if isinstance(v, float) and not math.isfinite(v) else v
             for k, v in row.items()}
            for row in records
        ]  # fmt: skip
        return super().to_dict() | {"profile": plain}


def solve_profile(
    topology: Topology, traffic: Traffic, profile: RateProfile, start: float, end: float
) -> AnalyticResults:
    """Return the results over ``[start, end)`` of the profile (all of it if they are equal)."""
    if end <= start:
        start, end = 0.0, profile.period
    stretches = _stretches(profile, start, end)
    rates = sorted({stretch.rate for stretch in stretches if stretch.rate > 0})
    if len(rates) > _MOST_RATES:
        rates = [float(r) for r in np.linspace(rates[0], rates[-1], _MOST_RATES)]
    solver = Solver(topology, traffic)
    at_rate = {
        rate: AnalyticResults(
            topology, dataclasses.replace(traffic, rate=rate), solver, solver.solve(rate)
        )
        for rate in rates
    }
    seconds = end - start
    mean = math.fsum(s.rate * (s.end - s.start) for s in stretches) / seconds
    whole = AnalyticResults(topology, traffic, solver, solver.solve(mean))
    return AnalyticProfile(whole, stretches, at_rate)


def _near(rate: float, at_rate: dict[float, AnalyticResults]) -> float:
    return min(at_rate, key=lambda known: abs(known - rate))


def _stretches(profile: RateProfile, start: float, end: float) -> list[Stretch]:
    found = []
    first = int(start // profile.bucket)
    count = len(profile.rates)
    index = first
    while index * profile.bucket < end:
        beyond = index >= count and not profile.repeat
        rate = 0.0 if beyond else profile.rates[index % count]
        low = max(index * profile.bucket, start)
        high = end if beyond else min((index + 1) * profile.bucket, end)
        found.append(Stretch(low, high, float(rate)))
        if beyond:
            break
        index += 1
    return found
