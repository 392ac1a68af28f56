"""Operations and events that few models use, out of the way of the hot code.

The two entries, `seldom_operation` and `seldom_event`, are called, never inlined: passing the state
costs tens of nanoseconds, and models that use none of this pay nothing.
"""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.cores import change_level, core_event, work
from scalesim.engines.compiled.heap import ix
from scalesim.engines.compiled.stations import CORE, SELDOM_KINDS, finish_share, share
from scalesim.engines.compiled.strands import draw, origin

__all__ = ["BLOCKED", "seldom_event", "seldom_operation"]

BLOCKED = -1
"""Instead of a program counter: the strand waits for something."""


def seldom_operation(st, i, row, pc, instance, key, now):
    """Run an operation; return the next program counter or `BLOCKED`."""
    op = row.op
    if op == ops.ENTER or op == ops.LEAVE:
        change_level(st, row.a + instance, 1 if op == ops.ENTER else -1, now)
        return pc + 1
    time = draw(st, row.b, key, row.site, origin(st, i))
    if op == ops.CONTEND:
        share(st, row.a + instance, i, time, now, True)
    else:
        work(st, row.a + instance, i, key, row.site, time, now)
    return BLOCKED


def seldom_event(st, what, serial, now):
    """Let an event of kind SELDOM happen; return the strand to run, or -1."""
    kind = what % SELDOM_KINDS
    index = what // SELDOM_KINDS
    if kind == CORE:
        return core_event(st, index, serial, now)
    if st.station[ix(index)].generation != serial:
        return -1
    i = finish_share(st, index, now, True)
    st.strand[ix(i)].pc += 1
    return i
