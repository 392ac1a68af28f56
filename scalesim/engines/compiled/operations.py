"""Operations that are not in the interpreter's own ladder, and how strands end.

Plain functions on the state; `scalesim.engines.compiled.kernel` compiles them.
"""

from __future__ import annotations

import math

from scalesim import ops
from scalesim.engines.compiled.caches import drop_key, fill, lookup
from scalesim.engines.compiled.heap import IF_WAITING, ix, push, stamped
from scalesim.engines.compiled.ladders import choose_target
from scalesim.engines.compiled.requests import end_request
from scalesim.engines.compiled.seldom import seldom_operation
from scalesim.engines.compiled.stations import reserve, unreserve
from scalesim.engines.compiled.strands import (
    BLOCKED,
    NO_STRAND,
    adopt,
    draw,
    free_strand,
    leave_parent,
    make_ready,
    new_child,
)
from scalesim.engines.compiled.withdrawal import end_branch, enough, settle_join
from scalesim.kernels.draws import BUCKETS, bucket, child_key, u01
from scalesim.kernels.sampling import backoff_delay, nth_of_permutation
from scalesim.policies.sharding import consumer_of

__all__ = ["drawn_time", "end_strand", "other_operation", "route"]


def drawn_time(st, i, row, key):
    """Return the time (or demand) that the operation `row` takes in strand i."""
    which = row.b
    if which < 0:
        endpoint = st.endpoint[ix(st.strand[ix(i)].endpoint)]
        which = endpoint.response if row.c else endpoint.request
    time = draw(st, which, key, row.site, st.strand[ix(i)].origin)
    return time * row.x if row.op == ops.TRANSFER else time


def route(st, i, row, instance, key):
    """Let a balancer choose; return the target's row."""
    b = row.a + (instance if row.b else 0)
    me = st.strand[ix(i)]
    policy = st.balancer[ix(b)].policy
    t = choose_target(policy, st.balancer, st.target, st.values, b, key, me.item, me.client)
    target = st.target[ix(t)]
    target.in_flight += 1
    target.routed += 1
    return t


def other_operation(st, i, row, pc, instance, key, now):
    """Run an operation that leaves instance and key alone; return what comes next.

    That is a program counter, `BLOCKED` or `NO_STRAND`.
    """
    me = st.strand[ix(i)]
    op = row.op
    then = pc + 1
    if op == ops.CHANCE:
        cache = st.cache[ix(row.a + instance)]
        me.hit = u01(key, row.site, 0) < row.x
        if me.hit:
            cache.hits += 1
        else:
            cache.misses += 1
            then = row.b
    elif op == ops.LOOKUP:
        me.hit = lookup(st, row.a + instance, me.item, now)
        if not me.hit:
            then = row.b
    elif op == ops.FILL:
        fill(st, row.a + instance, me.item, key, now)
    elif op == ops.DROP:
        drop_key(st, row.a + instance, me.item)
    elif op == ops.COUNT:
        st.counter[ix(row.a)] += 1
    elif op == ops.RECORD:
        record(st, row.a, now - (me.begun if row.b else me.started))
    elif op == ops.JUMP:
        then = row.a
    elif op == ops.HIT:
        if me.hit:
            then = row.a
    elif op == ops.BRANCH:
        if u01(key, row.site, 0) < row.x:
            then = row.a
    elif op == ops.FAIL:
        if u01(key, row.site, 0) < row.x:
            me.status = ops.FAILED
            then = row.on_fail
    elif op == ops.RESERVE:
        if not reserve(st, row.a + instance, row.b, now):
            me.status = ops.FAILED
            then = row.on_fail
    elif op == ops.UNRESERVE:
        unreserve(st, row.a + instance, row.b, now)
    elif op == ops.RETRY:
        then = retry(st, i, row, key, now)
    elif op == ops.JOIN:
        if enough(me, row.a):
            then = settle_join(st, i, row, pc, now)
        else:
            me.joining = 1
            then = BLOCKED
    elif op == ops.WAIT:
        then = wait(st, i, row, pc, key, now)
    elif op >= ops.CONTEND:
        then = seldom_operation(st, i, row, pc, instance, key, now)
    elif st.clock[0].free < 0:
        then = NO_STRAND
    else:
        spawn(st, i, row, instance, key, now)
        if op == ops.ATTEMPT:
            then = BLOCKED
    return then


def retry(st, i, row, key, now):
    """Give up, go on at once, or wait; return the next program counter or BLOCKED."""
    me = st.strand[ix(i)]
    rule = st.retry[ix(row.a)]
    attempt = me.attempt + 1
    if attempt == 1:
        st.counter[ix(rule.first_failed)] += 1
    if (
        attempt == rule.attempts
        or not (rule.outcomes >> me.status) & 1
        or u01(key, row.tag, attempt) < rule.give_up
    ):
        me.attempt = 0
        return row.on_fail
    me.attempt = attempt
    me.status = ops.COMPLETED
    delay = backoff_delay(rule, st.sampler, st.values, st.edge, st.height, key, row.site, attempt)
    record(st, rule.waits_tally, delay)
    if delay > 0.0:
        push(st, now + delay, ops.TIMER, i)
        return BLOCKED
    return row.b


def record(st, tally, time):
    """Record a duration in a tally."""
    kept = st.tally[ix(tally)]
    kept.count += 1
    kept.total += time
    kept.longest = max(kept.longest, time)
    st.tally_histogram[ix(tally * BUCKETS + bucket(time))] += 1


def spawn(st, i, row, instance, key, now):
    """Make the child of an ATTEMPT, FORK or SPAWN and let it be ready."""
    me = st.strand[ix(i)]
    if row.op == ops.ATTEMPT:
        set_timer(st, i, now + row.x)
        there = row.b if row.b >= 0 else instance
        child = new_child(st, i, row.a, there, child_key(key, row.tag, me.attempt), now)
        adopt(st, i, child, 1)
    elif row.op == ops.FORK:
        if row.b >= 0:
            instance = row.b
        if row.c > 0:
            instance += nth_of_permutation(key, row.site, int(row.x), row.c)
        child = new_child(st, i, row.a, instance, child_key(key, row.tag, 0), now)
        adopt(st, i, child, -1)
        me.branches += 1
    else:
        offset = row.b if row.op == ops.SPAWN else 0
        if row.op == ops.SEND:
            rule = st.partition[ix(row.b)]
            instance = consumer_of(rule, me.item, me.client, key, row.site)
        child = new_child(st, i, row.a, instance + offset, child_key(key, row.tag, offset), now)
    st.strand[ix(child)].version = me.version
    make_ready(st, child)


def set_timer(st, i, at):
    """Let strand i wait until `at` at most."""
    clock = st.clock[0]
    clock.serial += 1
    st.strand[ix(i)].waiting = clock.serial
    if at < math.inf:
        push(st, at, ops.TIMER, i, stamped(IF_WAITING, clock.serial))


def wait(st, i, row, pc, key, now):
    """Wait for a first branch to complete; return the next program counter or BLOCKED."""
    me = st.strand[ix(i)]
    if enough(me, 1):
        return row.a
    time = draw(st, row.b, key, row.site, st.strand[ix(i)].origin)
    if time <= 0.0:
        return pc + 1
    me.joining = 1
    set_timer(st, i, now + time)
    return BLOCKED


def end_strand(st, i, now):
    """End a strand with its outermost program."""
    if st.strand[ix(i)].request >= 0:
        end_request(st, i, now)
    else:
        answer(st, i)


def answer(st, i):
    """End strand i: tell its parent, if one waits, and free it."""
    me = st.strand[ix(i)]
    parent = me.parent
    reply = me.reply
    status = me.status
    if reply != 0:
        leave_parent(st, i)
    if reply > 0:
        other = st.strand[ix(parent)]
        other.waiting = 0
        other.status = status
        if status == ops.COMPLETED:
            other.attempt = 0
            other.pc += 1
        else:
            other.pc = st.code[ix(other.pc)].on_fail
        make_ready(st, parent)
    elif reply < 0:
        end_branch(st, parent, status)
    free_strand(st, i)
