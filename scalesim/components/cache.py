"""Cache: real keys with real eviction and expiry, or, said explicitly, a fixed hit ratio."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.distributions import Constant, times
from scalesim.distributions.base import AsDistribution
from scalesim.errors import Problem
from scalesim.fields import Flag, Given, Integer, Name, Number, OneOf, described, param
from scalesim.policies.eviction import EVICTION, EvictionPolicy, Lru, eviction_code

__all__ = ["Cache"]

_MOST_ITEMS = 10**9


@COMPONENTS.add("cache")
@described
class Cache(MachineComponent):
    """A look-aside cache in front of `origin`.

    ``get`` looks the request's key up; on a miss it calls the origin (in the caller's name, whose
    worker stays held) and then stores the key. ``set`` stores the key, ``delete`` removes it.

    Parameters
    ----------
    capacity : int, optional [items, >= 1]
        None: no bound. In each copy of the cache, if it is in-process.
    eviction : EvictionPolicy or str
    ttl : float [s, > 0]
        Age at which an entry expires, counted from its last store, which is the end of the fetch;
        ``inf``: never.
    time_to_idle : float [s, > 0]
        Instead of `ttl`: the age counts from the last store or hit, so that every hit renews it.
    hit_ratio : float, optional [ratio]
        An approximation: each ``get`` hits with this probability, keys are not looked at.
    origin : str, optional
        Endpoint called on a miss; None: a miss is just recorded and the key stored.
    coalesce : bool
        A miss on a key that is being fetched waits for that fetch, and fails if it fails, instead
        of fetching the key again (single flight). It is counted as a miss, and as coalesced.
    placement : {"shared", "in_process"}
        One cache for all callers, or one within each instance of the one service that calls it:
        then the hit ratio depends on how requests are spread over the instances.
    start : {"cold", "warm"}
        Empty at first, or holding the most popular keys that fit, stored at time 0.
    delay : Distribution or float [s]
        Time of one operation on the cache.
    concurrency : int, optional [>= 1]
        Operations served at once, in order of arrival (1 for Redis); None: no contention.
    """

    capacity: int | None = param(Integer(1, _MOST_ITEMS), "items that fit", default=None)
    eviction: Given[EvictionPolicy, EvictionPolicy | str] = param(
        OneOf(EVICTION), "which item goes when full", default=Lru()
    )
    ttl: float = param(
        Number("s", above=0, infinite=True), "age at which an item expires", default=float("inf")
    )
    time_to_idle: float = param(
        Number("s", above=0, infinite=True), "the same, renewed by hits", default=float("inf")
    )
    hit_ratio: float | None = param(
        Number(at_least=0, at_most=1), "fixed hit ratio instead of real keys", default=None
    )
    origin: str | None = param(
        Name("a reference", dotted=True), "endpoint called on a miss", default=None
    )
    coalesce: bool = param(Flag(), "misses wait for a fetch under way", default=False)
    placement: str = param(
        Name(choices=("shared", "in_process")), "one cache, or one an instance", default="shared"
    )
    start: str = param(Name(choices=("cold", "warm")), "what it holds at first", default="cold")
    delay: AsDistribution = param(times(), "time of one operation", default=Constant(0.0))
    concurrency: int | None = param(Integer(1, 10**6), "operations served at once", default=None)

    @property
    def real(self) -> bool:
        """Whether it holds keys, instead of hitting at a fixed ratio."""
        return self.hit_ratio is None

    @property
    def items(self) -> float:
        """Keys that one copy can hold: ``inf`` without a bound, 0 with a fixed hit ratio."""
        if self.hit_ratio is not None:
            return 0
        return math.inf if self.capacity is None else self.capacity

    def endpoint_names(self) -> tuple[str, ...]:
        return ("get", "set", "delete")

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        if self.hit_ratio is not None:
            if self.capacity is not None:
                both = "both of capacity and hit_ratio given"
                yield Problem("", f"{both}; give one: real keys or a fixed ratio")
            for name in ("ttl", "time_to_idle", "coalesce", "start"):
                if getattr(self, name) not in (math.inf, False, "cold"):
                    message = f"{name} has no effect with a fixed hit_ratio; give one"
                    yield Problem("", message, (name,))
        if math.inf not in (self.ttl, self.time_to_idle):
            message = "ttl and time_to_idle are both given; give one"
            yield Problem("", message, ("time_to_idle",))
        if self.coalesce and self.origin is None:
            yield Problem("", "coalesce needs an origin: nothing is fetched", ("coalesce",))
        if self.placement == "in_process" and (self.machine, self.cost_per_hour) != (None, None):
            message = "an in_process cache runs on its service's machines; give them the price"
            yield Problem("", message, ("placement",))

    def references(self) -> Iterator[Reference]:
        if self.origin is not None:
            yield Reference(("origin",), self.origin, "endpoint", "get")

    def lower(self, emit: Emitter) -> None:
        copies = emit.copies_of(self.name)
        slots = -1
        if self.concurrency is not None:
            slots = emit.station(self.name, "slots", count=copies, slots=self.concurrency)
        cache = emit.cache(
            self.name,
            count=copies,
            capacity=min(self.items, _MOST_ITEMS),
            ttl=min(self.ttl, self.time_to_idle),
            renewed=int(self.time_to_idle < math.inf),
            warm=int(self.start == "warm"),
            eviction=eviction_code(self.eviction),
            setting=self.eviction.setting,
            first_key=0 if self.real else -1,
            first_history=0 if self.real and self.eviction.remembers else -1,
            first_fetch=0 if self.coalesce else -1,
        )
        emit.program(f"{self.name}.get")
        self._look(emit, slots, cache)
        emit.op(ops.RETURN)
        emit.label("miss")
        self._fetch(emit, cache)
        emit.program(f"{self.name}.look")  # of `cached` steps, which fetch for themselves
        self._look(emit, slots, cache)
        emit.label("miss")
        emit.op(ops.RETURN)
        for name, op in (("set", ops.FILL), ("delete", ops.DROP)):
            emit.program(f"{self.name}.{name}")
            self._operate(emit, slots, name)
            if self.real:
                emit.op(op, a=cache)
            emit.op(ops.RETURN)

    def _look(self, emit: Emitter, slots: int, cache: int) -> None:
        """Emit a lookup, which jumps to ``miss`` on a miss."""
        self._operate(emit, slots, "get")
        if self.real:
            emit.op(ops.LOOKUP, a=cache, b="miss")
        else:
            site = (self.name, "hit")
            emit.op(ops.CHANCE, a=cache, b="miss", x=self.hit_ratio or 0.0, site=site)

    def _fetch(self, emit: Emitter, cache: int) -> None:
        """Emit what a miss does, to the end of the program."""
        if self.coalesce:
            emit.op(ops.FETCH, a=cache, b="end", on_fail="end")
        if self.origin is not None:
            emit.call(self.origin, on_fail="fetched")
        if self.real:
            emit.op(ops.FILL, a=cache)
        emit.label("fetched")
        if self.coalesce:
            emit.op(ops.FETCHED, a=cache)
        emit.label("end")
        emit.op(ops.RETURN)

    def _operate(self, emit: Emitter, slots: int, name: str) -> None:
        site = (self.name, name, "delay")
        if slots >= 0:
            emit.op(ops.SERVE, a=slots, b=emit.sampler(self.delay), site=site)
        elif self.delay != Constant(0.0):
            emit.op(ops.DELAY, b=emit.sampler(self.delay), site=site)
