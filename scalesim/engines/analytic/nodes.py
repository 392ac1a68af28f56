"""One node of a facility: its programs as loads on pools and resources, and what they answer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from scalesim.distributions import Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.arrivals import Balanced, arrivals_at
from scalesim.engines.analytic.model import (
    Ask,
    Either,
    Facility,
    Fork,
    Part,
    Pause,
    Program,
    Send,
    Use,
    Visits,
    parts_within,
)
from scalesim.engines.analytic.occupancy import Occupancy
from scalesim.engines.analytic.part_replies import reply_of
from scalesim.engines.analytic.pools import Pool
from scalesim.engines.analytic.replies import DONE, Reply, asked, in_turn
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
)
from scalesim.engines.analytic.times import Time

if TYPE_CHECKING:
    from scalesim.engines.analytic.solver import Solution, Solver

__all__ = ["Node", "NodeAnswer"]


@dataclass(eq=False)
class NodeAnswer:
    """What a group of equal nodes does.

    Parameters
    ----------
    members : list of int
        Their numbers.
    rates : dict of endpoint to float [1/s]
        At one of them.
    pools, resources : dict of name to PoolAnswer, StationAnswer
    replies : dict of endpoint to Reply
    plain : dict of endpoint to bool
        Whether Poisson requests leave as a Poisson stream.
    reached : dict of part to float
        How often an ask or send is made, for each request at its place.
    """

    members: list[int]
    rates: dict[str, float]
    pools: dict[str, PoolAnswer] = field(default_factory=dict)
    resources: dict[str, StationAnswer] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    plain: dict[str, bool] = field(default_factory=dict)
    reached: dict[Ask | Send, float] = field(default_factory=dict)


class Node:
    """One node while it is being solved."""

    def __init__(
        self, solver: Solver, facility: Facility, solution: Solution, members: list[int]
    ) -> None:
        self.solver, self.facility, self.solution = solver, facility, solution
        self.members = members
        rates = {
            name: float(
                solution.flows.rates_at(facility.component, name, facility.nodes)[members[0]]
            )
            for name in facility.programs
        }
        if facility.component == "client":
            rates = {name: solution.flows.rate["client", name] for name in facility.programs}
        self.answer = NodeAnswer(members, rates)
        self.stations: dict[str, Station] = {}

    def solve(self) -> NodeAnswer:
        """Return the answer under open traffic.

        Raises
        ------
        Unstable
        """
        name = self.facility.component
        front = name in self.solver.fronts
        balanced = arrivals_at(self.solver.arrivals, front, self.facility, self.solution.flows)
        arrivals = balanced.arrivals
        nested = self.solve_resources(arrivals)
        for name in self.facility.pools:
            pool = self.pool(name, nested.get(name, []), set())
            callees = self.callees(name)
            late = [c for c in callees if c in self.solution.deferred]
            answer = None
            if not late:
                answer = self._solved(pool, balanced)
            if callees and (answer is None or (answer.theorem != "infinite server"
                            and answer.theorem != "product form")):  # fmt: skip
                answer = self._with_callees(name, nested.get(name, []), callees, balanced)
            assert answer is not None
            self.answer.pools[name] = answer
            self.answer.resources |= {
                key: each for key, each in answer.stations.items() if key in self.stations
            }
        self.put_replies(arrivals)
        return self.answer

    def settle(self, chain: Occupancy, rate: float, doubts: frozenset[str]) -> NodeAnswer:
        """Return the answer for a known number at the one pool."""
        nested = self.solve_resources(Arrivals())
        ((name, _),) = self.facility.pools.items()
        pool = self.pool(name, nested.get(name, []), set())
        answer = pool.settled(chain, rate, doubts)
        self.answer.pools[name] = answer
        self.answer.resources |= answer.stations
        self.put_replies(Arrivals(doubts=doubts))
        return self.answer

    def own_pool(self) -> Pool:
        """Return the one pool of a facility that is a station inside its caller's."""
        nested = self.solve_resources(Arrivals())
        ((name, _),) = self.facility.pools.items()
        return self.pool(name, nested.get(name, []), set())

    # Resources ------------------------------------------------------------------------------

    def _uses(self, resource: str) -> Iterable[tuple[str, Use, str]]:
        """Yield (endpoint, use, pool) of a resource; the pool empty outside one or in a branch."""
        for name, program in self.facility.programs.items():
            for where, parts in (("", program.before), (program.pool, program.inside),
                                 ("", program.after)):  # fmt: skip
                for part in parts:
                    if isinstance(part, Use) and part.resource == resource:
                        yield name, part, where
                    elif isinstance(part, Fork):
                        for inner in parts_within((part,)):
                            if isinstance(inner, Use) and inner.resource == resource:
                                yield name, inner, ""

    def make_stations(self) -> dict[str, list[str]]:
        """Make stations of the resources; return those inside one pool alone, by pool.

        The others are under the name ``""``.
        """
        placed: dict[str, list[str]] = {}
        for name, resource in self.facility.resources.items():
            uses = list(self._uses(name))
            if resource.alone or not uses:
                continue
            weighted = [(self.answer.rates[e], times.drawn(u.law)) for e, u, _ in uses]
            if not any(weight for weight, _ in weighted):
                weighted = [(1.0, time) for _, time in weighted]
            law = times.mixed(weighted)
            alike = {u.law for e, u, _ in uses if self.answer.rates[e] or len(uses) == 1}
            plain = resource.shared or (
                len(alike) == 1 and all(isinstance(each, Exponential) for each in alike)
            )
            slowed = bool(resource.contention or resource.coherency)
            self.stations[name] = Station(
                name,
                resource.slots,
                resource.shared,
                partial(resource.speeds, law.mean),
                law.mean,
                law.scv,
                plain,
                MOST_SLOTS if slowed else min(resource.slots, 100_000),
            )
            pools = {where for _, _, where in uses}
            placed.setdefault(pools.pop() if len(pools) == 1 else "", []).append(name)
        return placed

    def use_rate(self, resource: str) -> float:
        """Return how often a resource is used [1/s]."""
        return math.fsum(self.answer.rates[e] for e, _, _ in self._uses(resource))

    def solve_resources(self, arrivals: Arrivals) -> dict[str, list[str]]:
        """Make stations of the resources; solve those that are not inside one pool alone."""
        placed = self.make_stations()
        for name in placed.pop("", []):
            rate = self.use_rate(name)
            if rate == 0:
                continue
            if len({pool for _, _, pool in self._uses(name)}) > 1:
                arrivals = arrivals.doubted("pools beside each other")
            answer = open_station(self.stations[name], rate, arrivals)
            if answer is None:
                raise Unstable(name)
            self.answer.resources[name] = answer
        return placed

    # Pools ----------------------------------------------------------------------------------

    def pool(self, name: str, nested: list[str], callees: set[str]) -> Pool:
        """Return the pool with its own stations, and `callees` as stations of it."""
        loads, laws = [], []
        stations = {each: self.stations[each] for each in nested}
        for endpoint, program in self.facility.programs.items():
            if program.pool != name:
                continue
            rate = self.answer.rates[endpoint]
            load, law = self._load(endpoint, rate, program, set(nested), callees)
            loads.append(load)
            laws.append((rate, law))
        if not any(rate for rate, _ in laws):
            laws = [(1.0, law) for _, law in laws]
        for callee in callees:
            stations[callee] = self._callee_station(callee)
        return Pool(
            name, self.facility.pools[name], loads, list(stations.values()), times.mixed(laws)
        )

    def _load(
        self, endpoint: str, rate: float, program: Program, nested: set[str], callees: set[str]
    ) -> tuple[Load, Time]:
        delays: list[Time] = []
        work: dict[str, tuple[float, float]] = {}
        raw: list[Time] = []
        doubts = NO_DOUBT
        calls = False
        for part in program.inside:
            if isinstance(part, Use) and part.resource in nested:
                visits, demand = work.get(part.resource, (0.0, 0.0))
                total = visits * demand + part.law.mean
                work[part.resource] = (visits + 1, total / (visits + 1))
                raw.append(times.drawn(part.law))
                continue
            if isinstance(part, Ask) and part.to[0] in callees:
                visits, demand = work.get(part.to[0], (0.0, 0.0))
                bare = self.solution.bare(part.to).mean
                work[part.to[0]] = (visits + 1, (visits * demand + bare) / (visits + 1))
                raw.append(self.solution.bare(part.to))
                continue
            reply = self.reply_of(part)
            doubts |= reply.doubts
            calls = calls or isinstance(part, (Ask, Either, Fork))
            delays.append(reply.time)
            raw.append(reply.time)
        single = program.inside[0] if len(program.inside) == 1 else None
        law = single.law if isinstance(single, (Use, Pause)) else None
        exponential = law.mean if isinstance(law, Exponential) else 0.0
        if isinstance(single, Use) and single.resource in self.stations.keys() - nested:
            exponential, calls = 0.0, True
        load = Load(endpoint, rate, times.added(delays), work, exponential, doubts, calls)
        return load, times.added(raw)

    def callees(self, pool: str) -> set[str]:
        """Return the components that only this pool calls."""
        own = {c for c, who in self.solver.exclusive.items() if who == self.facility.component}
        return {
            part.to[0]
            for program in self.facility.programs.values()
            if program.pool == pool
            for part in program.inside
            if isinstance(part, Ask) and part.to[0] in own
        }

    def _callee_station(self, callee: str) -> Station:
        node = Node(self.solver, self.solver.facilities[callee], self.solution, [0])
        pool = node.own_pool()
        slots, plain = pool.size.slots, bool(pool.exponential)
        settles = min(slots, MOST_SLOTS)
        return Station(
            callee, slots, False, pool.speed, pool.law.mean, pool.law.scv, plain, settles
        )

    def _with_callees(
        self, name: str, nested: list[str], callees: set[str], balanced: Balanced
    ) -> PoolAnswer:
        """Solve the pool with its callees inside, and say what that means for them."""
        pool = self.pool(name, nested, callees)
        answer = self._solved(pool, balanced)
        self.settle_callees(callees, answer)
        return answer

    def settle_callees(self, callees: set[str], answer: PoolAnswer) -> None:
        """Put what a pool's answer says of the callees inside it into the solution."""
        for callee in callees:
            inside = answer.stations.get(callee)
            if inside is None:
                continue
            facility = self.solver.facilities[callee]
            node = Node(self.solver, facility, self.solution, [0])
            settled = node.settle(inside.occupancy, inside.rate, inside.doubts)
            self.solution.nodes[callee] = [settled]
            for endpoint, reply in settled.replies.items():
                self.solution.replies[callee, endpoint] = reply
            self.solution.deferred.pop(callee, None)

    def _solved(self, pool: Pool, balanced: Balanced) -> PoolAnswer:
        chain = balanced.chain(pool)
        if chain is None:
            return pool.solved(balanced.arrivals)
        doubts = balanced.arrivals.doubts | pool.doubts
        if not pool.exponential:
            doubts |= {"as if exponential"}
        answer = pool.settled(chain, pool.rate, doubts, (1 + pool.law.scv) / 2)
        return replace(answer, theorem="Markov chain of the targets", plain=False)

    # Replies --------------------------------------------------------------------------------

    def reply_of(self, part: Part) -> Reply:
        """Return what one part of a program takes and how it ends."""
        return reply_of(part, self.solution, self.stations, self.answer.resources)

    def put_replies(self, arrivals: Arrivals) -> None:
        """Put together what each endpoint answers, and how often it comes to its calls."""
        for endpoint, program in self.facility.programs.items():
            pool = self.answer.pools.get(program.pool)
            parts: list[Reply] = []
            here = 1.0
            for stage, steps in (("before", program.before), ("inside", program.inside),
                                 ("after", program.after)):  # fmt: skip
                if stage == "inside" and pool is not None:
                    queue = int(not math.isclose(pool.wait.mean, 0.0))
                    parts.append(
                        Reply(pool.wait, pool.rejected, doubts=pool.wait_doubts, queues=queue)
                    )
                    here *= 1 - pool.rejected
                for step in steps:
                    here = self._reach(step, here)
                    if stage != "inside" or pool is None:
                        parts.append(self.reply_of(step))
                if stage == "inside" and pool is not None:
                    inner = in_turn([self.reply_of(step) for step in steps])
                    parts.append(
                        inner._replace(
                            time=pool.holds[endpoint],
                            doubts=inner.doubts | pool.hold_doubts,
                            queues=max(inner.queues, len(pool.stations)),
                        )
                    )
            self.answer.replies[endpoint] = in_turn(parts)
            everything = (*program.before, *program.inside, *program.after)
            resources = {p.resource for p in parts_within(everything) if isinstance(p, Use)}
            self.answer.plain[endpoint] = (
                (pool is None or pool.plain)
                and not arrivals.doubts
                and arrivals.poisson
                and all(self.stations[r].plain for r in resources if r in self.stations)
            )

    def _reach(self, step: Part, here: float) -> float:
        """Note how often calls are made; return the share of requests that go on."""
        if isinstance(step, Fork):
            for branch in step.branches:
                at = here
                for inner in branch:
                    at = self._reach(inner, at)
        elif isinstance(step, (Either, Visits)):
            for ask in step.asks:
                self._reach(ask, here)
        elif isinstance(step, Send):
            self.answer.reached[step] = here
            return here
        elif isinstance(step, Ask):
            once = asked(self.solution.replies.get(step.to, DONE), step.timeout, step.retry)
            self.answer.reached[step] = here * once.attempts
        return here * self.reply_of(step).completed
