"""Admission and batches on arrays: what `scalesim.ops` says of SHED to NAP.

Plain functions; `scalesim.engines.compiled.kernel` compiles them. A message that waits for a batch
stands in its station's line like any strand; ``waiting`` is the serial number of its linger timer
and 0 once that is over; ``rider`` links a leader to the messages that ride with it.
"""

from __future__ import annotations

import math

from scalesim import ops
from scalesim.engines.compiled.heap import IF_WAITING, ix, push, stamped
from scalesim.engines.compiled.stations import (
    advance_areas,
    dequeue,
    record_wait,
    release,
)
from scalesim.engines.compiled.strands import BLOCKED, draw, make_ready
from scalesim.kernels.draws import child_key
from scalesim.policies.limiting import earliest, let_through

__all__ = ["leave_limiter", "queue_operation"]


def queue_operation(st, i, row, pc, instance, key, now):
    """Run one of the operations; return the next program counter or `BLOCKED`."""
    op = row.op
    me = st.strand[ix(i)]
    then = pc + 1
    if op == ops.SHED:
        here = st.station[ix(row.a + instance)]
        if here.busy + here.depth >= row.b:
            here.rejected += 1
            me.status = ops.REJECTED
            then = row.on_fail
    elif op == ops.ADMIT:
        then = admit(st, i, row, pc, now)
    elif op == ops.ADMITTED:
        here = st.station[ix(st.limiter[ix(row.a)].station)]
        advance_areas(here, now)
        here.depth -= 1
        here.served += 1
        record_wait(st, st.limiter[ix(row.a)].station, now - me.since)
    elif op == ops.NAP:
        push(st, now + nap_time(st, me, row, key, now), ops.TIMER, i)
        then = BLOCKED
    else:
        then = batch_operation(st, i, row, pc, st.batch[ix(row.a)], instance, now)
    return then


def batch_operation(st, i, row, pc, rule, instance, now):
    """Run GATHER, OVERDUE, DISMISS or POLL; tell the leader if that starts a batch."""
    op = row.op
    me = st.strand[ix(i)]
    s = rule.station + instance
    then = pc + 1
    leader = -1
    if op == ops.GATHER:
        then = BLOCKED
        if gather(st, i, rule, s, now):
            leader = start_batch(st, rule, s, now)
    elif op == ops.OVERDUE:
        then = BLOCKED
        if rule.polls == 0 and st.station[ix(s)].busy < st.station[ix(s)].slots:
            leader = start_batch(st, rule, s, now)
    elif op == ops.DISMISS:
        if rule.one_by_one and me.rider >= 0:
            st.station[ix(s)].served += 1
            leader = me.rider
            then = row.b
        else:
            dismiss(st, i, s, row.b, now)
            if rule.polls == 0 and due(st, rule, s):
                leader = start_batch(st, rule, s, now)
    elif due(st, rule, s):  # POLL
        leader = start_batch(st, rule, s, now)
    else:
        then = row.b
    if leader == i:
        then = pc + 1
    elif leader >= 0:
        st.strand[ix(leader)].pc += 1
        make_ready(st, leader)
    return then


def admit(st, i, row, pc, now):
    """Let strand i through, make it wait, or reject it; return the next program counter."""
    limiter = st.limiter[ix(row.a)]
    here = st.station[ix(limiter.station)]
    me = st.strand[ix(i)]
    place = limiter.first
    if limiter.by_client:
        place += me.client * limiter.size
    at = earliest(limiter, st.meter, place, now)
    full = limiter.queue_limit >= 0 and here.depth >= limiter.queue_limit
    if at > now and (full or limiter.delays == 0):
        here.rejected += 1
        me.status = ops.REJECTED
        return row.on_fail
    let_through(limiter, st.meter, place, at)
    advance_areas(here, now)
    here.busy_area += limiter.gap
    here.depth += 1
    me.since = now
    if at > now:
        here.deepest = max(here.deepest, here.depth)
        push(st, now + (at - now), ops.DEPARTURE, i)
        return BLOCKED
    return pc + 1


def leave_limiter(st, row, now):
    """Let a strand that is withdrawn leave a limiter; its place in the schedule stays empty."""
    here = st.station[ix(st.limiter[ix(row.a)].station)]
    advance_areas(here, now)
    here.depth -= 1
    here.abandoned += 1


def nap_time(st, me, row, key, now):
    """Return how long a consumer sleeps before it looks again."""
    if row.b >= 0:
        me.attempt += 1
        fresh = child_key(key, row.site, me.attempt)
        return draw(st, row.b, fresh, row.site, me.attempt - 1)
    return (math.floor(now / row.x * (1.0 + ops.ROUNDING)) + 1) * row.x - now


def due(st, rule, s):
    """Whether enough messages wait at station s, or the first has waited for long enough."""
    here = st.station[ix(s)]
    if here.depth >= rule.least:
        return True
    return here.head >= 0 and rule.linger < math.inf and st.strand[ix(here.head)].waiting == 0


def gather(st, i, rule, s, now):
    """Put strand i last in line; whether that makes a batch for a consumer that is free."""
    here = st.station[ix(s)]
    me = st.strand[ix(i)]
    advance_areas(here, now)
    me.since = now
    me.next = -1
    if here.head >= 0:
        st.strand[ix(here.tail)].next = i
    else:
        here.head = i
    here.tail = i
    here.depth += 1
    if rule.polls == 0 and here.busy < here.slots and here.depth >= rule.least:
        return True
    here.deepest = max(here.deepest, here.depth)
    if rule.linger < math.inf:
        st.clock[0].serial += 1
        me.waiting = st.clock[0].serial
        push(st, now + rule.linger, ops.TIMER, i, stamped(IF_WAITING, me.waiting))
    return False


def start_batch(st, rule, s, now):
    """Take a batch from the line of station s; return its leader, who is not told yet."""
    here = st.station[ix(s)]
    advance_areas(here, now)
    here.busy += 1
    st.counter[ix(rule.counter)] += 1
    leader = -1
    last = -1
    count = int(min(here.depth, rule.most))
    for _ in range(count):
        i = dequeue(st, s, now)
        me = st.strand[ix(i)]
        me.waiting = 0
        me.rider = -1
        if last >= 0:
            st.strand[ix(last)].rider = i
        else:
            leader = i
        last = i
    if rule.room >= 0:
        for _ in range(count):
            release(st, rule.room, now)
    return leader


def dismiss(st, i, s, pc, now):
    """End the batch that strand i leads; its riders go on at `pc`."""
    here = st.station[ix(s)]
    advance_areas(here, now)
    here.busy -= 1
    here.served += 1
    rider = st.strand[ix(i)].rider
    while rider >= 0:
        here.served += 1
        st.strand[ix(rider)].pc = pc
        make_ready(st, rider)
        rider = st.strand[ix(rider)].rider
