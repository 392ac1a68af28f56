"""Every case with a known right answer, shortly: a tenth of a second each, and no false alarm.

The runs are short, so an interval is wide and only large errors are caught here; `make accuracy`
runs until a 2 % error of a mean would be. Traces are exact either way.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from accuracy.suite import Case, Effort, run_case
from accuracy.theory import read_cases

CASES = [
    case
    for file in sorted((Path(__file__).parent / "cases").glob("*.json"))
    for case in read_cases(file)
]
FIGURES = sum(each.figures for case in CASES for each in case.expected.values())
SHORT = Effort(scale=0.01, trials=8, beside=False)

MISSING = {
    "autoscaler-boot-cooldown": "autoscaler",
    "cost-bill-of-materials": "storage of a component",
    "cost-sinusoid-day": "offered_rate: days of instances that follow the load",
    "faas-keepalive-5s": "instances on demand",
    "hpa-steps": "autoscaler",
    "hpa-steps-stabilized": "autoscaler",
    "stale-quorum-3-1-1": "quorum",
    "trace-dead-letter": "messages that come back: visibility time-out",
    "trace-failover": "synchronous replication, failover",
    "trace-health-check": "health checks",
    "trace-visibility-redelivery": "messages that come back: visibility time-out",
    "trace-visibility-too-short": "messages that come back: visibility time-out",
}
"""What the library lacks, by case; no other case may be unsupported."""


def test_the_missing_are_cases() -> None:
    assert set(MISSING) <= {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_simulation_agrees_with_the_right_answer(case: Case) -> None:
    outcome = run_case(case, FIGURES, budget=0.0, effort=SHORT)
    assert (outcome.state == "unsupported") == (case.name in MISSING), outcome.why
    assert outcome.rows or case.name in MISSING, outcome.why
    wrong = [f"{row.metric} {row.verdict}" for row in outcome.rows if row.verdict.wrong]
    assert not wrong, "\n".join(wrong)
