"""Run a plan on SimPy: the trial, its arrivals, and the recording at the end."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import simpy

from scalesim import ops
from scalesim.engines.base import (
    CLIENT_SITE,
    ENDPOINT_SITE,
    GAP_SITE,
    KEY_SITE,
    THINK_SITE,
    USER_TAG,
    Progress,
)
from scalesim.engines.reference.breakers import breakers_of
from scalesim.engines.reference.clock import after, at, fire
from scalesim.engines.reference.cores import Core, CoresStation, Level
from scalesim.engines.reference.interpreter import OPERATION_OF
from scalesim.engines.reference.model import CacheModel, Frame, Strand, Waits, as_objects
from scalesim.engines.reference.preemption import PreemptiveStation
from scalesim.engines.reference.stations import BatchStation, RateStation, SharedStation, Station
from scalesim.engines.standstill import Standstill
from scalesim.kernels.arrivals import batch_gap, burst_gap, draw_endpoint, draw_popularity, next_gap
from scalesim.kernels.draws import BUCKETS, bits, bucket, child_key, root_key, u01
from scalesim.kernels.sampling import cumulated_index, sample, standard_exponential, ziggurat_tables
from scalesim.plan import Plan
from scalesim.plan.tables import (
    BATCH_SLOTS,
    BATCHES,
    BURSTS,
    CLOSED,
    CORES,
    PREEMPTIVE,
    RATE,
    RENEWAL,
    REPLAY,
    SHARED,
)
from scalesim.recording import (
    CACHE_SERIES,
    HISTOGRAMS,
    Recording,
    RunSpec,
    empty_arrays,
    histogram_cells,
)

__all__ = ["ReferenceEngine", "Trial"]


class ReferenceEngine:
    """Runs plans on SimPy, two orders of magnitude slower than the compiled engine."""

    name = "reference"

    def unsupported(self, plan: Plan) -> list[str]:
        """Return why this engine can't run `plan`: it runs every plan."""
        return []

    def run(self, plan: Plan, spec: RunSpec, progress: Progress | None = None) -> Recording:
        """Run one trial."""
        trial = Trial(plan, spec)
        return trial.run(progress)


class Trial:
    """One run: the plan's rows as objects, a SimPy environment, and what is being recorded."""

    def __init__(self, plan: Plan, spec: RunSpec) -> None:
        self.plan, self.spec, self.seed = plan, spec, spec.seed
        self.env = simpy.Environment()
        self.code = as_objects(plan.code)
        self.sampler = as_objects(plan.sampler)
        self.balancer = as_objects(plan.balancer)
        self.target = as_objects(plan.target)
        self.endpoint = as_objects(plan.endpoint)
        self.retry = as_objects(plan.retry)
        self.limiter = as_objects(plan.limiter)
        self.breaker = breakers_of(plan)
        self.meter = [0.0] * plan.meter_count
        self.batch = as_objects(plan.batch)
        self.partition = as_objects(plan.partition)
        self.source = as_objects(plan.source)
        self.segment = as_objects(plan.segment)
        self.phase = as_objects(plan.phase)
        self.popularity = as_objects(plan.popularity)
        self.dispatch = plan.dispatch.tolist()
        self.values = plan.values.tolist()
        self.edge, self.height = (table.tolist() for table in ziggurat_tables())
        self.out = empty_arrays(plan, spec)
        self.levels = [Level(self.env, size) for size in plan.level["count"].tolist()]
        self.cores = [Core(row.speed, self.levels[row.level]) for row in as_objects(plan.core)]
        self.stations = [self.make_station(row) for row in plan.station]
        self.versions = as_objects(plan.versions)
        self.version: Counter[tuple[int, int, int]] = Counter()
        self.caches = [CacheModel(row) for row in as_objects(plan.cache)]
        self.counter = [0] * len(plan.counter_names)
        self.histogram: dict[str, Counter[tuple[int, int]]] = {
            name: Counter() for name in HISTOGRAMS
        }
        self.cells: dict[str, list[tuple[int, int, int]]] = {name: [] for name in HISTOGRAMS}
        self.bucket = 0
        self.requests_begun = self.in_flight = self.strands = self.events = 0
        self.standstill = Standstill(plan)

    def make_station(self, row: Any) -> Station:
        """Return the station that a row of the plan's table describes."""
        if row["kind"] == CORES:
            first = int(row["first_core"])
            return CoresStation(self.env, row, self.cores[first : first + int(row["slots"])])
        kinds = {
            SHARED: SharedStation,
            PREEMPTIVE: PreemptiveStation,
            RATE: RateStation,
            BATCH_SLOTS: BatchStation,
        }
        return kinds.get(int(row["kind"]), Station)(self.env, row)

    # The loop -----------------------------------------------------------------------------

    def run(self, progress: Progress | None) -> Recording:
        """Run to the end of the last bucket, or until `progress` says stop."""
        for row in as_objects(self.plan.background):
            key = child_key(root_key(self.seed, 0), row.tag, 0)
            strand = Strand(Frame(row.program, row.instance, key), row.item, -1, 0, 0.0)
            strand.origin = 0
            self.strands += 1
            self.env.process(self.execute(strand))
        if self.source[0].kind == CLOSED:
            user = 0
            for group in self.source:
                for _ in range(group.users):
                    self.env.process(self.user(user, group))
                    user += 1
        else:
            self.env.process(self.arrivals())
        stopped = False
        for number, boundary in enumerate(self.spec.boundaries.tolist()):
            self.bucket = number
            while self.env.peek() < boundary and not stopped:
                self.env.step()
                self.events += 1
                if self.events % 10_000 == 0:
                    self.look_at_clock()
                    stopped = progress is not None and progress(self.env.now)
            self.close_bucket(self.env.now if stopped else boundary)
            if stopped:
                break
        return self.recording(self.env.now if stopped else self.spec.duration)

    def execute(self, strand: Strand) -> Waits:
        """Run a strand's program, operation by operation, to its end."""
        while True:
            row, outermost = self.code[strand.frame.pc], not strand.calls
            if row.op == ops.RETURN and outermost:
                break
            yield from OPERATION_OF[row.op](self, strand, row)
            if row.op == ops.SETTLE and outermost:
                break
        self.strands -= 1
        if strand.request >= 0:
            self.end_request(strand)
        parent = strand.parent
        if parent is None:
            return
        strand.leave_parent()
        if strand.branch:
            self.end_branch(parent, strand.status)
        else:
            self.answer(parent, strand.status)

    def answer(self, parent: Strand, status: int) -> None:
        """Let a strand go on that waits for an attempt."""
        parent.status = status
        if status == ops.COMPLETED:
            parent.frame.attempt = 0
            parent.frame.pc += 1
        else:
            parent.frame.pc = self.code[parent.frame.pc].on_fail
        assert parent.resume is not None
        fire(parent.resume)

    def end_branch(self, parent: Strand, status: int) -> None:
        """Count a branch that has ended; perhaps it was the last that the join waited for."""
        if status == ops.COMPLETED:
            parent.completed += 1
        elif parent.joined == ops.COMPLETED:
            parent.joined = status
        if parent.resume is not None:
            row = self.code[parent.frame.pc]
            if parent.enough(row.a if row.op == ops.JOIN else 1):
                fire(parent.resume)
                parent.resume = None

    def spawn(self, strand: Strand, frame: Frame) -> Strand:
        """Start a strand on behalf of `strand`'s request; return it."""
        child = Strand(frame, strand.item, strand.client, strand.endpoint, self.env.now)
        child.origin, child.version = strand.number, strand.version
        child.begun = strand.started if strand.request >= 0 else strand.begun
        self.strands += 1
        child.process = self.env.process(self.execute(child))
        return child

    def draw(self, which: int, key: int, site: int, number: int) -> float:
        """Return a draw from sampler `which`, for request `number`."""
        tables = (self.values, self.edge, self.height)
        value: float = sample(self.sampler, which, *tables, key, site, number)
        return value

    # Requests -----------------------------------------------------------------------------

    def arrivals(self) -> Waits:
        """Let open or recorded requests arrive."""
        while True:
            number = self.requests_begun
            arrival = self.arrival_of(number)
            if arrival == math.inf:
                return
            yield at(self.env, arrival, ops.ARRIVAL)
            strand = self.begin_request(root_key(self.seed, number))
            self.strands += 1
            self.env.process(self.execute(strand))

    def arrival_of(self, number: int) -> float:
        """Return when request `number` arrives; inf: never."""
        source, key, now = self.source[0], root_key(self.seed, number), self.env.now
        if source.kind == REPLAY:
            recorded = self.plan.replay_at
            return max(float(recorded[number]), now) if number < len(recorded) else math.inf
        work = 1.0
        if source.kind == RENEWAL:
            work = self.draw(source.gap, key, GAP_SITE, number)
        elif source.random:
            work = standard_exponential(self.edge, self.height, bits(key, GAP_SITE, 0))
        gap: float
        if source.kind == BATCHES:
            u = u01(key, GAP_SITE, 1)
            gap = batch_gap(self.source, self.segment, now, work, number, u)
        elif source.kind == BURSTS:
            tables = (self.source, self.phase, self.values, self.edge, self.height)
            gap = burst_gap(*tables, self.seed, GAP_SITE, now, work)
        else:
            gap = next_gap(self.source, self.segment, now, work, number)
        return now + gap

    def user(self, user: int, group: Any) -> Waits:
        """Let a closed user think, send a request, wait for its end, again and again."""
        turn = 0
        self.strands += 1
        while True:
            key = child_key(root_key(self.seed, user), USER_TAG, turn)
            think = self.draw(group.think, key, THINK_SITE, user + turn * self.standstill.users)
            yield after(self.env, think, ops.ARRIVAL)
            self.standstill.count_user(self.env.now)
            yield from self.execute(self.begin_request(key, group.mix))
            self.strands += 1  # the user is back, thinking
            turn += 1

    def look_at_clock(self) -> None:
        """Raise if too much happens at one instant (not in a process: SimPy copies its errors)."""
        rejected, watch = self.rejected(), self.standstill
        watch.look_at_users(watch.last_sent, watch.at_once, rejected)
        counts = self.events, self.requests_begun, lambda: self.in_flight
        watch.look(self.env.now, *counts, rejected)

    def rejected(self) -> np.ndarray:
        """Return how many each station has rejected in this bucket of time."""
        return np.asarray([each.rejected for each in self.stations], np.int64)

    def begin_request(self, key: int, mix: int = -1) -> Strand:
        """Return the strand of a new request: what it asks for, which key, from which client."""
        number = self.requests_begun
        self.requests_begun += 1
        plan, e, item, client = self.plan, -1, -1, -1
        if number < len(plan.replay_at):
            e = int(plan.replay_endpoint[number])
            item, client = int(plan.replay_key[number]), int(plan.replay_client[number])
        if e < 0:
            e = 0
            u = u01(key, ENDPOINT_SITE, 0)
            if mix >= 0:
                e = cumulated_index(self.values, mix, len(self.endpoint), u)
            elif len(self.endpoint) > 1:
                e = draw_endpoint(self.endpoint, u)
        tables = (self.popularity, plan.cumulated, plan.guide)
        if item < 0:
            item = draw_popularity(*tables, 0, key, KEY_SITE)
        if client < 0:
            client = draw_popularity(*tables, 1, key, CLIENT_SITE)
        now = self.env.now
        strand = Strand(Frame(self.endpoint[e].start, 0, key), item, client, e, now)
        strand.request = number
        self.in_flight += 1
        self.out["arrived"][self.bucket, e] += 1
        if number < len(self.out["requests"]):
            self.out["requests"][number, 0] = now
            self.out["requests"][number, 2] = e
        return strand

    def end_request(self, strand: Strand) -> None:
        """Record the latency of a request that is over."""
        now, e, outcome = self.env.now, strand.endpoint, strand.status
        latency = now - strand.started
        self.in_flight -= 1
        flow = self.out["flow"][self.bucket, e, outcome]
        flow["count"] += 1
        flow["latency"] += latency
        flow["squared"] += latency * latency
        flow["longest"] = max(flow["longest"], latency)
        self.histogram["latency"][e * len(ops.OUTCOMES) + outcome, bucket(latency)] += 1
        if strand.request < len(self.out["requests"]):
            self.out["requests"][strand.request, 1] = now
            self.out["requests"][strand.request, 3] = outcome

    def count_by_key(self, row: int, item: int, found: bool) -> None:
        """Count a lookup by key, if it is of the first keys."""
        if item < self.spec.key_limit:
            self.out["by_key"][self.bucket, row, item] += (1, found)

    def record(self, tally: int, time: float) -> None:
        """Record a duration in a tally."""
        row = self.out["tally"][self.bucket, tally]
        row["count"] += 1
        row["total"] += time
        row["longest"] = max(row["longest"], time)
        self.histogram["tally"][tally, bucket(time)] += 1

    # Recording ----------------------------------------------------------------------------

    def close_bucket(self, end: float) -> None:
        """Move what was counted since the last bucket's end into the series."""
        self.histogram["wait"] = Counter(
            {(s, place): n for s, x in enumerate(self.stations) for place, n in x.waits.items()}
        )
        for name, histogram in self.histogram.items():
            self.cells[name] += [
                (self.bucket, row * BUCKETS + place, count)
                for (row, place), count in sorted(histogram.items())
            ]
            histogram.clear()
        for s, station in enumerate(self.stations):
            station.advance(end)
            self.out["station"][self.bucket, s] = (
                station.arrived,
                station.granted,
                station.rejected,
                station.abandoned,
                station.served,
                station.deepest,
                station.waited,
                station.busy_area,
                station.depth_area,
            )
            station.reset()
        for level, (first, count) in zip(self.levels, self.plan.level.tolist(), strict=True):
            level.advance(end)
            self.out["level_time"][self.bucket, first : first + count] = level.time
            self.out["level_entered"][self.bucket, first : first + count] = level.entered
            level.reset()
        for c, cache in enumerate(self.caches):
            row = cache.row[0]
            for name in CACHE_SERIES.names or ():
                self.out["cache"][self.bucket, c][name] = getattr(row, name)
                setattr(row, name, 0)
        for t, target in enumerate(self.target):
            self.out["routed"][self.bucket, t] = target.routed
            target.routed = 0
        self.out["counter"][self.bucket] = self.counter
        self.counter = [0] * len(self.counter)

    def recording(self, ended_at: float) -> Recording:
        """Return the recording."""
        arrays: dict[str, Any] = dict(self.out)
        for name, cells in self.cells.items():
            buckets, places, counts = np.asarray(cells, np.int64).reshape(-1, 3).T
            arrays[f"{name}_cells"] = histogram_cells(buckets, places, counts)
        if not self.spec.request_limit:
            arrays["requests"] = None
        recording = Recording(
            plan=self.plan,
            spec=self.spec,
            **arrays,
            in_flight=self.in_flight,
            strands=self.strands,
            events=self.events,
            ended_at=ended_at,
        )
        recording.check()
        return recording
