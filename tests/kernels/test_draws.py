"""Keyed draws: the Python primitives equal their compiled twins, and what they give looks random.

Comparisons are with ``==``, also of floats. The statistics use fixed seeds, so they cannot fail by
chance tomorrow; `battery.draw_battery` says how far from chance is too far.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from battery.draw_battery import LIMIT, battery, child_keys, good_bits, ks_deviation, weak_bits
from numba import njit
from scipy import stats

from scalesim import distributions as dist
from scalesim.components import Service, sleep
from scalesim.engines.base import GAP_SITE
from scalesim.engines.compiled import kernel
from scalesim.engines.reference.model import as_objects
from scalesim.kernels import arrivals, draws, sampling
from scalesim.plan import tables
from scalesim.plan.emit import PlanEmitter
from scalesim.run import trial_seed
from scalesim.topology import Topology

MASK = draws.MASK
EXTREMES = (0, 1, 2, 255, 256, 2**11 - 1, 2**31, 2**53, 2**63 - 1, 2**63, MASK - 1, MASK)
SITE = draws.site_hash("test", "site")


def words(count: int, which: int = 0) -> np.ndarray:
    """Return `count` well-mixed words and, first, the extremes."""
    some = [draws.mix(i * draws.GOLDEN & MASK) for i in range(which * count, (which + 1) * count)]
    return np.asarray([*EXTREMES, *some], np.uint64)


@pytest.fixture(scope="module", autouse=True)
def _twins():
    """Let numba know the twins, as the kernel does."""
    kernel._wrapped()


def compiled(function, *columns):
    """Return ``[function(*row) for row in zip(*columns)]``, computed by compiled code."""
    names = [f"c{i}" for i in range(len(columns))]
    arguments = ", ".join(f"{name}[i]" for name in names)
    text = (
        f"def loop(out, {', '.join(names)}):\n"
        f"    for i in range(len(out)):\n"
        f"        out[i] = function({arguments})\n"
    )
    space = {"function": function}
    exec(text, space)
    kind = {"bucket": np.int64, "layer": np.int64, "hash_below": np.int64, "fraction": np.float64}
    out = np.empty(len(columns[0]), kind.get(function.__name__, np.uint64))
    njit(space["loop"], error_model="numpy")(out, *columns)
    return out.tolist()


def assert_twins_agree(function, *columns):
    expected = [function(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    assert compiled(function, *columns) == expected


# Primitives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [draws.mix, draws.rebits, draws.layer, draws.fraction])
def test_twin_of_one_word(function):
    assert_twins_agree(function, words(5000))


def test_twin_of_bits():
    a, b = words(3000), words(3000, 1)
    assert_twins_agree(draws.bits, a, b, np.arange(len(a)))
    edges = list(itertools.product(EXTREMES, EXTREMES))
    key, site = (np.asarray(column, np.uint64) for column in zip(*edges, strict=True))
    assert_twins_agree(draws.bits, key, site, np.arange(len(edges)) % 3)


def test_twin_of_root_key():
    seeds = words(3000)
    assert_twins_agree(draws.root_key, seeds, np.arange(len(seeds)))


def test_twin_of_child_key():
    key, tag = words(3000), words(3000, 1)
    tag[::4] = 0
    assert_twins_agree(draws.child_key, key, tag, np.arange(len(key)) % 5)


def test_first_untagged_child_keeps_the_key():
    assert draws.child_key(12345, 0, 0) == 12345
    assert len({draws.child_key(12345, 0, n) for n in range(1000)}) == 1000


def test_twin_of_hash_below():
    value = np.concatenate([np.arange(2000), [2**40, 2**62, 2**63 - 2]])
    for count in (1, 2, 3, 7, 100_000, 2**62):
        assert_twins_agree(draws.hash_below, value, np.full(len(value), count))


def test_twin_of_bucket():
    some = np.asarray([draws.fraction(int(word)) for word in words(3000)])
    powers = 2.0 ** np.arange(-1074, 1024, dtype=np.float64)
    edges = np.concatenate([powers, np.nextafter(powers, 0.0), np.nextafter(powers, np.inf)])
    extremes = [0.0, -0.0, -1.0, 5e-324, 1.7976931348623157e308]
    steps = np.outer(2.0 ** np.arange(-45, 45), 1 + np.arange(64) / 64).ravel()
    values = np.concatenate([some, some * 1e-9, some * 1e9, edges, extremes, steps])
    assert_twins_agree(draws.bucket, values)
    low = draws.BUCKETS_PER_OCTAVE * -draws.LOWEST_EXPONENT
    assert draws.bucket(1.0) == low
    assert draws.bucket(2.0) == low + draws.BUCKETS_PER_OCTAVE


# Samplers --------------------------------------------------------------------------------------

_NESTED = dist.Mixture(probabilities=(0.5, 0.5), parts=(dist.Exponential(1.0), dist.Uniform(2, 3)))
LAWS = {
    dist.Constant(0.0): None,
    dist.Constant(0.3): None,
    dist.Exponential(2.0): stats.expon(scale=2.0),
    dist.Uniform(0.5, 3.0): stats.uniform(0.5, 2.5),
    dist.LogNormal(2.0, cv=0.5): stats.lognorm(
        math.sqrt(math.log(1.25)), scale=2.0 / math.sqrt(1.25)
    ),
    dist.Erlang(2.0, phases=1): stats.expon(scale=2.0),
    dist.Erlang(2.0, phases=6): stats.gamma(6, scale=1 / 3),
    dist.HyperExponential(probabilities=(0.7, 0.3), means=(1.0, 5.0)): None,
    dist.Pareto(0.5, shape=6.0): stats.pareto(6.0, scale=0.5),
    dist.Pareto(0.5, shape=1.1): stats.pareto(1.1, scale=0.5),
    dist.Weibull(2.0, shape=0.7): stats.weibull_min(0.7, scale=2.0 / math.gamma(1 + 1 / 0.7)),
    dist.Weibull(2.0, shape=4.0): stats.weibull_min(4.0, scale=2.0 / math.gamma(1.25)),
    dist.Empirical((0.0, 1.0, 1.0, 4.0)): None,
    dist.Recorded((0.5, 0.0, 3.0)): None,
    dist.Shifted(2.0, dist.Exponential(0.5)): stats.expon(2.0, 0.5),
    dist.Mixture(
        probabilities=(0.6, 0.3, 0.1),
        parts=(dist.Constant(0.5), dist.Shifted(1.0, dist.Weibull(0.5, shape=2.0)), _NESTED),
    ): None,
}
SCALE = 3.0


@njit(error_model="numpy")
def compiled_samples(out, rows, values, edge, height, seed, numbers, site):
    for i in range(len(out)):
        key = draws.root_key(seed, numbers[i])
        which = len(rows) - 1
        out[i] = sampling.sample(rows, which, values, edge, height, key, site, np.int64(numbers[i]))


def table_of(law: dist.Distribution, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the sampler table whose last row is `law`, and its values, as in a plan."""
    emit = PlanEmitter(Topology(Service("any", endpoints={"get": [sleep(0.0)]}), entry="any"))
    emit.sampler(law, scale)
    return emit.table("sampler", tables.SAMPLER), np.asarray(emit.values, np.float64)


def samples(law: dist.Distribution, keys: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Return one draw for each key, by compiled code."""
    out = np.empty(len(keys))
    rows, values = table_of(law, scale)
    seed, site = np.uint64(trial_seed(1, 0)), np.uint64(SITE)
    compiled_samples(out, rows, values, *sampling.ziggurat_tables(), seed, keys, site)
    return out


@pytest.fixture(scope="module", autouse=True)
def _compilable(_twins):
    """Give numba the plain functions that the samplers call."""
    assert sampling.sample in kernel._helpers()


def test_every_distribution_has_its_samples_checked():
    assert {type(law) for law in LAWS} == set(dist.Distribution.family.members.values())


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_twin_of_sampler(law):
    keys = words(4000) >> np.uint64(1)
    rows, values = table_of(law, SCALE)
    edge, height = (table.tolist() for table in sampling.ziggurat_tables())
    table, seed = as_objects(rows), trial_seed(1, 0)
    tables = (table, len(table) - 1, values.tolist(), edge, height)
    expected = [
        sampling.sample(*tables, draws.root_key(seed, key), SITE, key) for key in keys.tolist()
    ]
    assert samples(law, keys, SCALE).tolist() == expected


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_moments_and_law_of_sampler(law):
    n = 400_000
    x = samples(law, np.arange(n, dtype=np.uint64))
    assert x.min() >= 0.0
    if law.scv == 0.0:
        assert (x == law.mean).all()
        return
    if math.isfinite(law.scv):
        spread = math.sqrt(law.scv) * law.mean
        assert abs(x.mean() - law.mean) < LIMIT * spread / math.sqrt(n)
        # Fourth moments from the sample: the standard error of the variance.
        error = math.sqrt(((x - x.mean()) ** 4).mean() / n)
        assert abs(x.var() - spread**2) < LIMIT * error
    law_of = LAWS[law]
    if law_of is not None:
        assert ks_deviation(x, law_of.cdf) < LIMIT
        for p in (1e-4, 0.01, 0.5, 0.99, 0.9999):  # tails, which KS sees badly
            hits = (x <= law_of.ppf(p)).sum()
            assert abs(hits - n * p) < LIMIT * math.sqrt(n * p * (1 - p))


def test_scale_multiplies_exactly_what_is_drawn():
    """Two rates of one exponential meet the same luck."""
    keys = np.arange(1000, dtype=np.uint64)
    one = samples(dist.Exponential(1.0), keys)
    assert (samples(dist.Exponential(1.0), keys, 4.0) == 4.0 * one).all()
    assert (samples(dist.Exponential(0.25), keys) == 0.25 * one).all()


def test_twin_of_ziggurat():
    """The raw word decides; the extremes are in."""

    @njit(error_model="numpy")
    def loop(out, edge, height, word):
        for i in range(len(out)):
            out[i] = sampling.standard_exponential(edge, height, word[i])

    edge, height = sampling.ziggurat_tables()
    word = words(20_000)
    out = np.empty(len(word))
    loop(out, edge, height, word)
    lists = edge.tolist(), height.tolist()
    assert out.tolist() == [sampling.standard_exponential(*lists, each) for each in word.tolist()]
    assert (out >= 0.0).all()
    assert out.max() > edge[1]  # the tail beyond the last layer is reached


def test_ziggurat_layers_have_equal_areas():
    x, y = sampling.ziggurat_tables()
    areas = x[1:-1] * np.diff(y[1:])
    assert np.allclose(areas, areas[0], rtol=1e-9)
    assert math.isclose(x[1] * y[1] + math.exp(-x[1]), areas[0], rel_tol=1e-9)


def test_normal_quantile():
    p = np.concatenate([np.logspace(-300, -1, 300), np.linspace(0.1, 0.9, 300)])
    ours = np.asarray([sampling.normal_quantile(each) for each in p.tolist()])
    assert np.allclose(ours, stats.norm.ppf(p), rtol=1e-13, atol=1e-15)
    top = 1.0 - 2.0**-53
    assert math.isclose(sampling.normal_quantile(top), stats.norm.isf(2.0**-53), rel_tol=1e-13)


def test_guided_index_is_the_smallest_that_fits():
    weights = 1.0 / np.arange(1, 300) ** 1.3
    cumulated = np.cumsum(weights) / weights.sum()
    cumulated[-1] = 1.0
    count = len(cumulated)
    guide = np.searchsorted(cumulated, np.arange(count) / count, side="right")
    u = np.concatenate([[draws.fraction(int(w)) for w in words(3000)], cumulated[:-1]])
    expected = np.searchsorted(cumulated, u, side="right")
    got = [sampling.guided_index(cumulated, guide, 0, count, each) for each in u.tolist()]
    assert got == expected.tolist()


def test_gaps_through_a_profile_cost_the_work_drawn():
    """From one arrival to the next the rate integrates to the exponential drawn."""
    segment = np.asarray([(0.5, 0.01), (1.0, np.inf), (1.5, 0.002)], tables.SEGMENT)
    source = as_objects(np.zeros(1, tables.SOURCE))
    source[0].repeat, source[0].period = 1, 1.5
    rows = as_objects(segment)

    def integral(t):
        whole, rest = divmod(t, 1.5)
        return whole * 300.0 + min(rest, 0.5) * 100.0 + max(rest - 1.0, 0.0) * 500.0

    now = 0.0
    for number in range(2000):
        work = -math.log(1.0 - draws.u01(draws.root_key(1, number), SITE, 0))
        then = now + arrivals.next_gap(source, rows, now, work, number)
        assert math.isclose(integral(then) - integral(now), work, rel_tol=1e-6, abs_tol=1e-9)
        now = then


# The battery -------------------------------------------------------------------------------------


def test_battery_computes_what_the_primitives_do():
    with np.errstate(over="ignore"):
        for seed in (0, 1, MASK):
            for k in (0, 3):
                keys = words(300)
                ours = [draws.bits(draws.root_key(seed, n), GAP_SITE, k) for n in keys.tolist()]
                assert good_bits(seed, keys, GAP_SITE, k).tolist() == ours
        mine = [draws.child_key(key, SITE, 2) for key in keys.tolist()]
        assert child_keys(keys, SITE, 2).tolist() == mine


def test_draws_pass_the_battery():
    assert [finding for finding in battery(good_bits, 1 << 18) if not finding.ok] == []


def test_battery_condemns_a_mixer_without_multiplication():
    failed = {finding.name for finding in battery(weak_bits, 1 << 15) if not finding.ok}
    for name in ("chi2, one draw", "serial, lag 1", "avalanche", "birthday", "seeds 1 and 2"):
        assert any(each.startswith(name) for each in failed), name


def test_trial_seeds_are_all_different():
    seeds = {trial_seed(seed, trial) for seed in range(300) for trial in range(300)}
    assert len(seeds) == 90_000
