"""Cores one by one, as they differ in speed or fail, and levels whose distribution is kept.

Where work at a core stands in its strand: ``mark`` is what is left of the demand, ``service`` how
long it was served, ``since`` when it came, ``right`` how often it was begun.
"""

from __future__ import annotations

import math

from scalesim.engines.compiled.heap import CORE_DONE, ix, push, stamped
from scalesim.engines.compiled.patience import leave_line
from scalesim.engines.compiled.stations import advance_areas, record_wait
from scalesim.engines.compiled.strands import BLOCKED, draw
from scalesim.kernels.draws import child_key, u01
from scalesim.ops import BREAK, DEPARTURE, REPAIR, ROUNDING, TIMER

__all__ = ["change_level", "core_event", "leave_cores", "unit_operation", "work"]


def change_level(st, row, by, now):
    """Go one up (`by` = 1) or down (-1) at level `row`."""
    level = st.level[ix(row)]
    last = level.count - 1
    st.level_time[ix(level.first + min(level.value, last))] += now - level.since
    level.since = now
    level.value += by
    if by > 0:
        st.level_entered[ix(level.first + min(level.value, last))] += 1


def work(st, s, i, key, site, demand, now):
    """Let strand i have `demand` done by a core of station s, now or in turn."""
    me = st.strand[ix(i)]
    me.since = now
    me.mark = demand
    me.service = 0.0
    me.right = 0
    give(st, s, i, key, site, now, False)


def give(st, s, i, key, site, now, first):
    """Let an idle core do the work of strand i, or let it wait, `first` in line or last."""
    c = idle_core(st, s, i, key, site)
    if c >= 0:
        begin(st, s, c, i, now)
        return
    here = st.station[ix(s)]
    me = st.strand[ix(i)]
    advance_areas(here, now)
    here.depth += 1
    here.deepest = max(here.deepest, here.depth)
    me.next = -1
    if here.head < 0:
        here.head = i
        here.tail = i
    elif first:
        me.next = here.head
        here.head = i
    else:
        st.strand[ix(here.tail)].next = i
        here.tail = i


def idle_core(st, s, i, key, site):
    """Return the idle core of station s that strand i gets, or -1."""
    row = st.serving[ix(s)]
    best = -1
    idle = 0
    for c in range(row.first_core, row.first_core + row.slots):
        core = st.core[ix(c)]
        if core.up and core.strand < 0:
            idle += 1
            if best < 0 or core.speed > st.core[ix(best)].speed:
                best = c
    if row.random_core and idle > 1:
        u = u01(child_key(key, site, 0), row.site, st.strand[ix(i)].right)
        skip = int(u * idle)
        for c in range(row.first_core, row.first_core + row.slots):
            core = st.core[ix(c)]
            if core.up and core.strand < 0:
                if skip == 0:
                    return c
                skip -= 1
    return best


def begin(st, s, c, i, now):
    """Let core c begin, or go on with, the work of strand i."""
    here = st.station[ix(s)]
    advance_areas(here, now)
    here.busy += 1
    core = st.core[ix(c)]
    core.strand = i
    st.strand[ix(i)].right += 1
    change_level(st, core.level, 1, now)
    arm(st, c, now)


def arm(st, c, now):
    """Schedule what comes first at core c: the end of its work or its failure by wear."""
    core = st.core[ix(c)]
    core.started = now
    core.generation += 1
    time = st.strand[ix(core.strand)].mark / core.speed
    core.wears = core.wear < time
    stamp = stamped(CORE_DONE, core.generation)
    if core.wears:
        push(st, now + core.wear, TIMER, c, stamp)
    else:
        push(st, now + time, DEPARTURE, c, stamp)


def settle(st, c, now):
    """Bring the work of core c up to now."""
    core = st.core[ix(c)]
    me = st.strand[ix(core.strand)]
    time = now - core.started
    me.service += time
    me.mark = max(me.mark - time * core.speed, 0.0)
    core.wear -= time
    core.started = now


def stop(st, c, now):
    """Let core c leave its work; return the work's strand."""
    core = st.core[ix(c)]
    here = st.station[ix(core.station)]
    advance_areas(here, now)
    here.busy -= 1
    i = core.strand
    core.strand = -1
    core.generation += 1
    change_level(st, core.level, -1, now)
    return i


def begin_next(st, c, now):
    """Let core c begin with the first in line."""
    s = st.core[ix(c)].station
    here = st.station[ix(s)]
    i = here.head
    if i >= 0:
        advance_areas(here, now)
        here.depth -= 1
        here.head = st.strand[ix(i)].next
        begin(st, s, c, i, now)


def leave_cores(st, s, i, now):
    """Take the work of strand i away from station s: from the line or from its core."""
    here = st.station[ix(s)]
    if leave_line(st, s, i, now):
        return
    row = st.serving[ix(s)]
    for c in range(row.first_core, row.first_core + row.slots):
        if st.core[ix(c)].strand == i:
            here.abandoned += 1
            settle(st, c, now)
            stop(st, c, now)
            begin_next(st, c, now)
            return


def core_event(st, c, serial, now):
    """Let core c end its work, or fail by wear; return the strand to run, or -1."""
    core = st.core[ix(c)]
    if core.generation != serial:
        return -1
    if core.wears:
        i = core.keeper
    else:
        settle(st, c, now)
        i = stop(st, c, now)
        me = st.strand[ix(i)]
        st.station[ix(core.station)].served += 1
        wait = now - me.since - me.service
        record_wait(st, core.station, wait if wait > now * ROUNDING else 0.0)
        begin_next(st, c, now)
    return i


def wear_out(st, c, i, time, now):
    """Let strand i wait until core c has served `time` seconds from now on."""
    core = st.core[ix(c)]
    core.keeper = i
    if core.strand >= 0:
        settle(st, c, now)
    core.wear = time
    if core.strand >= 0:
        arm(st, c, now)


def fail(st, first, count, now):
    """Take cores down; what they leave goes on elsewhere or waits first in line."""
    for c in range(first, first + count):
        st.core[ix(c)].up = 0
    for c in range(first + count - 1, first - 1, -1):
        core = st.core[ix(c)]
        if core.strand >= 0:
            settle(st, c, now)
            i = stop(st, c, now)
            me = st.strand[ix(i)]
            give(st, core.station, i, me.key, st.code[ix(me.pc)].site, now, True)
        core.wear = math.inf


def restore(st, first, count, now):
    """Take cores up again."""
    for c in range(first, first + count):
        st.core[ix(c)].up = 1
        begin_next(st, c, now)


def unit_operation(st, i, row, pc, s, key, now):
    """Run WEAR, BREAK or REPAIR for strand i; return the next program counter or `BLOCKED`."""
    me = st.strand[ix(i)]
    c = st.serving[ix(s)].first_core + me.item * row.c
    if row.op == BREAK:
        fail(st, c, row.c, now)
        return pc + 1
    if row.op == REPAIR:
        restore(st, c, row.c, now)
        me.origin += 1
        return pc + 1
    time = draw(st, row.b, key, row.site, me.origin)
    if row.x > 0.0:
        wear_out(st, c, i, time, now)
    else:
        push(st, now + time, TIMER, i)
    return BLOCKED
