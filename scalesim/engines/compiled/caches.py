"""Caches: a key's place is looked up in a table; the order of entries belongs to the policy."""

from __future__ import annotations

from scalesim.engines.compiled.heap import ix
from scalesim.engines.compiled.ladders import choose_victim, enter, leave, touch
from scalesim.engines.compiled.strands import make_ready
from scalesim.ops import COMPLETED

__all__ = [
    "NOBODY",
    "begin_fetch",
    "drop_key",
    "end_fetch",
    "fill",
    "leave_fetch",
    "lookup",
    "warm_caches",
]

NOBODY, ALONE = -1, -2
"""Who waits for the fetch of a key: nobody fetches it; nobody waits; else the last who does."""


def lookup(st, c, item, now):
    """Whether the key is present and fresh; counts and touches."""
    here = st.cache[ix(c)]
    e = st.place[ix(here.first_key + item)]
    hit = e >= 0 and now < st.entry[ix(e)].expires
    if hit:
        here.hits += 1
        touch(here.eviction, st.cache, st.entry, st.history, c, e)
        if here.renewed:
            st.entry[ix(e)].expires = now + here.ttl
    else:
        here.misses += 1
    if item < st.clock[0].key_limit:
        count_by_key(st, c, item, hit)
    return hit


def count_by_key(st, row, item, found):
    """Count a lookup by key."""
    place = 2 * (row * st.clock[0].key_limit + item)
    st.by_key[ix(place)] += 1
    if found:
        st.by_key[ix(place + 1)] += 1


def fill(st, c, item, key, now):
    """Store the key. A fresh one is touched, an expired one counts as new."""
    cache = st.cache
    entry = st.entry
    here = cache[ix(c)]
    policy = here.eviction
    e = st.place[ix(here.first_key + item)]
    if e >= 0 and now < entry[ix(e)].expires:
        touch(policy, cache, entry, st.history, c, e)
    else:
        if e < 0 and here.free >= 0:
            e = here.free
            here.free = entry[ix(e)].older
        elif e < 0 and here.used < here.capacity:
            e = here.first + here.used
            here.used += 1
        else:
            if e < 0:
                e = choose_victim(policy, cache, entry, c, key)
                st.place[ix(here.first_key + entry[ix(e)].key)] = -1
                here.evictions += 1
            leave(policy, cache, entry, st.history, c, e)
        entry[ix(e)].key = item
        st.place[ix(here.first_key + item)] = e
        enter(policy, cache, entry, st.history, c, e)
    entry[ix(e)].expires = now + here.ttl


def drop_key(st, c, item):
    """Remove the key if present."""
    here = st.cache[ix(c)]
    e = st.place[ix(here.first_key + item)]
    if e >= 0:
        leave(here.eviction, st.cache, st.entry, st.history, c, e)
        st.place[ix(here.first_key + item)] = -1
        st.entry[ix(e)].older = here.free
        here.free = e


def warm_caches(st):
    """Store the most popular keys in the caches that start warm, the most popular last."""
    for c in range(len(st.cache)):
        if st.cache[ix(c)].warm:
            for item in range(st.cache[ix(c)].capacity - 1, -1, -1):
                fill(st, c, item, st.clock[0].seed, 0.0)


def begin_fetch(st, c, item, i):
    """Whether strand i is the one to fetch the key; otherwise it waits, last in a ring."""
    place = ix(st.cache[ix(c)].first_fetch + item)
    last = st.fetch[place]
    if last == NOBODY:
        st.fetch[place] = ALONE
        return True
    st.cache[ix(c)].coalesced += 1
    me = st.strand[ix(i)]
    if last == ALONE:
        me.next = i
    else:
        me.next = st.strand[ix(last)].next
        st.strand[ix(last)].next = i
    st.fetch[place] = i
    return False


def leave_fetch(st, c, item, i):
    """Let strand i wait no longer for the fetch of the key."""
    place = ix(st.cache[ix(c)].first_fetch + item)
    before = st.fetch[place]
    while st.strand[ix(before)].next != i:
        before = st.strand[ix(before)].next
    if before == i:
        st.fetch[place] = ALONE
        return
    st.strand[ix(before)].next = st.strand[ix(i)].next
    if st.fetch[place] == i:
        st.fetch[place] = before


def end_fetch(st, c, item, status):
    """Let all who wait for the fetch of the key go on, the first first."""
    place = ix(st.cache[ix(c)].first_fetch + item)
    last = st.fetch[place]
    st.fetch[place] = NOBODY
    i = st.strand[ix(last)].next if last >= 0 else NOBODY
    while i >= 0:
        me = st.strand[ix(i)]
        then = me.next if i != last else NOBODY
        row = st.code[ix(me.pc)]
        me.status = status
        me.pc = row.b if status == COMPLETED else row.on_fail
        make_ready(st, i)
        i = then
