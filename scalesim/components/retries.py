"""Retry: what a caller does after a failed attempt. Used by calls and by clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scalesim import ops
from scalesim.components.base import Emitter
from scalesim.distributions import Distribution, times
from scalesim.distributions.base import DistributionLike
from scalesim.errors import Problem
from scalesim.fields import (
    AsTuple,
    Description,
    Given,
    Integer,
    Kind,
    ListOf,
    Name,
    Number,
    Values,
    described,
    is_sequence,
    param,
)

__all__ = ["JITTER", "Retry", "lower_retry"]

JITTER = ("none", "full", "equal")
"""A kind's code in the plan is its index."""

_FACTOR, _CAP = 2.0, 60.0


class _Backoff(Kind):
    """A wait that grows, the waits one by one, or a distribution."""

    number = Number("s", at_least=0)
    several = ListOf(number)
    law = times()

    def _kind(self, value: Any) -> Kind:
        if is_sequence(value):
            return self.several
        return self.law if isinstance(value, (Distribution, dict)) else self.number

    def normalize(self, value: Any) -> Any:
        return self._kind(value).normalize(value)

    def check(self, value: Any) -> Iterator[Problem]:
        yield from self._kind(value).check(value)

    def decode(self, node: Any) -> Any:
        return self._kind(node).decode(node)

    def encode(self, value: Any) -> Any:
        if isinstance(value, Distribution):
            return {value.type_name: value.encode()}  # a constant alone would be read as a number
        return self._kind(value).encode(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [kind.schema() for kind in (self.number, self.several, self.law)]}


_GivenBackoff = Given[float | tuple[float, ...] | Distribution, Values[float] | DistributionLike]


@described
class Retry(Description):
    """Try again after a failure, with exponential back-off.

    Before attempt n + 1 the caller waits ``min(backoff * factor ** (n - 1), cap)``, times a
    uniform number in [0, 1) with full jitter, in [0.5, 1) with equal jitter (Brooker, "Exponential
    backoff and jitter", AWS Architecture Blog, 2015). A list gives the waits one by one, of which
    the last is repeated; a distribution is drawn from anew for each wait.

    Parameters
    ----------
    attempts : int, optional [2 .. 1000]
        All attempts, the first included; None: no bound.
    backoff : float, sequence of float or Distribution [s, >= 0]
    factor : float [>= 1]
        For a `backoff` that is a number; so is `cap`.
    cap : float [s, > 0]
    jitter : {"full", "equal", "none"}, optional
        Full if absent and `backoff` is a number, else none.
    on : str or sequence of {"rejected", "timed_out", "failed"}
        The outcomes after which to try again.
    give_up : float [ratio]
        How likely the caller is to give up, anew before each further attempt.
    """

    primary = "attempts"
    attempts: int | None = param(
        Integer(2, 1000), "all attempts, the first included", default=None, kw_only=False
    )
    backoff: _GivenBackoff = param(
        _Backoff(), "wait before the second attempt, all waits, or their law", default=0.0
    )
    factor: float = param(Number(at_least=1, at_most=100), "growth of the wait", default=_FACTOR)
    cap: float = param(Number("s", above=0), "longest wait", default=_CAP)
    jitter: str | None = param(Name(choices=JITTER), "randomness of the wait", default=None)
    on: AsTuple[str] = param(
        ListOf(Name(choices=ops.OUTCOMES[1:]), alone=True),
        "outcomes that are retried",
        default=ops.OUTCOMES[1:],
    )
    give_up: float = param(
        Number(at_least=0, at_most=1), "how likely each further attempt is not made", default=0.0
    )

    def check_together(self) -> Iterator[Problem]:
        backoff = self.backoff
        grows = isinstance(backoff, (int, float))
        if not grows and (self.factor, self.cap) != (_FACTOR, _CAP):
            yield Problem("", "factor and cap are for a backoff that is one number", ("backoff",))
        if isinstance(backoff, tuple) and isinstance(self.attempts, int) and self.attempts > 1:
            waits = self.attempts - 1
            if len(backoff) > waits:
                message = f"got {len(backoff)} waits, {self.attempts} attempts have {waits} between"
                yield Problem("", message, ("backoff",))
        last = backoff[-1:] if isinstance(backoff, tuple) else (getattr(backoff, "mean", backoff),)
        if self.attempts is None and 0.0 in last:
            message = "attempts has no bound and backoff is 0 s: a request could try again without "
            yield Problem("", message + "end at one moment; give one of them", ("attempts",))


def lower_retry(
    emit: Emitter, retry: Retry, again: str, on_fail: str, counters: tuple[str, str]
) -> None:
    """Emit what follows a failed attempt: a jump to `again` after the wait, or to `on_fail`."""
    component, name = counters
    backoff = retry.backoff
    first = backoff if isinstance(backoff, (int, float)) else None
    rule = emit.retry(
        backoff if isinstance(backoff, tuple) else (),
        attempts=-1 if retry.attempts is None else retry.attempts,
        backoff=first or 0.0,
        factor=retry.factor,
        cap=retry.cap,
        jitter=JITTER.index(retry.jitter or ("none" if first is None else "full")),
        sampler=emit.sampler(backoff) if isinstance(backoff, Distribution) else -1,
        outcomes=sum(1 << ops.OUTCOMES.index(each) for each in set(retry.on)),
        give_up=retry.give_up,
        first_failed=emit.counter(component, f"{name}.first_failed"),
        waits_tally=emit.tally(component, f"{name}.backoff"),
    )
    emit.op(
        ops.RETRY,
        a=rule,
        b=again,
        on_fail=on_fail,
        site=(component, name, "backoff"),
        tag=(component, name, "give_up"),
    )
