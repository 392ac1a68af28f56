"""Models and traffic read from files: YAML or JSON with units in the values, one tree in both.

Layer: io. Fields are read by their declarations (`scalesim.fields`), the topology is
checked by `scalesim.topology`; here stands what belongs to files alone: the top of the tree, places
of problems, and that all problems are reported together.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scalesim.errors import InvalidInput, InvalidModel, Problem, nearest, shown
from scalesim.fields import KINDS, DecodeError, Kind, Nested, OneOf
from scalesim.io.components import read_components
from scalesim.io.model import Model
from scalesim.io.yaml_nodes import MAX_BYTES, MAX_PROBLEMS, Document, Node, parse
from scalesim.reading import read_text
from scalesim.topology import Topology, check, endpoints
from scalesim.traffic import TRAFFIC, AnyTraffic
from scalesim.traffic.growth import growth_kind

if TYPE_CHECKING:
    pass

__all__ = [
    "FORMAT_VERSION",
    "Model",
    "parse_model",
    "parse_traffic",
    "read_model",
    "read_traffic",
]

FORMAT_VERSION = 1


def _objective_kind() -> Kind:
    from scalesim.studies.objective import Objective  # late: studies load more than files need

    return Nested(Objective)


SECTIONS: dict[str, Callable[[], Kind]] = {
    "traffic": lambda: OneOf(TRAFFIC),
    "growth": growth_kind,
    "objective": _objective_kind,
}
"""Top-level keys beside ``scalesim`` and ``topology``, and what each holds."""


def read_model(path: str | os.PathLike[str]) -> Model:
    """Return the model in a YAML or JSON file.

    Raises
    ------
    InvalidInput
        The file can't be read, or is not YAML.
    InvalidModel
        With every problem of the model, each with its place in the file.
    """
    return parse_model(read_text(path, MAX_BYTES, "model file"), os.fspath(path))


def read_traffic(path: str | os.PathLike[str]) -> AnyTraffic:
    """Return the traffic in a traffic file (``scalesim`` and ``traffic``, nothing else).

    Raises
    ------
    InvalidInput
        The file can't be read, or is not YAML.
    InvalidModel
        With every problem of the traffic, each with its place in the file.
    """
    return parse_traffic(read_text(path, MAX_BYTES, "traffic file"), os.fspath(path))


def parse_model(text: str, source: str = "<string>") -> Model:
    """Return the model in `text`; `source` names it in messages.

    Raises
    ------
    InvalidInput
        `text` is not YAML.
    InvalidModel
        With every problem of the model.

    Examples
    --------
    >>> parse_model('''
    ... scalesim: 1
    ... topology:
    ...   entry: db
    ...   components:
    ...     db: {type: database, connections: 40, read: 3 ms}
    ... growth: 15%/month
    ... ''').growth
    Compound(per_month=0.15)
    """
    reading = _Reading(parse(text, source), ("topology", *SECTIONS), "model")
    topology = reading.topology()
    content = {name: reading.section(name) for name in SECTIONS}
    for problem in _misfits(reading, topology, content["traffic"]):
        reading.add(problem.under("traffic"))
    reading.finish()
    assert topology is not None
    return Model(topology, **content, source=source, document=reading.document)


def _misfits(reading: _Reading, topology: Topology | None, traffic: Any) -> Iterator[Problem]:
    """Yield where topology and traffic do not fit together, as far as they can be read."""
    if topology is not None and traffic is not None:
        # Above plan's layer, so importable; late, because it loads numpy.
        from scalesim.plan.build import misfits

        yield from misfits(topology, traffic)
    elif reading.offers and isinstance(reading.traffic, AnyTraffic):
        from scalesim.plan.build import unknown_endpoints

        with contextlib.suppress(TypeError, AttributeError):  # a mix that can't be read
            yield from unknown_endpoints(reading.traffic, *reading.offers)


def parse_traffic(text: str, source: str = "<string>") -> AnyTraffic:
    """Return the traffic in `text`; `source` names it in messages.

    Raises
    ------
    InvalidInput
        `text` is not YAML.
    InvalidModel
        With every problem of the traffic.

    Examples
    --------
    >>> parse_traffic("{scalesim: 1, traffic: {open: {rate: 800/s}}}").peak_rate(900.0)
    800.0
    """
    reading = _Reading(parse(text, source), ("traffic",), "traffic")
    traffic: AnyTraffic | None = reading.section("traffic")
    reading.finish()
    assert traffic is not None
    return traffic


class _Reading:
    """One pass over a document: what could be decoded, and all problems so far."""

    def __init__(self, document: Document, known: Sequence[str], what: str) -> None:
        self.document = document
        self.root = document.root
        self.problems: list[tuple[tuple[int, int], Problem]] = []
        self.traffic: Any = None  # what can be read of it
        self.offers: tuple[str, tuple[str, ...]] | None = None  # the entry, and its endpoints
        if not isinstance(self.root.value, dict):
            message = f"got {self.root.text()}, expected a mapping with scalesim, {known[0]}, ..."
            raise InvalidInput([Problem("", message, place=document.place(()))])
        self._check_version()
        for problem in document.repeated:
            self._keep(problem)
        known = ("scalesim", *known)
        for key in self.root.value:
            if key not in known:
                belongs = " of a model file" if key == "topology" or key in SECTIONS else ""
                hint = nearest(key, known) if len(self.problems) < MAX_PROBLEMS else ""
                message = f"unknown key {shown(key)}{belongs}. {hint}"
                self.add(Problem("", f"{message}A {what} file has: {', '.join(known)}", (key,)))
        if known[1] not in self.root.value:
            other = "traffic" in self.root.value and what == "model"
            hint = "; this is a traffic file" if other else ""
            self.add(Problem("", f"{known[1]} is missing{hint}"))

    def _check_version(self) -> None:
        node = self.root.value.get("scalesim")
        version = None if node is None else node.plain()
        if node is None:
            message = f"scalesim is missing; begin the file with scalesim: {FORMAT_VERSION}"
            self.add(Problem("", message))
        elif version != FORMAT_VERSION or isinstance(version, bool):
            message = f"got format version {shown(version)}, this release reads {FORMAT_VERSION}"
            problem = Problem("scalesim", message, place=self.document.place(("scalesim",)))
            raise InvalidModel([problem])

    def add(self, problem: Problem) -> None:
        """Keep `problem`; its path starts at the top of the file."""
        path = problem.path
        fields, written = (
            ".".join(map(str, each[3 if path[:2] == ("topology", "components") else 0 :]))
            for each in (path, self.root.written(path, KINDS))
        )
        # Descriptions name fields; the file may have shorthand for them, and names of kinds.
        subject = problem.subject or fields
        if fields and subject.endswith(fields):
            subject = f"{subject.removesuffix(fields)}{written}".removesuffix(": ")
        self._keep(Problem(subject, problem.message, path, self.document.place(path)))

    def _keep(self, problem: Problem) -> None:
        line, column = problem.place.rsplit(":", 2)[1:]
        self.problems.append(((int(line), int(column)), problem))

    def finish(self) -> None:
        """Raise all problems, in the order of the file."""
        if not self.problems:
            return
        ordered = [problem for _, problem in sorted(self.problems, key=lambda each: each[0])]
        unique = list(dict.fromkeys(ordered))
        rest = len(unique) - MAX_PROBLEMS
        if rest > 0:
            more = Problem("", f"and {rest} more", place=self.document.source)
            unique = [*unique[:MAX_PROBLEMS], more]
        raise InvalidModel(unique)

    def section(self, name: str) -> Any:
        """Return the content of a top-level key; None if it is absent or has problems."""
        node = self.root.value.get(name)
        if node is None:
            return None
        kind = SECTIONS[name]()
        try:
            value = kind.decode(node.plain())
        except DecodeError as error:
            problems, value = error.problems, kind.salvage(node.plain())
        else:
            problems = list(kind.check(value))
        for problem in problems:
            self.add(problem.under(name))
        self.traffic = value if name == "traffic" else self.traffic
        return None if problems else value

    def topology(self) -> Topology | None:
        """Return the topology; None if it is absent or has problems."""
        node = self.root.value.get("topology")
        if node is None:
            return None
        if not isinstance(node.value, dict):
            message = f"got {node.text()}, expected a mapping with entry, components"
            self.add(Problem("", message, ("topology",)))
            return None
        known = ("entry", "components")
        for key in node.value:
            if key not in known:
                message = f"unknown key {shown(key)}. {nearest(key, known)}Known: entry, components"
                self.add(Problem("", message, ("topology", key)))
        for key, doc in (
            ("entry", "the component that requests reach first"),
            ("components", "a mapping from names to components"),
        ):
            if key not in node.value:
                self.add(Problem("", f"{key} is missing: {doc}", ("topology",)))
        return self._components(node)

    def _components(self, node: Node) -> Topology | None:
        content = node.value.get("components")
        if content is None:
            return None
        if not isinstance(content.value, dict) or not content.value:
            message = f"got {content.text()}, expected a mapping from names to components"
            self.add(Problem("", message, ("topology", "components")))
            return None
        parts = read_components(content.value)
        entry: Any = node.value["entry"].plain() if "entry" in node.value else None
        sound = True
        for problem in check(parts, entry):
            sound = False
            if problem.subject != "entry":
                self.add(problem.under("topology", "components"))
            elif "entry" in node.value:
                self.add(problem.under("topology"))
        if any(part.name == entry for part in parts):
            self.offers = entry, endpoints({part.name: part for part in parts}, entry)
        return Topology(*parts, entry=entry) if sound else None
