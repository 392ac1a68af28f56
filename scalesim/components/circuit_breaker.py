"""Circuit breaker: a caller that stops calling what keeps failing, for a while."""

from __future__ import annotations

from collections.abc import Iterator

from scalesim.components.base import Emitter
from scalesim.errors import Problem
from scalesim.fields import Description, Integer, Number, described, param
from scalesim.policies.breaking import STATES

__all__ = ["CircuitBreaker"]

_RATIO, _WINDOW = 0.5, 100


@described
class CircuitBreaker(Description):
    """Reject calls at once while too many fail, as Nygard, "Release it!" (2007) proposed.

    While *closed* it lets all calls through, and opens when too many of the last have failed,
    whatever the kind of failure. While *open* it rejects. The first call after `open_time` makes it
    *half open*: it lets `trial_calls` through and rejects others until these are answered, which
    closes or opens it. Defaults and rules are those of resilience4j 2 (``COUNT_BASED`` window).
    Outcomes of calls that were let through before its last change of state are ignored. Each
    instance of a service has a breaker of its own for each call.

    Parameters
    ----------
    failure_ratio : float [> 0, <= 1]
        It opens when this share of the last `window` calls has failed, or of the trials.
    window : int [1 .. 1,000,000]
    minimum_calls : int, optional [>= 1]
        It does not open before so many calls were answered; None: as many as `window`.
    consecutive_failures : int, optional [>= 1]
        It opens after so many failures in a row instead, and after any trial that fails.
    open_time : float [s, > 0]
    trial_calls : int [1 .. 1,000,000]
    """

    failure_ratio: float = param(
        Number(above=0, at_most=1), "share of calls that must fail", default=_RATIO
    )
    window: int = param(Integer(1, 1_000_000), "calls that the share is of", default=_WINDOW)
    minimum_calls: int | None = param(
        Integer(1, 1_000_000), "calls before it may open", default=None
    )
    consecutive_failures: int | None = param(
        Integer(1, 1_000_000), "failures in a row that open it", default=None
    )
    open_time: float = param(Number("s", above=0), "how long it rejects", default=60.0)
    trial_calls: int = param(Integer(1, 1_000_000), "calls let through to try", default=10)

    def check_together(self) -> Iterator[Problem]:
        if self.consecutive_failures is not None:
            defaults = {"failure_ratio": _RATIO, "window": _WINDOW, "minimum_calls": None}
            for name, default in defaults.items():
                if getattr(self, name) != default:
                    message = f"{name} has no effect with consecutive_failures; give one"
                    yield Problem("", message, (name,))
        elif (self.minimum_calls or 0) > self.window:
            message = f"minimum_calls is {self.minimum_calls}, window {self.window}: never reached"
            yield Problem("", message, ("minimum_calls",))

    def lower(self, emit: Emitter, component: str, name: str) -> tuple[int, int]:
        """Declare the breakers of a call; return the first, and 1 if there are several."""
        count = len(emit.members_of(component))
        in_a_row = self.consecutive_failures or 0
        level = emit.level(component, f"breaker[{name}]", count=count, size=STATES)
        rows = [
            emit.rule(
                "breaker",
                failure_ratio=self.failure_ratio,
                in_a_row=in_a_row,
                window=0 if in_a_row else self.window,
                minimum=self.minimum_calls or self.window,
                open_time=self.open_time,
                trials=self.trial_calls,
                level=level + instance,
                rejected=emit.counter(component, f"{name}.breaker_rejected"),
                opened=emit.counter(component, f"{name}.breaker_opened"),
                first=0,
            )
            for instance in range(count)
        ]
        return rows[0], int(count > 1)
