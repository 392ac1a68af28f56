"""Processors that interrupt: those that come first in the station's order run, the others pause.

Two heaps a station: ``head`` is the first of those that pause, ``tail`` the last of those that run,
whose marks and ranks are negative for that. Where the least remaining demand goes first, the mark
of who pauses is what remains of it, and of who runs the (negative) moment of its end.
"""

from __future__ import annotations

from scalesim.engines.compiled.heap import IF_WAITING, ix, push, stamped
from scalesim.engines.compiled.skew_heap import insert, remove
from scalesim.engines.compiled.stations import advance_areas, record_wait, set_place
from scalesim.ops import DEPARTURE
from scalesim.plan.tables import SHORTEST

__all__ = ["finish_preemptive", "leave_preemptive", "preempt"]


def start(st, here, i, now):
    """Let strand i run; its departure carries a number that is void once it is interrupted."""
    me = st.strand[ix(i)]
    me.until = now + me.service
    me.mark = -me.until if here.order == SHORTEST else -me.mark
    me.rank = -me.rank
    here.tail = insert(st.strand, here.tail, i)
    clock = st.clock[0]
    clock.serial += 1
    me.waiting = clock.serial
    push(st, me.until, DEPARTURE, i, stamped(IF_WAITING, me.waiting))


def pause(st, here, i, now):
    """Let strand i, which does not run, wait for a core."""
    here.depth += 1
    st.strand[ix(i)].since = now
    here.head = insert(st.strand, here.head, i)


def interrupt(st, here, i, now):
    """Interrupt strand i, which runs."""
    me = st.strand[ix(i)]
    here.tail = remove(st.strand, here.tail, i)
    me.service = me.until - now
    me.mark = me.service if here.order == SHORTEST else -me.mark
    me.rank = -me.rank
    me.waiting = 0
    pause(st, here, i, now)


def preempt(st, s, i, demand, priority, now):
    """Let strand i come to the processors of station s."""
    here = st.station[ix(s)]
    me = st.strand[ix(i)]
    advance_areas(here, now)
    me.service = demand
    me.paused = 0.0
    set_place(st.clock, here, me, priority)
    if here.busy < here.slots:
        here.busy += 1
        start(st, here, i, now)
        return
    last = st.strand[ix(here.tail)]
    mark = last.until - now if here.order == SHORTEST else -last.mark
    if me.mark < mark or (me.mark == mark and me.rank < -last.rank):
        interrupt(st, here, here.tail, now)
        start(st, here, i, now)
    else:
        pause(st, here, i, now)
    here.deepest = max(here.deepest, here.depth)


def finish_preemptive(st, s, i, now):
    """Let strand i, which has done its work, leave the processors of station s."""
    here = st.station[ix(s)]
    advance_areas(here, now)
    here.tail = remove(st.strand, here.tail, i)
    here.served += 1
    record_wait(st, s, st.strand[ix(i)].paused)
    run_next(st, here, now)


def leave_preemptive(st, s, i, now):
    """Take strand i, which is withdrawn, away from the processors of station s."""
    here = st.station[ix(s)]
    advance_areas(here, now)
    here.abandoned += 1
    if st.strand[ix(i)].waiting:
        here.tail = remove(st.strand, here.tail, i)
        run_next(st, here, now)
    else:
        here.head = remove(st.strand, here.head, i)
        here.depth -= 1


def run_next(st, here, now):
    """Let the first of those that pause have the core that is free now."""
    first = here.head
    if first >= 0:
        here.head = remove(st.strand, first, first)
        here.depth -= 1
        st.strand[ix(first)].paused += now - st.strand[ix(first)].since
        start(st, here, first, now)
    else:
        here.busy -= 1
