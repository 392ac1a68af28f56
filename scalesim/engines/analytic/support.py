"""What the analytic engine covers, field by field; everything else is refused by name.

A field that is not listed here and differs from its default is refused: a feature that this engine
has not been taught can never get a wrong answer silently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from scalesim.components import Service
from scalesim.distributions import Distribution, Exponential
from scalesim.errors import Problem
from scalesim.fields import Description, params
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, Traffic

__all__ = ["refusals"]

ANY = None
"""All values of the field are covered."""

_MACHINE = {"name": ANY, "machine": ANY, "cost_per_hour": ANY}
_COVERED: dict[str, dict[str, Any]] = {
    "Service": {
        **_MACHINE,
        "endpoints": ANY,
        "instances": ANY,
        "workers": ANY,
        "backlog": ANY,
        "backlog_order": ANY,
        "queue_timeout": ANY,
        "failures": ANY,
        "cores": ANY,
        "cpu_discipline": ("ps", "fifo", "priority", "priority_preemptive", "lcfs_preemptive"),
        "contention": ANY,
        "coherency": ANY,
        "network_in": ANY,
        "network_out": ANY,
        "balancing": ANY,
    },
    "Endpoint": {"steps": ANY, "request_bytes": ANY, "response_bytes": ANY, "priority": ANY},
    "Failures": {"time_to_failure": ANY, "repair_time": ANY, "of": ANY, "crews": ANY, "when": ANY},
    "RateLimiter": {**_MACHINE, "target": ANY, "rate": ANY, "burst": ANY, "on_excess": ANY},
    "Compute": {"demand": ANY},
    "Sleep": {"time": ANY},
    "Call": {"to": ANY, "timeout": ANY, "retry": ANY},
    "Publish": {"to": ANY},
    "Parallel": {"branches": ANY, "wait_for": ANY},
    "Fail": {"probability": ANY},
    "Retry": {"attempts": ANY, "backoff": ANY, "factor": ANY, "cap": ANY, "jitter": ANY,
              "on": ANY, "give_up": ANY},
    "Workflow": {"name": ANY, "start": ANY, "routes": ANY},
    "LoadBalancer": {**_MACHINE, "targets": ANY, "policy": ANY, "weights": ANY, "delay": ANY},
    "RoundRobin": {},
    "LeastConnections": {},
    "Random": {},
    "IpHash": {},
    "PowerOfTwo": {"choices": ANY},
    "Cache": {
        **_MACHINE,
        "capacity": ANY,
        "eviction": ANY,
        "ttl": ANY,
        "time_to_idle": ANY,
        "hit_ratio": ANY,
        "origin": ANY,
        "start": ANY,
        "delay": ANY,
        "concurrency": ANY,
    },
    "Lru": {},
    "Fifo": {},
    "RandomEviction": {},
    "Database": {
        **_MACHINE,
        "connections": ANY,
        "read": ANY,
        "write": ANY,
        "queue_limit": ANY,
        "cores": ANY,
        "cpu_discipline": ("ps", "fifo"),
        "contention": ANY,
        "coherency": ANY,
        "disk_iops": ANY,
        "read_ios": ANY,
        "write_ios": ANY,
        "read_replicas": ANY,
        "reads_from": ANY,
        "balancing": ANY,
        "apply": ANY,
        "shards": ANY,
        "shard_key": ANY,
        "sharding": ANY,
    },
    "HashSharding": {},
    "ModuloSharding": {},
    "RangeSharding": {},
    "MessageQueue": {**_MACHINE, "handler": ANY, "consumers": ANY, "capacity": ANY,
                     "when_full": ("reject",)},
    "Traffic": {"rate": ANY, "arrivals": ANY},
    "Poisson": {},
    "Even": {},
    "Renewal": {"gap": ANY},
    "Batches": {"size": ANY, "law": ANY},
    "ClosedTraffic": {"users": ANY, "think_time": ANY},
    "UserGroups": {"groups": ANY},
    "Users": {"users": ANY, "think_time": ANY, "mix": ANY},
    "RateProfile": {"rates": ANY, "bucket": ANY, "repeat": ANY},
    "UniformKeys": {"count": ANY},
    "Zipf": {"count": ANY, "exponent": ANY},
    "Measured": {"counts": ANY, "tail_keys": ANY, "tail_count": ANY},
}  # fmt: skip
_TRAFFIC = dict.fromkeys(
    ("mix", "keys", "clients", "request_bytes", "response_bytes", "timeout", "retry")
)
_INDEPENDENT = (
    "Constant", "Exponential", "Uniform", "LogNormal", "Erlang", "HyperExponential", "Pareto",
    "Weibull", "Empirical", "Shifted", "Mixture",
)  # fmt: skip
"""Distributions of which each draw is independent of all others."""
_ADVICE = 'simulate it instead: engine="compiled"'


def refusals(topology: Topology, traffic: AnyTraffic) -> Iterator[Problem]:
    """Yield everything in the model that has no analytic answer here."""
    for part in topology.components.values():
        subject = f'{part.type_name} "{part.name}"'
        yield from _uncovered(part, subject)
        if isinstance(part, Service):
            yield from _together(part, subject, isinstance(traffic, Traffic))
    yield from _uncovered(traffic, "traffic")


def _together(part: Service, subject: str, is_open: bool) -> Iterator[Problem]:
    """Yield what is covered by itself, but not together with something else of the service."""
    ordered = part.backlog_order != "fifo" or part.cpu_discipline.startswith("priority")
    special = {
        "backlog_order": part.backlog_order != "fifo",
        "cpu_discipline": part.cpu_discipline not in ("ps", "fifo"),
        "queue_timeout": part.queue_timeout is not None,
        "failures": part.failures is not None,
    }
    for name in (name for name, used in special.items() if used and not is_open):
        yield Problem(f"{subject}: {name}", f"covered under open traffic only; {_ADVICE}")
    if part.backlog is not None and (
        part.backlog_order != "fifo" or special["queue_timeout"] or special["failures"]
    ):
        yield Problem(f"{subject}: backlog", f"not covered together with these; {_ADVICE}")
    if special["queue_timeout"] and (ordered or special["failures"]):
        yield Problem(f"{subject}: queue_timeout", f"covered for one line in order; {_ADVICE}")
    if special["failures"] and ordered:
        yield Problem(f"{subject}: failures", f"covered without priorities only; {_ADVICE}")
    if part.cpu_discipline == "lcfs_preemptive" and part.cores > 1:
        yield Problem(f"{subject}: cpu_discipline", f"covered for one core only; {_ADVICE}")
    if part.failures is not None and (
        part.cores > 1 or not isinstance(part.failures.time_to_failure, Exponential)
        or (part.failures.of == "instance" and part.instances > 1 and part.failures.crews)
    ):  # fmt: skip
        message = "covered for one core and exponential times to failure, each repaired at once"
        yield Problem(f"{subject}: failures", f"{message}; {_ADVICE}")


def _uncovered(description: Description, subject: str) -> Iterator[Problem]:
    name = type(description).__name__
    if isinstance(description, Distribution) and name in _INDEPENDENT:
        for part in getattr(description, "parts", ()):
            yield from _uncovered(part, subject)
        if hasattr(description, "rest"):
            yield from _uncovered(description.rest, subject)
        return  # its moments are all that is needed
    covered = _COVERED.get(name)
    if covered is None:
        what = description.type_name or name
        yield Problem(subject, f"the analytic engine does not cover {what}; {_ADVICE}")
        return
    if isinstance(description, AnyTraffic):
        covered = {**covered, **_TRAFFIC}
    for each in dataclasses.fields(description):  # type: ignore[arg-type]
        value = getattr(description, each.name)
        if each.name not in covered:
            if not _is_default(description, each, value):
                yield Problem(f"{subject}: {each.name}", f"{_uncovered_text}; {_ADVICE}")
            continue
        allowed = covered[each.name]
        if allowed is not ANY and value not in allowed:
            known = ", ".join(map(str, allowed))
            yield Problem(
                f"{subject}: {each.name}",
                f"got {value!r}, the analytic engine covers {known}; {_ADVICE}",
            )
        for path, inner in _descriptions(value):
            yield from _uncovered(inner, f"{subject}: {each.name}{path}")


_uncovered_text = "the analytic engine does not cover it"


def _is_default(description: Description, field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default is dataclasses.MISSING:
        return False
    default = field.default
    if default is not None and field.name in params(type(description)):
        default = params(type(description))[field.name].kind.normalize(default)
    return bool(value == default)


def _descriptions(value: Any, path: str = "") -> Iterator[tuple[str, Description]]:
    """Yield the descriptions inside a field's value, with where they stand."""
    if isinstance(value, Description):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _descriptions(each, f"{path}.{key}")
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            yield from _descriptions(each, f"{path}.{index}")
