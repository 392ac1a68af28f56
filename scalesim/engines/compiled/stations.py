"""Stations: slots with a waiting line, shared processors, amounts; and their exact areas.

Levels (busy, depth, ...) are floats, exact as integers up to 2**53, since all that is done with
them is comparing and multiplying by a time. Arrivals are not counted: who arrived was granted,
rejected or still waits. The areas (slot-seconds busy, request-seconds waiting) advance at every
change of either level, so that utilization and queue depth are averages over time, not of samples.
"""

from __future__ import annotations

from scalesim.engines.compiled.heap import SHARED_DONE, SLOWED_DONE, ix, push, stamped
from scalesim.engines.compiled.skew_heap import insert, merge, remove
from scalesim.engines.compiled.strands import make_ready
from scalesim.kernels.draws import BUCKETS, bucket
from scalesim.ops import DEPARTURE, ROUNDING
from scalesim.plan.tables import LCFS, PRIORITY, SHORTEST

__all__ = [
    "acquire",
    "advance_areas",
    "finish_service",
    "finish_share",
    "leave_sharing",
    "record_wait",
    "release",
    "reserve",
    "set_place",
    "share",
    "unreserve",
]


def advance_areas(here, now):
    """Bring the areas of station row `here` up to `now`."""
    elapsed = now - here.since
    here.busy_area += here.busy * elapsed
    here.depth_area += here.depth * elapsed
    here.since = now


def advance_busy(here, now):
    """Do so where nobody waits: with a slot free, or none in line for the one that will be."""
    here.busy_area += here.busy * (now - here.since)
    here.since = now


def record_wait(st, s, wait):
    """Count a grant after `wait` seconds."""
    here = st.station[ix(s)]
    here.granted += 1
    if wait > 0.0:
        here.waited += wait
        st.wait_histogram[ix(s * BUCKETS + bucket(wait))] += 1


def set_place(clock, here, me, priority):
    """Set where strand row `me`, who comes now, stands in the order of station row `here`."""
    clock[0].serial += 1
    me.rank = clock[0].serial
    me.mark = 0.0
    if here.order == LCFS:
        me.rank = -me.rank
    elif here.order == SHORTEST:
        me.mark = me.service
    elif here.order == PRIORITY:
        me.mark = priority


def join_line(clock, strand, here, i, priority):
    """Put strand i into a line that is not simply first come first served: a heap."""
    set_place(clock, here, strand[ix(i)], priority)
    strand[ix(i)].lined = 1
    here.head = insert(strand, here.head, i)


def take_first(strand, here):
    """Take the first strand out of such a line."""
    i = here.head
    here.head = remove(strand, i, i)
    me = strand[ix(i)]
    me.lined = 0
    if me.waiting:  # its timer is void, and it is still in the ACQUIRE_WITHIN
        me.waiting = 0
        me.pc += 1


def enqueue(st, here, i, priority, now):
    """Put strand i into the waiting line of station row `here`; False if the line is full."""
    if here.depth >= here.queue_limit:
        here.rejected += 1
        return False
    advance_areas(here, now)
    here.depth += 1
    here.deepest = max(here.deepest, here.depth)
    me = st.strand[ix(i)]
    me.since = now
    if here.heaped:
        join_line(st.clock, st.strand, here, i, priority)
        return True
    me.next = -1
    tail = here.tail
    if tail >= 0:
        st.strand[ix(tail)].next = i
    else:
        here.head = i
    here.tail = i
    return True


def dequeue(st, s, now):
    """Take the first strand out of the waiting line of station s and grant it the slot."""
    here = st.station[ix(s)]
    i = here.head
    first = st.strand[ix(i)]
    if here.heaped:
        take_first(st.strand, here)
    else:
        here.head = first.next
        if first.next < 0:
            here.tail = -1
    here.depth -= 1
    record_wait(st, s, now - first.since)
    return i


def acquire(st, s, i, priority, now):
    """Return 1 if granted at once, 0 if waiting, -1 if rejected."""
    here = st.station[ix(s)]
    if here.busy < here.slots:
        advance_busy(here, now)
        here.busy += 1
        here.granted += 1
        return 1
    if enqueue(st, here, i, priority, now):
        return 0
    return -1


def release(st, s, now):
    """Give a slot back; the first in line, which is past its ACQUIRE, becomes ready."""
    here = st.station[ix(s)]
    here.served += 1
    if here.head >= 0:
        advance_areas(here, now)
        make_ready(st, dequeue(st, s, now))
    else:
        advance_busy(here, now)
        here.busy -= 1


def finish_service(st, s, now):
    """End a service; the first in line starts at once."""
    here = st.station[ix(s)]
    here.served += 1
    if here.head >= 0:
        advance_areas(here, now)
        i = dequeue(st, s, now)
        push(st, now + st.strand[ix(i)].service, DEPARTURE, i)
    else:
        advance_busy(here, now)
        here.busy -= 1


def reserve(st, s, amount, now):
    """Take an amount; False if it does not fit."""
    here = st.station[ix(s)]
    if here.busy + amount > here.slots:
        here.rejected += 1
        return False
    advance_areas(here, now)
    here.busy += amount
    here.granted += 1
    return True


def unreserve(st, s, amount, now):
    """Give an amount back."""
    here = st.station[ix(s)]
    advance_areas(here, now)
    here.busy -= amount
    here.served += 1


# Processor sharing. `virtual` is the work each strand has got since the station was last idle; a
# strand leaves when it reaches its mark. Strands are in a heap by mark and order of arrival; `head`
# is its root.


# `slowed`: whether the strands slow each other down. Where it is a constant, the other case costs
# nothing.


def sharing_rate(st, s, slowed):
    """Return the progress of each strand, in cores."""
    here = st.station[ix(s)]
    n = here.busy + here.depth
    rate = 1.0
    if n > here.slots:
        rate = here.slots / n
    if slowed and n > 1.0:
        law = st.serving[ix(s)]
        rate /= 1.0 + law.contention * (n - 1.0) + law.coherency * n * (n - 1.0)
    return rate


def set_sharing(here, n):
    """Set how many strands share: `busy` of them could have a core each, `depth` could not."""
    here.busy = min(n, here.slots)
    here.depth = n - here.busy
    here.deepest = max(here.deepest, here.depth)


def schedule_sharing(st, s, now, slowed):
    """Schedule the departure of the strand that will leave first."""
    here = st.station[ix(s)]
    here.generation += 1
    left = st.strand[ix(here.head)].mark - here.virtual
    delay = max(left, 0.0) / sharing_rate(st, s, slowed)
    kind = SLOWED_DONE if slowed else SHARED_DONE
    push(st, now + delay, DEPARTURE, s, stamped(kind, here.generation))


def share(st, s, i, demand, now, slowed):
    """Let strand i join the sharing of station s."""
    here = st.station[ix(s)]
    me = st.strand[ix(i)]
    rate = sharing_rate(st, s, slowed)
    here.virtual += (now - here.touched) * rate
    here.touched = now
    advance_areas(here, now)
    set_sharing(here, here.busy + here.depth + 1)
    me.since = now
    me.service = demand
    me.mark = here.virtual + demand
    st.clock[0].serial += 1
    me.rank = st.clock[0].serial
    here.head = insert(st.strand, here.head, i)
    if here.head == i or sharing_rate(st, s, slowed) != rate:
        schedule_sharing(st, s, now, slowed)


def finish_share(st, s, now, slowed):
    """Let the first strand leave the sharing of station s; return it."""
    here = st.station[ix(s)]
    i = here.head
    me = st.strand[ix(i)]
    advance_areas(here, now)
    here.virtual = me.mark
    here.touched = now
    here.head = merge(st.strand, me.left, me.right)
    set_sharing(here, here.busy + here.depth - 1)
    here.served += 1
    wait = now - me.since - me.service
    record_wait(st, s, wait if wait > now * ROUNDING else 0.0)
    if here.head >= 0:
        schedule_sharing(st, s, now, slowed)
    else:
        here.virtual = 0.0
    return i


def leave_sharing(st, s, i, now, slowed):
    """Take strand i, which is withdrawn, out of the sharing of station s."""
    here = st.station[ix(s)]
    rate = sharing_rate(st, s, slowed)
    here.virtual += (now - here.touched) * rate
    here.touched = now
    advance_areas(here, now)
    first = here.head
    here.head = remove(st.strand, first, i)
    set_sharing(here, here.busy + here.depth - 1)
    here.abandoned += 1
    if here.head < 0:
        here.virtual = 0.0
        here.generation += 1
    elif first == i or sharing_rate(st, s, slowed) != rate:
        schedule_sharing(st, s, now, slowed)
