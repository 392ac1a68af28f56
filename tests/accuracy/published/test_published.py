"""Each published figure that the library can express is met, and the others are named."""

from __future__ import annotations

import pytest
from accuracy.published.models import MODELS, UNSUPPORTED, cases
from accuracy.suite import Case, Effort, run_case

CASES = {each.name: each for each in cases()}
FIGURES = sum(each.figures for case in CASES.values() for each in case.expected.values())
SHORT = Effort(scale=0.1)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(CASES[name], marks=[pytest.mark.long] if each.long else [], id=name)
        for name, each in MODELS.items()
    ],
)
def test_model_agrees_with_the_published_figures(case: Case) -> None:
    outcome = run_case(case, FIGURES, budget=0.0, effort=SHORT)
    assert outcome.rows, outcome.why
    wrong = [f"{row.metric} {row.verdict}" for row in outcome.rows if row.verdict.wrong]
    assert not wrong, "\n".join(wrong)


def test_every_case_has_a_model_or_is_named_as_unsupported() -> None:
    assert not MODELS.keys() & UNSUPPORTED.keys()
    assert MODELS.keys() | UNSUPPORTED.keys() == CASES.keys()
