"""YAML and JSON text as plain data whose every piece knows its line and column.

Layer: io; knows nothing of models. Only the harmless part of YAML is read: mappings with distinct
text keys, lists, text, whole and real numbers, ``true``, ``false``, ``null``. Anchors, aliases and
tags are refused, so a file can neither run code nor unfold into more than it shows. Words that YAML
1.1 takes for something else (``on``, ``1:30``, ``2020-01-01``, ``.inf``) stay text. JSON is read as
the part of YAML that it is.

The text is read as a stream of events with a stack of our own: depth and size are bounded while
reading, and no recursion depends on the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import yaml

from scalesim.errors import InvalidInput, Problem, shown

__all__ = ["FLOAT", "MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "Document", "Mark", "Node", "parse"]

MAX_BYTES = 5_000_000
"""Largest file that is read."""
MAX_DEPTH = 50
"""Deepest nesting of lists and mappings."""
MAX_NODES = 250_000
"""Most values and keys in one file."""
MAX_PROBLEMS = 50
"""Problems reported one by one; of the others only the number is said."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it, 7 times as fast (2026); events are the same."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}

_INSTEAD = {
    "alias": "write the value out",
    "anchor": "write the value out where needed",
    "tag": "values have no tags, and no code is run",
}
_HINTS = (
    ("mapping values are not allowed", "unexpected ':'; check the indentation, or quote the text"),
    ("nesting depth", f"nested more than {MAX_DEPTH} deep"),
    ("tab character", "a tab in the indentation; use spaces"),
    ("'\\t' that cannot start", "a tab in the indentation; use spaces"),
    ("cannot start any token", "unexpected character; put the text in quotes"),
    ("expected ',' or", "a list [...] or mapping {...} is not closed, or lacks a comma"),
    ("unexpected end of stream", "a quotation mark is not closed"),
    ("unknown escape", "unknown escape after \\; use single quotes if the \\ is meant"),
    ("expected ':'", "a line without ':', or an indentation that fits no line above"),
    ("expected <block end>", "the indentation fits no line above, or a key is missing"),
    ("expected key", "the indentation fits no line above, or a key is missing"),
    ("expected '-' indicator", "the indentation fits no line above, or a '-' is missing"),
    ("expected <document start>", "text after the end; the whole file must be one mapping"),
)


class Mark(NamedTuple):
    """A place in a text, counted from 1."""

    line: int
    column: int


class Node(NamedTuple):
    """A value and its place: that of its key in a mapping, of its first character elsewhere."""

    mark: Mark
    value: Any
    """Text, number, bool or None; a list of nodes; a dict from text to node."""

    def plain(self) -> Any:
        """Return the value as plain lists, dicts and scalars."""
        if isinstance(self.value, dict):
            return {key: each.plain() for key, each in self.value.items()}
        if isinstance(self.value, list):
            return [each.plain() for each in self.value]
        return self.value

    def text(self) -> str:
        """Return what this is, for a message."""
        if isinstance(self.value, (dict, list)):
            what = "mapping" if isinstance(self.value, dict) else "list"
            return f"a {what}" if self.value else f"an empty {what}"
        return "nothing" if self.value is None else shown(self.value)

    def child(self, part: str | int) -> Node | None:
        """Return the value under key or index `part`, looking through mappings of one key."""
        node = self
        while True:
            if isinstance(node.value, dict):
                if part in node.value:
                    found: Node = node.value[part]
                    return found
                if len(node.value) != 1:
                    return None
                (node,) = node.value.values()
            elif isinstance(node.value, list):
                inside = isinstance(part, int) and 0 <= part < len(node.value)
                return node.value[int(part)] if inside else None
            else:
                return None

    def locate(self, path: tuple[str | int, ...]) -> Mark:
        """Return the mark nearest to `path`.

        Shorthand makes paths and text differ: names of kinds stand only in the text (a mapping of
        one key) and are looked through; fields that were left out stand only in the path.
        """
        node = self
        for part in path:
            node = node.child(part) or node
        return node.mark

    def written(self, path: tuple[str | int, ...], kinds: Container[str]) -> tuple[str | int, ...]:
        """Return `path` as the text has it, `kinds` being the names that may stand only there."""
        node, out = self, []
        for part in path:
            while isinstance(node.value, dict) and part not in node.value and len(node.value) == 1:
                ((name, below),) = node.value.items()
                if name not in kinds:
                    break
                out.append(name)
                node = below
            here = isinstance(node.value, dict) and part in node.value
            if here or (isinstance(node.value, list) and isinstance(part, int)):
                out.append(part)
                node = node.child(part) or node
        return tuple(out)


@dataclass(frozen=True)
class Document:
    """What a text holds, and which keys it gives twice (the first one counts)."""

    root: Node
    source: str
    repeated: tuple[Problem, ...]

    def place(self, path: tuple[str | int, ...]) -> str:
        """Return ``file:line:column`` nearest to `path`."""
        return place(self.source, self.root.locate(path))


def place(source: str, mark: Mark) -> str:
    """Return ``file:line:column``."""
    return f"{source}:{mark.line}:{mark.column}"


def parse(text: str, source: str) -> Document:
    """Return the one document in `text`, which comes from `source`.

    Raises
    ------
    InvalidInput
        The text is empty, not YAML, too large or too deep, or uses anchors, aliases or tags.
    """
    if len(text) > MAX_BYTES:
        raise _refuse(source, None, f"more than {MAX_BYTES / 1e6:g} MB, the limit for a file")
    builder = _Builder(source)
    try:
        for event in _events(text, source):
            builder.take(event)
    except InvalidInput as error:
        raise InvalidInput([*builder.problems(), *error.problems]) from None
    if builder.refused:
        raise InvalidInput(builder.problems())
    if builder.root is None or builder.root.value is None:
        raise _refuse(source, None, "the file is empty")
    return Document(builder.root, source, tuple(builder.repeated))


def _events(text: str, source: str) -> Iterator[yaml.Event]:
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd is not None:
        before = text[: odd.start()]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise _refuse(source, mark, f"character U+{ord(odd[0]):04X} can't stand in a text file")
    if source.endswith(".json"):
        text = text.replace("\t", " ")  # a raw tab in JSON is only ever indentation
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        words = f"not valid {_language(source)}: {_words(error)}"
        raise _refuse(source, error.problem_mark or error.context_mark, words) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # escapes that are no character
        raise _refuse(source, None, f"not valid {_language(source)}: {error}") from None


def _language(source: str) -> str:
    return "JSON" if source.endswith(".json") else "YAML"


def _words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "unreadable"
    plain = next((hint for sign, hint in _HINTS if sign in problem), None)
    begun = f", begun in line {error.context_mark.line + 1}" if error.context_mark else ""
    detail = f"{problem} {error.context or ''}".strip() + begun
    return f"{plain} ({detail})" if plain else detail


def _refuse(source: str, mark: Any, message: str) -> InvalidInput:
    if mark is None:
        return InvalidInput([Problem("", message, place=source)])
    ours = mark if isinstance(mark, Mark) else Mark(mark.line + 1, mark.column + 1)
    return InvalidInput([Problem("", message, place=place(source, ours))])


class _Frame:
    """A list or mapping that is being read."""

    __slots__ = ("key", "mark", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.key: str | None = None  # of the value that comes next
        self.mark = node.mark


class _Builder:
    """Makes nodes of events; collects what is refused and what is given twice."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node | None = None
        self.refused: dict[str, Problem] = {}
        self.refusals: Counter[str] = Counter()
        self.repeated: list[Problem] = []
        self.stack: list[_Frame] = []
        self.count = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._check_node(event)
            frame = self.stack[-1] if self.stack else None
            if frame is not None and isinstance(frame.node.value, dict) and frame.key is None:
                frame.key, frame.mark = event.value, _mark(event)
            else:
                self._add(event, _scalar(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._check_node(event)
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            node = self._add(event, value)
            if len(self.stack) == MAX_DEPTH:
                message = f"nested more than {MAX_DEPTH} deep"
                raise _refuse(self.source, event.start_mark, message)
            self.stack.append(_Frame(node))
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._forbid(event, "alias", f"*{_cut(event.anchor)}")
            self._add(event, None)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise _refuse(self.source, event.start_mark, "a second document; a file holds one")

    def _check_node(self, event: yaml.NodeEvent) -> None:
        self.count += 1
        if self.count > MAX_NODES:
            message = f"more than {MAX_NODES:,} values and keys, the limit for a file"
            raise _refuse(self.source, event.start_mark, message)
        if event.anchor is not None:
            self._forbid(event, "anchor", f"&{_cut(event.anchor)}")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._forbid(event, "tag", _cut(tag))

    def _forbid(self, event: yaml.Event, what: str, text: str) -> None:
        message = f'{what} "{text}": {_INSTEAD[what]} (not allowed here)'
        kind = "alias" if what == "anchor" else what  # the one is of no use without the other
        first = Problem("", message, place=place(self.source, _mark(event)))
        self.refused.setdefault(kind, first)
        self.refusals[kind] += 1

    def problems(self) -> list[Problem]:
        """Return the first of each kind that is refused, and how many more there are."""
        more = {kind: count - 1 for kind, count in self.refusals.items()}
        return [
            replace(
                first, message=f"{first.message}{f', and {more[kind]} more' * bool(more[kind])}"
            )
            for kind, first in self.refused.items()
        ]

    def _add(self, event: yaml.Event, value: Any) -> Node:
        """Put a value where it belongs and return its node."""
        node = Node(_mark(event), value)
        if not self.stack:
            self.root = node
            return node
        frame = self.stack[-1]
        if isinstance(frame.node.value, list):
            frame.node.value.append(node)
        elif frame.key is None:
            raise _refuse(self.source, event.start_mark, "a key must be plain text")
        else:
            node = Node(frame.mark, value)
            first = frame.node.value.setdefault(frame.key, node)
            if first is not node:
                message = (
                    f'"{_cut(frame.key)}" is given twice; the first is in line {first.mark.line}'
                )
                spot = place(self.source, frame.mark)
                self.repeated.append(Problem("", message, place=spot))
            frame.key = None
        return node


def _mark(event: yaml.Event) -> Mark:
    mark: Any = event.start_mark
    return Mark(mark.line + 1, mark.column + 1)


def _cut(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= 40 else f"{text[:39]}…"


def _scalar(event: yaml.ScalarEvent) -> Any:
    """Return the value of a scalar; quoted ones and those not understood are text."""
    text: str = event.value
    if event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(text):
            return int(text)
        if FLOAT.fullmatch(text):
            return float(text)
    return text
