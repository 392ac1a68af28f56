"""What to know before trusting results: `Caution` objects, each with its numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesim.distributions import Distribution
from scalesim.kernels.draws import bucket
from scalesim.results import metrics
from scalesim.results.intervals import HIGH_CORRELATION
from scalesim.results.saturation import excess, growing_line, slowest
from scalesim.words import significant

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = ["Caution", "cautions"]

_PARTS, _SLIGHT = 6, 0.01
_LONG_ENOUGH = 250.0
"""`Loads.length` from which on 95 % intervals of means held the truth in 93 % of runs or more."""
_SLOW_STRETCHES = 7.5
"""`Loads.length` x share beyond a quantile from which on its intervals did."""


@dataclass(frozen=True)
class Caution:
    """One thing that limits what the results say.

    Parameters
    ----------
    component : str
        ``component`` or ``component.resource``; ``traffic``; the entry if it is about latency.
    what : {"unstable", "warmup", "short", "few_samples", "infinite_variance", "changing_traffic",
            "overloaded", "correlated", "precision"}
    text : str
        In a sentence.
    numbers : mapping of str to float
        What the sentence rests on, units in the names.
    """

    component: str
    what: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**dataclasses.asdict(self), "numbers": dict(self.numbers)}


def cautions(results: Results) -> Iterator[Caution]:
    """Yield every caution of these results, the gravest first."""
    yield from _unstable(results)
    yield from _changing(results)
    if results.measured_time and not results.unstable:
        yield from _warmup(results)
        yield from _short(results)
        yield from _few(results)
        yield from _correlated(results)
    yield from _infinite(results)


def _unstable(results: Results) -> Iterator[Caution]:
    where = results.unstable
    if not where:
        return
    rows = results.stations_of(*where.split(".", 1))
    load = results.loads
    s = max(rows, key=lambda s: float(np.nan_to_num(load.offered[s], nan=-1.0)))
    offered, error = float(load.offered[s]), float(load.error[s])
    if growing_line(results):
        times = f"{significant(offered, 3)} times" if math.isfinite(offered) else "more than"
        text = (
            f"UNSTABLE: {where} is offered {times} what it can serve. Its line grows as long as "
            "the run lasts, and waiting there has no mean"
        )
    else:
        text = (
            f"UNSTABLE, as far as this run can tell: {where} is offered {offered:.3f} times what "
            f"it can serve, with a standard error of {error:.2g}. At 1 or more its line grows "
            "without end; whether it is less, only a longer run can tell. Intervals have no upper "
            "end"
        )
    numbers = {"offered_utilization_ratio": offered, "standard_error_ratio": error}
    yield Caution(where, "unstable", text, numbers)


def _changing(results: Results) -> Iterator[Caution]:
    if results.traffic.stationary:
        return
    spec = results.recordings[0].spec
    yield Caution(
        "traffic",
        "changing_traffic",
        "the traffic changes over time: the figures are averages over "
        f"{spec.warmup:g} s to {spec.duration:g} s, of no moment in particular; backlog_table() "
        "and drain_time() answer for moments, with an interval from 2 trials on",
        {"start_s": spec.warmup, "end_s": spec.duration, "trials": results.trials},
    )
    where = growing_line(results)
    if where:
        beyond = float(excess(results)[results.stations_of(*where.split(".", 1))].max())
        text = (
            f"more came to {where} than it could serve: its line was at least {beyond:,.0f} longer "
            "at the end than at the beginning, and the figures depend on how long the run is"
        )
        yield Caution(where, "overloaded", text, {"growth": beyond})


def _warmup(results: Results) -> Iterator[Caution]:
    spec = results.recordings[0].spec
    cut = results.truncation
    ends = float(spec.boundaries[cut - 1]) if cut else 0.0
    numbers = {"truncation_s": ends, "warmup_s": spec.warmup, "duration_s": spec.duration}
    if ends > spec.duration / 2:
        text = (
            f"the run of {spec.duration:g} s seems too short to leave its beginning: it still "
            f"changes after {ends:.3g} s; run several times as long"
        )
        yield Caution(results.topology.entry, "warmup", text, numbers)
    elif cut > spec.warmup_buckets:
        text = (
            f"the beginning seems to last {ends:.3g} s, and only {spec.warmup:.3g} s are left out; "
            'warmup="auto" leaves it out'
        )
        yield Caution(results.topology.entry, "warmup", text, numbers)
    else:
        yield from _drift(results, "latency_mean_s", results.topology.entry)
    for name in dict.fromkeys(results.plan.cache_names):
        yield from _drift(results, f"hit_ratio@{name}", name)


def _drift(results: Results, metric: str, component: str) -> Iterator[Caution]:
    """Warn of what rises, or falls, all through the run: a transient longer than the run.

    Without a steady part MSER has nothing to cut down to. All in order is the extreme of the test
    of Mann, "Nonparametric tests against trend", Econometrica 13 (1945): independent parts are in
    order in 2 of 6! runs.
    """
    values = metrics.course(results, metric, _PARTS)
    steps, slight = np.diff(values), _SLIGHT * np.abs(values).max()
    if abs(values[-1] - values[0]) > slight and ((steps > 0).all() or (steps < 0).all()):
        text = (
            f"the run seems too short to leave its beginning: {metric.partition('@')[0]} of "
            f"{component} still changes, all the way from {values[0]:.4g} in the first sixth of "
            f"what was measured to {values[-1]:.4g} in the last; run several times as long"
        )
        numbers = {"first": float(values[0]), "last": float(values[-1])}
        yield Caution(component, "warmup", text, numbers)


def _short(results: Results) -> Iterator[Caution]:
    """Warn of a run that is short for what its slowest line remembers."""
    s = slowest(results)
    if s is None:
        return
    length, used = float(results.loads.length[s]), float(results.utilization[s])
    factors = [each / length for each in (_LONG_ENOUGH, _SLOW_STRETCHES / 0.01)]
    if max(factors) <= 1:
        return
    label = results.plan.station_labels[s]
    where = f"{label.component}.{label.resource}"
    for_mean, for_p99 = (significant(each, 2) for each in factors)
    yield Caution(
        where,
        "short",
        f"the run is short for the line at {where}, {used:.0%} busy, which settles slowly: for an "
        f"interval of the p99 latency to be trusted it should be {for_p99} times as long"
        + (f"; {for_mean} times for that of its mean" if factors[0] > 1 else ""),
        {"utilization_ratio": used, "for_mean_ratio": factors[0], "for_p99_ratio": factors[1]},
    )


def _few(results: Results) -> Iterator[Caution]:
    """Warn of a p99 that rests on so few stretches of slow requests that it has no upper bound."""
    latency, entry = results.latency, results.topology.entry
    if not latency.count or results.estimate("latency_p99_s").high != math.inf:
        return
    beyond = int(latency.histogram[bucket(latency.quantile(0.99)) + 1 :].sum())
    yield Caution(
        entry,
        "few_samples",
        f"few samples: {beyond} of {latency.count} requests to {entry} are slower than the p99 "
        "latency, in so few stretches of time that it has no upper bound; run longer",
        {"quantile": 0.99, "beyond": beyond},
    )


def _correlated(results: Results) -> Iterator[Caution]:
    found = results.estimate("latency_mean_s")
    if found.method == "batches" and found.correlation > HIGH_CORRELATION:
        text = (
            f"the latency at {results.topology.entry} in a batch of the run depends on that in the "
            f"batch before (correlation {found.correlation:.2f}, {found.samples} batches): its "
            "intervals are too narrow; run longer, or 5 trials"
        )
        numbers = {"correlation": found.correlation, "batches": found.samples}
        yield Caution(results.topology.entry, "correlated", text, numbers)


def _infinite(results: Results) -> Iterator[Caution]:
    parts = {"traffic": results.traffic, **results.topology.components}
    for name, part in parts.items():
        for each in _distributions(part):
            if each.scv == math.inf:
                text = (
                    f"{name}: {each!r} has no finite variance: means settle very slowly, waits may "
                    "have none, and intervals are too narrow"
                )
                yield Caution(name, "infinite_variance", text, {"scv": math.inf})
                break


def _distributions(thing: Any) -> Iterator[Distribution]:
    """Yield every distribution in a description, however deep."""
    if isinstance(thing, Distribution):
        yield thing
    if dataclasses.is_dataclass(thing):
        for each in dataclasses.fields(thing):
            yield from _distributions(getattr(thing, each.name))
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _distributions(value)
    elif isinstance(thing, (tuple, list)):
        for value in thing:
            yield from _distributions(value)
