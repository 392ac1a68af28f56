"""Closed traffic: users who think, as one closed network over all stations of the model.

A pool with a slot for every user never makes anybody wait: what is inside belongs to the network.
A smaller pool is one station of it, with the speed of its inside (`pools`). Exact where every
station keeps the product form; the throughput comes first, all else follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from scalesim.engines.analytic import times
from scalesim.engines.analytic.model import (
    Ask,
    Fork,
    Pause,
    PoolSize,
    Send,
    Use,
    Visits,
    parts_within,
)
from scalesim.engines.analytic.networks import ClosedNetwork
from scalesim.engines.analytic.nodes import Node
from scalesim.engines.analytic.occupancy import Occupancy, birth_death
from scalesim.engines.analytic.part_replies import completing
from scalesim.engines.analytic.pools import Pool
from scalesim.engines.analytic.reach import weighted
from scalesim.engines.analytic.replies import Reply, one_of
from scalesim.engines.analytic.results import AnalyticResults
from scalesim.engines.analytic.solver import Solution, Solver
from scalesim.engines.analytic.stations import NO_DOUBT, PoolAnswer, StationAnswer
from scalesim.engines.analytic.targets import keeps_poisson
from scalesim.engines.analytic.times import NOTHING
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.topology import Topology
from scalesim.traffic import ClosedTraffic

__all__ = ["MOST_USERS", "Network", "require_covered", "solve_closed"]

MOST_USERS = 5000
_ROUNDS = 100
_OUTSIDE = ("before", "beside", "after")


def solve_closed(topology: Topology, traffic: ClosedTraffic) -> AnalyticResults:
    """Return the analytic results under closed traffic.

    Raises
    ------
    UnsupportedByEngine
        With every feature that is covered under open traffic only.
    """
    solver = Solver(topology, traffic)
    require_covered(solver, traffic)
    rate, lost = 1.0, 0.0
    for _ in range(_ROUNDS):
        network = Network(solver, traffic, rate, lost)
        network.solve()
        before, rate, lost = (rate, lost), network.throughput, network.lost
        if np.allclose(before, (rate, lost), rtol=1e-12, atol=1e-12):
            break
    network.require_same(Network(solver, traffic, rate, lost / 2))
    return AnalyticResults(
        topology, traffic, solver, network.solution(network.marginals()), network.doubts
    )


def require_covered(solver: Solver, traffic: ClosedTraffic) -> None:
    """Raise `UnsupportedByEngine` with what is covered under open traffic only."""
    problems = list(_refusals(solver, traffic))
    if problems:
        raise UnsupportedByEngine(problems)


def _refusals(solver: Solver, traffic: ClosedTraffic) -> Iterator[Problem]:
    advice = 'under closed traffic the analytic engine does not cover it; use engine="compiled"'
    if traffic.users > MOST_USERS:
        yield Problem("traffic: users", f"got {traffic.users}, at most {MOST_USERS} are covered")
    for name in ("timeout", "retry"):
        if getattr(traffic, name) is not None:
            yield Problem(f"traffic: {name}", advice)
    for name, facility in solver.facilities.items():
        subject = f'{facility.type_name} "{name}"'
        if facility.meter is not None:  # an excess that is bounded by the users, not Poisson
            yield Problem(subject, advice)
        for endpoint, program in facility.programs.items():
            for part in parts_within((*program.before, *program.inside, *program.after)):
                if isinstance(part, Fork):
                    yield Problem(f"{subject}: {endpoint}: parallel", advice)
                elif isinstance(part, Send):
                    yield Problem(f"{subject}: {endpoint}: {part.to[1]}", advice)
                elif getattr(part, "timeout", None) is not None or getattr(part, "retry", None):
                    yield Problem(f"{subject}: {endpoint}: timeout and retry", advice)


class Network:
    """The closed network at a guess of the throughput, which caches' hit ratios may depend on.

    Parameters
    ----------
    solver : Solver
    traffic : ClosedTraffic
    rate : float [requests/s]
        The guess.
    lost : float [ratio]
        The share of those who come to a line with a bound that are turned away, a guess, too.
    """

    def __init__(
        self, solver: Solver, traffic: ClosedTraffic, rate: float, lost: float = 0.0
    ) -> None:
        self.solver, self.traffic, self.users = solver, traffic, traffic.users
        self.rate, self.lost = rate, lost
        self.think = traffic.think_time.mean
        bounded = {
            (name, pool): lost
            for name, facility in solver.facilities.items()
            for pool, size in facility.pools.items()
            if self._can_fill(size)
        }
        flows, failed = solver.failing(rate, bounded)
        self.found = Solution(rate, flows, facilities=solver.facilities)
        for place in solver.order:  # until they are known
            self.found.replies[place] = Reply(self.found.bare(place), failed=failed[place])
        self.nodes: dict[tuple[str, int], Node] = {}
        self.inside: set[str] = set()
        self.keys: list[tuple[str, int, str]] = []
        self.stations: list[tuple[float, np.ndarray]] = []
        self.limits: dict[tuple[str, int, str], int] = {}
        self.doubts = NO_DOUBT.union(*map(flows.hit_doubts, self.with_origins()))
        self.delay = self.think
        for name in reversed(solver.components):
            if name not in self.inside:
                for node in range(solver.facilities[name].nodes):
                    self._add(name, node)

    def with_origins(self) -> set[str]:
        """Return the caches whose hit ratio says how often something else is called."""
        return {
            part.missed
            for facility in self.solver.facilities.values()
            for program in facility.programs.values()
            for part in parts_within((*program.before, *program.inside, *program.after))
            if isinstance(part, Ask) and part.missed in self.found.flows.miss
        }

    def _can_fill(self, size: PoolSize) -> bool:
        return size.limit is not None and size.slots + size.limit < self.users

    def _add(self, name: str, number: int) -> None:
        facility = self.solver.facilities[name]
        node = self.nodes[name, number] = Node(self.solver, facility, self.found, [number])
        for stream in self.found.flows.streams.get(name, {}).values():
            if not keeps_poisson(stream):
                self.doubts |= {"balanced as if at random"}
        placed = node.make_stations()
        outside = [each for where in _OUTSIDE for each in placed.get(where, [])]
        for pool_name, size in facility.pools.items():
            if size.slots >= self.users:
                outside += placed.get(pool_name, [])
                continue
            callees = node.callees(pool_name)
            pool = node.pool(pool_name, placed.get(pool_name, []), callees)
            if not pool.rate:
                continue
            self.inside |= callees
            if self._asks_others(name, pool_name, callees):
                self.doubts |= {"calls as delays"}
            if not pool.exponential:
                self.doubts |= {"flow-equivalent"}
            self._station((name, number, pool_name), pool.rate, pool.speed(self.users))
            if self._can_fill(size):
                self.limits[name, number, pool_name] = size.slots + (size.limit or 0)
        for resource in outside:
            station = node.stations[resource]
            if not station.plain:
                self.doubts |= {f"{resource} as if exponential"}
            speed = station.speed(self.users)
            self._station((name, number, resource), node.use_rate(resource), speed)
        self._add_delays(node)

    def _asks_others(self, name: str, pool: str, callees: set[str]) -> bool:
        return any(
            isinstance(part, Ask) and part.to[0] not in callees
            for program in self.solver.facilities[name].programs.values()
            if program.pool == pool
            for part in parts_within(program.inside)
        )

    def _station(self, key: tuple[str, int, str], rate: float, speed: np.ndarray) -> None:
        if rate > 0:
            self.keys.append(key)
            self.stations.append((rate / self.rate, speed))

    def _add_delays(self, node: Node) -> None:
        """Add what is spent without queueing outside of pools that are stations."""
        for endpoint, program in node.facility.programs.items():
            visits = node.answer.rates[endpoint] / self.rate
            size = node.facility.pools.get(program.pool)
            held = size is not None and size.slots < self.users
            for where, parts, here in node.stages(program):
                if held and where == program.pool:
                    continue
                for part, weight in weighted(parts, completing(self.found), here):
                    alone = isinstance(part, Use) and part.resource not in node.stations
                    if alone or isinstance(part, Pause):
                        self.delay += (
                            visits * weight * part.law.mean  # type: ignore[union-attr]
                        )

    def solve(self) -> None:
        """Find the throughput.

        Raises
        ------
        UnsupportedByEngine
            Users can find a line full, and queue elsewhere, too.
        """
        single = len(self.stations) == 1
        if self.limits and not (single and self.delay > 0):
            (key, *_) = self.limits
            raise UnsupportedByEngine(
                [Problem(
                    f'"{key[0]}": {key[2]}',
                    "a bound on the waiting line that users can reach is covered only where "
                    'nothing else queues; use engine="compiled"',
                )]
            )  # fmt: skip
        if self.limits:
            (top,) = self.limits.values()
            ((visits, speed),) = self.stations
            states = np.arange(top + 1)
            arrival = visits * (self.users - states) / self.delay
            self.chain = birth_death(arrival[:-1], speed, top)
            coming = arrival * self.chain.probability
            self.asked = float(coming.sum())
            self.throughput = self.asked / visits
            self.lost = float(coming[-1]) / self.asked
            return
        self.network = ClosedNetwork(self.users, self.delay, self.stations)
        self.throughput = float(self.network.throughput[self.users])

    def require_same(self, emptier: Network) -> None:
        """Refuse a line that can be full if those turned away spend other times than those served.

        If they do not, where users go does not depend on the line, and the number there is a
        birth-death chain whatever the laws of those times (Engset's insensitivity: Cohen, Philips
        Telecommunication Review 18, 1957). Else it depends on who is where.

        Parameters
        ----------
        emptier : Network
            The same, with fewer turned away.

        Raises
        ------
        UnsupportedByEngine
        """
        if not self.limits:
            return
        mine, other = (self.delay, self.stations[0][0]), (emptier.delay, emptier.stations[0][0])
        again = any(
            isinstance(part, Visits)
            for facility in self.solver.facilities.values()
            for program in facility.programs.values()
            for part in program.before
        )
        if again or not np.allclose(mine, other, rtol=1e-9, atol=0):
            ((component, _, pool),) = self.limits
            message = (
                "a bound on the waiting line that users can reach is covered only where those "
                'turned away skip nothing that takes time; use engine="compiled"'
            )
            raise UnsupportedByEngine([Problem(f'"{component}": {pool}', message)])

    # Answers --------------------------------------------------------------------------------

    def marginals(self) -> dict[tuple[str, int, str], Occupancy]:
        """Return how many are at each station, at the throughput found."""
        if self.limits:
            return dict.fromkeys(self.keys, self.chain)
        return {
            key: Occupancy(self.network.marginal(index, self.users))
            for index, key in enumerate(self.keys)
        }

    def solution(self, marginals: dict[tuple[str, int, str], Occupancy]) -> Solution:
        """Return everything, from how many are at each station."""
        self.found.nodes = {}
        for name in self.solver.components:
            facility = self.solver.facilities[name]
            if name in self.inside:
                continue
            for number in range(facility.nodes):
                node = self.nodes[name, number]
                self._answer(node, name, number, marginals)
                self.found.nodes.setdefault(name, []).append(node.answer)
            for endpoint in facility.programs:
                answers = self.found.nodes[name]
                weights = [answer.rates[endpoint] or 1e-300 for answer in answers]
                self.found.replies[name, endpoint] = one_of(
                    [(w, a.replies[endpoint]) for w, a in zip(weights, answers, strict=True)]
                )
        return self.found

    def _answer(
        self, node: Node, name: str, number: int, marginals: dict[tuple[str, int, str], Occupancy]
    ) -> None:
        placed = node.make_stations()
        for resource in node.stations:
            chain = marginals.get((name, number, resource))
            if chain is not None:
                rate = node.use_rate(resource)
                node.answer.resources[resource] = StationAnswer(
                    chain, chain.mean / rate, rate, self.doubts
                )
        for pool_name in node.facility.pools:
            chain = marginals.get((name, number, pool_name))
            if chain is None:
                answer = self._unlimited(node, pool_name, placed.get(pool_name, []))
            else:
                callees = node.callees(pool_name)
                pool = node.pool(pool_name, placed.get(pool_name, []), callees)
                if self.limits:
                    answer = self._lossy(pool, chain)
                else:
                    answer = pool.settled(chain, pool.rate, self.doubts, limited=False)
                    answer = replace(answer, theorem="closed product form")
                node.settle_callees(callees, answer)
                node.answer.resources |= {
                    key: each for key, each in answer.stations.items() if key in node.stations
                }
            node.answer.pools[pool_name] = answer
        node.put_replies()

    def _lossy(self, pool: Pool, chain: Occupancy) -> PoolAnswer:
        """Return the answer where users can find the line full: the finite source's own loss."""
        slots = pool.size.slots
        through = self.asked * (1 - self.lost)
        answer = pool.settled(chain, through, self.doubts, limited=False)
        wait = chain.excess(slots) / through
        held = (chain.mean - chain.excess(slots)) / through
        holds = {load.endpoint: times.fitted(held, held * held) for load in pool.loads}
        if pool.exponential:
            holds = {load.endpoint: load.delay for load in pool.loads}
        return replace(
            answer, rejected=self.lost, wait=times.fitted(wait, wait * wait), holds=holds,
            theorem="finite source",
        )  # fmt: skip

    def _unlimited(self, node: Node, name: str, nested: list[str]) -> PoolAnswer:
        pool = node.pool(name, nested, set())
        found = {key: each for key, each in node.answer.resources.items() if key in nested}
        holds = {load.endpoint: pool.hold(load, found) for load in pool.loads}
        busy = math.fsum(load.rate * holds[load.endpoint].mean for load in pool.loads)
        return PoolAnswer(
            NOTHING, holds, 0.0, busy, 0.0, 0.0, found, self.doubts, self.doubts,
            "closed product form",
        )  # fmt: skip
