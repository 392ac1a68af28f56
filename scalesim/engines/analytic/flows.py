"""How many requests a second reach each place: visit ratios times the rate, from the entry inward.

Rates follow the program text; where a share of requests goes no further (turned away, timed out, a
hit in a cache), the state of the solution says how large it is.
"""

from __future__ import annotations

import graphlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scalesim.components import Cache
from scalesim.engines.analytic import caching
from scalesim.engines.analytic.lowering import key_shares
from scalesim.engines.analytic.model import (
    ROOT,
    Ask,
    Facility,
    Place,
    Program,
    Send,
    choice_of,
    parts_within,
)
from scalesim.engines.analytic.targets import Stream, require_alike
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.policies.eviction import Lru
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic

_SELDOM = 0.01

__all__ = ["Flows", "Lookups", "Stream", "calls_of", "flows_of", "ordered"]


class Lookups(NamedTuple):
    """How a cache is asked.

    Parameters
    ----------
    doubts : frozenset of str
        What is taken for Poisson in the stream of lookups.
    repeated : bool
        Whether one request may look up its key more than once.
    retried : bool
        Whether it may do so if it tries again.
    """

    doubts: frozenset[str] = frozenset()
    repeated: bool = False
    retried: bool = False


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


def calls_of(program: Program) -> Iterator[Ask | Send]:
    """Yield every ask and send of a program."""
    for part in parts_within((*program.before, *program.inside, *program.after)):
        if isinstance(part, (Ask, Send)):
            yield part


def ordered(facilities: Mapping[str, Facility]) -> list[Place]:
    """Return all places, callers before callees."""
    graph: dict[Place, set[Place]] = {}
    for name, facility in facilities.items():
        for endpoint, program in facility.programs.items():
            graph.setdefault((name, endpoint), set())
            for part in calls_of(program):
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
    lookups: Mapping[str, Lookups],
    durations: Mapping[Place, float] | None = None,
) -> Flows:
    """Return the flows for new requests at `rate` [1/s].

    Parameters
    ----------
    shares : mapping of endpoint of the entry to float
    reached : mapping of Ask or Send to float
        How often it is made for each request at its place: less than once if requests fail before
        they come to it, more often if they try again.
    lookups : mapping of cache to Lookups
    durations : mapping of Place to float [s], optional
        What a place takes on average, if it is known and (almost) all who ask are answered.
    """
    flows = Flows()
    popularity = key_shares(traffic.keys)
    for name, share in shares.items():
        flows.rate[ROOT, name] = rate * share
        flows.keys[ROOT, name] = popularity
    for place in order:
        here = flows.rate.setdefault(place, 0.0)
        name, endpoint = place
        keys = flows.keys.get(place, popularity)
        component = topology.components.get(name)
        if isinstance(component, Cache) and endpoint == "get":
            fetch = _fetch_time(facilities[name].programs[endpoint], durations or {})
            asked = lookups.get(name, Lookups())
            asked = asked._replace(doubts=asked.doubts.union(caching.spacing_doubts(traffic)))
            keys = _look_up(flows, component, here, keys, asked, fetch)
        for part in calls_of(facilities[name].programs[endpoint]):
            times = here * reached.get(part, 1.0)
            if isinstance(part, Ask):
                times *= part.probability
                if part.missed:
                    times *= flows.miss[part.missed]
            _arrive(flows, facilities[part.to[0]], part, times, keys)
    require_alike(topology, flows.streams)
    return flows


def _arrive(
    flows: Flows, facility: Facility, part: Ask | Send, times: float, keys: np.ndarray | None
) -> None:
    to = part.to
    before = flows.rate.get(to, 0.0)
    flows.rate[to] = before + times
    old = flows.keys.get(to)
    if keys is not None and old is not None and old is not keys:
        keys = (old * before + keys * times) / max(before + times, 1e-300)
    flows.keys[to] = keys
    choice = choice_of(part, facility)
    owner = choice.owner if choice is not None else ""
    stream = flows.streams.setdefault(to[0], {}).setdefault(owner, Stream(choice=choice))
    share = np.ones(facility.nodes) if choice is None else choice.shares
    if isinstance(part, Ask) and part.choice is not choice:
        stream.ahead = stream.ahead or part.choice
    rates = stream.rates.get(to[1])
    stream.rates[to[1]] = times * share if rates is None else rates + times * share


def _fetch_time(program: Program, durations: Mapping[Place, float]) -> float | None:
    """Return how long a miss takes to be fetched on average, 0 if nothing is; None: unknown."""
    time = math.fsum(durations.get(ask.to, math.nan) for ask in calls_of(program))
    return None if math.isnan(time) else time


def _look_up(
    flows: Flows,
    part: Cache,
    rate: float,
    keys: np.ndarray | None,
    lookups: Lookups,
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
    elif lookups.repeated:
        what = "several lookups of one request, of the same key"
        raise UnsupportedByEngine(
            [Problem(f'cache "{part.name}"', f"the analytic engine does not cover {what}")]
        )
    elif everything:
        hits = caching.ttl_hits(keys * rate, age, renewed, known)
    elif few:
        hits = caching.few_hits(keys, int(part.items), lru)
    else:
        by_size = caching.lru_hits if lru else caching.fifo_hits
        hits, doubts = by_size(keys, int(part.items), known * rate), ["Che"]
        if not timeless:
            hits = np.minimum(hits, caching.ttl_hits(keys * rate, age, renewed, known))
            doubts = ["the lesser of Che and time to live"]
    if not timeless:  # else only the order counts
        doubts += sorted(lookups.doubts)
    if lookups.retried and not (everything and timeless):
        doubts += ["lookups as if independent"]
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
