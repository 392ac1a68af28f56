"""One node of a facility: its programs as loads on pools and resources, and what they answer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from scalesim.distributions import Distribution, Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.arrivals import Balanced, arrivals_at
from scalesim.engines.analytic.lines import in_order, metered, with_patience
from scalesim.engines.analytic.model import (
    Ask,
    Either,
    Facility,
    Failing,
    Fork,
    Part,
    Pause,
    Program,
    Send,
    Use,
    parts_within,
)
from scalesim.engines.analytic.occupancy import Occupancy
from scalesim.engines.analytic.part_replies import completing, reply_of
from scalesim.engines.analytic.pools import Pool
from scalesim.engines.analytic.priorities import ORDERS, Class
from scalesim.engines.analytic.reach import completion, weighted
from scalesim.engines.analytic.replicas import solve_replica
from scalesim.engines.analytic.replies import DONE, Reply, in_turn
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
from scalesim.engines.analytic.times import NOTHING, Time

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
    demands : dict of resource to (float, float) [1/s, ratio]
        Uses a second, and seconds of work a second.
    """

    members: list[int]
    rates: dict[str, float]
    pools: dict[str, PoolAnswer] = field(default_factory=dict)
    resources: dict[str, StationAnswer] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    plain: dict[str, bool] = field(default_factory=dict)
    reached: dict[Ask | Send, float] = field(default_factory=dict)
    demands: dict[str, tuple[float, float]] = field(default_factory=dict)


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
        balanced = arrivals_at(
            self.solver.arrivals, front, self.facility, self.solution.flows, self.members[0]
        )
        arrivals = balanced.arrivals
        nested = self.make_stations()
        arrivals = self._solve_outside(nested.pop("before", []), arrivals)
        balanced = replace(balanced, arrivals=arrivals)
        beside = nested.pop("beside", [])
        known = solve_replica(self, beside, balanced)
        if not known:
            self._solve_beside(beside, arrivals)
        after = nested.pop("after", [])
        for name in self.facility.pools if not known else ():
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
        plain = all(each.plain for each in self.answer.pools.values())
        self._solve_outside(after, arrivals if plain else arrivals.smoothed())
        self.put_replies(arrivals)
        return self.answer

    def settle(self, chain: Occupancy, rate: float, doubts: frozenset[str]) -> NodeAnswer:
        """Return the answer for a known number at the one pool."""
        nested = self.make_stations()
        ((name, _),) = self.facility.pools.items()
        pool = self.pool(name, nested.get(name, []), set())
        answer = pool.settled(chain, rate, doubts)
        self.answer.pools[name] = answer
        self.answer.resources |= answer.stations
        self.put_replies(Arrivals(doubts=doubts))
        return self.answer

    def own_pool(self) -> Pool:
        """Return the one pool of a facility that is a station inside its caller's."""
        nested = self.make_stations()
        ((name, _),) = self.facility.pools.items()
        return self.pool(name, nested.get(name, []), set())

    # Resources ------------------------------------------------------------------------------

    def stages(self, program: Program) -> Iterable[tuple[str, tuple[Part, ...], float]]:
        """Yield (where, parts, how often they are begun) of what a program does, in order."""
        ask = completing(self.solution)
        here = 1.0
        for where, parts in (("before", program.before), (program.pool, program.inside),
                             ("after", program.after)):  # fmt: skip
            if where == program.pool and where in self.answer.pools:
                here *= self.answer.pools[where].admitted
            yield where, parts, here
            here *= math.prod(completion(part, ask) for part in parts)

    def uses(self, resource: str) -> Iterable[tuple[str, Use, str, float]]:
        """Yield (endpoint, use, where, how often) of a resource.

        Where: the pool that is held, ``before`` it or ``after``, or ``beside``: in a branch.
        """
        ask = completing(self.solution)
        for name, program in self.facility.programs.items():
            for where, parts, here in self.stages(program):
                own = {id(part) for part in parts}
                for part, weight in weighted(parts, ask, here):
                    if isinstance(part, Use) and part.resource == resource:
                        yield name, part, where if id(part) in own else "beside", weight

    def make_stations(self) -> dict[str, list[str]]:
        """Make stations of the resources; return their names by where they are used.

        ``beside``: in branches, or in several pools.
        """
        placed: dict[str, list[str]] = {}
        for name, resource in self.facility.resources.items():
            uses = list(self.uses(name))
            if resource.alone or not uses:
                continue
            shares = [(self.answer.rates[e] * w, times.drawn(u.law)) for e, u, _, w in uses]
            if not any(weight for weight, _ in shares):
                shares = [(1.0, time) for _, time in shares]
            law = times.mixed(shares)
            alike = {u.law for e, u, _, w in uses if self.answer.rates[e] * w or len(uses) == 1}
            plain = resource.shared or (
                len(alike) == 1 and all(isinstance(each, Exponential) for each in alike)
            )
            classes = self._classes(uses) if resource.order in ORDERS else {}
            plain = plain and len(classes) <= 1 and resource.failures is None
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
                resource.order,
                classes,
                resource.failures,
            )
            used = [each for each in uses if self.answer.rates[each[0]] * each[3] > 0]
            places = {where for _, _, where, _ in used or uses}
            placed.setdefault(places.pop() if len(places) == 1 else "beside", []).append(name)
        return placed

    def _classes(self, uses: list[tuple[str, Use, str, float]]) -> dict[int, Class]:
        """Return what comes to a station, by urgency."""
        found: dict[int, list[tuple[float, Distribution]]] = {}
        for endpoint, use, _, weight in uses:
            rate = self.answer.rates[endpoint] * weight
            if rate > 0:
                urgency = self.facility.programs[endpoint].urgency
                found.setdefault(urgency, []).append((rate, use.law))
        classes = {}
        for urgency, shares in found.items():
            law = times.mixed([(rate, times.drawn(each)) for rate, each in shares])
            alike = len({each for _, each in shares}) == 1
            exponential = alike and isinstance(shares[0][1], Exponential)
            rate = math.fsum(rate for rate, _ in shares)
            classes[urgency] = Class(rate, law.mean, law.scv, exponential)
        return classes

    def use_rate(self, resource: str) -> float:
        """Return how often a resource is used [1/s]."""
        return math.fsum(self.answer.rates[e] * weight for e, _, _, weight in self.uses(resource))

    def _solve_outside(self, names: list[str], arrivals: Arrivals) -> Arrivals:
        """Solve stations before or after the pools; return how requests leave them."""
        for name in names:
            self._solve_alone(name, arrivals)
            if not self.stations[name].plain:
                arrivals = arrivals.smoothed()
        return arrivals

    def _solve_beside(self, names: list[str], arrivals: Arrivals) -> None:
        """Solve stations in branches or in several pools, as if nobody were turned away."""
        for name in names:
            places = {where for _, _, where, _ in self.uses(name)}
            beside = "branches as if independent" if places == {"beside"} else _BESIDE
            sizes = self.facility.pools.values()
            limited = {_BESIDE} if any(size.limit is not None for size in sizes) else set()
            self._solve_alone(name, arrivals.doubted(beside, *limited))

    def _solve_alone(self, name: str, arrivals: Arrivals) -> None:
        rate = self.use_rate(name)
        if rate == 0:
            return
        answer = open_station(self.stations[name], rate, arrivals)
        if answer is None:
            raise Unstable(name)
        self.answer.resources[name] = answer

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
        work: dict[str, tuple[float, float]] = {}
        doubts = again = NO_DOUBT
        calls = False
        steps: list[tuple[Time, Reply]] = []  # what a part takes at stations here, and elsewhere
        here = 1.0
        for part in program.inside:
            place, bare = "", NOTHING
            if isinstance(part, Use) and part.resource in nested:
                place, bare = part.resource, times.drawn(part.law)
            elif isinstance(part, Ask) and part.to[0] in callees:
                place, bare = part.to[0], self.solution.bare(part.to)
            if place:
                again |= {place} if place in work else NO_DOUBT
                visits, demand = work.get(place, (0.0, 0.0))
                total = visits * demand + here * bare.mean
                work[place] = (visits + here, total / (visits + here) if visits + here else 0.0)
                reply = self.solution.asked(part)._replace(time=NOTHING, gone=NOTHING) if (
                    isinstance(part, Ask)) else DONE  # fmt: skip
            else:
                reply = self.reply_of(part, program.urgency)
                calls = calls or isinstance(part, (Ask, Either, Fork))
                doubts |= reply.doubts
            steps.append((bare, reply))
            here *= reply.completed
        delay = law = NOTHING
        for bare, reply in reversed(steps):
            if reply.completed < 1:
                ok, lost = reply.completed, 1 - reply.completed
                delay = times.mixed([(ok, times.added([reply.time, delay])), (lost, reply.gone)])
                law = times.mixed(
                    [(ok, times.added([bare, reply.time, law])),
                     (lost, times.added([bare, reply.gone]))]
                )  # fmt: skip
            else:
                delay = times.added([reply.time, delay])
                law = times.added([bare, reply.time, law])
        exponential = self._exponential(program.inside)
        single = _lasting(program.inside)
        if isinstance(single, Use) and single.resource in self.stations.keys() - nested:
            exponential, calls = 0.0, True
        load = Load(
            endpoint, rate, delay, work, exponential, doubts, calls, again, program.urgency
        )
        return load, law

    def _exponential(self, parts: tuple[Part, ...]) -> float:
        """Return the mean of the one exponential law that is all that happens, 0: more does."""
        single = _lasting(parts)
        law = single.law if isinstance(single, (Use, Pause)) else None
        return law.mean if isinstance(law, Exponential) else 0.0

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
        if self.facility.meter is not None:
            rate = math.fsum(self.answer.rates.values())
            names = [load.endpoint for load in pool.loads]
            return metered(self.facility.meter, names, rate, balanced.arrivals)
        arrivals = balanced.arrivals
        if balanced.targets and (self.facility.patience or self.facility.line != "fifo"):
            arrivals = arrivals.doubted("balanced as if at random")
        if self.facility.patience is not None and pool.rate:
            return with_patience(self.facility, pool, arrivals)
        if self.facility.line != "fifo":
            return in_order(self.facility, pool, pool.solved(arrivals))
        found = balanced.chain(pool)
        if found is None:
            return pool.solved(arrivals)
        chain, doubts = found
        doubts |= balanced.arrivals.doubts | pool.doubts
        if not pool.exponential:
            doubts |= {"as if exponential"}
        answer = pool.settled(chain, pool.rate, doubts, (1 + pool.law.scv) / 2)
        return replace(answer, theorem="Markov chain of the targets", plain=False)

    # Replies --------------------------------------------------------------------------------

    def reply_of(self, part: Part, urgency: int) -> Reply:
        """Return what one part of a program takes and how it ends."""
        return reply_of(part, self.solution, self.stations, self.answer.resources, urgency)

    def put_replies(self, arrivals: Arrivals) -> None:
        """Put together what each endpoint answers, and how often it comes to its calls."""
        for resource in self.facility.resources:
            uses = [(self.answer.rates[e] * w, u.law.mean) for e, u, _, w in self.uses(resource)]
            work = math.fsum(rate * mean for rate, mean in uses)
            self.answer.demands[resource] = (math.fsum(rate for rate, _ in uses), work)
        for endpoint, program in self.facility.programs.items():
            self._note_reached(program)
            pool = self.answer.pools.get(program.pool)
            parts: list[Reply] = []
            for stage, steps in (("before", program.before), ("inside", program.inside),
                                 ("after", program.after)):  # fmt: skip
                if stage == "inside" and pool is not None:
                    queue = int(not math.isclose(pool.wait.mean, 0.0))
                    wait = pool.waits.get(program.urgency, pool.wait)
                    parts.append(
                        Reply(wait, pool.rejected, pool.abandoned, doubts=pool.wait_doubts,
                              queues=queue, gone=_gone(pool))
                    )  # fmt: skip
                if stage != "inside" or pool is None:
                    parts += [self.reply_of(step, program.urgency) for step in steps]
                else:
                    inner = in_turn([self.reply_of(step, program.urgency) for step in steps])
                    held = pool.holds[endpoint] if inner.completed == 1 else inner.time
                    parts.append(
                        inner._replace(
                            time=held,
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

    def _note_reached(self, program: Program) -> None:
        ask = completing(self.solution)
        for _, parts, here in self.stages(program):
            for part, weight in weighted(parts, ask, here):
                if isinstance(part, (Ask, Send)):
                    attempts = self.solution.asked(part).attempts if isinstance(part, Ask) else 1.0
                    self.answer.reached[part] = weight * attempts


_BESIDE = "pools beside each other"


def _gone(pool: PoolAnswer) -> Time:
    """Return when it is known that a pool has turned a request away or lost it."""
    return times.mixed([(pool.rejected, NOTHING), (pool.abandoned, pool.left_after)])


def _lasting(parts: tuple[Part, ...]) -> Part | None:
    """Return the one part that takes time, if nothing but failures and messages follow it."""
    if parts and all(isinstance(each, (Failing, Send)) for each in parts[1:]):
        return parts[0]
    return None
