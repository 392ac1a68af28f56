"""Circuit breakers: what `scalesim.policies.breaking` decides, and the counting of it."""

from __future__ import annotations

from scalesim.engines.compiled.cores import change_level
from scalesim.engines.compiled.heap import ix
from scalesim.ops import COMPLETED, PERMIT, REJECTED
from scalesim.policies.breaking import OPEN, give_back, permits, report

__all__ = ["breaker_operation", "leave_breaker"]


def breaker_operation(st, i, row, pc, instance, now):
    """Run PERMIT or REPORT; return the next program counter."""
    me = st.strand[ix(i)]
    b = ix(breaker_of(row, instance))
    here = st.breaker[b]
    before = here.state
    then = pc + 1
    if row.op == PERMIT:
        if permits(st.breaker, b, now):
            me.ticket = here.generation
        else:
            st.counter[ix(here.rejected)] += 1
            me.status = REJECTED
            then = row.on_fail
    else:
        failed = int(me.status != COMPLETED)
        report(st.breaker, st.meter, b, me.ticket, failed, now)
        if failed:
            then = row.on_fail
    if here.state != before:
        change_level(st, here.level, here.state - before, now)
        if here.state == OPEN:
            st.counter[ix(here.opened)] += 1
    return then


def breaker_of(row, instance):
    """Return the breaker that `row` is about, at an instance."""
    return row.a + (instance if row.c else 0)


def leave_breaker(st, i, row, instance):
    """Let a strand that is withdrawn have no outcome."""
    give_back(st.breaker, ix(breaker_of(row, instance)), st.strand[ix(i)].ticket)
