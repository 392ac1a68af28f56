"""Operations and events that few models use, out of the way of the hot code.

The two entries, `seldom_operation` and `seldom_event`, are called, never inlined: passing the state
costs tens of nanoseconds, and models that use none of this pay nothing.
"""

from __future__ import annotations

from scalesim.engines.compiled.heap import ix
from scalesim.engines.compiled.stations import finish_share, share
from scalesim.engines.compiled.strands import draw

__all__ = ["BLOCKED", "seldom_event", "seldom_operation"]

BLOCKED = -1
"""Instead of a program counter: the strand waits for something."""


def seldom_operation(st, i, row, instance, key, now):
    """Run an operation; return the next program counter or `BLOCKED`."""
    share(st, row.a + instance, i, draw(st, row.b, key, row.site), now, True)
    return BLOCKED


def seldom_event(st, what, serial, now):
    """Let an event of kind SELDOM happen; return the strand to run, or -1."""
    if st.station[ix(what)].generation != serial:
        return -1
    i = finish_share(st, what, now, True)
    st.strand[ix(i)].pc += 1
    return i
