"""Versions: which write of a key each node of a database has got, and which reads are stale."""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.caches import count_by_key
from scalesim.engines.compiled.heap import ix

__all__ = ["version_operation"]


def version_operation(st, i, row, instance):
    """Commit a version of the strand's key, apply the strand's version, or check a read."""
    me = st.strand[ix(i)]
    here = st.versions[row.a]
    place = here.first + instance * here.keys + me.item
    if row.op == ops.COMMIT:
        st.version[place] += 1
        me.version = st.version[place]
    elif row.op == ops.APPLY:
        st.version[place] = max(st.version[place], me.version)
    else:
        primary = place - instance % row.b * here.keys
        stale = st.version[place] < st.version[primary]
        st.counter[here.reads] += 1
        if stale:
            st.counter[here.stale] += 1
        if me.item < st.clock[0].key_limit:
            count_by_key(st, len(st.cache) + row.a, me.item, stale)
