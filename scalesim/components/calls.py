"""Steps that call others and wait: `call` with time-out and retries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scalesim import ops
from scalesim.components.base import Emitter, Reference
from scalesim.components.retries import Retry, lower_retry
from scalesim.components.steps import STEPS, Scope, Step
from scalesim.fields import Name, Nested, Number, param

__all__ = ["Call", "call", "lower_attempts"]


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
    lower_retry(emit, retry, f"{label}.again", on_fail, counters)
    emit.label(f"{label}.done")


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


def call(to: str, *, timeout: float | None = None, retry: Retry | None = None) -> Call:
    """Return a step that calls ``component.endpoint`` and waits for its answer."""
    return Call(to, timeout=timeout, retry=retry)
