"""Distributions of service times, sizes and pauses: frozen descriptions with exact moments.

Each class says its parameters in the words an engineer knows (mean, coefficient of variation) and
lowers itself to one row of the sampler table (`scalesim.kernels.sampling`).
"""

from __future__ import annotations

from scalesim.distributions.base import Distribution, SamplerRow, sizes, times
from scalesim.distributions.composite import HyperExponential, Mixture, Shifted
from scalesim.distributions.measured import Empirical, Recorded
from scalesim.distributions.simple import (
    Constant,
    Erlang,
    Exponential,
    LogNormal,
    Pareto,
    Uniform,
    Weibull,
)

__all__ = [
    "Constant",
    "Distribution",
    "Empirical",
    "Erlang",
    "Exponential",
    "HyperExponential",
    "LogNormal",
    "Mixture",
    "Pareto",
    "Recorded",
    "SamplerRow",
    "Shifted",
    "Uniform",
    "Weibull",
    "sizes",
    "times",
]
