"""JSON Schema (draft 2020-12) of model and traffic files, made from the declarations of the fields.

Layer: io. For editors and other tools: what it accepts `scalesim.io.parse_model` may still refuse
(names that do not exist, calls in a circle), what it refuses `parse_model` refuses, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from scalesim.components import COMPONENTS
from scalesim.fields import Description
from scalesim.io.model_file import FORMAT_VERSION, SECTIONS

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a model file or traffic file.

    Examples
    --------
    >>> sorted(json_schema()["properties"])
    ['growth', 'objective', 'scalesim', 'topology', 'traffic']
    """
    components = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
        "additionalProperties": {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": sorted(COMPONENTS.members)}},
            "allOf": [
                {
                    "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                    "then": {"$ref": f"#/$defs/{cls.__name__}"},
                }
                for name, cls in sorted(COMPONENTS.members.items())
            ],
        },
    }
    topology = {
        "type": "object",
        "properties": {
            "entry": {"type": "string", "description": "component that requests reach first"},
            "components": components,
        },
        "required": ["entry", "components"],
        "additionalProperties": False,
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "scalesim model or traffic",
        "type": "object",
        "properties": {
            "scalesim": {"const": FORMAT_VERSION, "description": "version of the format"},
            "topology": topology,
            **{name: kind().schema() for name, kind in SECTIONS.items()},
        },
        "required": ["scalesim"],
        "anyOf": [{"required": ["topology"]}, {"required": ["traffic"]}],
        "additionalProperties": False,
    }
    return {**schema, "$defs": _definitions(schema)}


def _definitions(schema: Any) -> dict[str, Any]:
    """Return the schema of every class that `schema` refers to, directly or not."""
    classes = {cls.__name__: cls for cls in _subclasses(Description)}
    definitions: dict[str, Any] = {}
    todo = _references(schema)
    while todo:
        name = todo.pop()
        if name not in definitions:
            definitions[name] = _definition(classes[name])
            todo |= _references(definitions[name])
    return dict(sorted(definitions.items()))


def _definition(cls: type[Description]) -> dict[str, Any]:
    if cls.type_name not in COMPONENTS.members or COMPONENTS.members[cls.type_name] is not cls:
        return cls.schema()
    schema = cls.schema(skip=("name",))
    schema["properties"] = {"type": {"const": cls.type_name}, **schema["properties"]}
    schema["required"] = ["type", *schema["required"]]
    return schema


def _references(schema: Any) -> set[str]:
    return set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)))


def _subclasses(cls: type[Description]) -> Iterator[type[Description]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)
