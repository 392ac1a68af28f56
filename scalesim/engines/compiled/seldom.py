"""Operations and events that few models use, out of the way of the hot code.

The entries, `seldom_operation`, `seldom_event` and `wait_over`, are called, never inlined: passing
the state costs tens of nanoseconds, and models that use none of this pay nothing.
"""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.breakers import breaker_operation
from scalesim.engines.compiled.caches import begin_fetch, end_fetch
from scalesim.engines.compiled.cores import change_level, core_event, unit_operation, work
from scalesim.engines.compiled.heap import CORE_DONE, ix
from scalesim.engines.compiled.patience import acquire_within, leave_line
from scalesim.engines.compiled.preemption import finish_preemptive, preempt
from scalesim.engines.compiled.queues import queue_operation
from scalesim.engines.compiled.starts import start_operation
from scalesim.engines.compiled.stations import finish_share, share
from scalesim.engines.compiled.strands import BLOCKED, draw
from scalesim.engines.compiled.versions import version_operation

__all__ = ["seldom_event", "seldom_operation", "wait_over"]


def seldom_operation(st, i, row, pc, instance, key, now):
    """Run an operation; return the next program counter, `BLOCKED` or `NO_STRAND`."""
    op = row.op
    if op >= ops.SHED:
        return queue_operation(st, i, row, pc, instance, key, now)
    s = row.a + instance
    if op == ops.ENTER or op == ops.LEAVE:
        change_level(st, s, 1 if op == ops.ENTER else -1, now)
        return pc + 1
    if ops.WEAR <= op <= ops.REPAIR:
        return unit_operation(st, i, row, pc, s, key, now)
    if op == ops.PERMIT or op == ops.REPORT:
        return breaker_operation(st, i, row, pc, instance, now)
    if ops.START <= op <= ops.STOP:
        return start_operation(st, i, row, pc, instance, key, now)
    if op == ops.FETCH:
        first = begin_fetch(st, s, st.strand[ix(i)].item, i)
        return pc + 1 if first else BLOCKED
    if op == ops.FETCHED:
        end_fetch(st, s, st.strand[ix(i)].item, st.strand[ix(i)].status)
        return pc + 1
    if op == ops.COMMIT or op == ops.APPLY or op == ops.CHECK:
        version_operation(st, i, row, instance)
        return pc + 1
    return timed_operation(st, i, row, pc, s, key, now)


def timed_operation(st, i, row, pc, s, key, now):
    """Run an operation that draws a time at station s; return what comes next."""
    op = row.op
    time = draw(st, row.b, key, row.site, st.strand[ix(i)].origin)
    st.strand[ix(i)].inside = int(op != ops.ACQUIRE_WITHIN)
    if op == ops.CONTEND:
        share(st, s, i, time, now, True)
    elif op == ops.WORK:
        work(st, s, i, key, row.site, time, now)
    elif op == ops.PREEMPT:
        preempt(st, s, i, time, row.c, now)
    else:
        granted = acquire_within(st, s, i, row.c, time, now)
        if granted > 0:
            return pc + 1
        if granted < 0:
            st.strand[ix(i)].status = ops.REJECTED
            return row.on_fail
    return BLOCKED


def seldom_event(st, kind, index, serial, now):
    """Let an event of a seldom kind happen; return the strand to run, or -1."""
    if kind == CORE_DONE:
        i = core_event(st, index, serial, now)
    elif st.station[ix(index)].generation == serial:
        i = finish_share(st, index, now, True)
    else:
        i = -1
    if i >= 0:
        st.strand[ix(i)].inside = 0
        st.strand[ix(i)].pc += 1
    return i


def wait_over(st, i, row, now):
    """Let strand i go on after the operation `row`: it has computed, or waited for long enough."""
    me = st.strand[ix(i)]
    s = row.a + me.instance
    if row.op == ops.PREEMPT:
        finish_preemptive(st, s, i, now)
        me.inside = 0
        me.pc += 1
    elif row.op == ops.WAIT:
        me.joining = 0
        me.pc += 1
    elif row.op == ops.GATHER:
        me.pc = row.on_fail
    else:
        leave_line(st, s, i, now)
        me.status = ops.TIMED_OUT
        me.pc = row.on_fail
