"""Topology: components put together, checked as a whole.

Components refer to each other by name. Making a `Topology` checks everything at once and reports
all problems together; afterwards it is frozen, and `vary` makes changed copies.
"""

from __future__ import annotations

import dataclasses
import graphlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from scalesim.components import Cache, Component, LoadBalancer, Service
from scalesim.components.base import COMPONENTS, Reference
from scalesim.errors import InvalidModel, Problem, nearest, shown
from scalesim.fields import Name, is_sequence, params

__all__ = ["Topology"]

_NAME = Name("a reference", dotted=True)
_SHOWN, _MOST_DANGLING = 30, 100
"""Names that a message lists, and wrong references that are reported."""


class Topology:
    """An architecture: components and the one that traffic enters by.

    Parameters
    ----------
    *components : Component
        With unique names.
    entry : str
        Name of the component that requests reach first.

    Raises
    ------
    InvalidModel
        With every problem of the components and of their references.
    """

    __slots__ = ("components", "entry")

    components: Mapping[str, Component]
    entry: str

    def __init__(self, *components: Component, entry: str) -> None:
        problems = list(check(components, entry))
        if problems:
            raise InvalidModel(problems)
        object.__setattr__(self, "components", {each.name: each for each in components})
        object.__setattr__(self, "entry", entry)

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to {name!r}; use vary()")

    def __getitem__(self, name: str) -> Component:
        """Return the component `name`."""
        try:
            return self.components[name]
        except KeyError:
            raise InvalidModel([_unknown("", (), name, self.components)]) from None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Topology)
            and self.entry == other.entry
            and list(self.components.items()) == list(other.components.items())
        )

    def __hash__(self) -> int:
        return hash((self.entry, tuple(self.components.values())))

    def __repr__(self) -> str:
        inner = ", ".join(f"{each.type_name} {name}" for name, each in self.components.items())
        return f"<Topology {inner}; entry {self.entry}>"

    def __reduce__(self) -> Any:
        return _rebuild, (tuple(self.components.values()), self.entry)

    def endpoints(self, name: str) -> tuple[str, ...]:
        """Return the endpoints that component `name` offers (a balancer: all its targets do)."""
        return endpoints(self.components, name)

    @property
    def entry_endpoints(self) -> tuple[str, ...]:
        """The endpoints that traffic can ask for."""
        return self.endpoints(self.entry)

    def vary(self, changes: Mapping[str, Any]) -> Topology:
        """Return a topology with some fields changed.

        Parameters
        ----------
        changes : mapping of str to object
            ``{"web.instances": 8}``: component and field.

        Raises
        ------
        InvalidModel
            A component or field is unknown, or the result has problems.
        """
        parts = dict(self.components)
        problems = []
        for path, value in changes.items():
            name, _, field = path.partition(".")
            if name not in parts:
                problems.append(_unknown(f"vary {path!r}", (), name, parts))
            elif field not in params(type(parts[name])) or field == "name":
                known = [each for each in params(type(parts[name])) if each != "name"]
                message = f'{parts[name].type_name} "{name}" has no field "{field}". '
                message += f"{nearest(field, known)}Known: {', '.join(known)}"
                problems.append(Problem(f"vary {path!r}", message))
            else:
                parts[name] = dataclasses.replace(parts[name], **{field: value})
        if problems:
            raise InvalidModel(problems)
        return Topology(*parts.values(), entry=self.entry)

    def calls(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Return who calls whom: (component, endpoint) -> the same, in order of declaration."""
        return _calls(self.components)


def _rebuild(components: tuple[Component, ...], entry: str) -> Topology:
    return Topology(*components, entry=entry)


def check(components: tuple[Any, ...], entry: Any) -> Iterator[Problem]:
    """Yield every problem of a topology; paths start with the component's name."""
    seen: dict[str, Component] = {}
    sound, whole = True, True
    for index, each in enumerate(components):
        if not isinstance(each, Component):
            known = ", ".join(cls.__name__ for cls in COMPONENTS.members.values())
            hint = "; give the components one by one" if is_sequence(each) else ""
            message = f"got {shown(each)}, allowed is one of {known}{hint}"
            yield Problem(f"component {index + 1}", message)
            sound, whole = False, False
            continue
        own = [_named(each, problem) for problem in each.check()]
        yield from own
        sound = sound and not own
        if not isinstance(each.name, str):
            continue
        if each.name in seen:
            yield Problem(
                f'{each.type_name} "{each.name}"',
                f"the name is taken by a {seen[each.name].type_name}; names must be unique",
                (each.name,),
            )
            sound = False
        seen.setdefault(each.name, each)
    # Each looks through all names; nobody reads that many.
    dangling = list(itertools.islice(_dangling(seen, entry), _MOST_DANGLING))
    yield from dangling if whole else ()  # what is no component may be the one referred to
    if sound and not dangling:
        yield from _cycles(seen) or _unused(seen, entry) or _homeless(seen, entry)


def _named(component: Component, problem: Problem) -> Problem:
    field = ".".join(str(part) for part in problem.path)
    subject = f'{component.type_name} "{component.name}"' + (f": {field}" if field else "")
    return Problem(subject, problem.message, (str(component.name), *problem.path))


def _unknown(
    subject: str, path: tuple[str | int, ...], name: str, known: Mapping[str, Any]
) -> Problem:
    hint = nearest(name, known)
    names = ", ".join(itertools.islice(known, _SHOWN)) or "none"
    names += f", and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return Problem(subject, f'there is no component "{name}". {hint}Known: {names}', path)


def endpoints(parts: Mapping[str, Component], name: str) -> tuple[str, ...]:
    """Return what `name` offers: a balancer or limiter, what all components behind it do.

    Each component is visited once: balancers over balancers have too many paths to follow each.
    """
    seen: set[str] = set()
    offers: list[tuple[str, ...]] = []
    todo = [name]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            part = parts.get(at)
            onward = () if part is None else part.forwards_to()
            if onward:
                todo += [each for each in reversed(onward) if isinstance(each, str)]
            else:
                offers.append(part.endpoint_names() if part is not None else ())
    if len(offers) <= 1:
        return offers[0] if offers else ()
    return tuple(each for each in offers[0] if all(each in other for other in offers))


def resolve(parts: Mapping[str, Component], target: str) -> tuple[str, str]:
    """Return (component, endpoint) for a reference that has been checked."""
    name, _, endpoint = target.partition(".")
    return name, endpoint or endpoints(parts, name)[0]


def lives_in_caller(part: Component) -> bool:
    """Whether each instance of the caller has a `part` of its own."""
    return isinstance(part, Cache) and part.placement == "in_process"


def copies(parts: Mapping[str, Component], name: str) -> int:
    """Return how many copies of a component there are, in a topology that has been checked."""
    while lives_in_caller(parts[name]):
        name = _callers(parts, name)[0]
    return parts[name].instance_count


def _callers(parts: Mapping[str, Component], name: str) -> list[str]:
    return [
        caller
        for caller, part in parts.items()
        if any(each.target.partition(".")[0] == name for each in _references(part))
    ]


def _homeless(parts: Mapping[str, Component], entry: str) -> Iterator[Problem]:
    """Yield the parts that should live in the instances of a service and do not."""
    for name, part in parts.items():
        if not lives_in_caller(part):
            continue
        callers = [parts[each] for each in _callers(parts, name)]
        fit = all(isinstance(each, Service) or lives_in_caller(each) for each in callers)
        if name == entry or len(callers) != 1 or not fit:
            names = [f'{each.type_name} "{each.name}"' for each in callers]
            names += ["the traffic"] if name == entry else []
            message = (
                "an in_process cache lives in one service, which alone calls it; "
                f"it is called by {' and '.join(names)}"
            )
            yield _named(part, Problem("", message, ("placement",)))


def _dangling(parts: Mapping[str, Component], entry: Any) -> Iterator[Problem]:
    for name, part in parts.items():
        for reference in _references(part):
            problem = _dangling_reference(parts, reference)
            if problem is not None:
                yield _named(part, problem)
        if isinstance(part, LoadBalancer) and isinstance(part.targets, tuple):
            yield from _balancer_problems(parts, name, part)
    if not isinstance(entry, str):
        got = "nothing" if entry is None else shown(entry)
        yield Problem("entry", f"got {got}, allowed is the name of a component", ("entry",))
    elif entry not in parts:
        yield _unknown("entry", ("entry",), entry, parts)
    elif not endpoints(parts, entry) and not parts[entry].forwards_to():
        yield Problem("entry", f'"{entry}" offers no endpoint', ("entry",))


def _references(part: Component) -> list[Reference]:
    try:
        # What is no name has been reported as such.
        return [each for each in part.references() if not any(_NAME.check(each.target))]
    except (TypeError, AttributeError):
        return []  # a malformed field, which has been reported already


def _dangling_reference(parts: Mapping[str, Component], reference: Reference) -> Problem | None:
    name, dot, endpoint = reference.target.partition(".")
    if name not in parts:
        return _unknown("", reference.path, name, parts)
    part = parts[name]
    if part.type_name not in COMPONENTS.members:
        return None  # it can't be read, which has been reported already
    if reference.must_be in ("message_queue", "cache"):
        if part.type_name == reference.must_be:
            return None
        message = f'"{name}" is a {part.type_name}, not a {reference.must_be}'
        return Problem("", message, reference.path)
    if reference.must_be == "component":
        return None
    offered = endpoints(parts, name)
    if part.forwards_to() and not offered:
        return None  # reported at the balancer
    if dot and endpoint not in offered:
        hint = nearest(endpoint, offered)
        return Problem(
            "",
            f'{part.type_name} "{name}" has no endpoint "{endpoint}". {hint}'
            f"Known: {', '.join(offered)}",
            reference.path,
        )
    if not dot and len(offered) != 1:
        return Problem(
            "",
            f'"{name}" offers {", ".join(offered)}; say which: {name}.{offered[0]}',
            reference.path,
        )
    return _too_few(part, endpoint or offered[0], reference)


def _too_few(part: Component, endpoint: str, reference: Reference) -> Problem | None:
    """Return what is wrong if a call needs more instances than there are."""
    try:
        count = len(part.scattered(endpoint)[1]) if reference.reached else 0
    except TypeError:
        return None  # a malformed field, which has been reported already
    subject = f'{part.type_name} "{part.name}"'
    if not reference.reached:
        return None
    if not count:
        message = f"{subject} cannot be called instance by instance; name the service behind it"
    elif reference.must_be == "replicas" and getattr(part, "shards", 1) > 1:
        message = f"{subject} is sharded: in another shard a copy would not find its data"
    elif count < reference.reached:
        message = f"{reference.reached} answers or copies are wanted, {subject} has {count} "
        message += "instances for them"
    else:
        return None
    return Problem("", message, reference.path)


def _balancer_problems(
    parts: Mapping[str, Component], name: str, part: LoadBalancer
) -> Iterator[Problem]:
    if all(target in parts for target in part.targets) and not endpoints(parts, name):
        offers = "; ".join(
            f"{target}: {', '.join(endpoints(parts, target)) or 'none'}" for target in part.targets
        )
        yield _named(part, Problem("", f"the targets share no endpoint ({offers})", ("targets",)))
    for target, weights in (part.weights or {}).items():
        count = parts[target].instance_count if target in parts else None
        if isinstance(weights, tuple) and len(weights) not in (1, count) and count is not None:
            message = (
                f'got {len(weights)} weights, "{target}" has {count} instances; '
                "give one weight or one for each"
            )
            yield _named(part, Problem("", message, ("weights", target)))


def _calls(parts: Mapping[str, Component]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    graph: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, part in parts.items():
        for endpoint in endpoints(parts, name):
            edges = graph.setdefault((name, endpoint), [])
            if part.forwards_to():
                edges += [(target, endpoint) for target in part.forwards_to()]
                continue
            edges += [
                resolve(parts, reference.target)
                for reference in part.references()
                if reference.endpoint in ("", endpoint)
            ]
    return graph


def _cycles(parts: Mapping[str, Component]) -> list[Problem]:
    try:
        graphlib.TopologicalSorter(_calls(parts)).prepare()
    except graphlib.CycleError as error:
        cycle = [f"{name}.{endpoint}" for name, endpoint in reversed(error.args[1])]
        name = error.args[1][0][0]
        return [
            Problem(
                f'{parts[name].type_name} "{name}"',
                f"calls go round in a circle: {' -> '.join(cycle)}; a request would never end",
                (name,),
            )
        ]
    return []


def _unused(parts: Mapping[str, Component], entry: str) -> list[Problem]:
    graph = _calls(parts)
    reached: set[tuple[str, str]] = set()
    todo = [(entry, endpoint) for endpoint in endpoints(parts, entry)]
    while todo:
        place = todo.pop()
        if place not in reached:
            reached.add(place)
            todo += graph[place]
    problems = []
    for name, part in parts.items():
        subject = f'{part.type_name} "{name}"'
        used = [endpoint for at, endpoint in reached if at == name]
        if not used:
            message = f'nothing reaches it from the entry "{entry}"; remove it or call it'
            problems.append(Problem(subject, message, (name,)))
        elif isinstance(part, Service):
            problems += [
                Problem(
                    f"{subject}: endpoints.{endpoint}",
                    "the endpoint is never called; remove it or call it",
                    (name, "endpoints", endpoint),
                )
                for endpoint in part.endpoints
                if endpoint not in used
            ]
    return problems
