"""Two designs under the same luck: the difference of each figure, with its interval.

Both are simulated with the same seeds, so that they meet the same arrivals, keys and service times
(common random numbers). Trial by trial the difference is taken, and the interval is that of the
mean difference: what chance does to both alike is not in it.
"""

from __future__ import annotations

import html as _html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesim.errors import InvalidInput
from scalesim.results import Results
from scalesim.results.intervals import CONFIDENCE, student
from scalesim.results.text import plain
from scalesim.run import simulate
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "Difference", "compare"]

METRICS = ("latency_mean_s", "latency_p99_s", "throughput_rps", "error_ratio")
_FEWEST_TRIALS = 2


@dataclass(frozen=True)
class Difference:
    """One figure of two designs.

    Parameters
    ----------
    metric : str
    a, b : float
        Mean over the trials.
    difference, low, high : float
        b - a, and its 95 % interval; nan if either has no value.
    variance_reduction : float [ratio]
        Variance of the difference, had the designs met different luck / under the same luck: so
        many times as many trials would be needed with different luck.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    variance_reduction: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0: chance does not explain the difference."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        if math.isnan(self.difference):
            none = " and ".join(x for x, y in (("a", self.a), ("b", self.b)) if math.isnan(y))
            return f"{self.metric}: {self.a:.4g} and {self.b:.4g}; of {none} it has no value"
        verdict = "" if self.significant else ", which chance may explain"
        reduction, gain = self.variance_reduction, ""
        if math.isfinite(reduction):
            change = (
                f"{reduction:.3g} times lower"
                if reduction >= 1
                else f"{1 / reduction:.3g} times higher"
            )
            gain = f"; variance {change}"
        return (
            f"{self.metric}: {self.a:.4g} and {self.b:.4g}, difference {self.difference:+.3g} "
            f"({self.low:+.3g} to {self.high:+.3g}){verdict}{gain}"
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` returns.

    Parameters
    ----------
    a, b : Results
        Of the two designs, with the same measured window and the same seeds.
    differences : tuple of Difference
        One for each metric asked for.
    """

    a: Results
    b: Results
    differences: tuple[Difference, ...]

    def __getitem__(self, metric: str) -> Difference:
        """Return the difference of one metric."""
        for each in self.differences:
            if each.metric == metric:
                return each
        known = ", ".join(each.metric for each in self.differences)
        raise InvalidInput(f'"{metric}" was not compared. Known: {known}')

    def table(self) -> pd.DataFrame:
        """Return one row for each metric."""
        import pandas as pd

        return pd.DataFrame([self._row(each) for each in self.differences])

    @staticmethod
    def _row(each: Difference) -> dict[str, Any]:
        return {
            "metric": each.metric,
            "a": each.a,
            "b": each.b,
            "difference": each.difference,
            "difference_low": each.low,
            "difference_high": each.high,
            "significant": each.significant,
            "variance_reduction_ratio": each.variance_reduction,
        }

    def summary(self) -> str:
        """Return the comparison in a few lines."""
        spec = self.a.recordings[0].spec
        lines = [
            f"b - a, {CONFIDENCE:.0%} intervals from {self.a.trials} pairs of trials under "
            f"the same luck, {spec.warmup:g} s to {spec.duration:g} s",
            *map(str, self.differences),
        ]
        for name, results in (("a", self.a), ("b", self.b)):
            lines += [f"WARNING: {name}: {each}" for each in results.warnings]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, float_format=lambda x: f"{x:.4g}", border=0)
        return f"<pre>{_html.escape(self.summary())}</pre>{table}"

    def to_dict(self) -> dict[str, Any]:
        """Return the differences and warnings as plain data, nan as None."""
        data = {
            "trials": self.a.trials,
            "confidence_ratio": CONFIDENCE,
            "differences": [self._row(each) for each in self.differences],
            "warnings_a": [each.to_dict() for each in self.a.warnings],
            "warnings_b": [each.to_dict() for each in self.b.warnings],
        }
        out: dict[str, Any] = plain(data)
        return out


def compare(
    topology_a: Topology,
    topology_b: Topology,
    traffic: AnyTraffic,
    *,
    duration: float,
    warmup: float | str | None = None,
    trials: int = 10,
    seed: int = 1,
    metrics: Sequence[str] = METRICS,
    engine: str = "compiled",
    progress: bool | None = None,
) -> Comparison:
    """Simulate two designs under the same luck and return their differences with intervals.

    Parameters
    ----------
    topology_a, topology_b : Topology
    traffic : Traffic, ClosedTraffic or ReplayTraffic
    duration : float [s, > 0]
        Of each trial.
    warmup : float [s] or "auto", optional
        As in `simulate`; what is left out is the same for both.
    trials : int [2 .. 10000]
        Pairs of trials.
    seed : int [>= 0]
    metrics : sequence of str
        Names of metrics that both designs have: see `Results.estimate`.
    engine : {"compiled", "reference"}
    progress : bool, optional
        As in `simulate`. After Ctrl-C the pairs that were completed are compared.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidInput
        An argument is out of range, or a design has no such metric.

    Examples
    --------
    >>> import scalesim as ss
    >>> one = ss.Service("web", endpoints={"get": [ss.compute(ss.Exponential(0.01))]})
    >>> a = ss.Topology(one, entry="web")
    >>> comparison = compare(a, a.vary({"web.cores": 2}), ss.Traffic(80.0), duration=60)
    >>> comparison["latency_mean_s"].significant
    True
    """
    if not isinstance(trials, int) or trials < _FEWEST_TRIALS:
        raise InvalidInput(
            f"trials: got {trials!r}, allowed is a whole number from {_FEWEST_TRIALS}"
        )
    if engine not in ("compiled", "reference"):
        raise InvalidInput(f"engine: got {engine!r}, allowed is compiled or reference")
    both = []
    for topology in (topology_a, topology_b):
        results = simulate(
            topology,
            traffic,
            duration=duration,
            warmup=warmup,
            trials=trials,
            seed=seed,
            engine=engine,
            progress=progress,
        )
        assert isinstance(results, Results)
        both.append(results)
    a, b = _matched(*both)
    return Comparison(a, b, tuple(_difference(each, a, b) for each in metrics))


def _matched(a: Results, b: Results) -> tuple[Results, Results]:
    """Return both with the trials that both completed, and the longer of the two warm-ups."""
    cut = max(each.recordings[0].spec.warmup_buckets for each in (a, b))
    seeds = [
        {each.spec.seed for each in results.recordings if not each.partial} for results in (a, b)
    ]
    shared = seeds[0] & seeds[1]
    if len(shared) < _FEWEST_TRIALS:
        raise KeyboardInterrupt  # only an interrupt leaves trials incomplete
    return a.restricted(shared, cut), b.restricted(shared, cut)


def _difference(metric: str, a: Results, b: Results) -> Difference:
    x, y = a.values_by_trial(metric), b.values_by_trial(metric)
    each = y - x
    mean, count = float(each.mean()), len(each)
    spread = float(each.var(ddof=1))
    half = student(count - 1, CONFIDENCE) * math.sqrt(spread / count)
    apart = float(x.var(ddof=1) + y.var(ddof=1))
    # Equal in all trials but for rounding: nothing to divide by.
    scale = 1e-12 * float(np.abs([x, y]).max())
    reduction = apart / spread if spread > scale * scale else math.nan
    return Difference(
        metric, float(x.mean()), float(y.mean()), mean, mean - half, mean + half, reduction
    )
