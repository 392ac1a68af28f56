"""Workflow: a request goes from component to component, by chance, holding nothing between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scalesim import ops
from scalesim.components.base import COMPONENTS, Component, Emitter, Reference
from scalesim.errors import Problem, nearest
from scalesim.fields import Given, MapOf, Name, Number, described, param

__all__ = ["Workflow"]

_ROUNDING = 1e-9


@COMPONENTS.add("workflow")
@described
class Workflow(Component):
    """Sends each request from place to place, with given probabilities, until it is done.

    Its endpoint is ``run``. A request visits `start`; from each place it goes to the next with the
    probability that `routes` gives, and is done with what is left of 1, or where there is no route.
    It may come back. At each visit the endpoint is called and its answer awaited; between visits
    the request holds nothing. A visit that fails ends the request with the same status. With
    exponential times this is an open network of Jackson's ("Networks of waiting lines", Operations
    Research 5, 1957).

    Parameters
    ----------
    start : str
        Place of the first visit: ``component.endpoint``, or the component alone if it offers one
        endpoint.
    routes : mapping of str to mapping of str to float [ratio, > 0]
        For each place the places that may come next, each with its probability.
    """

    start: str = param(Name("a reference", dotted=True), "where a request goes first")
    routes: Given[dict[str, dict[str, float]], Mapping[str, Mapping[str, float]]] = param(
        MapOf(MapOf(Number(above=0, at_most=1), "a place", dotted=True), "a place", dotted=True),
        "where it goes from there, with which probability",
    )

    def endpoint_names(self) -> tuple[str, ...]:
        return ("run",)

    @property
    def places(self) -> tuple[str, ...]:
        """Every place a request can come to, in order of discovery from `start`."""
        found = {self.start: None}
        todo = [self.start]
        while todo:
            new = [each for each in self.routes.get(todo.pop(0), ()) if each not in found]
            found |= dict.fromkeys(new)
            todo += new
        return tuple(found)

    def check_together(self) -> Iterator[Problem]:
        try:
            places, sums = self.places, {a: sum(b.values()) for a, b in self.routes.items()}
        except (TypeError, AttributeError):
            return  # a malformed field, which has been reported already
        for place, total in sums.items():
            if total > 1 + _ROUNDING:
                message = f"the probabilities sum to {total:g}; they must sum to at most 1"
                yield Problem("", message, ("routes", place))
            if place not in places:
                message = f'no request comes to "{place}". {nearest(place, places)}'
                yield Problem("", f"{message}Reached: {', '.join(places)}", ("routes", place))
        ends = {place for place in places if sums.get(place, 0.0) < 1 - _ROUNDING}
        found = 0
        while len(ends) > found:
            found = len(ends)
            ends |= {place for place in places if ends & set(self.routes.get(place, ()))}
        for place in places:
            if place not in ends:
                message = f'from "{place}" there is no way out; a request would never end'
                yield Problem("", message, ("routes", place))

    def references(self) -> Iterator[Reference]:
        yield Reference(("start",), self.start, "endpoint")
        for place, following in self.routes.items():
            for each in following:
                yield Reference(("routes", place, each), each, "endpoint")

    def lower(self, emit: Emitter) -> None:
        programs = {place: f"{self.name}.run@{place}" for place in self.places}
        programs[self.start] = f"{self.name}.run"
        for place, program in programs.items():
            emit.program(program)
            emit.call(place, on_fail="end")
            following = self.routes.get(place, {})
            total = 0.0
            for each, probability in following.items():
                total += probability
                # One uniform decides: at one site a key always draws the same.
                emit.op(ops.BRANCH, a=f"to {each}", x=total, site=(self.name, place, "route"))
            emit.label("end")
            emit.op(ops.RETURN)
            for each in following:
                emit.label(f"to {each}")
                # The tag gives the next visit draws of its own, also if it is to the same place.
                emit.op(ops.TAIL, a=programs[each], tag=(self.name, place, each))
