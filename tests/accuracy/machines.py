"""Machines that fail and are repaired: so many of them are needed. A second stands for an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accuracy.stations import MANY, Place, make
from accuracy.words import Unsupported, Words, distribution

import scalesim as ss
from scalesim import components

if TYPE_CHECKING:
    from accuracy.system import Script, System

__all__ = ["RATE", "machines"]

RATE = 0.01
"""Requests an hour, to have some."""


def machines(model: Words, system: System) -> Script:
    """Translate one group of machines, or tiers of them that are all needed."""
    if not hasattr(components, "Failures"):
        raise Unsupported("failures")
    calls: list[Any] = []
    for words in model.each("tiers") if "tiers" in model else [model]:
        name = words.take("name", "machines")
        count, needed = words.take("machines"), words.take("needed_up")
        if "time_to_failure_h" in words:
            always = words.take("fails_when_idle")
            laws = [_hours(words.inner(f"{each}_h")) for each in ("time_to_failure", "repair_time")]
        else:
            always = True
            laws = [ss.Exponential(words.take(each)) for each in ("mean_up_h", "mean_repair_h")]
            up = laws[0].mean / (laws[0].mean + laws[1].mean)
            if abs(words.take("machine_availability", up) - up) > 1e-9:
                raise words.unsupported("machine_availability")
        failures = components.Failures(
            time_to_failure=laws[0], repair_time=laws[1], of="instance",
            crews=words.take("repair_crew", None), when="always" if always else "busy",
        )  # fmt: skip
        endpoints = {c: [ss.compute(1e-6)] for c in system.each_class()}
        system.add(make(ss.Service, name, instances=count, workers=MANY, cpu_discipline="fifo",
                        endpoints=endpoints, failures=failures))  # fmt: skip
        system.places[name] = Place((name,), "cpu", "cpu", slots=1)
        system.needed[name] = needed
        calls.append(name)
    return {c: tuple(ss.call(f"{name}.{c}") for name in calls) for c in system.each_class()}


def _hours(words: Words) -> Any:
    mean = words.take("mean_h")
    rest = {word: words.take(word) for word in words.mapping if word != "mean_h"}
    told = Words({**rest, "mean_s": mean}, words.path)
    law = distribution(told)
    told.finish()
    return law
