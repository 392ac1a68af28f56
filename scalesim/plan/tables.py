"""The plan's tables: structured arrays with one meaning for each column. Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = [
    "AMOUNT",
    "BACKGROUND",
    "BALANCER",
    "BATCHES",
    "BATCH_RULE",
    "BATCH_SLOTS",
    "BREAKER",
    "BREAKER_KNOWS",
    "BURSTS",
    "CACHE",
    "CLOSED",
    "CODE",
    "CORE",
    "CORES",
    "ENDPOINT",
    "FIFO",
    "LCFS",
    "LEVEL",
    "LIMITER",
    "OPEN",
    "PARTITION_RULE",
    "PHASE",
    "POPULARITY",
    "PREEMPTIVE",
    "PRIORITY",
    "Plan",
    "RATE",
    "RENEWAL",
    "REPLAY",
    "RETRY_RULE",
    "SAMPLER",
    "SEGMENT",
    "SHARED",
    "SHORTEST",
    "SLOTS",
    "SOURCE",
    "STATION",
    "VERSIONS",
    "StationLabel",
    "TARGET",
]

SLOTS, SHARED, AMOUNT, CORES, PREEMPTIVE, RATE, BATCH_SLOTS = range(7)
"""Kinds of station: slots with a waiting line, shared processors, an amount (memory), cores that
differ or fail, processors that interrupt, a rate that is kept, slots that take several from the
line at once."""

FIFO, LCFS, SHORTEST, PRIORITY = 0, 1, 2, 3
"""Orders of a station: who goes first."""

OPEN, CLOSED, REPLAY, RENEWAL, BATCHES, BURSTS = range(6)
"""Kinds of traffic source."""

CODE = np.dtype(
    [
        ("op", "i8"),
        ("a", "i8"),
        ("b", "i8"),
        ("c", "i8"),
        ("on_fail", "i8"),
        ("x", "f8"),
        ("site", "u8"),
        ("tag", "u8"),
    ]
)
STATION = np.dtype(
    [
        ("kind", "i8"),
        ("slots", "i8"),
        ("queue_limit", "i8"),
        ("initial", "i8"),
        ("order", "i8"),
        ("leaving", "i8"),
        ("contention", "f8"),
        ("coherency", "f8"),
        ("first_core", "i8"),
        ("random_core", "i8"),
        ("site", "u8"),
    ]
)
"""``leaving``: whether who waits may leave the line before its turn."""
CORE = np.dtype([("station", "i8"), ("speed", "f8"), ("level", "i8")])
LEVEL = np.dtype([("first", "i8"), ("count", "i8")])
"""A number that goes up and down, whose distribution over time is kept: where its row of times is,
and how long; the last place means that many or more."""
SAMPLER = np.dtype(
    [("kind", "i8"), ("a", "f8"), ("b", "f8"), ("c", "f8"), ("first", "i8"), ("count", "i8")]
)
BALANCER = np.dtype(
    [
        ("policy", "i8"),
        ("first", "i8"),
        ("count", "i8"),
        ("setting", "i8"),
        ("by_item", "i8"),
        ("equal", "i8"),
        ("cursor", "i8"),
        ("site", "u8"),
    ]
)
TARGET = np.dtype(
    [
        ("weight", "f8"),
        ("current", "f8"),
        ("in_flight", "i8"),
        ("instance", "i8"),
        ("first_program", "i8"),
        ("routed", "i8"),
    ]
)
CACHE = np.dtype(
    [
        ("capacity", "i8"),
        ("eviction", "i8"),
        ("first", "i8"),
        ("first_key", "i8"),
        ("head", "i8"),
        ("tail", "i8"),
        ("used", "i8"),
        ("free", "i8"),
        ("ttl", "f8"),
        ("site", "u8"),
        ("hits", "i8"),
        ("misses", "i8"),
        ("evictions", "i8"),
        ("coalesced", "i8"),
        ("renewed", "i8"),
        ("warm", "i8"),
        ("setting", "i8"),
        ("hand", "i8"),
        ("size", "i8"),
        ("uses", "i8"),
        ("first_history", "i8"),
        ("first_fetch", "i8"),
    ]
)
"""``first*``: places in the tables of entries and of keys; -1: the cache needs none."""
VERSIONS = np.dtype([("first", "i8"), ("keys", "i8"), ("reads", "i8"), ("stale", "i8")])
"""A database's versions of keys: node n has key k at place first + n x keys + k; its counters."""
RETRY_RULE = np.dtype(
    [
        ("attempts", "i8"),
        ("backoff", "f8"),
        ("factor", "f8"),
        ("cap", "f8"),
        ("jitter", "i8"),
        ("sampler", "i8"),
        ("first", "i8"),
        ("count", "i8"),
        ("outcomes", "i8"),
        ("give_up", "f8"),
        ("first_failed", "i8"),
        ("waits_tally", "i8"),
    ]
)
"""``attempts`` -1: no bound; ``outcomes``: a bit for each that is retried; ``sampler`` -1: none;
``first`` and ``count``: waits given one by one, in `Plan.values`."""
ENDPOINT = np.dtype([("start", "i8"), ("cumulated", "f8"), ("request", "i8"), ("response", "i8")])
POPULARITY = np.dtype([("kind", "i8"), ("count", "i8"), ("first", "i8")])
"""Kind 0: not used, 1: uniform, 2: by the cumulated and guide tables."""
SEGMENT = np.dtype([("end", "f8"), ("gap", "f8")])
"""A stretch of constant rate: its end within the period and the mean gap (inf: none arrive)."""
SOURCE = np.dtype(
    [
        ("kind", "i8"),
        ("users", "i8"),
        ("think", "i8"),
        ("random", "i8"),
        ("repeat", "i8"),
        ("period", "f8"),
        ("segment", "i8"),
        ("origin", "f8"),
        ("gap", "i8"),
        ("size", "f8"),
        ("left", "i8"),
        ("mix", "i8"),
        ("shares", "i8"),
        ("phase", "i8"),
        ("until", "f8"),
        ("moves", "i8"),
    ]
)
"""One row; closed traffic: one for each group of users.

``gap``: sampler of the gaps, in mean gaps; ``size``: mean size of a batch, negative if geometric;
``left``: requests of the present batch still to come; ``mix``: place among the values of a group's
cumulated mix, or -1; ``shares``: that of the cumulated shares of time of the states of bursts;
``phase``, ``until``, ``moves``: the present state of bursts, its end, and how often it changed.
"""
PHASE = np.dtype([("gap", "f8"), ("stay", "f8"), ("first", "i8")])
"""A state of bursts: mean gap (inf: none arrive), mean stay, and where the cumulated probabilities
of the next state are among the values."""
LIMITER = np.dtype(
    [
        ("station", "i8"),
        ("kind", "i8"),
        ("gap", "f8"),
        ("limit", "i8"),
        ("window", "f8"),
        ("delays", "i8"),
        ("queue_limit", "i8"),
        ("by_client", "i8"),
        ("first", "i8"),
        ("size", "i8"),
    ]
)
"""``limit``: of the burst, or of a window; ``first``, ``size``: its cells in the meter table, so
many for each client if ``by_client``."""
BREAKER = np.dtype(
    [
        ("failure_ratio", "f8"),
        ("in_a_row", "i8"),
        ("window", "i8"),
        ("minimum", "i8"),
        ("open_time", "f8"),
        ("trials", "i8"),
        ("level", "i8"),
        ("rejected", "i8"),
        ("opened", "i8"),
        ("first", "i8"),
    ]
)
"""``in_a_row``: failures that open it, 0: the ratio decides; ``first``: of `window` meter cells."""
BREAKER_KNOWS = ("state", "generation", "calls", "failures", "position", "begun")
"""What an engine adds, beside ``until`` when it is open; all 0 at first."""
BATCH_RULE = np.dtype(
    [
        ("station", "i8"),
        ("room", "i8"),
        ("counter", "i8"),
        ("least", "i8"),
        ("most", "i8"),
        ("linger", "f8"),
        ("polls", "i8"),
        ("one_by_one", "i8"),
    ]
)
PARTITION_RULE = np.dtype([("partitions", "i8"), ("consumers", "i8"), ("by", "i8")])
"""``by`` 0: key, 1: client, 2: at random."""
BACKGROUND = np.dtype([("program", "i8"), ("instance", "i8"), ("item", "i8"), ("tag", "u8")])
"""A strand that starts before anything arrives; ``item``: its key register."""


class StationLabel(NamedTuple):
    """Whose station (or level) it is."""

    component: str
    resource: str
    instance: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything an engine needs, as frozen arrays; ``station_labels`` and the like name the rows.

    ``dispatch[target.first_program + endpoint]`` is where a target's program starts.
    ``cumulated`` and ``guide`` hold the popularities' tables; ``replay_*`` recorded arrivals, with
    -1 in ``replay_endpoint``, ``replay_key`` and ``replay_client`` where it is to be drawn.
    """

    code: np.ndarray
    station: np.ndarray
    core: np.ndarray
    level: np.ndarray
    sampler: np.ndarray
    values: np.ndarray
    balancer: np.ndarray
    target: np.ndarray
    dispatch: np.ndarray
    cache: np.ndarray
    retry: np.ndarray
    breaker: np.ndarray
    limiter: np.ndarray
    batch: np.ndarray
    partition: np.ndarray
    background: np.ndarray
    endpoint: np.ndarray
    popularity: np.ndarray
    cumulated: np.ndarray
    guide: np.ndarray
    source: np.ndarray
    segment: np.ndarray
    phase: np.ndarray
    replay_at: np.ndarray
    replay_endpoint: np.ndarray
    replay_key: np.ndarray
    replay_client: np.ndarray
    depth: int
    entry_count: int
    key_count: int
    history_count: int
    fetch_count: int
    meter_count: int
    versions: np.ndarray
    version_count: int
    item_counts: tuple[int, int]
    endpoint_names: tuple[str, ...]
    station_labels: tuple[StationLabel, ...]
    level_labels: tuple[StationLabel, ...]
    balancer_names: tuple[str, ...]
    target_names: tuple[str, ...]
    cache_names: tuple[str, ...]
    versions_names: tuple[str, ...]
    counter_names: tuple[tuple[str, str], ...]
    tally_names: tuple[tuple[str, str], ...]
    program_starts: dict[str, int]

    def describe(self) -> str:
        """Return the programs as text, one operation a line."""
        from scalesim.ops import OPERATIONS

        starts = {start: name for name, start in self.program_starts.items()}
        lines = []
        for pc, row in enumerate(self.code):
            if pc in starts:
                lines.append(f"{starts[pc]}:")
            operands = f"a={row['a']} b={row['b']} c={row['c']} x={row['x']:g}"
            lines.append(
                f"  {pc:4d} {OPERATIONS[row['op']].name:9s} {operands} on_fail={row['on_fail']}"
            )
        return "\n".join(lines)
