"""scalesim: capacity planning and architecture simulation.

Compose load balancers, services, caches, databases and queues into a `Topology`, describe today's
`Traffic` and its growth, and ask: what breaks first, at what load, in which month, why, what fixes
it, what does it cost? Names load when first used, so that importing is quick.
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

__version__ = "0.1.0"

_HOMES = {
    "components": (
        "Cache", "Database", "Endpoint", "LoadBalancer", "MessageQueue", "Retry", "Service",
        "call", "compute", "parallel", "publish", "sleep",
    ),
    "distributions": ("Constant", "Empirical", "Exponential", "LogNormal", "Pareto", "Uniform"),
    "errors": ("InvalidInput", "InvalidModel", "ScalesimError"),
    "io": ("read_model", "read_traffic", "write_model"),
    "plots": ("draw", "plot"),
    "run": ("simulate",),
    "studies.forecast": ("forecast",),
    "studies.objective": ("Objective",),
    "topology": ("Topology",),
    "traffic": (
        "ClosedTraffic", "Compound", "RateProfile", "ReplayTraffic", "Traffic", "UniformKeys",
        "Zipf",
    ),
    "units": ("gib", "minutes", "ms"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> _Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'scalesim' has no attribute {name!r}")
    return getattr(_importlib.import_module(f"scalesim.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
