"""A station on its own, and the words in which stations and pools are asked and answered."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from scalesim.components import Failures
from scalesim.engines.analytic.occupancy import Occupancy, birth_death
from scalesim.engines.analytic.priorities import ORDERS, Class, line_waits, preemptive_waits
from scalesim.engines.analytic.times import NOTHING, Time
from scalesim.errors import Problem, UnsupportedByEngine

__all__ = [
    "AS_POISSON",
    "AT_ONCE",
    "DELAYS",
    "IN_BURSTS",
    "MOST_SLOTS",
    "NO_DOUBT",
    "Arrivals",
    "Load",
    "PoolAnswer",
    "Station",
    "StationAnswer",
    "Unstable",
    "open_station",
    "require_variance",
    "taken_for",
    "variable",
]

MOST_SLOTS = 1500
"""Larger pools are treated as one of this many slots inside their network."""
NO_DOUBT: frozenset[str] = frozenset()
_VARIABLE = 1.5**2 + 1e-9
AS_POISSON = frozenset({"arrivals as if Poisson"})
"""Of streams that are about as regular as Poisson ones, or more."""
IN_BURSTS = frozenset({"bursts as if Poisson"})
AT_ONCE = frozenset({"requests at once as if Poisson"})
"""Of what began as one request and meets again."""
DELAYS = ("infinite server", "product form", "no requests")
"""What pools are, by the theorem of their answer, at which nobody waits."""
_REGULAR = 1.5
"""Up to this scv of services, what leaves a station comes in no bursts that would matter."""


class Unstable(Exception):
    """Arrivals at a station are at least as fast as departures can get."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Arrivals:
    """How requests come to one node.

    Parameters
    ----------
    scv : float
        Squared coefficient of variation of the interarrival times.
    shape : function, optional
        Laplace transform of an interarrival time of mean 1; None: arrivals are Poisson.
    doubts : frozenset of str
        Names of approximations on which this rests; none: it is so, exactly.
    beside : float
        Mean number of others that come with a request at the same instant.
    """

    scv: float = 1.0
    shape: Callable[[float], float] | None = None
    doubts: frozenset[str] = NO_DOUBT
    beside: float = 0.0

    @property
    def poisson(self) -> bool:
        """Whether they come one by one at random."""
        return self.shape is None and not self.beside

    @property
    def allen_cunneen(self) -> frozenset[str]:
        """The name of Allen and Cunneen's approximation, which knows of gaps only the variance."""
        if self.poisson:
            return frozenset({"Allen-Cunneen"})
        regular = "regular" if self.scv <= 1 else "irregular"
        return frozenset({f"Allen-Cunneen of {regular} arrivals"})

    def every(self, count: float) -> Arrivals:
        """Return every `count`-th of them: what round robin sends to one of so many targets."""
        shape = self.shape or _exponential_shape
        return replace(self, scv=self.scv / count, shape=lambda x: shape(x / count) ** count)

    def doubted(self, *doubts: str) -> Arrivals:
        """Return the same, resting on further approximations."""
        return replace(self, doubts=self.doubts | set(doubts))

    def smoothed(self) -> Arrivals:
        """Return these after something that does not keep a stream Poisson."""
        return Arrivals(doubts=self.doubts | (IN_BURSTS if self.scv > 1 else AS_POISSON))

    def as_poisson(self) -> Arrivals:
        """Return Poisson arrivals in place of these, and say so."""
        return self if self.poisson else self.smoothed()


def _exponential_shape(x: float) -> float:
    return 1 / (1 + x)


@dataclass(frozen=True, eq=False)
class Station:
    """A place inside a pool (or on its own) where requests queue or share.

    Parameters
    ----------
    name : str
    slots : int
    shared : bool
        Processor sharing, so that only the mean demand matters.
    speed : function of int
        Completions a second with 1 .. count present, at the mean demand.
    demand : float [s]
        Mean of one visit.
    scv : float
        Of the demand.
    plain : bool
        Whether the station keeps the product form: shared, or exponential and alike for all.
    settles : int
        With so many present (or more) the speed no longer changes.
    order : {"fifo", "priority", "priority_preemptive"}
    classes : mapping of int to Class
        What comes, by urgency.
    failures : Failures or None
    """

    name: str
    slots: int
    shared: bool
    speed: Callable[[int], np.ndarray]
    demand: float
    scv: float
    plain: bool
    settles: int
    order: str = "fifo"
    classes: Mapping[int, Class] = field(default_factory=dict)
    failures: Failures | None = None


@dataclass(frozen=True, eq=False)
class Load:
    """Requests of one endpoint at one pool.

    Parameters
    ----------
    endpoint : str
    rate : float [1/s]
    delay : Time
        What is spent inside without queueing at the pool's own stations.
    work : dict of station name to (visits, mean demand [s])
    exponential : float
        Mean of the one exponential law that is all that happens inside; 0: more happens.
    doubts : frozenset of str
        Of the delay.
    calls : bool
        Whether the delay holds others' waits, so that holds that overlap depend on each other.
    again : frozenset of str
        Stations that one request comes to more than once.
    urgency : int
        The least is served first, where that counts.
    """

    endpoint: str
    rate: float
    delay: Time
    work: dict[str, tuple[float, float]]
    exponential: float = 0.0
    doubts: frozenset[str] = NO_DOUBT
    calls: bool = False
    again: frozenset[str] = frozenset()
    urgency: int = 0


@dataclass(frozen=True, eq=False)
class StationAnswer:
    """What a station does: the number there, the response of one mean visit, completions.

    Of urgencies that differ `by_urgency` has the response to a demand.
    """

    occupancy: Occupancy
    response: float
    rate: float
    doubts: frozenset[str]
    by_urgency: Mapping[int, Callable[[float], float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PoolAnswer:
    """What a pool does.

    Parameters
    ----------
    wait : Time
    holds : dict of endpoint to Time
    rejected : float [ratio]
        Share of arrivals that found the waiting line full.
    busy, depth : float
        Mean slots held and mean number waiting.
    wait_probability : float
    stations : dict of name to StationAnswer
    wait_doubts, hold_doubts : frozenset of str
    theorem : str
        What the wait follows from.
    plain : bool
        Whether a Poisson stream leaves as one, where anybody may wait.
    abandoned : float [ratio]
        Share of arrivals that lost patience, and after what time.
    left_after : Time
    waits : mapping of int to Time
        By urgency, where that counts.
    """

    wait: Time
    holds: dict[str, Time]
    rejected: float
    busy: float
    depth: float
    wait_probability: float
    stations: dict[str, StationAnswer] = field(default_factory=dict)
    wait_doubts: frozenset[str] = NO_DOUBT
    hold_doubts: frozenset[str] = NO_DOUBT
    theorem: str = ""
    plain: bool = False
    abandoned: float = 0.0
    left_after: Time = NOTHING
    waits: Mapping[int, Time] = field(default_factory=dict)

    @property
    def admitted(self) -> float:
        """Share of arrivals that get a slot."""
        return 1 - self.rejected - self.abandoned


def variable(scv: float) -> frozenset[str]:
    """Return the doubt that services are too variable for their first two moments to tell waits.

    Long services at a few slots leave the others free, all the more at low load.
    """
    return frozenset({"highly variable services"}) if scv > _VARIABLE else NO_DOUBT


def require_variance(name: str, scv: float) -> None:
    """Refuse services of infinite variance, which approximations by two moments know nothing of.

    Whether waits at several slots have a mean at all then depends on the load (Scheller-Wolf &
    Sigman, Advances in Applied Probability 29, 1997).
    """
    if math.isinf(scv):
        message = "services of infinite variance are covered at one slot, or shared and unlimited"
        raise UnsupportedByEngine([Problem(name, f'{message}; use engine="compiled"')])


def taken_for(scv: float) -> frozenset[str]:
    """Return what a stream is taken for behind services of this squared coefficient."""
    return AS_POISSON if scv <= _REGULAR else IN_BURSTS


def open_station(station: Station, rate: float, arrivals: Arrivals) -> StationAnswer | None:
    """Return a station's answer on its own under Poisson arrivals; None if it is unstable."""
    try:
        chain = birth_death(rate, station.speed(station.settles), None)
    except ValueError:
        return None
    doubts = arrivals.doubts
    response = chain.mean / rate
    if not station.plain or not arrivals.poisson:
        # Sharing does not notice how variable the work is, but how irregular the arrivals are.
        service_scv = 1.0 if station.shared else station.scv
        if station.slots > 1:
            require_variance(station.name, service_scv)
        longer = max(response - station.demand, 0.0)
        response += longer * ((arrivals.scv + service_scv) / 2 - 1)
        if station.slots > 1 or not arrivals.poisson:
            doubts |= arrivals.allen_cunneen
        if station.slots > 1:
            doubts |= variable(service_scv)
    if station.failures is not None:
        response = failing_response(station, rate)
        if math.isinf(response):
            return None
        doubts = arrivals.as_poisson().doubts
    if len(station.classes) > 1 and station.order in ORDERS:
        return _by_urgency(station, StationAnswer(chain, response, rate, doubts), arrivals)
    return StationAnswer(chain, response, rate, doubts)


def _by_urgency(station: Station, fifo: StationAnswer, arrivals: Arrivals) -> StationAnswer:
    """Return the answer where the more urgent are served first."""
    doubts = fifo.doubts | arrivals.as_poisson().doubts
    means = {each.mean for each in station.classes.values()}
    alike = len(means) == 1 and all(each.exponential for each in station.classes.values())
    if alike:
        doubts -= {"Allen-Cunneen"} if arrivals.poisson else NO_DOUBT
    if station.slots > 1 and not alike:
        doubts |= {"priorities as at one server"}
    by: dict[int, Callable[[float], float]] = {}
    if station.order == "priority":
        loads = {k: c.rate * c.mean / station.slots for k, c in station.classes.items()}
        waits = line_waits(max(fifo.response - station.demand, 0.0), loads)
        by = {k: partial(operator.add, wait) for k, wait in waits.items()}
    else:
        by = preemptive_waits(station.classes, station.slots)
    whole = math.fsum(c.rate * by[k](c.mean) for k, c in station.classes.items())
    rate = math.fsum(c.rate for c in station.classes.values())
    return replace(fifo, response=whole / rate, doubts=doubts, by_urgency=by)


def failing_response(station: Station, rate: float) -> float:
    """Return the mean response at one core that fails and resumes its work [s]; inf if unstable.

    Avi-Itzhak & Naor, Operations Research 11 (1963): M/G/1 whose services last longer by the
    repairs within them; if the core fails while idle, too, those who come then wait for its repair.
    """
    failures = station.failures
    assert failures is not None
    up, down, demand = failures.time_to_failure.mean, failures.repair_time, station.demand
    longer = 1 + down.mean / up
    mean = demand * longer
    square = demand**2 * (1 + station.scv) * longer**2
    square += demand / up * down.mean**2 * (1 + down.scv)
    if rate * mean >= 1:
        return math.inf
    response = mean + rate * square / 2 / (1 - rate * mean)
    if failures.when == "always" and down.mean:
        response += down.mean / (up + down.mean) * down.mean * (1 + down.scv) / 2
    return response
