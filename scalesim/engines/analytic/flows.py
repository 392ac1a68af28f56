"""How many requests a second reach each place: visit ratios times the rate, from the entry inward.

Rates follow the program text; where a share of requests goes no further (turned away, timed out, a
hit in a cache), the state of the solution says how large it is.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from scalesim.components import Cache
from scalesim.engines.analytic import caching
from scalesim.engines.analytic.lowering import key_shares
from scalesim.engines.analytic.model import (
    ROOT,
    Ask,
    Facility,
    Fork,
    Place,
    Program,
    Send,
    Visits,
    parts_within,
)
from scalesim.engines.analytic.targets import Stream, require_alike
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.policies.eviction import Lru
from scalesim.policies.load_balancing import IpHash, Random
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic

_SELDOM = 0.01

__all__ = ["Flows", "Stream", "flows_of", "ordered"]


@dataclass
class Flows:
    """Rates [1/s] at places, the streams into facilities, and miss ratios of caches."""

    rate: dict[Place, float] = field(default_factory=dict)
    streams: dict[str, dict[str, Stream]] = field(default_factory=dict)
    keys: dict[Place, np.ndarray | None] = field(default_factory=dict)
    miss: dict[str, float] = field(default_factory=dict)
    hit_method: dict[str, str] = field(default_factory=dict)
    """How a cache's hit ratio was found; empty: exactly."""

    def hit_doubts(self, cache: str) -> frozenset[str]:
        """Return the approximations that a cache's hit ratio rests on; of no cache: none."""
        return frozenset(self.hit_method.get(cache, "").split(", ")) - {""}

    def rates_at(self, component: str, endpoint: str, nodes: int) -> np.ndarray:
        """Return the rate of an endpoint at each node, float array [nodes]."""
        found = [
            stream.rates[endpoint]
            for stream in self.streams.get(component, {}).values()
            if endpoint in stream.rates
        ]
        total: np.ndarray = np.sum(found, axis=0) if found else np.zeros(nodes)
        return total


def calls_of(program: Program) -> Iterator[tuple[Ask | Send, bool]]:
    """Yield every ask and send of a program, and whether it runs beside the rest of it."""
    for parts in (program.before, program.inside, program.after):
        for part in parts:
            for inner in parts_within((part,)):
                if isinstance(inner, Ask):
                    yield inner, isinstance(part, Fork)
                elif isinstance(inner, Send):
                    yield inner, True


def ordered(facilities: Mapping[str, Facility]) -> list[Place]:
    """Return all places, callers before callees."""
    graph: dict[Place, set[Place]] = {}
    for name, facility in facilities.items():
        for endpoint, program in facility.programs.items():
            graph.setdefault((name, endpoint), set())
            for part, _ in calls_of(program):
                graph.setdefault(part.to, set()).add((name, endpoint))
    return list(graphlib.TopologicalSorter(graph).static_order())


def flows_of(
    topology: Topology,
    traffic: AnyTraffic,
    facilities: Mapping[str, Facility],
    order: list[Place],
    rate: float,
    shares: Mapping[str, float],
    reached: Mapping[Ask | Send, float],
    plain: Mapping[Place, bool],
    poisson: bool,
    durations: Mapping[Place, float] | None = None,
) -> Flows:
    """Return the flows for new requests at `rate` [1/s].

    Parameters
    ----------
    shares : mapping of endpoint of the entry to float
    reached : mapping of Ask or Send to float
        How often it is made for each request at its place: less than once if requests fail before
        they come to it, more often if they try again.
    plain : mapping of Place to bool
        Whether Poisson requests leave the place as a Poisson stream.
    poisson : bool
        Whether new requests are.
    durations : mapping of Place to float [s], optional
        What a place takes on average, as far as it is known.
    """
    flows = Flows()
    popularity = key_shares(traffic.keys)
    is_poisson: dict[Place, bool] = {}
    forked: set[Place] = set()
    for name, share in shares.items():
        flows.rate[ROOT, name] = rate * share
        flows.keys[ROOT, name] = popularity
        is_poisson[ROOT, name] = poisson
    for place in order:
        here = flows.rate.setdefault(place, 0.0)
        name, endpoint = place
        keys = flows.keys.get(place, popularity)
        component = topology.components.get(name)
        if isinstance(component, Cache) and endpoint == "get":
            spacing = caching.spacing_doubts(traffic, is_poisson.get(place, True))
            fetch = _fetch_time(facilities[name].programs[endpoint], durations)
            keys = _look_up(flows, component, here, keys, spacing, fetch)
        program = facilities[name].programs[endpoint]
        own = is_poisson.get(place, True) and plain.get(place, True)
        apart = place in forked
        if any(isinstance(part, Visits) for part in program.before):
            # Who comes again comes at once, so all places must keep the product form.
            own = own and all(plain.get(part.to, True) for part, _ in calls_of(program))
        for part, branched in calls_of(program):
            times = here * reached.get(part, 1.0)
            regular = own
            if isinstance(part, Ask):
                times *= part.probability
                regular = regular and part.retry is None
                if part.missed:
                    times *= flows.miss[part.missed]
                    # Misses are at random only if they are so by a fixed ratio.
                    cache = topology.components[part.missed]
                    regular = regular and isinstance(cache, Cache) and cache.hit_ratio is not None
            again = _comes_again(flows, facilities[part.to[0]], part)
            apart = apart or branched
            if apart:
                forked.add(part.to)
                # Branches of one request that meet again do not come independently.
                regular = regular and not again
            _arrive(flows, facilities, part, times, regular, is_poisson, keys)
            if isinstance(part, Ask):
                own = own and plain.get(part.to, True) and part.timeout is None
                own = own and reached.get(part, 1.0) == 1.0
    require_alike(topology, flows.streams)
    return flows


def _comes_again(flows: Flows, facility: Facility, part: Ask | Send) -> bool:
    """Return whether anything else comes to the nodes that a call or message goes to."""
    choice = facility.spread.get(part.to[1])
    here = None if choice is None else choice.shares > 0
    return any(
        rates.any() if here is None or len(here) != len(rates) else rates[here].any()
        for stream in flows.streams.get(part.to[0], {}).values()
        for endpoint, rates in stream.rates.items()
        if endpoint != "publish"  # it only hands on
    )


def _arrive(
    flows: Flows,
    facilities: Mapping[str, Facility],
    part: Ask | Send,
    times: float,
    poisson: bool,
    is_poisson: dict[Place, bool],
    keys: np.ndarray | None,
) -> None:
    to, facility = part.to, facilities[part.to[0]]
    before = flows.rate.get(to, 0.0)
    flows.rate[to] = before + times
    old = flows.keys.get(to)
    if keys is not None and old is not None and old is not keys:
        keys = (old * before + keys * times) / max(before + times, 1e-300)
    flows.keys[to] = keys
    choice = part.choice if isinstance(part, Ask) else None
    if choice is None or len(choice.shares) < facility.nodes:  # a balancer sees one database
        choice = facility.spread.get(to[1])
    owner = choice.owner if choice is not None else ""
    stream = flows.streams.setdefault(to[0], {}).setdefault(owner, Stream(choice=choice))
    share = np.ones(facility.nodes) if choice is None else choice.shares
    rates = stream.rates.get(to[1])
    stream.rates[to[1]] = times * share if rates is None else rates + times * share
    stream.poisson = stream.poisson and poisson
    random = choice is None or choice.targets == 1 or isinstance(choice.policy, (Random, IpHash))
    is_poisson[to] = is_poisson.get(to, True) and poisson and random


def _fetch_time(program: Program, durations: Mapping[Place, float] | None) -> float | None:
    """Return how long a miss takes to be fetched on average, 0 if nothing is; None: unknown."""
    asks = [ask for ask, _ in calls_of(program)]
    if asks and durations is None:
        return None
    return sum((durations or {}).get(ask.to, 0.0) for ask in asks)


def _look_up(
    flows: Flows,
    part: Cache,
    rate: float,
    keys: np.ndarray | None,
    spacing: list[str],
    fetch: float | None,
) -> np.ndarray | None:
    """Find the cache's miss ratio; return the popularity of the keys that miss."""
    if part.hit_ratio is not None:
        flows.miss[part.name], flows.hit_method[part.name] = 1 - part.hit_ratio, ""
        return keys
    sets = any(flows.rate.get((part.name, name)) for name in ("set", "delete"))
    if keys is None or sets:
        what = "set and delete of real keys" if sets else "so many keys"
        raise UnsupportedByEngine(
            [Problem(f'cache "{part.name}"', f"the analytic engine does not cover {what}")]
        )
    everything = part.items >= int((keys > 0).sum())
    age, renewed = min(part.ttl, part.time_to_idle), part.time_to_idle < part.ttl
    timeless = np.isinf(age)
    lru, few = isinstance(part.eviction, Lru), part.items <= 2 and timeless
    known = 0.0 if fetch is None else fetch
    doubts: list[str] = []
    if everything and timeless:
        hits = (keys > 0).astype(float)
    elif everything:
        hits = caching.ttl_hits(keys * rate, age, renewed, known)
        doubts += spacing
    elif few:
        hits = caching.few_hits(keys, int(part.items), lru)
    else:
        by_size = caching.lru_hits if lru else caching.fifo_hits
        hits, doubts = by_size(keys, int(part.items), known * rate), ["Che"]
        if not timeless:
            hits = np.minimum(hits, caching.ttl_hits(keys * rate, age, renewed, known))
            doubts = ["the lesser of Che and time to live", *spacing]
    missing = keys * (1 - hits)
    total = float(missing.sum())
    if total > 0 and fetch is None:
        doubts.append("without fetch times")
    elif total > 0 and fetch:
        # During a fetch others ask for the same key, and miss and fetch it, too.
        others = fetch * rate * float(np.dot(missing, keys)) / total
        stay = age if everything else min(age, part.items / rate)
        doubts.append(
            "short fetch times" if others <= _SELDOM
            else "mean fetch times" if fetch < stay and not few
            else "fetch times beyond lifetimes"
        )  # fmt: skip
    flows.miss[part.name], flows.hit_method[part.name] = total, ", ".join(doubts)
    return missing / total if total > 0 else keys
