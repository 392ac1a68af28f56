"""Questions: a case's model turned into topology, traffic and a way to run them.

A model is one question, unless a word holds a list of alternatives (two balancing policies): then
it is one for each. Some metrics ask what would be if the model were another (`CHANGES`).
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from accuracy.arrivals import Arrivals, read_arrivals
from accuracy.stations import Class, Place
from accuracy.system import System, read_system
from accuracy.words import Unsupported, Words, understanding

import scalesim as ss

__all__ = ["Question", "changed", "in_milliseconds", "question", "variants"]


@dataclass(frozen=True)
class Question:
    """One model, ready to run.

    Parameters
    ----------
    variant : which alternative this is; "" if the model has none
    topology, system, arrivals : what to simulate, and where its parts are
    mode : {"steady", "once", "finite", "episodes", "periods"}
        A steady state; all requests of a recording; many short runs; many starts from empty,
        observed at given times; a periodic rate, observed at given phases.
    requests, warmup_requests, trials : suggested effort
    warmup, duration : float [s], of runs that have a given end
    observe : times or phases [s], after `skipped` periods
    keys : how many keys to count apart
    model : mapping
        What the question was made from.
    """

    variant: str
    topology: ss.Topology
    system: System
    arrivals: Arrivals
    mode: str = "steady"
    requests: int = 1_000_000
    warmup_requests: int = 0
    trials: int = 0
    warmup: float = 0.0
    duration: float = math.nan
    observe: Sequence[float] = ()
    skipped: int = 0
    keys: int = 0
    model: dict[str, Any] = field(default_factory=dict)

    @property
    def traffic(self) -> Any:
        return self.arrivals.traffic

    @property
    def classes(self) -> Sequence[Class]:
        return self.arrivals.classes

    @property
    def places(self) -> dict[str, Place]:
        return self.system.places

    @property
    def place(self) -> Place:
        """The only station that requests visit, if there is one."""
        helpers = ("entrance", "origin_path", "branches", "slot")
        own = {n: p for n, p in self.places.items() if n not in helpers and "[" not in n}
        if "slot" in self.places:
            return self.places["slot"]
        if len(own) == 1:
            return next(iter(own.values()))
        if "branches" in self.places:
            return self.places["branches"]
        raise Unsupported("a metric without @station where there are several")


# Alternatives, and what would be if -------------------------------------------------------------

ALTERNATIVES = {
    "balancer": ("policy",),
    "cache": ("eviction", "ttl_renewed_by_hit"),
    "message_queue": ("prefetch",),
}
"""Words that may hold a list of alternatives, beside the discipline of the only station."""

LABELS = {False: "ttl", True: "time_to_idle"}


def variants(model: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (label, model) for each alternative of a word that holds a list of them."""
    spots = [([word], name) for word, names in ALTERNATIVES.items() for name in names]
    stations = model.get("stations")
    if isinstance(stations, list):
        spots += [(["stations", i], "discipline") for i in range(len(stations))]
    for path, name in spots:
        alternatives = _at(model, path).get(name)
        if isinstance(alternatives, list):
            for value in alternatives:
                one = copy.deepcopy(model)
                _at(one, path)[name] = value
                label = LABELS[value] if isinstance(value, bool) else str(value)
                yield f"prefetch_{value}" if name == "prefetch" else label, one
            return
    yield "", model


def _at(model: dict[str, Any], path: list[Any]) -> dict[str, Any]:
    spot: Any = model
    for each in path:
        spot = spot.get(each, {}) if isinstance(spot, dict) else spot[each]
    return spot if isinstance(spot, dict) else {}


@understanding()
def changed(name: str, model: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the metric and the model that a metric's name asks about."""
    for pattern, change in CHANGES.items():
        found = re.fullmatch(pattern, name)
        if found:
            other = copy.deepcopy(model)
            change(other, *found.groups()[1:])
            return found[1], other
    return name, model


def _one_slot_less(model: dict[str, Any]) -> None:
    model["stations"][0]["servers"] -= 1


def _share_pool(model: dict[str, Any]) -> None:
    first, *rest = model["stations"]
    del model["variant"]
    first["servers"] += sum(each["servers"] for each in rest)
    model["stations"] = [first]


def _coalesce(model: dict[str, Any]) -> None:
    model["cache"]["coalesce_misses"] = True


def _fewer_keys(model: dict[str, Any], count: str) -> None:
    model["keys"]["repeat"] = model["keys"]["repeat"][: int(count)]
    model["run"] |= {"warmup_requests": int(count)}


CHANGES: dict[str, Callable[..., None]] = {
    r"(.*)_with_one_slot_less": _one_slot_less,
    r"(.*)_shared_pool": _share_pool,
    r"(.*)_with_coalescing": _coalesce,
    r"(hit_ratio)_with_(\d+)_keys_after_first_round": _fewer_keys,
    r"(hit_ratio)_any_demand_policy": lambda model: None,
}
"""Metric -> what it changes in the model before the metric in its first group is read."""


def in_milliseconds(model: Any) -> Any:
    """Return a model, all of whose times are seconds, told in milliseconds.

    A thousandth of a second is no binary fraction, but a whole number of milliseconds is:
    instants that are the same on paper are then the same in the machine.
    """
    if isinstance(model, list):
        return [in_milliseconds(each) for each in model]
    if not isinstance(model, dict):
        return model
    return {word: _scaled(word, in_milliseconds(value)) for word, value in model.items()}


def _scaled(word: str, value: Any) -> Any:
    power = -1 if word.endswith("_per_s") else 1 if word.endswith("_s") else 0
    if isinstance(value, list) and power:
        return [_scaled(word, each) for each in value]
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return round(value * 1000.0**power, 9) if power and numeric else value


# One model --------------------------------------------------------------------------------------


@understanding()
def question(
    label: str, model: dict[str, Any], spans: frozenset[str] = frozenset(), apart: bool = False,
    levels: bool = False,
) -> Question:  # fmt: skip
    """Translate a model; raise `Unsupported` naming what cannot be expressed."""
    words = Words(model)
    effort = words.inner("run") if "run" in words else Words({})
    arrivals = read_arrivals(words, effort.take("requests", 1_000_000), apart)
    system = read_system(words, arrivals.classes, spans, levels)
    words.expect(rules=RULES)
    if "initial" in words:
        words.inner("initial").expect(in_flight=0)
    run = _how_to_run(words, effort, arrivals)
    words.finish()
    topology = ss.Topology(*system.components.values(), entry=system.entry)
    return Question(label, topology, system, arrivals, model=model, **run)


def _how_to_run(words: Words, effort: Words, arrivals: Arrivals) -> dict[str, Any]:
    run = {
        "requests": effort.mapping.get("requests", 1_000_000),
        "warmup_requests": effort.take("warmup_requests", 0),
        "trials": effort.take("trials", 0),
    }
    if "duration_h" in effort:
        if math.isnan(arrivals.rate):
            raise effort.unsupported("duration_h")
        return {**run, "requests": int(effort.take("duration_h") * arrivals.rate)}
    duration, warmup = effort.take("duration_s", None), effort.take("warmup_s", 0.0)
    if "window" in words:
        window = words.inner("window")
        window.expect(rule="[warmup, duration)")
        return {**run, "mode": "once", "warmup": window.take("warmup_s"),
                "duration": window.take("duration_s")}  # fmt: skip
    if "observe_at_s" in words:
        observe = words.take("observe_at_s")
        return {**run, "mode": "episodes", "observe": observe, "duration": float(max(observe))}
    if "observe_at_phase_s" in words:
        return {**run, "mode": "periods", "observe": words.take("observe_at_phase_s"),
                "skipped": words.take("periods_before_observing")}  # fmt: skip
    if arrivals.once:
        return {
            **run,
            "mode": "once",
            "duration": arrivals.duration,
            "warmup": arrivals.warmup(run),
        }
    if duration is not None:
        return {**run, "mode": "finite", "duration": duration, "warmup": warmup}
    return run


RULES = (
    "priority 0 first; ties by arrival; sjf and srpt know the sizes; ps: cores shared equally, "
    "each request at most one core"
)
