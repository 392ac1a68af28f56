"""Kinds of single values: number with a unit, whole number, flag, name.

A kind checks a value, reads it from a file, writes it, and describes it as JSON Schema.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scalesim.errors import Problem, nearest, shown
from scalesim.units import DIMENSIONS, format_quantity, parse_quantity

__all__ = [
    "NAME",
    "UNREAD",
    "DecodeError",
    "Flag",
    "Integer",
    "Kind",
    "Name",
    "Number",
    "fail",
    "in_python",
    "is_sequence",
    "plain",
]

_LARGEST = int(sys.float_info.max)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
NAME_RULE = "letters, digits, _ and -, beginning with a letter or _"

UNREAD: tuple[Any, ...] = ()
"""Stands for what can't be read: neither a number, a name nor a description, and nothing in it."""

_PYTHON = {"b": bool, "i": int, "u": int, "f": float, "U": str}
"""Of each kind of NumPy's numbers and texts, the type of Python; moments of time are none."""


def plain(value: Any) -> Any:
    """Return a single value of NumPy's as Python's own, anything else unchanged.

    Known by its attributes, so that NumPy is not loaded for those who do not use it.
    """
    if getattr(value, "ndim", None) == 0:
        return _PYTHON.get(getattr(value.dtype, "kind", ""), lambda same: same)(value)
    return value


def is_sequence(value: Any) -> bool:
    """Return whether `value` is a list, tuple, range, or an array or column of numbers or names."""
    if isinstance(value, Sequence):
        return not isinstance(value, (str, bytes, bytearray))
    return hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0


class Kind:
    """What a field may hold. Subclasses say how it is checked, read, written and documented."""

    def normalize(self, value: Any) -> Any:
        """Return `value` with shorthand expanded; anything not understood unchanged."""
        return plain(value)

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

    def salvage(self, node: Any) -> Any:
        """Return what can be read of `node` that can't be read as a whole, else `UNREAD`."""
        try:
            return self.decode(node)
        except DecodeError:
            return UNREAD

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


def in_python(value: Any, unit: str) -> str:
    """Return how to write a quantity that was given as a file has it, or an empty string."""
    if not isinstance(value, str) or unit not in DIMENSIONS:
        return ""
    try:
        number = parse_quantity(value, unit)
    except ValueError:
        return ""
    measured = f"a number of {unit}".replace(" of 1/", " per ")
    helper = f", as ss.ms({number * 1e3:.12g})" if unit == "s" and abs(number) < 1 else ""
    return f"which is text for files; in Python write {measured}: {number:.12g}{helper}"


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
            hint = in_python(value, self.unit) or f"allowed is {self.allowed()}"
            yield Problem("", f"got {shown(value)}, {hint}")
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
        what = f"a number of {self.unit}".removesuffix(" of ").replace(" of 1/", " per ")
        return " ".join([what, " and ".join(bounds)]).strip()

    def text(self, value: float) -> str:
        """Return `value` for a message, with its unit."""
        if self.unit in DIMENSIONS and value:
            return format_quantity(value, self.unit)  # -4 ms, as a file has it
        return f"{value:g} {self.unit}".strip().replace(" 1/", "/")

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
    """A name (see `NAME_RULE`), a reference (``db.read``), or one of `choices`."""

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
        return len(parts) <= 2 and all(NAME.fullmatch(part) for part in parts)

    def allowed(self) -> str:
        """Return what is allowed in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.pattern:
            return self.what
        form = "name or name.endpoint" if self.dotted else NAME_RULE
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
