"""The event queue: a binary heap on ``(at, order)`` with a lazy hole at the root.

``order`` is the class in the high bits and the sequence number below. Taking the first event leaves
a hole; the next push fills it with one sift instead of two (measured: a tenth of M/M/1's time).
"""

from __future__ import annotations

__all__ = ["CLASS_SHIFT", "push", "settle_hole"]

CLASS_SHIFT = 56


def sift_down(st, i, size, at, order, what, serial):
    """Put an event into the hole at i, moving smaller children up."""
    event = st.event
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            event[other].at < event[child].at
            or (event[other].at == event[child].at and event[other].order < event[child].order)
        ):
            child = other
        if event[child].at > at or (event[child].at == at and event[child].order > order):
            break
        event[i].at = event[child].at
        event[i].order = event[child].order
        event[i].what = event[child].what
        event[i].serial = event[child].serial
        i = child
    event[i].at = at
    event[i].order = order
    event[i].what = what
    event[i].serial = serial


def push(st, at, cls, what, serial):
    """Schedule an event of class `cls`."""
    clock = st.clock
    order = (cls << CLASS_SHIFT) | clock[0].sequence
    clock[0].sequence += 1
    if clock[0].hole:
        clock[0].hole = 0
        sift_down(st, 0, clock[0].size, at, order, what, serial)
        return
    event = st.event
    i = clock[0].size
    clock[0].size = i + 1
    while i > 0:
        up = (i - 1) >> 1
        if event[up].at < at or (event[up].at == at and event[up].order < order):
            break
        event[i].at = event[up].at
        event[i].order = event[up].order
        event[i].what = event[up].what
        event[i].serial = event[up].serial
        i = up
    event[i].at = at
    event[i].order = order
    event[i].what = what
    event[i].serial = serial


def settle_hole(st):
    """Fill a hole at the root with the last event."""
    clock = st.clock
    if clock[0].hole:
        clock[0].hole = 0
        size = clock[0].size - 1
        clock[0].size = size
        if size > 0:
            last = st.event[size]
            sift_down(st, 0, size, last.at, last.order, last.what, last.serial)
