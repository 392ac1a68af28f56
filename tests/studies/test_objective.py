"""The objective: its words, its checks, its form in a file."""

from __future__ import annotations

import pytest

from scalesim.fields import DecodeError
from scalesim.studies.objective import Objective


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            Objective(latency=0.3, error_ratio=0.001),
            "p99 latency <= 300 ms and error ratio <= 0.1 %",
        ),
        (Objective(latency=2, quantile=0.999), "p99.9 latency <= 2 s"),
        (Objective(latency=0.05, quantile=0.5), "p50 latency <= 50 ms"),
        (Objective(error_ratio=0), "error ratio <= 0 %"),
        (Objective(error_ratio=0.29), "error ratio <= 29 %"),
    ],
)
def test_words(objective: Objective, words: str) -> None:
    assert objective.describe() == words
    assert list(objective.check()) == []
    assert Objective.decode(objective.encode()) == objective


def test_file_form() -> None:
    decoded = Objective.decode({"latency": "300 ms", "quantile": 0.95, "error_ratio": "0.1%"})
    assert decoded == Objective(latency=0.3, quantile=0.95, error_ratio=0.001)
    with pytest.raises(DecodeError, match="no unit"):
        Objective.decode({"latency": 300})


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({}, "", "neither latency nor error_ratio"),
        ({"quantile": 0.9}, "", "neither latency nor error_ratio"),
        ({"latency": 0.0}, "latency", "above 0"),
        ({"latency": float("nan")}, "latency", "nan"),
        ({"latency": "300 ms"}, "latency", "300 ms"),
        ({"latency": 1.0, "quantile": 99}, "quantile", "at most 0.99999"),
        ({"latency": 1.0, "quantile": 1.0}, "quantile", "at most 0.99999"),
        ({"latency": 1.0, "quantile": 0.0}, "quantile", "above 0"),
        ({"error_ratio": 1.5}, "error_ratio", "at most 1"),
        ({"error_ratio": -0.1}, "error_ratio", "at least 0"),
    ],
)
def test_problems(fields: dict[str, object], field: str, text: str) -> None:
    (problem,) = Objective(**fields).check()
    assert text in problem.message
    assert problem.path == ((field,) if field else ())
