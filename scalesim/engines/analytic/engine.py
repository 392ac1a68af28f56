"""The entry of the analytic engine: refuse what is not covered, else solve."""

from __future__ import annotations

from scalesim.engines.analytic.closed import solve_closed
from scalesim.engines.analytic.results import AnalyticResults
from scalesim.engines.analytic.solver import Solver
from scalesim.engines.analytic.support import refusals
from scalesim.engines.analytic.time_varying import solve_profile
from scalesim.errors import UnsupportedByEngine
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, ClosedTraffic, RateProfile, Traffic

__all__ = ["solve"]


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
    assert isinstance(traffic, Traffic)
    if isinstance(traffic.rate, RateProfile):
        return solve_profile(topology, traffic, traffic.rate, start, end)
    solver = Solver(topology, traffic)
    return AnalyticResults(topology, traffic, solver, solver.solve(traffic.rate))
