"""Steps: what an endpoint does, in order. Those that call others are in `calls`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scalesim import ops
from scalesim.components.base import Emitter, Reference
from scalesim.distributions import Distribution, times
from scalesim.distributions.base import AsDistribution
from scalesim.errors import Problem
from scalesim.fields import (
    Description,
    Family,
    Flag,
    Given,
    Integer,
    Kind,
    ListOf,
    Name,
    Number,
    OneOf,
    described,
    param,
)

__all__ = [
    "Compute",
    "Fail",
    "Parallel",
    "Publish",
    "STEPS",
    "Scope",
    "Sleep",
    "Step",
    "computations_at_once",
    "compute",
    "fail",
    "parallel",
    "publish",
    "sleep",
    "steps_kind",
    "steps_references",
]

STEPS = Family("step")


@dataclass(frozen=True)
class Scope:
    """Where a list of steps runs: whose, on which processors it computes, and how urgently."""

    component: str
    endpoint: str
    cpu: int = -1
    cpu_op: int = ops.SHARE
    priority: int = 0


class Step(Description):
    """Base of steps."""

    def references(self) -> Iterator[Reference]:
        """Yield the names this step depends on."""
        yield from ()

    @property
    def computations(self) -> int:
        """How many processors this step can use at once, at most."""
        return 0

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        """Emit this step's operations; `place` is its position in the script."""
        raise NotImplementedError


def steps_kind() -> Kind:
    """Return the kind of a field that holds a list of steps."""
    return ListOf(OneOf(STEPS))


def steps_references(steps: Sequence[Any]) -> Iterator[Reference]:
    """Yield the references of a list of steps, paths relative to the list."""
    for index, step in enumerate(steps):
        if isinstance(step, Step):
            for reference in step.references():
                yield reference._replace(path=(index, *reference.path))


def computations_at_once(steps: Sequence[Any]) -> int:
    """Return how many processors one request can use at once, at most."""
    return max((step.computations for step in steps if isinstance(step, Step)), default=0)


def lower_steps(
    emit: Emitter, steps: Sequence[Step], scope: Scope, on_fail: str, place: tuple[int, ...] = ()
) -> None:
    """Emit all steps; the first that fails jumps to `on_fail`."""
    for index, step in enumerate(steps):
        step.lower(emit, scope, (*place, index), on_fail)


@STEPS.add("compute")
@described
class Compute(Step):
    """Use a processor: `demand` seconds of one core, more if the cores are shared.

    Parameters
    ----------
    demand : Distribution or float [s of one core, >= 0]
    """

    primary = "demand"
    demand: AsDistribution = param(times(), "processor time of one core", kw_only=False)

    @property
    def computations(self) -> int:
        return 1

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        site: tuple[str | int, ...] = (scope.component, scope.endpoint, "compute", *place)
        emit.op(
            scope.cpu_op,
            a=scope.cpu,
            b=emit.sampler(self.demand),
            c=scope.priority,
            on_fail=on_fail,
            site=site,
        )


@STEPS.add("sleep")
@described
class Sleep(Step):
    """Let time pass while holding the worker: a call to something outside the model.

    Parameters
    ----------
    time : Distribution or float [s, >= 0]
    """

    primary = "time"
    time: AsDistribution = param(times(), "how long", kw_only=False)

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        site: tuple[str | int, ...] = (scope.component, scope.endpoint, "sleep", *place)
        emit.op(ops.DELAY, b=emit.sampler(self.time), site=site)


@STEPS.add("fail")
@described
class Fail(Step):
    """Fail here with some probability, after the time that the steps before took.

    Parameters
    ----------
    probability : float [ratio]
    """

    primary = "probability"
    probability: float = param(
        Number(at_least=0, at_most=1), "how likely it is to fail here", kw_only=False
    )

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        site: tuple[str | int, ...] = (scope.component, scope.endpoint, "fail", *place)
        emit.op(ops.FAIL, x=self.probability, on_fail=on_fail, site=site)


@STEPS.add("publish")
@described
class Publish(Step):
    """Put a message into a queue and go on; fails if the queue is full and rejects.

    Parameters
    ----------
    to : str
        Name of a `MessageQueue`.
    """

    primary = "to"
    to: str = param(Name("a message queue"), "which queue", kw_only=False)

    def references(self) -> Iterator[Reference]:
        yield Reference(("to",), self.to, "message_queue")

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        emit.call(f"{self.to}.publish", on_fail=on_fail)


@STEPS.add("parallel")
@described
class Parallel(Step):
    """Run branches at once and wait for all; fails if any fails, after all have ended.

    With `wait_for` it goes on as soon as that many branches have completed, and fails as soon as
    so many have failed that they no longer can, with the status of the first that failed. The
    other branches run to their end, for nothing.

    Parameters
    ----------
    branches : sequence of sequence of steps
    wait_for : int, optional [1 .. number of branches]
        How many branches must complete; None: all, and all are waited for.
    cancel : bool
        Branches that are not waited for any more are withdrawn: they leave the lines they wait in
        and free what they hold.
    """

    primary = "branches"
    branches: Given[tuple[tuple[Step, ...], ...], Sequence[Sequence[Step]]] = param(
        ListOf(steps_kind()), "lists of steps that run at once", kw_only=False
    )
    wait_for: int | None = param(Integer(1), "branches that must complete", default=None)
    cancel: bool = param(Flag(), "the branches left over are withdrawn", default=False)

    def check_together(self) -> Iterator[Problem]:
        if isinstance(self.branches, tuple) and isinstance(self.wait_for, int):
            count = len(self.branches)
            if self.wait_for > count:
                message = f"got {self.wait_for}, there are {count} branches"
                yield Problem("", message, ("wait_for",))

    @property
    def computations(self) -> int:
        return sum(computations_at_once(branch) for branch in self.branches)

    def references(self) -> Iterator[Reference]:
        for index, branch in enumerate(self.branches):
            for reference in steps_references(branch):
                yield reference._replace(path=("branches", index, *reference.path))

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        where = ".".join(map(str, place))
        for index, branch in enumerate(self.branches):
            with emit.subprogram(f"branch{where}.{index}") as name:
                lower_steps(emit, branch, scope, "end", (*place, index))
                emit.label("end")
                emit.op(ops.RETURN)
            tag: tuple[str | int, ...] = (scope.component, scope.endpoint, *place, index)
            emit.op(ops.FORK, a=name, b=-1, tag=tag)
        emit.op(ops.JOIN, a=self.wait_for or 0, b=int(self.cancel), on_fail=on_fail)


def compute(demand: Distribution | float) -> Compute:
    """Return a step that uses a processor for `demand` [s of one core]."""
    return Compute(demand)


def sleep(time: Distribution | float) -> Sleep:
    """Return a step that lets `time` [s] pass while the worker is held."""
    return Sleep(time)


def fail(probability: float) -> Fail:
    """Return a step that fails with `probability` [ratio]."""
    return Fail(probability)


def publish(to: str) -> Publish:
    """Return a step that puts a message into the queue `to`."""
    return Publish(to)


def parallel(
    *branches: Sequence[Step], wait_for: int | None = None, cancel: bool = False
) -> Parallel:
    """Return a step that runs the branches at once and waits for all, or for `wait_for`."""
    return Parallel(tuple(branches), wait_for=wait_for, cancel=cancel)
