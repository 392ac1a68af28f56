"""Versions: which write of a key each node of a database has got, and which reads are stale."""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.caches import count_by_key
from scalesim.engines.compiled.heap import ix

__all__ = ["version_operation"]


def version_operation(st, i, row, instance):
    """Commit a version of the strand's key, apply the strand's version, or check a read."""
    me = st.strand[ix(i)]
    here = st.versions[ix(row.a)]
    place = here.first + instance * here.keys + me.item
    version = st.version
    if row.op == ops.COMMIT:
        version[ix(place)] += 1
        me.version = version[ix(place)]
    elif row.op == ops.APPLY:
        version[ix(place)] = max(version[ix(place)], me.version)
    else:
        primary = place - instance % row.b * here.keys
        stale = version[ix(place)] < version[ix(primary)]
        st.counter[ix(here.reads)] += 1
        if stale:
            st.counter[ix(here.stale)] += 1
        if me.item < st.clock[0].key_limit:
            count_by_key(st, len(st.cache) + row.a, me.item, stale)
