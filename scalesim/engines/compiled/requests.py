"""Requests: how they arrive, begin and end."""

from __future__ import annotations

import math

from scalesim.engines.compiled.heap import CLASS_SHIFT, as_bits, ix, push
from scalesim.engines.compiled.strands import draw, free_strand, make_ready, new_strand
from scalesim.kernels.arrivals import (
    batch_gap,
    burst_gap,
    draw_endpoint,
    draw_popularity,
    next_gap,
)
from scalesim.kernels.draws import BUCKETS, bits, bucket, child_key, root_key, u01
from scalesim.kernels.sampling import cumulated_index, standard_exponential
from scalesim.ops import ARRIVAL, COMPLETED, OUTCOMES
from scalesim.plan.tables import BATCHES, BURSTS, CLOSED, OPEN, RENEWAL

__all__ = ["THINKING", "end_request", "start_request", "start_source", "start_user"]


OUTCOME_COUNT = len(OUTCOMES)
THINKING = -1
"""Program counter of a user between requests."""


def start_source(st):
    """Start background strands; schedule the first arrival, or every user's first thinking."""
    for number in range(len(st.background)):
        row = st.background[ix(number)]
        i = new_strand(st)
        me = st.strand[ix(i)]
        me.pc = row.program
        me.instance = row.instance
        me.attempt = 0
        me.status = COMPLETED
        me.started = 0.0
        me.item = row.item
        me.client = -1
        me.endpoint = 0
        me.origin = 0
        me.key = child_key(root_key(st.clock[0].seed, 0), row.tag, 0)
        make_ready(st, i)
    if st.source[0].kind == CLOSED:
        user = 0
        for group in range(len(st.source)):
            for _ in range(st.source[ix(group)].users):
                i = new_strand(st)
                me = st.strand[ix(i)]
                me.user = user
                me.group = group
                me.turns = 0
                me.pc = THINKING
                think(st, i, 0.0)
                user += 1
    else:
        draw_ahead(st, 0)
        schedule_arrival(st, 0.0)


def draw_ahead(st, number):
    """Make the key of request `number` and draw for when it arrives, one arrival before its turn.

    Both are then at hand when they are needed, instead of holding up the comparison of the arrival
    with the first event.
    """
    clock = st.clock[0]
    clock.next_key = root_key(clock.seed, number)
    clock.next_work = 1.0
    if st.source[0].random:
        word = bits(clock.next_key, clock.gap_site, 0)
        clock.next_work = standard_exponential(st.edge, st.height, word)


def schedule_arrival(st, now):
    """Schedule the arrival of the next request."""
    clock = st.clock[0]
    number = clock.next_request
    if clock.steady:
        at = now + clock.next_work * st.segment[0].gap
    else:
        at = other_arrival(st, now, number)
    clock.next_at = as_bits(at)
    clock.next_order = (ARRIVAL << CLASS_SHIFT) | clock.sequence
    clock.sequence += 1
    clock.key = clock.next_key
    draw_ahead(st, number + 1)


def other_arrival(st, now, number):
    """Return when the next request arrives if it isn't chance at a steady rate that decides.

    Recorded times are taken as they are: no gap added to the clock gives every one of them back.
    """
    clock = st.clock[0]
    source = st.source
    key = clock.next_key
    kind = source[0].kind
    if kind == OPEN:
        return now + next_gap(source, st.segment, now, clock.next_work, number)
    if kind == RENEWAL:
        work = draw(st, source[0].gap, key, clock.gap_site, number)
        return now + next_gap(source, st.segment, now, work, number)
    if kind == BATCHES:
        u = u01(key, clock.gap_site, 1)
        return now + batch_gap(source, st.segment, now, clock.next_work, number, u)
    if kind == BURSTS:
        tables = (source, st.phase, st.values, st.edge, st.height)
        return now + burst_gap(*tables, clock.seed, clock.gap_site, now, clock.next_work)
    if number < len(st.replay_at):
        return max(st.replay_at[ix(number)], now)
    return math.inf


def begin(st, i, key, now):
    """Begin a request in strand i."""
    clock = st.clock[0]
    me = st.strand[ix(i)]
    number = clock.next_request
    clock.next_request = number + 1
    if clock.plain:
        me.endpoint = 0
        me.item = -1
        me.client = -1
    else:
        choose(st, me, key, number)
    me.pc = st.endpoint[ix(me.endpoint)].start
    me.instance = 0
    me.attempt = 0
    me.status = COMPLETED
    me.key = key
    me.started = now
    me.request = number
    me.origin = number
    st.arrived[ix(me.endpoint)] += 1
    if number < len(st.requests):
        st.requests[ix(number), 0] = now
        st.requests[ix(number), 2] = me.endpoint


def choose(st, me, key, number):
    """Choose what a request asks for, about which key, from which client; or look it up."""
    clock = st.clock[0]
    e = -1
    item = -1
    client = -1
    if number < len(st.replay_at):
        e = st.replay_endpoint[ix(number)]
        item = st.replay_key[ix(number)]
        client = st.replay_client[ix(number)]
    if e < 0:
        e = 0
        mix = st.source[ix(me.group)].mix
        if mix >= 0:
            e = cumulated_index(st.values, mix, len(st.endpoint), u01(key, clock.endpoint_site, 0))
        elif len(st.endpoint) > 1:
            e = draw_endpoint(st.endpoint, u01(key, clock.endpoint_site, 0))
    if item < 0:
        item = draw_popularity(st.popularity, st.cumulated, st.guide, 0, key, clock.key_site)
    if client < 0:
        client = draw_popularity(st.popularity, st.cumulated, st.guide, 1, key, clock.client_site)
    me.endpoint = e
    me.item = item
    me.client = client


def start_request(st, now):
    """Let the next open or recorded request arrive; return its strand."""
    i = new_strand(st)
    begin(st, i, st.clock[0].key, now)
    schedule_arrival(st, now)
    return i


def user_key(st, i):
    """Return the key of the user's present turn."""
    clock = st.clock[0]
    me = st.strand[ix(i)]
    return child_key(root_key(clock.seed, me.user), clock.user_tag, me.turns)


def think(st, i, now):
    """Let a user think before the next request."""
    me = st.strand[ix(i)]
    turn = me.user + me.turns * st.clock[0].users
    law = st.source[ix(me.group)].think
    time = draw(st, law, user_key(st, i), st.clock[0].think_site, turn)
    push(st, now + time, ARRIVAL, i)


def start_user(st, i, now):
    """Let a user who has thought send the next request."""
    clock = st.clock[0]
    if now != clock.instant:
        clock.instant = now
        clock.at_once = 0
    clock.at_once += 1
    clock.most_at_once = max(clock.most_at_once, clock.at_once)
    key = user_key(st, i)
    st.strand[ix(i)].turns += 1
    begin(st, i, key, now)


def end_request(st, i, now):
    """End a request: record it, then free its strand or let the user think."""
    me = st.strand[ix(i)]
    outcome = me.status
    latency = now - me.started
    cell = me.endpoint * OUTCOME_COUNT + outcome
    flow = st.flow[ix(cell)]
    flow.count += 1
    flow.latency += latency
    flow.squared += latency * latency
    flow.longest = max(flow.longest, latency)
    st.latency_histogram[ix(cell * BUCKETS + bucket(latency))] += 1
    number = me.request
    me.request = -1
    if number < len(st.requests):
        st.requests[ix(number), 1] = now
        st.requests[ix(number), 3] = outcome
    if st.source[0].kind == CLOSED:
        me.pc = THINKING
        think(st, i, now)
    else:
        free_strand(st, i)
