"""Units: constructors for Python (``ms(5)``), a reader and a writer for files (``"5 ms"``).

In Python every quantity is a plain float in its base unit: seconds, requests a second, bytes,
bytes a second, dollars an hour, a ratio a month. Text carries its unit; a number without one is an
error wherever a dimension is expected, and so is a unit of another dimension.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    "DIMENSIONS",
    "days",
    "format_quantity",
    "gib",
    "hours",
    "kib",
    "mbit",
    "mib",
    "minutes",
    "ms",
    "parse_quantity",
    "seconds",
    "us",
]

_TIME = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_BYTES = {
    "B": 1.0,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "TiB": 2.0**40,
}
_BITS = {"bit/s": 1 / 8, "kbit/s": 1e3 / 8, "Mbit/s": 1e6 / 8, "Gbit/s": 1e9 / 8}

DIMENSIONS: Mapping[str, Mapping[str, float]] = {
    "s": _TIME,
    "B": _BYTES,
    "1/s": {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600, "/d": 1 / 86400},
    "B/s": {**{f"{unit}/s": factor for unit, factor in _BYTES.items()}, **_BITS},
    "1/month": {"%/month": 0.01, "/month": 1.0},
    "USD/h": {"USD/h": 1.0, "USD/month": 1 / 730.0},
}
"""Base unit -> accepted unit -> factor to the base. A month has 730 hours, as in cloud bills."""

_NAMES = {
    "s": "a time",
    "B": "a size in bytes",
    "1/s": "a rate",
    "B/s": "a bandwidth",
    "1/month": "a growth",
    "USD/h": "a price",
}
_QUANTITY = re.compile(
    r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|nan))\s*(\S*)\s*"
)


def parse_quantity(text: str, unit: str) -> float:
    """Return `text` (``"500 ms"``) in the base unit `unit`.

    Raises
    ------
    ValueError
        With a message that says what is wrong and which units are allowed.
    """
    # No quantity is that long, and on a long text the pattern would try for ever.
    match = _QUANTITY.fullmatch(text) if len(text) <= 100 else None
    text = text if len(text) <= 60 else f"{text[:59]}…"
    allowed = DIMENSIONS[unit]
    known = ", ".join(allowed)
    if match is None:
        raise ValueError(f'"{text}" is not {_NAMES[unit]}; write a number and one of {known}')
    number, suffix = float(match[1].replace("_", "")), match[2]
    if not suffix:
        example = next(name for name, factor in allowed.items() if factor == 1.0 or unit != "s")
        gap = "" if example[0] in "/%" else " "
        raise ValueError(
            f'"{text}" has no unit; write {text.strip()}{gap}{example} (one of {known})'
        )
    if suffix not in allowed:
        other = next((_NAMES[base] for base, table in DIMENSIONS.items() if suffix in table), None)
        hint = f", {suffix} measures {other}" if other else ""
        raise ValueError(f'"{text}" is not {_NAMES[unit]}{hint}; use one of {known}')
    # Dividing by a whole number is exact where multiplying by its reciprocal is not: 500 ms is 0.5.
    factor = allowed[suffix]
    return (
        number / round(1 / factor) if 0 < factor < 1 and _is_reciprocal(factor) else number * factor
    )


def format_quantity(value: float, unit: str) -> str:
    """Return text that `parse_quantity` reads back to exactly `value`."""
    value = float(value)
    best = f"{value!r} {_BASE_NAME.get(unit, unit)}"
    for name in _PREFERRED[unit]:
        # A small whole number is what a person would write: 10 min, 500 ms, 2 GiB.
        scaled = value / DIMENSIONS[unit][name]
        plain = f"{scaled:.0f}" + ("" if name[0] in "/%" else " ") + name
        if 1 <= abs(scaled) < 1000 and scaled.is_integer() and parse_quantity(plain, unit) == value:
            return plain
    for name in (*_PREFERRED[unit], *_ALSO.get(unit, ())):
        if name not in _PREFERRED[unit] and len(best) <= _SHORT:
            break
        scaled = value / DIMENSIONS[unit][name]
        for number in (f"{scaled:.0f}", f"{scaled:.6g}", repr(scaled)):
            candidate = number + ("" if name[0] in "/%" else " ") + name
            if len(candidate) < len(best) and parse_quantity(candidate, unit) == value:
                best = candidate
    return best


_BASE_NAME = {"1/s": "/s", "1/month": "/month"}
_ALSO = {"1/s": ("/min", "/h")}
"""Units that are written only where the others make long texts: 16/min is 0.2666666666666666/s."""
_SHORT = 8
_PREFERRED = {
    "s": ("h", "min", "s", "ms", "us"),
    "B": ("GiB", "MiB", "KiB", "GB", "MB", "kB", "B"),
    "1/s": ("/s",),
    "B/s": ("Gbit/s", "Mbit/s", "MB/s", "B/s"),
    "1/month": ("%/month",),
    "USD/h": ("USD/h",),
}


def _is_reciprocal(factor: float) -> bool:
    return 1 / round(1 / factor) == factor


def us(value: float) -> float:
    """Return `value` microseconds in seconds."""
    return value / 1e6


def ms(value: float) -> float:
    """Return `value` milliseconds in seconds.

    >>> ms(500)
    0.5
    """
    return value / 1e3


def seconds(value: float) -> float:
    """Return `value` seconds: the base unit, spelled out."""
    return float(value)


def minutes(value: float) -> float:
    """Return `value` minutes in seconds."""
    return value * 60.0


def hours(value: float) -> float:
    """Return `value` hours in seconds."""
    return value * 3600.0


def days(value: float) -> float:
    """Return `value` days in seconds."""
    return value * 86400.0


def kib(value: float) -> float:
    """Return `value` KiB in bytes."""
    return value * 2.0**10


def mib(value: float) -> float:
    """Return `value` MiB in bytes."""
    return value * 2.0**20


def gib(value: float) -> float:
    """Return `value` GiB in bytes."""
    return value * 2.0**30


def mbit(value: float) -> float:
    """Return `value` Mbit/s in bytes a second."""
    return value * 1e6 / 8
