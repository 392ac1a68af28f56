"""scalesim: capacity planning and architecture simulation.

Compose load balancers, services, caches, databases and queues into a `Topology`, describe today's
`Traffic` and its growth, and ask: what breaks first, at what load, in which month, why, what fixes
it, what does it cost? Names load when first used, so that importing is quick.
"""

from __future__ import annotations

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING, Any as _Any

if _TYPE_CHECKING:  # what `__getattr__` finds, for editors and type checkers
    from scalesim.components import (
        Cache as Cache,
        Database as Database,
        Endpoint as Endpoint,
        LoadBalancer as LoadBalancer,
        MessageQueue as MessageQueue,
        Retry as Retry,
        Service as Service,
        call as call,
        compute as compute,
        parallel as parallel,
        publish as publish,
        sleep as sleep,
    )
    from scalesim.distributions import (
        Constant as Constant,
        Empirical as Empirical,
        Exponential as Exponential,
        LogNormal as LogNormal,
        Pareto as Pareto,
        Uniform as Uniform,
    )
    from scalesim.errors import (
        InvalidInput as InvalidInput,
        InvalidModel as InvalidModel,
        ScalesimError as ScalesimError,
    )
    from scalesim.io import (
        read_model as read_model,
        read_traffic as read_traffic,
        write_model as write_model,
    )
    from scalesim.plots import (
        draw as draw,
        plot as plot,
    )
    from scalesim.run import (
        simulate as simulate,
    )
    from scalesim.studies.forecast import (
        forecast as forecast,
    )
    from scalesim.studies.objective import (
        Objective as Objective,
    )
    from scalesim.topology import (
        Topology as Topology,
    )
    from scalesim.traffic import (
        ClosedTraffic as ClosedTraffic,
        Compound as Compound,
        RateProfile as RateProfile,
        ReplayTraffic as ReplayTraffic,
        Traffic as Traffic,
        UniformKeys as UniformKeys,
        Zipf as Zipf,
    )
    from scalesim.units import (
        gib as gib,
        minutes as minutes,
        ms as ms,
    )

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
