"""Kinds of many values: lists and mappings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scalesim.errors import Problem, shown
from scalesim.fields.kinds import DecodeError, Integer, Kind, Name, Number, fail, is_sequence

__all__ = ["FrozenMap", "ListOf", "MapOf", "Span"]

_SHOWN = 3
"""Wrong numbers of a list that are reported one by one."""


@dataclass(frozen=True)
class ListOf(Kind):
    """A tuple whose items are all of one kind, made of any sequence.

    With `alone` a single item stands for a list of one.
    """

    item: Kind
    non_empty: bool = True
    alone: bool = False

    def normalize(self, value: Any) -> Any:
        if is_sequence(value):
            return tuple(self.item.normalize(each) for each in _items(value))
        return (self.item.normalize(value),) if self.alone else value

    def check(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, tuple):
            yield Problem("", f"got {shown(value)}, allowed is a list")
            return
        if self.non_empty and not value:
            yield Problem("", "got an empty list, at least one item is needed")
        problems = [
            problem.under(index)
            for index, each in enumerate(value)
            for problem in self.item.check(each)
        ]
        rest = len(problems) - 1
        if isinstance(self.item, Number) and rest >= _SHOWN:  # a day of minutes, all too large
            first = problems[0]
            problems = [replace(first, message=f"{first.message}; {rest} more are wrong so")]
        yield from problems

    def decode(self, node: Any) -> Any:
        if self.alone and not isinstance(node, list):
            return (self.item.decode(node),)
        if not isinstance(node, list):
            raise fail(f"got {shown(node)}, allowed is a list")
        return tuple(_gather(self.item, enumerate(node)))

    def salvage(self, node: Any) -> Any:
        if isinstance(node, list):
            return tuple(self.item.salvage(each) for each in node)
        return super().salvage(node)

    def encode(self, value: Any) -> Any:
        if self.alone and len(value) == 1:
            return self.item.encode(value[0])
        return [self.item.encode(each) for each in value]

    def schema(self) -> dict[str, Any]:
        item = self.item.schema()
        schema: dict[str, Any] = {"type": "array", "items": item}
        if self.non_empty:
            schema["minItems"] = 1
        return {"anyOf": [item, schema]} if self.alone else schema


@dataclass(frozen=True)
class MapOf(Kind):
    """A mapping from names to values of one kind."""

    value: Kind
    what: str = "a name"
    non_empty: bool = True
    dotted: bool = False

    def normalize(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return FrozenMap({key: self.value.normalize(each) for key, each in value.items()})
        return value

    def check(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield Problem("", f"got {shown(value)}, allowed is a mapping")
            return
        if self.non_empty and not value:
            yield Problem("", "got an empty mapping, at least one entry is needed")
        for key, each in value.items():
            for problem in Name(self.what, dotted=self.dotted).check(key):
                yield problem.under(str(key))
            for problem in self.value.check(each):
                yield problem.under(key)

    def decode(self, node: Any) -> Any:
        if not isinstance(node, dict):
            raise fail(f"got {shown(node)}, allowed is a mapping")
        values = _gather(self.value, node.items())
        return FrozenMap(dict(zip(node, values, strict=True)))

    def salvage(self, node: Any) -> Any:
        if isinstance(node, dict):
            return FrozenMap({key: self.value.salvage(each) for key, each in node.items()})
        return super().salvage(node)

    def encode(self, value: Any) -> Any:
        return {key: self.value.encode(each) for key, each in value.items()}

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", "additionalProperties": self.value.schema()}
        if self.non_empty:
            schema["minProperties"] = 1
        return schema


@dataclass(frozen=True)
class Span(Kind):
    """Two whole numbers, (least, most); most may be None: no bound."""

    item: Integer

    def normalize(self, value: Any) -> Any:
        return tuple(map(self.item.normalize, _items(value))) if is_sequence(value) else value

    def check(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, tuple) or len(value) != 2:
            yield Problem("", f"got {shown(value)}, allowed is {self.allowed()}")
            return
        least, most = value
        problems = [each.under(0) for each in self.item.check(least)]
        if most is not None:
            problems += [each.under(1) for each in self.item.check(most)]
        yield from problems
        if not problems and most is not None and most < least:
            yield Problem("", f"got least {least}, most {most}; most is at least least")

    def allowed(self) -> str:
        """Return what is allowed in words."""
        return f"(least, most), each {self.item.allowed()}; most None: no bound"

    def decode(self, node: Any) -> Any:
        if not isinstance(node, list) or len(node) != 2:
            raise fail(f"got {shown(node)}, allowed is {self.allowed()}")
        most = node[1]
        return self.item.decode(node[0]), None if most is None else self.item.decode(most)

    def encode(self, value: Any) -> Any:
        return list(value)

    def schema(self) -> dict[str, Any]:
        item = self.item.schema()
        return {
            "type": "array",
            "prefixItems": [item, {"anyOf": [item, {"type": "null"}]}],
            "minItems": 2,
            "maxItems": 2,
        }


class FrozenMap(dict[str, Any]):
    """A mapping that is never changed after it was made, so that descriptions can be hashed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))  # equal whatever the order, as dicts are

    def _frozen(self, *_: Any, **__: Any) -> Any:
        raise TypeError("descriptions are frozen; use vary() to make a changed copy")

    __setitem__ = __delitem__ = update = pop = popitem = clear = setdefault = _frozen
    __ior__ = _frozen

    def __reduce__(self) -> Any:
        return (FrozenMap, (dict(self),))


def _items(values: Any) -> Iterable[Any]:
    """Return the items of a sequence; those of an array as Python's own, which is far faster."""
    moments = getattr(getattr(values, "dtype", None), "kind", "") in "Mm"
    if hasattr(values, "tolist") and not moments:  # moments would become nanoseconds
        out: list[Any] = values.tolist()
        return out
    return list(values)


def _gather(kind: Kind, nodes: Iterable[tuple[str | int, Any]]) -> list[Any]:
    """Decode each item, going on after a failure, then raise all problems together."""
    problems: list[Problem] = []
    values: list[tuple[str | int, Any]] = []
    for key, node in nodes:
        try:
            values.append((key, kind.decode(node)))
        except DecodeError as error:
            problems += [problem.under(key) for problem in error.problems]
    if problems:
        # Nobody will check the others, because there will be no description.
        problems += [each.under(key) for key, value in values for each in kind.check(value)]
        raise DecodeError(problems)
    return [value for _, value in values]
