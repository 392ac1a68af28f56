"""Stations: slots with a waiting line, shared processors, amounts; and their exact areas.

The areas (slot-seconds busy, request-seconds waiting) advance at every change of either, so that
utilization and queue depth are averages over time, not of samples.
"""

from __future__ import annotations

from scalesim.engines.compiled.heap import push
from scalesim.engines.compiled.strands import make_ready
from scalesim.kernels.draws import bucket
from scalesim.ops import DEPARTURE, ROUNDING

__all__ = [
    "acquire",
    "advance_areas",
    "finish_service",
    "finish_share",
    "release",
    "reserve",
    "share",
    "unreserve",
]

RESUME, SHARED_DONE, TIMEOUT = 0, 1, 2
"""Kinds of event; ``what`` is index * 4 + kind."""


def advance_areas(station, s, now):
    """Bring the areas of station s up to `now`."""
    elapsed = now - station[s].since
    station[s].busy_area += station[s].busy * elapsed
    station[s].depth_area += station[s].depth * elapsed
    station[s].since = now


def record_wait(st, s, wait):
    """Count a grant after `wait` seconds."""
    st.station[s].granted += 1
    if wait > 0.0:
        st.station[s].waited += wait
        st.wait_histogram[s, bucket(wait)] += 1


def enqueue(st, s, i, now):
    """Put strand i last in the waiting line of station s; False if the line is full."""
    station = st.station
    if station[s].queue_limit >= 0 and station[s].depth >= station[s].queue_limit:
        station[s].rejected += 1
        return False
    advance_areas(station, s, now)
    station[s].depth += 1
    if station[s].depth > station[s].deepest:
        station[s].deepest = station[s].depth
    st.strand[i].since = now
    st.strand[i].next = -1
    tail = station[s].tail
    if tail >= 0:
        st.strand[tail].next = i
    else:
        station[s].head = i
    station[s].tail = i
    return True


def dequeue(st, s, now):
    """Take the first strand out of the waiting line of station s and grant it the slot."""
    station = st.station
    i = station[s].head
    station[s].head = st.strand[i].next
    if station[s].head < 0:
        station[s].tail = -1
    station[s].depth -= 1
    record_wait(st, s, now - st.strand[i].since)
    return i


def acquire(st, s, i, now):
    """Return 1 if granted at once, 0 if waiting, -1 if rejected."""
    station = st.station
    station[s].arrived += 1
    if station[s].busy < station[s].slots:
        advance_areas(station, s, now)
        station[s].busy += 1
        station[s].granted += 1
        return 1
    if enqueue(st, s, i, now):
        return 0
    return -1


def release(st, s, now):
    """Give a slot back; the first in line becomes ready, past its ACQUIRE."""
    station = st.station
    advance_areas(station, s, now)
    station[s].served += 1
    if station[s].head >= 0:
        i = dequeue(st, s, now)
        st.strand[i].pc += 1
        make_ready(st, i)
    else:
        station[s].busy -= 1


def finish_service(st, s, now):
    """End a service; the first in line starts at once."""
    station = st.station
    advance_areas(station, s, now)
    station[s].served += 1
    if station[s].head >= 0:
        i = dequeue(st, s, now)
        push(st, now + st.strand[i].service, DEPARTURE, i * 4 + RESUME, 0)
    else:
        station[s].busy -= 1


def reserve(st, s, amount, now):
    """Take an amount; False if it does not fit."""
    station = st.station
    station[s].arrived += 1
    if station[s].busy + amount > station[s].slots:
        station[s].rejected += 1
        return False
    advance_areas(station, s, now)
    station[s].busy += amount
    station[s].granted += 1
    return True


def unreserve(st, s, amount, now):
    """Give an amount back."""
    advance_areas(st.station, s, now)
    st.station[s].busy -= amount
    st.station[s].served += 1


# Processor sharing. `virtual` is the work each strand has got since the station was last idle; a
# strand leaves when it reaches its mark. Strands are in a skew heap (Sleator & Tarjan 1986) by mark
# and order of arrival, linked through `left` and `right`; `head` is its root.


def sharing_rate(station, s):
    """Return the progress of each strand, in cores."""
    n = station[s].busy + station[s].depth
    if n <= station[s].slots:
        return 1.0
    return station[s].slots / n


def advance_sharing(station, s, now):
    """Bring virtual time and areas up to `now`."""
    station[s].virtual += (now - station[s].touched) * sharing_rate(station, s)
    station[s].touched = now
    advance_areas(station, s, now)


def set_sharing(station, s, n):
    """Set how many strands share: `busy` of them could have a core each, `depth` could not."""
    slots = station[s].slots
    station[s].busy = min(n, slots)
    station[s].depth = n - station[s].busy
    if station[s].depth > station[s].deepest:
        station[s].deepest = station[s].depth


def before(strand, i, j):
    """Whether strand i leaves before strand j."""
    return strand[i].mark < strand[j].mark or (
        strand[i].mark == strand[j].mark and strand[i].waiting < strand[j].waiting
    )


def merge(strand, a, b):
    """Merge two skew heaps; return the root."""
    if a < 0:
        return b
    if b < 0:
        return a
    if before(strand, b, a):
        a, b = b, a
    root = a
    while True:
        rest = strand[a].right
        strand[a].right = strand[a].left
        if rest < 0:
            strand[a].left = b
            return root
        if before(strand, b, rest):
            rest, b = b, rest
        strand[a].left = rest
        a = rest


def schedule_sharing(st, s, now):
    """Schedule the departure of the strand that will leave first."""
    station = st.station
    station[s].generation += 1
    left = st.strand[station[s].head].mark - station[s].virtual
    delay = max(left, 0.0) / sharing_rate(station, s)
    push(st, now + delay, DEPARTURE, s * 4 + SHARED_DONE, station[s].generation)


def share(st, s, i, demand, now):
    """Let strand i join the sharing of station s."""
    station = st.station
    strand = st.strand
    advance_sharing(station, s, now)
    station[s].arrived += 1
    rate = sharing_rate(station, s)
    set_sharing(station, s, station[s].busy + station[s].depth + 1)
    strand[i].since = now
    strand[i].service = demand
    strand[i].mark = station[s].virtual + demand
    st.clock[0].serial += 1
    strand[i].waiting = st.clock[0].serial
    strand[i].left = -1
    strand[i].right = -1
    station[s].head = merge(strand, station[s].head, i)
    if station[s].head == i or sharing_rate(station, s) != rate:
        schedule_sharing(st, s, now)


def finish_share(st, s, now):
    """Let the first strand leave the sharing of station s; return it."""
    station = st.station
    strand = st.strand
    i = station[s].head
    advance_areas(station, s, now)
    station[s].virtual = strand[i].mark
    station[s].touched = now
    station[s].head = merge(strand, strand[i].left, strand[i].right)
    strand[i].waiting = 0
    set_sharing(station, s, station[s].busy + station[s].depth - 1)
    station[s].served += 1
    wait = now - strand[i].since - strand[i].service
    record_wait(st, s, wait if wait > now * ROUNDING else 0.0)
    if station[s].head >= 0:
        schedule_sharing(st, s, now)
    else:
        station[s].virtual = 0.0
    return i
