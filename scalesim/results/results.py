"""Results of a simulation: what a client saw, what each resource did, and what limits it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesim.frozen import read_only
from scalesim.ops import OUTCOMES
from scalesim.plan.tables import AMOUNT, CLOSED
from scalesim.recording import CACHE_SERIES, Recording
from scalesim.results import levels, metrics, tables, text, transients
from scalesim.results.bottleneck import NO_LIMIT, NOTHING, Bottleneck
from scalesim.results.intervals import CONFIDENCE, Estimate
from scalesim.results.latency import Latency, histogram_quantile
from scalesim.results.measured import Measured
from scalesim.results.saturation import Loads, growing_line, loads, perhaps_growing
from scalesim.results.warmup import truncation
from scalesim.results.warnings import Caution, cautions

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["Results"]


class Results(Measured):
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
    unreached : sequence of Caution
        What was asked for and not reached: the precision.
    left_out : int
        Trials that an interruption cut short or kept from beginning; the figures are of the others.
    """

    confidence = CONFIDENCE
    """Of the intervals in tables and summaries [ratio]."""

    # How far the figures can be trusted ---------------------------------------------------

    def estimate(self, metric: str, confidence: float = CONFIDENCE) -> Estimate:
        """Return a figure by name, with the interval that holds its true value.

        Parameters
        ----------
        metric : str
            ``latency_mean_s``, ``latency_p99_s[endpoint]``, ``wait_p99_9_s@component.resource``,
            ``hit_ratio@cache``, ``stale_read_ratio@db``, ``cold_start_ratio@service``, ...: see
            `metric_names`.
        confidence : float [ratio, above 0 and below 1]

        Raises
        ------
        InvalidInput
            There is no such metric.
        """
        return metrics.estimate(self, metric, confidence)

    def metric_names(self) -> list[str]:
        """Return what `estimate` knows of this model, of the quantiles p50, p90 and p99 only."""
        return list(metrics.metric_names(self))

    def values_by_trial(self, metric: str) -> np.ndarray:
        """Return a figure by name of each trial by itself, float array [trials]."""
        return metrics.values_by_trial(self, metric)

    @cached_property
    def warnings(self) -> tuple[Caution, ...]:
        """What to know before trusting the figures; empty if there is nothing."""
        return (*self.unreached, *cautions(self))

    @cached_property
    def unstable(self) -> str:
        """``component.resource`` whose line grows without end under steady traffic, or empty.

        Its offered utilization is 1 or more, as far as this run can tell: waits there have no mean
        and no quantile, or their intervals no upper end if the line may yet settle; nor has the
        latency, if clients wait for it. Users who wait for answers make no such line, only what
        they leave behind can: messages, writes that replicas apply.
        """
        if not self.traffic.stationary or not self.measured_time:
            return ""
        if self.plan.source["kind"][0] == CLOSED:
            return growing_line(self)
        return growing_line(self) or perhaps_growing(self)

    @cached_property
    def loads(self) -> Loads:
        """Offered utilization of each station, its error, and how long the run is for its line."""
        return loads(self)

    @cached_property
    def truncation(self) -> int:
        """How many buckets of time it takes to leave the beginning, at least those left out."""
        least = self.recordings[0].spec.warmup_buckets
        return truncation(self.recordings, least) if self.traffic.stationary else least

    def without_beginning(self) -> Results:
        """Return the results without what `truncation` cuts, unless that is more than half."""
        spec = self.recordings[0].spec
        cut = self.truncation
        if cut == spec.warmup_buckets or spec.boundaries[cut - 1] > spec.duration / 2:
            return self
        return self.restricted({each.spec.seed for each in self.recordings}, cut)

    def restricted(self, seeds: Collection[int], warmup_buckets: int) -> Results:
        """Return the results of some trials only, with another warm-up."""
        return self._with(
            [
                replace(each, spec=replace(each.spec, warmup_buckets=warmup_buckets))
                for each in self.recordings
                if each.spec.seed in seeds
            ]
        )

    def noting(self, caution: Caution) -> Results:
        """Return the results with one more warning."""
        return self._with(self.recordings, (*self.unreached, caution))

    def _with(
        self, recordings: Sequence[Recording], unreached: Sequence[Caution] | None = None
    ) -> Results:
        unreached = self.unreached if unreached is None else unreached
        given = (self.topology, self.traffic, recordings, self.engine, self.notices)
        return Results(*given, unreached, self.left_out)

    # What happened when -------------------------------------------------------------------

    def backlog_table(
        self, component: str | None = None, *, confidence: float = CONFIDENCE
    ) -> pd.DataFrame:
        """Return requests in flight over time: mean over the trials, its interval, the largest.

        Parameters
        ----------
        component : str, optional
            Waiting and in service at its busiest resource (mean over each bucket of time);
            otherwise of the whole system (at the end of each bucket).
        """
        return transients.backlog_table(self, component, confidence)

    def drain_time(
        self,
        since: float,
        *,
        level: float | None = None,
        component: str | None = None,
        confidence: float = CONFIDENCE,
    ) -> Estimate:
        """Return how long it takes until a backlog is gone [s]: mean over the trials.

        Parameters
        ----------
        since : float [s]
            From when on to count: the end of the spike.
        level : float, optional [requests in flight]
            What counts as gone; the median over the run if not given.
        component : str, optional
            Of its busiest resource; otherwise of the whole system.

        Returns
        -------
        Estimate
            Its interval is from the trials (2 or more), and allows for the bucket of time in which
            it happened: it is looked for at their ends, the duration / 80 apart or so. The value is
            inf if a trial did not drain before its end.
        """
        return transients.drain_time(self, since, level, component, confidence)

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
        rows = slice(None) if endpoint is None else self.endpoint_index(endpoint)
        o = self.outcome_index(outcome)
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
            return read_only(np.full(len(slots), math.nan))
        return read_only(self.station["busy"] / (slots * self.measured_time))

    def wait_quantile(self, component: str, resource: str, p: float) -> float:
        """Return a quantile of the wait for a resource, all instances [s]."""
        rows = self.stations_of(component, resource)
        counts = self.histogram("wait", rows)
        zeros = int(self.station["granted"][rows].sum()) - int(counts.sum())
        return histogram_quantile(counts, p, max(zeros, 0))

    def time_shares(self, component: str, what: str) -> np.ndarray:
        """Return the share of time at each number of something [ratio], float array [0, 1, ...].

        What is kept, `levels_table` lists: ``core_0`` (a core of a service with `core_speeds` or
        `failures`, idle or busy), ``down`` (units that have failed) and ``in_flight`` (requests at
        an instance of a service with `record_in_flight`), over all instances.
        Summed up from the end, ``shares[::-1].cumsum()[::-1]``, it is the share of time with at
        least so many.
        """
        return levels.time_shares(self, component, what)

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
            return NOTHING
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
        rows = self.stations_of(label.component, label.resource)
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

    def requests_table(self, *, intervals: bool = True) -> pd.DataFrame:
        """Return one row for each endpoint and outcome: counts and latency, with intervals."""
        return tables.requests(self, intervals)

    def resources_table(self, instances: bool = False, *, intervals: bool = True) -> pd.DataFrame:
        """Return one row for each resource (or each instance of it), with intervals."""
        return tables.resources(self, instances, intervals)

    def components_table(self, *, intervals: bool = True) -> pd.DataFrame:
        """Return hit ratios, replication lag, shard skew, retries, message times; with intervals.

        Counts have none.
        """
        return tables.components(self, intervals)

    def levels_table(self) -> pd.DataFrame:
        """Return mean and quantiles over time of each number whose shares of time are kept."""
        return levels.levels_table(self)

    def keys_table(self) -> pd.DataFrame:
        """Return hit ratios and ratios of stale reads by key, if ``record_keys`` asked for them."""
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
        return text.summary(self)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return text.html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the main figures as plain data, units in the names."""
        return text.as_dict(self)
