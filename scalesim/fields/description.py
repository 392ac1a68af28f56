"""Descriptions: frozen dataclasses whose fields are declared, and families of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform

from scalesim.errors import Problem, nearest, shown
from scalesim.fields.containers import MapOf
from scalesim.fields.kinds import NAME, UNREAD, DecodeError, Kind, fail, plain

__all__ = [
    "KINDS", "Description", "Family", "Nested", "OneOf", "Param", "described", "param", "params",
]  # fmt: skip

D = TypeVar("D", bound="Description")
T = TypeVar("T")


KINDS: set[str] = set()
"""The names of the members of all families."""


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
            KINDS.add(name)
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
        return self.family.scalar(plain(value))

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
        return (
            f"{shown(value)} is not {_article(self.family.what)}. {hint}Known: {', '.join(known)}"
        )

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
            looks_like_name = isinstance(node, str) and NAME.fullmatch(node.strip())
            if not looks_like_name:
                return self.family.scalar(self.scalar.decode(node))
        if isinstance(node, dict):
            keys = shown(", ".join(map(str, node))).strip('"')
            raise fail(
                f"got {len(node)} keys ({keys}), expected exactly one: the name of a "
                f"{self.family.what}. Known: {', '.join(sorted(self.family.members))}"
            )
        raise fail(self._unknown(node))

    def salvage(self, node: Any) -> Any:
        if isinstance(node, dict) and len(node) == 1:
            ((name, content),) = node.items()
            if name in self.family.members:
                return self.family.members[name].salvage(content)
        return super().salvage(node)

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

    def salvage(self, node: Any) -> Any:
        return self.cls.salvage(node)

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


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(param,))
def described(cls: type[T]) -> type[T]:
    """Make a class with fields declared by `param` a frozen dataclass, also for type checkers."""
    return dataclass(frozen=True)(cls)


def params(cls: type[Any]) -> Mapping[str, Param]:
    """Return the declared fields of a description class, in order."""
    return _params(cast("Hashable", cls))  # classes are; a dataclass's own __hash__ misleads mypy


@cache
def _params(cls: Any) -> Mapping[str, Param]:
    return {each.name: each.metadata["param"] for each in dataclasses.fields(cls)}


def _required(cls: type[Any]) -> tuple[str, ...]:
    return tuple(
        each.name for each in dataclasses.fields(cls) if each.default is dataclasses.MISSING
    )


def _article(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


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
        if cls._is_primary(node):
            return cls(**{cls.primary: declared[cls.primary].kind.decode(node)})
        return cls(**cls.decode_fields(node))

    @classmethod
    def _is_primary(cls, node: dict[Any, Any]) -> bool:
        """Whether the mapping is the primary field's own: ``compute: {lognormal: {...}}``."""
        declared = params(cls)
        takes_mapping = cls.primary and isinstance(declared[cls.primary].kind, (OneOf, MapOf))
        return bool(takes_mapping) and not any(key in declared for key in node)

    @classmethod
    def salvage(cls, node: Any, **given: Any) -> Self:
        """Return a description of what can be read of `node`; to look into, not to use.

        Fields that can't be read have their defaults, `UNREAD` if they have none.
        """
        if not isinstance(node, dict) or cls._is_primary(node):
            node = {} if node is None or not cls.primary else {cls.primary: node}
        values: dict[str, Any] = dict.fromkeys(_required(cls), UNREAD)
        for name, declared in params(cls).items():
            if node.get(name) is not None:
                found = declared.kind.salvage(node[name])
                values |= {name: found} if found is not UNREAD else {}
        return cls(**{**values, **given})

    @classmethod
    def decode_fields(cls, node: dict[Any, Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the decoded fields of mapping `node`; unknown and missing ones are problems."""
        declared = {name: each for name, each in params(cls).items() if name not in skip}
        problems: list[Problem] = []
        values: dict[str, Any] = {}
        for key, content in node.items():
            if key not in declared:
                hint = nearest(key, declared) if len(problems) < 100 else ""  # it takes a while
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
