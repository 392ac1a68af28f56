"""The laws of distributions: P(more than t), vectorized. A distribution itself knows moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scalesim import distributions as laws
from scalesim.distributions import Distribution

__all__ = ["Survival", "survival_of"]

Survival = Callable[[np.ndarray], np.ndarray]


def survival_of(law: Distribution) -> Survival | None:
    """Return P(more than t) as a function of t > 0; None for a law not known here."""
    if isinstance(law, laws.Shifted):
        return _shifted(law)
    if isinstance(law, laws.Mixture):
        return _mixture(law)
    make = _KNOWN.get(type(law))
    return None if make is None else make(law)


def _uniform(law: laws.Uniform) -> Survival:
    return lambda t: np.clip((law.high - t) / (law.high - law.low), 0.0, 1.0)


def _lognormal(law: laws.LogNormal) -> Survival:
    from scipy.special import ndtr

    width = math.sqrt(math.log1p(law.cv**2))
    middle = math.log(law.mean) - width * width / 2
    return lambda t: ndtr((middle - np.log(t)) / width)


def _erlang(law: laws.Erlang) -> Survival:
    from scipy.special import gammaincc

    return lambda t: gammaincc(law.phases, t * law.phases / law.mean)


def _hyperexponential(law: laws.HyperExponential) -> Survival:
    pairs = list(zip(law.probabilities, law.means, strict=True))
    return lambda t: np.sum([p * np.exp(-t / m) for p, m in pairs], axis=0)


def _weibull(law: laws.Weibull) -> Survival:
    scale = law.mean / math.gamma(1 + 1 / law.shape)
    return lambda t: np.exp(-((t / scale) ** law.shape))


def _empirical(law: laws.Empirical) -> Survival:
    values = np.asarray(law.quantiles)
    steps = np.linspace(0, 1, len(values))
    return lambda t: 1 - np.interp(t, values, steps, 0.0, 1.0)


_KNOWN: dict[type[Distribution], Callable[[Any], Survival]] = {
    laws.Constant: lambda law: lambda t: np.where(t < law.value, 1.0, 0.0),
    laws.Exponential: lambda law: lambda t: np.exp(-t / law.mean),
    laws.Uniform: _uniform,
    laws.LogNormal: _lognormal,
    laws.Erlang: _erlang,
    laws.HyperExponential: _hyperexponential,
    laws.Pareto: lambda law: lambda t: np.minimum(law.scale / t, 1.0) ** law.shape,
    laws.Weibull: _weibull,
    laws.Empirical: _empirical,
}


def _shifted(law: laws.Shifted) -> Survival | None:
    rest = survival_of(law.rest)
    if rest is None:
        return None
    return lambda t: np.where(t < law.shift, 1.0, rest(np.maximum(t - law.shift, 1e-300)))


def _mixture(law: laws.Mixture) -> Survival | None:
    parts = [survival_of(part) for part in law.parts]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    pairs = list(zip(law.probabilities, known, strict=True))
    return lambda t: np.sum([p * part(t) for p, part in pairs], axis=0)
