"""The checks of the arguments of `simulate`: all problems are reported together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scalesim.errors import InvalidInput, Problem, nearest
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic

__all__ = ["ENGINES", "check_arguments"]

ENGINES = ("compiled", "reference", "analytic")
_LONGEST = 8e9
_DURATION = (
    f"a time above 0 s and at most {_LONGEST:,.0f} s (250 years), until which the simulation's "
    "clock tells apart what is 1 µs apart"
)
_RANGES = {
    "trials": (1, 10_000),
    "seed": (0, 2**63),
    "record_requests": (0, 10**8),
    "record_keys": (0, 10**8),
    "max_trials": (1, 10_000),
}


def check_arguments(
    topology: object,
    traffic: object,
    duration: object,
    warmup: object,
    engine: object,
    precision: object,
    whole_numbers: Mapping[str, object],
) -> None:
    """Raise `InvalidInput` with every argument that can't be used."""
    problems = list(_argument_problems(topology, traffic, duration, warmup))
    for name, value in whole_numbers.items():
        low, high = _RANGES[name]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not low <= value <= high:  # type: ignore[operator]
            problems.append(
                Problem(name, f"got {value!r}, allowed is a whole number from {low} to {high}")
            )
    if engine not in ENGINES:
        hint = nearest(engine, ENGINES)
        problems.append(Problem("engine", f"got {engine!r}. {hint}Known: {', '.join(ENGINES)}"))
    if precision is not None and not (isinstance(precision, (int, float)) and 0 < precision < 1):
        problems.append(Problem("precision", f"got {precision!r}, allowed is above 0 and below 1"))
    if problems:
        raise InvalidInput(problems)


def _argument_problems(
    topology: object, traffic: object, duration: object, warmup: object
) -> Iterator[Problem]:
    if not isinstance(topology, Topology):
        yield Problem("topology", f"got {type(topology).__name__}, allowed is a Topology")
    if not isinstance(traffic, AnyTraffic):
        yield Problem("traffic", f"got {type(traffic).__name__}, allowed is a Traffic")
    if not isinstance(duration, (int, float)) or not 0 < duration <= _LONGEST:
        yield Problem("duration", f"got {_seconds(duration)}, allowed is {_DURATION}")
    elif not isinstance(warmup, (int, float)) or not 0 <= warmup < duration:
        yield Problem(
            "warmup",
            f"got {_seconds(warmup)}, allowed is at least 0 s and less than the duration, "
            f'{duration:g} s, or "auto"',
        )


def _seconds(value: object) -> str:
    """Return a time for a message, with its unit."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:g} s" if number else repr(value)
