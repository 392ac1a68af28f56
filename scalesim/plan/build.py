"""Build a plan: check the traffic against the topology, lower both, freeze the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from scalesim import ops
from scalesim.components import (
    Cache,
    Component,
    Database,
    LoadBalancer,
    MessageQueue,
    RateLimiter,
    Service,
)
from scalesim.components.calls import lower_attempts
from scalesim.errors import InvalidModel, Problem, nearest
from scalesim.plan import tables
from scalesim.plan.emit import PlanEmitter
from scalesim.plan.sources import cumulated_mix, lower_replay, lower_sources
from scalesim.plan.tables import Plan
from scalesim.policies.load_balancing import BalancingPolicy
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, Popularity, ReplayTraffic, UserGroups

__all__ = ["build_plan", "misfits", "require_fit", "unknown_endpoints"]


def build_plan(topology: Topology, traffic: AnyTraffic) -> Plan:
    """Return the plan of `topology` under `traffic`.

    Raises
    ------
    InvalidModel
        With every problem of the traffic and of its fit to the topology.
    """
    require_fit(topology, traffic)
    emit = PlanEmitter(topology)
    for part in topology.components.values():
        part.lower(emit)
    names = topology.entry_endpoints
    roots = [_root(emit, topology.entry, name, traffic) for name in names]
    emit.direct_balancers()
    request = -1 if traffic.request_bytes is None else emit.sampler(traffic.request_bytes)
    response = -1 if traffic.response_bytes is None else emit.sampler(traffic.response_bytes)
    source, segment, phase = lower_sources(emit, names, traffic)
    code = emit.link()
    dispatch = emit.dispatch()

    endpoint = np.zeros(len(names), tables.ENDPOINT)
    endpoint["start"] = [emit.starts[program] for program in roots]
    endpoint["cumulated"] = cumulated_mix(names, traffic.mix)
    endpoint["request"], endpoint["response"] = request, response

    popularity, cumulated, guide = _popularities(topology, traffic)
    item_counts = (_count(traffic, "keys"), _count(traffic, "clients"))
    cache, counts = _caches(emit, item_counts[0])
    versions, version_count = _versions(emit, item_counts[0])
    station = emit.table("station", tables.STATION)
    limiter, meters = _limiters(emit, traffic, station)
    breaker = emit.table("breaker", tables.BREAKER)
    for row in breaker:
        row["first"] = meters
        meters += int(row["window"])
    replay = lower_replay(names, traffic)
    plan = Plan(
        code=code,
        station=station,
        core=emit.table("core", tables.CORE),
        level=emit.table("level", tables.LEVEL),
        sampler=emit.table("sampler", tables.SAMPLER),
        values=np.asarray(emit.values, np.float64),
        balancer=emit.table("balancer", tables.BALANCER),
        target=emit.table("target", tables.TARGET),
        dispatch=dispatch,
        cache=cache,
        retry=emit.table("retry", tables.RETRY_RULE),
        breaker=breaker,
        limiter=limiter,
        batch=emit.table("batch", tables.BATCH_RULE),
        partition=emit.table("partition", tables.PARTITION_RULE),
        background=emit.background_strands(),
        endpoint=endpoint,
        popularity=popularity,
        cumulated=cumulated,
        guide=guide,
        source=source,
        segment=segment,
        phase=phase,
        **replay,
        depth=emit.call_depth(code, dispatch),
        entry_count=counts["entry"],
        key_count=counts["key"],
        history_count=counts["history"],
        fetch_count=counts["fetch"],
        meter_count=meters,
        versions=versions,
        version_count=version_count,
        item_counts=item_counts,
        endpoint_names=names,
        station_labels=tuple(emit.labels),
        level_labels=tuple(emit.level_labels),
        balancer_names=tuple(emit.balancer_names),
        target_names=tuple(emit.target_names),
        cache_names=tuple(emit.cache_names),
        versions_names=tuple(emit.versions_of),
        counter_names=tuple(emit.counters),
        tally_names=tuple(emit.tallies),
        program_starts=emit.starts,
    )
    for each in dataclasses.fields(plan):
        value = getattr(plan, each.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return plan


def require_fit(topology: Topology, traffic: AnyTraffic) -> None:
    """Raise `InvalidModel` with every problem of the traffic and of its fit to the topology."""
    traffic.require_valid()
    problems = list(misfits(topology, traffic))
    if problems:
        raise InvalidModel(problems)


def _root(emit: PlanEmitter, entry: str, name: str, traffic: AnyTraffic) -> str:
    """Return the program of a request: the entry's own, unless the client waits or retries."""
    target = f"{entry}.{name}"
    if traffic.timeout is None and traffic.retry is None:
        return emit.program_of(target)[0]
    program = f"client.{name}"
    emit.program(program)
    lower_attempts(
        emit,
        target,
        "send",
        "end",
        ("client", name),
        timeout=traffic.timeout,
        cancel=traffic.cancel,
        retry=traffic.retry,
    )
    emit.label("end")
    emit.op(ops.RETURN)
    return program


def misfits(topology: Topology, traffic: AnyTraffic) -> Iterator[Problem]:
    """Yield what the topology needs and the traffic lacks, and the reverse."""
    names = topology.entry_endpoints
    known = ", ".join(names)
    yield from unknown_endpoints(traffic, topology.entry, names)
    for path, mix in _mixes(traffic):
        subject = ".".join(("traffic", *path))
        for name in names:
            if name not in (mix or names):
                yield Problem(
                    subject,
                    f'endpoint "{name}" of "{topology.entry}" is not in the mix; '
                    "give it a weight (0 means that nobody asks for it)",
                    path,
                )
        if mix is None and len(names) > 1 and not _replays_endpoints(traffic):
            message = f'the entry "{topology.entry}" offers {known}; give each a weight'
            yield Problem(subject, message, path)
    for part in topology.components.values():
        for field, why in _needs(part):
            recorded = {"keys": "key", "clients": "client"}.get(field, "")
            if getattr(traffic, field) is None and getattr(traffic, recorded, None) is None:
                yield Problem(f"traffic.{field}", f"is missing: {why}", (field,))


def unknown_endpoints(traffic: AnyTraffic, entry: str, names: Sequence[str]) -> Iterator[Problem]:
    """Yield the endpoints that the traffic asks for and the entry does not offer."""
    known = ", ".join(names)
    for path, mix in _mixes(traffic):
        for name in mix or ():
            if name not in names:
                message = f'the entry "{entry}" has no endpoint "{name}". {nearest(name, names)}'
                subject = ".".join(("traffic", *path))
                yield Problem(subject, f"{message}Known: {known}", (*path, name))
    replayed = traffic.endpoint if isinstance(traffic, ReplayTraffic) else None
    for name in sorted({each for each in replayed or () if each not in names}):
        message = f'there is no endpoint "{name}". {nearest(name, names)}Known: {known}'
        yield Problem("traffic.endpoint", message, ("endpoint",))


def _mixes(traffic: AnyTraffic) -> Iterator[tuple[tuple[str, ...], dict[str, float] | None]]:
    """Yield every mix that requests are drawn from, and where it stands."""
    groups = traffic.groups if isinstance(traffic, UserGroups) else {}
    for name, group in groups.items():
        if group.mix is not None:
            yield ("groups", name, "mix"), group.mix
    if not groups or any(group.mix is None for group in groups.values()) or traffic.mix:
        yield ("mix",), traffic.mix


def _replays_endpoints(traffic: AnyTraffic) -> bool:
    return isinstance(traffic, ReplayTraffic) and traffic.endpoint is not None


def _needs(part: Component) -> Iterator[tuple[str, str]]:
    subject = f'{part.type_name} "{part.name}"'
    if isinstance(part, Cache) and part.hit_ratio is None:
        yield "keys", f"{subject} has real keys (or give the cache a hit_ratio)"
    if isinstance(part, Database) and part.shards > 1:
        field = "keys" if part.shard_key == "key" else "clients"
        yield field, f"{subject} is sharded by {part.shard_key}"
    if isinstance(part, MessageQueue) and part.partitions and part.partition_by != "random":
        yield f"{part.partition_by}s", f"{subject} is partitioned by {part.partition_by}"
    if isinstance(part, RateLimiter) and part.per == "client":
        yield "clients", f"{subject} limits each client"
    if isinstance(part, Database) and part.count_stale_reads:
        yield "keys", f"{subject} counts stale reads, which are of a key"
    policy = part.policy if isinstance(part, LoadBalancer) else getattr(part, "balancing", None)
    if isinstance(policy, BalancingPolicy) and policy.by:
        yield f"{policy.by}s", f"{subject} balances by {policy.type_name} of the {policy.by}"
    if isinstance(part, Service):
        for name, endpoint in part.endpoints.items():
            if part.network_in is not None and endpoint.request_bytes is None:
                yield "request_bytes", f'{subject} models network_in, endpoint "{name}" has no size'
            if part.network_out is not None and endpoint.response_bytes is None:
                yield (
                    "response_bytes",
                    f'{subject} models network_out, endpoint "{name}" has no size',
                )


def _popularities(
    topology: Topology, traffic: AnyTraffic
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row 0 for keys and row 1 for clients, used only where the topology needs them."""
    needed = {field for part in topology.components.values() for field, _ in _needs(part)}
    rows = np.zeros(2, tables.POPULARITY)
    cumulated: list[np.ndarray] = [np.zeros(0)]
    guide: list[np.ndarray] = [np.zeros(0, np.int64)]
    first = 0
    for row, field in enumerate(("keys", "clients")):
        popularity: Popularity | None = getattr(traffic, field)
        if popularity is None or field not in needed:
            continue
        weights = popularity.weights()
        if weights is None:
            rows[row] = (1, popularity.count, 0)
            continue
        total = np.cumsum(weights)
        total /= total[-1]
        count = len(total)
        rows[row] = (2, count, first)
        cumulated.append(total)
        guide.append(np.searchsorted(total, np.arange(count) / count, side="right"))
        first += count
    return rows, np.concatenate(cumulated), np.concatenate(guide).astype(np.int64)


def _count(traffic: AnyTraffic, field: str) -> int:
    """Return how many ``keys`` or ``clients`` there are, recorded ones included."""
    popularity: Popularity | None = getattr(traffic, field)
    recorded = getattr(traffic, field.removesuffix("s"), None)
    count = 0 if popularity is None else popularity.count
    return max(count, max(recorded) + 1) if recorded else count


def _limiters(
    emit: PlanEmitter, traffic: AnyTraffic, station: np.ndarray
) -> tuple[np.ndarray, int]:
    """Return the limiter table with each one's place in the meter table, and that one's size.

    A limiter of each client has as many slots as there are clients.
    """
    limiter = emit.table("limiter", tables.LIMITER)
    place = 0
    for row in limiter:
        row["first"] = place
        if row["by_client"]:
            station["slots"][row["station"]] = _count(traffic, "clients")
        place += int(row["size"]) * int(station["slots"][row["station"]])
    return limiter, place


def _caches(emit: PlanEmitter, keys: int) -> tuple[np.ndarray, dict[str, int]]:
    """Return the cache table with each cache's places in the tables of entries and of keys."""
    cache = emit.table("cache", tables.CACHE)
    counts = dict.fromkeys(("entry", "key", "history", "fetch"), 0)
    for row in cache:
        for name in ("key", "history", "fetch"):
            if row[f"first_{name}"] >= 0:
                row[f"first_{name}"] = counts[name]
                counts[name] += keys
        if row["first_key"] >= 0:
            row["capacity"] = min(row["capacity"], keys)
            row["first"] = counts["entry"]
            counts["entry"] += int(row["capacity"])
    return cache, counts


def _versions(emit: PlanEmitter, keys: int) -> tuple[np.ndarray, int]:
    """Return the table of versions with each database's place, and how many places there are."""
    versions = emit.table("versions", tables.VERSIONS)
    total = 0
    for row, nodes in zip(versions, emit.versions_of.values(), strict=True):
        row["first"], row["keys"] = total, keys
        total += nodes * keys
    return versions, total
