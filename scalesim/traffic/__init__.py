"""Traffic: who asks for what, when; and how it grows."""

from __future__ import annotations

from scalesim.traffic.arrivals import (
    TRAFFIC,
    AnyTraffic,
    ClosedTraffic,
    RateProfile,
    ReplayTraffic,
    Traffic,
    UserGroups,
    Users,
)
from scalesim.traffic.growth import Compound, FactorTable, Growth, Linear
from scalesim.traffic.popularity import Measured, Popularity, UniformKeys, Zipf
from scalesim.traffic.processes import (
    ARRIVALS,
    Arrivals,
    Batches,
    Bursts,
    Even,
    Poisson,
    Renewal,
)

__all__ = [
    "ARRIVALS",
    "TRAFFIC",
    "AnyTraffic",
    "Arrivals",
    "Batches",
    "Bursts",
    "ClosedTraffic",
    "Compound",
    "Even",
    "FactorTable",
    "Growth",
    "Linear",
    "Measured",
    "Poisson",
    "Popularity",
    "RateProfile",
    "Renewal",
    "ReplayTraffic",
    "Traffic",
    "UniformKeys",
    "UserGroups",
    "Users",
    "Zipf",
]
