"""Traffic: who asks for what, when; and how it grows."""

from __future__ import annotations

from scalesim.traffic.arrivals import (
    TRAFFIC,
    AnyTraffic,
    ClosedTraffic,
    RateProfile,
    ReplayTraffic,
    Traffic,
)
from scalesim.traffic.growth import Compound, FactorTable, Growth, Linear
from scalesim.traffic.popularity import Measured, Popularity, UniformKeys, Zipf

__all__ = [
    "TRAFFIC",
    "AnyTraffic",
    "ClosedTraffic",
    "Compound",
    "FactorTable",
    "Growth",
    "Linear",
    "Measured",
    "Popularity",
    "RateProfile",
    "ReplayTraffic",
    "Traffic",
    "UniformKeys",
    "Zipf",
]
