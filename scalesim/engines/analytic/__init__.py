"""The analytic engine: instant answers by queueing theory, each with a label, or a refusal.

`solve` reads the description itself (not the plan): `model` and `lowering` say it in the words of
queueing theory, `support` refuses what is not covered, `flows` and `reach` find the rates, `uses`,
`nodes`, `pools`, `lines` and `stations` the waits, `solver` and `closed` iterate, `idle` and
`capacity` say what can be carried, `figures` labels.
The formulas are in `occupancy`, `single_station`, `priorities`, `impatience`, `networks`,
`fork_join`, `balancing`, `beside`, `caching` and `times`.
"""

from scalesim.engines.analytic.engine import capacity, solve
from scalesim.engines.analytic.figures import resource_names
from scalesim.engines.analytic.labels import Figure
from scalesim.engines.analytic.results import AnalyticResults

__all__ = ["AnalyticResults", "Figure", "capacity", "resource_names", "solve"]
