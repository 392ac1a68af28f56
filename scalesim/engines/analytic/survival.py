"""The laws of distributions, vectorized: P(more than t), and its integral from 0 to t.

A distribution itself knows moments. The integral is in closed form, as a jump of the law within a
cell of a grid would else cost accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scalesim import distributions as laws
from scalesim.distributions import Distribution

__all__ = ["Survival", "area_of", "survival_of"]

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


def area_of(law: Distribution) -> Survival | None:
    """Return the mean of min(time, t) as a function of t > 0; None for a law not known here."""
    if isinstance(law, laws.Shifted):
        rest, shift = area_of(law.rest), law.shift
        if rest is None:
            return None
        return lambda t: np.minimum(t, shift) + rest(np.maximum(t - shift, 1e-300))
    if isinstance(law, laws.Mixture):
        parts = [area_of(part) for part in law.parts]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        pairs = list(zip(law.probabilities, known, strict=True))
        return lambda t: np.sum([p * part(t) for p, part in pairs], axis=0)
    make = _AREAS.get(type(law))
    return None if make is None else make(law)


def _uniform_area(law: laws.Uniform) -> Survival:
    width = law.high - law.low

    def area(t: np.ndarray) -> np.ndarray:
        inside = np.clip(t - law.low, 0.0, width)
        return np.minimum(t, law.low) + inside - inside * inside / (2 * width)

    return area


def _lognormal_area(law: laws.LogNormal) -> Survival:
    from scipy.special import ndtr

    width = math.sqrt(math.log1p(law.cv**2))
    middle = math.log(law.mean) - width * width / 2

    def area(t: np.ndarray) -> np.ndarray:
        at = (np.log(t) - middle) / width
        total: np.ndarray = t * ndtr(-at) + law.mean * ndtr(at - width)
        return total

    return area


def _erlang_area(law: laws.Erlang) -> Survival:
    from scipy.special import gammainc, gammaincc

    def area(t: np.ndarray) -> np.ndarray:
        at = t * law.phases / law.mean
        total: np.ndarray = t * gammaincc(law.phases, at) + law.mean * gammainc(law.phases + 1, at)
        return total

    return area


def _hyperexponential_area(law: laws.HyperExponential) -> Survival:
    pairs = list(zip(law.probabilities, law.means, strict=True))
    return lambda t: np.sum([-p * m * np.expm1(-t / m) for p, m in pairs], axis=0)


def _pareto_area(law: laws.Pareto) -> Survival:
    def area(t: np.ndarray) -> np.ndarray:
        tail = -np.expm1((law.shape - 1) * np.log(np.minimum(law.scale / t, 1.0)))
        return np.minimum(t, law.scale) + law.scale / (law.shape - 1) * tail

    return area


def _weibull_area(law: laws.Weibull) -> Survival:
    from scipy.special import gammainc

    scale = law.mean / math.gamma(1 + 1 / law.shape)
    return lambda t: law.mean * gammainc(1 / law.shape, (t / scale) ** law.shape)


def _empirical_area(law: laws.Empirical) -> Survival:
    values, late = np.asarray(law.quantiles), _empirical(law)
    left = np.linspace(1, 0, len(values))
    until = values[0] + np.cumsum(np.diff(values) * (left[1:] + left[:-1]) / 2)
    until = np.concatenate([values[:1], until])

    def area(t: np.ndarray) -> np.ndarray:
        inside = np.clip(t, values[0], values[-1])
        k = np.searchsorted(values, inside, side="right") - 1
        part = until[k] + (inside - values[k]) * (left[k] + late(inside)) / 2
        return np.where(t < values[0], t, part)

    return area


_AREAS: dict[type[Distribution], Callable[[Any], Survival]] = {
    laws.Constant: lambda law: lambda t: np.minimum(t, law.value),
    laws.Exponential: lambda law: lambda t: -law.mean * np.expm1(-t / law.mean),
    laws.Uniform: _uniform_area,
    laws.LogNormal: _lognormal_area,
    laws.Erlang: _erlang_area,
    laws.HyperExponential: _hyperexponential_area,
    laws.Pareto: _pareto_area,
    laws.Weibull: _weibull_area,
    laws.Empirical: _empirical_area,
}
