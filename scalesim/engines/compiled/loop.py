"""The interpreter and the event loop: what the reference engine does, on arrays.

Plain functions; `scalesim.engines.compiled.kernel` compiles them. An operation that needs a new
strand when none is free sets nothing and returns `FULL`: the caller grows the state and goes on.
"""

from __future__ import annotations

from scalesim import ops
from scalesim.engines.compiled.caches import warm_caches
from scalesim.engines.compiled.closing import close_bucket
from scalesim.engines.compiled.heap import (
    IF_WAITING,
    RESUME,
    SHARED_DONE,
    as_bits,
    as_time,
    ix,
    kind_of,
    precedes,
    push,
    serial_of,
    settle_hole,
)
from scalesim.engines.compiled.ladders import choose_shard
from scalesim.engines.compiled.operations import drawn_time, end_strand, other_operation, route
from scalesim.engines.compiled.requests import start_request, start_source, start_user
from scalesim.engines.compiled.seldom import seldom_event, wait_over
from scalesim.engines.compiled.stations import (
    acquire,
    finish_service,
    finish_share,
    release,
    share,
)
from scalesim.engines.compiled.strands import (
    NO_STRAND,
    WITHDRAWN,
    free_strand,
    put_back,
    take_ready,
)
from scalesim.engines.compiled.withdrawal import time_out
from scalesim.kernels.draws import child_key

__all__ = ["BOUNDARY", "FULL", "SLICE", "make_advance"]

SLICE, BOUNDARY, FULL = 0, 1, 2
"""Why `advance` returned: slice over, a bucket ended, out of strands."""


def run_strand(st, i, now):
    """Run strand i until it blocks or ends; FULL if it needs a strand and none is free.

    The registers (program counter, instance, key) are local while it runs and stored when it
    blocks: going through memory for each operation would double its cost.
    """
    me = st.strand[ix(i)]
    pc = me.pc
    instance = me.instance
    key = me.key
    why = SLICE
    while True:
        row = st.code[ix(pc)]
        op = row.op
        if op == ops.RELEASE:
            release(st, row.a + instance, now)
            pc += 1
        elif op == ops.CALL or op == ops.ROUTE:
            if op == ops.ROUTE:
                instance = route(st, i, row, instance, key)
            frame = st.frame[ix(i * st.clock[0].depth + me.level)]
            frame.pc = pc
            frame.instance = instance
            frame.attempt = me.attempt
            frame.key = key
            me.level += 1
            me.attempt = 0
            key = child_key(key, row.tag, 0)
            if op == ops.CALL:
                pc = row.a
                if row.b >= 0:
                    instance = row.b
            else:
                target = st.target[ix(instance)]
                pc = st.dispatch[ix(target.first_program + row.c)]
                instance = target.instance
        elif op == ops.RETURN or op == ops.SETTLE:
            if op == ops.SETTLE:
                st.target[ix(instance)].in_flight -= 1
            level = me.level - 1
            if level < 0:
                end_strand(st, i, now)
                return SLICE
            me.level = level
            frame = st.frame[ix(i * st.clock[0].depth + level)]
            instance = frame.instance
            me.attempt = frame.attempt
            key = frame.key
            pc = frame.pc
            pc = pc + 1 if me.status == ops.COMPLETED else st.code[ix(pc)].on_fail
        elif op == ops.TAIL:
            me.attempt = 0
            key = child_key(key, row.tag, 0)
            pc = row.a
            if row.b >= 0:
                instance = row.b
        elif op == ops.PICK:
            instance = pick(row, me, st.clock, st.values)
            pc += 1
        elif op > ops.TRANSFER:
            then = other_operation(st, i, row, pc, instance, key, now)
            if then < 0:
                why = FULL if then == NO_STRAND else SLICE
                break
            pc = then
        else:
            granted = 1
            if op == ops.ACQUIRE:
                granted = acquire(st, row.a + instance, i, row.c, now)
                if granted < 0:
                    me.status = ops.REJECTED
                    pc = row.on_fail
                    continue
                pc += 1
                row = st.code[ix(pc)]
                op = row.op
                if op < ops.SERVE or op > ops.TRANSFER:
                    if granted == 0:
                        break
                    continue
            # What takes a drawn time, in one place: the sampler is long, and one copy of it keeps
            # the kernel within the processor's instruction cache. A strand that waits for a slot
            # draws the time of what comes after at once: draws are keyed, so when does not matter,
            # and it is at hand when the slot is granted.
            time = me.service if me.drawn else drawn_time(st, i, row, key)
            if granted == 0:
                me.service = time
                me.drawn = 1
                break
            me.drawn = 0
            s = row.a + instance
            if op == ops.SHARE:
                share(st, s, i, time, now, False)
                break
            started = 1
            if op == ops.DELAY:
                if time <= 0.0:
                    pc += 1
                    continue
            else:
                me.service = time
                started = acquire(st, s, i, row.c, now)
            if started > 0:
                push(st, now + time, ops.DEPARTURE, i)
            if started >= 0:
                break
            me.status = ops.REJECTED
            pc = row.on_fail
    me.pc = pc
    me.instance = instance
    me.key = key
    return why


def pick(row, me, clock, values):
    """Return the first instance of the shard that the strand row `me` goes to.

    Called, not inlined: in the loop, the addresses it needs would be kept at hand for each strand.
    """
    value = me.client if row.c else me.item
    count = clock[0].client_count if row.c else clock[0].key_count
    return choose_shard(int(row.x), value, row.a, count, values) * row.b


def resume(st, i, now):
    """Finish the operation that strand i was blocked in; return it, or -1 if it is over."""
    me = st.strand[ix(i)]
    if me.pc < 0:
        if me.pc == WITHDRAWN:
            free_strand(st, i)
            return -1
        start_user(st, i, now)
        return i
    row = st.code[ix(me.pc)]
    if row.op == ops.SERVE or row.op == ops.TRANSFER:
        finish_service(st, row.a + me.instance, now)
        me.pc += 1
    elif row.op == ops.RETRY:
        me.pc = row.b
    else:
        me.pc += 1
    return i


def happen(st, index, stamp, now):
    """Let an event happen; return the strand to run, or -1."""
    if stamp == RESUME:
        return resume(st, index, now)
    kind = kind_of(stamp)
    serial = serial_of(stamp)
    if kind == SHARED_DONE:
        if st.station[ix(index)].generation != serial:
            return -1
        i = finish_share(st, index, now, False)
        st.strand[ix(i)].pc += 1
        return i
    if kind > IF_WAITING:
        return seldom_event(st, kind, index, serial, now)
    i = index
    me = st.strand[ix(i)]
    if me.waiting != serial:
        return -1
    me.waiting = 0
    row = st.code[ix(me.pc)]
    if row.op >= ops.CONTEND:
        wait_over(st, i, row, now)
    else:
        time_out(st, i, row, now)
    return i


def make_advance(digest):
    """Return ``advance(state, limit)``, which takes up to `limit` steps: events and ready strands.

    It returns why it stopped. At the end of the bucket of time, and if `limit` is 0, it closes the
    bucket. Between calls the state is consistent: it can be grown, kept, or thrown away. Asked for
    a negative number of steps it returns `digest`, which so is part of it: a kernel in the cache is
    found only by the digest of all its sources. (A function of its own around this one would have
    the whole kernel compiled once more.)
    """

    def advance(st, limit):
        if limit < 0:
            return digest
        clock = st.clock[0]
        if clock.started == 0:
            clock.started = 1
            warm_caches(st)
            start_source(st)
        end = as_bits(clock.end)
        # One step pushes a few events; a withdrawal at most two for each strand.
        room = len(st.event) - 2 * len(st.strand) - 8
        now = clock.now
        why = SLICE
        for _ in range(limit):
            if clock.size >= room or clock.free < 0:
                why = FULL
                break
            # Ready strands first, in order; then the next event.
            if clock.ready_head >= 0:
                i = take_ready(st)
            else:
                settle_hole(st)
                arrival = clock.next_at
                first = st.event[0]
                if precedes(first.at, first.order, arrival, clock.next_order):
                    if first.at >= end:
                        why = BOUNDARY
                        break
                    now = as_time(first.at)
                    clock.hole = 1
                    i = happen(st, first.index, first.stamp, now)
                    if i < 0:
                        continue
                else:
                    if arrival >= end:
                        why = BOUNDARY
                        break
                    now = as_time(arrival)
                    i = start_request(st, now)
            why = run_strand(st, i, now)
            if why == FULL:
                put_back(st, i)
                break
        clock.now = now
        if why == BOUNDARY or limit == 0:
            close_bucket(st, clock.end)
        return why

    return advance
