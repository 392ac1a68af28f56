"""Withdrawing a strand: at a time-out that cancels, or because it lost a race.

What it waits for is undone and what it holds is given back, at once; the strands whose answer it
awaits go with it. See "Withdrawal" in `scalesim.ops`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesim import ops
from scalesim.engines.reference.breakers import leave_breaker
from scalesim.engines.reference.model import Strand
from scalesim.engines.reference.serving import switch_off

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = ["withdraw"]


def withdraw(trial: Trial, strand: Strand) -> None:
    """Withdraw `strand` and all whose answer it awaits, the youngest first."""
    for child in reversed(tuple(strand.children)):
        withdraw(trial, child)
    if strand.undo is not None:
        strand.undo()
    strand.status = ops.TIMED_OUT  # whatever it was told at this very moment
    assert strand.process is not None
    waits_for, resume = strand.process.target, strand.process._resume
    assert waits_for is not None
    assert waits_for.callbacks is not None
    waits_for.callbacks.remove(resume)
    strand.resume = None
    _unwind(trial, strand)
    strand.leave_parent()
    trial.strands -= 1


def _unwind(trial: Trial, strand: Strand) -> None:
    """Give back what the strand holds: every operation that does not do so fails."""
    while True:
        frame = strand.frame
        row = trial.code[frame.pc]
        if row.op in (ops.RETURN, ops.SETTLE, ops.TAIL, ops.ROUTE):
            if row.op == ops.SETTLE:
                trial.target[frame.instance].in_flight -= 1
            if not strand.calls:
                return
            strand.frame = strand.calls.pop()
            strand.frame.pc = trial.code[strand.frame.pc].on_fail
        elif row.op == ops.RELEASE:
            trial.stations[row.a + frame.instance].release_unserved()
            frame.pc += 1
        elif row.op == ops.UNRESERVE:
            trial.stations[row.a + frame.instance].unreserve(row.b)
            frame.pc += 1
        elif row.op == ops.FETCHED:
            trial.caches[row.a + frame.instance].end_fetch(strand.item, strand.status)
            frame.pc += 1
        elif row.op == ops.LEAVE:
            trial.levels[row.a + frame.instance].change(-1)
            frame.pc += 1
        elif row.op == ops.STOP:
            switch_off(trial, row, frame.instance)
            frame.pc += 1
        elif row.op == ops.REPORT:
            leave_breaker(trial, strand, row)
            frame.pc = row.on_fail
        elif row.op == ops.JUMP:
            frame.pc = row.a
        else:
            frame.pc = row.on_fail if row.on_fail >= 0 else frame.pc + 1
