"""Strands: taken from a free list, kept in the ready list, given back."""

from __future__ import annotations

from scalesim.engines.compiled.heap import ix
from scalesim.kernels.sampling import sample
from scalesim.ops import COMPLETED

__all__ = [
    "ABSENT",
    "BLOCKED",
    "FREE",
    "NO_STRAND",
    "WITHDRAWN",
    "adopt",
    "draw",
    "free_strand",
    "leave_parent",
    "leave_ready",
    "make_ready",
    "new_child",
    "new_strand",
    "put_back",
    "take_ready",
    "unlink_next",
]


BLOCKED = -1
"""Instead of the next program counter: the strand waits for something."""
NO_STRAND = -2
"""Instead of the next program counter: a new strand is needed and none is free."""
FREE = -2
"""Program counter of a strand in the free list."""
WITHDRAWN = -3
"""Program counter of a strand that is over but for an event that is still to come."""
ABSENT = -2
"""Instead of a strand: it is not in the list."""


def draw(st, which, key, site, number):
    """Return a draw from sampler `which`, for request `number`."""
    return sample(st.sampler, ix(which), st.values, st.edge, st.height, key, site, number)


def make_ready(st, i):
    """Append strand i to the ready list."""
    clock = st.clock[0]
    st.strand[ix(i)].next = -1
    if clock.ready_tail >= 0:
        st.strand[ix(clock.ready_tail)].next = i
    else:
        clock.ready_head = i
    clock.ready_tail = i


def take_ready(st):
    """Take the first strand off the ready list."""
    clock = st.clock[0]
    i = clock.ready_head
    clock.ready_head = st.strand[ix(i)].next
    if clock.ready_head < 0:
        clock.ready_tail = -1
    return i


def leave_ready(st, i):
    """Take strand i out of the ready list; False if it is not there."""
    clock = st.clock[0]
    before = unlink_next(st.strand, clock.ready_head, i)
    if before == ABSENT:
        return False
    after = st.strand[ix(i)].next
    if before < 0:
        clock.ready_head = after
    if after < 0:
        clock.ready_tail = before
    return True


def unlink_next(strand, head, i):
    """Take strand i out of the list from `head` on, linked by ``next``; return who was before it.

    That is -1 if it was the head, which the caller moves on, and `ABSENT` if it was not there.
    """
    before = -1
    at = head
    while at >= 0 and at != i:
        before = at
        at = strand[ix(at)].next
    if at < 0:
        return ABSENT
    if before >= 0:
        strand[ix(before)].next = strand[ix(i)].next
    return before


def put_back(st, i):
    """Put strand i at the front of the ready list."""
    clock = st.clock[0]
    st.strand[ix(i)].next = clock.ready_head
    if clock.ready_head < 0:
        clock.ready_tail = i
    clock.ready_head = i


def new_strand(st):
    """Take a strand off the free list, which must not be empty.

    A free strand is at level 0, waits for nothing, has no branches and no request: a strand that
    ends is so by itself, but for what `free_strand` resets. Where it starts, on whose behalf, when
    and as what is for the caller to set.
    """
    clock = st.clock[0]
    i = clock.free
    clock.free = st.strand[ix(i)].next
    return i


def new_child(st, parent, program, instance, key, now):
    """Make a strand on behalf of `parent`'s request."""
    i = new_strand(st)
    me = st.strand[ix(i)]
    other = st.strand[ix(parent)]
    me.pc = program
    me.instance = instance
    me.attempt = 0
    me.status = COMPLETED
    me.key = key
    me.started = now
    me.item = other.item
    me.client = other.client
    me.endpoint = other.endpoint
    me.origin = other.origin
    me.begun = other.started if other.request >= 0 else other.begun
    return i


def adopt(st, parent, i, reply):
    """Let `parent` await the end of strand i; `reply` 1: for the answer, -1: as one of branches."""
    me = st.strand[ix(i)]
    me.parent = parent
    me.reply = reply
    older = st.strand[ix(parent)].child
    me.older = older
    me.younger = -1
    if older >= 0:
        st.strand[ix(older)].younger = i
    st.strand[ix(parent)].child = i


def leave_parent(st, i):
    """Let nobody await the end of strand i any more."""
    me = st.strand[ix(i)]
    me.reply = 0
    if me.younger >= 0:
        st.strand[ix(me.younger)].older = me.older
    else:
        st.strand[ix(me.parent)].child = me.older
    if me.older >= 0:
        st.strand[ix(me.older)].younger = me.younger


def free_strand(st, i):
    """Give strand i back."""
    clock = st.clock[0]
    me = st.strand[ix(i)]
    me.reply = 0
    me.pc = FREE
    me.next = clock.free
    clock.free = i
