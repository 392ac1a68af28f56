"""The operations on caches, as generators; see `scalesim.engines.reference.interpreter`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import simpy

from scalesim import ops
from scalesim.engines.reference.model import Strand, Waits, go_on
from scalesim.kernels.draws import u01

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = ["chance", "drop", "fetch", "fetched", "fill", "hit", "lookup"]


def lookup(trial: Trial, strand: Strand, row: Any) -> Waits:
    c = row.a + strand.frame.instance
    strand.hit = trial.caches[c].lookup(strand.item, trial.env.now)
    trial.count_by_key(c, strand.item, strand.hit)
    strand.frame.pc = strand.frame.pc + 1 if strand.hit else row.b
    yield from ()


def fill(trial: Trial, strand: Strand, row: Any) -> Waits:
    cache = trial.caches[row.a + strand.frame.instance]
    cache.fill(strand.item, strand.frame.key, trial.env.now)
    go_on(strand)
    yield from ()


def drop(trial: Trial, strand: Strand, row: Any) -> Waits:
    trial.caches[row.a + strand.frame.instance].drop(strand.item)
    go_on(strand)
    yield from ()


def chance(trial: Trial, strand: Strand, row: Any) -> Waits:
    cache = trial.caches[row.a + strand.frame.instance].row[0]
    strand.hit = u01(strand.frame.key, row.site, 0) < row.x
    if strand.hit:
        cache.hits += 1
        go_on(strand)
    else:
        cache.misses += 1
        strand.frame.pc = row.b
    yield from ()


def fetch(trial: Trial, strand: Strand, row: Any) -> Waits:
    cache = trial.caches[row.a + strand.frame.instance]
    if strand.item not in cache.fetching:
        cache.fetching[strand.item] = []
        return go_on(strand)
    cache.row[0].coalesced += 1
    ended = simpy.Event(trial.env)
    waiting = cache.fetching[strand.item]
    waiting.append(ended)

    def after_fetch() -> None:
        strand.status = status = int(ended.value)  # type: ignore[arg-type]
        strand.frame.pc = row.b if status == ops.COMPLETED else row.on_fail

    yield from strand.wait(
        ended, lambda: after_fetch() if ended.triggered else waiting.remove(ended)
    )
    after_fetch()


def fetched(trial: Trial, strand: Strand, row: Any) -> Waits:
    trial.caches[row.a + strand.frame.instance].end_fetch(strand.item, strand.status)
    go_on(strand)
    yield from ()


def hit(trial: Trial, strand: Strand, row: Any) -> Waits:
    strand.frame.pc = row.a if strand.hit else strand.frame.pc + 1
    yield from ()
