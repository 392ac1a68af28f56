"""Studies: metrics that are no figure of one model, but the answer of several runs of variants.

When does an objective break, how many slots hold it, what does it cost, where does a slowdown cost
more than another request brings: each row of `STUDIES` has the words that a model needs for it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
from accuracy.experiment import simulate
from accuracy.hashing import HASHING
from accuracy.judge import Estimated, Expected, Verdict, judge
from accuracy.measure import parse, share
from accuracy.question import Question, question
from accuracy.rings import RINGS
from accuracy.seen import Seen
from accuracy.suite import Effort, Reading
from accuracy.table import measure_of
from accuracy.words import Unsupported, Words, understanding
from scipy import stats

import scalesim as ss
from scalesim.engines.analytic import capacity
from scalesim.results.latency import bucket_edges
from scalesim.studies.answer import Break
from scalesim.studies.bracketing import RATIO
from scalesim.studies.cost import monthly_cost
from scalesim.traffic import Growth

__all__ = ["study_of", "without_studies"]

Study = Callable[[Effort], Reading]

SEEDS = 16
"""Independent searches for a breaking rate, at most; no more than an effort has trials."""

REQUESTS, FEWEST = 100_000, 20_000
"""Of one simulation of a search, at effort 1 and at least."""

SURE = 1000
"""How often, of comparisons with a limit, one may be wrong: a hundredth in so many."""


def study_of(name: str, model: dict[str, Any]) -> Study | None:
    """Return what answers a metric by several runs; None if one run does."""
    for pattern, (words, function) in STUDIES.items():
        found = re.fullmatch(pattern, name)
        if found and all(word in model for word in words):
            return partial(_run, name, function, model, found.groups())
    return None


def _run(
    name: str, function: Callable[..., Reading], model: dict[str, Any], groups: tuple[str, ...],
    effort: Effort,
) -> Reading:  # fmt: skip
    if effort.engine == "analytic":
        raise Unsupported(f"analytic: {name}")
    return function(model, effort, *groups)


def without_studies(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model without the words that only studies read; these have to be understood."""
    if "objective" in model:
        _promise(model)
    if "growth" in model:
        _growth(model)
    return {word: value for word, value in model.items() if word not in ("objective", "growth")}


# Objectives and growth --------------------------------------------------------------------------


@understanding()
def _promise(model: dict[str, Any]) -> tuple[str, float]:
    """Return an objective's metric and its limit."""
    words = Words(model).inner("objective")
    promise = words.take("metric"), float(words.take("limit"))
    words.finish()
    return promise


@understanding()
def _growth(model: dict[str, Any]) -> Growth:
    words = Words(model).inner("growth")
    words.expect(kind="compound")
    law = ss.Compound(words.take("ratio_per_month"))
    words.finish()
    return law


def _plain(model: dict[str, Any]) -> Question:
    return question("", without_studies(model))


@understanding()
def _changed(model: dict[str, Any], rate: float | None = None, slots: int = 0) -> dict[str, Any]:
    """Return a model at another rate, or with another number of slots at its only station."""
    other = copy.deepcopy(model)
    if rate is not None:
        if model.get("arrival", {}).get("kind") != "poisson":
            raise Unsupported("growth of arrivals that are not poisson")
        other["arrival"]["rate_per_s"] = rate
    if slots:
        if len(model.get("stations", ())) != 1:
            raise Unsupported("slots_needed where there is not one station")
        (station,) = other["stations"]
        if not isinstance(station.get("servers"), int):
            raise Unsupported("slots_needed of a station without servers")
        station["servers"] = slots
    return other


@lru_cache(maxsize=4)
def _first_break(text: str, effort: Effort) -> Break:
    """Return what a forecast of the model says breaks first."""
    model = json.loads(text)
    metric, limit = _promise(model)
    found = re.fullmatch(r"(?:response_time|latency)_p([\d_]+)_s", metric)
    if not found:
        raise Unsupported(f"growth until objective.metric={metric!r} breaks")
    if effort.engine != "compiled":
        raise Unsupported(f"a forecast with the {effort.engine} engine")
    asked = _plain(model)
    # Without a horizon there is no fix to look for.
    forecast = ss.forecast(
        asked.topology, asked.traffic, growth=_growth(model), months=1, trials=_seeds(effort),
        objective=ss.Objective(latency=limit, quantile=share(found[1])), progress=False,
        requests=max(int(REQUESTS * effort.scale), FEWEST), seed=effort.seed,
    )  # fmt: skip
    if forecast.first_break is None or forecast.first_break.month is None:
        raise Unsupported("growth that breaks nothing")
    return forecast.first_break


def _break(model: dict[str, Any], effort: Effort) -> tuple[Break, float]:
    """Return what breaks first, and the relative standard error of the rate."""
    found = _first_break(json.dumps(model), effort)
    half = (found.rate_high - found.rate_low) / 2 / found.rate - (RATIO - 1) / 2  # of 95 %
    return found, half / float(stats.t.ppf(0.975, _seeds(effort) - 1))


def _seeds(effort: Effort) -> int:
    return min(SEEDS, effort.trials)


def _breaking_rate(model: dict[str, Any], effort: Effort) -> Reading:
    found, error = _break(model, effort)
    return Reading([Estimated(found.rate, error * found.rate, _seeds(effort))], (RATIO - 1) / 2)


def _utilization_at_breaking_rate(model: dict[str, Any], effort: Effort) -> Reading:
    """Read the utilization at the breaking rate, as sure as that rate."""
    found, error = _break(model, effort)
    asked = _plain(_changed(model, rate=found.rate))
    used = [Seen(each.results, asked.place).utilization for each in simulate(asked, effort, False)]
    mean = sum(used) / len(used)
    own = float(np.std(used, ddof=1)) / math.sqrt(len(used))
    error = math.hypot(error * mean, own)
    return Reading([Estimated(mean, error, _seeds(effort))], (RATIO - 1) / 2)


def _breaking_month(model: dict[str, Any], effort: Effort) -> Reading:
    found, _ = _break(model, effort)
    if found.month_low == found.month_high:
        return Reading([found.month])
    return Reading([_unsure(found.month, effort)])


def _unsure(value: int | None, effort: Effort) -> Estimated:
    """Return a whole number that might be the next one."""
    return Estimated(value or 0, 0.2, _seeds(effort))


def _month(model: dict[str, Any], effort: Effort) -> int:
    return _break(model, effort)[0].month or 0


def _saturation_month(model: dict[str, Any], effort: Effort) -> Reading:
    """Return the first month in which more is offered than can be served."""
    asked = _plain(model)
    most, today = capacity(asked.topology, asked.traffic), asked.traffic.mean_rate
    return Reading([math.ceil(_growth(model).month_of(most / today) - 1e-9)])


def _month_before(model: dict[str, Any], effort: Effort, metric: str) -> Reading:
    """Read a metric in the last month in which the objective holds."""
    month = _month(model, effort) - 1
    if month < 0:
        raise Unsupported("the month before, of an objective that is broken today")
    rate = model["arrival"]["rate_per_s"] * _growth(model).factor(month)
    asked = _plain(_changed(model, rate=rate))
    measure = measure_of(parse(metric), asked)
    values = [measure.read(each) for each in simulate(asked, _long(asked, effort), measure.records)]
    return Reading(values, measure.resolution)


def _slots_for_months(model: dict[str, Any], effort: Effort, months: str) -> Reading:
    """Return how many slots hold the objective so many months after it breaks."""
    month = _month(model, effort) + int(months)
    rate = model["arrival"]["rate_per_s"] * _growth(model).factor(month)
    return _slots_needed(_changed(model, rate=rate), effort)


def _long(asked: Question, effort: Effort) -> Effort:
    """Return the effort with trials long enough for a line near its limit to have settled."""
    requests = max(int(10 * REQUESTS * effort.scale), FEWEST)
    return dataclasses.replace(effort, scale=requests / asked.requests)


def _slots_needed(model: dict[str, Any], effort: Effort) -> Reading:
    """Return the fewest slots with which the objective holds."""
    metric, limit = _promise(model)
    asked = _plain(_changed(model, slots=1))
    load = math.floor(asked.traffic.mean_rate / capacity(asked.topology, asked.traffic))
    some = _long(asked, effort)

    @cache
    def misses(slots: int) -> Verdict:
        variant = _plain(_changed(model, slots=slots))
        measure = measure_of(parse(metric), variant)
        values = [measure.read(each) for each in simulate(variant, some, measure.records)]
        return judge(Expected(limit), values, SURE, measure.resolution)[0]

    few, many = load, load + 1  # `few` cannot serve all
    while misses(many).got > limit:
        few, many = many, many + (many - load)
        if many > 4 * load + 64:
            raise Unsupported(f"{metric} below {limit} with any number of slots")
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if misses(middle).got > limit else (few, middle)
    close = [misses(each) for each in (few, many) if each > load]
    unsure = any(abs(each.got - limit) <= each.half for each in close)
    return Reading([_unsure(many, effort) if unsure else many])


def _service_level(model: dict[str, Any], effort: Effort) -> Reading:
    """Read the share of requests whose wait, or time, is within the objective's limit."""
    metric, limit = _promise(model)
    asked = _plain(model)

    def within(counts: Any, zeros: int) -> float:
        edges = bucket_edges()
        last = int(edges.searchsorted(limit)) - 1
        part = (limit - edges[last]) / (edges[last + 1] - edges[last])
        below = counts[:last].sum() + part * counts[last] + zeros
        return float(below / (counts.sum() + zeros))

    trials = simulate(asked, effort, False)
    if metric.startswith("wait_time_p"):
        return Reading([within(*Seen(each.results, asked.place).waits()) for each in trials])
    if metric.startswith(("response_time_p", "latency_p")):
        return Reading([within(each.results.latency.histogram, 0) for each in trials])
    raise Unsupported(f"service level of objective.metric={metric!r}")


# Slowdown ---------------------------------------------------------------------------------------


@understanding()
def _users_about_the_peak(model: dict[str, Any]) -> tuple[int, int, int]:
    """Return one user, and about half and twice as many as the peak of throughput has."""
    if len(model.get("stations", ())) != 1 or "slowdown" not in model["stations"][0]:
        raise Unsupported("the peak of throughput without the slowdown of one station")
    slowdown = model["stations"][0]["slowdown"]
    if not slowdown.get("coherency") or model["stations"][0].get("servers") != "infinite":
        raise Unsupported("the peak of throughput without coherency, or with few servers")
    rough = math.sqrt((1 - slowdown["contention"]) / slowdown["coherency"])
    return (1, max(round(rough / 2), 2), max(round(rough * 2), 4))


@lru_cache(maxsize=4)
def _peaks(text: str, effort: Effort) -> tuple[tuple[float, float], ...]:
    """Return for each trial where throughput peaks: (users, requests/s).

    Users who do not think keep n requests in service. Throughput X(n) is measured with one user,
    and about half and twice the peak; n X(1) / X(n) = 1 + a (n - 1) + b n (n - 1) then gives a and
    b (Gunther 1993), and the peak at sqrt((1 - a) / b), no whole number.
    """
    model = json.loads(text)
    users = _users_about_the_peak(model)
    measured = []
    for count in users:
        other = copy.deepcopy(model)
        other["clients"] = {
            "kind": "closed", "users": count,
            "think_time": {"kind": "deterministic", "mean_s": 0},
        }  # fmt: skip
        measured.append(
            [each.results.throughput for each in simulate(_plain(other), effort, False)]
        )
    peaks = []
    for first, *others in zip(*measured, strict=True):
        (n, m), (u, v) = users[1:], (
            (k * first / x - 1) / (k - 1) for k, x in zip(users[1:], others, strict=True)
        )  # fmt: skip
        b = (v - u) / (m - n)
        a = u - b * n
        peak = math.sqrt((1 - a) / b)
        peaks.append((peak, peak * first / (1 + a * (peak - 1) + b * peak * (peak - 1))))
    return tuple(peaks)


def _peak(place: int) -> Callable[..., Reading]:
    def read(model: dict[str, Any], effort: Effort) -> Reading:
        return Reading([each[place] for each in _peaks(json.dumps(model), effort)])

    return read


# Cost -------------------------------------------------------------------------------------------


def _cost(model: dict[str, Any], effort: Effort, per: str, name: str | None) -> Reading:
    """Return what fixed instances cost a month, or a million requests."""
    words, parts = Words(model), []
    words.expect(hours_per_month=730)
    for each in words.each("components"):
        if each.take("storage_gb_each", 0):
            raise each.unsupported("storage_gb_each")
        each.take("storage_usd_per_gb_month", 0)
        parts.append(
            ss.Service(each.take("name"), instances=each.take("instances"),
                       cost_per_hour=float(each.take("price_usd_per_hour")),
                       endpoints={"serve": [ss.sleep(0.0)]})
        )  # fmt: skip
    rate = float(words.take("average_rate_per_s", 1.0))
    words.finish()
    entry = ss.Service("entry", endpoints={"serve": [ss.call(f"{p.name}.serve") for p in parts]})
    topology = ss.Topology(entry, *parts, entry="entry")
    cost = monthly_cost(topology, requests_per_month=rate * 730 * 3600)
    if per == "million_requests":
        return Reading([cost.usd_per_million_requests])
    if name is None:
        return Reading([cost.total_usd_per_month])
    known = {each.component: each.usd_per_month for each in cost.components}
    if name not in known:
        raise Unsupported(f"metric cost of {name}, which is no component")
    return Reading([known[name]])


STUDIES: dict[str, tuple[tuple[str, ...], Callable[..., Reading]]] = {
    r"breaking_month": (("growth", "objective"), _breaking_month),
    r"breaking_rate_rps": (("growth", "objective"), _breaking_rate),
    r"utilization_at_breaking_rate": (("growth", "objective"), _utilization_at_breaking_rate),
    r"saturation_month": (("growth",), _saturation_month),
    r"(\w+)_month_before": (("growth", "objective"), _month_before),
    r"slots_needed_for_(\d+)_months_from_breaking": (("growth", "objective"), _slots_for_months),
    r"slots_needed": (("objective",), _slots_needed),
    r"service_level_within_target": (("objective",), _service_level),
    r"concurrency_of_peak_throughput": (("clients", "stations"), _peak(0)),
    r"throughput_rps_peak": (("clients", "stations"), _peak(1)),
    r"cost_usd_per_(month|million_requests)(?:@(\w+))?": (("components",), _cost),
    **HASHING,
    **RINGS,
}
"""Metric -> the words that a model needs for it, and what answers it."""
