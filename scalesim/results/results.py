"""Results of a simulation: what a client saw, what each resource did, and what limits it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesim.errors import InvalidInput, nearest
from scalesim.ops import OUTCOMES
from scalesim.plan import Plan
from scalesim.plan.tables import AMOUNT
from scalesim.recording import CACHE_SERIES, Recording
from scalesim.results import levels, tables
from scalesim.results.bottleneck import NO_LIMIT, Bottleneck
from scalesim.results.latency import Latency, histogram_quantile

if TYPE_CHECKING:
    import pandas as pd

    from scalesim.topology import Topology
    from scalesim.traffic import AnyTraffic

__all__ = ["Results"]


class Results:
    """What `simulate` returns: one or more trials of one model, read together.

    Numbers are of the measured window ``[warmup, duration)``, pooled over the trials; `partial`
    says whether the run was interrupted.

    Parameters
    ----------
    topology : Topology
    traffic : AnyTraffic
    recordings : sequence of Recording
        One for each trial.
    engine : str
    notices : sequence of str
        What the user should know about how the run was made.
    """

    def __init__(
        self,
        topology: Topology,
        traffic: AnyTraffic,
        recordings: Sequence[Recording],
        engine: str,
        notices: Sequence[str] = (),
    ) -> None:
        self.topology = topology
        self.traffic = traffic
        self.recordings = tuple(recordings)
        self.engine = engine
        self.notices = tuple(notices)

    @property
    def plan(self) -> Plan:
        """The plan that was run."""
        return self.recordings[0].plan

    @property
    def trials(self) -> int:
        """Number of independent trials."""
        return len(self.recordings)

    @property
    def partial(self) -> bool:
        """Whether a trial was stopped before its end."""
        return any(each.partial for each in self.recordings)

    def window_of(self, recording: Recording) -> tuple[int, float]:
        """Return (first measured bucket, seconds measured) of a trial."""
        spec = recording.spec
        return spec.warmup_buckets, max(recording.ended_at - spec.warmup, 0.0)

    @cached_property
    def measured_time(self) -> float:
        """Seconds measured, summed over trials."""
        return math.fsum(self.window_of(each)[1] for each in self.recordings)

    def pooled(self, name: str) -> np.ndarray:
        """Return a per-bucket array summed over the measured buckets and the trials."""
        parts = [getattr(each, name)[self.window_of(each)[0] :] for each in self.recordings]
        if parts[0].dtype.names is None:
            total: np.ndarray = np.sum([part.sum(axis=0) for part in parts], axis=0)
            return total
        out = np.zeros(parts[0].shape[1:], parts[0].dtype)
        for field in parts[0].dtype.names:
            largest = field in ("longest", "deepest")
            reduce = np.max if largest else np.sum
            values = [reduce(part[field], axis=0) for part in parts if len(part)]
            if values:
                out[field] = reduce(values, axis=0)
        return out

    def histogram(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return a histogram of the window, summed over rows and trials, int64 [BUCKETS]."""
        total: np.ndarray = np.sum([each.histogram(name, rows) for each in self.recordings], axis=0)
        return total

    @cached_property
    def flow(self) -> np.ndarray:
        """Requests that ended in the window, FLOW_SERIES array [endpoints, outcomes]."""
        return self.pooled("flow")

    @cached_property
    def station(self) -> np.ndarray:
        """What stations did in the window, STATION_SERIES array [stations]."""
        return self.pooled("station")

    @cached_property
    def caches(self) -> dict[str, dict[str, int]]:
        """Hits, misses, evictions and coalesced misses of each cache, all its copies together."""
        pooled = self.pooled("cache")
        names = np.asarray(self.plan.cache_names)
        counts = CACHE_SERIES.names or ()
        return {
            name: {each: int(pooled[each][names == name].sum()) for each in counts}
            for name in dict.fromkeys(self.plan.cache_names)
        }

    # What the client saw ------------------------------------------------------------------

    def latency_of(self, endpoint: str | None = None, outcome: str = "completed") -> Latency:
        """Return the latency of requests of one endpoint (None: all) that ended in one way."""
        names = self.plan.endpoint_names
        rows = slice(None) if endpoint is None else _index(endpoint, names, "endpoint")
        o = _index(outcome, OUTCOMES, "outcome")
        cells = np.atleast_1d(self.flow[rows, o])
        numbers = np.arange(self.flow.size).reshape(self.flow.shape)
        histogram = self.histogram("latency", np.atleast_1d(numbers[rows, o]))
        return Latency(
            int(cells["count"].sum()),
            float(cells["latency"].sum()),
            float(cells["squared"].sum()),
            float(cells["longest"].max(initial=0.0)),
            histogram,
        )

    @property
    def latency(self) -> Latency:
        """Latency of completed requests, all endpoints."""
        return self.latency_of()

    @property
    def counts(self) -> dict[str, int]:
        """Requests that ended in the window, by outcome."""
        ended = self.flow["count"].sum(axis=0)
        return {name: int(n) for name, n in zip(OUTCOMES, ended, strict=True)}

    @property
    def arrived(self) -> int:
        """Requests that arrived in the window."""
        return int(self.pooled("arrived").sum())

    @property
    def arrival_rate(self) -> float:
        """New requests a second."""
        return self.arrived / self.measured_time if self.measured_time else math.nan

    @property
    def throughput(self) -> float:
        """Completed requests a second."""
        return self.counts["completed"] / self.measured_time if self.measured_time else math.nan

    @property
    def error_ratio(self) -> float:
        """Requests that did not complete / requests that ended; nan if none ended."""
        ended = sum(self.counts.values())
        return 1 - self.counts["completed"] / ended if ended else math.nan

    def goodput(self, deadline: float) -> float:
        """Return completed requests a second within `deadline` [s], read to 0.8 %."""
        from scalesim.kernels.draws import bucket

        good = int(self.latency.histogram[: bucket(deadline) + 1].sum())
        return good / self.measured_time if self.measured_time else math.nan

    # What the resources did ---------------------------------------------------------------

    @cached_property
    def utilization(self) -> np.ndarray:
        """Time-weighted utilization of each station [ratio], float array [stations]."""
        slots = np.maximum(self.plan.station["slots"], 1)  # an absent station is never busy
        if not self.measured_time:
            return np.full(len(slots), math.nan)
        used: np.ndarray = self.station["busy"] / (slots * self.measured_time)
        return used

    def wait_quantile(self, component: str, resource: str, p: float) -> float:
        """Return a quantile of the wait for a resource, all instances [s]."""
        rows = self._stations(component, resource)
        counts = self.histogram("wait", rows)
        zeros = int(self.station["granted"][rows].sum()) - int(counts.sum())
        return histogram_quantile(counts, p, max(zeros, 0))

    def time_shares(self, component: str, what: str) -> np.ndarray:
        """Return the share of time at each number of something [ratio], float array [0, 1, ...].

        What is kept, `levels_table` lists: ``core_0`` (a core of a service with `core_speeds` or
        `failures`, idle or busy) and ``down`` (units that have failed), over all instances.
        Summed up from the end, ``shares[::-1].cumsum()[::-1]``, it is the share of time with at
        least so many.
        """
        return levels.time_shares(self, component, what)

    def _stations(self, component: str, resource: str) -> list[int]:
        labels = self.plan.station_labels
        _index(component, list(dict.fromkeys(each.component for each in labels)), "component")
        own = list(dict.fromkeys(x.resource for x in labels if x.component == component))
        _index(resource, own, f"resource of {component}")
        return [
            s
            for s, label in enumerate(labels)
            if label.component == component and label.resource == resource
        ]

    @cached_property
    def bottleneck(self) -> Bottleneck:
        """The resource that limits throughput, with its evidence.

        It is the most utilized one. Slots that are full only because their holders wait for
        something further down are not the bottleneck, that is; so among resources within 2 % of
        the highest utilization the innermost is taken: the one furthest from the entry, and
        within a component the one that is held last and waited for. Memory counts only if it turns
        requests away. Without a measured second or a resource there is none: all fields are empty.
        """
        station, used = self.station, self.utilization
        shown = [
            s
            for s, label in enumerate(self.plan.station_labels)
            if label.resource not in NO_LIMIT
            and (self.plan.station["kind"][s] != AMOUNT or station["rejected"][s])
        ]
        if not shown or not self.measured_time:
            return Bottleneck("", "", 0, math.nan, math.nan, math.nan, math.nan, 0)
        best = max(used[s] for s in shown)
        level = self.call_levels()
        s = max(
            (s for s in shown if used[s] >= best * 0.98),
            key=lambda s: (
                level[self.plan.station_labels[s].component],
                bool(station["waited"][s] or station["rejected"][s]),
                s,
            ),
        )
        return self.evidence(s)

    def evidence(self, s: int) -> Bottleneck:
        """Return what the numbers say of station number `s` as a bottleneck."""
        label = self.plan.station_labels[s]
        rows = self._stations(label.component, label.resource)
        total = float(self.flow["latency"].sum())
        granted = int(self.station["granted"][s])
        return Bottleneck(
            label.component,
            label.resource,
            label.instance,
            float(self.utilization[s]),
            float(self.station["waited"][s]) / granted if granted else 0.0,
            float(self.station["depth"][s]) / self.measured_time if self.measured_time else 0.0,
            float(self.station["waited"][rows].sum()) / total if total else 0.0,
            int(self.station["rejected"][rows].sum()),
        )

    def call_levels(self) -> dict[str, int]:
        """Return how many calls lie between the entry and each component, at most."""
        calls = self.topology.calls()
        level = dict.fromkeys(self.topology.components, 0)
        for _ in level:
            for (caller, _endpoint), callees in calls.items():
                for callee, _e in callees:
                    level[callee] = max(level[callee], level[caller] + 1)
        return level

    # Tables -------------------------------------------------------------------------------

    def requests_table(self) -> pd.DataFrame:
        """Return one row for each endpoint and outcome: counts and latency."""
        return tables.requests(self)

    def resources_table(self, instances: bool = False) -> pd.DataFrame:
        """Return one row for each resource (or each instance of it)."""
        return tables.resources(self, instances)

    def components_table(self) -> pd.DataFrame:
        """Return hit ratios, replication lag, shard skew, retries and message times."""
        return tables.components(self)

    def levels_table(self) -> pd.DataFrame:
        """Return mean and quantiles over time of each number whose shares of time are kept."""
        return levels.levels_table(self)

    def keys_table(self) -> pd.DataFrame:
        """Return hit ratios by key, if ``record_keys`` asked for them."""
        return tables.keys(self)

    def availability_table(self) -> pd.DataFrame:
        """Return, for each service with failures, how available k of its units are together.

        One row for each number of units needed (cores of an instance, or instances): the share of
        time with at least so many up, how often an hour there were too few, for how long on
        average, and the mean number that was up. Tiers in series that fail independently are all
        available for the product of their shares.
        """
        return levels.availability_table(self)

    def series(self) -> pd.DataFrame:
        """Return one row for each bucket of time: rates, latency, utilizations (first trial)."""
        return tables.series(self)

    def attempts_table(self) -> pd.DataFrame:
        """Return the first requests one by one, if ``record_requests`` asked for them."""
        return tables.attempts(self)

    def summary(self) -> str:
        """Return the result in a few lines of text."""
        return tables.summary(self)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return tables.html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the main figures as plain data, units in the names."""
        return tables.as_dict(self)


def _index(name: str, known: Sequence[str], what: str) -> int:
    if name not in known:
        raise InvalidInput(
            f'there is no {what} "{name}". {nearest(name, known)}Known: {", ".join(known)}'
        )
    return list(known).index(name)
