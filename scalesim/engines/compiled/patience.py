"""Waiting for a slot with patience: who has waited too long leaves the line."""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.heap import ix, push
from scalesim.engines.compiled.skew_heap import remove
from scalesim.engines.compiled.stations import IF_WAITING, acquire, advance_areas

__all__ = ["abandon", "acquire_within"]


def acquire_within(st, s, i, priority, patience, now):
    """Return 1 if granted at once, 0 if waiting, -1 if rejected."""
    granted = acquire(st, s, i, priority, now)
    if granted == 0:
        serial = st.clock[0].serial
        st.strand[ix(i)].waiting = serial
        push(st, now + patience, ops.TIMER, i * 4 + IF_WAITING, serial)
    return granted


def abandon(st, s, i, now):
    """Let strand i leave the line of station s without a slot."""
    here = st.station[ix(s)]
    advance_areas(here, now)
    here.depth -= 1
    here.abandoned += 1
    here.head = remove(st.strand, here.head, i)
