"""The event queue: a heap of four children each on ``(at, order)``, with a lazy hole at the root.

``at`` is the time as the integer of its bits: for times, which are never negative, integers order
like the floats, and one comparison of integers tells less from equal where floats take two.
``order`` is the class in the high bits and the sequence number below. Taking the first event leaves
a hole; the next push fills it with one sift instead of two (measured: a tenth of M/M/1's time).

An event has an `index`, of what it happens to, and a `stamp`: the kind of event and the serial
number of what was expected when it was scheduled. If that is not expected any more, it is void. Of
`RESUME`, which is never void, the stamp is 0.

Indices are unsigned (`ix`) here and in the other hot functions: for a signed one Numba adds three
instructions to each access, in case it counts from the end (measured: a seventh of all).
"""

from __future__ import annotations

from numpy import float64, int64, uint64 as ix

__all__ = [
    "CLASS_SHIFT",
    "CORE_DONE",
    "IF_WAITING",
    "NEVER",
    "RESUME",
    "SHARED_DONE",
    "SLOWED_DONE",
    "as_bits",
    "as_time",
    "ix",
    "kind_of",
    "precedes",
    "push",
    "serial_of",
    "settle_hole",
    "stamped",
]

CLASS_SHIFT = 56
RESUME, SHARED_DONE, IF_WAITING, SLOWED_DONE, CORE_DONE = range(5)
"""Kinds of event. IF_WAITING: something ends the wait of a strand, if it still waits under that
number. What comes after it is seldom."""
KIND_BITS = 3
NEVER = int64(2**63 - 1)
"""The time of the events beyond the last, as `as_bits` would have it: later than any other."""
ROOT, ONE, TWO, FOUR = ix(0), ix(1), ix(2), ix(4)


def as_bits(time):
    """Return the bits of a time >= 0 as an integer that orders like it."""
    return float64(time).view(int64)


def as_time(at):
    """Return the time that `as_bits` made `at` of."""
    return int64(at).view(float64)


def stamped(kind, serial):
    """Return the stamp of an event of that kind that is void when `serial` is no longer current."""
    return (serial << KIND_BITS) | kind


def kind_of(stamp):
    """Return the kind of an event."""
    return stamp & ((1 << KIND_BITS) - 1)


def serial_of(stamp):
    """Return the serial number that must be current for an event to happen."""
    return stamp >> KIND_BITS


def put(event, i, at, order, index, stamp):
    """Write an event into place i."""
    here = event[i]
    here.at = at
    here.order = order
    here.index = index
    here.stamp = stamp


def precedes(at, order, other_at, other_order):
    """Whether what comes at ``(at, order)`` comes before the other (primitive)."""
    return at < other_at or (at == other_at and order < other_order)


def first_of_two(event, i):
    """Return which of the events in places i and i + 1 comes first; without a branch."""
    here = event[i]
    other = event[i + ONE]
    return i + ix(precedes(other.at, other.order, here.at, here.order))


def first_child(event, child):
    """Return the place of the first of four children; those that there are not are at `NEVER`.

    Which it is, is anyone's guess, also a processor's: so there is no branch on it.
    """
    one = first_of_two(event, child)
    two = first_of_two(event, child + TWO)
    if precedes(event[two].at, event[two].order, event[one].at, event[one].order):
        one = two
    return one


def sift_down(st, size, at, order, index, stamp):
    """Put an event into the hole at the root, moving smaller children up."""
    event = st.event
    i = ROOT
    child = ONE
    while child < size:
        first = first_child(event, child)
        least = event[first]
        if precedes(at, order, least.at, least.order):
            break
        put(event, i, least.at, least.order, least.index, least.stamp)
        i = first
        child = FOUR * i + ONE
    put(event, i, at, order, index, stamp)


def push(st, time, cls, index, stamp=RESUME):
    """Schedule an event of class `cls` at `time`."""
    clock = st.clock[0]
    at = as_bits(time)
    order = (cls << CLASS_SHIFT) | clock.sequence
    clock.sequence += 1
    if clock.hole:
        clock.hole = 0
        sift_down(st, ix(clock.size), at, order, index, stamp)
        return
    event = st.event
    i = ix(clock.size)
    clock.size += 1
    while i > ROOT:
        up = (i - ONE) // FOUR
        above = event[up]
        if precedes(above.at, above.order, at, order):
            break
        put(event, i, above.at, above.order, above.index, above.stamp)
        i = up
    put(event, i, at, order, index, stamp)


def settle_hole(st):
    """Fill a hole at the root with the last event."""
    clock = st.clock[0]
    if clock.hole:
        clock.hole = 0
        clock.size -= 1
        last = st.event[ix(clock.size)]
        at = last.at
        last.at = NEVER
        if clock.size > 0:
            sift_down(st, ix(clock.size), at, last.order, last.index, last.stamp)
