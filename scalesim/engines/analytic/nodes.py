"""One node of a facility: its programs as loads on pools and resources, and what they answer."""

from __future__ import annotations

import math
from dataclasses import replace

from scalesim.distributions import Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.arrivals import AT_RANDOM, Balanced
from scalesim.engines.analytic.in_flight import solve_in_flight
from scalesim.engines.analytic.lines import in_order, metered, with_patience
from scalesim.engines.analytic.model import (
    Ask,
    Either,
    Failing,
    Fork,
    Part,
    Pause,
    Program,
    Send,
    Use,
)
from scalesim.engines.analytic.occupancy import Occupancy
from scalesim.engines.analytic.part_replies import completing, reply_of
from scalesim.engines.analytic.pools import Pool
from scalesim.engines.analytic.reach import weighted
from scalesim.engines.analytic.replicas import solve_replica
from scalesim.engines.analytic.replies import DONE, Reply, in_turn
from scalesim.engines.analytic.stations import (
    AT_ONCE,
    DELAYS,
    MOST_SLOTS,
    NO_DOUBT,
    Arrivals,
    Load,
    PoolAnswer,
    Station,
    taken_for,
    variable,
)
from scalesim.engines.analytic.times import NOTHING, Time
from scalesim.engines.analytic.uses import NodeAnswer, Uses
from scalesim.errors import Problem

__all__ = ["Node"]


class Node(Uses):
    """One node while it is being solved."""

    more_in_flight = False
    """Whether more requests are at the node, as a balancer counts them, than its pool holds."""

    def solve(self) -> NodeAnswer:
        """Return the answer under open traffic.

        Raises
        ------
        Unstable
        """
        nested = self.make_stations()
        before, beside = nested.pop("before", []), nested.pop("beside", [])
        after = nested.pop("after", [])
        reacting = self._reacting([*before, *self.facility.pools])
        if reacting is not None:
            outside = before + after
            if outside and not beside and self._solve_in_flight(nested, outside, reacting):
                return self.answer
            metered = self.facility.meter is not None
            self.more_in_flight = bool(outside or beside or metered or not self.facility.pools)
        self._solve_outside(before)
        known = solve_replica(self, beside)
        if not known:
            self._solve_beside(beside)
        for name in self.facility.pools if not known else ():
            pool = self.pool(name, nested.get(name, []), set())
            callees = self.callees(name)
            late = [c for c in callees if c in self.solution.deferred]
            answer = None
            if not late:
                answer = self._solved(pool)
            if callees and (answer is None or answer.theorem not in DELAYS):
                answer = self._with_callees(name, nested.get(name, []), callees)
            assert answer is not None
            self.answer.pools[name] = answer
            self.answer.resources |= {
                key: each for key, each in answer.stations.items() if key in self.stations
            }
        if "message" in self.facility.programs:  # its publishers ask for it, here already
            self.solution.nodes[self.facility.component] = [self.answer]
        self._solve_outside(after)
        self.put_replies()
        return self.answer

    def _solve_in_flight(
        self, nested: dict[str, list[str]], outside: list[str], balanced: Balanced
    ) -> bool:
        """Solve the node where the balancer counts stations outside of the one pool, too.

        Return whether it could be.
        """
        if len(self.facility.pools) != 1 or self.facility.line != "fifo":
            return False
        ((name, size),) = self.facility.pools.items()
        pool = self.pool(name, nested.get(name, []), set())
        if size.limit is not None or not pool.rate or not self._by_number(pool):
            return False
        found = solve_in_flight(self, pool, outside, balanced)
        inner = found.pop(name)
        spread = (1 + pool.law.scv) / 2
        answer = pool.settled(inner.occupancy, pool.rate, inner.doubts, spread)
        answer = replace(answer, theorem="Markov chain of the targets", plain=False)
        self._note_leaving(name, pool, answer)
        self.answer.pools[name] = answer
        self.answer.resources |= answer.stations | found
        self.put_replies()
        return True

    def _reacting(self, stations: list[str]) -> Balanced | None:
        """Return how requests come from a balancer that reacts to load, if they do."""
        found = (self.balanced(station) for station in stations)
        return next((each for each in found if each.targets), None)

    def settle(self, chain: Occupancy, rate: float, doubts: frozenset[str]) -> NodeAnswer:
        """Return the answer for a known number at the one pool."""
        nested = self.make_stations()
        ((name, _),) = self.facility.pools.items()
        pool = self.pool(name, nested.get(name, []), set())
        answer = pool.settled(chain, rate, doubts)
        self._note_leaving(name, pool, answer)
        self.answer.pools[name] = answer
        self.answer.resources |= answer.stations
        self.put_replies()
        return self.answer

    def own_pool(self) -> Pool:
        """Return the one pool of a facility that is a station inside its caller's."""
        nested = self.make_stations()
        ((name, _),) = self.facility.pools.items()
        return self.pool(name, nested.get(name, []), set())

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
        size, law = self.facility.pools[name], times.mixed(laws)
        return Pool(name, size, loads, list(stations.values()), law, self.arrivals_of)

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
        load = Load(endpoint, rate, delay, work, exponential, doubts, calls, again, program.urgency)
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

    def _with_callees(self, name: str, nested: list[str], callees: set[str]) -> PoolAnswer:
        """Solve the pool with its callees inside, and say what that means for them."""
        pool = self.pool(name, nested, callees)
        answer = self._solved(pool)
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

    def _solved(self, pool: Pool) -> PoolAnswer:
        balanced = self.balanced(pool.name)
        if balanced.targets and self.more_in_flight:
            balanced = Balanced(balanced.arrivals.doubted(AT_RANDOM))
        self._note_bursts(pool, balanced.arrivals)
        answer = self._answered(pool, balanced)
        self._note_leaving(pool.name, pool, answer)
        return answer

    def _note_bursts(self, pool: Pool, arrivals: Arrivals) -> None:
        """Note that nothing is known where bursts come to a pool that may lose some of them."""
        bursts = arrivals.scv > 1 or not arrivals.doubts.isdisjoint(AT_ONCE)
        if bursts and pool.rate and self.facility.loses(pool.name):
            subject = f'{self.facility.type_name} "{self.facility.component}"'
            message = "bursts, or parts of one request at once, where some may be lost or metered"
            self.solution.problems.append(
                Problem(f"{subject}: {pool.name}", f'{message}; use engine="compiled"')
            )

    def _note_leaving(self, name: str, pool: Pool, answer: PoolAnswer) -> None:
        """Note what streams are taken for once they have passed a pool."""
        leaving: frozenset[str] | None = None
        if answer.theorem not in DELAYS:
            leaving = NO_DOUBT if answer.plain else taken_for(pool.law.scv)
        self.answer.leaving[name] = leaving

    def _answered(self, pool: Pool, balanced: Balanced) -> PoolAnswer:
        if self.facility.meter is not None:
            rate = math.fsum(self.answer.rates.values())
            names = [load.endpoint for load in pool.loads]
            return metered(self.facility.meter, names, rate, balanced.arrivals)
        arrivals = balanced.arrivals
        if balanced.targets and not self._by_number(pool):
            balanced = Balanced(arrivals := arrivals.doubted(AT_RANDOM))
        if self.facility.patience is not None and pool.rate and (pool.delay or pool.stations):
            return with_patience(self.facility, pool, arrivals)
        answer = self._first_come(pool, balanced)
        return answer if self.facility.line == "fifo" else in_order(self.facility, pool, answer)

    def _by_number(self, pool: Pool) -> bool:
        """Return whether speeds follow from the number here: what the targets' chain knows."""
        special = any(each.failures is not None or len(each.classes) > 1 for each in pool.stations)
        return not special and self.facility.patience is None and self.facility.line != "priority"

    def _first_come(self, pool: Pool, balanced: Balanced) -> PoolAnswer:
        found = balanced.chain(pool)
        if found is None:
            return pool.solved(balanced.arrivals)
        chain, doubts = found
        doubts |= balanced.arrivals.doubts | pool.doubts
        if not pool.exponential:
            doubts |= {"as if exponential"} | variable(pool.law.scv)
        answer = pool.settled(chain, pool.rate, doubts, (1 + pool.law.scv) / 2)
        return replace(answer, theorem="Markov chain of the targets", plain=False)

    # Replies --------------------------------------------------------------------------------

    def reply_of(self, part: Part, urgency: int) -> Reply:
        """Return what one part of a program takes and how it ends."""
        return reply_of(part, self.solution, self.stations, self.answer.resources, urgency)

    def put_replies(self) -> None:
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

    def _note_reached(self, program: Program) -> None:
        ask = completing(self.solution)
        for _, parts, here in self.stages(program):
            for part, weight in weighted(parts, ask, here):
                if isinstance(part, (Ask, Send)):
                    attempts = self.solution.asked(part).attempts if isinstance(part, Ask) else 1.0
                    self.answer.reached[part] = weight * attempts


def _gone(pool: PoolAnswer) -> Time:
    """Return when it is known that a pool has turned a request away or lost it."""
    return times.mixed([(pool.rejected, NOTHING), (pool.abandoned, pool.left_after)])


def _lasting(parts: tuple[Part, ...]) -> Part | None:
    """Return the one part that takes time, if nothing but failures and messages follow it."""
    if parts and all(isinstance(each, (Failing, Send)) for each in parts[1:]):
        return parts[0]
    return None
