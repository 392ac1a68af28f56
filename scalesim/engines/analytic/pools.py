"""A pool of slots with stations inside: from arrivals to waits and holds.

A pool's slots are held while requests use the stations inside it. If the slots never run out, those
are stations of an open network and are solved one by one. Else the inside is a closed network whose
throughput with n inside is the pool's speed with n (Chandy, Herzog & Woo, IBM J. R&D 19, 1975;
Sauer & Chandy, "Computer systems performance modeling", 1981, chapter 6), and the pool is a
birth-death chain with those speeds: exact if the inside is one exponential computation, else
approximate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from scalesim.engines.analytic import times
from scalesim.engines.analytic.lines import failing
from scalesim.engines.analytic.model import PoolSize
from scalesim.engines.analytic.networks import ClosedNetwork
from scalesim.engines.analytic.occupancy import Occupancy, birth_death, erlang_b, erlang_c, speeds
from scalesim.engines.analytic.part_replies import response_of
from scalesim.engines.analytic.priorities import ORDERS
from scalesim.engines.analytic.server_waits import one_server
from scalesim.engines.analytic.single_station import (
    allen_cunneen,
    batch_wait,
    gi_m_c,
    m_g_1_wait,
)
from scalesim.engines.analytic.stations import (
    MOST_SLOTS,
    NO_DOUBT,
    Arrivals,
    Load,
    PoolAnswer,
    Station,
    StationAnswer,
    Unstable,
    open_station,
    require_variance,
    variable,
)
from scalesim.engines.analytic.times import NOTHING, Time
from scalesim.errors import Problem, UnsupportedByEngine

__all__ = ["Pool", "plenty"]


def plenty(slots: int, mean: float) -> bool:
    """Whether so many slots never run out (below 1e-9) for a mean number in use."""
    return slots > mean + 8 * math.sqrt(mean) * math.sqrt(1 + mean / 20) + 40


_SHORT = 200
"""Lines of so many phases do not lose a Poisson probability to underflow that would matter."""
_NEVER = 1e-9
"""A probability of waiting that is taken for none."""


def _never_waits(slots: int, offered: float) -> bool:
    if offered == 0 or plenty(slots, offered):
        return True
    return offered < slots and erlang_c(slots, offered) < _NEVER


class Pool:
    """One node's pool under given loads."""

    def __init__(
        self,
        name: str,
        size: PoolSize,
        loads: Sequence[Load],
        stations: Sequence[Station],
        law: Time,
        arrivals_of: Callable[[str], Arrivals],
    ) -> None:
        self.arrivals_of = arrivals_of
        """How requests come to each station inside, if the slots never run out."""
        self.name, self.size, self.loads = name, size, list(loads)
        self.stations = list(stations)
        self.law = law
        """What is held without any queueing, over all loads; for its variability."""
        self.rate = math.fsum(load.rate for load in loads)
        share = [load.rate / self.rate if self.rate else 1 / len(loads) for load in loads]
        self.delay = math.fsum(s * load.delay.mean for s, load in zip(share, loads, strict=True))
        self.visits = {
            each.name: math.fsum(
                s * load.work.get(each.name, (0.0, 0.0))[0]
                for s, load in zip(share, loads, strict=True)
            )
            for each in stations
        }
        alike = {load.exponential for load in loads if load.rate or not self.rate}
        self.exponential = alike.pop() if len(alike) == 1 else 0.0
        self.doubts = frozenset[str]().union(*(load.doubts for load in loads))
        self._network: ClosedNetwork | None = None

    # Speeds ---------------------------------------------------------------------------------

    def network(self, count: int) -> ClosedNetwork:
        """Return the inside as a closed network of up to `count` requests."""
        if self._network is None or self._network.users < count:
            inner = [(self.visits[s.name], s.speed(count)) for s in self.stations
                     if self.visits[s.name] > 0]  # fmt: skip
            self._network = ClosedNetwork(count, self.delay, inner)
        return self._network

    def speed(self, count: int) -> np.ndarray:
        """Return completions a second with 1 .. `count` at the pool, waiting ones included."""
        held = min(self.size.slots, count, MOST_SLOTS)
        if self.stations:
            inside = self.network(held).throughput[1 : held + 1]
        else:
            inside = np.arange(1, held + 1) / self.delay
        if count <= held:
            return inside
        return np.concatenate([inside, np.full(count - held, inside[-1])])

    # Open traffic ---------------------------------------------------------------------------

    def solved(self, arrivals: Arrivals) -> PoolAnswer:
        """Return the answer under open traffic.

        Raises
        ------
        Unstable
        """
        if self.rate == 0:
            holds = {load.endpoint: self.hold(load, {}) for load in self.loads}
            return PoolAnswer(NOTHING, holds, 0.0, 0.0, 0.0, 0.0, theorem="no requests", plain=True)
        if not self.stations:
            return self._delay_only(arrivals)
        answer = self._unlimited() or failing(self, arrivals)
        if answer is None and any(each.order in ORDERS and len(each.classes) > 1
                                  for each in self.stations):  # fmt: skip
            message = "priorities of processors are covered where workers never run out"
            raise UnsupportedByEngine(
                [Problem(f"{self.name}: cpu_discipline", f'{message}; use engine="compiled"')]
            )
        return answer if answer is not None else self._chain(arrivals)

    def _delay_only(self, arrivals: Arrivals) -> PoolAnswer:
        slots, limit = self.size
        offered = self.rate * self.delay
        holds = {load.endpoint: load.delay for load in self.loads}
        if _never_waits(slots, offered):
            return PoolAnswer(
                NOTHING, holds, 0.0, offered, 0.0, 0.0,
                hold_doubts=self.doubts, theorem="infinite server", plain=True,
            )  # fmt: skip
        if any(load.calls for load in self.loads):
            arrivals = arrivals.doubted("decomposition")
        if limit is not None:
            return self._limited(arrivals, holds, offered)
        if offered >= slots:
            raise Unstable(self.name)
        doubts = arrivals.doubts | self.doubts
        service, theorem, plain = self.law, "M/G/1", False
        if slots == 1 and arrivals.beside and arrivals.shape is None:
            mean = m_g_1_wait(self.rate, self.delay, service.scv)
            mean += batch_wait(arrivals.beside, offered, self.delay)
            wait, theorem, blocked = times.fitted(mean, mean * mean), "M^X/G/1", math.nan
        elif self.exponential and not arrivals.beside:
            shape, rate = arrivals.shape, self.rate
            if shape is None:
                blocked = erlang_c(slots, offered)
                wait = times.waiting(blocked, (slots - offered) / self.delay)
                theorem, plain = "M/M/c", True
            else:
                blocked, decay = gi_m_c(lambda s: shape(s / rate), self.delay, slots)
                wait, theorem = times.waiting(blocked, decay), "GI/M/c"
        elif slots == 1 and arrivals.poisson:
            mean = m_g_1_wait(self.rate, self.delay, service.scv)
            wait, blocked = one_server(offered, service, mean), offered
        else:
            if slots > 1:
                require_variance(self.name, service.scv)
            mean = allen_cunneen(self.rate, self.delay, slots, arrivals.scv, service.scv)
            blocked = erlang_c(slots, offered)
            wait = times.fitted(mean, mean * mean * (2 - blocked) / blocked)
            doubts |= arrivals.allen_cunneen
            doubts |= variable(service.scv) if slots > 1 else NO_DOUBT
        return PoolAnswer(
            wait, holds, 0.0, offered, self.rate * wait.mean, blocked,
            wait_doubts=doubts, hold_doubts=self.doubts, theorem=theorem,
            plain=plain,
        )  # fmt: skip

    def _limited(self, arrivals: Arrivals, holds: dict[str, Time], offered: float) -> PoolAnswer:
        slots, limit = self.size
        assert limit is not None
        doubts = arrivals.doubts | self.doubts
        if not arrivals.poisson:
            doubts |= {"arrivals as if Poisson"}
        if limit == 0:
            lost = erlang_b(slots, offered)
            return PoolAnswer(
                NOTHING, holds, lost, offered * (1 - lost), 0.0, 0.0,
                wait_doubts=doubts, hold_doubts=self.doubts, theorem="Erlang B",
            )  # fmt: skip
        if not self.exponential:
            doubts |= {"M/M/c/K with this mean"}
        highest = slots + limit
        chain = birth_death(self.rate, speeds(slots, highest, self.delay), highest)
        lost = float(chain.probability[-1])
        return self._settled(chain, self.rate, lost, holds, {}, doubts, self.doubts, "M/M/c/K")

    def _unlimited(self) -> PoolAnswer | None:
        """Return the answer if the slots never run out; None if they may."""
        found: dict[str, StationAnswer] = {}
        inside = self.rate * self.delay
        doubts = self.doubts
        for each in self.stations:
            rate = self.rate * self.visits[each.name]
            if rate == 0:
                continue
            answer = open_station(each, rate, self.arrivals_of(each.name))
            if answer is None:
                if self.size.slots > MOST_SLOTS and self.size.limit is None:
                    raise Unstable(each.name)
                return None
            found[each.name] = answer
            inside += rate * answer.response
            doubts |= answer.doubts
        if not plenty(self.size.slots, inside):
            return None
        holds = {load.endpoint: self.hold(load, found) for load in self.loads}
        return PoolAnswer(
            NOTHING, holds, 0.0, inside, 0.0, 0.0, found, hold_doubts=doubts,
            theorem="product form", plain=True,
        )  # fmt: skip

    def _chain(self, arrivals: Arrivals) -> PoolAnswer:
        slots, limit = self.size
        require_variance(self.name, self.law.scv)
        slots = min(slots, MOST_SLOTS)
        highest = None if limit is None else slots + min(limit, 100_000)
        try:
            chain = birth_death(self.rate, self.speed(slots), highest)
        except ValueError:
            raise Unstable(self.name) from None
        doubts = arrivals.doubts | self.doubts
        if not self.exponential:
            doubts |= {"flow-equivalent"}
            doubts |= NO_DOUBT if limit is None else {"M/M/c/K with this mean"}
        if not arrivals.poisson:
            doubts |= arrivals.allen_cunneen
        doubts |= variable(self.law.scv) if slots > 1 else NO_DOUBT
        return self.settled(
            chain, self.rate, doubts, (arrivals.scv + self.law.scv) / 2, arrivals.scv
        )

    # A known number at the pool --------------------------------------------------------------

    def settled(
        self,
        chain: Occupancy,
        rate: float,
        doubts: frozenset[str],
        variability: float = 1.0,
        arrival_scv: float = 1.0,
        limited: bool = True,
    ) -> PoolAnswer:
        """Return the answer for a known distribution of the number at the pool.

        Parameters
        ----------
        rate : float [1/s]
            Of arrivals, those turned away included.
        variability : float
            Factor on the wait for arrivals and services that are more (or less) regular than
            exponential ones (Allen and Cunneen's).
        arrival_scv : float
            The same for the waits at stations inside.
        limited : bool
            Whether those who come in the last state are turned away; else nobody is.
        """
        slots = min(self.size.slots, MOST_SLOTS)
        p, ratio = chain.probability, chain.ratio
        speed = self.speed(len(p))
        finite = limited and self.size.limit is not None and ratio == 0
        lost = max(1 - chain.departures(speed) / rate, 0.0) if finite else 0.0
        held = np.zeros(slots + 1)
        top = min(len(p), slots + 1)
        held[:top] = p[:top]
        held[min(slots, len(p) - 1)] += max(1.0 - held.sum(), 0.0)
        found: dict[str, StationAnswer] = {}
        through = rate * (1 - lost)
        if self.stations:
            network = self.network(slots)
            for index, each in enumerate(s for s in self.stations if self.visits[s.name] > 0):
                share = np.zeros(slots + 1)
                for n in np.flatnonzero(held > 1e-13):
                    share[: n + 1] += held[n] * network.marginal(index, int(n))
                inside = Occupancy(share)
                served = through * self.visits[each.name]
                response = inside.mean / served if served else 0.0
                longer = max(response - each.demand, 0.0)
                response -= longer * (1 - arrival_scv) / 2
                doubt = NO_DOUBT if each.plain else {f"{each.name} as if exponential"}
                found[each.name] = StationAnswer(inside, response, served, doubts | doubt)
        holds = {load.endpoint: self.hold(load, found) for load in self.loads}
        blocked = chain.departures(speed, slots) / through if through else 0.0
        return self._settled(
            chain, rate, lost, holds, found, doubts, doubts, "M/M(n)/c", variability, blocked
        )

    def _settled(
        self,
        chain: Occupancy,
        rate: float,
        lost: float,
        holds: dict[str, Time],
        found: dict[str, StationAnswer],
        wait_doubts: frozenset[str],
        hold_doubts: frozenset[str],
        theorem: str,
        variability: float = 1.0,
        blocked: float | None = None,
    ) -> PoolAnswer:
        slots = min(self.size.slots, MOST_SLOTS)
        through = rate * (1 - lost)
        # Where the line is often full its length is the limit's, however regular the services.
        depth = chain.excess(slots) * (1 + (variability - 1) * max(1 - 20 * lost, 0.0))
        if blocked is None:  # Poisson arrivals see what an outsider sees
            blocked = (chain.at_least(slots) - lost) / (1 - lost)
        mean = depth / through if through else 0.0
        if theorem == "M/M/c/K":
            wait = _limited_wait(chain, slots, self.delay)
        elif chain.ratio and blocked > 0:
            wait = times.waiting(blocked, blocked / mean) if mean > 0 else NOTHING
        else:
            wait = times.fitted(mean, mean * mean * (2 / max(blocked, 1e-12) - 1))
        plain = theorem != "M/M/c/K" and not wait_doubts and not lost
        return PoolAnswer(
            wait, holds, lost, chain.mean - chain.excess(slots), depth, blocked, found,
            wait_doubts, hold_doubts, theorem, plain,
        )  # fmt: skip

    def hold(self, load: Load, found: dict[str, StationAnswer]) -> Time:
        """Return how long one request of an endpoint holds its slot."""
        parts = [load.delay]
        for each in self.stations:
            visits, demand = load.work.get(each.name, (0.0, 0.0))
            if visits == 0:
                continue
            answer = found.get(each.name)
            response = each.demand if answer is None else answer.response
            special = answer is not None and (load.urgency in answer.by_urgency or each.failures)
            if special and answer is not None:
                mean = response_of(each, answer, demand, load.urgency)
            elif each.shared and each.demand > 0:
                mean = response * demand / each.demand
            else:
                mean = max(response - each.demand, 0.0) + demand
            use = 0.0 if answer is None else answer.occupancy.at_least(each.slots)
            spread = each.scv + (2 + use) / (2 - use) - 1 if each.shared else 1.0
            parts.append(times.fitted(visits * mean, visits * mean * mean * spread))
        return times.added(parts)


def _limited_wait(chain: Occupancy, slots: int, service: float) -> Time:
    """Return the wait of the admitted in M/M/c/K: Erlang phases, one for each departure awaited."""
    from scipy.special import gammaincc

    admitted = chain.probability[:-1] / (1 - chain.probability[-1])
    weights = admitted[slots:]
    phases = np.arange(1, len(weights) + 1)
    step = service / slots
    mean = float(np.dot(weights, phases)) * step
    second = float(np.dot(weights, phases * (phases + 1))) * step**2

    beyond = np.cumsum(weights[::-1])[::-1]

    def survival(t: np.ndarray) -> np.ndarray:
        late = np.zeros_like(t)
        if len(weights) < _SHORT:  # the phases of a Poisson count, one after another
            term = np.exp(-t / step)
            for departures, weight in enumerate(beyond, 1):
                late += weight * term
                term *= t / step / departures
            return late
        for weight, phase in zip(weights, phases, strict=True):
            if weight > 1e-12:
                late += weight * gammaincc(phase, t / step)
        return late

    return Time(mean, second - mean * mean, lambda grid: grid.masses(survival))
