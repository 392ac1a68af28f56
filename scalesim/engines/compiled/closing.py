"""The end of a bucket of time: what was counted in it is kept, and counting starts anew.

In the kernel, because a short run would spend more time in doing it from outside than in running.
"""

from __future__ import annotations

from scalesim.engines.compiled.cores import change_level
from scalesim.engines.compiled.heap import ix
from scalesim.engines.compiled.stations import advance_areas
from scalesim.kernels.draws import BUCKETS

__all__ = ["close_bucket"]


def close_bucket(st, end):
    """End the present bucket at `end`; who reads the sums and the cells sets them to 0."""
    clock = st.clock[0]
    clock.cells = 0
    for row in range(len(st.flow)):
        if st.flow[ix(row)].count > 0:
            take_cells(st, 0, st.latency_histogram, row)
    for s in range(len(st.station)):
        here = st.station[ix(s)]
        advance_areas(here, end)
        if here.waited > 0.0:
            take_cells(st, 1, st.wait_histogram, s)
        st.kept[ix(clock.bucket * len(st.station) + s)] = here
        here.busy_area = 0.0
        here.depth_area = 0.0
        here.waited = 0.0
        here.granted = 0
        here.rejected = 0
        here.abandoned = 0
        here.served = 0
        here.deepest = here.depth
    for row in range(len(st.tally)):
        if st.tally[ix(row)].count > 0:
            take_cells(st, 2, st.tally_histogram, row)
    for row in range(len(st.level)):
        change_level(st, row, 0, end)
    clock.bucket += 1


def take_cells(st, which, histogram, row):
    """Move the filled cells of a row of a histogram, whose number is `which`, to `st.cell`."""
    clock = st.clock[0]
    for place in range(row * BUCKETS, (row + 1) * BUCKETS):
        count = histogram[ix(place)]
        if count > 0:
            cell = st.cell[ix(clock.cells)]
            cell.histogram = which
            cell.place = place
            cell.count = count
            clock.cells += 1
            histogram[ix(place)] = 0
