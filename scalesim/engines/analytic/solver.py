"""From facilities to answers under open traffic: rates inward, waits outward, until they agree.

Callees are solved before callers, since a caller holds its slot while it waits for them. Where
answers change the rates (requests turned away, time-outs, retries) both are repeated until
nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scalesim.engines.analytic import times
from scalesim.engines.analytic.arrivals import new_arrivals
from scalesim.engines.analytic.flows import Flows, Lookups, flows_of, ordered
from scalesim.engines.analytic.lowering import lowered
from scalesim.engines.analytic.model import (
    ROOT,
    Ask,
    Either,
    Facility,
    Fork,
    Part,
    Pause,
    Place,
    Send,
    Use,
    parts_within,
)
from scalesim.engines.analytic.nodes import Node
from scalesim.engines.analytic.reach import known_failures, most_visits
from scalesim.engines.analytic.replies import DONE, Reply, asked, one_of
from scalesim.engines.analytic.retrying import at_once
from scalesim.engines.analytic.stations import AS_POISSON, NO_DOUBT, Unstable
from scalesim.engines.analytic.streams import ENTRIES, MISSES, Leaving, Point, Streams, sides
from scalesim.engines.analytic.times import NOTHING, Time
from scalesim.engines.analytic.uses import NodeAnswer
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, Traffic
from scalesim.traffic.processes import Poisson

__all__ = ["Solution", "Solver"]

_ROUNDS = 200
_CLOSE = 1e-7
_SELDOM = 1e-3
_MANY = 100
"""Attempts of one request, where they have no bound, when all fail."""


@dataclass(eq=False)
class Solution:
    """Everything that was found at one rate.

    Parameters
    ----------
    rate : float [1/s]
        Of new requests.
    nodes : dict of component to list of NodeAnswer
        One for each group of nodes that are equal.
    replies : dict of Place to Reply
    unstable : str
        The first station whose line grows without end; empty: there is none.
    """

    rate: float
    flows: Flows
    nodes: dict[str, list[NodeAnswer]] = field(default_factory=dict)
    replies: dict[Place, Reply] = field(default_factory=dict)
    unstable: str = ""
    deferred: dict[str, str] = field(default_factory=dict)
    """Components that would be unstable on their own, to be solved inside their callers."""
    facilities: dict[str, Facility] = field(default_factory=dict)
    other: Solution | None = None
    """A second state in which the model may stay at this rate: a storm of retries."""
    streams: Streams = field(default_factory=lambda: Streams({}, (), (), {}, NO_DOUBT))
    reached: dict[Ask | Send, float] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    """What has no answer here that makes sense."""
    _bare: dict[Place, Time] = field(default_factory=dict)
    _asked: dict[Ask, tuple[Reply, Reply]] = field(default_factory=dict)

    def asked(self, part: Ask) -> Reply:
        """Return what a call comes to, with its time-out and retries, if it is made."""
        reply = self.replies.get(part.to, DONE)
        known = self._asked.get(part)
        if known is None or known[0] is not reply:
            known = self._asked[part] = (reply, asked(reply, part.timeout, part.retry))
        return known[1]

    def bare(self, place: Place) -> Time:
        """Return the time at a place, calls included, if nobody ever waited."""
        if place not in self._bare:
            program = self.facilities[place[0]].programs[place[1]]
            parts = (*program.before, *program.inside, *program.after)
            self._bare[place] = times.added([self.bare_part(part) for part in parts])
        return self._bare[place]

    def bare_part(self, part: Part) -> Time:
        """Return the time of one part if nobody ever waited."""
        if isinstance(part, (Use, Pause)):
            return times.drawn(part.law)
        if isinstance(part, Ask):
            time = self.bare(part.to)
            if part.timeout is not None:
                seen = asked(Reply(time), part.timeout, None)
                time = times.mixed([(seen.completed, seen.time), (seen.timed_out, seen.gone)])
            miss = self.flows.miss[part.missed] if part.missed else 1.0
            return times.mixed([(miss, time), (1 - miss, NOTHING)]) if miss < 1 else time
        if isinstance(part, Either):
            return times.mixed([(ask.probability, self.bare_part(ask)) for ask in part.asks])
        if isinstance(part, Fork):
            branches = [times.added([self.bare_part(p) for p in b]) for b in part.branches]
            return times.ranked(branches, part.needed or len(branches))
        return NOTHING


class Solver:
    """One topology under one kind of traffic, at whatever rate."""

    def __init__(self, topology: Topology, traffic: AnyTraffic) -> None:
        self.topology, self.traffic = topology, traffic
        spacing = traffic.arrivals if isinstance(traffic, Traffic) else Poisson()
        self.arrivals = new_arrivals(spacing)
        """How new requests are spaced."""
        self.facilities = lowered(topology, traffic)
        self.order = ordered(self.facilities)
        self.sides = {name: sides(facility) for name, facility in self.facilities.items()}
        self.components = self._callees_first()
        self.exclusive = self._exclusive()
        names = topology.entry_endpoints
        mix = traffic.mix if traffic.mix is not None else dict.fromkeys(names, 1.0)
        total = math.fsum(mix[name] for name in names)
        self.shares = {name: mix[name] / total for name in names}
        self.roots = [(ROOT, name) for name, share in self.shares.items() if share > 0]
        self.visits, self.tries = (
            most_visits(self.facilities, self.order, self.roots, retries)
            for retries in (False, True)
        )
        self.fronts = self._fronts()

    def _callees_first(self) -> list[str]:
        last: dict[str, int] = {}
        for index, (name, _) in enumerate(self.order):
            last[name] = index
        return sorted(last, key=lambda name: -last[name])

    def _exclusive(self) -> dict[str, str]:
        """Return who alone calls a component of one node, while holding a slot of one node."""
        callers: dict[str, set[tuple[str, str]]] = {}
        for name, facility in self.facilities.items():
            for program in facility.programs.values():
                for where, parts in (
                    ("before", program.before),
                    ("inside", program.inside),
                    ("after", program.after),
                ):
                    for part in parts:
                        callers_of(part, where, name, facility, callers)
        found = {}
        for callee, who in callers.items():
            facility = self.facilities[callee]
            simple = facility.nodes == 1 and len(facility.pools) == 1
            simple = simple and facility.line == "fifo" and facility.patience is None
            simple = simple and facility.meter is None
            simple = simple and all(
                not program.before and not program.after and size.limit is None
                for program in facility.programs.values()
                for size in facility.pools.values()
            )
            ((caller, where),) = who if len(who) == 1 else (("", ""),)
            if simple and where == "inside" and self.facilities[caller].nodes == 1:
                found[callee] = caller
        return found

    def _fronts(self) -> set[str]:
        """Return the components that new requests reach first, balancers and what is behind."""
        found: set[str] = set()
        todo = [ROOT]
        while todo:
            name = todo.pop()
            for program in self.facilities[name].programs.values():
                for part in parts_within(program.before):
                    if isinstance(part, Ask) and part.retry is None and not part.missed:
                        found.add(part.to[0])
                        if self.facilities[part.to[0]].type_name == "load_balancer":
                            todo.append(part.to[0])
        return found

    def streams(self, leaving: Leaving) -> Streams:
        """Return what is known of the streams at stations, given what leaves each."""
        new = NO_DOUBT if self.arrivals.poisson else self.arrivals.smoothed().doubts
        return Streams(self.facilities, self.order, self.roots, leaving, new)

    def flows(self, rate: float, reached: Mapping[Ask | Send, float],
              streams: Streams | None = None, replies: Mapping[Place, Reply] | None = None,
              ) -> Flows:  # fmt: skip
        """Return the flows at `rate`, given what is known of the answers."""
        durations = {
            place: reply.time.mean
            for place, reply in (replies or {}).items()
            if reply.completed > 1 - _SELDOM
        }
        lookups = {
            name: Lookups(
                NO_DOUBT if streams is None else streams.at((name, 0, ENTRIES)).doubts,
                self.visits[name, "get"] > 1, self.tries[name, "get"] > 1,
            )
            for name, facility in self.facilities.items() if facility.looked_up
        }  # fmt: skip
        return flows_of(
            self.topology, self.traffic, self.facilities, self.order, rate, self.shares,
            reached, lookups, durations,
        )  # fmt: skip

    def failing(
        self, rate: float, turned_away: Mapping[tuple[str, str], float] | None = None
    ) -> tuple[Flows, dict[Place, float]]:
        """Return the flows at `rate` and the shares that fail, if nobody waits or gives up.

        Parameters
        ----------
        turned_away : mapping of (component, pool) to float [ratio], optional
            What is known of lines that are full.
        """
        failed, reached = known_failures(
            self.facilities, self.components, self.flows(rate, {}), turned_away or {}
        )
        return self.flows(rate, reached), failed

    def solve(self, rate: float) -> Solution:
        """Return the solution at `rate` new requests a second, and a second state if there is one.

        Retries may keep up an overload that would not come about by itself: the state that the
        model comes to from rest, and that which it comes to when every attempt fails at first.
        """
        solution = self._settled(rate, {})
        if not solution.unstable:
            solution.problems += at_once(solution)
        if solution.problems and not solution.unstable:
            raise UnsupportedByEngine(solution.problems)
        every: dict[Ask | Send, float] = {
            part: float(part.retry.attempts or _MANY)
            for facility in self.facilities.values()
            for program in facility.programs.values()
            for part in parts_within((*program.before, *program.inside, *program.after))
            if isinstance(part, Ask) and part.retry is not None
        }
        if every and not solution.unstable:
            hot = self._settled(rate, solution.reached | every, hot=True)
            if not hot.unstable:
                rates = [(solution.flows.rate[p], hot.flows.rate[p]) for p in self.order]
                if any(abs(a - b) > 0.02 * max(a, b) for a, b in rates):
                    solution.other = hot
            elif any(
                isinstance(part, Ask) and part.timeout and part.retry
                and "timed_out" in part.retry.on for part in every
            ):  # fmt: skip
                solution.other = hot
        return solution

    def _settled(
        self, rate: float, reached: dict[Ask | Send, float], hot: bool = False
    ) -> Solution:
        """Return what rates and waits come to, from given numbers of attempts on.

        A line that grows without end at first may not do so once it is known how many requests
        are lost before they come to it; from a storm of retries (`hot`) it is the storm's.
        """
        replies: dict[Place, Reply] = {}
        reached = dict(reached)
        failed, known = known_failures(self.facilities, self.components, self.flows(rate, {}), {})
        leaving: Leaving = {}
        streams = self.streams(leaving)
        before = np.zeros(0)
        for _ in range(_ROUNDS):
            solution = Solution(
                rate, self.flows(rate, known | reached, streams, replies), replies=dict(replies),
                facilities=self.facilities, streams=streams, reached=reached,
            )  # fmt: skip
            old = dict(reached)
            self._walk(solution, reached, failed)
            if solution.unstable and hot:
                break
            values = [solution.flows.rate[place] for place in self.order]
            values += [reply.time.mean for reply in solution.replies.values()]
            now = np.asarray(values)
            replies = solution.replies
            previous, leaving = leaving, self._leaving(solution)
            if leaving != previous:
                streams = self.streams(leaving)
            elif len(now) == len(before) and np.allclose(now, before, rtol=_CLOSE, atol=0):
                break
            before = now
            for part, value in reached.items():
                if part in old and abs(value - old[part]) > 1e-12:
                    reached[part] = (value + old[part]) / 2
        return solution

    def _leaving(self, solution: Solution) -> Leaving:
        """Return what streams are taken for behind each station: the worst of its nodes."""
        found: dict[Point, frozenset[str] | None] = {}
        for name, answers in solution.nodes.items():
            for answer in answers:
                side = self.sides[name][answer.members[0]]
                for station, names in answer.leaving.items():
                    known = found.get((name, side, station))
                    found[name, side, station] = (
                        names if known is None else known | (names or known)
                    )
        for name, miss in solution.flows.miss.items():
            some = AS_POISSON if self.facilities[name].looked_up else NO_DOUBT
            found[name, 0, MISSES] = some if miss else None
        return found

    def _walk(
        self, solution: Solution, reached: dict[Ask | Send, float], failed: Mapping[Place, float]
    ) -> None:
        """Solve every facility, callees first, and put what it answers into `solution`.

        If a line grows without end, the others are solved as if nobody waited in it: there are
        answers but for what has `failed` whatever the load.
        """
        for name in self.components:
            facility = self.facilities[name]
            groups = self._groups(facility, solution.flows)
            answers = []
            for members in groups:
                node = Node(self, facility, solution, members)
                try:
                    answers.append(node.solve())
                except Unstable as error:
                    if name in self.exclusive:
                        solution.deferred[name] = f"{name}.{error.name}"
                    else:
                        station = solution.deferred.get(error.name, f"{name}.{error.name}")
                        solution.unstable = solution.unstable or station
                    break
            if len(answers) < len(groups):
                solution.nodes.pop(name, None)
                for place in ((name, endpoint) for endpoint in facility.programs):
                    solution.replies[place] = Reply(solution.bare(place), failed=failed[place])
                continue
            solution.nodes[name] = answers
            for endpoint in facility.programs:
                place = (name, endpoint)
                weights = [
                    answer.rates.get(endpoint, 0.0) * len(answer.members) for answer in answers
                ]
                if not sum(weights):
                    weights = [float(len(answer.members)) for answer in answers]
                solution.replies[place] = one_of(
                    [(w, a.replies[endpoint]) for w, a in zip(weights, answers, strict=True)]
                )
            for answer in answers:
                share = len(answer.members) / facility.nodes
                for part, value in answer.reached.items():
                    known = reached.get(part, 0.0) if answer is not answers[0] else 0.0
                    reached[part] = known + share * value

    def _groups(self, facility: Facility, flows: Flows) -> list[list[int]]:
        """Return the nodes, equal ones together."""
        rates = np.array(
            [flows.rates_at(facility.component, e, facility.nodes) for e in facility.programs]
        )
        groups: dict[tuple[float, ...], list[int]] = {}
        for node in range(facility.nodes):
            key = tuple(float(f"{value:.9g}") for value in rates[:, node])
            groups.setdefault(key, []).append(node)
        return list(groups.values())


def callers_of(
    part: object,
    where: str,
    name: str,
    facility: Facility,
    callers: dict[str, set[tuple[str, str]]],
) -> None:
    """Note who calls; a call with conditions counts as one from elsewhere."""
    for inner in parts_within((part,)):  # type: ignore[arg-type]
        if isinstance(inner, (Ask, Send)):
            bare = (
                inner is part
                and isinstance(inner, Ask)
                and inner.timeout is None
                and inner.retry is None
                and not inner.missed
            )
            who = (name, where) if bare and facility.pools else (name, "otherwise")
            callers.setdefault(inner.to[0], set()).add(who)
