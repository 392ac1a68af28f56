"""Files: models and traffic in YAML or JSON, their JSON Schema, writing whole or not at all."""

from __future__ import annotations

from scalesim.io.model_file import Model, parse_model, parse_traffic, read_model, read_traffic
from scalesim.io.model_writing import model_text, traffic_text, write_model, write_traffic
from scalesim.io.schema import json_schema

__all__ = [
    "Model",
    "json_schema",
    "model_text",
    "parse_model",
    "parse_traffic",
    "read_model",
    "read_traffic",
    "traffic_text",
    "write_model",
    "write_traffic",
]
