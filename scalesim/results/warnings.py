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
from scalesim.ops import COMPLETED, OUTCOMES
from scalesim.plan.tables import AMOUNT
from scalesim.results.intervals import HIGH_CORRELATION, separate_stretches

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = ["Caution", "beyond_chance", "cautions", "excess", "growing_line"]

_FEW_STRETCHES, _FEW_SAMPLES = 5.0, 20


@dataclass(frozen=True)
class Caution:
    """One thing that limits what the results say.

    Parameters
    ----------
    component : str
        ``component`` or ``component.resource``; empty if it is about the whole.
    what : {"unstable", "warmup", "few_samples", "infinite_variance", "changing_traffic",
            "correlated", "precision"}
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


def excess(results: Results) -> np.ndarray:
    """Return by how much each station's line grew more than chance explains, float [stations]."""
    station = results.station
    gone = station["rejected"] + station["abandoned"] + station["served"]
    return beyond_chance(station["arrived"], gone)


def beyond_chance(arrived: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return arrivals less departures, less what chance may make of them."""
    allowed = 3.0 * np.sqrt(np.maximum(arrived, 1)) + 10.0
    left: np.ndarray = arrived - gone - allowed
    return left


def growing_line(results: Results) -> str:
    """Return the ``component.resource`` whose waiting line grows without end, or ``""``.

    A line grows without end when arrivals outrun departures by more than chance explains while the
    slots are always busy: the offered utilization is 1 or more.
    """
    beyond = excess(results)
    plan = results.plan.station
    limited = (plan["queue_limit"] >= 0) | (plan["leaving"] > 0) | (plan["kind"] == AMOUNT)
    beyond[limited | (results.utilization < 0.98)] = -1.0
    if not (beyond > 0).any():
        return ""
    # Callers pile up behind a callee, too: the deepest of the growing lines is the cause.
    level = results.call_levels()
    labels = results.plan.station_labels
    s = max(
        np.flatnonzero(beyond > 0), key=lambda s: (level[labels[s].component], float(beyond[s]))
    )
    return f"{labels[s].component}.{labels[s].resource}"


def cautions(results: Results) -> Iterator[Caution]:
    """Yield every caution of these results, the gravest first."""
    yield from _unstable(results)
    yield from _changing(results)
    if results.measured_time and not results.unstable:
        yield from _warmup(results)
        yield from _few(results)
        yield from _correlated(results)
    yield from _infinite(results)


def _unstable(results: Results) -> Iterator[Caution]:
    where = results.unstable
    if not where:
        return
    component, _, resource = where.partition(".")
    rows = results.stations_of(component, resource)
    station = results.station[rows]
    arrived = int(station["arrived"].sum() - station["rejected"].sum())
    served = int(station["served"].sum())
    offered = arrived / served if served else math.inf
    yield Caution(
        where,
        "unstable",
        f"UNSTABLE: {where} is offered {offered:.3g} times what it can serve. Its line grows as "
        "long as the run lasts, and waiting there has no mean",
        {
            "offered_utilization_ratio": offered,
            "arrivals": arrived,
            "served": served,
        },
    )


def _changing(results: Results) -> Iterator[Caution]:
    if results.traffic.stationary:
        return
    spec = results.recordings[0].spec
    yield Caution(
        "",
        "changing_traffic",
        "the traffic changes over time: the figures are averages over "
        f"{spec.warmup:g} s to {spec.duration:g} s, of no moment in particular; backlog_table() "
        "and drain_time() answer for moments, with an interval from 2 trials on",
        {"start_s": spec.warmup, "end_s": spec.duration, "trials": results.trials},
    )


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
        yield Caution("", "warmup", text, numbers)
    elif cut > spec.warmup_buckets:
        text = (
            f"the beginning seems to last {ends:.3g} s, and only {spec.warmup:.3g} s are left out; "
            'warmup="auto" leaves it out'
        )
        yield Caution("", "warmup", text, numbers)


def _few(results: Results) -> Iterator[Caution]:
    """Warn of a p99 that rests on few requests, or on few stretches of slow ones."""
    latency = results.latency
    if not latency.count:
        return
    value = latency.quantile(0.99)
    counts = np.concatenate(list(_slower_than(results, value)))
    beyond, stretches = int(counts.sum()), separate_stretches(counts)
    if beyond >= _FEW_SAMPLES and stretches >= _FEW_STRETCHES:
        return
    if latency.count >= 100 and beyond == 0:
        return  # nearly constant: the quantile is the largest value
    text = (
        f"few samples: {beyond} of {latency.count} requests are slower than the p99 latency, in "
        f"about {max(stretches, 1):.0f} separate stretches of time; run longer for the p99"
    )
    numbers = {"quantile": 0.99, "beyond": beyond, "stretches": stretches}
    yield Caution("", "few_samples", text, numbers)


def _slower_than(results: Results, value: float) -> Iterator[np.ndarray]:
    """Yield for each trial how many completed requests were slower, int array [buckets of time]."""
    for each in results.recordings:
        cells = each.cells("latency", range(COMPLETED, results.flow.size, len(OUTCOMES)))
        window = results.buckets_of(each)
        own = cells[(cells["place"] > bucket(value)) & (cells["bucket"] >= window.start)]
        counts = np.bincount(own["bucket"] - window.start, weights=own["count"], minlength=1)
        yield counts


def _correlated(results: Results) -> Iterator[Caution]:
    found = results.estimate("latency_mean_s")
    if found.method == "batches" and found.correlation > HIGH_CORRELATION:
        text = (
            f"the {found.samples} batches of the run depend on each other (correlation "
            f"{found.correlation:.2f}): its intervals are too narrow; run longer, or 5 trials"
        )
        numbers = {"correlation": found.correlation, "batches": found.samples}
        yield Caution("", "correlated", text, numbers)


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
