"""What a caller gets: the time of a call with its time-outs and retries, and how it may end."""

from __future__ import annotations

import math
from typing import NamedTuple

from scalesim.components import Retry
from scalesim.distributions import Constant, Distribution, Uniform
from scalesim.engines.analytic import times
from scalesim.engines.analytic.times import NOTHING, Time

__all__ = ["DONE", "Reply", "asked", "in_turn", "one_of", "pause", "repeated"]


class Reply(NamedTuple):
    """How a place answers.

    Parameters
    ----------
    time : Time
        Of answers that are `completed`.
    rejected, timed_out, failed : float [ratio]
        Shares of those that end otherwise.
    doubts : frozenset of str
        Names of the approximations on which this rests.
    attempts : float
        Mean number of attempts.
    queues : int
        Stations on the way at which a request may wait.
    gone : Time
        Of those that are not completed: how long until that is known.
    time_doubts : frozenset of str
        The same for the time alone.
    tells : bool
        Whether the time tells something of who else has left just before: where processors are
        shared it does, in a line with exponential services it does not (Burke, Operations Research
        4, 1956; Reich, Annals of Mathematical Statistics 28, 1957).
    """

    time: Time
    rejected: float = 0.0
    timed_out: float = 0.0
    failed: float = 0.0
    doubts: frozenset[str] = frozenset()
    attempts: float = 1.0
    queues: int = 0
    gone: Time = NOTHING
    time_doubts: frozenset[str] = frozenset()
    tells: bool = False

    @property
    def completed(self) -> float:
        """Share that is answered."""
        return max(1.0 - self.rejected - self.timed_out - self.failed, 0.0)

    @property
    def depends(self) -> bool:
        """Whether it is lost or not by what others do."""
        return self.rejected > 0 or (self.timed_out > 0 and self.queues > 0)

    @property
    def spent(self) -> float:
        """Mean time until it ends, however it does [s]."""
        return self.completed * self.time.mean + (1 - self.completed) * self.gone.mean

    @property
    def law_known(self) -> bool:
        """Whether the law of the time follows from theorems, and not only its mean."""
        return self.time.exact and self.queues <= 1

    def shares(self) -> dict[str, float]:
        """Return the shares that are not completed, by outcome."""
        return {"rejected": self.rejected, "timed_out": self.timed_out, "failed": self.failed}


DONE = Reply(NOTHING)


def asked(reply: Reply, timeout: float | None, retry: Retry | None) -> Reply:
    """Return what a caller sees who gives up after `timeout` and tries again as `retry` says.

    The attempts of one request are taken as independent; their load is the caller's business.
    """
    if timeout is not None:
        reply = _within(reply, timeout)
    if retry is None:
        return reply
    again = math.fsum(share for name, share in reply.shares().items() if name in retry.on)
    if again <= 0:
        return reply
    onward = again * (1 - retry.give_up)
    ways: list[tuple[float, Time]] = []
    gone: list[tuple[float, Time]] = []
    before: list[Time] = []
    attempts = given_up = 0.0
    chance = 1.0  # of making this attempt
    for attempt in range(retry.attempts or _ENDLESS):
        attempts += chance
        ways.append((chance * reply.completed, times.added([*before, reply.time])))
        last = attempt + 1 == (retry.attempts or _ENDLESS)
        stops = chance * again * (1.0 if last else retry.give_up)
        given_up += stops
        once = chance * (1 - reply.completed - again)
        gone.append((stops + once, times.added([*before, reply.gone])))
        chance *= onward
        if chance < _NEGLIGIBLE:
            break
        before = [*before, reply.gone, pause(retry, attempt)]
    final = {
        name: share * attempts if name not in retry.on else share / again * given_up
        for name, share in reply.shares().items()
    }
    completed = any(weight > 0 for weight, _ in ways)
    found = reply.queues or reply.rejected  # by the attempts before it, too
    doubts = reply.doubts | ({"fixed point of retries"} if found else frozenset())
    if again < 1 - reply.completed - 1e-12:
        doubts |= {"failures as if alike"}
    return Reply(
        times.mixed(ways) if completed else reply.time,
        **final,
        doubts=doubts,
        attempts=attempts,
        queues=reply.queues,
        gone=times.mixed(gone),
        time_doubts=reply.time_doubts,
        tells=reply.tells,
    )


def _within(reply: Reply, timeout: float) -> Reply:
    """Return what is seen by one who walks away after `timeout`."""
    within, _ = reply.time.within(timeout)
    early, _ = reply.gone.within(timeout)
    known = reply.law_known and (reply.gone.exact or early >= 1.0)
    doubts = reply.doubts | reply.time_doubts
    doubts |= frozenset() if known else {"gamma-fitted law"}
    lost = reply.rejected + reply.failed + reply.timed_out
    late = reply.completed * (1 - within) + lost * (1 - early)
    gone = [
        (lost * early, times.truncated(reply.gone, timeout)),
        (late, times.drawn(Constant(timeout))),
    ]
    return reply._replace(
        time=times.truncated(reply.time, timeout),
        rejected=reply.rejected * early,
        failed=reply.failed * early,
        timed_out=late + reply.timed_out * early,
        doubts=doubts,
        gone=times.mixed(gone),
    )


_ENDLESS = 10_000
_NEGLIGIBLE = 1e-10


def pause(retry: Retry, attempt: int) -> Time:
    """Return the back-off after attempt number `attempt`, from 0."""
    if isinstance(retry.backoff, Distribution):
        return times.drawn(retry.backoff)
    if isinstance(retry.backoff, tuple):
        longest = retry.backoff[min(attempt, len(retry.backoff) - 1)]
        jitter = retry.jitter or "none"
    else:
        longest = min(retry.backoff * retry.factor**attempt, retry.cap)
        jitter = retry.jitter or "full"
    if longest <= 0:
        return NOTHING
    low = {"full": 0.0, "equal": longest / 2}.get(jitter)
    return times.drawn(Constant(longest) if low is None else Uniform(low, longest))


def in_turn(replies: list[Reply]) -> Reply:
    """Return what several replies one after another come to; the first that fails ends it."""
    ok = 1.0
    lost = {"rejected": 0.0, "timed_out": 0.0, "failed": 0.0}
    gone: list[tuple[float, Time]] = []
    time_doubts = frozenset[str]().union(*(reply.time_doubts for reply in replies))
    for index, reply in enumerate(replies):
        before = replies[:index]
        told = any(each.tells for each in before) or sum(each.queues for each in before) > 1
        if reply.depends and told:  # those who come through have not waited as long as all
            time_doubts |= {"losses as if independent"}
        for name, share in reply.shares().items():
            lost[name] += ok * share
        if reply.completed < 1:
            so_far = [each.time for each in replies[:index]]
            gone.append((ok * (1 - reply.completed), times.added([*so_far, reply.gone])))
        ok *= reply.completed
    return Reply(
        times.added([reply.time for reply in replies]),
        **lost,
        doubts=frozenset[str]().union(*(reply.doubts for reply in replies)),
        queues=sum(reply.queues for reply in replies),
        gone=times.mixed(gone),
        time_doubts=time_doubts,
        tells=any(reply.tells for reply in replies),
    )


def one_of(weighted: list[tuple[float, Reply]]) -> Reply:
    """Return what one of several replies comes to, each with its weight."""
    if len(weighted) == 1:
        return weighted[0][1]
    total = math.fsum(weight for weight, _ in weighted) or 1.0
    good = [(weight * reply.completed, reply.time) for weight, reply in weighted]
    gone = [(weight * (1 - reply.completed), reply.gone) for weight, reply in weighted]
    lost = {
        name: math.fsum(weight * reply.shares()[name] for weight, reply in weighted) / total
        for name in ("rejected", "timed_out", "failed")
    }
    return Reply(
        times.mixed(good) if any(weight > 0 for weight, _ in good) else NOTHING,
        **lost,
        doubts=frozenset[str]().union(*(reply.doubts for weight, reply in weighted if weight > 0)),
        queues=max(reply.queues for _, reply in weighted),
        gone=times.mixed(gone),
        time_doubts=frozenset[str]().union(*(each.time_doubts for w, each in weighted if w > 0)),
        tells=any(reply.tells for weight, reply in weighted if weight > 0),
    )


def repeated(weighted: list[tuple[float, Reply]]) -> Reply:
    """Return what replies come to of which each is awaited a random number of times.

    Parameters
    ----------
    weighted : list of (float, Reply)
        Mean number of visits, and what one of them takes.
    """
    mean = math.fsum(visits * reply.time.mean for visits, reply in weighted)
    spread = math.fsum(
        visits * reply.time.variance + visits * max(visits - 1, 0.0) * reply.time.mean**2
        for visits, reply in weighted
    )
    lost = {
        name: min(math.fsum(visits * reply.shares()[name] for visits, reply in weighted), 1.0)
        for name in ("rejected", "timed_out", "failed")
    }
    doubts = frozenset[str]().union(*(reply.doubts for _, reply in weighted))
    if any(lost.values()):
        doubts |= {"losses add up"}
    return Reply(
        times.fitted(mean, spread), lost["rejected"], lost["timed_out"], lost["failed"],
        doubts=doubts, queues=2, tells=True,
        time_doubts=frozenset[str]().union(*(reply.time_doubts for _, reply in weighted)),
    )  # fmt: skip
