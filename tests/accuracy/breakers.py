"""Circuit breakers: a caller that stops calling, and the callee of a trace that fails for a while.

No component fails by the clock. But a recorded call is known to start when it arrives, so that its
key can say whether it fails: a warm cache holds the key of those that do not, and what cannot be
looked up fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accuracy.stations import MANY, Place, make
from accuracy.words import Unsupported, Words

import scalesim as ss
from scalesim import components

if TYPE_CHECKING:
    from accuracy.system import Script, System

__all__ = ["callee", "guarded", "keys_of_failures"]

WORKS, FAILS = 0, 1
"""Keys of requests; a warm cache of one item holds the first."""


def keys_of_failures(words: Words, at: tuple[float, ...]) -> tuple[int, ...] | None:
    """Return the key of each call that starts at `at` [s], None if the callee never fails."""
    times = words.take("fails_when_started_in_s", None)
    if times is None:
        return None
    if not isinstance(times, list) or len(times) != 2 or not times[0] < times[1]:
        raise words.unsupported("fails_when_started_in_s")
    first, end = times
    return tuple(FAILS if first <= each < end else WORKS for each in at)


def callee(words: Words, system: System) -> Script:
    """Translate what is called: it has a worker for everyone."""
    service = words.take("service_s")
    steps: list[Any] = [ss.sleep(service)]
    if keys_of_failures(words, ()) is not None:
        failure = [ss.sleep(words.take("failure_takes_s", service)), components.fail(1.0)]
        system.add(make(ss.Cache, "state", capacity=1, start="warm"))
        steps.insert(0, components.cached("state", failure))
    endpoints = dict.fromkeys(system.each_class(), steps)
    system.add(make(ss.Service, "callee", workers=MANY, endpoints=endpoints))
    system.places["callee"] = Place(("callee",))
    return system.call("callee")


def guarded(model: Words, system: System, script: Script) -> Script:
    """Put a circuit breaker in front of `script`."""
    words = model.inner("circuit_breaker")
    if "client" in model:
        raise Unsupported("circuit_breaker with client: whose attempts it counts")
    c = system.only_class("circuit_breaker")
    trials = words.take("half_open_probes")
    if words.take("close_after_successes", trials) != trials:
        raise words.unsupported("close_after_successes")
    breaker = components.CircuitBreaker(
        consecutive_failures=words.take("consecutive_failures"),
        open_time=float(words.take("open_time_s")),
        trial_calls=trials,
    )
    return {c: (ss.call(f"{system.target(script, 'guarded')}.{c}", breaker=breaker),)}
