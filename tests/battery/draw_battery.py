"""Statistical checks of keyed draws, for the short battery in the tests and the long one by hand.

Each check takes a vectorized ``bits(seed, number, site, k) -> uint64 array`` and a size, and gives
`Finding`s: a statistic that is standard normal if the draws are good (or close to it), so one
threshold serves all: 6 standard deviations, a false alarm once in 5e8, and the seeds are fixed.
A broken mixer is off by hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from scalesim.engines.base import GAP_SITE, KEY_SITE
from scalesim.kernels.draws import GOLDEN, M1, M2, site_hash
from scalesim.run import trial_seed

__all__ = ["LIMIT", "Finding", "battery", "child_keys", "good_bits", "weak_bits"]

LIMIT = 6.0
Bits = Callable[..., np.ndarray]
U = np.uint64


class Finding(NamedTuple):
    """One statistic, in standard deviations from what good draws give."""

    name: str
    deviation: float

    @property
    def ok(self) -> bool:
        """Whether it is no further out than `LIMIT`."""
        return abs(self.deviation) <= LIMIT


def mix(z: np.ndarray) -> np.ndarray:
    """Return the finalizer of SplitMix64 (vectorized twin of `scalesim.kernels.draws.mix`)."""
    z = (z ^ (z >> U(30))) * U(M1)
    z = (z ^ (z >> U(27))) * U(M2)
    return z ^ (z >> U(31))


def weak_mix(z: np.ndarray) -> np.ndarray:
    """Return a mixer without multiplications, which the battery must condemn."""
    z = z ^ (z >> U(30))
    z = z ^ (z >> U(27))
    return z ^ (z >> U(31))


def _keyed(mixer: Callable[[np.ndarray], np.ndarray]) -> Bits:
    def bits(
        seed: int,
        number: np.ndarray,
        site: int,
        k: np.ndarray | int,
        child: tuple[int, int] | None = None,
    ) -> np.ndarray:
        key = mixer(np.asarray(number, U) + U(seed))
        if child is not None:
            key = child_keys(key, *child)
        return mixer(key + U(site) + np.asarray(k, U) * U(GOLDEN))

    return bits


good_bits, weak_bits = _keyed(mix), _keyed(weak_mix)


def child_keys(key: np.ndarray, tag: int, number: int) -> np.ndarray:
    """Return `scalesim.kernels.draws.child_key`, vectorized; the tag is not 0."""
    with np.errstate(over="ignore"):
        return mix((key ^ U(tag)) + U(number + 1) * U(GOLDEN))


def uniform(word: np.ndarray) -> np.ndarray:
    """Return floats in [0, 1) from words."""
    return (word >> U(11)).astype(np.float64) * 2.0**-53


def chi2_deviation(counts: np.ndarray, expected: float) -> float:
    """Return a chi-square statistic of equal cells as a normal deviate (Wilson & Hilferty)."""
    freedom = counts.size - 1
    statistic = float(((counts - expected) ** 2).sum() / expected)
    spread = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)


def correlation_deviation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the sample correlation times the square root of the sample size."""
    if not (x.std() and y.std()):
        return math.inf
    return float(np.corrcoef(x, y)[0, 1]) * math.sqrt(len(x))


def ks_deviation(x: np.ndarray, law: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the p-value of the Kolmogorov-Smirnov test as a normal deviate."""
    return float(stats.norm.isf(max(stats.kstest(x, law).pvalue, 1e-300)))


def uniformity(bits: Bits, n: int) -> Iterator[Finding]:
    """Equal cells of one, two and three neighbouring draws."""
    keys = np.arange(n, dtype=U)
    seed = trial_seed(1, 0)
    one = uniform(bits(seed, keys, GAP_SITE, 0))
    cells = np.bincount((one * 1024).astype(int), minlength=1024)
    yield Finding("chi2, one draw, 1024 cells", chi2_deviation(cells, n / 1024))
    for name, other in {
        "next request": np.append(one[1:], one[0]),
        "draw 1": uniform(bits(seed, keys, GAP_SITE, 1)),
        "other site": uniform(bits(seed, keys, KEY_SITE, 0)),
    }.items():
        cells = np.bincount((one * 64).astype(int) * 64 + (other * 64).astype(int), minlength=4096)
        yield Finding(f"chi2, draw and {name}, 64 x 64 cells", chi2_deviation(cells, n / 4096))
    low = (bits(seed, keys, GAP_SITE, 0) & U(255)).astype(int)
    cells = np.bincount(low, minlength=256)
    yield Finding("chi2, low 8 bits (ziggurat layer)", chi2_deviation(cells, n / 256))
    yield Finding("KS, uniform", ks_deviation(one[:200_000], stats.uniform.cdf))


def correlations(bits: Bits, n: int) -> Iterator[Finding]:
    """Draws that differ in one argument only, and runs under neighbouring seeds."""
    keys = np.arange(n, dtype=U)
    seed = trial_seed(1, 0)
    base = uniform(bits(seed, keys, GAP_SITE, 0))
    for lag in (1, 2, 3, 7, 16, 64, 1024):
        yield Finding(f"serial, lag {lag}", correlation_deviation(base[:-lag], base[lag:]))
    others = {
        "draw 1": bits(seed, keys, GAP_SITE, 1),
        "draw 2": bits(seed, keys, GAP_SITE, 2),
        "site key": bits(seed, keys, KEY_SITE, 0),
        "site + 1": bits(seed, keys, GAP_SITE + 1, 0),
        "site + GOLDEN": bits(seed, keys, (GAP_SITE + GOLDEN) % 2**64, 0),
        "key of child": bits(seed, keys, GAP_SITE, 0, (site_hash("tag"), 0)),
        "key of next child": bits(seed, keys, GAP_SITE, 0, (site_hash("tag"), 1)),
        "trial 1": bits(trial_seed(1, 1), keys, GAP_SITE, 0),
        "seed 0": bits(trial_seed(0, 0), keys, GAP_SITE, 0),
    }
    for name, words in others.items():
        yield Finding(f"cross, {name}", correlation_deviation(base, uniform(words)))
    for shift in (0, 1, 2, 3, 10, 100):
        second = uniform(bits(trial_seed(2, 0), keys + U(shift), GAP_SITE, 0))
        yield Finding(f"seeds 1 and 2, shift {shift}", correlation_deviation(base, second))


def bit_balance(bits: Bits, n: int) -> Iterator[Finding]:
    """Each bit is set half the time; each flips half the time when any bit of an input flips."""
    keys = np.arange(n, dtype=U)
    words = bits(trial_seed(1, 0), keys, GAP_SITE, 0)
    root = math.sqrt(n)
    ones = [int(((words >> U(j)) & U(1)).sum()) for j in range(64)]
    yield Finding("balance of the worst bit", max(abs(2 * x - n) / root for x in ones))
    neighbours = words[1:] ^ words[:-1]
    flips = [int(((neighbours >> U(j)) & U(1)).sum()) for j in range(64)]
    worst = max(abs(2 * x - (n - 1)) / root for x in flips)
    yield Finding("flips of the worst bit, next request", worst)


def avalanche(bits: Bits, n: int) -> Iterator[Finding]:
    """Flipping one bit of the key, the seed, or the site flips half of the output bits."""
    m = max(2000, n // 64)
    keys = np.arange(m, dtype=U) * U(GOLDEN)
    seed = trial_seed(1, 0)
    base = bits(seed, keys, GAP_SITE, 0)
    changed = {
        "key": lambda j: bits(seed, keys ^ (U(1) << U(j)), GAP_SITE, 0),
        "seed": lambda j: bits(seed ^ (1 << j), keys, GAP_SITE, 0),
        "site": lambda j: bits(seed, keys, GAP_SITE ^ (1 << j), 0),
    }
    for name, change in changed.items():
        worst = 0.0
        for j in range(64):
            difference = base ^ change(j)
            flips = np.asarray([((difference >> U(b)) & U(1)).sum() for b in range(64)], float)
            worst = max(worst, float(np.abs(2 * flips - m).max()) / math.sqrt(m))
        yield Finding(f"avalanche, worst of 64 x 64 bits, {name}", worst)


def collisions(bits: Bits, n: int) -> Iterator[Finding]:
    """As many equal pairs among truncated draws, and among child keys, as chance has it."""
    m = min(n, 1 << 21)
    width = 2 * int(math.log2(m)) - 7  # some 60 pairs expected
    keys = np.arange(m, dtype=U)
    families = {
        "draws": bits(trial_seed(1, 0), keys, GAP_SITE, 0),
        "child keys": child_keys(keys, site_hash("a"), 0),
        "child keys of three tags": np.concatenate(
            [child_keys(keys[: m // 3], site_hash(tag), 0) for tag in "abc"]
        ),
        "grandchildren": child_keys(child_keys(keys, site_hash("a"), 0), site_hash("b"), 2),
    }
    for name, words in families.items():
        for half, cut in (("high", words >> U(64 - width)), ("low", words & U((1 << width) - 1))):
            expected = len(words) ** 2 / 2 / 2.0**width
            pairs = len(words) - len(np.unique(cut))
            # Anscombe's root of a Poisson count is about normal.
            deviation = 2 * (math.sqrt(pairs + 0.375) - math.sqrt(expected + 0.375))
            yield Finding(f"birthday, {half} {width} bits, {name}", deviation)
        repeats = len(words) - len(np.unique(words))
        yield Finding(f"equal words, {name}", math.inf if repeats else 0.0)


def battery(bits: Bits, n: int) -> list[Finding]:
    """Return the findings of every check on `n` draws each."""
    checks = (uniformity, correlations, bit_balance, avalanche, collisions)
    with np.errstate(over="ignore"):
        return [finding for check in checks for finding in check(bits, n)]
