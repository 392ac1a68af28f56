"""Steps that call others and wait: `call`, with time-out, retries and copies, and `scatter`."""

from __future__ import annotations

from collections.abc import Iterator

from scalesim import ops
from scalesim.components.base import Emitter, Reference
from scalesim.components.circuit_breaker import CircuitBreaker
from scalesim.components.retries import Retry, lower_retry
from scalesim.components.steps import STEPS, Scope, Step
from scalesim.distributions import Constant, times
from scalesim.distributions.base import AsDistribution
from scalesim.errors import Problem
from scalesim.fields import (
    Description,
    Flag,
    Integer,
    Name,
    Nested,
    Number,
    described,
    param,
)

__all__ = ["Call", "Hedge", "Scatter", "call", "check_cancel", "lower_attempts", "scatter"]


@described
class Hedge(Description):
    """Send a copy of a call if the answer takes long; the first answer counts.

    Each further copy is sent `after` seconds after the one before, unless one has been answered by
    then (Dean & Barroso, "The tail at scale", Communications of the ACM 56(2), 2013). The call
    fails when all copies that were sent have failed: a copy is no second attempt.

    Parameters
    ----------
    after : Distribution or float [s, >= 0]
        0: all copies at once.
    copies : int [1 .. 100]
        Beside the first.
    cancel : bool
        With the first answer the other copies are withdrawn: they leave the lines they wait in
        and free what they hold. Otherwise they go on, for nothing.
    distinct : bool
        Each copy goes to another instance, drawn at random, whatever the balancing; else wherever
        the callee's balancing sends it.
    """

    primary = "after"
    after: AsDistribution = param(times(), "wait before each further copy", kw_only=False)
    copies: int = param(Integer(1, 100), "copies beside the first", default=1)
    cancel: bool = param(Flag(), "the first answer withdraws the other copies", default=False)
    distinct: bool = param(Flag(), "each copy goes to another instance", default=False)


def check_cancel(cancel: bool, timeout: float | None) -> Iterator[Problem]:
    """Yield a problem if there is no time-out that could cancel."""
    if cancel is True and timeout is None:
        yield Problem("", "cancel needs a timeout, at which the attempt is withdrawn", ("cancel",))


def lower_attempts(
    emit: Emitter,
    target: str,
    label: str,
    on_fail: str,
    counters: tuple[str, str],
    *,
    timeout: float | None = None,
    cancel: bool = False,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    breaker: CircuitBreaker | None = None,
) -> None:
    """Emit a call with a time-out, retries, copies, a breaker, all or none of them."""
    component, name = counters
    alone = timeout is None and retry is None and breaker is None
    if alone and hedge is None:
        emit.call(target, on_fail=on_fail)
        return
    emit.op(ops.COUNT, a=emit.counter(component, f"{name}.calls"))
    if alone and hedge is not None:
        _lower_copies(emit, target, hedge, label, on_fail, counters)
        return
    emit.label(f"{label}.again")
    failed = on_fail if retry is None else f"{label}.failed"
    told = failed if breaker is None else f"{label}.told"
    row, several = (-1, 0) if breaker is None else breaker.lower(emit, component, name)
    if breaker is not None:
        emit.op(ops.PERMIT, a=row, c=several, on_fail=failed)
    if hedge is None:
        emit.op(ops.COUNT, a=emit.counter(component, f"{name}.attempts"))
        program, instance, tag = emit.program_of(target)
    else:
        instance, tag = -1, ()
        with emit.subprogram(f"{label}.copies") as program:
            _lower_copies(emit, target, hedge, label, "end", counters)
            emit.label("end")
            emit.op(ops.RETURN)
    emit.op(
        ops.ATTEMPT,
        a=program,
        b=instance,
        c=int(cancel),
        x=float("inf") if timeout is None else timeout,
        on_fail=told,
        tag=tag,
    )
    if breaker is not None:
        emit.label(told)
        emit.op(ops.REPORT, a=row, c=several, on_fail=failed)
    if retry is not None:
        emit.op(ops.JUMP, a=f"{label}.done")
        emit.label(f"{label}.failed")
        lower_retry(emit, retry, f"{label}.again", on_fail, counters)
        emit.label(f"{label}.done")


def _lower_copies(
    emit: Emitter, target: str, hedge: Hedge, label: str, on_fail: str, counters: tuple[str, str]
) -> None:
    """Emit the sending of copies, one after another, until one is answered."""
    component, name = counters
    tag: tuple[str | int, ...] = ()
    count = 0
    if hedge.distinct:
        branches = emit.branches_of(target)
        (program, instance), count = branches[0], len(branches)
    else:
        program, instance, tag = emit.program_of(target)
    for copy in range(hedge.copies + 1):
        if copy and hedge.after != Constant(0.0):
            after, site = emit.sampler(hedge.after), (component, name, "hedge", copy)
            emit.op(ops.WAIT, a=f"{label}.first", b=after, site=site)
        emit.op(ops.COUNT, a=emit.counter(component, f"{name}.attempts"))
        emit.op(
            ops.FORK,
            a=program,
            b=instance,
            c=count,
            x=copy,
            site=(component, name, "instance"),
            tag=(component, name, "copy", copy) if copy else tag,
        )
    emit.label(f"{label}.first")
    emit.op(ops.JOIN, a=1, b=int(hedge.cancel), on_fail=on_fail)


@STEPS.add("call")
@described
class Call(Step):
    """Call an endpoint and wait for the answer, holding the worker meanwhile.

    A time-out abandons the attempt, which goes on using the callee unless `cancel` is set. A
    failed call fails the caller with the same status, after its retries if it has any.

    Parameters
    ----------
    to : str
        ``component.endpoint``, or the component alone if it offers one endpoint.
    timeout : float, optional [s, > 0]
        Of each attempt.
    cancel : bool
        At the time-out the attempt is withdrawn with all that it does: it leaves the lines it
        waits in and frees what it holds.
    retry : Retry, optional
    hedge : Hedge, optional
        Each attempt sends copies.
    breaker : CircuitBreaker, optional
        Each attempt asks it first, and fails as `rejected` if it may not be made.
    """

    primary = "to"
    to: str = param(Name("a reference", dotted=True), "whom to call", kw_only=False)
    timeout: float | None = param(Number("s", above=0), "time-out of each attempt", default=None)
    cancel: bool = param(Flag(), "a time-out withdraws the attempt", default=False)
    retry: Retry | None = param(Nested(Retry), "what to do after a failure", default=None)
    hedge: Hedge | None = param(Nested(Hedge), "copies of a slow attempt", default=None)
    breaker: CircuitBreaker | None = param(
        Nested(CircuitBreaker), "stops attempts while too many fail", default=None
    )

    def check_together(self) -> Iterator[Problem]:
        yield from check_cancel(self.cancel, self.timeout)

    def references(self) -> Iterator[Reference]:
        distinct = isinstance(self.hedge, Hedge) and self.hedge.distinct
        reached = self.hedge.copies + 1 if self.hedge is not None and distinct else 0
        yield Reference(("to",), self.to, "replicas" if distinct else "endpoint", reached=reached)

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        where = ".".join(map(str, place))
        lower_attempts(
            emit,
            self.to,
            f"call{where}",
            on_fail,
            (scope.component, f"{scope.endpoint}.{where}->{self.to}"),
            timeout=self.timeout,
            cancel=self.cancel,
            retry=self.retry,
            hedge=self.hedge,
            breaker=self.breaker,
        )


@STEPS.add("scatter")
@described
class Scatter(Step):
    """Call an endpoint at every instance or shard at once, and wait for answers.

    One branch goes to each instance of a service, to each shard of a sharded database, or to each
    node of another database that serves reads, whatever the balancing.

    Parameters
    ----------
    to : str
        ``component.endpoint``, or the component alone if it offers one endpoint.
    wait_for : int, optional [>= 1]
        How many branches must complete, as in `Parallel`; None: all.
    cancel : bool
        Branches that are not waited for any more are withdrawn.
    """

    primary = "to"
    to: str = param(Name("a reference", dotted=True), "whom to call", kw_only=False)
    wait_for: int | None = param(Integer(1), "branches that must complete", default=None)
    cancel: bool = param(Flag(), "the branches left over are withdrawn", default=False)

    def references(self) -> Iterator[Reference]:
        yield Reference(("to",), self.to, "scattered", reached=self.wait_for or 1)

    def lower(self, emit: Emitter, scope: Scope, place: tuple[int, ...], on_fail: str) -> None:
        for number, (program, instance) in enumerate(emit.branches_of(self.to)):
            tag: tuple[str | int, ...] = (scope.component, scope.endpoint, *place, number)
            emit.op(ops.FORK, a=program, b=instance, tag=tag)
        emit.op(ops.JOIN, a=self.wait_for or 0, b=int(self.cancel), on_fail=on_fail)


def call(
    to: str,
    *,
    timeout: float | None = None,
    cancel: bool = False,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    breaker: CircuitBreaker | None = None,
) -> Call:
    """Return a step that calls ``component.endpoint`` and waits for its answer."""
    return Call(to, timeout=timeout, cancel=cancel, retry=retry, hedge=hedge, breaker=breaker)


def scatter(to: str, *, wait_for: int | None = None, cancel: bool = False) -> Scatter:
    """Return a step that calls every instance or shard at once and waits for answers."""
    return Scatter(to, wait_for=wait_for, cancel=cancel)
