"""Strands: taken from a free list, kept in the ready list, given back."""

from __future__ import annotations

from scalesim.engines.compiled.heap import ix
from scalesim.kernels.sampling import sample
from scalesim.ops import COMPLETED

__all__ = [
    "BLOCKED",
    "FREE",
    "draw",
    "free_strand",
    "make_ready",
    "new_child",
    "new_strand",
    "origin",
    "put_back",
    "take_ready",
]


BLOCKED = -1
"""Instead of the next program counter: the strand waits for something."""
FREE = -2
"""Program counter of a strand in the free list."""


def draw(st, which, key, site, number):
    """Return a draw from sampler `which`, for request `number`."""
    return sample(st.sampler, ix(which), st.values, st.edge, st.height, key, site, number)


def origin(st, i):
    """Return the number of the request on whose behalf strand i runs."""
    me = st.strand[ix(i)]
    return me.request if me.request >= 0 else me.origin


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


def put_back(st, i):
    """Put strand i at the front of the ready list."""
    clock = st.clock[0]
    st.strand[ix(i)].next = clock.ready_head
    if clock.ready_head < 0:
        clock.ready_tail = i
    clock.ready_head = i


def new_strand(st, now):
    """Take a strand off the free list, which must not be empty.

    A free strand is at level 0, waits for nothing, has no branches and no request: a strand that
    ends is so by itself, but for what `free_strand` resets.
    """
    clock = st.clock[0]
    i = clock.free
    me = st.strand[ix(i)]
    clock.free = me.next
    me.attempt = 0
    me.status = COMPLETED
    me.started = now
    return i


def new_child(st, parent, program, instance, key, now):
    """Make a strand on behalf of `parent`'s request."""
    i = new_strand(st, now)
    me = st.strand[ix(i)]
    other = st.strand[ix(parent)]
    me.pc = program
    me.instance = instance
    me.key = key
    me.item = other.item
    me.client = other.client
    me.endpoint = other.endpoint
    me.origin = origin(st, parent)
    me.begun = other.started if other.request >= 0 else other.begun
    return i


def free_strand(st, i):
    """Give strand i back."""
    clock = st.clock[0]
    me = st.strand[ix(i)]
    me.reply = 0
    me.pc = FREE
    me.next = clock.free
    clock.free = i
