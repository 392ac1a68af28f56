"""The pages of docs/reference/ that are generated are those that the code would generate now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from scalesim import ops
from scalesim.components import COMPONENTS
from scalesim.fields import params

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def load_generator() -> ModuleType:
    path = ROOT / "docs" / "generate_reference.py"
    spec = importlib.util.spec_from_file_location("generate_reference", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("page", sorted(GENERATOR.PAGES))
def test_page_is_up_to_date(page: str) -> None:
    committed = (REFERENCE / page).read_text(encoding="utf-8")
    assert committed == GENERATOR.render()[page], "run: python docs/generate_reference.py"


def test_every_operation_has_its_row() -> None:
    text = (REFERENCE / "ops.md").read_text(encoding="utf-8")
    assert [o.name for o in ops.OPERATIONS if f"| `{o.name}` | " not in text] == []


def test_every_field_of_every_component_is_described() -> None:
    text = (REFERENCE / "components.md").read_text(encoding="utf-8")
    names = {name for cls in COMPONENTS.members.values() for name in params(cls)} - {"name"}
    assert [name for name in sorted(names) if f"| `{name}` | " not in text] == []
