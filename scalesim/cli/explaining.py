"""What ``scalesim explain`` prints: calls, offered loads, the bottleneck, analytic latencies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalesim.errors import UnsupportedByEngine
from scalesim.words import significant

if TYPE_CHECKING:
    from scalesim.engines.analytic import AnalyticResults
    from scalesim.plan import Plan
    from scalesim.results import Results
    from scalesim.studies.agreement import Agreement
    from scalesim.topology import Topology
    from scalesim.traffic import AnyTraffic

__all__ = ["agreement_of", "analytic_lines", "analytic_tables", "call_lines", "plan_lines"]


def call_lines(topology: Topology) -> Iterator[str]:
    """Yield who calls whom."""
    yield "calls:"
    for (name, endpoint), callees in topology.calls().items():
        targets = ", ".join(".".join(each) for each in callees)
        yield f"  {name}.{endpoint} -> {targets}" if targets else f"  {name}.{endpoint}"


def agreement_of(results: Results | AnalyticResults) -> Agreement | None:
    """Return how a simulation compares with theory; None: it was interrupted, or is theory."""
    from scalesim.results import Results
    from scalesim.studies.agreement import check_by_theory

    if not isinstance(results, Results) or results.partial:
        return None
    return check_by_theory(results)


def analytic_lines(topology: Topology, traffic: AnyTraffic) -> Iterator[str]:
    """Yield offered load, bottleneck, capacity and latencies, or why there are none."""
    from scalesim.engines.analytic import solve

    try:
        answer = solve(topology, traffic)
    except UnsupportedByEngine as error:
        yield "no analytic answer:"
        yield from (f"  {problem}" for problem in error.problems)
        return
    yield answer.summary()
    for title, table in analytic_tables(answer):
        yield f"\n{title}:"
        yield table.to_string(index=False, float_format=significant, max_colwidth=60)


def analytic_tables(answer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the tables of analytic results that have rows, each with a title."""
    requests = answer.requests_table()
    for title, table in (
        ("offered load, before anybody waits, and the capacity", answer.offered_table()),
        ("latencies", requests[requests["metric"].str.startswith("latency")]),
        ("resources", answer.resources_table()),
        ("components", answer.components_table()),
    ):
        if len(table):
            yield title, table


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the stations and the programs that the engines run."""
    yield "stations:"
    for label, row in zip(plan.station_labels, plan.station, strict=True):
        if row["slots"] == 0:
            continue
        limit = "unbounded" if row["queue_limit"] < 0 else row["queue_limit"]
        yield (
            f"  {label.component}.{label.resource}[{label.instance}]: {row['slots']} slots, "
            f"line {limit}"
        )
    yield "\noperations (docs/reference/ops.md says what each means):"
    yield plan.describe()
