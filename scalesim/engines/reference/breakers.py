"""Circuit breakers as generators: what `scalesim.ops` says of PERMIT and REPORT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesim import ops
from scalesim.engines.reference.model import Strand, Waits, as_objects, fail, go_on
from scalesim.plan import Plan
from scalesim.plan.tables import BREAKER_KNOWS
from scalesim.policies.breaking import OPEN, give_back, permits, report as report_outcome

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = ["breakers_of", "leave_breaker", "permit", "report"]


def breakers_of(plan: Plan) -> list[Any]:
    """Return the breakers of a plan, all of them closed."""
    rows = as_objects(plan.breaker)
    for row in rows:
        vars(row).update(dict.fromkeys(BREAKER_KNOWS, 0), until=0.0)
    return rows


def _number(strand: Strand, row: Any) -> int:
    """Return the number of the breaker that the operation is about."""
    number: int = row.a + (strand.frame.instance if row.c else 0)
    return number


def _note_change(trial: Trial, b: int, before: int) -> None:
    """Count what a breaker has changed to from its state `before`."""
    here = trial.breaker[b]
    if here.state != before:
        trial.levels[here.level].change(here.state - before)
        trial.counter[here.opened] += here.state == OPEN


def permit(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Ask whether a call may be made."""
    b = _number(strand, row)
    before = trial.breaker[b].state
    if permits(trial.breaker, b, trial.env.now):
        strand.ticket = trial.breaker[b].generation
        go_on(strand)
    else:
        trial.counter[trial.breaker[b].rejected] += 1
        fail(strand, row, ops.REJECTED)
    _note_change(trial, b, before)
    yield from ()


def report(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Tell the outcome of the call, and fail with it."""
    b = _number(strand, row)
    before, failed = trial.breaker[b].state, strand.status != ops.COMPLETED
    now = trial.env.now
    report_outcome(trial.breaker, trial.meter, b, strand.ticket, int(failed), now)
    _note_change(trial, b, before)
    if failed:
        strand.frame.pc = row.on_fail
    else:
        go_on(strand)
    yield from ()


def leave_breaker(trial: Trial, strand: Strand, row: Any) -> None:
    """Let a strand that is withdrawn have no outcome."""
    give_back(trial.breaker, _number(strand, row), strand.ticket)
