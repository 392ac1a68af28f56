"""Cache: real keys with real eviction and expiry, or, said explicitly, a fixed hit ratio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.distributions import Constant, Distribution, times
from scalesim.errors import Problem
from scalesim.fields import Integer, Name, Number, OneOf, param
from scalesim.policies.eviction import EVICTION, EvictionPolicy, Lru, eviction_code

__all__ = ["Cache"]


@COMPONENTS.add("cache")
@dataclass(frozen=True)
class Cache(MachineComponent):
    """A look-aside cache in front of `origin`.

    ``get`` looks the request's key up; on a miss it calls the origin (in the caller's name, whose
    worker stays held) and then stores the key. ``set`` stores the key, ``delete`` removes it. The
    cache starts empty.

    Parameters
    ----------
    capacity : int, optional [items, >= 1]
        Needed unless `hit_ratio` is given.
    eviction : EvictionPolicy or str
    ttl : float [s, > 0]
        Age at which an entry expires, counted from its last store; ``inf``: never.
    hit_ratio : float, optional [ratio]
        An approximation: each ``get`` hits with this probability, keys are not looked at.
    origin : str, optional
        Endpoint called on a miss; None: a miss is just recorded and the key stored.
    delay : Distribution or float [s]
        Time of one operation on the cache.
    concurrency : int, optional [>= 1]
        Operations served at once, in order of arrival (1 for Redis); None: no contention.
    """

    capacity: int | None = param(Integer(1, 10**9), "items that fit", default=None)
    eviction: EvictionPolicy = param(OneOf(EVICTION), "which item goes when full", default=Lru())
    ttl: float = param(
        Number("s", above=0, infinite=True), "age at which an item expires", default=float("inf")
    )
    hit_ratio: float | None = param(
        Number(at_least=0, at_most=1), "fixed hit ratio instead of real keys", default=None
    )
    origin: str | None = param(
        Name("a reference", dotted=True), "endpoint called on a miss", default=None
    )
    delay: Distribution = param(times(), "time of one operation", default=Constant(0.0))
    concurrency: int | None = param(Integer(1, 10**6), "operations served at once", default=None)

    def endpoint_names(self) -> tuple[str, ...]:
        return ("get", "set", "delete")

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        if (self.capacity is None) == (self.hit_ratio is None):
            both = "both" if self.capacity is not None else "neither"
            yield Problem(
                "", f"{both} of capacity and hit_ratio given; give one: real keys or a fixed ratio"
            )
        if self.hit_ratio is not None and self.ttl != float("inf"):
            yield Problem("", "ttl has no effect with a fixed hit_ratio; give one", ("ttl",))

    def references(self) -> Iterator[Reference]:
        if self.origin is not None:
            yield Reference(("origin",), self.origin, "endpoint", "get")

    def lower(self, emit: Emitter) -> None:
        slots = -1
        if self.concurrency is not None:
            slots = emit.station(self.name, "slots", slots=self.concurrency)
        cache = emit.cache(
            self.name,
            capacity=self.capacity or 0,
            ttl=self.ttl,
            eviction=eviction_code(self.eviction),
            real=self.hit_ratio is None,
        )
        emit.program(f"{self.name}.get")
        self._operate(emit, slots, "get")
        if self.hit_ratio is None:
            emit.op(ops.LOOKUP, a=cache, b="miss")
        else:
            site = (self.name, "hit")
            emit.op(ops.CHANCE, a=cache, b="miss", x=self.hit_ratio, site=site)
        emit.op(ops.RETURN)
        emit.label("miss")
        if self.origin is not None:
            emit.call(self.origin, on_fail="end")
        if self.hit_ratio is None:
            emit.op(ops.FILL, a=cache)
        emit.label("end")
        emit.op(ops.RETURN)
        for name, op in (("set", ops.FILL), ("delete", ops.DROP)):
            emit.program(f"{self.name}.{name}")
            self._operate(emit, slots, name)
            if self.hit_ratio is None:
                emit.op(op, a=cache)
            emit.op(ops.RETURN)

    def _operate(self, emit: Emitter, slots: int, name: str) -> None:
        site = (self.name, name, "delay")
        if slots >= 0:
            emit.op(ops.SERVE, a=slots, b=emit.sampler(self.delay), site=site)
        elif self.delay != Constant(0.0):
            emit.op(ops.DELAY, b=emit.sampler(self.delay), site=site)
