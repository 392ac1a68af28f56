"""Leaving a line without a slot: who has waited too long, or is withdrawn."""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.heap import IF_WAITING, ix, push, stamped
from scalesim.engines.compiled.skew_heap import remove
from scalesim.engines.compiled.stations import acquire, advance_areas
from scalesim.engines.compiled.strands import ABSENT, unlink_next

__all__ = ["acquire_within", "leave_line"]


def acquire_within(st, s, i, priority, patience, now):
    """Return 1 if granted at once, 0 if waiting, -1 if rejected."""
    granted = acquire(st, s, i, priority, now)
    if granted == 0:
        serial = st.clock[0].serial
        st.strand[ix(i)].waiting = serial
        push(st, now + patience, ops.TIMER, i, stamped(IF_WAITING, serial))
    return granted


def leave_line(st, s, i, now):
    """Let strand i leave the line of station s without a slot; False if it is not in it."""
    here = st.station[ix(s)]
    strand = st.strand
    me = strand[ix(i)]
    if here.heaped:
        if me.lined == 0:
            return False
        me.lined = 0
        here.head = remove(strand, here.head, i)
    else:
        before = unlink_next(strand, here.head, i)
        if before == ABSENT:
            return False
        if before < 0:
            here.head = me.next
        if me.next < 0:
            here.tail = before
    advance_areas(here, now)
    here.depth -= 1
    here.abandoned += 1
    return True
