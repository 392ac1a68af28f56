"""Operations that start other strands and, all but one, wait for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import simpy

from scalesim import ops
from scalesim.engines.reference.clock import after, fire
from scalesim.engines.reference.model import Frame, Strand, Waits, fail, go_on
from scalesim.engines.reference.withdrawal import withdraw
from scalesim.kernels.draws import child_key
from scalesim.kernels.sampling import nth_of_permutation

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = ["attempt", "fork", "join", "spawn", "wait"]


def attempt(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Spawn an attempt and wait for its answer or the time-out."""
    frame = strand.frame
    key = child_key(frame.key, row.tag, frame.attempt)
    instance = row.b if row.b >= 0 else frame.instance
    strand.resume = simpy.Event(trial.env)
    timer = after(trial.env, row.x, ops.TIMER) if row.x < math.inf else None
    child = _adopt(strand, trial.spawn(strand, Frame(row.a, instance, key)))

    def time_out(_: simpy.Event) -> None:
        if child.parent is strand:
            trial.answer(strand, ops.TIMED_OUT)
            if row.c:
                withdraw(trial, child)
            else:
                child.leave_parent()

    if timer is not None:
        assert timer.callbacks is not None
        timer.callbacks.append(time_out)
    yield strand.resume
    strand.resume = None


def _adopt(strand: Strand, child: Strand) -> Strand:
    """Let `strand` await the end of `child`."""
    child.parent = strand
    strand.children.append(child)
    return child


def fork(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Spawn a branch."""
    frame = strand.frame
    instance = row.b if row.b >= 0 else frame.instance
    if row.c:
        instance += nth_of_permutation(frame.key, row.site, int(row.x), row.c)
    key = child_key(frame.key, row.tag, 0)
    _adopt(strand, trial.spawn(strand, Frame(row.a, instance, key))).branch = True
    go_on(strand)
    yield from ()


def wait(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Wait for a first branch, for a time."""
    if not strand.enough(1):
        time = trial.draw(row.b, strand.frame.key, row.site, strand.number)
        if time <= 0.0:
            return go_on(strand)
        strand.resume = resume = simpy.Event(trial.env)

        def time_over(_: simpy.Event) -> None:
            if strand.resume is resume:
                strand.resume = None
                go_on(strand)
                fire(resume)

        timer = after(trial.env, time, ops.TIMER)
        assert timer.callbacks is not None
        timer.callbacks.append(time_over)
        yield resume
        return  # to what comes next, or once more to here
    strand.frame.pc = row.a


def join(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Wait for branches and let go of the others."""
    if not strand.enough(row.a):
        strand.resume = simpy.Event(trial.env)
        yield strand.resume
    for child in reversed(tuple(strand.children)):
        if row.b:
            withdraw(trial, child)
        else:
            child.leave_parent()
    failed = strand.completed < row.a if row.a else strand.joined != ops.COMPLETED
    if failed:
        fail(strand, row, strand.joined)
    else:
        go_on(strand)
    strand.completed, strand.joined = 0, ops.COMPLETED


def spawn(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Spawn a strand that nobody awaits."""
    key = child_key(strand.frame.key, row.tag, row.b)
    trial.spawn(strand, Frame(row.a, strand.frame.instance + row.b, key))
    go_on(strand)
    yield from ()
