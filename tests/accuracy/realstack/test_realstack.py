"""A measured stack is predicted: each scenario in one replay, the laws in a few runs."""

from __future__ import annotations

import pytest
from accuracy.realstack.predict import by_laws, by_replay, replayable
from accuracy.realstack.report import misses
from accuracy.realstack.stack import MISSING, Scenario, read_scenarios

SCENARIOS = [each for each in read_scenarios() if each.name not in MISSING]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_replay(scenario: Scenario) -> None:
    if replayable(scenario):
        pytest.skip(replayable(scenario))
    assert list(misses(scenario, "replay", by_replay(scenario))) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_laws(scenario: Scenario) -> None:
    assert list(misses(scenario, "laws", by_laws(scenario, runs=8))) == []


def test_every_measured_scenario_is_posed_or_says_what_is_missing() -> None:
    names = {each.name for each in read_scenarios()}
    assert set(MISSING) <= names
    assert len(names) == 24
