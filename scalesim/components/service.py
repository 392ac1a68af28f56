"""Service: instances of a program with workers, processors, memory and a network card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.components.failures import Failures
from scalesim.components.processors import CPU_DISCIPLINES, check_slowdown, processors
from scalesim.components.steps import (
    Scope,
    Step,
    computations_at_once,
    lower_steps,
    steps_kind,
    steps_references,
)
from scalesim.distributions import sizes, times
from scalesim.distributions.base import AsDistributionOrNone
from scalesim.errors import Problem
from scalesim.fields import (
    AsTuple,
    Description,
    Flag,
    Given,
    Integer,
    ListOf,
    MapOf,
    Name,
    Nested,
    Number,
    OneOf,
    Values,
    described,
    param,
)
from scalesim.policies.load_balancing import BALANCING, BalancingPolicy, RoundRobin

__all__ = ["Endpoint", "Service"]

_IN_FLIGHT_SIZE = 129
"""Numbers of requests in flight from 0 to 127 are kept apart, larger ones together."""


@described
class Endpoint(Description):
    """What a service does for one kind of request. A bare list of steps is one, too.

    Parameters
    ----------
    steps : sequence of Step
    request_bytes, response_bytes : Distribution or float, optional [bytes]
        Sizes on the network; those of the traffic if absent.
    priority : int [0 .. 1_000_000]
        0 is the most urgent. Counts where the service goes by priority: in its `cpu_discipline`
        or its `backlog_order`. It is not handed on to the services that are called.
    shed_above : int, optional [>= 1]
        Load shedding: a request is rejected if so many of any endpoint are at the instance,
        waiting or served. Give the less important endpoints the lower thresholds.
    """

    primary = "steps"
    steps: AsTuple[Step] = param(steps_kind(), "what is done, in order", kw_only=False)
    request_bytes: AsDistributionOrNone = param(sizes(), "size of the request", default=None)
    response_bytes: AsDistributionOrNone = param(sizes(), "size of the response", default=None)
    priority: int = param(Integer(0, 1_000_000), "urgency, 0 the most urgent", default=0)
    shed_above: int | None = param(
        Integer(1), "requests at the instance from which on this one is rejected", default=None
    )


class _Own(NamedTuple):
    """A service's stations and its level, -1 where it has none; and how it computes."""

    workers: int
    cpu: int
    cpu_op: int
    memory: int
    network_in: int
    network_out: int
    start: int
    in_flight: int


@COMPONENTS.add("service")
@described
class Service(MachineComponent):
    """A stateless service.

    A request takes a worker at one instance (or waits in its backlog, or is rejected), runs the
    endpoint's steps and gives the worker back; while it calls others it holds the worker.

    Parameters
    ----------
    endpoints : mapping of str to Endpoint or sequence of Step
    instances : int [>= 1]
    workers : int [>= 1]
        Requests that one instance handles at once (threads, processes, permits).
    backlog : int, optional [>= 0]
        Requests that may wait for a worker at one instance; None: no bound.
    backlog_order : {"fifo", "lcfs", "priority"}
        Who of those waiting gets the next worker: the first come, the last come, or the most
        urgent endpoint's (of equals, the first come).
    queue_timeout : Distribution or float, optional [s, >= 0]
        A request that has waited this long for a worker leaves with outcome `timed_out`, whether
        or not its caller has a time-out; a worker that is free at that very moment is still taken.
        None: nobody leaves.
    cores : int [>= 1]
        Processor cores of one instance.
    cpu_discipline : str
        Who computes when more would than there are cores. ``ps``: all, equally slowed down. One
        after another: ``fifo``, ``lcfs``, ``sjf`` (least demand first), ``priority`` (of the
        endpoint). Interrupting, interrupted work resumes where it stopped: ``lcfs_preemptive``,
        ``srpt`` (least remaining demand), ``priority_preemptive``. Ties go by arrival.
    core_speeds : sequence of float, optional [> 0]
        Speed of each core of one instance: a demand d takes d / speed. Needs ``fifo``.
    core_choice : {"fastest", "random"}
        Which of several idle cores begins, where speeds are given.
    cold_start : Distribution or float, optional [s]
        An instance where nobody holds a worker is switched off; the next request starts it, and
        waits with those that come meanwhile, all of them holding workers. None: it always runs.
    record_in_flight : bool
        Keep the shares of time with each number of requests at an instance, apart up to 127; see
        `Results.time_shares`. Takes 165 kB for each instance and trial, however long the run: 16
        bytes for each of 129 levels and 80 buckets of time.
    failures : Failures, optional
        Of cores or of instances. Needs ``fifo``.
    contention, coherency : float [>= 0]
        How much computations slow each other down (universal scalability law): with n at once
        each progresses at ``1 / (1 + contention (n - 1) + coherency n (n - 1))`` of what sharing
        the cores leaves it (Gunther, "Guerrilla capacity planning", 2007).
    memory : float, optional [bytes, > 0]
        Limit of one instance; a request that does not fit fails. None: not modelled.
    memory_base, memory_per_request : float [bytes, >= 0]
        In use when idle; and for each request in flight, waiting or served.
    network_in, network_out : float, optional [bytes a second, > 0]
        Bandwidth of one instance; None: not modelled.
    balancing : BalancingPolicy or str
        How callers that do not go through a load balancer spread over the instances.
    """

    endpoints: Given[dict[str, Endpoint], Mapping[str, Endpoint | Sequence[Step]]] = param(
        MapOf(Nested(Endpoint), "an endpoint"), "what the service offers"
    )
    instances: int = param(Integer(1, 100_000), "number of equal instances", default=1)
    workers: int = param(Integer(1, 10_000_000), "requests served at once, an instance", default=1)
    backlog: int | None = param(Integer(0), "requests that may wait, an instance", default=None)
    backlog_order: str = param(
        Name(choices=("fifo", "lcfs", "priority")), "who gets the next worker", default="fifo"
    )
    queue_timeout: AsDistributionOrNone = param(times(), "longest wait for a worker", default=None)
    cores: int = param(Integer(1, 100_000), "processor cores, an instance", default=1)
    cpu_discipline: str = param(
        Name(choices=CPU_DISCIPLINES), "who computes when cores are scarce", default="ps"
    )
    core_speeds: Given[tuple[float, ...] | None, Values[float] | None] = param(
        ListOf(Number(above=0)), "speed of each core, an instance", default=None
    )
    core_choice: str = param(
        Name(choices=("fastest", "random")), "which idle core begins", default="fastest"
    )
    failures: Failures | None = param(Nested(Failures), "of cores or of instances", default=None)
    cold_start: AsDistributionOrNone = param(times(), "start of an idle instance", default=None)
    record_in_flight: bool = param(
        Flag(), "keep shares of time with each number of requests", default=False
    )
    contention: float = param(Number(at_least=0), "slowdown by waiting for another", default=0.0)
    coherency: float = param(Number(at_least=0), "slowdown by agreeing with another", default=0.0)
    memory: float | None = param(Number("B", above=0), "memory, an instance", default=None)
    memory_base: float = param(Number("B", at_least=0), "memory in use when idle", default=0.0)
    memory_per_request: float = param(
        Number("B", at_least=0), "memory of a request in flight", default=0.0
    )
    network_in: float | None = param(Number("B/s", above=0), "bandwidth inward", default=None)
    network_out: float | None = param(Number("B/s", above=0), "bandwidth outward", default=None)
    balancing: Given[BalancingPolicy, BalancingPolicy | str] = param(
        OneOf(BALANCING), "how direct callers choose an instance", default=RoundRobin()
    )

    @property
    def instance_count(self) -> int:
        return self.instances

    def scattered(self, endpoint: str) -> tuple[str, Sequence[int]]:
        return f"{self.name}.{endpoint}", range(self.instances)

    def endpoint_names(self) -> tuple[str, ...]:
        return tuple(self.endpoints) if isinstance(self.endpoints, dict) else ()

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        yield from check_slowdown(self.contention, self.coherency, self.cpu_discipline)
        yield from self._check_cores()
        if isinstance(self.memory, (int, float)) and isinstance(self.memory_base, (int, float)):
            if 0 < self.memory <= self.memory_base:
                yield Problem(
                    "",
                    f"memory_base is {self.memory_base:g} bytes, memory {self.memory:g}; "
                    "nothing is left for requests",
                    ("memory_base",),
                )
        elif self.memory is None and (self.memory_base or self.memory_per_request):
            yield Problem("", "memory_base and memory_per_request need memory", ("memory",))

    def _check_cores(self) -> Iterator[Problem]:
        if self.core_speeds is not None:
            if isinstance(self.core_speeds, tuple) and len(self.core_speeds) != self.cores:
                message = f"got {len(self.core_speeds)} speeds, cores is {self.cores}; give one for"
                yield Problem("", f"{message} each core", ("core_speeds",))
            yield from self._needs_fifo("core_speeds")
        elif self.core_choice != "fastest":
            yield Problem("", "core_choice needs core_speeds", ("core_choice",))
        if self.failures is not None:
            yield from self._needs_fifo("failures")
            if self.failures.of == "instance" and self.failures.when == "busy" and self.cores != 1:
                message = (
                    f"instances that fail only while busy need one core each, not {self.cores}"
                )
                yield Problem("", message, ("failures", "when"))

    def _needs_fifo(self, field: str) -> Iterator[Problem]:
        if self.cpu_discipline != "fifo":
            message = f'cpu_discipline is "{self.cpu_discipline}"; it needs "fifo"'
            yield Problem("", message, (field,))

    def references(self) -> Iterator[Reference]:
        for name, endpoint in self.endpoints.items():
            if isinstance(endpoint, Endpoint) and isinstance(endpoint.steps, tuple):
                for each in steps_references(endpoint.steps):
                    yield each._replace(
                        path=("endpoints", name, "steps", *each.path), endpoint=name
                    )

    def lower(self, emit: Emitter) -> None:
        n = self.instances
        workers = emit.station(
            self.name,
            "workers",
            count=n,
            slots=self.workers,
            queue_limit=self.backlog,
            order=self.backlog_order,
            leaving=self.queue_timeout is not None,
        )
        cpu, cpu_op = self._processors(emit)
        memory = network_in = network_out = start = in_flight = -1
        if self.memory is not None:
            memory = emit.station(
                self.name,
                "memory",
                count=n,
                slots=int(self.memory),
                kind="amount",
                initial=int(self.memory_base),
            )
        if self.network_in is not None:
            network_in = emit.station(self.name, "network_in", count=n, slots=1)
        if self.network_out is not None:
            network_out = emit.station(self.name, "network_out", count=n, slots=1)
        if self.cold_start is not None:
            start = emit.station(self.name, "start", count=n, slots=1)
        if self.record_in_flight:
            in_flight = emit.level(self.name, "in_flight", count=n, size=_IN_FLIGHT_SIZE)
        own = _Own(workers, cpu, cpu_op, memory, network_in, network_out, start, in_flight)
        for name, endpoint in self.endpoints.items():
            emit.program(f"{self.name}.{name}")
            self._lower_endpoint(emit, name, endpoint, own)
        if own.start >= 0:
            self._lower_start(emit, own)

    def _processors(self, emit: Emitter) -> tuple[int, int]:
        """Declare the processors and their failures; return (station, operation that uses them)."""
        n = self.instances
        if self.core_speeds is not None or self.failures is not None:
            cpu_op = ops.WORK
            cpu = emit.station(
                self.name,
                "cpu",
                count=n,
                slots=self.cores,
                kind="cores",
                core_speeds=self.core_speeds or (1.0,) * self.cores,
                random_core=self.core_choice == "random",
            )
        else:
            widest = max(computations_at_once(each.steps) for each in self.endpoints.values())
            slots, slowdown = self.workers * widest, (self.contention, self.coherency)
            cpu, cpu_op = processors(
                emit, self.name, n, slots, self.cores, self.cpu_discipline, slowdown
            )
        if self.failures is not None:
            self.failures.lower(emit, self.name, cpu, n, self.cores)
        return cpu, cpu_op

    def _lower_endpoint(self, emit: Emitter, name: str, endpoint: Endpoint, own: _Own) -> None:
        if own.in_flight >= 0:
            emit.op(ops.ENTER, a=own.in_flight, on_fail="left")
        if own.network_in >= 0:
            self._transfer(emit, own.network_in, 0, name, endpoint, "end")
        if own.memory >= 0:
            amount = int(self.memory_per_request)
            emit.op(ops.RESERVE, a=own.memory, b=amount, on_fail="end")
        refused = "free" if own.memory >= 0 else "end"
        if endpoint.shed_above is not None:
            emit.op(ops.SHED, a=own.workers, b=endpoint.shed_above, on_fail=refused)
        self._take_worker(emit, own.workers, name, refused)
        if own.start >= 0:
            tag = (self.name, name, "start")
            emit.op(ops.START, a=own.start, b=self._start, on_fail="release", tag=tag)
        scope = Scope(self.name, name, own.cpu, own.cpu_op, endpoint.priority)
        lower_steps(emit, endpoint.steps, scope, "release")
        emit.label("release")
        emit.op(ops.RELEASE, a=own.workers)
        if own.start >= 0:
            emit.op(ops.STOP, a=own.start, b=own.workers)
        if own.network_out >= 0:
            self._transfer(emit, own.network_out, 1, name, endpoint, "free")
        emit.label("free")
        if own.memory >= 0:
            emit.op(ops.UNRESERVE, a=own.memory, b=int(self.memory_per_request))
        emit.label("end")
        if own.in_flight >= 0:
            emit.op(ops.LEAVE, a=own.in_flight)
            emit.label("left")
        emit.op(ops.RETURN)

    def _lower_start(self, emit: Emitter, own: _Own) -> None:
        """Emit the start of an instance, which goes on even if who caused it leaves."""
        assert self.cold_start is not None
        emit.program(self._start)
        emit.op(ops.COUNT, a=emit.counter(self.name, "cold_starts"))
        emit.op(ops.DELAY, b=emit.sampler(self.cold_start), site=(self.name, "start"))
        emit.op(ops.STARTED, a=own.start)
        emit.op(ops.STOP, a=own.start, b=own.workers)
        emit.op(ops.RETURN)

    @property
    def _start(self) -> str:
        return f"{self.name}@start"

    def _take_worker(self, emit: Emitter, workers: int, name: str, on_fail: str) -> None:
        urgency = self.endpoints[name].priority
        if self.queue_timeout is None:
            emit.op(ops.ACQUIRE, a=workers, c=urgency, on_fail=on_fail)
        else:
            patience = emit.sampler(self.queue_timeout)
            site = (self.name, name, "patience")
            emit.op(
                ops.ACQUIRE_WITHIN, a=workers, b=patience, c=urgency, on_fail=on_fail, site=site
            )

    def _transfer(
        self, emit: Emitter, station: int, way: int, name: str, endpoint: Endpoint, on_fail: str
    ) -> None:
        bandwidth = self.network_out if way else self.network_in
        size = endpoint.response_bytes if way else endpoint.request_bytes
        assert bandwidth is not None
        emit.op(
            ops.TRANSFER,
            a=station,
            b=-1 if size is None else emit.sampler(size),
            c=way,
            x=1.0 / bandwidth,
            on_fail=on_fail,
            site=(self.name, name, "response" if way else "request"),
        )
