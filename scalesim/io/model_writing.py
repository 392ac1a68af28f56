"""Models and traffic written as files: the tree that `model_file` reads, laid out to be pleasant.

Layer: io.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import yaml

from scalesim.errors import InvalidModel, Problem
from scalesim.io.atomic import write_text
from scalesim.io.model_file import FORMAT_VERSION, SECTIONS, Model
from scalesim.io.yaml_nodes import FLOAT
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, Growth

if TYPE_CHECKING:
    from scalesim.studies.objective import Objective

__all__ = ["model_text", "traffic_text", "write_model", "write_traffic"]


def write_model(
    model: Model | Topology,
    path: str | os.PathLike[str],
    *,
    traffic: AnyTraffic | None = None,
    growth: Growth | None = None,
    objective: Objective | None = None,
) -> None:
    """Write a model file, JSON if its name ends in ``.json``, YAML otherwise; whole or not at all.

    Parameters
    ----------
    model : Model or Topology
    path : path-like
    traffic, growth, objective : optional
        Written instead of those of `model`.

    Raises
    ------
    InvalidInput
        The file can't be written.
    """
    as_json = os.fspath(path).endswith(".json")
    text = model_text(model, traffic=traffic, growth=growth, objective=objective, as_json=as_json)
    write_text(path, text)


def write_traffic(traffic: AnyTraffic, path: str | os.PathLike[str]) -> None:
    """Write a traffic file, JSON if its name ends in ``.json``, YAML otherwise.

    Raises
    ------
    InvalidInput
        The file can't be written.
    InvalidModel
        The traffic has problems of its own.
    """
    write_text(path, traffic_text(traffic, as_json=os.fspath(path).endswith(".json")))


def model_text(
    model: Model | Topology,
    *,
    traffic: AnyTraffic | None = None,
    growth: Growth | None = None,
    objective: Objective | None = None,
    as_json: bool = False,
) -> str:
    """Return the text that `parse_model` reads back to an equal model."""
    if isinstance(model, Topology):
        model = Model(model)
    components = {
        name: {"type": part.type_name, **part.encode_fields(skip=("name",))}
        for name, part in model.topology.components.items()
    }
    topology = {"entry": model.topology.entry, "components": components}
    given = {
        "traffic": traffic or model.traffic,
        "growth": growth or model.growth,
        "objective": objective or model.objective,
    }
    return _text({"topology": topology, **_sections(given)}, as_json)


def traffic_text(traffic: AnyTraffic, *, as_json: bool = False) -> str:
    """Return the text that `parse_traffic` reads back to equal traffic."""
    return _text(_sections({"traffic": traffic}), as_json)


def _sections(given: dict[str, Any]) -> dict[str, Any]:
    encoded, problems = {}, []
    for name, value in given.items():
        if value is not None:
            kind = SECTIONS[name]()
            found = [problem.under(name) for problem in kind.check(value)]
            problems += [Problem(".".join(map(str, p.path)), p.message, p.path) for p in found]
            if not found:
                encoded[name] = kind.encode(value)
    if problems:
        raise InvalidModel(problems)
    return encoded


class _Dumper(yaml.SafeDumper):
    """Innermost lists and mappings in one line, everything else line by line; no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)  # items stand further in than their key

    def represent_sequence(self, tag: str, sequence: Any, flow_style: Any = None) -> Any:
        node = super().represent_sequence(tag, sequence, flow_style)
        for item in node.value:
            if isinstance(item, yaml.MappingNode) and len(item.value) == 1:
                item.flow_style = False  # - compute: 9 ms
        return node


# PyYAML takes 1e5 for text, as YAML 1.1 does, and would not quote it; our reader sees a number.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("+-.0123456789"))


def _text(content: dict[str, Any], as_json: bool) -> str:
    content = {"scalesim": FORMAT_VERSION, **content}
    if as_json:
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return yaml.dump(
        content,
        Dumper=_Dumper,
        default_flow_style=None,
        sort_keys=False,
        width=100,
        allow_unicode=True,
    )
