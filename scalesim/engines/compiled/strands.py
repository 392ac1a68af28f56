"""Strands: taken from a free list, kept in the ready list, given back."""

from __future__ import annotations

from scalesim.kernels.sampling import sample
from scalesim.ops import COMPLETED

__all__ = [
    "draw",
    "free_strand",
    "make_ready",
    "new_child",
    "new_strand",
    "put_back",
    "take_ready",
]


def draw(st, which, key, site):
    """Return a draw from sampler `which`."""
    return sample(st.sampler[which], st.values, st.edge, st.height, st.clock[0].seed, key, site)


def make_ready(st, i):
    """Append strand i to the ready list."""
    st.strand[i].next = -1
    tail = st.clock[0].ready_tail
    if tail >= 0:
        st.strand[tail].next = i
    else:
        st.clock[0].ready_head = i
    st.clock[0].ready_tail = i


def take_ready(st):
    """Take the first strand off the ready list."""
    i = st.clock[0].ready_head
    st.clock[0].ready_head = st.strand[i].next
    if st.strand[i].next < 0:
        st.clock[0].ready_tail = -1
    return i


def put_back(st, i):
    """Put strand i at the front of the ready list."""
    st.strand[i].next = st.clock[0].ready_head
    st.clock[0].ready_head = i
    if st.strand[i].next < 0:
        st.clock[0].ready_tail = i


def new_strand(st, now):
    """Take a strand off the free list, which must not be empty."""
    strand = st.strand
    i = st.clock[0].free
    st.clock[0].free = strand[i].next
    st.clock[0].strands += 1
    strand[i].level = 0
    strand[i].attempt = 0
    strand[i].status = COMPLETED
    strand[i].started = now
    strand[i].parent = -1
    strand[i].reply = 0
    strand[i].waiting = 0
    strand[i].branches = 0
    strand[i].joining = 0
    strand[i].joined = COMPLETED
    strand[i].request = -1
    return i


def new_child(st, parent, program, instance, key, now):
    """Make a strand on behalf of `parent`'s request."""
    strand = st.strand
    i = new_strand(st, now)
    strand[i].pc = program
    strand[i].instance = instance
    strand[i].key = key
    strand[i].item = strand[parent].item
    strand[i].client = strand[parent].client
    strand[i].endpoint = strand[parent].endpoint
    return i


def free_strand(st, i):
    """Give strand i back."""
    st.strand[i].waiting = 0
    st.strand[i].next = st.clock[0].free
    st.clock[0].free = i
    st.clock[0].strands -= 1
