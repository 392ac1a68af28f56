"""What ``simulate(..., engine="analytic")`` returns: figures with labels, tables, a summary."""

from __future__ import annotations

import html as _html
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from scalesim.engines.analytic.capacity import Offered, offered_loads
from scalesim.engines.analytic.figures import Figures, resource_names
from scalesim.engines.analytic.labels import Figure, labelled
from scalesim.engines.analytic.model import ROOT
from scalesim.engines.analytic.solver import Solution, Solver
from scalesim.frozen import Frozen

if TYPE_CHECKING:
    import pandas as pd

    from scalesim.topology import Topology
    from scalesim.traffic import AnyTraffic

__all__ = ["AnalyticLatency", "AnalyticResults"]

_LATENCIES = ("latency_mean_s", "latency_p50_s", "latency_p90_s", "latency_p99_s")
_OUTCOMES = ("throughput_rps", "error_ratio", "rejected_ratio", "timed_out_ratio",
             "in_flight_mean", "retry_amplification")  # fmt: skip
_RATES = ("throughput_rps", "error_ratio", "in_flight_mean")
_STATION = ("utilization", "throughput_rps", "queue_depth_mean", "wait_time_mean_s")


class AnalyticLatency(NamedTuple):
    """The latency of completed requests, as `scalesim.results.Latency` has it."""

    results: AnalyticResults

    @property
    def mean(self) -> float:
        """Mean [s]."""
        return self.results.metric("latency_mean_s").value

    def quantile(self, p: float) -> float:
        """Return the quantile at probability `p` in (0, 1) [s]."""
        percent = f"{100 * p:.10f}".rstrip("0").rstrip(".").replace(".", "_")
        return self.results.metric(f"latency_p{percent}_s").value


class AnalyticResults(Frozen):
    """Instant answers by queueing theory, each labelled exact, approximate or a bound.

    Parameters
    ----------
    topology : Topology
    traffic : AnyTraffic
    solver : Solver
    solution : Solution
    extra : frozenset of str
        Approximations on which all figures rest.
    """

    engine = "analytic"
    partial = False
    topology: Topology
    traffic: AnyTraffic
    solver: Solver
    solution: Solution
    figures: Figures

    def __init__(
        self,
        topology: Topology,
        traffic: AnyTraffic,
        solver: Solver,
        solution: Solution,
        extra: frozenset[str] = frozenset(),
    ) -> None:
        figures = Figures(solver, solution, extra)
        self._set(
            topology=topology, traffic=traffic, solver=solver, solution=solution, figures=figures
        )

    @property
    def unstable(self) -> str:
        """``component.resource`` whose waiting line grows without end; empty: none does."""
        return self.solution.unstable

    @property
    def trouble(self) -> str:
        """Why there are figures without a value; empty: there are none."""
        return f"the line at {self.unstable} grows without end" if self.unstable else ""

    @cached_property
    def second_state(self) -> AnalyticResults | None:
        """What retries may keep up once everything has failed; None: there is one state only.

        An overload may outlast its cause: at this rate the model stays in either state, and only
        chance or a change of the load takes it from one to the other.
        """
        other = self.solution.other
        if other is None:
            return None
        return AnalyticResults(self.topology, self.traffic, self.solver, other, self.figures.extra)

    @cached_property
    def offered(self) -> list[Offered]:
        """What new requests ask of each resource, before anybody waits."""
        return offered_loads(self.solver, self.solution.rate)

    @property
    def bottleneck(self) -> Offered | None:
        """The resource that limits throughput by the bottleneck law; None: nothing does."""
        return min(self.offered, key=lambda each: each.capacity, default=None)

    @property
    def capacity(self) -> Figure:
        """New requests a second that the model can carry at most in the long run [requests/s].

        At more a line grows without end, or more requests are lost than when nobody waits.
        """
        top = self.bottleneck
        if top is not None and top.doubts:
            return labelled(top.capacity, top.doubts | {"bottleneck law"}, "")
        return Figure(math.inf if top is None else top.capacity, "bound", "bottleneck law")

    @property
    def latency(self) -> AnalyticLatency:
        """Latency of completed requests, all endpoints; its figures are nan if unstable."""
        return AnalyticLatency(self)

    def metric(
        self,
        name: str,
        component: str | None = None,
        resource: str | None = None,
        endpoint: str | None = None,
    ) -> Figure:
        """Return one figure by name.

        Parameters
        ----------
        name : str
            Of all requests: ``latency_mean_s``, ``latency_p99_s`` (any quantile, ``p99_9``),
            ``throughput_rps``, ``error_ratio``, ``rejected_ratio``, ``timed_out_ratio``,
            ``in_flight_mean``, ``retry_amplification``, ``capacity_rps``. Of a component:
            ``response_time_mean_s``, ``response_time_p99_s``, ``arrival_rate_rps``,
            ``in_flight_mean``, ``hit_ratio``, ``replication_lag_mean_s``, ``message_time_mean_s``.
            Of a resource of it: ``utilization``, ``offered_utilization``, ``busy_mean``,
            ``wait_time_mean_s``, ``wait_time_p99_s``, ``wait_probability``, ``queue_depth_mean``,
            ``rejected_ratio``, ``throughput_rps``, ``arrival_rate_rps``, ``in_flight_mean`` and
            ``response_time_mean_s`` (its slots' own, however it ends). Of the ``room`` of a queue:
            ``rejected_ratio``, ``arrival_rate_rps``, ``throughput_rps``, ``in_flight_mean``.
        component, endpoint : str, optional
        resource : str, optional
            The component's slots if absent.

        Returns
        -------
        Figure
            nan if the model is unstable and the figure has no value therefore.

        Raises
        ------
        InvalidInput
            There is no such metric, component, resource or endpoint.
        """
        if name == "capacity_rps" and component is None:
            return self.capacity
        if name == "offered_utilization" and component is not None:
            own = [x for x in self.offered if x.component == component]
            for each in own:
                if resource in (None, each.resource):
                    return labelled(each.utilization, each.doubts, "utilization law")
        if self.unstable:
            return Figure(math.nan, "exact", f"unstable: {self.unstable}")
        return self.figures.metric(name, component, resource, endpoint)

    # Tables -------------------------------------------------------------------------------

    def requests_table(self) -> pd.DataFrame:
        """Return one row for each endpoint and figure: value, kind, method."""
        import pandas as pd

        names = (*_LATENCIES, *_OUTCOMES)
        shares = self.solver.shares
        asked: list[str | None] = [None, *shares] if len(shares) > 1 else [None]
        rows = [
            {"endpoint": endpoint or "all", "metric": name}
            | self.metric(name, endpoint=endpoint)._asdict()
            for endpoint in asked
            if endpoint is None or shares[endpoint] > 0
            for name in names
        ]
        return pd.DataFrame(rows)

    def resources_table(self) -> pd.DataFrame:
        """Return one row for each resource and figure: value, kind, method."""
        import pandas as pd

        columns = ["component", "resource", "metric", "value", "kind", "method"]
        rows = [
            {"component": component, "resource": resource, "metric": name}
            | self.metric(name, component, resource)._asdict()
            for component, resource in resource_names(self.solver)
            if component != ROOT
            for name in _STATION
        ]
        return pd.DataFrame(rows, columns=columns)

    def offered_table(self) -> pd.DataFrame:
        """Return one row for each resource: slots, offered load, what it could carry."""
        import pandas as pd

        rows = [
            {
                "component": each.component,
                "resource": each.resource,
                "slots": each.slots,
                "offered_load_erlang": each.load,
                "offered_utilization_ratio": each.utilization,
                "capacity_rps": each.capacity,
            }
            for each in self.offered
        ]
        columns = ["component", "resource", "slots", "offered_load_erlang",
                   "offered_utilization_ratio", "capacity_rps"]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def components_table(self) -> pd.DataFrame:
        """Return hit ratios, replication lag and message times: value, kind, method."""
        import pandas as pd

        rows = []
        for name, facility in self.solver.facilities.items():
            wanted = {"apply": "replication_lag_mean_s", "message": "message_time_mean_s"}
            metrics = [wanted[e] for e in facility.programs if e in wanted]
            metrics += ["hit_ratio"] if name in self.solution.flows.miss else []
            metrics += ["response_time_mean_s"] if name != ROOT else []
            rows += [
                {"component": name, "metric": metric} | self.metric(metric, name)._asdict()
                for metric in metrics
            ]
        return pd.DataFrame(rows, columns=["component", "metric", "value", "kind", "method"])

    def summary(self) -> str:
        """Return the main figures in a few lines."""
        top = self.bottleneck
        lines = [f"analytic engine, {self.solution.rate:,.4g} new requests/s"]
        if top is not None and math.isfinite(top.capacity):
            lines.append(
                f"bottleneck: {top.component}.{top.resource}, offered utilization "
                f"{top.utilization:.1%}; the model carries "
                f"{'about' if top.doubts else 'at most'} {top.capacity:,.4g}/s "
                f"({self.capacity.kind}: {self.capacity.method})"
            )
        if self.trouble:
            how = "UNSTABLE" if self.unstable else "OVERLOADED"
            lines.append(f"{how}: {self.trouble}; there is no mean latency")
            return "\n".join(lines)
        shown = [self.metric(name) for name in (*_LATENCIES, *_RATES)]
        for name, figure in zip((*_LATENCIES, *_RATES), shown, strict=True):
            lines.append(f"{name:16s} {figure.value:12,.6g}  {figure.kind}")
        if self.second_state is not None:
            lines.append(f"A SECOND STATE is possible at this rate, {_storm(self.second_state)}")
        methods = {m for f in shown if f.kind != "exact" for m in f.method.split(", ")}
        if methods:
            lines.append(f"approximations: {', '.join(sorted(methods))}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        parts = [f"<pre>{_html.escape(self.summary())}</pre>"]
        for frame in (self.offered_table(), self.resources_table()):
            parts.append(frame.to_html(index=False, float_format=lambda x: f"{x:.4g}", border=0))
        return "".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain data, units in the names; nan becomes None, inf "inf"."""
        top = self.bottleneck
        return {
            "engine": self.engine,
            "arrival_rate_rps": self.solution.rate,
            "unstable": self.unstable,
            "capacity_rps": _plain(self.capacity.value),
            "bottleneck": None
            if top is None
            else {"component": top.component, "resource": top.resource,
                  "offered_utilization_ratio": top.utilization},
            "second_state": None
            if self.second_state is None
            else {"unstable": self.second_state.unstable,
                  "requests": _records(self.second_state.requests_table())},
            "requests": _records(self.requests_table()),
            "offered": _records(self.offered_table()),
            "resources": _records(self.resources_table()),
            "components": _records(self.components_table()),
        }  # fmt: skip


def _storm(state: AnalyticResults) -> str:
    if state.unstable:
        return f"a storm of retries: the line at {state.unstable} grows without end"
    amplification, errors = state.metric("retry_amplification"), state.metric("error_ratio")
    return (
        f"a storm of retries: {amplification.value:.3g} attempts a request, "
        f"{errors.value:.1%} fail (second_state has its figures)"
    )


def _plain(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in table.to_dict("records")
    ]
