"""Forecast: what breaks first, at what load, in which month, why, what fixes it, at what cost.

The load simulated is the peak: the mean rate of the busiest 15 minutes of the profile, as a steady
rate. The breaking load comes from bracketing (`scalesim.studies.breaking`); months follow from
growth. A fix is a lever that was simulated in place, not a rule of thumb. Cost is over the month.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from scalesim.errors import InvalidModel
from scalesim.studies.answer import Break, Fix, Forecast, MonthPoint
from scalesim.studies.blame import culprit, culprit_when_idle, held_in_front
from scalesim.studies.breaking import BreakingLoad, Evaluator, find_breaking_load, in_threads
from scalesim.studies.cost import monthly_cost
from scalesim.studies.forecast_arguments import Ticker, check_arguments
from scalesim.studies.levers import Lever, levers_for
from scalesim.studies.objective import Objective
from scalesim.studies.prices import PriceBook
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, Growth, Traffic
from scalesim.traffic.growth import growth_kind
from scalesim.words import number

__all__ = ["Break", "Fix", "Forecast", "MonthPoint", "forecast"]

PEAK_WINDOW = 900.0
_MONTH_SECONDS = 730 * 3600.0


def forecast(
    topology: Topology,
    traffic: AnyTraffic,
    *,
    growth: Growth | float,
    objective: Objective,
    months: int = 24,
    peak_window: float = PEAK_WINDOW,
    prices: PriceBook | None = None,
    region: str | None = None,
    trials: int = 5,
    requests: int = 40_000,
    seed: int = 1,
    progress: bool | None = None,
) -> Forecast:
    """Forecast what breaks first, when, why, what fixes it and what that costs.

    Parameters
    ----------
    topology : Topology
    traffic : Traffic
        Today's open traffic, a steady rate or a profile of the day.
    growth : Growth or float
        A number is compound growth a month: 0.15.
    objective : Objective
    months : int [1 .. 1200]
    peak_window : float [s, > 0]
        The peak is the busiest stretch of this length.
    prices : PriceBook, optional
        The shipped price book if absent.
    region : str, optional
        Region of the prices.
    trials : int [2 .. 100]
        Seeds searched for the breaking load; the interval comes from them.
    requests : int [1000 .. 10**8]
        Measured requests of each simulation.
    seed : int [0 .. 2**62]
    progress : bool, optional
        Show progress; by default in a terminal. Ctrl-C keeps what was computed, labelled partial.

    Returns
    -------
    Forecast

    Raises
    ------
    InvalidInput, InvalidModel, MissingPrice

    Examples
    --------
    >>> import scalesim as ss
    >>> server = ss.Service("server", workers=4, cores=4,
    ...     endpoints={"get": [ss.compute(ss.Exponential(ss.ms(50)))]})
    >>> answer = ss.forecast(ss.Topology(server, entry="server"), ss.Traffic(40.0), growth=0.05,
    ...     objective=ss.Objective(latency=ss.ms(400)))
    >>> answer.first_break.month
    11
    """
    law: Growth = growth_kind().normalize(growth)
    check_arguments(topology, traffic, law, objective, months, peak_window, trials, requests, seed)
    assert isinstance(traffic, Traffic)
    study = _Study(topology, traffic, law, objective, months, peak_window, trials, requests, seed)
    with Ticker(progress) as study.tick:
        return study.answer(prices or PriceBook.default(), region)


class _Study:
    """The work of one forecast, kept between its stages so that an interruption loses nothing."""

    def __init__(
        self,
        topology: Topology,
        traffic: Traffic,
        growth: Growth,
        objective: Objective,
        months: int,
        peak_window: float,
        trials: int,
        requests: int,
        seed: int,
    ) -> None:
        self.topology, self.traffic, self.growth = topology, traffic, growth
        self.objective, self.months, self.peak_window = objective, months, peak_window
        self.trials, self.requests, self.seed = trials, requests, seed
        self.peak = traffic.peak_rate(peak_window)
        # Growth may go up and down again: what has to be carried is the largest of all months.
        self.horizon = self.peak * max(growth.monthly_factors(months))
        self.simulations = 0
        self.tick: Callable[[], None] = lambda: None

    def count(self) -> None:
        """Count one simulation and move the progress display."""
        self.simulations += 1
        self.tick()

    def answer(self, book: PriceBook, region: str | None) -> Forecast:
        """Go through the stages: cost today, break, months, fix, months with the fix, cost."""
        per_month = self.traffic.mean_rate * _MONTH_SECONDS
        cost = monthly_cost(self.topology, book, region, requests_per_month=per_month)
        found: dict[str, Any] = {
            "first_break": None,
            "highest_rate": self.peak,
            "fix": None,
            "points": (),
            "after_fix": (),
            "cost_after": None,
            "partial": False,
        }
        try:
            load = self.search(self.topology, self.peak, self.trials)
            found["first_break"] = self.describe(load)
            found["highest_rate"] = load.low if load.failing is None else load.rate
            found["points"] = self.month_points(self.topology)
            if found["first_break"] is not None and self.wants_fix(found["first_break"]):
                fixed = self.best_fix(found["first_break"], book, region)
                if fixed is not None:
                    found["fix"], better = fixed
                    found["after_fix"] = self.month_points(better)
                    found["cost_after"] = monthly_cost(
                        better, book, region, requests_per_month=per_month
                    )
        except KeyboardInterrupt:
            found["partial"] = True
        return Forecast(
            topology=self.topology,
            traffic=self.traffic,
            growth=self.growth,
            months=self.months,
            objective=self.objective,
            peak_window=self.peak_window,
            peak_rate=self.peak,
            cost_before=cost,
            simulations=self.simulations,
            **found,
        )

    def wants_fix(self, broken: Break) -> bool:
        """Whether the break lies within the horizon."""
        return broken.month is not None and broken.month <= self.months

    def evaluator(self, topology: Topology) -> Evaluator:
        """Return the evaluator of a variant, under the same seeds."""
        return Evaluator(
            topology, self.traffic, self.objective, requests=self.requests, seed=self.seed
        )

    def search(
        self, topology: Topology, start: float, trials: int, guess: float = math.nan
    ) -> BreakingLoad:
        """Return the breaking load of a variant."""
        return find_breaking_load(
            self.evaluator(topology), start, trials=trials, tick=self.count, guess=guess
        )

    def month_points(self, topology: Topology) -> tuple[MonthPoint, ...]:
        """Return every month, simulated at its peak."""
        evaluate = self.evaluator(topology)

        def point(month: int) -> MonthPoint:
            rate = self.peak * self.growth.factor(month)
            self.count()
            e = evaluate(rate)
            top = e.results.bottleneck
            busiest = f"{top.component}.{top.resource}"
            stable = not e.unstable
            return MonthPoint(
                month,
                rate,
                top.utilization,
                busiest,
                e.latency,
                e.error_ratio,
                stable,
                not e.misses,
            )

        return tuple(in_threads(point, range(self.months + 1)))

    def month_of(self, rate: float) -> int | None:
        """Return the first month whose peak reaches `rate`; None beyond 100 years."""
        month = self.growth.month_of(rate / self.peak)
        return math.ceil(month - 1e-9) if month <= 1200 else None

    def describe(self, load: BreakingLoad) -> Break | None:
        """Return what breaks at a breaking load, with the numbers of the failing simulation."""
        if load.failing is None:
            return None
        failing = load.failing
        evidence = culprit_when_idle(failing) if load.passing is None else culprit(failing)
        return Break(
            component=evidence.component,
            resource=evidence.resource,
            rate=load.rate,
            rate_low=load.low,
            rate_high=load.high,
            month=self.month_of(load.rate),
            month_low=self.month_of(load.low),
            month_high=self.month_of(load.high),
            misses=failing.misses,
            latency=failing.latency,
            error_ratio=failing.error_ratio,
            evidence=evidence,
            already=load.rate <= self.peak,
            in_front=held_in_front(failing.results, evidence),
        )

    def best_fix(
        self, broken: Break, book: PriceBook, region: str | None
    ) -> tuple[Fix, Topology] | None:
        """Simulate every lever; return the cheapest that lasts, else the one that lasts longest."""
        if not broken.component:
            return None
        horizon = self.horizon
        base = max(broken.rate, self.peak / 64)
        tried = []
        # What comes in years is not bought at once, unless today asks for more.
        most = max(8.0, 1.15 * self.peak / base) if broken.rate > 0 else 8.0
        for lever in self.levers(broken, min(1.15 * horizon / base, most)):
            option = self.try_lever(lever, base, book, region)
            if option is not None and base * 1.02 < option.reach < horizon:
                option = self.no_more_than_needed(broken, option, base, book, region)
            if option is not None:
                tried.append(option)
        useful = [each for each in tried if each.reach > broken.rate * 1.02]
        if not useful:
            return None

        def worth(each: _Tried) -> tuple[bool, float]:
            lasts = each.reach >= horizon
            return not lasts, each.usd if lasts else -each.reach

        best = min(useful, key=worth)
        after = self.describe(
            self.search(best.variant, _beyond(base), self.trials, guess=best.reach)
        )
        words = tuple(f"{each.lever}: breaks at {number(each.reach, 4)}/s" for each in tried)
        holds = after is None or after.rate_low > horizon
        return Fix(best.lever, after, holds, words), best.variant

    def no_more_than_needed(
        self, broken: Break, option: _Tried, base: float, book: PriceBook, region: str | None
    ) -> _Tried:
        """Return the same lever, smaller, if it reaches as far: something else breaks there."""
        seen = [option.lever]
        for margin in (1.03, 1.08):
            for lever in self.levers(broken, margin * option.reach / base):
                if lever.field == option.lever.field and lever not in seen:
                    seen.append(lever)
                    less = self.try_lever(lever, base, book, region, option.reach)
                    if less is not None and less.reach > 0.97 * option.reach:
                        return less
        return option

    def levers(self, broken: Break, factor: float) -> list[Lever]:
        """Return the levers for what broke, sized to carry `factor` times the load."""
        sharded_by = self.traffic.keys is not None
        resource = broken.resource
        return list(levers_for(self.topology, broken.component, resource, factor, sharded_by))

    def try_lever(
        self,
        lever: Lever,
        base: float,
        book: PriceBook,
        region: str | None,
        guess: float = math.nan,
    ) -> _Tried | None:
        """Return what a lever reaches, simulated in place; None if the model forbids it."""
        try:
            variant = self.topology.vary(lever.changes)
            load = self.search(variant, _beyond(base), 1, guess)
        except InvalidModel:
            return None
        usd = monthly_cost(variant, book, region).total_usd_per_month or 0.0
        return _Tried(lever, variant, load.low if load.failing is None else load.rate, usd)


def _beyond(base: float) -> float:
    """Return where the search for what a lever carries starts, so that all have one grid."""
    return 1.3 * base


class _Tried(NamedTuple):
    """A lever in place: the variant, the load it reaches [requests/s], its cost a month."""

    lever: Lever
    variant: Topology
    reach: float
    usd: float
