"""Hold a simulation against theory: where the analytic engine has an answer, they should agree.

They disagree where the interval of the simulated figure and the analytic figure, with the error
that its label states, have no value in common. Either the run was too short (or started too cold),
or one of the two is wrong. Every run of the command line is checked so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scalesim.engines.analytic import AnalyticResults, Figure, resource_names, solve
from scalesim.errors import UnsupportedByEngine
from scalesim.plan.tables import AMOUNT
from scalesim.results import Results
from scalesim.results.text import plain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STATED_ERROR", "Agreement", "Comparison", "check_by_theory"]

STATED_ERROR = {
    "Allen-Cunneen": 0.3,
    "Allen-Cunneen of regular arrivals": 1.0,
    "Che": 0.03,
    "Linearizer": 0.15,
    "arrivals as if Poisson": 1.0,
    "as if exponential": 0.3,
    "balanced as if at random": 1.0,
    "branches as if independent": 0.3,
    "decomposition": 0.3,
    "flow-equivalent": 0.3,
    "highly variable services": 1.0,
    "losses as if independent": 0.3,
    "mean fetch times": 0.5,
    "mean field": 0.2,
    "mean field at high load": 0.3,
    "M/M/c+G with this mean": 0.3,
    "Nelson-Tantawi": 0.05,
    "priorities as at one server": 0.3,
    "short fetch times": 0.02,
    "the lesser of Che and time to live": 0.15,
    "weighted round robin as if Erlang": 0.2,
}
"""Relative error that an approximation is good for; errors of several add up."""
_FALSE_ALARM = 1e-5
_BATCHES = 20
_SLACK = 1e-6
"""What is below this (seconds, requests, a share) may be seen or not in a run."""
_GRID = 0.01
"""Relative resolution of what is read from histograms and grids."""


class Comparison(NamedTuple):
    """One figure, simulated and by theory.

    Parameters
    ----------
    component, resource : str
        Empty for figures of all requests.
    metric : str
    simulated, low, high : float
        With its interval, of 99.999 %.
    analytic : Figure
    error : float
        That the analytic figure's label states, in the unit of the figure.
    """

    component: str
    resource: str
    metric: str
    simulated: float
    low: float
    high: float
    analytic: Figure
    error: float

    @property
    def agrees(self) -> bool:
        """Whether the two ranges have a value in common."""
        slack = self.error + _SLACK
        return bool(self.low - slack <= self.analytic.value <= self.high + slack)

    def __str__(self) -> str:
        where = f"{self.component}.{self.resource} " if self.component else ""
        return (
            f"{where}{self.metric}: simulated {self.simulated:,.5g} "
            f"({self.low:,.5g} to {self.high:,.5g}), analytic {self.analytic}"
        )


@dataclass(frozen=True, eq=False)
class Agreement:
    """What the comparison came to.

    Parameters
    ----------
    comparisons : tuple of Comparison
    refused : str
        Why there is no analytic answer; empty: there is one.
    """

    comparisons: tuple[Comparison, ...]
    refused: str = ""

    @property
    def disagreements(self) -> tuple[Comparison, ...]:
        """The figures that disagree."""
        return tuple(each for each in self.comparisons if not each.agrees)

    def summary(self) -> str:
        """Return the verdict and every disagreement, both figures named."""
        if self.refused:
            return f"not checked by theory: {self.refused}"
        bad = self.disagreements
        if not bad:
            return f"{len(self.comparisons)} figures agree with theory"
        lines = ["simulation and analytic results disagree beyond their stated error:"]
        lines += [f"  {each}" for each in bad]
        lines.append("  the run is too short or starts too cold, or one of them is wrong")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain data: how many figures agree, and those that do not."""
        bad = [{"text": str(each), **self._row(each)} for each in self.disagreements]
        out: dict[str, Any] = plain(
            {
                "refused": self.refused,
                "compared": len(self.comparisons),
                "disagreements": bad,
            }
        )
        return out

    @staticmethod
    def _row(each: Comparison) -> dict[str, Any]:
        return {
            "component": each.component,
            "resource": each.resource,
            "metric": each.metric,
            "simulated": each.simulated,
            "low": each.low,
            "high": each.high,
            "analytic": each.analytic.value,
            "kind": each.analytic.kind,
            "method": each.analytic.method,
            "stated_error": each.error,
            "agrees": each.agrees,
        }

    def table(self) -> pd.DataFrame:
        """Return one row for each figure."""
        import pandas as pd

        return pd.DataFrame([self._row(each) for each in self.comparisons])


def check_by_theory(results: Results) -> Agreement:
    """Compare simulated results with the analytic engine's, figure by figure.

    Parameters
    ----------
    results : Results

    Returns
    -------
    Agreement
        Without comparisons if the engine refuses the model, or finds it unstable or overloaded.
    """
    spec = results.recordings[0].spec
    try:
        theory = solve(results.topology, results.traffic, spec.warmup, spec.duration)
    except UnsupportedByEngine as error:
        return Agreement((), str(error.problems[0]))
    if theory.trouble:
        return Agreement((), theory.trouble)
    return Agreement(tuple(_compared(results, theory)))


def _compared(results: Results, theory: AnalyticResults) -> Iterator[Comparison]:
    latency = theory.latency.mean
    # An approximate wait may be wrong by any factor as long as nobody would notice.
    unimportant = {
        "wait_time_mean_s": 0.01 * latency,
        "queue_depth_mean": 0.01 * latency * theory.metric("throughput_rps").value,
    }
    known = {("", ""), *resource_names(theory.solver)}
    for component, resource, metric, top, bottom in _simulated(results):
        if (component, resource) not in known:
            continue  # nothing uses it
        analytic = theory.metric(metric, component or None, resource or None)
        methods = analytic.method.split(", ") if analytic.kind != "exact" else []
        errors = [_stated_error(method) for method in methods]
        error = math.fsum(errors) * abs(analytic.value)
        if math.isnan(error):
            continue  # none is stated
        if methods and metric in unimportant:
            error += unimportant[metric]
        found = _interval(top, bottom)
        if found is not None and not math.isnan(analytic.value):
            yield Comparison(component, resource, metric, *found, analytic, error)


def _stated_error(method: str) -> float:
    if method.endswith("as if exponential"):  # it names the station
        method = "as if exponential"
    return STATED_ERROR.get(method, math.nan)


def _simulated(
    results: Results,
) -> Iterator[tuple[str, str, str, np.ndarray, np.ndarray]]:
    """Yield figures as sums over batches: what is averaged, and over how much."""

    def batches(name: str, pick: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return _in_batches(results, lambda recording: pick(getattr(recording, name)))

    time = _in_batches(results, lambda r: np.diff(r.spec.boundaries, prepend=0.0))
    done = batches("flow", lambda flow: flow["count"][:, :, 0].sum(axis=1))
    ended = batches("flow", lambda flow: flow["count"].sum(axis=(1, 2)))
    latency = batches("flow", lambda flow: flow["latency"][:, :, 0].sum(axis=1))
    yield "", "", "latency_mean_s", latency, done
    yield "", "", "throughput_rps", done, time
    yield "", "", "error_ratio", ended - done, ended
    plan = results.plan
    groups: dict[tuple[str, str], list[int]] = {}
    for s, label in enumerate(plan.station_labels):
        if plan.station["slots"][s] and plan.station["kind"][s] != AMOUNT:
            groups.setdefault((label.component, label.resource), []).append(s)
    for (component, resource), members in groups.items():
        if resource == "room":
            continue

        def of(figure: str, rows: list[int] = members) -> np.ndarray:
            return batches("station", lambda station: station[figure][:, rows].sum(axis=1))

        slots = float(plan.station["slots"][members].sum())
        yield component, resource, "utilization", of("busy"), time * slots
        yield component, resource, "wait_time_mean_s", of("waited"), of("granted")
        yield component, resource, "queue_depth_mean", of("depth"), time


def _in_batches(results: Results, series: Callable[..., np.ndarray]) -> np.ndarray:
    """Return sums over batches of a series by bucket: trials if there are many, else stretches."""
    parts = []
    for recording in results.recordings:
        measured = series(recording)[recording.spec.warmup_buckets :].astype(float)
        if len(results.recordings) >= _BATCHES:
            parts.append([measured.sum()])
        else:
            count = max(2, _BATCHES // len(results.recordings))
            parts.append([each.sum() for each in np.array_split(measured, count)])
    return np.concatenate(parts)


def _interval(top: np.ndarray, bottom: np.ndarray) -> tuple[float, float, float] | None:
    """Return (ratio of sums, low, high), None if too little was seen.

    The variance of the ratio is linearized; batches that follow each other and are alike count for
    less (their first autocorrelation).
    """
    from scipy.special import stdtrit

    n, total = len(top), float(bottom.sum())
    if total <= 0 or n < 3 or not top.any():
        return None
    mean = float(top.sum()) / total
    off = top - mean * bottom
    variance = float(np.dot(off, off)) / (n - 1)
    alike = float(np.dot(off[1:], off[:-1])) / float(np.dot(off, off)) if variance else 0.0
    alike = min(max(alike, 0.0), 0.9)
    spread = math.sqrt(variance * n * (1 + alike) / (1 - alike)) / total
    half = float(stdtrit(n - 1, 1 - _FALSE_ALARM / 2)) * spread + _GRID * abs(mean)
    return mean, mean - half, mean + half
