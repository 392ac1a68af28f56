"""Components read one by one: what can't be read still counts as there, and carries its problems.

Layer: io. A reference to a component whose own fields are wrong must not be reported as dangling;
its own references, and those to endpoints that it is known to lack, are checked all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scalesim.components import COMPONENTS, Component, MessageQueue
from scalesim.components.base import Reference
from scalesim.errors import Problem, nearest, shown
from scalesim.fields import DecodeError
from scalesim.io.yaml_nodes import Node

__all__ = ["read_components"]


def read_components(nodes: Mapping[str, Node]) -> tuple[Component, ...]:
    """Return a component for each node; ``check()`` of one that can't be read says why."""
    parts = [_component(name, node) for name, node in nodes.items()]
    # A balancer or limiter over components that may offer anything may, too.
    unread = {part.name for part in parts if isinstance(part, _Unread) and not part.is_known}
    before = 0
    while len(unread) > before:
        before = len(unread)
        for index, part in enumerate(parts):
            if not unread.isdisjoint(part.forwards_to()):
                references = list(part.references())
                problems = list(part.check())
                parts[index] = _Unread(part.name, part.type_name, problems, references)
                unread.add(part.name)
    return tuple(parts)


def _component(name: str, node: Node) -> Component:
    known = ", ".join(sorted(COMPONENTS.members))
    if not isinstance(node.value, dict):
        message = f"got {node.text()}, expected a mapping with type ({known}) and its fields"
        return _Unread(name, "component", [Problem("", message)])
    content = node.plain()
    type_name = content.pop("type", None)
    if not isinstance(type_name, str) or type_name not in COMPONENTS.members:
        if "type" not in node.value:
            problem = Problem("", f"type is missing. Known: {known}")
        else:
            hint = nearest(type_name, COMPONENTS.members)
            message = f"{shown(type_name)} is not a component type. {hint}Known: {known}"
            problem = Problem("", message, ("type",))
        return _Unread(name, "component", [problem])
    cls: Any = COMPONENTS.members[type_name]
    try:
        part: Component = cls(name=name, **cls.decode_fields(content, skip=("name",)))
    except DecodeError as error:
        legible = cls.salvage(content, name=name)
        return _Unread(name, type_name, error.problems, _references(legible), legible)
    return part


def _references(part: Component) -> list[Reference]:
    """Return the references that can be read, up to the first thing that hides the others."""
    found = []
    with contextlib.suppress(TypeError, AttributeError):
        for each in part.references():
            found.append(each)
    return found


class _AnyEndpoint(tuple[str, ...]):
    """The endpoints of a component that could not be read: one, of any name."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return True


class _Unread(MessageQueue):
    """Stands for a component that could not be read and passes for whatever is referred to."""

    def __init__(
        self,
        name: str,
        type_name: str,
        problems: Sequence[Problem],
        references: Sequence[Reference] = (),
        legible: Component | None = None,
    ) -> None:
        state = {"name": name, "type_name": type_name}
        self.__dict__.update(state, _problems=problems, _references=references, _offers=())
        self.__dict__["_onward"] = () if legible is None else legible.forwards_to()
        # What may forward and seems not to: the field that says so may be the one not read.
        if legible is not None and type(legible).forwards_to is Component.forwards_to:
            self.__dict__["_offers"] = legible.endpoint_names()

    @property
    def is_known(self) -> bool:
        """Whether it can be told what it offers."""
        return bool(self.__dict__["_offers"] or self.__dict__["_onward"])

    def forwards_to(self) -> tuple[str, ...]:
        onward: tuple[str, ...] = self.__dict__["_onward"]
        return onward

    def check(self) -> Iterator[Problem]:
        yield from self.__dict__["_problems"]

    def endpoint_names(self) -> tuple[str, ...]:
        offers: tuple[str, ...] = self.__dict__["_offers"]
        return offers or _AnyEndpoint(("any",))

    def scattered(self, endpoint: str) -> tuple[str, Sequence[int]]:
        return "", range(10**9)

    def references(self) -> Iterator[Reference]:
        yield from self.__dict__["_references"]
