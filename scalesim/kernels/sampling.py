"""Samplers: one draw from a row of the distribution table.

A row has ``kind``, ``a``, ``b``, ``c``, ``first`` and ``count``; ``first`` and ``count`` address
`values`, a flat table of floats that distributions with many parameters share. Parameters are laid
out by `scalesim.distributions`. Every sampler but the exponential's inverts the distribution
function, so it is monotone in the uniform number; the exponential uses a ziggurat (Marsaglia &
Tsang, "The ziggurat method", J. Stat. Software 5(8), 2000), twice as fast, and couples two rates
exactly by scaling.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from scalesim.kernels.draws import bits, child_key, fraction, layer, rebits, u01

__all__ = [
    "CONSTANT",
    "EMPIRICAL",
    "ERLANG",
    "EXPONENTIAL",
    "HYPEREXPONENTIAL",
    "LOGNORMAL",
    "MIXTURE",
    "PARETO",
    "RECORDED",
    "SHIFTED",
    "UNIFORM",
    "WEIBULL",
    "backoff_delay",
    "cumulated_index",
    "guided_index",
    "normal_quantile",
    "nth_of_permutation",
    "sample",
    "standard_exponential",
    "ziggurat_tables",
]

CONSTANT, EXPONENTIAL, UNIFORM, LOGNORMAL, ERLANG, HYPEREXPONENTIAL, PARETO, WEIBULL, EMPIRICAL = (
    range(9)
)
RECORDED, SHIFTED, MIXTURE = range(9, 12)

_LAYERS = 256
_EDGE = 7.697117470131487
_AREA = 0.003949659822581572


@cache
def ziggurat_tables() -> tuple[np.ndarray, np.ndarray]:
    """Return the edges x[0..256] and heights exp(-x) of the ziggurat with 256 layers."""
    x = np.empty(_LAYERS + 1)
    x[0] = _AREA * math.exp(_EDGE)
    x[1] = _EDGE
    for i in range(2, _LAYERS):
        x[i] = -math.log(_AREA / x[i - 1] + math.exp(-x[i - 1]))
    x[_LAYERS] = 0.0
    tables = x, np.exp(-x)
    for table in tables:
        table.setflags(write=False)  # they are shared
    return tables


def standard_exponential(edge, height, word):
    """Return a draw from the exponential with mean 1, made of the bits `word`."""
    i = layer(word)
    x = fraction(word) * edge[i]
    if x < edge[i + 1]:
        return x
    return exponential_edge(edge, height, word)


def exponential_edge(edge, height, word):
    """Return what `standard_exponential` does for one draw in a hundred: the edge of a layer.

    Further bits come from mixing the first, so that the draw still depends on `word` alone.
    """
    shift = 0.0
    while True:
        i = layer(word)
        x = fraction(word) * edge[i]
        if x < edge[i + 1]:
            return shift + x
        word = rebits(word)
        if i == 0:
            shift += edge[1]
        elif height[i] + fraction(word) * (height[i + 1] - height[i]) < math.exp(-x):
            return shift + x
        word = rebits(word)


# fmt: off
def normal_quantile(p):
    """Return the standard normal quantile of `p` in (0, 1); relative error below 1e-15.

    Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
    Statistics 37 (1988).
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return (
            q
            * (((((((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r
                    + 6.7265770927008700853e4) * r + 4.5921953931549871457e4) * r
                  + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r
                + 1.3314166789178437745e2) * r + 3.3871328727963666080e0)
            / (((((((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r
                    + 3.9307895800092710610e4) * r + 2.1213794301586595867e4) * r
                  + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r
                + 4.2313330701600911252e1) * r + 1.0)
        )
    r = p if q < 0.0 else 1.0 - p
    r = math.sqrt(-math.log(r))
    if r <= 5.0:
        r -= 1.6
        x = (
            (((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r
                  + 2.41780725177450611770e-1) * r + 1.27045825245236838258e0) * r
                + 3.64784832476320460504e0) * r + 5.76949722146069140550e0) * r
              + 4.63033784615654529590e0) * r + 1.42343711074968357734e0)
            / (((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r
                    + 1.51986665636164571966e-2) * r + 1.48103976427480074590e-1) * r
                  + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0) * r
                + 2.05319162663775882187e0) * r + 1.0)
        )
    else:
        r -= 5.0
        x = (
            (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r
                  + 1.24266094738807843860e-3) * r + 2.65321895265761230930e-2) * r
                + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0) * r
              + 5.46378491116411436990e0) * r + 6.65790464350110377720e0)
            / (((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r
                    + 1.84631831751005468180e-5) * r + 7.86869131145613259100e-4) * r
                  + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r
                + 5.99832206555887937690e-1) * r + 1.0)
        )
    return -x if q < 0.0 else x
# fmt: on


def cumulated_index(cumulated, first, count, u):
    """Return the smallest index i with u < cumulated[first + i], the last if there is none."""
    i = 0
    while i < count - 1 and u >= cumulated[first + i]:
        i += 1
    return i


def guided_index(cumulated, guide, first, count, u):
    """Return the smallest index i with u < cumulated[first + i], in constant expected time.

    ``guide[first + j]`` is that index for u = j / count (Chen & Asau, "On generating random
    variates from an empirical distribution", AIIE Transactions 6 (1974)).
    """
    i = int(guide[first + int(u * count)])
    while i < count - 1 and u >= cumulated[first + i]:
        i += 1
    return i


def nth_of_permutation(key, site, n, count):
    """Return element n of a random permutation of 0 .. count - 1: different for different n.

    Fisher and Yates' shuffle, followed back for one element.
    """
    place = int(u01(key, site, n) * (count - n))
    for k in range(n - 1, -1, -1):
        if place == int(u01(key, site, k) * (count - k)):
            place = count - 1 - k
    return place


def backoff_delay(rule, sampler, values, edge, height, key, site, attempt):
    """Return the wait after failed attempt number `attempt` (from 1)."""
    if rule.sampler >= 0:
        key_of_wait = child_key(key, site, attempt)
        tables = (sampler, rule.sampler, values, edge, height)
        delay = sample(*tables, key_of_wait, site, attempt - 1)
    elif rule.count > 0:
        delay = values[rule.first + min(attempt, rule.count) - 1]
    else:
        delay = rule.backoff
        grows = (
            delay > 0.0 and rule.factor > 1.0
        )  # else a request's attempts could be without bound
        for _ in range(1, attempt if grows else 1):
            delay *= rule.factor
            if delay >= rule.cap:
                break
        delay = min(delay, rule.cap)
    if rule.jitter == 1:
        delay *= u01(key, site, attempt)
    elif rule.jitter == 2:
        delay *= 0.5 + 0.5 * u01(key, site, attempt)
    return delay


def sample(sampler, which, values, edge, height, key, site, number):
    """Return one draw from the distribution in row `which`, at `site` of the strand `key`.

    `number` is the request's; a recorded distribution goes by it instead of by chance.
    """
    row = sampler[which]
    kind = row.kind
    if kind == EXPONENTIAL:
        return row.a * standard_exponential(edge, height, bits(key, site, 0))
    if kind == CONSTANT:
        return row.a
    if kind < RECORDED:
        return sample_other(row, values, edge, height, key, site)
    return sample_composite(sampler, which, values, edge, height, key, site, number)


def sample_composite(sampler, which, values, edge, height, key, site, number):
    """Return a draw from a distribution made of others, or a recorded value."""
    shift = 0.0
    row = sampler[which]
    while row.kind == SHIFTED or row.kind == MIXTURE:
        inner = row.first
        if row.kind == SHIFTED:
            shift += row.a
        else:
            i = cumulated_index(values, row.first, row.count, u01(key, site, 0))
            inner = int(values[row.first + row.count + i])
            key = child_key(key, site, i)  # so that the part's draw is not the choice's over again
        row = sampler[inner]
    if row.kind == RECORDED:
        return shift + row.c * values[row.first + number % row.count]
    if row.kind == CONSTANT:
        return shift + row.a
    if row.kind == EXPONENTIAL:
        return shift + row.a * standard_exponential(edge, height, bits(key, site, 0))
    return shift + sample_other(row, values, edge, height, key, site)


def sample_other(row, values, edge, height, key, site):
    """Return a draw from a distribution that is neither constant nor exponential."""
    kind = row.kind
    u = u01(key, site, 0)
    if kind == UNIFORM:
        return row.a + (row.b - row.a) * u
    if kind == LOGNORMAL:
        return row.c * math.exp(row.a + row.b * normal_quantile(max(u, 1e-300)))
    if kind == ERLANG:
        total = -math.log(1.0 - u)
        for k in range(1, row.count):
            total -= math.log(1.0 - u01(key, site, k))
        return row.a * total
    if kind == HYPEREXPONENTIAL:
        i = cumulated_index(values, row.first, row.count, u)
        mean = row.c * values[row.first + row.count + i]
        return mean * standard_exponential(edge, height, bits(key, site, 1))
    if kind == PARETO:
        return row.a * (1.0 - u) ** (-1.0 / row.b)
    if kind == WEIBULL:
        return row.a * (-math.log(1.0 - u)) ** (1.0 / row.b)
    # EMPIRICAL: quantiles at equal steps of probability, straight lines between.
    position = u * (row.count - 1)
    i = int(position)
    if i >= row.count - 1:
        i = row.count - 2
    low = values[row.first + i]
    return row.c * (low + (position - i) * (values[row.first + i + 1] - low))
