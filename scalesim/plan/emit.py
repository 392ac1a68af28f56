"""The emitter: what components lower themselves into. One instance makes one plan."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Any

import numpy as np

from scalesim import ops
from scalesim.components import Component, Service
from scalesim.distributions import Distribution, SamplerRow
from scalesim.errors import InternalError
from scalesim.kernels import sampling
from scalesim.kernels.draws import site_hash
from scalesim.plan import tables
from scalesim.plan.tables import StationLabel
from scalesim.policies.hash_ring import hash_ring
from scalesim.policies.load_balancing import BalancingPolicy, balancing_code
from scalesim.topology import Topology, copies, lives_in_caller, resolve

__all__ = ["PlanEmitter"]

_KINDS = {
    "slots": tables.SLOTS,
    "shared": tables.SHARED,
    "amount": tables.AMOUNT,
    "cores": tables.CORES,
    "preemptive": tables.PREEMPTIVE,
    "rate": tables.RATE,
    "batches": tables.BATCH_SLOTS,
}
_ORDERS = {
    "fifo": tables.FIFO,
    "lcfs": tables.LCFS,
    "shortest": tables.SHORTEST,
    "priority": tables.PRIORITY,
}
_RULES = {
    "breaker": tables.BREAKER,
    "limiter": tables.LIMITER,
    "batch": tables.BATCH_RULE,
    "partition": tables.PARTITION_RULE,
}


class PlanEmitter:
    """Collects stations, samplers and programs; see `scalesim.components.base.Emitter`."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.parts: Mapping[str, Component] = topology.components
        self.code: list[dict[str, Any]] = []
        names = ("station", "core", "level", "sampler", "balancer", "target", "cache", "versions")
        self.rows: dict[str, list[tuple[Any, ...]]] = {
            name: [] for name in (*names, "retry", *_RULES)
        }
        self.values: list[float] = []
        self.labels: list[StationLabel] = []
        self.level_labels: list[StationLabel] = []
        self.balancer_names: list[str] = []
        self.target_names: list[str] = []
        self.cache_names: list[str] = []
        self.versions_of: dict[str, int] = {}
        self._rings: dict[tuple[int, ...], int] = {}
        self.counters: dict[tuple[str, str], int] = {}
        self.tallies: dict[tuple[str, str], int] = {}
        self.starts: dict[str, int] = {}
        self._samplers: dict[SamplerRow, int] = {}
        self._targets: list[tuple[str, str]] = []
        self._calls_of: dict[str, int] = {}
        self._background: list[tuple[str, int, int, int]] = []
        self._program = ""
        self._subprograms: list[tuple[str, list[dict[str, Any]]]] = []

    # What components call -----------------------------------------------------------------

    def station(
        self,
        component: str,
        resource: str,
        *,
        count: int = 1,
        slots: int,
        kind: str = "slots",
        queue_limit: int | None = None,
        initial: int = 0,
        absent: Container[int] = (),
        order: str = "fifo",
        leaving: bool = False,
        slowdown: tuple[float, float] = (0.0, 0.0),
        core_speeds: Sequence[float] = (),
        random_core: bool = False,
    ) -> int:
        first = len(self.labels)
        limit = -1 if queue_limit is None else queue_limit
        for instance in range(count):
            here = 0 if instance in absent else slots
            places = (_KINDS[kind], here, limit, initial, _ORDERS[order], int(leaving))
            own = (len(self.rows["core"]), int(random_core), site_hash(component, "core"))
            self.rows["station"].append((*places, *slowdown, *own))
            for number, speed in enumerate(core_speeds):
                level = self.level(component, f"core_{number}", first=instance, size=2)
                self.rows["core"].append((first + instance, speed, level))
            self.labels.append(StationLabel(component, resource, instance))
        return first

    def level(self, component: str, name: str, *, count: int = 1, first: int = 0, size: int) -> int:
        row = len(self.level_labels)
        for instance in range(first, first + count):
            start = sum(self.rows["level"][-1]) if self.rows["level"] else 0
            self.rows["level"].append((start, size))
            self.level_labels.append(StationLabel(component, name, instance))
        return row

    def sampler(self, distribution: Distribution, scale: float = 1.0) -> int:
        return self._sampler(distribution.row(scale))

    def _sampler(self, row: SamplerRow) -> int:
        """Return the place of `row`, after those of its parts; equal rows share one."""
        if row not in self._samplers:
            parts = [self._sampler(part) for part in row.parts]
            first = len(self.values)
            self.values += row.values
            if row.kind == sampling.SHIFTED:
                first = parts[0]
            elif row.kind == sampling.MIXTURE:
                self.values += map(float, parts)
            self._samplers[row] = len(self._samplers)
            self.rows["sampler"].append((row.kind, row.a, row.b, row.c, first, row.size))
        return self._samplers[row]

    def balancer(
        self, component: str, policy: BalancingPolicy, members: list[tuple[str, int, float]]
    ) -> int:
        site = site_hash(component, "balancing", policy.type_name)
        first = len(self.target_names)
        equal = int(len({weight for _, _, weight in members}) == 1)
        setting = policy.setting
        if policy.virtual_nodes:
            setting = self.ring([max(round(policy.virtual_nodes * m[2]), 1) for m in members])
        head = (balancing_code(policy), first, len(members), setting, int(policy.by == "key"))
        self.rows["balancer"].append((*head, equal, 0, site))
        self.balancer_names.append(component)
        for name, instance, weight in members:
            self.rows["target"].append((weight, 0.0, 0, instance, 0, 0))
            self._targets.append((component, name))
            self.target_names.append(f"{name.split('.')[0]}[{instance}]")
        return len(self.balancer_names) - 1

    def ring(self, points: Sequence[int]) -> int:
        if tuple(points) not in self._rings:
            self._rings[tuple(points)] = len(self.values)
            self.values += hash_ring(points)
        return self._rings[tuple(points)]

    def cache(self, component: str, *, count: int = 1, **settings: Any) -> int:
        names = tables.CACHE.names or ()
        unset = {"head": -1, "tail": -1, "free": -1, "hand": -1}
        row = dict.fromkeys(names, 0) | unset | settings
        row["site"] = site_hash(component, "eviction")
        self.rows["cache"] += [tuple(row[name] for name in names)] * count
        self.cache_names += [component] * count
        return len(self.cache_names) - count

    def versions(self, component: str, count: int) -> int:
        reads, stale = (self.counter(component, name) for name in ("reads", "stale_reads"))
        self.versions_of[component] = count
        self.rows["versions"].append((0, 0, reads, stale))
        return len(self.versions_of) - 1

    def retry(self, waits: Sequence[float], **settings: float) -> int:
        names = tables.RETRY_RULE.names or ()
        settings |= {"first": len(self.values), "count": len(waits)}
        self.values += waits
        self.rows["retry"].append(tuple(settings[name] for name in names))
        return len(self.rows["retry"]) - 1

    def rule(self, table: str, **settings: float) -> int:
        names = _RULES[table].names or ()
        self.rows[table].append(tuple(settings[name] for name in names))
        return len(self.rows[table]) - 1

    def background(
        self, program: str, instance: int, tag: tuple[str | int, ...], *, item: int = -1
    ) -> None:
        self._background.append((program, instance, item, site_hash(*tag)))

    def counter(self, component: str, name: str) -> int:
        return self.counters.setdefault((component, name), len(self.counters))

    def tally(self, component: str, name: str) -> int:
        return self.tallies.setdefault((component, name), len(self.tallies))

    def program(self, name: str) -> None:
        if name in self.starts:
            raise InternalError(f"program {name!r} is emitted twice")
        self.starts[name] = len(self.code)
        self._program = name

    @contextmanager
    def subprogram(self, name: str) -> Iterator[str]:
        outer, full = self._program, f"{self._program}#{name}"
        outer_code, self.code = self.code, []
        self._program = full
        yield full
        inner, self.code, self._program = self.code, outer_code, outer
        self._subprograms.append((full, inner))

    def op(
        self,
        op: int,
        *,
        a: int | str = 0,
        b: int | str = 0,
        c: int = 0,
        x: float = 0.0,
        on_fail: str = "",
        site: tuple[str | int, ...] = (),
        tag: tuple[str | int, ...] = (),
    ) -> None:
        self.code.append(
            {
                "op": op,
                "a": a,
                "b": b,
                "c": c,
                "on_fail": on_fail,
                "x": x,
                "site": site_hash(*site) if site else 0,
                "tag": site_hash(*tag) if tag else 0,
                "program": self._program,
            }
        )

    def route(self, balancer: int, endpoint: int, *, by_instance: bool = False) -> None:
        self.op(ops.ROUTE, a=balancer, b=int(by_instance), c=endpoint, on_fail="settle")
        self.label("settle")
        self.op(ops.SETTLE)

    def label(self, name: str) -> None:
        self.code.append({"label": name, "program": self._program})

    def call(self, target: str, *, on_fail: str) -> None:
        program, instance, tag = self.program_of(target)
        self.op(ops.CALL, a=program, b=instance, on_fail=on_fail, tag=tag)

    def branches_of(self, target: str) -> list[tuple[str, int]]:
        name, endpoint = resolve(self.parts, target)
        program, instances = self.parts[name].scattered(endpoint)
        return [(program, instance) for instance in instances]

    def program_of(self, target: str) -> tuple[str, int, tuple[str | int, ...]]:
        name, endpoint = resolve(self.parts, target)
        part = self.parts[name]
        balanced = isinstance(part, Service) and part.instances > 1
        program = f"{name}.{endpoint}" + ("@balanced" if balanced else "")
        return program, -1 if lives_in_caller(part) else 0, self._call_tag(program)

    def _call_tag(self, program: str) -> tuple[str | int, ...]:
        """Return what tells this call of `program` from others; nothing for the first.

        A program reached in one way only keeps its caller's key, so that putting a component
        between (a cache, a balancer) leaves its draws as they were.
        """
        number = self._calls_of.get(program, 0)
        self._calls_of[program] = number + 1
        return ("call", program, self._program, number) if number else ()

    def endpoints_of(self, component: str) -> tuple[str, ...]:
        return self.topology.endpoints(component)

    def copies_of(self, component: str) -> int:
        return copies(self.parts, component)

    def members_of(self, component: str) -> list[tuple[str, int]]:
        return [(component, instance) for instance in range(self.parts[component].instance_count)]

    # Finishing ----------------------------------------------------------------------------

    def direct_balancers(self) -> None:
        """Emit, for each service with several instances, what callers without a balancer use."""
        for name, part in self.parts.items():
            if isinstance(part, Service) and part.instances > 1:
                members = [(name, instance, 1.0) for instance in range(part.instances)]
                wanted = [f"{name}.{each}@balanced" for each in part.endpoint_names()]
                if not any(self._calls_of.get(each) for each in wanted):
                    continue
                balancer = self.balancer(name, part.balancing, members)
                for index, program in enumerate(wanted):
                    self.program(program)
                    self.route(balancer, index)

    def link(self) -> np.ndarray:
        """Resolve labels and program names; return the code table."""
        for name, inner in self._subprograms:
            self.starts[name] = len(self.code)
            self.code += inner
        position = {}
        flat: list[dict[str, Any]] = []
        where: dict[int, int] = {}
        for index, line in enumerate(self.code):
            where[index] = len(flat)
            if "label" in line:
                position[line["program"], line["label"]] = len(flat)
            else:
                flat.append(line)
        self.starts = {name: where[start] for name, start in self.starts.items()}

        def resolved(line: dict[str, Any], value: int | str) -> int:
            if not isinstance(value, str):
                return value
            if not value:
                return -1
            if (line["program"], value) in position:
                return position[line["program"], value]
            return self.starts[value]

        code = np.zeros(len(flat), tables.CODE)
        for pc, line in enumerate(flat):
            a, b, on_fail = (resolved(line, line[name]) for name in ("a", "b", "on_fail"))
            code[pc] = (line["op"], a, b, line["c"], on_fail, line["x"], line["site"], line["tag"])
        last = (code["op"][1:] == ops.RETURN) & (code["op"][code["on_fail"][:-1]] == ops.RETURN)
        code["op"][:-1][(code["op"][:-1] == ops.CALL) & last] = ops.TAIL
        return code

    def dispatch(self) -> np.ndarray:
        """Return the table of targets' programs and point the target rows at it."""
        table: list[int] = []
        known: dict[tuple[str, str], int] = {}
        for t, (owner, name) in enumerate(self._targets):
            if (owner, name) not in known:
                known[owner, name] = len(table)
                if "@" in name:
                    table.append(self.starts[name])
                else:
                    offered = self.topology.endpoints(owner)
                    table += [self.starts[f"{name}.{each}"] for each in offered]
            row = list(self.rows["target"][t])
            row[4] = known[owner, name]
            self.rows["target"][t] = tuple(row)
        return np.asarray(table, np.int64)

    def background_strands(self) -> np.ndarray:
        """Return the table of strands that start before anything arrives."""
        rows = [(self.starts[program], *rest) for program, *rest in self._background]
        return np.asarray(rows, tables.BACKGROUND)

    def call_depth(self, code: np.ndarray, dispatch: np.ndarray) -> int:
        """Return how deep calls nest in the deepest program."""
        owner = {}
        names = sorted(self.starts.items(), key=lambda item: item[1])
        bounds = [start for _, start in names] + [len(code)]
        for start, end in pairwise(bounds):
            owner[start] = range(start, end)
        ends = np.asarray([row[4] for row in self.rows["target"]], np.int64)
        depth: dict[int, int] = {}

        def through(start: int) -> list[int]:
            """Return the program at `start` and those it goes on in."""
            found = [start]
            for each in found:
                rows = code[owner[each]]
                tails = rows["a"][rows["op"] == ops.TAIL].tolist()
                if rows["op"][-1] not in (ops.RETURN, ops.SETTLE, ops.TAIL, ops.JUMP):
                    tails.append(owner[each].stop)
                found += dict.fromkeys(pc for pc in tails if pc not in found)
            return found

        def below(start: int) -> int:
            if start not in depth:
                deepest = 0
                for pc in chain(*(owner[each] for each in through(start))):
                    row = code[pc]
                    if row["op"] == ops.CALL:
                        deepest = max(deepest, 1 + below(int(row["a"])))
                    elif row["op"] == ops.ROUTE:
                        balancer = self.rows["balancer"][int(row["a"])]
                        for t in range(balancer[1], balancer[1] + balancer[2]):
                            callee = int(dispatch[ends[t] + int(row["c"])])
                            deepest = max(deepest, 1 + below(callee))
                depth[start] = deepest
            return depth[start]

        return max((below(start) for start in owner), default=0)

    def table(self, name: str, dtype: np.dtype) -> np.ndarray:
        """Return the collected rows of one table."""
        return np.asarray(self.rows[name], dtype) if self.rows[name] else np.zeros(0, dtype)
