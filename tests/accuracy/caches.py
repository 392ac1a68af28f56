"""Caches: the words of caches turned into components in front of what a miss calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accuracy.stations import MANY, make
from accuracy.words import Unsupported, Words, distribution

import scalesim as ss
from scalesim.distributions import Constant
from scalesim.policies import eviction

if TYPE_CHECKING:
    from accuracy.system import Script, System

__all__ = ["behind_caches", "fixed_cache"]


def behind_caches(model: Words, system: System, script: Script) -> Script:
    """Put the model's caches, if it has any, in front of `script`."""
    if "cache" in model:
        words = model.inner("cache")
        if "fixed_hit_ratio" in words:
            return fixed_cache(words, "cache", system, script)
        if words.phrase("placement", {"shared": False, "in_process": True}, False):
            return _in_process(words, model.inner("balancer"), system)
        _add(words, "cache", system, _origin(system, script))
        return system.each_class(ss.call("cache.get"))
    if "caches" in model:
        origin, behind = _origin(system, script), None
        for words in reversed(model.each("caches")):
            if behind is not None:
                words.expect(origin=behind)
            words.take("origin")
            behind = words.mapping.get("name")
            origin = _add(words, words.take("name"), system, origin)
        return system.each_class(ss.call(origin))
    return script


def fixed_cache(words: Words, name: str, system: System, script: Script) -> Script:
    """Put a cache that hits with a given probability in front of `script`."""
    words.expect(name=name)
    lookup = Constant(words.take("lookup_s", 0))
    if "lookup" in words:
        lookup = distribution(words.inner("lookup"))
    if "miss" in system.spans:
        script = system.span("miss", script)
    hits = words.take("fixed_hit_ratio")
    system.add(make(ss.Cache, name, hit_ratio=hits, delay=lookup, origin=_origin(system, script)))
    system.caches.append(name)
    return system.each_class(ss.call(f"{name}.get"))


def _origin(system: System, script: Script) -> str | None:
    """Return the endpoint that a cache calls on a miss; None if there is nothing behind it."""
    if len(script) != 1:
        raise Unsupported("a cache for several classes")
    ((c, steps),) = script.items()
    return f"{system.target(script, 'origin_path')}.{c}" if steps else None


def _in_process(words: Words, balancer: Words, system: System) -> Script:
    """Translate a cache in each instance of a service that does nothing else."""
    from accuracy.system import balancing

    _add(words, "cache", system, None, placement="in_process")
    endpoints = {c: [ss.call("cache.get")] for c in system.each_class()}
    count = balancer.take("targets")
    system.add(make(ss.Service, "instance", instances=count, workers=MANY, endpoints=endpoints))
    system.add(make(ss.LoadBalancer, "balancer", targets="instance", policy=balancing(balancer)))
    return system.call("balancer")


def _add(words: Words, name: str, system: System, origin: str | None, **extra: Any) -> str:
    """Add a cache with real keys; return its endpoint."""
    fields: dict[str, Any] = {
        "capacity": words.take("capacity_items", None),
        "origin": origin,
        **extra,
    }
    ttl = words.take("ttl_s", None)
    if ttl is not None:
        renewed = words.take("ttl_renewed_by_hit", False)
        fields["time_to_idle" if renewed else "ttl"] = float(ttl)
    else:
        words.expect(ttl_renewed_by_hit=False)
    words.expect(hit_time_s=0, start="cold", ttl_counts_from="end of the fetch")
    if words.take("coalesce_misses", False):
        fields["coalesce"] = True
    if "eviction" in words:
        fields["eviction"] = _eviction(words)
    system.add(make(ss.Cache, name, **fields))
    system.caches.append(name)
    return f"{name}.get"


def _eviction(words: Words) -> Any:
    """Return an eviction policy; what its words say must be what the policy does."""
    name = words.take("eviction")
    words.expect(**{policy: text for policy, text in TEXTS.items() if policy == name})
    for other in set(TEXTS) - {name}:
        words.take(other, None)  # a rule of another of the alternatives
    if name in ("lru", "fifo", "random"):
        return name
    if not hasattr(eviction, "Clock"):
        raise words.unsupported("eviction")
    words.expect(rule=RULES.get(name, ""))
    if name == "clock":
        return eviction.Clock(reference_bit=words.take("reference_bit_on_insert", 0))
    if name == "sieve":
        return eviction.Sieve()
    if name == "lfu":
        kept = words.phrase("counts", {"kept for all keys, also evicted ones": True}, False)
        return eviction.Lfu(keep_counts=kept)
    if name == "sampled_lru":
        words.expect(sampling="distinct cached keys, no candidate pool")
        return eviction.SampledLru(samples=words.take("samples"))
    raise words.unsupported("eviction")


RULES = {
    "clock": "a hit sets the bit; on a miss the hand clears set bits until it finds a clear one, "
    "replaces it and moves one past it",
    "sieve": "new items enter at the head unvisited; the hand walks from tail to head, clears "
    "visited items and evicts the first unvisited; it stays where it stopped",
}
TEXTS = {
    "lfu": "counts start at 1 and are lost at eviction; ties evict the least recently used",
    "clock": "inserted with the bit clear; a hit sets it; the hand clears set bits, replaces the "
    "first clear one, moves one past it",
    "sieve": "inserted at the head unvisited; the hand walks from tail to head and stays where it "
    "stopped",
}
