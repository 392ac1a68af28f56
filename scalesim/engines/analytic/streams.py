"""What is known of the streams at stations: the ways of requests as one graph of stations.

Poisson streams stay Poisson through stations that keep the product form, also where classes of
requests come again (Baskett, Chandy, Muntz & Palacios, J. ACM 22, 1975; Kelly, "Reversibility and
stochastic networks", 1979): what they find there is what it would be if they came at random. That
ends behind a station that does not keep it, behind losses, time-outs and joins, and wherever two
that began as one request meet again; from there on every stream carries the name of what it is
taken for. A tapped loop (a message sent between two visits) is not Poisson, either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from scalesim.distributions import Constant
from scalesim.engines.analytic.arrivals import AT_RANDOM
from scalesim.engines.analytic.model import (
    Ask,
    Choice,
    Either,
    Facility,
    Failing,
    Fork,
    Part,
    Pause,
    Place,
    Program,
    Send,
    Use,
    Visits,
    choice_of,
)
from scalesim.engines.analytic.reach import most_visits
from scalesim.engines.analytic.stations import AS_POISSON, AT_ONCE, IN_BURSTS, NO_DOUBT
from scalesim.engines.analytic.targets import at_random

__all__ = ["ENTRIES", "MISSES", "Coming", "Leaving", "Point", "Streams", "sides"]

ENTRIES, MISSES = "entries", "misses"
"""A cache's entries, which are looked up, and those who ask its origin."""

Point = tuple[str, int, str]
"""(component, side, pool or resource): a station of nodes to which the same endpoints come."""
Leaving = Mapping[Point, frozenset[str] | None]
"""What streams through a station are taken for behind it; None: nobody queues, it is a delay."""
_AGAIN = "retries as if Poisson"
_CLIENTS = 0
_DOOR = -1
"""The side of a facility where a balancer stands, by its name."""


class Coming(NamedTuple):
    """How requests come to a station.

    Parameters
    ----------
    doubts : frozenset of str
        What the stream is taken for (before the balancer); none: it is Poisson, exactly.
    choice : Choice or None
        Of the balancer that they come straight from.
    straight : bool
        Whether new requests come straight to the station or its balancer, and nothing else does.
    """

    doubts: frozenset[str] = NO_DOUBT
    choice: Choice | None = None
    straight: bool = False


class _Walk(NamedTuple):
    """Stations on the way through parts of a program: where it begins and ends, and all of them."""

    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    passes: bool = True
    """Whether it is possible to come through without any of them."""
    every: frozenset[int] = frozenset()


_NOWHERE = _Walk()


def sides(facility: Facility) -> list[int]:
    """Return a number for each node, equal for those to which the same endpoints come."""
    numbers: dict[tuple[bool, ...], int] = {}
    spread = [c.shares for c in facility.spread.values() if len(c.shares) == facility.nodes]
    found = []
    for node in range(facility.nodes):
        key = tuple(bool(shares[node] > 0) for shares in spread)
        found.append(numbers.setdefault(key, len(numbers)))
    return found


class _Here(NamedTuple):
    """Where a program runs, and whether it does so once at most for each request of a client."""

    facility: Facility
    side: int
    once: bool


class Streams:
    """The streams of one model.

    Parameters
    ----------
    facilities : mapping of component to Facility
    order : sequence of Place
        Callers before callees.
    roots : sequence of Place
        Where new requests begin.
    leaving : Leaving
        Of stations that are not known yet a Poisson stream leaves as one.
    new : frozenset of str
        What new requests are taken for; empty: they are Poisson.
    """

    def __init__(
        self,
        facilities: Mapping[str, Facility],
        order: Sequence[Place],
        roots: Sequence[Place],
        leaving: Leaving,
        new: frozenset[str],
    ) -> None:
        self._facilities, self._leaving, self._new = facilities, leaving, new
        self._names: list[frozenset[str]] = [new]
        """What a Poisson stream is taken for behind each vertex."""
        self._next: list[set[int]] = [set()]
        self._messages: dict[int, frozenset[int]] = {}
        self._at: dict[Point, int] = {}
        self._doors: dict[int, tuple[str, Choice]] = {}
        self._meters: set[int] = set()
        self._joins: dict[int, int] = {}
        self._into: dict[int, frozenset[str]] = {}
        """What is taken for Poisson in what comes to each vertex."""
        self._once: set[int] = set()
        """Senders that one request passes once at most."""
        visits = most_visits(facilities, order, roots, retries=True)
        self._once_at = {place for place, most in visits.items() if most <= 1}
        self._walks: dict[Place, _Walk] = {}
        for place in reversed(order):
            self._walks[place] = self._place(place) if visits[place] else _NOWHERE
        for place in roots:
            self._next[_CLIENTS] |= self._walks[place].first
        self._note_what_meets()
        self._spread()
        self._before: list[set[int]] = [set() for _ in self._names]
        for start in range(len(self._names)):
            for end in self._after(start):
                self._before[end].add(start)

    def at(self, point: Point) -> Coming:
        """Return how requests come to a station; as if Poisson if nobody does."""
        station = self._at.get(point)
        if station is None:
            return Coming()
        before = self._before[station]
        door = next(iter(before)) if len(before) == 1 else _CLIENTS
        component, choice = self._doors.get(door, ("", None))
        if component == point[0]:  # else nobody waits at the nodes that it chooses from
            station, before = door, self._before[door]
        else:
            choice = None
        doubts = self._into.get(station, NO_DOUBT)
        return Coming(doubts, choice, before == {_CLIENTS})

    # The graph ------------------------------------------------------------------------------

    def _vertex(self, names: frozenset[str] = NO_DOUBT) -> int:
        self._names.append(names)
        self._next.append(set())
        return len(self._names) - 1

    def _alone(self, names: frozenset[str] = NO_DOUBT) -> _Walk:
        return _walk_of(self._vertex(names))

    def _station(self, point: Point) -> _Walk:
        names = self._leaving.get(point, NO_DOUBT)
        if names is None:
            return _NOWHERE
        if point not in self._at:
            self._at[point] = self._vertex(names)
        return _walk_of(self._at[point])

    def _place(self, place: Place) -> _Walk:
        name, endpoint = place
        facility = self._facilities[name]
        program = facility.programs[endpoint]
        number = sides(facility)
        choice = facility.spread.get(endpoint)
        mine = range(facility.nodes)
        if choice is not None and len(choice.shares) == facility.nodes:
            mine = [node for node in mine if choice.shares[node] > 0]  # type: ignore[assignment]
        own = sorted({number[node] for node in mine})
        once = place in self._once_at
        return _either([self._program(program, endpoint, _Here(facility, side, once))
                        for side in own])  # fmt: skip

    def _program(self, program: Program, endpoint: str, here: _Here) -> _Walk:
        facility, side, _ = here
        name = facility.component
        walks = []
        if facility.looked_up and endpoint == "get":
            walks.append(self._station((name, side, ENTRIES)))
        walks += [self._part(part, here) for part in program.before]
        if program.pool:
            walks.append(self._station((name, side, program.pool)))
            if facility.meter is not None:
                self._meters |= walks[-1].every
        parts = (*program.inside, *program.after)
        walks += [self._part(part, here) for part in parts]
        return self._in_turn(walks)

    def _in_turn(self, walks: Iterable[_Walk]) -> _Walk:
        whole = _NOWHERE
        for walk in walks:
            for end in whole.last:
                self._next[end] |= walk.first
            whole = _Walk(
                whole.first | walk.first if whole.passes else whole.first,
                walk.last | whole.last if walk.passes else walk.last,
                whole.passes and walk.passes,
                whole.every | walk.every,
            )
        return whole

    def _part(self, part: Part, here: _Here) -> _Walk:
        if isinstance(part, Use):
            if here.facility.resources[part.resource].alone:
                return self._delay()
            return self._station((here.facility.component, here.side, part.resource))
        if isinstance(part, Pause):
            return _NOWHERE if isinstance(part.law, Constant) else self._delay()
        if isinstance(part, Failing):
            return self._delay() if part.probability else _NOWHERE
        if isinstance(part, Ask):
            return self._ask(part)
        if isinstance(part, Either):
            return _either([self._ask(ask) for ask in part.asks])
        if isinstance(part, Visits):
            return self._visits(part)
        if isinstance(part, Send):
            return self._send(part, here)
        assert isinstance(part, Fork)
        return self._fork(part, here)

    def _delay(self) -> _Walk:
        """Return what a random delay or choice is: Poisson streams stay so, no others do."""
        return self._alone() if self._new else _NOWHERE

    def _ask(self, part: Ask) -> _Walk:
        walk = self._walks[part.to]
        choice = choice_of(part, self._facilities[part.to[0]])
        walks = []
        if part.missed:
            names = self._leaving.get((part.missed, 0, MISSES), NO_DOUBT)
            if names is None:
                return _NOWHERE
            walks.append(self._alone(names))
        if part.retry is not None:
            walks.append(self._alone(frozenset({_AGAIN})))
        if part.choice is not choice and not at_random(part.choice):
            # A balancer in front of what then spreads its requests itself.
            walks.append(self._alone(frozenset({AT_RANDOM})))
        if choice is not None and choice.targets > 1:
            point = (part.to[0], _DOOR, choice.owner)
            known = point in self._at
            door = self._station(point)
            (number,) = door.first
            if not known and not at_random(choice):
                self._names[number] = AS_POISSON
            self._doors[number] = (part.to[0], choice)
            walks.append(door)
        walks.append(walk)
        if part.timeout is not None and self._queues(walk.every):
            walks.append(self._alone(IN_BURSTS))  # those in time came when the lines were short
        whole = self._in_turn(walks)
        return whole._replace(passes=True) if part.missed else whole

    def _visits(self, part: Visits) -> _Walk:
        """Any place may follow any other."""
        walk = _either([self._ask(ask) for ask in part.asks])
        for end in walk.last:
            self._next[end] |= walk.first
        return walk

    def _send(self, part: Send, here: _Here) -> _Walk:
        facility, message = self._facilities[part.to[0]], self._walks[part.to]
        full = "consumers" in facility.pools and facility.pools["consumers"].limit is not None
        sender = self._vertex(AS_POISSON if full else NO_DOUBT)
        self._messages[sender] = message.first
        if here.once:
            self._once.add(sender)
        return _walk_of(sender)._replace(every=message.every | {sender})

    def _fork(self, part: Fork, here: _Here) -> _Walk:
        branches = []
        for parts in part.branches:
            branches.append(self._in_turn([self._part(each, here) for each in parts]))
        seen: set[int] = set()
        for branch in branches:
            self._found_at_once(seen & branch.every)
            seen |= branch.every
        waits = any(self._queues(branch.every) for branch in branches)
        fork, join = self._vertex(), self._vertex(AS_POISSON if waits else NO_DOUBT)
        self._joins[fork] = join
        whole = _either(branches)
        for end in whole.last:
            self._next[end].add(join)
        self._next[fork] |= whole.first | {join} if whole.passes else whole.first
        return _Walk(frozenset({fork}), frozenset({join}), False, whole.every | {fork, join})

    def _queues(self, vertices: Iterable[int]) -> bool:
        stations = {vertex for (_, side, name), vertex in self._at.items()
                    if side != _DOOR and name != ENTRIES}  # fmt: skip
        return not stations.isdisjoint(vertices)

    # What is no longer Poisson -----------------------------------------------------------------

    def _found_at_once(self, vertices: Iterable[int]) -> None:
        for vertex in vertices:
            self._into[vertex] = self._into.get(vertex, NO_DOUBT) | AT_ONCE

    def _after(self, vertex: int) -> set[int]:
        return self._next[vertex] | self._messages.get(vertex, frozenset())

    def _reach(self, starts: Iterable[int], closed: Iterable[int] = ()) -> set[int]:
        """Return what can be come to from `starts`, though not through what is `closed`."""
        found: set[int] = set()
        todo = list(starts)
        while todo:
            vertex = todo.pop()
            if vertex not in found and vertex not in closed:
                found.add(vertex)
                todo += self._after(vertex)
        return found

    def _note_what_meets(self) -> None:
        """Find where a message and its sender meet, and loops that messages are sent from."""
        for sender, message in self._messages.items():
            onward, sent = self._reach(self._next[sender]), self._reach(message)
            # Loops of the graph come from requests that visit stations in another order, too.
            again = {sender} if sender in self._once else set()
            self._found_at_once(self._reach(self._next[sender], again) & sent)
            if onward and sender in sent:
                self._found_at_once(self._next[sender] | message)
            if sender in onward:
                for vertex in message:
                    self._into[vertex] = self._into.get(vertex, NO_DOUBT) | AS_POISSON
        for fork, join in self._joins.items():  # a branch that comes again to what is before it
            if fork in self._reach(self._next[fork], {join}):
                for vertex in self._next[fork]:
                    self._into[vertex] = self._into.get(vertex, NO_DOUBT) | AS_POISSON
        # Nobody stays at a limiter: who comes again comes at once.
        self._found_at_once(v for v in self._meters if v in self._reach(self._next[v]))

    def _spread(self) -> None:
        todo = list(range(len(self._names)))
        while todo:
            vertex = todo.pop()
            into = self._into.get(vertex, NO_DOUBT)
            leaving = dict.fromkeys(self._messages.get(vertex, ()), into)
            leaving |= dict.fromkeys(self._next[vertex], into | self._names[vertex])
            for after, names in leaving.items():
                known = self._into.get(after, NO_DOUBT)
                if not names <= known:
                    self._into[after] = known | names
                    todo.append(after)


def _walk_of(vertex: int) -> _Walk:
    only = frozenset({vertex})
    return _Walk(only, only, False, only)


def _either(walks: Sequence[_Walk]) -> _Walk:
    """Return the way through one of several."""
    return _Walk(
        frozenset[int]().union(*(walk.first for walk in walks)),
        frozenset[int]().union(*(walk.last for walk in walks)),
        any(walk.passes for walk in walks) or not walks,
        frozenset[int]().union(*(walk.every for walk in walks)),
    )
