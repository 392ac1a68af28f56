"""The operations as generators, in the order of `scalesim.ops.OPERATIONS`.

Each takes a strand and a row of its program, yields the SimPy events it waits for, and leaves
``strand.frame.pc`` at what comes next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import simpy

from scalesim import ops
from scalesim.engines.reference.breakers import permit, report
from scalesim.engines.reference.cache_operations import (
    chance,
    drop,
    fetch,
    fetched,
    fill,
    hit,
    lookup,
)
from scalesim.engines.reference.children import attempt, fork, join, spawn, wait
from scalesim.engines.reference.clock import after, fire
from scalesim.engines.reference.model import Frame, Strand, Waits, fail as _fail, go_on as _next
from scalesim.engines.reference.queues import QUEUE_OPERATIONS, send
from scalesim.engines.reference.serving import (
    breaks,
    enter,
    leave,
    repair,
    start,
    started,
    stop,
    wear,
    work,
)
from scalesim.kernels.draws import child_key, u01
from scalesim.kernels.sampling import backoff_delay
from scalesim.policies.load_balancing import balancing_functions
from scalesim.policies.sharding import sharding_functions

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = ["OPERATION_OF"]

_choose = balancing_functions()
_shard_of = sharding_functions()


def acquire(trial: Trial, strand: Strand, row: Any) -> Waits:
    station, frame = trial.stations[row.a + strand.frame.instance], strand.frame
    if station.try_acquire():
        return _next(strand)
    waiter = station.wait(row.c)
    if waiter is None:
        return _fail(strand, row, ops.REJECTED)
    _next(strand)

    def undo() -> None:
        if station.leave(waiter.event):
            frame.pc = row.on_fail

    yield from strand.wait(waiter.event, undo)


def release(trial: Trial, strand: Strand, row: Any) -> Waits:
    trial.stations[row.a + strand.frame.instance].release()
    _next(strand)
    yield from ()


def acquire_within(trial: Trial, strand: Strand, row: Any) -> Waits:
    station = trial.stations[row.a + strand.frame.instance]
    if station.try_acquire():
        return _next(strand)
    waiter = station.wait(row.c)
    if waiter is None:
        return _fail(strand, row, ops.REJECTED)

    def lose_patience(_: simpy.Event) -> None:
        if station.leave(waiter.event):
            fire(waiter.event, ops.TIMED_OUT)

    def undo() -> None:
        if not station.leave(waiter.event):
            _next(strand)

    patience = trial.draw(row.b, strand.frame.key, row.site, strand.number)
    timer = after(trial.env, patience, ops.TIMER)
    assert timer.callbacks is not None
    timer.callbacks.append(lose_patience)
    yield from strand.wait(waiter.event, undo)
    if waiter.event.value == ops.COMPLETED:
        _next(strand)
    else:
        _fail(strand, row, ops.TIMED_OUT)


def serve(trial: Trial, strand: Strand, row: Any) -> Waits:
    time = trial.draw(row.b, strand.frame.key, row.site, strand.number)
    yield from _served(trial, strand, row, time, row.c)


def _served(trial: Trial, strand: Strand, row: Any, time: float, priority: int = 0) -> Waits:
    station = trial.stations[row.a + strand.frame.instance]
    done = station.serve(time, priority)
    if done is None:
        return _fail(strand, row, ops.REJECTED)

    def undo() -> None:
        if not station.leave(done):
            station.release_unserved()

    yield from strand.wait(done, undo)
    station.release()
    _next(strand)


def share(trial: Trial, strand: Strand, row: Any) -> Waits:
    demand = trial.draw(row.b, strand.frame.key, row.site, strand.number)
    station = trial.stations[row.a + strand.frame.instance]
    done = station.share(demand)
    yield from strand.wait(done, lambda: station.leave(done))
    _next(strand)


def preempt(trial: Trial, strand: Strand, row: Any) -> Waits:
    demand = trial.draw(row.b, strand.frame.key, row.site, strand.number)
    station = trial.stations[row.a + strand.frame.instance]
    done = station.compute(demand, row.c)
    yield from strand.wait(done, lambda: station.leave(done))
    _next(strand)


def delay(trial: Trial, strand: Strand, row: Any) -> Waits:
    time = trial.draw(row.b, strand.frame.key, row.site, strand.number)
    if time > 0.0:
        yield after(trial.env, time, ops.DEPARTURE)
    _next(strand)


def transfer(trial: Trial, strand: Strand, row: Any) -> Waits:
    which = row.b
    if which < 0:
        endpoint = trial.endpoint[strand.endpoint]
        which = endpoint.response if row.c else endpoint.request
    time = trial.draw(which, strand.frame.key, row.site, strand.number) * row.x
    yield from _served(trial, strand, row, time)


def reserve(trial: Trial, strand: Strand, row: Any) -> Waits:
    if trial.stations[row.a + strand.frame.instance].reserve(row.b):
        _next(strand)
    else:
        _fail(strand, row, ops.FAILED)
    yield from ()


def unreserve(trial: Trial, strand: Strand, row: Any) -> Waits:
    trial.stations[row.a + strand.frame.instance].unreserve(row.b)
    _next(strand)
    yield from ()


def _instance(strand: Strand, row: Any) -> int:
    """Return the instance that a call goes to."""
    instance: int = row.b if row.b >= 0 else strand.frame.instance
    return instance


def _call(strand: Strand, program: int, instance: int, tag: int) -> None:
    strand.calls.append(strand.frame)
    strand.frame = Frame(program, instance, child_key(strand.frame.key, tag, 0))


def call(trial: Trial, strand: Strand, row: Any) -> Waits:
    _call(strand, row.a, _instance(strand, row), row.tag)
    yield from ()


def tail(trial: Trial, strand: Strand, row: Any) -> Waits:
    key = child_key(strand.frame.key, row.tag, 0)
    strand.frame = Frame(row.a, _instance(strand, row), key)
    yield from ()


def returns(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Back to the call; a strand's outermost program ends in `Trial.execute`."""
    strand.frame = strand.calls.pop()
    if strand.status == ops.COMPLETED:
        _next(strand)
    else:
        strand.frame.pc = trial.code[strand.frame.pc].on_fail
    yield from ()


def route(trial: Trial, strand: Strand, row: Any) -> Waits:
    b = row.a + (strand.frame.instance if row.b else 0)
    choose = _choose[trial.balancer[b].policy]
    tables = (trial.balancer, trial.target, trial.values)
    t = choose(*tables, b, strand.frame.key, strand.item, strand.client)
    target = trial.target[t]
    target.in_flight += 1
    target.routed += 1
    strand.frame.instance = t
    _call(strand, trial.dispatch[target.first_program + row.c], target.instance, row.tag)
    yield from ()


def settle(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Settle in the frame that routed, then return; `Trial.execute` ends an outermost program."""
    trial.target[strand.frame.instance].in_flight -= 1
    if strand.calls:
        yield from returns(trial, strand, row)


def pick(trial: Trial, strand: Strand, row: Any) -> Waits:
    value = strand.client if row.c else strand.item
    count = trial.plan.item_counts[row.c]
    strand.frame.instance = _shard_of[int(row.x)](value, row.a, count, trial.values) * row.b
    _next(strand)
    yield from ()


def retry(trial: Trial, strand: Strand, row: Any) -> Waits:
    rule, frame = trial.retry[row.a], strand.frame
    number = frame.attempt + 1
    if number == 1:
        trial.counter[rule.first_failed] += 1
    if (
        number == rule.attempts
        or not (rule.outcomes >> strand.status) & 1
        or u01(frame.key, row.tag, number) < rule.give_up
    ):
        frame.attempt = 0
        frame.pc = row.on_fail
        return
    frame.attempt = number
    strand.status = ops.COMPLETED
    wait = backoff_delay(
        rule, trial.sampler, trial.values, trial.edge, trial.height, frame.key, row.site, number
    )
    trial.record(rule.waits_tally, wait)
    if wait > 0.0:
        yield after(trial.env, wait, ops.TIMER)
    frame.pc = row.b


def record(trial: Trial, strand: Strand, row: Any) -> Waits:
    trial.record(row.a, trial.env.now - (strand.begun if row.b else strand.started))
    _next(strand)
    yield from ()


def count(trial: Trial, strand: Strand, row: Any) -> Waits:
    trial.counter[row.a] += 1
    _next(strand)
    yield from ()


def jump(trial: Trial, strand: Strand, row: Any) -> Waits:
    strand.frame.pc = row.a
    yield from ()


def branch(trial: Trial, strand: Strand, row: Any) -> Waits:
    taken = u01(strand.frame.key, row.site, 0) < row.x
    strand.frame.pc = row.a if taken else strand.frame.pc + 1
    yield from ()


def fail(trial: Trial, strand: Strand, row: Any) -> Waits:
    if u01(strand.frame.key, row.site, 0) < row.x:
        _fail(strand, row, ops.FAILED)
    else:
        _next(strand)
    yield from ()


def commit(trial: Trial, strand: Strand, row: Any) -> Waits:
    place = (row.a, strand.frame.instance, strand.item)
    trial.version[place] += 1
    strand.version = trial.version[place]
    _next(strand)
    yield from ()


def apply(trial: Trial, strand: Strand, row: Any) -> Waits:
    place = (row.a, strand.frame.instance, strand.item)
    trial.version[place] = max(trial.version[place], strand.version)
    _next(strand)
    yield from ()


def check(trial: Trial, strand: Strand, row: Any) -> Waits:
    node = strand.frame.instance
    primary = node - node % row.b
    item, version = strand.item, trial.version
    stale = version[row.a, node, item] < version[row.a, primary, item]
    trial.counter[trial.versions[row.a].reads] += 1
    trial.counter[trial.versions[row.a].stale] += stale
    trial.count_by_key(len(trial.caches) + row.a, item, stale)
    _next(strand)
    yield from ()


OPERATION_OF: tuple[Callable[[Trial, Strand, Any], Waits], ...] = (
    acquire, release, serve, share, delay, transfer, reserve, unreserve, call, tail, returns,
    route, settle, pick, lookup, fill, drop, chance, attempt, retry, fork, join, spawn, record,
    count, jump, send, share, branch, fail, wait, work, enter, leave, acquire_within, preempt,
    fetch, fetched, wear, breaks, repair, commit, apply, check, start, started, stop,
    permit, report, *QUEUE_OPERATIONS, hit,
)  # fmt: skip
