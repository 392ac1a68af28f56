"""Caches: a key's place is looked up in a table; the list of entries belongs to the policy."""

from __future__ import annotations

from scalesim.engines.compiled.ladders import choose_victim, touch
from scalesim.policies.eviction import push_head, unlink

__all__ = ["drop_key", "fill", "lookup"]


def lookup(st, c, item, now):
    """Whether the key is present and fresh; counts and touches."""
    e = st.place[st.cache[c].first_key + item]
    if e >= 0 and now < st.entry[e].expires:
        st.cache[c].hits += 1
        touch(st.cache[c].eviction, st.cache, st.entry, c, e)
        return True
    st.cache[c].misses += 1
    return False


def fill(st, c, item, key, now):
    """Store the key. A fresh one is touched, an expired one counts as new."""
    cache = st.cache
    entry = st.entry
    e = st.place[cache[c].first_key + item]
    if e >= 0:
        if now < entry[e].expires:
            touch(cache[c].eviction, cache, entry, c, e)
        else:
            unlink(cache, entry, c, e)
            push_head(cache, entry, c, e)
    else:
        if cache[c].free >= 0:
            e = cache[c].free
            cache[c].free = entry[e].older
        elif cache[c].used < cache[c].capacity:
            e = cache[c].first + cache[c].used
            cache[c].used += 1
        else:
            e = choose_victim(cache[c].eviction, cache, entry, c, key)
            unlink(cache, entry, c, e)
            st.place[cache[c].first_key + entry[e].key] = -1
            cache[c].evictions += 1
        entry[e].key = item
        st.place[cache[c].first_key + item] = e
        push_head(cache, entry, c, e)
    entry[e].expires = now + cache[c].ttl


def drop_key(st, c, item):
    """Remove the key if present."""
    e = st.place[st.cache[c].first_key + item]
    if e >= 0:
        unlink(st.cache, st.entry, c, e)
        st.place[st.cache[c].first_key + item] = -1
        st.entry[e].older = st.cache[c].free
        st.cache[c].free = e
