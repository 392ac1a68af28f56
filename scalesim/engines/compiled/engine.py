"""Run a plan on the compiled kernel: slices, growth, bucket ends, and the recording at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from scalesim.engines import base
from scalesim.engines.base import Progress
from scalesim.engines.compiled.state import State, grown, new_state
from scalesim.engines.compiled.strands import FREE, WITHDRAWN
from scalesim.ops import OUTCOMES
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
        cells: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in HISTOGRAMS}
        bucket, reached, stopped = 0, 0.0, False
        users = int(state.clock["users"][0])
        while bucket < len(spec.boundaries) and not stopped:
            why = advance(state, SLICE_EVENTS)
            if state.clock["most_at_once"][0] > base.requests_at_once(users):
                raise base.endless_loop(users, float(state.clock["instant"][0]))
            if why == loop.FULL:
                state = grown(state)
            elif why == loop.BOUNDARY:
                reached = float(spec.boundaries[bucket])
                _close_bucket(state, out, cells, bucket, reached)
                bucket += 1
                state.clock["bucket"] = min(bucket, len(spec.boundaries) - 1)
            if progress is not None and why != loop.FULL:
                reached = max(reached, float(state.clock["now"][0]))
                stopped = progress(reached)
        if bucket < len(spec.boundaries):
            _close_bucket(state, out, cells, bucket, reached)
        clock = state.clock[0]
        out["requests"] = state.requests
        out |= {f"{name}_cells": histogram_cells(parts) for name, parts in cells.items()}
        arrays: dict[str, Any] = dict(out)
        if not spec.request_limit:
            arrays["requests"] = None
        recording = Recording(
            plan=plan,
            spec=spec,
            **arrays,
            in_flight=int((state.strand["request"] >= 0).sum()),
            strands=int((~np.isin(state.strand["pc"], (FREE, WITHDRAWN))).sum()),
            events=int(clock["sequence"]) - _pending(state),
            ended_at=spec.duration if bucket == len(spec.boundaries) else reached,
        )
        recording.check()
        return recording


def _pending(state: State) -> int:
    """Return how many scheduled events have not happened."""
    clock = state.clock[0]
    return int(clock["size"] - clock["hole"]) + int(clock["next_order"] > 0)


def _close_bucket(
    state: State,
    out: dict[str, np.ndarray],
    cells: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    bucket: int,
    end: float,
) -> None:
    """Move what was counted since the last bucket's end into the series."""
    station = state.station
    elapsed = end - station["since"]
    # Unchanged arithmetic: area += level * elapsed, as at every change of the level.
    station["busy_area"] += station["busy"] * elapsed
    station["depth_area"] += station["depth"] * elapsed
    station["since"] = end
    level = state.level
    places = level["first"] + np.minimum(level["value"], level["count"] - 1)
    state.level_time[places] += end - level["since"]
    level["since"] = end
    row = out["station"][bucket]
    # Who arrived was granted, rejected, left the line, or waits now and did not before. Processors
    # that share or interrupt know the wait at the end only, and count the grant there.
    waiting = np.where(station["kind"] == AMOUNT, 0.0, station["depth"])
    late = np.isin(station["kind"], (SHARED, CORES, PREEMPTIVE))
    waiting += np.where(late, station["busy"], 0.0)
    row["arrived"] = station["granted"] + station["rejected"] + station["abandoned"]
    row["arrived"] += waiting.astype(np.int64) - station["waiting_before"]
    station["waiting_before"] = waiting
    for name in ("granted", "rejected", "abandoned", "served", "deepest", "waited"):
        row[name] = station[name]
        station[name] = 0
    row["busy"], row["depth"] = station["busy_area"], station["depth_area"]
    station["busy_area"] = station["depth_area"] = 0.0
    station["deepest"] = station["depth"]
    out["flow"][bucket] = state.flow.reshape(-1, len(OUTCOMES))
    state.flow.fill(0)
    for name, parts in cells.items():
        histogram = getattr(state, f"{name}_histogram")
        filled = np.flatnonzero(histogram != 0)  # comparing first: seven times as fast
        parts.append((filled, histogram[filled]))
        histogram[filled] = 0
    for name in CACHE_SERIES.names or ():
        out["cache"][bucket][name] = state.cache[name]
        state.cache[name] = 0
    out["routed"][bucket] = state.target["routed"]
    state.target["routed"] = 0
    out["tally"][bucket] = state.tally
    state.tally.fill(0)
    for name in ("arrived", "by_key", "counter", "level_time", "level_entered"):
        out[name][bucket] = getattr(state, name).reshape(out[name][bucket].shape)
        getattr(state, name).fill(0)
