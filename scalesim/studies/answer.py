"""What a forecast answers: months, breaks, the fix, the whole; frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalesim.results import Bottleneck
from scalesim.studies.cost import Cost
from scalesim.studies.levers import Lever
from scalesim.studies.objective import Objective
from scalesim.topology import Topology
from scalesim.traffic import Growth, Traffic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Break", "Fix", "Forecast", "MonthPoint"]


@dataclass(frozen=True)
class MonthPoint:
    """One month, simulated at its peak rate.

    Parameters
    ----------
    month : int
    rate : float [requests/s]
    utilization : float [ratio]
        Of the busiest resource, `busiest`.
    latency : float [s]
        At the objective's quantile; nan if unstable: it has none.
    error_ratio : float [ratio]
    stable, meets : bool
    """

    month: int
    rate: float
    utilization: float
    busiest: str
    latency: float
    error_ratio: float
    stable: bool
    meets: bool


@dataclass(frozen=True)
class Break:
    """What breaks, when, and the numbers that show it (at the lowest rate seen to break it).

    Parameters
    ----------
    component, resource : str
        Empty if the objective is missed at every load and no resource is why.
    rate, rate_low, rate_high : float [requests/s at peak]
        Breaking load and its 95 % interval; the load is 0 if the objective is missed at every
        load, `rate_high` then the lowest that was simulated.
    month, month_low, month_high : int or None
        First month whose peak reaches that load; None: not within 1,200 months.
    misses : {"latency", "error_ratio", "unstable"}
    latency : float [s]
        At the objective's quantile; nan if unstable.
    error_ratio : float [ratio]
    evidence : Bottleneck
    already : bool
        Broken at today's peak.
    in_front : tuple of Bottleneck
        What is waited for longer than the resource, because those who wait for that hold it.
    """

    component: str
    resource: str
    rate: float
    rate_low: float
    rate_high: float
    month: int | None
    month_low: int | None
    month_high: int | None
    misses: str
    latency: float
    error_ratio: float
    evidence: Bottleneck
    already: bool
    in_front: tuple[Bottleneck, ...] = ()

    @property
    def at_every_load(self) -> bool:
        """Whether the objective is missed even when the system is idle."""
        return self.rate == 0


@dataclass(frozen=True)
class Fix:
    """A lever that was simulated in place.

    Parameters
    ----------
    lever : Lever
    next_break : Break or None
        What breaks next, with the fix in place; None: nothing that was simulated.
    holds : bool
        Whether the objective then holds in every month of the horizon, by the low end of the
        interval of the next breaking load.
    tried : tuple of str
        Every lever that was simulated, with the month in which it breaks.
    """

    lever: Lever
    next_break: Break | None
    holds: bool
    tried: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Forecast:
    """The answer of `forecast`; see `verdict` and `summary()` first."""

    topology: Topology
    traffic: Traffic
    growth: Growth
    months: int
    objective: Objective
    peak_window: float
    peak_rate: float
    first_break: Break | None
    highest_rate: float
    fix: Fix | None
    points: tuple[MonthPoint, ...]
    after_fix: tuple[MonthPoint, ...]
    cost_before: Cost
    cost_after: Cost | None
    simulations: int
    partial: bool

    @property
    def fix_helps(self) -> bool:
        """Whether there is a fix and the first month that breaks now then does not."""
        if self.fix is None or self.first_break is None:
            return False
        first, then = self.first_break.month, self.fix.next_break
        return then is None or then.month is None or first is None or then.month > first

    @property
    def verdict(self) -> str:
        """One or two sentences: what breaks, when, and what fixes it."""
        from scalesim.studies.report import verdict

        return verdict(self)

    def summary(self) -> str:
        """Return the verdict and its reasons as text."""
        from scalesim.studies.report import summary

        return summary(self)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from scalesim.studies.report import html

        return html(self)

    def table(self) -> pd.DataFrame:
        """Return one row for each month: peak rate, utilization, latency, cost."""
        from scalesim.studies.report import table

        return table(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, units in the names, nan as None."""
        from scalesim.studies.report import as_dict

        return as_dict(self)
