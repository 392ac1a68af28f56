"""The JSON Schema accepts what the writer writes, and refuses misspelt keys."""

from __future__ import annotations

import json
from typing import Any

import helpers_descriptions as some
import jsonschema
import pytest
import yaml
from hypothesis import given, settings

from scalesim.io import Model, json_schema, model_text, traffic_text

MODEL: dict[str, Any] = yaml.safe_load(
    """
    scalesim: 1
    topology:
      entry: web
      components:
        web: {type: service, endpoints: {browse: [{compute: 4 ms}, {call: {to: db.read}}]}}
        db: {type: database, connections: 40, read: {lognormal: {mean: 3 ms, cv: 2}}}
    traffic: {open: {rate: 800/s}}
    growth: 15%/month
    objective: {latency: 300 ms}
    """
)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))


@settings(max_examples=50)
@given(some.models())
def test_models_validate(validator: jsonschema.Draft202012Validator, model: Model) -> None:
    validator.validate(json.loads(model_text(model, as_json=True)))


@settings(max_examples=50)
@given(some.members(some.t.TRAFFIC.members))
def test_traffic_validates(validator: jsonschema.Draft202012Validator, traffic: Any) -> None:
    validator.validate(json.loads(traffic_text(traffic, as_json=True)))


def test_a_model_by_hand_validates(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(MODEL)


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), "trafic", 1),
        ((), "scalesim", 2),
        (("topology",), "entri", "web"),
        (("topology", "components"), "two words", {"type": "database", "connections": 1}),
        (("topology", "components", "db"), "type", "databse"),
        (("topology", "components", "db"), "conections", 4),
        (("topology", "components", "db"), "name", "db"),
        (("topology", "components", "db"), "connections", -4),
        (("topology", "components", "db"), "read", "3 MB/s"),
        (("topology", "components", "db"), "read", 3),
        (("topology", "components", "db"), "balancing", "round_robbin"),
        (("topology", "components", "db", "read"), "lognormal", {"meen": "3 ms"}),
        (("topology", "components", "web", "endpoints", "browse", 1, "call"), "timout", "1 s"),
        (("traffic", "open"), "rates", "1/s"),
        (("traffic",), "closed", {}),
        (("objective",), "latency_p99", "1 s"),
    ],
)
def test_mistakes_are_refused(
    validator: jsonschema.Draft202012Validator, path: tuple[Any, ...], key: str, value: Any
) -> None:
    model = json.loads(json.dumps(MODEL))
    place = model
    for part in path:
        place = place[part]
    place[key] = value
    assert not validator.is_valid(model)


@pytest.mark.parametrize("key", ["scalesim", "topology"])
def test_what_is_missing_is_refused(validator: jsonschema.Draft202012Validator, key: str) -> None:
    rest = {name: value for name, value in MODEL.items() if name not in (key, "traffic")}
    assert not validator.is_valid(rest)


def test_every_definition_is_used_and_documented() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    assert all(f'"#/$defs/{name}"' in text for name in schema["$defs"])
    fields = schema["$defs"]["Service"]["properties"]
    assert [name for name, field in fields.items() if "description" not in field] == ["type"]
