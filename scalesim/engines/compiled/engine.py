"""Run a plan on the compiled kernel: slices, growth, bucket ends, and the recording at the end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from scalesim.engines import base
from scalesim.engines.base import Progress
from scalesim.engines.compiled.state import State, grown, new_state
from scalesim.engines.compiled.strands import FREE, WITHDRAWN
from scalesim.engines.standstill import Standstill
from scalesim.plan import Plan
from scalesim.plan.tables import AMOUNT, CORES, PREEMPTIVE, SHARED
from scalesim.recording import (
    CACHE_SERIES,
    HISTOGRAMS,
    Recording,
    RunSpec,
    empty_arrays,
    histogram_cells,
)

__all__ = ["CompiledEngine"]

SLICE_EVENTS = 100_000
_SUMS = ("flow", "tally", "arrived", "by_key", "counter", "level_time", "level_entered")
_SITES = {
    "gap_site": base.GAP_SITE,
    "endpoint_site": base.ENDPOINT_SITE,
    "key_site": base.KEY_SITE,
    "client_site": base.CLIENT_SITE,
    "think_site": base.THINK_SITE,
    "user_tag": base.USER_TAG,
}


class CompiledEngine:
    """Runs plans on a generic interpreter compiled by Numba."""

    name = "compiled"

    def unsupported(self, plan: Plan) -> list[str]:
        """Return why this engine can't run `plan`: it runs every plan."""
        return []

    def run(self, plan: Plan, spec: RunSpec, progress: Progress | None = None) -> Recording:
        """Run one trial."""
        from scalesim.engines.compiled import kernel, loop

        advance = kernel.build_kernel()
        state = new_state(plan, spec, _SITES)
        out = empty_arrays(plan, spec)
        series = _Series(state, out)
        bucket, reached, stopped = 0, 0.0, False
        steps, standstill, rejected = 0, Standstill(plan), state.station["rejected"]
        while bucket < len(spec.boundaries) and not stopped:
            why = advance(state, SLICE_EVENTS)
            at_once = int(state.clock["most_at_once"][0])
            standstill.look_at_users(float(state.clock["instant"][0]), at_once, rejected)
            if why == loop.SLICE:
                steps += SLICE_EVENTS
                now, begun = float(state.clock["now"][0]), int(state.clock["next_request"][0])
                standstill.look(now, steps, begun, partial(_in_flight, state), rejected)
            elif why == loop.FULL:
                state = grown(state)
            elif why == loop.BOUNDARY:
                reached = float(spec.boundaries[bucket])
                series.keep(bucket)
                bucket += 1
                if bucket < len(spec.boundaries):
                    state.clock["end"] = spec.boundaries[bucket]
            if progress is not None and why != loop.FULL:
                reached = max(reached, float(state.clock["now"][0]))
                stopped = progress(reached)
        if bucket < len(spec.boundaries):
            state.clock["end"] = reached
            advance(state, 0)
            series.keep(bucket)
        series.finish(bucket + 1)
        clock = state.clock[0]
        out["requests"] = state.requests
        out |= {f"{name}_cells": cells for name, cells in series.histograms()}
        arrays: dict[str, Any] = dict(out)
        if not spec.request_limit:
            arrays["requests"] = None
        recording = Recording(
            plan=plan,
            spec=spec,
            **arrays,
            in_flight=_in_flight(state),
            strands=int((~np.isin(state.strand["pc"], (FREE, WITHDRAWN))).sum()),
            events=int(clock["sequence"]) - _pending(state),
            ended_at=spec.duration if bucket == len(spec.boundaries) else reached,
        )
        recording.check()
        return recording


def _in_flight(state: State) -> int:
    """Return how many requests have not ended."""
    return int((state.strand["request"] >= 0).sum())


def _pending(state: State) -> int:
    """Return how many scheduled events have not happened."""
    clock = state.clock[0]
    return int(clock["size"] - clock["hole"]) + int(clock["next_order"] > 0)


def _words(table: np.ndarray) -> np.ndarray:
    """Return the same memory, each row of fields as a row of machine words."""
    names = table.dtype.names
    return table.view((np.int64, len(names))) if names else table


class _Series:
    """What a run counts in each bucket of time; the kernel has closed a bucket when it is kept.

    The views are made once, of arrays that `grown` does not replace: a short run spends more time
    in this than in the kernel.
    """

    def __init__(self, state: State, out: dict[str, np.ndarray]) -> None:
        self.out = out
        self.clock, self.cell = state.clock, state.cell
        self.cells: list[np.ndarray] = []
        self.kept = state.kept.reshape(len(out["station"]), len(state.station))
        # As plain words: field by field, NumPy copies ten times as slowly.
        pairs = [
            *((out["cache"][name], state.cache[name]) for name in CACHE_SERIES.names or ()),
            (out["routed"], state.target["routed"]),
            *((out[n], getattr(state, n).reshape(out[n].shape[1:])) for n in _SUMS),
        ]
        self.sums = [(_words(series), _words(sums)) for series, sums in pairs if sums.size]

    def keep(self, bucket: int) -> None:
        """Keep what was counted in a bucket, and count anew."""
        self.cells.append(self.cell[: self.clock["cells"][0]].copy())
        for series, sums in self.sums:
            series[bucket] = sums
            sums.fill(0)

    def histograms(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the name of each histogram and its filled cells in every bucket."""
        buckets = np.repeat(np.arange(len(self.cells)), [len(cells) for cells in self.cells])
        cells = np.concatenate(self.cells)
        for number, name in enumerate(HISTOGRAMS):
            (own,) = np.nonzero(cells["histogram"] == number)
            yield name, histogram_cells(buckets[own], cells["place"][own], cells["count"][own])

    def finish(self, buckets: int) -> None:
        """Work out what the rows of the stations say of the first so many buckets."""
        rows, series = self.kept[:buckets], self.out["station"][:buckets]
        for name in ("granted", "rejected", "abandoned", "served", "deepest", "waited"):
            series[name] = rows[name]
        series["busy"], series["depth"] = rows["busy_area"], rows["depth_area"]
        # Who arrived was granted, rejected, left the line, or waits now and did not before.
        # Processors that share or interrupt know the wait at the end only, and count the grant
        # there.
        waiting = np.where(rows["kind"] == AMOUNT, 0.0, rows["depth"])
        late = np.isin(rows["kind"], (SHARED, CORES, PREEMPTIVE))
        waiting = (waiting + np.where(late, rows["busy"], 0.0)).astype(np.int64)
        series["arrived"] = rows["granted"] + rows["rejected"] + rows["abandoned"]
        series["arrived"] += np.diff(waiting, axis=0, prepend=0)
