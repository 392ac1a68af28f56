"""Steps: what an endpoint does, in order: compute, call, sleep, parallel, publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scalesim import ops
from scalesim.components.base import Emitter, Reference
from scalesim.distributions import Distribution, times
from scalesim.fields import (
    Description,
    Family,
    Integer,
    Kind,
    ListOf,
    Name,
    Nested,
    Number,
    OneOf,
    param,
)

__all__ = [
    "Call",
    "Compute",
    "Parallel",
    "Publish",
    "Retry",
    "STEPS",
    "Scope",
    "Sleep",
    "Step",
    "call",
    "computations_at_once",
    "compute",
    "lower_attempts",
    "parallel",
    "publish",
    "sleep",
    "steps_kind",
    "steps_references",
]

STEPS = Family("step")


@dataclass(frozen=True)
class Retry(Description):
    """Try again after a failure, with exponential back-off.

    Before attempt n + 1 the caller waits ``min(backoff * factor ** (n - 1), cap)``, times a
    uniform number in [0, 1) with full jitter, in [0.5, 1) with equal jitter (Brooker, "Exponential
    backoff and jitter", AWS Architecture Blog, 2015). Any outcome but `completed` is retried.

    Parameters
    ----------
    attempts : int [2 .. 1000]
        All attempts, the first included.
    backoff : float [s, >= 0]
    factor : float [>= 1]
    cap : float [s, > 0]
    jitter : {"full", "equal", "none"}
    """

    primary = "attempts"
    attempts: int = param(Integer(2, 1000), "all attempts, the first included", kw_only=False)
    backoff: float = param(Number("s", at_least=0), "wait before the second attempt", default=0.0)
    factor: float = param(Number(at_least=1, at_most=100), "growth of the wait", default=2.0)
    cap: float = param(Number("s", above=0), "longest wait", default=60.0)
    jitter: str = param(
        Name(choices=("full", "equal", "none")), "randomness of the wait", default="full"
    )


@dataclass(frozen=True)
class Scope:
    """Where a list of steps runs: whose it is, and on which processors it may compute."""

    component: str
    endpoint: str
    cpu: int = -1
    cpu_op: int = ops.SHARE


class Step(Description):
    """Base of steps."""

    def references(self) -> Iterator[Reference]:
        """Yield the names this step depends on."""
        yield from ()

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
    widest = 0
    for step in steps:
        if isinstance(step, Parallel):
            widest = max(widest, sum(computations_at_once(branch) for branch in step.branches))
        elif isinstance(step, Compute):
            widest = max(widest, 1)
    return widest


def lower_steps(
    emit: Emitter, steps: Sequence[Step], scope: Scope, on_fail: str, place: tuple[int, ...] = ()
) -> None:
    """Emit all steps; the first that fails jumps to `on_fail`."""
    for index, step in enumerate(steps):
        step.lower(emit, scope, (*place, index), on_fail)


def lower_attempts(
    emit: Emitter,
    target: str,
    timeout: float | None,
    retry: Retry | None,
    label: str,
    on_fail: str,
    counters: tuple[str, str],
) -> None:
    """Emit a call with a time-out, retries, both or neither."""
    if timeout is None and retry is None:
        emit.call(target, on_fail=on_fail)
        return
    component, name = counters
    emit.op(ops.COUNT, a=emit.counter(component, f"{name}.calls"))
    emit.label(f"{label}.again")
    emit.op(ops.COUNT, a=emit.counter(component, f"{name}.attempts"))
    wait = float("inf") if timeout is None else timeout
    if retry is None:
        emit.call(target, on_fail=on_fail, attempt_timeout=wait)
        return
    emit.call(target, on_fail=f"{label}.failed", attempt_timeout=wait)
    emit.op(ops.JUMP, a=f"{label}.done")
    emit.label(f"{label}.failed")
    rule = emit.retry(
        attempts=retry.attempts,
        backoff=retry.backoff,
        factor=retry.factor,
        cap=retry.cap,
        jitter=("none", "full", "equal").index(retry.jitter),
    )
    site = (component, name, "backoff")
    emit.op(ops.RETRY, a=rule, b=f"{label}.again", on_fail=on_fail, site=site)
    emit.label(f"{label}.done")


@STEPS.add("compute")
@dataclass(frozen=True)
class Compute(Step):
    """Use a processor: `demand` seconds of one core, more if the cores are shared.

    Parameters
    ----------
    demand : Distribution or float [s of one core, >= 0]
    """

    primary = "demand"
    demand: Distribution = param(times(), "processor time of one core", kw_only=False)

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        site: tuple[str | int, ...] = (scope.component, scope.endpoint, "compute", *place)
        emit.op(scope.cpu_op, a=scope.cpu, b=emit.sampler(self.demand), on_fail=on_fail, site=site)


@STEPS.add("sleep")
@dataclass(frozen=True)
class Sleep(Step):
    """Let time pass while holding the worker: a call to something outside the model.

    Parameters
    ----------
    time : Distribution or float [s, >= 0]
    """

    primary = "time"
    time: Distribution = param(times(), "how long", kw_only=False)

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        site: tuple[str | int, ...] = (scope.component, scope.endpoint, "sleep", *place)
        emit.op(ops.DELAY, b=emit.sampler(self.time), site=site)


@STEPS.add("call")
@dataclass(frozen=True)
class Call(Step):
    """Call an endpoint and wait for the answer, holding the worker meanwhile.

    A time-out abandons the attempt, which goes on using the callee. A failed call fails the
    caller with the same status, after its retries if it has any.

    Parameters
    ----------
    to : str
        ``component.endpoint``, or the component alone if it offers one endpoint.
    timeout : float, optional [s, > 0]
        Of each attempt.
    retry : Retry, optional
    """

    primary = "to"
    to: str = param(Name("a reference", dotted=True), "whom to call", kw_only=False)
    timeout: float | None = param(Number("s", above=0), "time-out of each attempt", default=None)
    retry: Retry | None = param(Nested(Retry), "what to do after a failure", default=None)

    def references(self) -> Iterator[Reference]:
        yield Reference(("to",), self.to, "endpoint")

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        where = ".".join(map(str, place))
        name = f"{scope.endpoint}.{where}->{self.to}"
        lower_attempts(
            emit,
            self.to,
            self.timeout,
            self.retry,
            f"call{where}",
            on_fail,
            (scope.component, name),
        )


@STEPS.add("publish")
@dataclass(frozen=True)
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
@dataclass(frozen=True)
class Parallel(Step):
    """Run branches at once and wait for all; fails if any fails, after all have ended.

    Parameters
    ----------
    branches : sequence of sequence of steps
    """

    primary = "branches"
    branches: tuple[tuple[Step, ...], ...] = param(
        ListOf(steps_kind()), "lists of steps that run at once", kw_only=False
    )

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
            emit.op(ops.FORK, a=name, tag=tag)
        emit.op(ops.JOIN, on_fail=on_fail)


def compute(demand: Distribution | float) -> Compute:
    """Return a step that uses a processor for `demand` [s of one core]."""
    return Compute(demand)  # type: ignore[arg-type]


def sleep(time: Distribution | float) -> Sleep:
    """Return a step that lets `time` [s] pass while the worker is held."""
    return Sleep(time)  # type: ignore[arg-type]


def call(to: str, *, timeout: float | None = None, retry: Retry | None = None) -> Call:
    """Return a step that calls ``component.endpoint`` and waits for its answer."""
    return Call(to, timeout=timeout, retry=retry)


def publish(to: str) -> Publish:
    """Return a step that puts a message into the queue `to`."""
    return Publish(to)


def parallel(*branches: Sequence[Step]) -> Parallel:
    """Return a step that runs the branches at once and waits for all."""
    return Parallel(tuple(branches))  # type: ignore[arg-type]
