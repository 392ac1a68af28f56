"""Every mutant still fits the sources: the text that it breaks stands there, once."""

from __future__ import annotations

import pytest
from mutations.run import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_mutant_fits(mutant: Mutant) -> None:
    for edit in mutant.edits:
        assert (ROOT / edit.file).read_text(encoding="utf-8").count(edit.old) == 1, edit.file
    for path in mutant.tests:
        assert (ROOT / path).exists()
