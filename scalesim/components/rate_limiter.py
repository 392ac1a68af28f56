"""RateLimiter: lets so many requests a second through; the others are rejected or wait."""

from __future__ import annotations

from collections.abc import Iterator

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.errors import Problem
from scalesim.fields import Integer, Name, Number, described, param
from scalesim.policies.limiting import ALGORITHMS, meter_size

__all__ = ["RateLimiter"]


@COMPONENTS.add("rate_limiter")
@described
class RateLimiter(MachineComponent):
    """A limit on a rate: in front of a component, whose endpoints it offers, or called by itself.

    A token bucket holds `burst` tokens, is full at the start and is refilled continuously; a
    request takes one. With `burst` 1 it is a leaky bucket: nothing passes sooner than 1 / rate
    after the one before. A fixed window lets ``rate * window`` requests through in each
    ``[k * window, (k + 1) * window)``, so up to twice as many around a boundary; a sliding window
    as many in any stretch of that length.

    Its resource ``rate`` is used to the share of the rate that passed.

    Parameters
    ----------
    target : str, optional
        Component behind it. None: it offers one endpoint, ``admit``, for ``call`` steps.
    rate : float [1/s, > 0]
    burst : int [>= 1]
        Requests that may pass at once after a pause; token bucket only.
    algorithm : {"token_bucket", "fixed_window", "sliding_window"}
    window : float, optional [s, > 0]
        Of the two windows; ``rate * window`` must be a whole number.
    on_excess : {"reject", "delay"}
        Reject what exceeds the rate, or let it wait its turn.
    queue_limit : int, optional [>= 0]
        Requests that may wait; None: no bound.
    per : {"all", "client"}
        One limit for all, or one for each client.
    """

    target: str | None = param(Name("a component"), "component behind it", default=None)
    rate: float = param(Number("1/s", above=0), "requests let through a second")
    burst: int = param(Integer(1), "requests that may pass at once", default=1)
    algorithm: str = param(
        Name(choices=ALGORITHMS), "how the rate is counted", default="token_bucket"
    )
    window: float | None = param(Number("s", above=0), "length of a window", default=None)
    on_excess: str = param(
        Name(choices=("reject", "delay")), "what happens to the others", default="reject"
    )
    queue_limit: int | None = param(Integer(0), "requests that may wait", default=None)
    per: str = param(
        Name(choices=("all", "client")), "one limit for all or for each client", default="all"
    )

    @property
    def limit(self) -> int:
        """Requests of a full bucket or of a window."""
        return self.burst if self.window is None else round(self.rate * self.window)

    def endpoint_names(self) -> tuple[str, ...]:
        return ("admit",) if self.target is None else ()

    def forwards_to(self) -> tuple[str, ...]:
        return () if self.target is None else (self.target,)

    def references(self) -> Iterator[Reference]:
        if self.target is not None:
            yield Reference(("target",), self.target)

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        windows = self.algorithm in ALGORITHMS[1:]
        if windows and self.window is None:
            yield Problem("", f"{self.algorithm} needs window", ("window",))
        if not windows and self.window is not None:
            yield Problem("", "window needs algorithm fixed_window or sliding_window", ("window",))
        if windows and self.burst != 1:
            yield Problem("", f"burst is of token_bucket, not of {self.algorithm}", ("burst",))
        if self.queue_limit is not None and self.on_excess == "reject":
            yield Problem("", "queue_limit needs on_excess delay", ("queue_limit",))
        sound = all(isinstance(each, (int, float)) for each in (self.rate, self.window))
        if windows and sound and not self._whole():
            message = (
                f"rate * window is {self.rate * self.window:g} requests; "  # type: ignore[operator]
                "it must be a whole number, at least 1 and at most 1,000,000"
            )
            yield Problem("", message, ("window",))

    def _whole(self) -> bool:
        assert self.window is not None
        product = self.rate * self.window
        return 1 <= self.limit <= 1_000_000 and abs(product - self.limit) <= 1e-9 * product

    def lower(self, emit: Emitter) -> None:
        station = emit.station(self.name, "rate", slots=1, kind="rate")
        limiter = emit.rule(
            "limiter",
            station=station,
            kind=ALGORITHMS.index(self.algorithm),
            gap=1.0 / self.rate,
            limit=self.limit,
            window=self.window or 0.0,
            delays=int(self.on_excess == "delay"),
            queue_limit=-1 if self.queue_limit is None else self.queue_limit,
            by_client=int(self.per == "client"),
            first=0,
            size=meter_size(self.algorithm, self.limit),
        )
        for name in self.endpoint_names() or emit.endpoints_of(self.name):
            emit.program(f"{self.name}.{name}")
            emit.op(ops.ADMIT, a=limiter, on_fail="end")
            emit.op(ops.ADMITTED, a=limiter)
            if self.target is not None:
                emit.call(f"{self.target}.{name}", on_fail="end")
            emit.label("end")
            emit.op(ops.RETURN)
