"""Each published figure that the library can express is met, and the others are named."""

from __future__ import annotations

import pytest
from accuracy.published.models import CASES, EXPECTED, UNSUPPORTED, run

WRONG = {
    "ciw-priority-unstable": "an offered utilization of exactly 1 is not called unstable",
}
"""Known to be wrong: name of a case -> what is. The test fails once it is right."""


def cases() -> list[object]:
    known = {n: pytest.mark.xfail(strict=True, reason=why) for n, why in WRONG.items()}
    return [pytest.param(name, marks=known.get(name, ())) for name in CASES]


@pytest.mark.parametrize("name", cases())
def test_published_figure(name: str) -> None:
    wrong = [f"{figure} {verdict}" for figure, verdict, holds in run(name) if not holds]
    assert not wrong, "\n".join(wrong)


def test_every_case_has_a_model_or_is_named_as_unsupported() -> None:
    assert not CASES.keys() & UNSUPPORTED.keys()
    assert CASES.keys() | UNSUPPORTED.keys() == EXPECTED.keys()
