"""Rates that change over time: the pointwise stationary approximation and the fluid backlog.

Green & Kolesar, Management Science 37 (1991): at each moment as if its rate held for ever. Where
the rate is beyond the capacity there is no steady state; the line then grows by the difference (a
fluid), and drains likewise: until it has, figures that depend on waiting have no value.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
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
_OVERLOADED = "overloaded for a while"
_OVER_TIME = ("busy_mean", "utilization", "queue_depth_mean", "throughput_rps",
              "arrival_rate_rps", "in_flight_mean")  # fmt: skip


class Stretch(NamedTuple):
    """A stretch of constant rate."""

    start: float
    end: float
    rate: float


class Overload(NamedTuple):
    """A time in which more comes than can be carried, and until that has drained.

    Parameters
    ----------
    resource : str
        ``component.resource`` whose line grows.
    start, end : float [s]
    drained : float [s]
        By the capacity, so not earlier; inf: not in the time that is looked at.
    """

    resource: str
    start: float
    end: float
    drained: float


class AnalyticProfile(AnalyticResults):
    """Analytic results under a rate that changes: figures averaged over time or over requests.

    ``profile_table`` has them stretch by stretch, with the fluid backlog.
    """

    stretches: list[Stretch]
    at_rate: dict[float, AnalyticResults]
    earlier: list[Stretch]
    endless: str

    def __init__(self, whole: AnalyticResults, stretches: list[Stretch],
                 at_rate: dict[float, AnalyticResults], earlier: list[Stretch],
                 endless: str) -> None:  # fmt: skip
        super().__init__(whole.topology, whole.traffic, whole.solver, whole.solution)
        self._set(stretches=stretches, at_rate=at_rate, earlier=earlier, endless=endless)

    @property
    def unstable(self) -> str:
        """``component.resource`` whose line grows from period to period; empty: none does."""
        return self.endless

    @property
    def trouble(self) -> str:
        """Why there are figures without a value; empty: there are none."""
        if self.unstable or not self.overloads:
            return super().trouble
        texts = []
        for resource, start, end, drained in self.overloads:
            after = (
                f"drained at {drained:,.6g} s at the earliest"
                if math.isfinite(drained)
                else "not drained"
            )
            texts.append(f"{resource} from {start:,.6g} to {end:,.6g} s, {after} (fluid)")
        return "; ".join(texts)

    @cached_property
    def overloads(self) -> list[Overload]:
        """When more comes than can be carried, in the time looked at or drained in it."""
        found: list[Overload] = []
        backlog = 0.0
        for start, end, rate in (*self.earlier, *self.stretches):
            resource = self._beyond(rate)
            if resource:
                if found and found[-1].drained == math.inf:  # it goes on
                    found[-1] = found[-1]._replace(end=end)
                else:
                    found.append(Overload(resource, start, end, math.inf))
            left = self._after(backlog, rate, end - start)
            if not resource and not left and found and found[-1].drained == math.inf:
                drains = backlog / (self.capacity.value - rate) if backlog else 0.0
                found[-1] = found[-1]._replace(drained=start + drains)
            backlog = left
        return [each for each in found if each.drained > self.stretches[0].start]

    def _beyond(self, rate: float) -> str:
        """Return what cannot carry a rate."""
        steady = self.at_rate.get(_near(rate, self.at_rate)) if rate > 0 else None
        if steady is not None and steady.unstable:
            return steady.unstable
        top = self.bottleneck
        beyond = top is not None and rate > top.capacity and not top.limited
        return f"{top.component}.{top.resource}" if top is not None and beyond else ""

    def _after(self, backlog: float, rate: float, seconds: float) -> float:
        """Return the backlog after so many seconds at a rate."""
        top = self.bottleneck
        if top is None or top.limited or not math.isfinite(top.capacity):
            return 0.0
        return max(backlog + (rate - top.capacity) * seconds, 0.0)

    def metric(
        self,
        name: str,
        component: str | None = None,
        resource: str | None = None,
        endpoint: str | None = None,
    ) -> Figure:
        if name in ("capacity_rps", "offered_utilization"):
            return super().metric(name, component, resource, endpoint)
        if name == "arrival_rate_rps" and component is None and endpoint is None:
            return Figure(self.solution.rate, "exact", "flow balance")
        total = weight = 0.0
        methods = {_POINTWISE}
        if self.trouble:
            return Figure(math.nan, "approximate", f"{_POINTWISE}, {_OVERLOADED}")
        figures = {
            rate: results.metric(name, component, resource, endpoint)
            for rate, results in self.at_rate.items()
            if rate > 0
        }
        for stretch in self.stretches:
            if stretch.rate == 0:
                continue
            figure = figures[_near(stretch.rate, self.at_rate)]
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
        for start, end, rate in self.earlier:
            backlog = self._after(backlog, rate, end - start)
        rows = []
        for start, end, rate in self.stretches:
            settled = rate > 0 and not backlog and not self._beyond(rate)
            backlog = self._after(backlog, rate, end - start)
            steady = self.at_rate[_near(rate, self.at_rate)] if settled else None
            rows.append(
                {
                    "start_s": start,
                    "end_s": end,
                    "rate_rps": rate,
                    "offered_utilization_ratio": rate / capacity,
                    "latency_mean_s": math.nan
                    if steady is None
                    else steady.metric("latency_mean_s").value,
                    "latency_method": _POINTWISE if settled or rate == 0 else _OVERLOADED,
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
        overloads = [
            {"resource": each.resource, "start_s": each.start, "end_s": each.end,
             "drained_s": each.drained if math.isfinite(each.drained) else None}
            for each in self.overloads
        ]  # fmt: skip
        return super().to_dict() | {"profile": plain, "overloads": overloads}


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
    earlier = _stretches(profile, 0.0, start)
    endless = solver.solve(profile.mean).unstable if profile.repeat else ""
    return AnalyticProfile(whole, stretches, at_rate, earlier, endless)


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
