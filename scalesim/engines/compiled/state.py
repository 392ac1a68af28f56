"""State of one trial: a NamedTuple of structured arrays, made from a plan, grown when full.

The class stands at module level because Numba's cache is keyed by it. One row of `strand` is one
thread of control; ``next`` links it into whichever list it is in (waiting line, ready, free).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scalesim.engines.compiled.caches import NOBODY
from scalesim.engines.compiled.heap import NEVER
from scalesim.engines.compiled.strands import FREE
from scalesim.kernels.draws import BUCKETS
from scalesim.kernels.sampling import ziggurat_tables
from scalesim.ops import OUTCOMES
from scalesim.plan import Plan, tables
from scalesim.plan.tables import FIFO, OPEN, REPLAY, SOURCE
from scalesim.recording import FLOW_SERIES, TALLY_SERIES, RunSpec

__all__ = ["FOREVER", "State", "grown", "new_state"]

FOREVER = np.inf

CLOCK = np.dtype(
    [
        ("now", "f8"),
        ("next_at", "i8"),
        ("next_order", "i8"),
        ("next_work", "f8"),
        ("key", "u8"),
        ("next_key", "u8"),
        ("plain", "i8"),
        ("steady", "i8"),
        ("sequence", "i8"),
        ("size", "i8"),
        ("hole", "i8"),
        ("ready_head", "i8"),
        ("ready_tail", "i8"),
        ("free", "i8"),
        ("serial", "i8"),
        ("next_request", "i8"),
        ("bucket", "i8"),
        ("end", "f8"),
        ("cells", "i8"),
        ("seed", "u8"),
        ("gap_site", "u8"),
        ("endpoint_site", "u8"),
        ("key_site", "u8"),
        ("client_site", "u8"),
        ("think_site", "u8"),
        ("user_tag", "u8"),
        ("depth", "i8"),
        ("key_limit", "i8"),
        ("key_count", "i8"),
        ("client_count", "i8"),
        ("started", "i8"),
        ("instant", "f8"),
        ("at_once", "i8"),
        ("most_at_once", "i8"),
        ("users", "i8"),
    ]
)
EVENT = np.dtype([("at", "i8"), ("order", "i8"), ("index", "i8"), ("stamp", "i8")])
STATION_STATE = np.dtype(
    [
        ("slots", "f8"),
        ("queue_limit", "f8"),
        ("busy", "f8"),
        ("depth", "f8"),
        ("head", "i8"),
        ("tail", "i8"),
        ("since", "f8"),
        ("busy_area", "f8"),
        ("depth_area", "f8"),
        ("waited", "f8"),
        ("waiting_before", "i8"),
        ("granted", "i8"),
        ("rejected", "i8"),
        ("served", "i8"),
        ("deepest", "f8"),
        ("virtual", "f8"),
        ("touched", "f8"),
        ("generation", "i8"),
        ("kind", "i8"),
        ("order", "i8"),
        ("heaped", "i8"),
        ("abandoned", "i8"),
    ]
)
STRAND = np.dtype(
    [
        ("pc", "i8"),
        ("level", "i8"),
        ("instance", "i8"),
        ("attempt", "i8"),
        ("status", "i8"),
        ("key", "u8"),
        ("root", "u8"),
        ("item", "i8"),
        ("client", "i8"),
        ("endpoint", "i8"),
        ("request", "i8"),
        ("user", "i8"),
        ("started", "f8"),
        ("since", "f8"),
        ("service", "f8"),
        ("drawn", "i8"),
        ("mark", "f8"),
        ("next", "i8"),
        ("left", "i8"),
        ("right", "i8"),
        ("parent", "i8"),
        ("reply", "i8"),
        ("waiting", "i8"),
        ("branches", "i8"),
        ("joining", "i8"),
        ("joined", "i8"),
        ("turns", "i8"),
        ("origin", "i8"),
        ("group", "i8"),
        ("rank", "i8"),
        ("up", "i8"),
        ("until", "f8"),
        ("paused", "f8"),
        ("rider", "i8"),
        ("begun", "f8"),
        ("completed", "i8"),
        ("child", "i8"),
        ("older", "i8"),
        ("younger", "i8"),
        ("lined", "i8"),
        ("inside", "i8"),
        ("hit", "i8"),
        ("version", "i8"),
        ("ticket", "i8"),
    ]
)
BREAKER_STATE = np.dtype(
    [
        *tables.BREAKER.descr,
        *((name, "i8") for name in tables.BREAKER_KNOWS),
        ("until", "f8"),
    ]
)
CORE_STATE = np.dtype(
    [
        ("station", "i8"),
        ("speed", "f8"),
        ("level", "i8"),
        ("up", "i8"),
        ("strand", "i8"),
        ("started", "f8"),
        ("generation", "i8"),
        ("wear", "f8"),
        ("wears", "i8"),
        ("keeper", "i8"),
    ]
)
LEVEL_STATE = np.dtype([("first", "i8"), ("count", "i8"), ("value", "i8"), ("since", "f8")])
FRAME = np.dtype([("pc", "i8"), ("instance", "i8"), ("attempt", "i8"), ("key", "u8")])
ENTRY = np.dtype(
    [
        ("newer", "i4"),
        ("older", "i4"),
        ("key", "i4"),
        ("count", "i4"),
        ("used", "i8"),
        ("expires", "f8"),
    ]
)
CELL = np.dtype([("histogram", "i8"), ("place", "i8"), ("count", "i8")])


class State(NamedTuple):
    """All tables of a running trial."""

    clock: np.ndarray
    code: np.ndarray
    event: np.ndarray
    strand: np.ndarray
    frame: np.ndarray
    station: np.ndarray
    sampler: np.ndarray
    values: np.ndarray
    edge: np.ndarray
    height: np.ndarray
    balancer: np.ndarray
    target: np.ndarray
    dispatch: np.ndarray
    cache: np.ndarray
    entry: np.ndarray
    place: np.ndarray
    history: np.ndarray
    fetch: np.ndarray
    versions: np.ndarray
    version: np.ndarray
    retry: np.ndarray
    breaker: np.ndarray
    limiter: np.ndarray
    meter: np.ndarray
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
    kept: np.ndarray
    cell: np.ndarray
    flow: np.ndarray
    arrived: np.ndarray
    counter: np.ndarray
    tally: np.ndarray
    latency_histogram: np.ndarray
    wait_histogram: np.ndarray
    by_key: np.ndarray
    tally_histogram: np.ndarray
    requests: np.ndarray
    serving: np.ndarray
    core: np.ndarray
    level: np.ndarray
    level_time: np.ndarray
    level_entered: np.ndarray


def new_state(plan: Plan, spec: RunSpec, sites: dict[str, int]) -> State:
    """Return the state at time 0, before anything has arrived."""
    clock = np.zeros(1, CLOCK)
    clock["ready_head"] = clock["ready_tail"] = clock["free"] = -1
    clock["next_at"] = np.float64(FOREVER).view(np.int64)
    clock["depth"] = max(1, plan.depth)
    clock["end"] = spec.boundaries[0]
    clock["key_limit"] = spec.key_limit
    clock["key_count"], clock["client_count"] = plan.item_counts
    clock["seed"] = spec.seed
    several = len(plan.endpoint) > 1 or plan.popularity["kind"].any()
    clock["plain"] = not several and plan.source["kind"][0] != REPLAY
    first = plan.source[0]
    steady = first["kind"] == OPEN and first["random"] and not first["repeat"]
    clock["steady"] = steady and len(plan.segment) == 1
    users = int(plan.source["users"].sum())
    clock["users"] = users
    for name, site in sites.items():
        clock[name] = site
    station = np.zeros(len(plan.station), STATION_STATE)
    for name in ("slots", "kind", "order"):
        station[name] = plan.station[name]
    limit = plan.station["queue_limit"]
    station["queue_limit"] = np.where(limit < 0, np.inf, limit)
    station["heaped"] = (plan.station["order"] != FIFO) | (plan.station["leaving"] != 0)
    station["busy"] = plan.station["initial"]
    station["head"] = station["tail"] = -1
    entry = np.zeros(plan.entry_count, ENTRY)
    entry["newer"] = entry["older"] = -1
    edge, height = ziggurat_tables()
    flows, tallies = len(plan.endpoint) * len(OUTCOMES), len(plan.tally_names)
    state = State(
        clock=clock,
        code=plan.code.copy(),
        event=np.zeros(0, EVENT),
        strand=np.zeros(0, STRAND),
        frame=np.zeros(0, FRAME),
        station=station,
        sampler=plan.sampler.copy(),
        values=plan.values.copy(),
        edge=edge,
        height=height,
        balancer=plan.balancer.copy(),
        target=plan.target.copy(),
        dispatch=plan.dispatch.copy(),
        cache=plan.cache.copy(),
        entry=entry,
        place=np.full(plan.key_count, -1, np.int64),
        history=np.zeros(plan.history_count, np.int64),
        fetch=np.full(plan.fetch_count, NOBODY, np.int64),
        versions=plan.versions.copy(),
        version=np.zeros(plan.version_count, np.int64),
        retry=plan.retry.copy(),
        breaker=_filled(plan.breaker, BREAKER_STATE),
        limiter=plan.limiter.copy(),
        meter=np.zeros(plan.meter_count),
        batch=plan.batch.copy(),
        partition=plan.partition.copy(),
        background=plan.background.copy(),
        endpoint=plan.endpoint.copy(),
        popularity=plan.popularity.copy(),
        cumulated=plan.cumulated.copy(),
        guide=plan.guide.copy(),
        source=plan.source.copy().astype(SOURCE),
        segment=plan.segment.copy(),
        phase=plan.phase.copy(),
        replay_at=plan.replay_at.copy(),
        replay_endpoint=plan.replay_endpoint.copy(),
        replay_key=plan.replay_key.copy(),
        replay_client=plan.replay_client.copy(),
        kept=np.zeros(len(spec.boundaries) * len(station), STATION_STATE),
        cell=np.empty((flows + len(station) + tallies) * BUCKETS, CELL),
        flow=np.zeros(flows, FLOW_SERIES),
        arrived=np.zeros(len(plan.endpoint), np.int64),
        counter=np.zeros(len(plan.counter_names), np.int64),
        tally=np.zeros(tallies, TALLY_SERIES),
        latency_histogram=np.zeros(flows * BUCKETS, np.int64),
        wait_histogram=np.zeros(len(station) * BUCKETS, np.int64),
        by_key=np.zeros((len(plan.cache) + len(plan.versions)) * spec.key_limit * 2, np.int64),
        tally_histogram=np.zeros(tallies * BUCKETS, np.int64),
        requests=np.full((spec.request_limit, 4), np.nan),
        serving=plan.station.copy(),
        core=_filled(plan.core, CORE_STATE, up=1, strand=-1, wear=np.inf),
        level=_filled(plan.level, LEVEL_STATE),
        level_time=np.zeros(int(plan.level["count"].sum())),
        level_entered=np.zeros(int(plan.level["count"].sum()), np.int64),
    )
    return grown(state, 64 + 2 * users + 2 * len(plan.background))


def _filled(table: np.ndarray, dtype: np.dtype, **fields: float) -> np.ndarray:
    """Return the rows of a plan's table with the fields that an engine adds."""
    rows = np.zeros(len(table), dtype)
    for name in table.dtype.names or ():
        rows[name] = table[name]
    for name, value in fields.items():
        rows[name] = value
    return rows


def grown(state: State, strands: int = 0) -> State:
    """Return the state with twice the strands (or `strands`) and room for their events."""
    old = len(state.strand)
    new = max(strands, 2 * old)
    depth = int(state.clock["depth"][0])
    strand = np.zeros(new, STRAND)
    strand[:old] = state.strand
    strand["pc"][old:] = FREE
    strand["request"][old:] = strand["child"][old:] = -1
    strand["next"][old:] = np.append(np.arange(old + 1, new), state.clock["free"][0])
    state.clock["free"] = old
    frame = np.zeros(new * depth, FRAME)
    frame[: old * depth] = state.frame
    event = np.zeros(max(2 * len(state.event), 4 * new + 64), EVENT)
    event["at"] = NEVER
    event[: len(state.event)] = state.event
    return state._replace(strand=strand, frame=frame, event=event)
