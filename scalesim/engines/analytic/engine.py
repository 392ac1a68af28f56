"""The entry of the analytic engine: refuse what is not covered, else solve."""

from __future__ import annotations

import math

from scalesim.engines.analytic.capacity import offered_loads
from scalesim.engines.analytic.closed import solve_closed
from scalesim.engines.analytic.groups import solve_groups
from scalesim.engines.analytic.results import AnalyticResults
from scalesim.engines.analytic.solver import Solver
from scalesim.engines.analytic.support import refusals
from scalesim.engines.analytic.time_varying import solve_profile
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, ClosedTraffic, RateProfile, Traffic, UserGroups

__all__ = ["capacity", "solve"]


def require_one_server(solver: Solver) -> None:
    """Refuse batches that come to more than one server: M^X/G/1 is what is known of them."""
    first = solver.facilities[solver.topology.entry]
    alone = first.nodes == 1 and all(size.slots == 1 for size in first.pools.values())
    if not (alone and first.pools):
        message = "batches are covered only where one worker of one instance serves them"
        raise UnsupportedByEngine(
            [Problem("traffic: arrivals", f'{message}; simulate it instead: engine="compiled"')]
        )


def solve(
    topology: Topology, traffic: AnyTraffic, start: float = 0.0, end: float = 0.0
) -> AnalyticResults:
    """Return the analytic results of a model whose traffic fits its topology.

    Parameters
    ----------
    topology : Topology
    traffic : AnyTraffic
    start, end : float [s]
        Which stretch of a rate that changes over time; all of it if equal.

    Raises
    ------
    UnsupportedByEngine
        With every feature of the model that the engine does not cover.
    """
    problems = list(refusals(topology, traffic))
    if problems:
        raise UnsupportedByEngine(problems)
    if isinstance(traffic, ClosedTraffic):
        return solve_closed(topology, traffic)
    if isinstance(traffic, UserGroups):
        return solve_groups(topology, traffic)
    assert isinstance(traffic, Traffic)
    if isinstance(traffic.rate, RateProfile):
        return solve_profile(topology, traffic, traffic.rate, start, end)
    solver = Solver(topology, traffic)
    if solver.arrivals.beside:
        require_one_server(solver)
    return AnalyticResults(topology, traffic, solver, solver.solve(traffic.rate))


def capacity(topology: Topology, traffic: Traffic) -> float:
    """Return what the bottleneck carries of this traffic at most [requests/s].

    The bottleneck law; inf if nothing queues, nan if the engine does not cover the model.
    """
    if next(refusals(topology, traffic), None) is not None:
        return math.nan
    try:
        rows = offered_loads(Solver(topology, traffic), traffic.mean_rate)
    except UnsupportedByEngine:
        return math.nan
    return min((row.capacity for row in rows), default=math.inf)
