"""Traffic descriptions: open (a rate), closed (users who think), replay (recorded times).

Rates are of new requests; retries come on top, by the simulation itself.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Self

from scalesim.components.calls import check_cancel
from scalesim.components.retries import Retry
from scalesim.distributions import sizes, times
from scalesim.distributions.base import AsDistribution, AsDistributionOrNone
from scalesim.errors import InvalidModel, Problem, shown
from scalesim.fields import (
    AsTuple,
    Description,
    Family,
    Flag,
    Given,
    Integer,
    Kind,
    ListOf,
    MapOf,
    Name,
    Nested,
    Number,
    OneOf,
    Values,
    described,
    is_sequence,
    param,
)
from scalesim.traffic.popularity import POPULARITY, Popularity
from scalesim.traffic.processes import ARRIVALS, Arrivals, Bursts, Poisson

__all__ = [
    "TRAFFIC",
    "AnyTraffic",
    "ClosedTraffic",
    "RateProfile",
    "ReplayTraffic",
    "Traffic",
    "UserGroups",
    "Users",
]

TRAFFIC = Family("traffic type")


@described
class RateProfile(Description):
    """A rate that changes over time: constant within each bucket.

    Parameters
    ----------
    rates : sequence of float [requests a second, >= 0, not all 0]
    bucket : float [s, > 0]
        Length of each bucket; the first starts at time 0.
    repeat : bool
        Start again after the last bucket (a day, usually); otherwise nothing arrives after it.
    """

    rates: AsTuple[float] = param(
        ListOf(Number("1/s", at_least=0, at_most=1e9)), "rate in each bucket", kw_only=False
    )
    bucket: float = param(Number("s", above=0), "length of a bucket")
    repeat: bool = param(Flag(), "start again after the last bucket", default=True)

    def check_together(self) -> Iterator[Problem]:
        rates = self.rates if isinstance(self.rates, tuple) else ()
        if rates and not any(isinstance(rate, (int, float)) and rate > 0 for rate in rates):
            yield Problem("", "all rates are zero", ("rates",))

    @property
    def period(self) -> float:
        """Length of the whole profile [s]."""
        return len(self.rates) * self.bucket

    @property
    def mean(self) -> float:
        """Mean rate over the whole profile [requests/s]."""
        return math.fsum(self.rates) / len(self.rates)

    def busiest(self, window: float) -> tuple[float, float]:
        """Return (start [s], mean rate [requests/s]) of the busiest `window` seconds.

        The window starts with a bucket and is rounded up to whole ones, at most the profile.
        """
        width = min(len(self.rates), max(1, math.ceil(window / self.bucket)))
        wrapped = self.rates + (self.rates[: width - 1] if self.repeat else ())
        sums = [
            math.fsum(wrapped[start : start + width]) for start in range(len(wrapped) - width + 1)
        ]
        best = max(range(len(sums)), key=sums.__getitem__)
        return best * self.bucket, sums[best] / width

    def scaled(self, factor: float) -> RateProfile:
        """Return the profile with every rate multiplied by `factor`."""
        return dataclasses.replace(self, rates=tuple(rate * factor for rate in self.rates))


class _Rate(Kind):
    """A steady rate, or a `RateProfile`."""

    number = Number("1/s", above=0, at_most=1e9)
    profile = Nested(RateProfile)

    def check(self, value: Any) -> Iterator[Problem]:
        if is_sequence(value):
            message = f"got {shown(value)}; rates that change over time are a RateProfile"
            yield Problem("", f"{message}(rates, bucket=...)")
        else:
            kind = self.profile if isinstance(value, RateProfile) else self.number
            yield from kind.check(value)

    def decode(self, node: Any) -> Any:
        return (self.profile if isinstance(node, dict) else self.number).decode(node)

    def encode(self, value: Any) -> Any:
        return (self.profile if isinstance(value, RateProfile) else self.number).encode(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.number.schema(), self.profile.schema()]}


@described
class AnyTraffic(Description):
    """What all kinds of traffic have in common.

    Parameters
    ----------
    mix : mapping of str to float, optional [>= 0, not all 0]
        Weight of each endpoint of the entry; may be left out if there is only one.
    keys : Popularity, optional
        Which key a request is about; needed by caches with real keys and by shards.
    clients : Popularity, optional
        Which client (network) sends a request; needed by `ip_hash` and shards by client.
    request_bytes, response_bytes : Distribution or float, optional [bytes]
        Sizes on the network, where a service models its network card.
    timeout : float, optional [s, > 0]
        The client gives up an attempt after so long.
    cancel : bool
        An attempt given up is withdrawn with all that it does; else it goes on, for nothing.
    retry : Retry, optional
        What the client does after a failed attempt.
    """

    mix: Given[dict[str, float] | None, Mapping[str, float] | None] = param(
        MapOf(Number(at_least=0), "an endpoint"), "weight of each endpoint", default=None
    )
    keys: Popularity | None = param(OneOf(POPULARITY), "popularity of keys", default=None)
    clients: Popularity | None = param(OneOf(POPULARITY), "popularity of clients", default=None)
    request_bytes: AsDistributionOrNone = param(sizes(), "size of requests", default=None)
    response_bytes: AsDistributionOrNone = param(sizes(), "size of responses", default=None)
    timeout: float | None = param(Number("s", above=0), "the client's time-out", default=None)
    cancel: bool = param(Flag(), "the client's time-out withdraws the attempt", default=False)
    retry: Retry | None = param(Nested(Retry), "the client's retries", default=None)

    def check_together(self) -> Iterator[Problem]:
        yield from _weights(self.mix)
        yield from check_cancel(self.cancel, self.timeout)

    def require_valid(self) -> None:
        """Raise `InvalidModel` with every problem of this traffic's own fields."""
        problems = [
            Problem(".".join(["traffic", *map(str, each.path)]), each.message, each.path)
            for each in self.check()
        ]
        if problems:
            raise InvalidModel(problems)

    @property
    def stationary(self) -> bool:
        """Whether requests come by the same law at all times."""
        return True

    def scaled(self, factor: float) -> Self:
        """Return this traffic, `factor` times as much."""
        raise NotImplementedError

    def peak_rate(self, window: float) -> float:
        """Return the mean rate of the busiest `window` seconds [requests/s]; nan if not known."""
        raise NotImplementedError


@TRAFFIC.add("open")
@described
class Traffic(AnyTraffic):
    """Open traffic: requests come at a rate, whatever became of earlier ones.

    Parameters
    ----------
    rate : float or RateProfile [requests a second, > 0]
    arrivals : Arrivals or str
        How arrivals are spaced: ``"poisson"`` (random and independent), ``"constant"`` (evenly,
        the first after one gap), `Renewal`, `Batches`, `Bursts`.
    """

    rate: float | RateProfile = param(_Rate(), "requests a second", kw_only=False)
    arrivals: Given[Arrivals, Arrivals | str] = param(
        OneOf(ARRIVALS), "how arrivals are spaced", default=Poisson()
    )

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        if isinstance(self.rate, RateProfile) and isinstance(self.arrivals, Bursts):
            message = "bursts over a rate that changes with time are not modelled; give one rate"
            yield Problem("", message, ("arrivals",))

    def scaled(self, factor: float) -> Self:
        rate = self.rate
        scaled = rate.scaled(factor) if isinstance(rate, RateProfile) else rate * factor
        return dataclasses.replace(self, rate=scaled)

    def peak_rate(self, window: float) -> float:
        rate = self.rate
        return rate.busiest(window)[1] if isinstance(rate, RateProfile) else rate

    @property
    def mean_rate(self) -> float:
        """Mean rate over the profile [requests/s]."""
        return self.rate.mean if isinstance(self.rate, RateProfile) else self.rate

    @property
    def stationary(self) -> bool:
        return not isinstance(self.rate, RateProfile) or len(set(self.rate.rates)) == 1

    def steady(self, rate: float) -> Self:
        """Return this traffic at a steady rate [requests/s]."""
        return dataclasses.replace(self, rate=rate)


@TRAFFIC.add("closed")
@described
class ClosedTraffic(AnyTraffic):
    """A fixed number of users: each thinks, sends one request, waits for it, thinks again.

    Parameters
    ----------
    users : int [>= 1]
    think_time : Distribution or float [s]
        With 0, every request must take time: a run in which users who are answered at once send
        requests without end is stopped with an error.
    """

    users: int = param(Integer(1, 10_000_000), "number of users", kw_only=False)
    think_time: AsDistribution = param(times(), "pause between answer and next request")

    def scaled(self, factor: float) -> Self:
        return dataclasses.replace(self, users=max(1, round(self.users * factor)))

    def peak_rate(self, window: float) -> float:
        return math.nan


@described
class Users(Description):
    """One group of users who are alike.

    Parameters
    ----------
    users : int [>= 1]
    think_time : Distribution or float [s]
    mix : mapping of str to float, optional [>= 0, not all 0]
        Weight of each endpoint of the entry that this group asks for.
    """

    primary = "users"
    users: int = param(Integer(1, 10_000_000), "number of users", kw_only=False)
    think_time: AsDistribution = param(times(), "pause between answer and next request")
    mix: Given[dict[str, float] | None, Mapping[str, float] | None] = param(
        MapOf(Number(at_least=0), "an endpoint"), "weight of each endpoint", default=None
    )

    def check_together(self) -> Iterator[Problem]:
        yield from _weights(self.mix)


@TRAFFIC.add("user_groups")
@described
class UserGroups(AnyTraffic):
    """Closed traffic of users of several kinds, each kind with its own pauses and requests.

    Parameters
    ----------
    groups : mapping of str to Users
        What is common to all (keys, clients, time-out, ...) stands beside it; a group without a
        mix of its own has the common one.
    """

    groups: Given[dict[str, Users], Mapping[str, Users]] = param(
        MapOf(Nested(Users), "a group"), "kinds of users"
    )

    def scaled(self, factor: float) -> Self:
        scaled = {
            name: dataclasses.replace(group, users=max(1, round(group.users * factor)))
            for name, group in self.groups.items()
        }
        return dataclasses.replace(self, groups=scaled)

    def peak_rate(self, window: float) -> float:
        return math.nan


@TRAFFIC.add("replay")
@described
class ReplayTraffic(AnyTraffic):
    """Recorded arrivals, each at its time.

    Parameters
    ----------
    at : sequence of float [s, >= 0, not decreasing]
    endpoint : sequence of str, optional
        For each arrival; else drawn from the mix.
    key, client : sequence of int, optional [>= 0]
        For each arrival; else drawn from `keys` and `clients`.
    """

    at: AsTuple[float] = param(ListOf(Number("s", at_least=0)), "times of arrival", kw_only=False)
    endpoint: Given[tuple[str, ...] | None, Values[str] | None] = param(
        ListOf(Name("an endpoint")), "endpoint of each arrival", default=None
    )
    key: Given[tuple[int, ...] | None, Values[int] | None] = param(
        ListOf(Integer()), "key of each arrival", default=None
    )
    client: Given[tuple[int, ...] | None, Values[int] | None] = param(
        ListOf(Integer()), "client of each arrival", default=None
    )

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        if not isinstance(self.at, tuple):
            return
        numbers = [each for each in self.at if isinstance(each, (int, float))]
        back = next((i for i, (a, b) in enumerate(pairwise(numbers)) if b < a), None)
        if back is not None:
            yield Problem("", f"times go back after arrival {back + 1}; sort them", ("at",))
        for name in ("endpoint", "key", "client"):
            given = getattr(self, name)
            if isinstance(given, tuple) and len(given) != len(self.at):
                yield Problem("", f"got {len(given)} values for {len(self.at)} arrivals", (name,))

    @property
    def stationary(self) -> bool:
        return False  # a record has one history, and what it is a sample of is not known

    def scaled(self, factor: float) -> Self:
        return dataclasses.replace(self, at=tuple(each / factor for each in self.at))

    def peak_rate(self, window: float) -> float:
        best = first = 0
        for last, time in enumerate(self.at):
            while self.at[first] < time - window:
                first += 1
            best = max(best, last - first + 1)
        return best / window


def _weights(mix: Any) -> Iterator[Problem]:
    """Yield what is wrong with the weights of a mix as a whole."""
    if isinstance(mix, dict) and mix:
        numbers = [each for each in mix.values() if isinstance(each, (int, float))]
        if numbers and not sum(numbers) > 0:
            yield Problem("", "all weights of the mix are zero", ("mix",))
