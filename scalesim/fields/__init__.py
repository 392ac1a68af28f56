"""Declared constraints: what each field of a description may hold, in one place.

A field of a component is a `Kind`: number with a unit and bounds, name, one of a family, list, map.
The same declaration checks values, reads and writes files, makes the JSON Schema and the docs.
Constructors only store (and expand shorthand); checks run when a whole description is put
together, so that all problems are reported at once.
"""

from __future__ import annotations

from scalesim.fields.containers import FrozenMap, ListOf, MapOf, Span
from scalesim.fields.description import (
    KINDS,
    Description,
    Family,
    Nested,
    OneOf,
    Param,
    described,
    param,
    params,
)
from scalesim.fields.given import AsTuple, Given, Values
from scalesim.fields.kinds import (
    DecodeError,
    Flag,
    Integer,
    Kind,
    Name,
    Number,
    fail,
    in_python,
    is_sequence,
)

__all__ = [
    "KINDS",
    "AsTuple",
    "DecodeError",
    "Description",
    "Family",
    "Flag",
    "FrozenMap",
    "Given",
    "Integer",
    "Kind",
    "ListOf",
    "MapOf",
    "Name",
    "Nested",
    "Number",
    "OneOf",
    "Param",
    "Span",
    "Values",
    "described",
    "fail",
    "in_python",
    "is_sequence",
    "param",
    "params",
]
