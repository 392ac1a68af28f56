"""Recording: what every engine returns, as arrays. Results are computed from it and nothing else.

Everything is kept per bucket of time, so that totals of the measured window are sums over buckets
and the series come for free. Memory depends on the number of buckets, stations and endpoints, not
on the length of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from scalesim.errors import InternalError
from scalesim.frozen import read_only
from scalesim.kernels.draws import BUCKETS
from scalesim.ops import OUTCOMES
from scalesim.plan import Plan

__all__ = [
    "CACHE_SERIES",
    "FLOW_SERIES",
    "HISTOGRAM",
    "HISTOGRAMS",
    "STATION_SERIES",
    "TALLY_SERIES",
    "Recording",
    "RunSpec",
    "empty_arrays",
    "histogram_cells",
]

STATION_SERIES = np.dtype(
    [
        ("arrived", "i8"),
        ("granted", "i8"),
        ("rejected", "i8"),
        ("abandoned", "i8"),
        ("served", "i8"),
        ("deepest", "i8"),
        ("waited", "f8"),
        ("busy", "f8"),
        ("depth", "f8"),
    ]
)
"""Per bucket and station: counts, largest depth, summed wait [s], integrals over time [slot s].

``waited`` is of those granted; ``depth`` covers all who wait, those who abandon included.
"""

FLOW_SERIES = np.dtype([("count", "i8"), ("latency", "f8"), ("squared", "f8"), ("longest", "f8")])
"""Per bucket, endpoint and outcome: requests that ended, sums of latency and of its square."""

CACHE_SERIES = np.dtype(
    [("hits", "i8"), ("misses", "i8"), ("evictions", "i8"), ("coalesced", "i8")]
)
TALLY_SERIES = np.dtype([("count", "i8"), ("total", "f8"), ("longest", "f8")])

HISTOGRAM = np.dtype([("bucket", "i4"), ("row", "i4"), ("place", "i4"), ("count", "i8")])
"""One filled cell of a histogram: bucket of time, whose it is, bucket of the value, how many.

Most of the 5120 places are empty, so that only the filled ones are kept, for each bucket of time:
every quantile can then be had of any window, and of batches of it.
"""

HISTOGRAMS = ("latency", "wait", "tally")
"""What histograms are kept of."""


@dataclass(frozen=True)
class RunSpec:
    """How long to run one trial and what to record.

    Parameters
    ----------
    seed : int
        Of this trial, 64 well-mixed bits.
    boundaries : float array [buckets]
        Ends of the buckets [s], increasing; the last is the duration.
    warmup_buckets : int
        How many buckets precede the measured window.
    request_limit : int
        Keep times of the first so many requests (0: none).
    key_limit : int
        Count by key for the keys of the first so many numbers (0: none).
    """

    seed: int
    boundaries: np.ndarray
    warmup_buckets: int
    request_limit: int = 0
    key_limit: int = 0

    def __post_init__(self) -> None:
        read_only(self.boundaries)

    @property
    def duration(self) -> float:
        """End of the run [s]."""
        return float(self.boundaries[-1])

    @property
    def warmup(self) -> float:
        """Start of the measured window [s]."""
        return float(self.boundaries[self.warmup_buckets - 1]) if self.warmup_buckets else 0.0


@dataclass(frozen=True, eq=False)
class Recording:
    """One trial's outcome. Shapes: B buckets, S stations, E endpoints, O outcomes, C caches, ...

    Its arrays are read-only.

    Parameters
    ----------
    station : STATION_SERIES array [B, S]
    flow : FLOW_SERIES array [B, E, O]
    arrived : int64 array [B, E]
    latency_cells : HISTOGRAM array [cells]
        Row: endpoint x O + outcome.
    wait_cells : HISTOGRAM array [cells]
        Row: station. Waits longer than zero.
    tally_cells : HISTOGRAM array [cells]
        Row: tally.
    cache : CACHE_SERIES array [B, C]
    by_key : int64 array [B, C + databases that count stale reads, keys, 2]
        Lookups (or reads) of the first keys, and how many of them were hits (or stale).
    routed : int64 array [B, T]
    counter : int64 array [B, K]
    tally : TALLY_SERIES array [B, L]
    level_time : float64 array [B, sum of the levels' sizes]
        Seconds at each level, where ``plan.level`` says.
    level_entered : int64 array, same shape
        How often each was entered from below.
    requests : float64 array [N, 4] or None
        Arrival time, end time (nan: in flight), endpoint, outcome of the first requests.
    in_flight : int
        Requests not ended at the end of the run.
    events : int
        Events processed.
    ended_at : float [s]
        Simulated time reached; less than the duration if the run was interrupted.
    """

    plan: Plan
    spec: RunSpec
    station: np.ndarray
    flow: np.ndarray
    arrived: np.ndarray
    latency_cells: np.ndarray
    wait_cells: np.ndarray
    tally_cells: np.ndarray
    cache: np.ndarray
    by_key: np.ndarray
    routed: np.ndarray
    counter: np.ndarray
    tally: np.ndarray
    level_time: np.ndarray
    level_entered: np.ndarray
    requests: np.ndarray | None
    in_flight: int
    strands: int
    events: int
    ended_at: float

    def __post_init__(self) -> None:
        # Figures are worked out when asked for: of arrays that somebody wrote to, they would lie.
        for each in vars(self).values():
            if isinstance(each, np.ndarray):
                read_only(each)

    @property
    def partial(self) -> bool:
        """Whether the run was stopped before its end."""
        return self.ended_at < self.spec.duration

    def cells(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the filled cells of some rows of the histogram `name`, one of `HISTOGRAMS`."""
        cells: np.ndarray = getattr(self, f"{name}_cells")
        return cells[np.isin(cells["row"], rows)]

    def histogram(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the histogram of `rows` together in the measured window, int64 [BUCKETS]."""
        own = self.cells(name, rows)
        own = own[own["bucket"] >= self.spec.warmup_buckets]
        return _summed(own["place"], own["count"], BUCKETS)

    def histogram_series(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the histogram of `rows` together in each bucket of time, int64 [B, BUCKETS]."""
        own = self.cells(name, rows)
        shape = len(self.spec.boundaries), BUCKETS
        places = own["bucket"] * BUCKETS + own["place"]
        return _summed(places, own["count"], shape[0] * shape[1]).reshape(shape)

    @property
    def measured_time(self) -> float:
        """Seconds after the warm-up."""
        return max(self.ended_at - self.spec.warmup, 0.0)

    def check(self) -> None:
        """Raise `InternalError` unless requests are conserved to the unit.

        arrived = completed + rejected + timed out + failed + in flight
        """
        arrived = int(self.arrived.sum())
        ended = self.flow["count"].sum(axis=(0, 1))
        if arrived != int(ended.sum()) + self.in_flight:
            parts = " + ".join(f"{n} {name}" for n, name in zip(ended, OUTCOMES, strict=True))
            raise InternalError(
                f"requests are not conserved: {arrived} arrived, {parts} + {self.in_flight} in "
                "flight; please report this model"
            )
        total = {name: self.station[name].sum(axis=0) for name in self.station.dtype.names or ()}
        entered = total["arrived"] - total["rejected"] - total["abandoned"]
        gone = total["served"]
        if (entered < gone).any():
            labels = self.plan.station_labels
            broken = [labels[s] for s in np.flatnonzero(entered < gone)]
            raise InternalError(f"stations served more than entered and stayed: {broken}")

    def differences(self, other: Recording) -> Iterator[str]:
        """Yield the names of the arrays in which two recordings differ by as much as a bit."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            arrays = [value for value in (mine, theirs) if isinstance(value, np.ndarray)]
            if arrays:
                if len(arrays) == 1 or mine.tobytes() != theirs.tobytes():
                    yield each.name
            elif each.name not in ("plan", "spec", "events") and mine != theirs:
                yield f"{each.name}: {mine} and {theirs}"


def _summed(places: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Return the sum of the counts at each place, int64 [size]."""
    # Through floats, which are exact up to 2**53: ten times as fast as np.add.at.
    return np.bincount(places, weights=counts, minlength=size).astype(np.int64)


def histogram_cells(buckets: np.ndarray, places: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return what each bucket of time adds to a histogram, as HISTOGRAM array [cells].

    Parameters
    ----------
    buckets, places, counts : int64 array [cells]
        Bucket of time, place numbered row x BUCKETS + place, and what was counted there.
    """
    cells = np.empty(len(places), HISTOGRAM)
    cells["bucket"], cells["count"] = buckets, counts
    cells["row"], cells["place"] = np.divmod(places, BUCKETS)
    return cells


def empty_arrays(plan: Plan, spec: RunSpec) -> dict[str, np.ndarray]:
    """Return zeroed arrays of the right shapes for an engine to fill."""
    b, e, o = len(spec.boundaries), len(plan.endpoint), len(OUTCOMES)
    s, t = len(plan.station), len(plan.target)
    levels = int(plan.level["count"].sum())
    return {
        "station": np.zeros((b, s), STATION_SERIES),
        "flow": np.zeros((b, e, o), FLOW_SERIES),
        "arrived": np.zeros((b, e), np.int64),
        "cache": np.zeros((b, len(plan.cache)), CACHE_SERIES),
        "by_key": np.zeros((b, len(plan.cache) + len(plan.versions), spec.key_limit, 2), np.int64),
        "routed": np.zeros((b, t), np.int64),
        "counter": np.zeros((b, len(plan.counter_names)), np.int64),
        "tally": np.zeros((b, len(plan.tally_names)), TALLY_SERIES),
        "level_time": np.zeros((b, levels)),
        "level_entered": np.zeros((b, levels), np.int64),
        "requests": np.full((spec.request_limit, 4), np.nan),
    }
