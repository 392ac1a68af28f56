"""Withdrawing a strand: at a time-out that cancels, or because it lost a race.

What it waits for is undone and what it holds is given back, at once; the strands whose answer it
awaits go with it. See "Withdrawal" in `scalesim.ops`. A strand whose event is still to come keeps
its row, as `WITHDRAWN`, until then: the heap is not searched.
"""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.breakers import leave_breaker
from scalesim.engines.compiled.caches import end_fetch, leave_fetch
from scalesim.engines.compiled.cores import change_level, leave_cores
from scalesim.engines.compiled.heap import ix
from scalesim.engines.compiled.patience import leave_line
from scalesim.engines.compiled.preemption import leave_preemptive
from scalesim.engines.compiled.queues import leave_limiter
from scalesim.engines.compiled.starts import stop
from scalesim.engines.compiled.stations import finish_service, leave_sharing, release, unreserve
from scalesim.engines.compiled.strands import (
    WITHDRAWN,
    free_strand,
    leave_parent,
    leave_ready,
    make_ready,
)

__all__ = ["end_branch", "enough", "settle_join", "time_out", "withdraw"]


def withdraw(st, i, now):
    """Withdraw strand i and all whose end it awaits, the youngest first."""
    strand = st.strand
    at = i
    while True:
        while strand[ix(at)].child >= 0:
            at = strand[ix(at)].child
        parent = strand[ix(at)].parent
        leave_parent(st, at)
        strand[ix(at)].status = ops.TIMED_OUT
        to_come = stop_waiting(st, at, now)
        unwind(st, at, now)
        me = strand[ix(at)]
        me.drawn = 0
        me.waiting = 0
        me.joining = 0
        me.branches = 0
        me.completed = 0
        me.joined = ops.COMPLETED
        if to_come:
            me.pc = WITHDRAWN
        else:
            free_strand(st, at)
        if at == i:
            return
        at = parent


def stop_waiting(st, i, now):
    """Undo what strand i waits for; return whether an event of its own is still to come."""
    if leave_ready(st, i):
        return False
    me = st.strand[ix(i)]
    row = st.code[ix(me.pc)]
    op = row.op
    s = row.a + me.instance
    if me.joining or (me.waiting and op == ops.ATTEMPT):
        return False  # its timer finds that it does not wait any more
    if me.inside:
        me.inside = 0
        leave_station(st, s, i, op, now)
        return False
    if op == ops.ADMIT:
        leave_limiter(st, row, now)
        return True
    if op == ops.FETCH:
        leave_fetch(st, s, me.item, i)
        return False
    if me.waiting and op == ops.ACQUIRE_WITHIN:
        leave_line(st, s, i, now)
        return False
    if me.drawn == 0:
        if op == ops.DELAY or op == ops.RETRY:
            return True
        if op == ops.SHARE:
            leave_sharing(st, s, i, now, False)
            return False
        if op == ops.SERVE or op == ops.TRANSFER:
            if leave_line(st, s, i, now):
                return False
            finish_service(st, s, now)
            st.station[ix(s)].served -= 1
            return True
    # In a line for a slot, past its ACQUIRE.
    me.drawn = 0
    row = st.code[ix(me.pc - 1)]
    leave_line(st, row.a + me.instance, i, now)
    me.pc = row.on_fail
    return False


def leave_station(st, s, i, op, now):
    """Take strand i away from station s, where it does `op`."""
    if op == ops.START:
        leave_line(st, s, i, now)
    elif op == ops.CONTEND:
        leave_sharing(st, s, i, now, True)
    elif op == ops.WORK:
        leave_cores(st, s, i, now)
    else:
        leave_preemptive(st, s, i, now)


def unwind(st, i, now):
    """Give back what strand i holds: every operation that does not do so fails."""
    me = st.strand[ix(i)]
    pc = me.pc
    instance = me.instance
    while True:
        row = st.code[ix(pc)]
        op = row.op
        if op == ops.RETURN or op == ops.SETTLE or op == ops.TAIL or op == ops.ROUTE:
            if op == ops.SETTLE:
                st.target[ix(instance)].in_flight -= 1
            if me.level == 0:
                return
            me.level -= 1
            frame = st.frame[ix(i * st.clock[0].depth + me.level)]
            instance = frame.instance
            pc = st.code[ix(frame.pc)].on_fail
        elif op == ops.RELEASE:
            release(st, row.a + instance, now)
            st.station[ix(row.a + instance)].served -= 1
            pc += 1
        elif op == ops.UNRESERVE:
            unreserve(st, row.a + instance, row.b, now)
            pc += 1
        elif op == ops.FETCHED:
            end_fetch(st, row.a + instance, me.item, me.status)
            pc += 1
        elif op == ops.LEAVE:
            change_level(st, row.a + instance, -1, now)
            pc += 1
        elif op == ops.STOP:
            stop(st, row, instance)
            pc += 1
        elif op == ops.REPORT:
            leave_breaker(st, i, row, instance)
            pc = row.on_fail
        elif op == ops.JUMP:
            pc = row.a
        else:
            pc = row.on_fail if row.on_fail >= 0 else pc + 1


def time_out(st, i, row, now):
    """Let strand i go on that has waited for the attempt `row` as long as it would."""
    me = st.strand[ix(i)]
    me.status = ops.TIMED_OUT
    me.pc = row.on_fail
    if row.c:
        withdraw(st, me.child, now)
    else:
        leave_parent(st, me.child)


def enough(me, wanted):
    """Whether `wanted` branches (0: all) have completed, or no longer can."""
    if wanted == 0:
        return me.branches == 0
    return me.completed >= wanted or me.completed + me.branches < wanted


def end_branch(st, parent, status):
    """Count a branch that has ended; perhaps it was the last that the join waited for."""
    me = st.strand[ix(parent)]
    me.branches -= 1
    if status == ops.COMPLETED:
        me.completed += 1
    elif me.joined == ops.COMPLETED:
        me.joined = status
    if me.joining:
        row = st.code[ix(me.pc)]
        if enough(me, row.a if row.op == ops.JOIN else 1):
            me.joining = 0
            me.waiting = 0
            make_ready(st, parent)


def settle_join(st, i, row, pc, now):
    """Let go of the branches that have not ended; return where to go on."""
    me = st.strand[ix(i)]
    while me.child >= 0:
        if row.b:
            withdraw(st, me.child, now)
        else:
            leave_parent(st, me.child)
    then = pc + 1
    if (row.a == 0 and me.joined != ops.COMPLETED) or me.completed < row.a:
        me.status = me.joined
        then = row.on_fail
    me.branches = 0
    me.completed = 0
    me.joined = ops.COMPLETED
    return then
