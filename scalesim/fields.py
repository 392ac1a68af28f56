"""Declared constraints: what each field of a description may hold, in one place.

A field of a component is a `Kind` (number with a unit and bounds, name, one of a family, list, map).
The same declaration checks values, reads and writes files, makes the JSON Schema and the docs.
Constructors only store (and expand shorthand); checks run when a whole description is put together,
so that all problems are reported at once.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self, TypeVar

from scalesim.errors import Problem, nearest, shown
from scalesim.units import DIMENSIONS, format_quantity, parse_quantity

__all__ = [
    "Description",
    "Family",
    "Flag",
    "Integer",
    "Kind",
    "ListOf",
    "MapOf",
    "Name",
    "Nested",
    "Number",
    "OneOf",
    "param",
    "params",
]

D = TypeVar("D", bound="Description")

_LARGEST = int(sys.float_info.max)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Kind:
    """What a field may hold. Subclasses say how it is checked, read, written and documented."""

    def normalize(self, value: Any) -> Any:
        """Return `value` with shorthand expanded; anything not understood unchanged."""
        return value

    def check(self, value: Any) -> Iterator[Problem]:
        """Yield what is wrong with `value`, paths relative to it."""
        raise NotImplementedError

    def decode(self, node: Any) -> Any:
        """Return the Python value of `node` as read from YAML or JSON.

        Raises
        ------
        DecodeError
            With every problem found below `node`.
        """
        raise NotImplementedError

    def encode(self, value: Any) -> Any:
        """Return plain data that `decode` reads back to an equal value."""
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the encoded form."""
        raise NotImplementedError


class DecodeError(Exception):
    """Problems found while decoding; internal, turned into `InvalidModel` by readers."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def fail(message: str, *path: str | int) -> DecodeError:
    """Return a `DecodeError` with one problem at `path`."""
    return DecodeError([Problem("", message, path)])


@dataclass(frozen=True)
class Number(Kind):
    """A finite real number in base unit `unit`, within bounds (`infinite` allows ``inf``)."""

    unit: str = ""
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    infinite: bool = False

    def check(self, value: Any) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield Problem("", f"got {shown(value)}, allowed is {self.allowed()}")
        elif isinstance(value, int) and abs(value) > _LARGEST:
            yield Problem("", f"got {shown(value)}, which is too large")
        elif math.isnan(value) or (math.isinf(value) and not self.infinite):
            yield Problem("", f"got {value}, allowed is {self.allowed()}")
        elif (
            (self.above is not None and not value > self.above)
            or (self.at_least is not None and not value >= self.at_least)
            or (self.at_most is not None and not value <= self.at_most)
        ):
            yield Problem("", f"got {self.text(value)}, allowed is {self.allowed()}")

    def allowed(self) -> str:
        """Return the allowed range in words."""
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("above", self.above), ("at least", self.at_least))
            if bound is not None
        ]
        if self.at_most is not None:
            bounds.append(f"at most {self.at_most:g}")
        what = "a number" if not self.unit else f"a number of {self.unit}"
        return " ".join([what, " and ".join(bounds)]).strip()

    def text(self, value: float) -> str:
        """Return `value` for a message, with its unit."""
        return f"{value:g}" if not self.unit else f"{value:g} {self.unit}"

    def decode(self, node: Any) -> Any:
        if self.unit in DIMENSIONS:
            if isinstance(node, str):
                try:
                    return parse_quantity(node, self.unit)
                except ValueError as error:
                    raise fail(str(error)) from None
            if isinstance(node, (int, float)) and not isinstance(node, bool):
                example = next(iter(_EXAMPLES[self.unit]))
                raise fail(f"{shown(node)} has no unit; write for example {example}")
        elif isinstance(node, str) and node.strip().endswith("%"):
            try:
                return float(node.strip()[:-1]) / 100
            except ValueError:
                raise fail(f"got {shown(node)}, allowed is {self.allowed()}") from None
        if isinstance(node, bool) or not isinstance(node, (int, float)):
            raise fail(f"got {shown(node)}, allowed is {self.allowed()}")
        try:
            return float(node)
        except OverflowError:
            raise fail(f"got {shown(node)}, which is too large") from None

    def encode(self, value: Any) -> Any:
        if self.unit in DIMENSIONS:
            return format_quantity(value, self.unit)
        return float(value) if isinstance(value, float) else value  # NumPy's floats are floats, too

    def schema(self) -> dict[str, Any]:
        if self.unit in DIMENSIONS:
            units = "|".join(re.escape(name) for name in DIMENSIONS[self.unit])
            number = r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?"
            number = f"({number}|inf)" if self.infinite else number
            return {
                "type": "string",
                "pattern": rf"^\s*{number}\s*({units})\s*$",
                "examples": list(_EXAMPLES[self.unit]),
            }
        schema: dict[str, Any] = {"type": "number"}
        for word, bound in (
            ("exclusiveMinimum", self.above),
            ("minimum", self.at_least),
            ("maximum", self.at_most),
        ):
            if bound is not None:
                schema[word] = bound
        return {"anyOf": [schema, {"type": "string", "pattern": r"^\s*[\d.]+\s*%\s*$"}]}


_EXAMPLES = {
    "s": ("500 ms", "10 min"),
    "B": ("2 GiB", "300 kB"),
    "1/s": ("800/s",),
    "B/s": ("1 Gbit/s",),
    "1/month": ("15%/month",),
    "USD/h": ("0.096 USD/h",),
}


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number within bounds."""

    at_least: int = 0
    at_most: int = 10**9

    def check(self, value: Any) -> Iterator[Problem]:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not self.at_least <= value <= self.at_most:
            yield Problem("", f"got {shown(value)}, allowed is {self.allowed()}")

    def allowed(self) -> str:
        """Return the allowed range in words."""
        return f"a whole number from {self.at_least} to {self.at_most}"

    def decode(self, node: Any) -> Any:
        if isinstance(node, bool) or not isinstance(node, int):
            raise fail(f"got {shown(node)}, allowed is {self.allowed()}")
        return node

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.at_least, "maximum": self.at_most}


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    def check(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, bool):
            yield Problem("", f"got {shown(value)}, allowed is true or false")

    def decode(self, node: Any) -> Any:
        if not isinstance(node, bool):
            raise fail(f"got {shown(node)}, allowed is true or false")
        return node

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Name(Kind):
    """A name (letters, digits, ``_``, ``-``), a reference (``db.read``), or one of `choices`."""

    what: str = "a name"
    choices: tuple[str, ...] = ()
    dotted: bool = False
    pattern: str = ""

    def check(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield Problem("", f"got {shown(value)}, allowed is {self.allowed()}")
        elif self.choices:
            if value not in self.choices:
                hint = nearest(value, self.choices)
                yield Problem("", f"got {shown(value)}. {hint}Known: {', '.join(self.choices)}")
        elif not self._matches(value):
            yield Problem("", f"got {shown(value)}, allowed is {self.allowed()}")

    def _matches(self, value: str) -> bool:
        if self.pattern:
            return re.fullmatch(self.pattern, value) is not None
        parts = value.split(".") if self.dotted else [value]
        return len(parts) <= 2 and all(_NAME.fullmatch(part) for part in parts)

    def allowed(self) -> str:
        """Return what is allowed in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.pattern:
            return self.what
        form = "name or name.endpoint" if self.dotted else "letters, digits, _ and -"
        return f"{self.what} ({form})"

    def decode(self, node: Any) -> Any:
        if not isinstance(node, str):
            raise fail(f"got {shown(node)}, allowed is {self.allowed()}")
        return node

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string"}
        if self.choices:
            schema["enum"] = list(self.choices)
        return schema


@dataclass(frozen=True)
class ListOf(Kind):
    """A tuple whose items are all of one kind; a single item stands for a list of one."""

    item: Kind
    non_empty: bool = True
    alone: bool = False

    def normalize(self, value: Any) -> Any:
        if self.alone and not isinstance(value, (list, tuple)):
            value = (value,)
        if isinstance(value, (list, tuple)):
            return tuple(self.item.normalize(each) for each in value)
        return value

    def check(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, tuple):
            yield Problem("", f"got {shown(value)}, allowed is a list")
            return
        if self.non_empty and not value:
            yield Problem("", "got an empty list, at least one item is needed")
        for index, each in enumerate(value):
            for problem in self.item.check(each):
                yield problem.under(index)

    def decode(self, node: Any) -> Any:
        if self.alone and not isinstance(node, list):
            return (self.item.decode(node),)
        if not isinstance(node, list):
            raise fail(f"got {shown(node)}, allowed is a list")
        return tuple(_gather(self.item, enumerate(node)))

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
            for problem in Name(self.what).check(key):
                yield problem.under(str(key))
            for problem in self.value.check(each):
                yield problem.under(key)

    def decode(self, node: Any) -> Any:
        if not isinstance(node, dict):
            raise fail(f"got {shown(node)}, allowed is a mapping")
        values = _gather(self.value, node.items())
        return FrozenMap(dict(zip(node, values, strict=True)))

    def encode(self, value: Any) -> Any:
        return {key: self.value.encode(each) for key, each in value.items()}

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", "additionalProperties": self.value.schema()}
        if self.non_empty:
            schema["minProperties"] = 1
        return schema


class FrozenMap(dict[str, Any]):
    """A mapping that is never changed after it was made, so that descriptions can be hashed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))  # equal whatever the order, as dicts are

    def _frozen(self, *_: Any, **__: Any) -> Any:
        raise TypeError("descriptions are frozen; use vary() to make a changed copy")

    __setitem__ = __delitem__ = update = pop = popitem = clear = setdefault = _frozen

    def __reduce__(self) -> Any:
        return (FrozenMap, (dict(self),))


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


class Family:
    """A closed set of description classes that may stand in one place, each with a short name.

    `scalar` turns shorthand that is not the name of a member (a number, say) into a member.
    """

    def __init__(self, what: str, scalar: Callable[[Any], Any] = lambda value: value) -> None:
        self.what = what
        self.scalar = scalar
        self.members: dict[str, type[Description]] = {}

    def add(self, name: str) -> Callable[[type[D]], type[D]]:
        """Return a class decorator that registers the class under `name`."""

        def register(cls: type[D]) -> type[D]:
            if name in self.members:
                raise ValueError(f"{self.what} {name!r} is registered twice")
            cls.type_name = name
            self.members[name] = cls
            return cls

        return register


@dataclass(frozen=True)
class OneOf(Kind):
    """A member of a family.

    Encoded ``{name: {field: value}}``, ``{name: primary value}`` or, where no field needs a value,
    just ``name``.
    """

    family: Family
    scalar: Kind | None = None

    def normalize(self, value: Any) -> Any:
        if isinstance(value, str) and value in self.family.members:
            member = self.family.members[value]
            return member() if not _required(member) else value
        return self.family.scalar(value)

    def check(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, Description) or value.type_name not in self.family.members:
            yield Problem("", self._unknown(value))
            return
        yield from value.check()

    def _unknown(self, value: Any) -> str:
        known = sorted(self.family.members)
        hint = nearest(value, known) if isinstance(value, str) else ""
        if isinstance(value, str) and value in self.family.members:
            missing = ", ".join(_required(self.family.members[value]))
            return f'{self.family.what} "{value}" needs {missing}'
        return f"{shown(value)} is not a {self.family.what}. {hint}Known: {', '.join(known)}"

    def decode(self, node: Any) -> Any:
        if isinstance(node, dict) and len(node) == 1:
            ((name, content),) = node.items()
            if name not in self.family.members:
                raise DecodeError([Problem("", self._unknown(name), (name,))])
            try:
                return self.family.members[name].decode(content)
            except DecodeError as error:
                raise DecodeError([problem.under(name) for problem in error.problems]) from None
        if isinstance(node, str) and node in self.family.members:
            member = self.family.members[node]
            if not _required(member):
                return member()
            raise fail(self._unknown(node))
        if self.scalar is not None and isinstance(node, (str, int, float)):
            looks_like_name = isinstance(node, str) and _NAME.fullmatch(node.strip())
            if not looks_like_name:
                return self.family.scalar(self.scalar.decode(node))
        if isinstance(node, dict):
            keys = shown(", ".join(map(str, node))).strip('"')
            raise fail(
                f"got {len(node)} keys ({keys}), expected exactly one: the name of a "
                f"{self.family.what}. Known: {', '.join(sorted(self.family.members))}"
            )
        raise fail(self._unknown(node))

    def encode(self, value: Any) -> Any:
        content = value.encode()
        if self.scalar is not None and value == self.family.scalar(_primary_value(value)):
            return self.scalar.encode(_primary_value(value))
        return {value.type_name: content} if content != {} else value.type_name

    def schema(self) -> dict[str, Any]:
        bare = [name for name, member in self.family.members.items() if not _required(member)]
        options: list[dict[str, Any]] = [{"enum": sorted(bare)}] if bare else []
        if self.scalar is not None:
            options.append(self.scalar.schema())
        options += [
            {
                "type": "object",
                "properties": {name: {"$ref": f"#/$defs/{member.__name__}"}},
                "required": [name],
                "additionalProperties": False,
            }
            for name, member in sorted(self.family.members.items())
        ]
        return {"anyOf": options}


@dataclass(frozen=True)
class Nested(Kind):
    """A description of exactly one class, encoded without its name."""

    cls: type[Description]

    def normalize(self, value: Any) -> Any:
        primary = self.cls.primary
        if primary and not isinstance(value, (self.cls, Mapping)):
            return self.cls(**{primary: value})
        return value

    def check(self, value: Any) -> Iterator[Problem]:
        if isinstance(value, self.cls):
            yield from value.check()
        else:
            yield Problem("", f"got {shown(value)}, allowed is a {self.cls.__name__}")

    def decode(self, node: Any) -> Any:
        return self.cls.decode(node)

    def encode(self, value: Any) -> Any:
        return value.encode()

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.cls.__name__}"}


@dataclass(frozen=True)
class Param:
    """The declaration of one field: its kind, whether it may be absent, and a line of text."""

    kind: Kind
    doc: str
    optional: bool = False


def param(kind: Kind, doc: str, *, default: Any = dataclasses.MISSING, kw_only: bool = True) -> Any:
    """Declare a field of a `Description`; ``default=None`` makes it optional."""
    declared = Param(kind, doc, default is None)
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"param": declared}, kw_only=kw_only)
    return dataclasses.field(default=default, metadata={"param": declared}, kw_only=kw_only)


@cache
def params(cls: type[Description]) -> Mapping[str, Param]:
    """Return the declared fields of a description class, in order."""
    return {each.name: each.metadata["param"] for each in dataclasses.fields(cls)}


@cache
def _required(cls: type[Description]) -> tuple[str, ...]:
    return tuple(
        each.name for each in dataclasses.fields(cls) if each.default is dataclasses.MISSING
    )


def _primary_value(value: Description) -> Any:
    return getattr(value, value.primary) if value.primary else None


class Description:
    """Base of everything a user describes: a frozen dataclass whose fields are declared by `param`.

    ``primary`` names the field that stands alone in shorthand: ``call: db.read``.
    """

    type_name: ClassVar[str] = ""
    primary: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, declared in params(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, declared.kind.normalize(value))

    def check(self) -> Iterator[Problem]:
        """Yield every problem of this description's own fields, paths relative to it."""
        for name, declared in params(type(self)).items():
            value = getattr(self, name)
            if value is None and declared.optional:
                continue
            for problem in declared.kind.check(value):
                yield problem.under(name)
        yield from self.check_together()

    def check_together(self) -> Iterator[Problem]:
        """Yield problems between fields; called also when single fields are wrong."""
        yield from ()

    @classmethod
    def decode(cls, node: Any) -> Self:
        """Return the description that `node` encodes (a mapping, or the primary field's value)."""
        declared = params(cls)
        if not isinstance(node, dict):
            if node is None and not _required(cls):
                return cls()
            if not cls.primary:
                raise fail(f"got {shown(node)}, allowed is a mapping with {', '.join(declared)}")
            kind = declared[cls.primary].kind
            return cls(**{cls.primary: kind.decode(node)})
        if cls.primary and isinstance(declared[cls.primary].kind, (OneOf, MapOf)):
            # `compute: {lognormal: {...}}`: the mapping is the primary field's own.
            if not any(key in declared for key in node):
                return cls(**{cls.primary: declared[cls.primary].kind.decode(node)})
        return cls(**cls.decode_fields(node))

    @classmethod
    def decode_fields(cls, node: dict[Any, Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the decoded fields of mapping `node`; unknown and missing ones are problems."""
        declared = {name: each for name, each in params(cls).items() if name not in skip}
        problems, values = [], {}
        for key, content in node.items():
            if key not in declared:
                hint = nearest(key, declared)
                known = ", ".join(declared)
                problems.append(
                    Problem("", f"unknown field {shown(key)}. {hint}Known: {known}", (key,))
                )
            elif content is None and declared[key].optional:
                values[key] = None
            else:
                try:
                    values[key] = declared[key].kind.decode(content)
                except DecodeError as error:
                    problems += [problem.under(key) for problem in error.problems]
        missing = [name for name in _required(cls) if name in declared and name not in node]
        problems += [Problem("", f"{name} is missing: {declared[name].doc}") for name in missing]
        if problems:
            for name, value in values.items():
                if value is not None:
                    problems += [each.under(name) for each in declared[name].kind.check(value)]
            raise DecodeError(problems)
        return values

    def encode(self) -> Any:
        """Return plain data that `decode` reads back to an equal description."""
        content = self.encode_fields()
        if self.primary and set(content) == {self.primary}:
            return content[self.primary]
        return content

    def encode_fields(self, skip: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the fields that differ from their defaults, encoded."""
        content = {}
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if each.name in skip or (each.default is not dataclasses.MISSING and _same(self, each)):
                continue
            content[each.name] = params(type(self))[each.name].kind.encode(value)
        return content

    @classmethod
    def schema(cls, skip: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the JSON Schema of the encoded form."""
        declared = {name: each for name, each in params(cls).items() if name not in skip}
        properties = {
            name: {**each.kind.schema(), "description": each.doc}
            if not each.optional
            else {"anyOf": [each.kind.schema(), {"type": "null"}], "description": each.doc}
            for name, each in declared.items()
        }
        schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": [name for name in _required(cls) if name in declared],
            "additionalProperties": False,
        }
        if cls.primary:
            alone: list[dict[str, Any]] = [declared[cls.primary].kind.schema(), schema]
            if not _required(cls):
                alone.append({"type": "null"})
            return {"anyOf": alone}
        return schema


def _same(description: Description, field: dataclasses.Field[Any]) -> bool:
    """Whether the field holds its default (compared after shorthand was expanded)."""
    declared = params(type(description))[field.name]
    default = None if field.default is None else declared.kind.normalize(field.default)
    return bool(getattr(description, field.name) == default)



