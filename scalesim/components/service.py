"""Service: instances of a program with workers, processors, memory and a network card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.components.steps import (
    Scope,
    Step,
    computations_at_once,
    lower_steps,
    steps_kind,
    steps_references,
)
from scalesim.distributions import Distribution, sizes
from scalesim.errors import Problem
from scalesim.fields import Description, Integer, ListOf, MapOf, Name, Nested, Number, OneOf, param
from scalesim.policies.load_balancing import BALANCING, BalancingPolicy, RoundRobin

__all__ = ["Endpoint", "Service", "check_slowdown", "processors"]


@dataclass(frozen=True)
class Endpoint(Description):
    """What a service does for one kind of request. A bare list of steps is one, too.

    Parameters
    ----------
    steps : sequence of Step
    request_bytes, response_bytes : Distribution or float, optional [bytes]
        Sizes on the network; those of the traffic if absent.
    """

    primary = "steps"
    steps: tuple[Step, ...] = param(steps_kind(), "what is done, in order", kw_only=False)
    request_bytes: Distribution | None = param(sizes(), "size of the request", default=None)
    response_bytes: Distribution | None = param(sizes(), "size of the response", default=None)


def processors(
    emit: Emitter,
    name: str,
    count: int,
    slots: int,
    cores: int,
    fifo: bool,
    slowdown: tuple[float, float],
) -> Any:
    """Declare the processors of `count` nodes; return (station, operation that uses them).

    With as many cores as computations at once (`slots`) no two share one: each has its own.
    """
    if any(slowdown):
        station = emit.station(
            name, "cpu", count=count, slots=cores, kind="shared", slowdown=slowdown
        )
        return station, ops.CONTEND
    alone = slots <= cores
    kind = "slots" if fifo or alone else "shared"
    station = emit.station(name, "cpu", count=count, slots=cores, kind=kind)
    return station, ops.SERVE if kind == "slots" else ops.SHARE


def check_slowdown(
    contention: object, coherency: object, cpu_discipline: object
) -> Iterator[Problem]:
    """Yield a problem if cores that nobody shares are to slow each other down."""
    for name, value in (("contention", contention), ("coherency", coherency)):
        if value and cpu_discipline != "ps":
            message = f'got {value}, but cpu_discipline is "{cpu_discipline}"; it needs "ps"'
            yield Problem("", message, (name,))


@COMPONENTS.add("service")
@dataclass(frozen=True)
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
    cores : int [>= 1]
        Processor cores of one instance.
    cpu_discipline : {"ps", "fifo"}
        Cores shared equally among all that compute, or one after another.
    core_speeds : sequence of float, optional [> 0]
        Speed of each core of one instance: a demand d takes d / speed. Needs ``fifo``.
    core_choice : {"fastest", "random"}
        Which of several idle cores begins, where speeds are given.
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

    endpoints: dict[str, Endpoint] = param(
        MapOf(Nested(Endpoint), "an endpoint"), "what the service offers"
    )
    instances: int = param(Integer(1, 100_000), "number of equal instances", default=1)
    workers: int = param(Integer(1, 10_000_000), "requests served at once, an instance", default=1)
    backlog: int | None = param(Integer(0), "requests that may wait, an instance", default=None)
    cores: int = param(Integer(1, 100_000), "processor cores, an instance", default=1)
    cpu_discipline: str = param(
        Name(choices=("ps", "fifo")), "how the cores are shared", default="ps"
    )
    core_speeds: tuple[float, ...] | None = param(
        ListOf(Number(above=0)), "speed of each core, an instance", default=None
    )
    core_choice: str = param(
        Name(choices=("fastest", "random")), "which idle core begins", default="fastest"
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
    balancing: BalancingPolicy = param(
        OneOf(BALANCING), "how direct callers choose an instance", default=RoundRobin()
    )

    @property
    def instance_count(self) -> int:
        return self.instances

    def endpoint_names(self) -> tuple[str, ...]:
        return tuple(self.endpoints) if isinstance(self.endpoints, dict) else ()

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        yield from check_slowdown(self.contention, self.coherency, self.cpu_discipline)
        yield from self._check_cores()
        if isinstance(self.memory, (int, float)) and isinstance(self.memory_base, (int, float)):
            if self.memory_base >= self.memory:
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
            self.name, "workers", count=n, slots=self.workers, queue_limit=self.backlog
        )
        fifo = self.cpu_discipline == "fifo"
        widest = max(computations_at_once(each.steps) for each in self.endpoints.values())
        slowdown = (self.contention, self.coherency)
        slots = self.workers * widest
        if self.core_speeds is not None:
            cpu_op = ops.WORK
            cpu = emit.station(
                self.name,
                "cpu",
                count=n,
                slots=self.cores,
                kind="cores",
                core_speeds=self.core_speeds,
                random_core=self.core_choice == "random",
            )
        else:
            cpu, cpu_op = processors(emit, self.name, n, slots, self.cores, fifo, slowdown)
        memory = network_in = network_out = -1
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

        for name, endpoint in self.endpoints.items():
            emit.program(f"{self.name}.{name}")
            if network_in >= 0:
                self._transfer(emit, network_in, 0, name, endpoint, "end")
            if memory >= 0:
                amount = int(self.memory_per_request)
                emit.op(ops.RESERVE, a=memory, b=amount, on_fail="end")
            emit.op(ops.ACQUIRE, a=workers, on_fail="free" if memory >= 0 else "end")
            scope = Scope(self.name, name, cpu, cpu_op)
            lower_steps(emit, endpoint.steps, scope, "release")
            emit.label("release")
            emit.op(ops.RELEASE, a=workers)
            if network_out >= 0:
                self._transfer(emit, network_out, 1, name, endpoint, "free")
            emit.label("free")
            if memory >= 0:
                emit.op(ops.UNRESERVE, a=memory, b=int(self.memory_per_request))
            emit.label("end")
            emit.op(ops.RETURN)

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
