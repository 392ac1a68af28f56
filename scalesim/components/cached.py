"""The step `cached`: look a key up, and on a miss get it in some way and store it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scalesim import ops
from scalesim.components.base import Emitter, Reference
from scalesim.components.steps import (
    STEPS,
    Scope,
    Step,
    computations_at_once,
    lower_steps,
    steps_kind,
    steps_references,
)
from scalesim.fields import AsTuple, Name, described, param

__all__ = ["Cached", "cached"]


@STEPS.add("cached")
@described
class Cached(Step):
    """Cache-aside in the caller's own hands: a hit is all; a miss runs `miss`, then stores the key.

    Unlike a call of the cache's ``get``, which asks the cache's one `origin`, each caller may fetch
    in its own way: through its own pool of connections, with computing on top. Misses on one key at
    the same time each fetch it, whether or not the cache coalesces its own.

    Parameters
    ----------
    cache : str
        Name of a `Cache`.
    miss : sequence of Step
    """

    cache: str = param(Name("a cache"), "where the key is looked up", kw_only=False)
    miss: AsTuple[Step] = param(steps_kind(), "what a miss does", kw_only=False)

    @property
    def computations(self) -> int:
        return computations_at_once(self.miss)

    def references(self) -> Iterator[Reference]:
        yield Reference(("cache",), self.cache, "cache")
        for reference in steps_references(self.miss):
            yield reference._replace(path=("miss", *reference.path))

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        done = f"cached{'.'.join(map(str, place))}.done"
        emit.call(f"{self.cache}.look", on_fail=on_fail)
        emit.op(ops.HIT, a=done)
        lower_steps(emit, self.miss, scope, on_fail, place)
        emit.call(f"{self.cache}.set", on_fail=on_fail)
        emit.label(done)


def cached(cache: str, miss: Sequence[Step]) -> Cached:
    """Return a step that looks the key up in `cache`, and on a miss runs `miss` and stores it."""
    return Cached(cache, miss)
