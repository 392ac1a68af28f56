"""Cold starts: an instance that is idle is off; ``generation`` of its station says if it runs."""

from __future__ import annotations

from scalesim.engines.compiled.heap import ix
from scalesim.engines.compiled.stations import advance_areas, dequeue, enqueue
from scalesim.engines.compiled.strands import BLOCKED, NO_STRAND, make_ready, new_child
from scalesim.kernels.draws import child_key
from scalesim.ops import START, STOP

__all__ = ["start_operation", "stop"]


def start_operation(st, i, row, pc, instance, key, now):
    """Run START, STARTED or STOP; return the next program counter, `BLOCKED` or `NO_STRAND`."""
    s = row.a + instance
    here = st.station[ix(s)]
    if row.op == STOP:
        stop(st, row, instance)
    elif row.op == START:
        if here.generation == 0:
            return await_start(st, i, row, s, instance, key, now)
    else:
        here.generation = 1
        advance_areas(here, now)
        here.busy -= 1
        while here.head >= 0:
            j = dequeue(st, s, now)
            here.served += 1
            st.strand[ix(j)].inside = 0
            st.strand[ix(j)].pc += 1
            make_ready(st, j)
    return pc + 1


def await_start(st, i, row, s, instance, key, now):
    """Let strand i wait until the instance runs, and start it if nobody else has."""
    here = st.station[ix(s)]
    if here.busy == 0:
        if st.clock[0].free < 0:
            return NO_STRAND
        advance_areas(here, now)
        here.busy = 1
        make_ready(st, new_child(st, i, row.b, instance, child_key(key, row.tag, 0), now))
    enqueue(st, here, i, 0, now)
    st.strand[ix(i)].inside = 1
    return BLOCKED


def stop(st, row, instance):
    """Switch an instance off if it is idle."""
    if st.station[ix(row.b + instance)].busy == 0:
        st.station[ix(row.a + instance)].generation = 0
