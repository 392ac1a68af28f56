"""Admission and batches as generators: what `scalesim.ops` says of SHED to SEND."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import simpy

from scalesim import ops
from scalesim.engines.reference.clock import after, fire
from scalesim.engines.reference.model import Frame, Message, Strand, Waits, fail, go_on as _next
from scalesim.engines.reference.stations import BatchStation, RateStation
from scalesim.kernels.draws import child_key
from scalesim.policies.limiting import earliest, let_through
from scalesim.policies.sharding import consumer_of

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = ["QUEUE_OPERATIONS", "send"]


def _reject(strand: Strand, row: Any) -> None:
    fail(strand, row, ops.REJECTED)


def shed(trial: Trial, strand: Strand, row: Any) -> Waits:
    station = trial.stations[row.a + strand.frame.instance]
    if station.busy + station.depth >= row.b:
        station.arrived += 1
        station.rejected += 1
        _reject(strand, row)
    else:
        _next(strand)
    yield from ()


def admit(trial: Trial, strand: Strand, row: Any) -> Waits:
    limiter, now = trial.limiter[row.a], trial.env.now
    station = trial.stations[limiter.station]
    assert isinstance(station, RateStation)
    place = limiter.first + (strand.client * limiter.size if limiter.by_client else 0)
    at = earliest(limiter, trial.meter, place, now)
    full = limiter.queue_limit >= 0 and station.depth >= limiter.queue_limit
    station.arrived += 1
    if at > now and (full or not limiter.delays):
        station.rejected += 1
        return _reject(strand, row)
    let_through(limiter, trial.meter, place, at)
    station.join(limiter.gap)
    strand.since = now
    if at > now:
        station.deepest = max(station.deepest, station.depth)
        yield from strand.wait(after(trial.env, at - now, ops.DEPARTURE), station.give_up)
    _next(strand)


def admitted(trial: Trial, strand: Strand, row: Any) -> Waits:
    station = trial.stations[trial.limiter[row.a].station]
    assert isinstance(station, RateStation)
    station.passed(trial.env.now - strand.since)
    _next(strand)
    yield from ()


def _station(trial: Trial, strand: Strand, rule: Any) -> BatchStation:
    station = trial.stations[rule.station + strand.frame.instance]
    assert isinstance(station, BatchStation)
    return station


def _start(trial: Trial, rule: Any, station: BatchStation, running: Message | None) -> bool:
    """Take a batch from the line and tell its leader; whether that is the one running."""
    station.advance(trial.env.now)
    station.busy += 1
    trial.counter[rule.counter] += 1
    batch = [station.take() for _ in range(min(station.depth, rule.most))]
    if rule.room >= 0:
        for _ in batch:
            trial.stations[rule.room].release()
    leader = batch[0]
    leader.riders = batch[1:]
    if leader is not running:
        fire(leader.event, "lead")
    return leader is running


def gather(trial: Trial, strand: Strand, row: Any) -> Waits:
    rule = trial.batch[row.a]
    station = _station(trial, strand, rule)
    message = strand.message = Message(strand, trial.env)
    station.join(message)
    if not rule.polls and station.busy < station.slots and station.due(rule.least):
        if _start(trial, rule, station, message):
            return _next(strand)
    else:
        station.deepest = max(station.deepest, station.depth)
        if rule.linger < math.inf:
            timer = after(trial.env, rule.linger, ops.TIMER)
            assert timer.callbacks is not None
            timer.callbacks.append(lambda _: _linger(message))
    yield from _wait(trial, message, row)


def _linger(message: Message) -> None:
    """Wake a message that still waits in line."""
    if not message.taken:
        message.overdue = True
        fire(message.event, "overdue")


def _wait(trial: Trial, message: Message, row: Any) -> Waits:
    """Wait until told: ``lead``, or where a rider goes on after its batch."""
    strand = message.strand
    told = yield message.event
    message.event = simpy.Event(trial.env)
    if told == "overdue":
        strand.frame.pc = row.on_fail
    elif told == "lead":
        _next(strand)
    else:
        strand.frame.pc = told


def overdue(trial: Trial, strand: Strand, row: Any) -> Waits:
    rule = trial.batch[row.a]
    station = _station(trial, strand, rule)
    message = strand.message
    assert message is not None
    free = not rule.polls and station.busy < station.slots
    if free and _start(trial, rule, station, message):
        return _next(strand)
    yield from _wait(trial, message, row)


def dismiss(trial: Trial, strand: Strand, row: Any) -> Waits:
    rule = trial.batch[row.a]
    station = _station(trial, strand, rule)
    assert strand.message is not None
    riders = strand.message.riders
    if rule.one_by_one and riders:
        station.served += 1
        riders[0].riders = riders[1:]
        fire(riders[0].event, "lead")
        strand.frame.pc = row.b
        return
    for rider in riders:
        fire(rider.event, row.b)
    station.advance(trial.env.now)
    station.served += 1 + len(riders)
    station.busy -= 1
    if not rule.polls and station.due(rule.least):
        _start(trial, rule, station, None)
    _next(strand)
    yield from ()


def poll(trial: Trial, strand: Strand, row: Any) -> Waits:
    rule = trial.batch[row.a]
    station = _station(trial, strand, rule)
    if station.due(rule.least):
        _start(trial, rule, station, None)
        _next(strand)
    else:
        strand.frame.pc = row.b
    yield from ()


def nap(trial: Trial, strand: Strand, row: Any) -> Waits:
    frame, now = strand.frame, trial.env.now
    if row.b >= 0:
        frame.attempt += 1
        key = child_key(frame.key, row.site, frame.attempt)
        time = trial.draw(row.b, key, row.site, frame.attempt - 1)
    else:
        time = (math.floor(now / row.x * (1.0 + ops.ROUNDING)) + 1) * row.x - now
    yield after(trial.env, time, ops.TIMER)
    _next(strand)


def send(trial: Trial, strand: Strand, row: Any) -> Waits:
    """SPAWN at the instance of a partition's consumer."""
    frame, rule = strand.frame, trial.partition[row.b]
    consumer = consumer_of(rule, strand.item, strand.client, frame.key, row.site)
    trial.spawn(strand, Frame(row.a, consumer, child_key(frame.key, row.tag, 0)))
    _next(strand)
    yield from ()


QUEUE_OPERATIONS = (shed, admit, admitted, gather, overdue, dismiss, poll, nap)
