"""Hypothesis strategies for descriptions, made from the declarations of their fields.

What a declaration does not say (fields that exclude each other, sums, order) is set right by
`RULES`, one function a class, so that nearly everything drawn is valid.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import reject, strategies as st

from scalesim import components as c, distributions as d, traffic as t
from scalesim.components.calls import Call, Scatter
from scalesim.components.steps import STEPS, Parallel, Sleep
from scalesim.errors import InvalidModel
from scalesim.fields import (
    Description,
    Flag,
    Integer,
    Kind,
    ListOf,
    MapOf,
    Name,
    Nested,
    Number,
    OneOf,
    Span,
    params,
)
from scalesim.io import Model
from scalesim.studies.objective import Objective
from scalesim.topology import Topology
from scalesim.traffic.growth import growth_kind

# Names that YAML 1.1, or a careless reader, takes for something else.
NAMES = ("on", "no", "y", "null", "true", "True", "nan", "inf", "e5", "_1", "type", "steps", "to",
         "constant", "a-b", "browse", "name")  # fmt: skip
REFERENCES = ("db.read", "db.write", "cache.get", "emails")
COMPONENTS = {"a message queue": ("emails",), "a cache": ("cache",)}


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """Return values that `kind` allows."""
    if isinstance(kind, Number):
        low = kind.above if kind.above is not None else kind.at_least
        reals = st.floats(
            low,
            kind.at_most if kind.at_most is not None else 1e300,
            exclude_min=kind.above is not None,
            allow_nan=False,
            allow_infinity=False,
        )
        tame = st.sampled_from([0.004, 0.5, 1.0, 7, 60.0, 1 / 3]).filter(
            lambda value: not list(kind.check(value))
        )
        return st.one_of(tame, reals, *([st.just(float("inf"))] if kind.infinite else []))
    if isinstance(kind, Integer):
        return st.integers(kind.at_least, kind.at_most)
    if isinstance(kind, Flag):
        return st.booleans()
    if isinstance(kind, Name):
        if kind.pattern:
            return st.from_regex(kind.pattern, fullmatch=True) | st.sampled_from(
                ["1e5", "12", "on"]
            )
        names = COMPONENTS.get(kind.what) or (REFERENCES if kind.dotted else NAMES)
        return st.sampled_from(kind.choices or names)
    if isinstance(kind, ListOf):
        return st.lists(values(kind.item), min_size=1, max_size=3).map(tuple)
    if isinstance(kind, MapOf):
        names = st.sampled_from(REFERENCES if kind.dotted else NAMES)
        return st.dictionaries(names, values(kind.value), min_size=1, max_size=3)
    if isinstance(kind, Span):
        both = st.tuples(values(kind.item), st.none() | values(kind.item))
        return both.filter(lambda value: not list(kind.check(value)))
    if isinstance(kind, OneOf):
        return members(kind.family.members)
    if isinstance(kind, Nested):
        return st.deferred(lambda: descriptions(kind.cls))
    options = [each for each in vars(type(kind)).values() if isinstance(each, Kind)]
    if options:
        return st.one_of(*map(values, options))
    raise NotImplementedError(f"no strategy for {kind}")


def members(family: Mapping[str, type[Description]]) -> st.SearchStrategy[Any]:
    """Return descriptions of any class of a family."""
    return st.sampled_from(sorted(family)).flatmap(lambda name: descriptions(family[name]))


def descriptions(cls: type[Description], **fixed: Any) -> st.SearchStrategy[Any]:
    """Return valid descriptions of one class; `fixed` gives fields, or strategies for them."""
    required, optional = {}, {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        given = fixed.get(field.name)
        if given is None:
            given = values(params(cls)[field.name].kind)
        elif not isinstance(given, st.SearchStrategy):
            given = st.just(given)
        must = field.default is dataclasses.MISSING or field.name in fixed
        (required if must else optional)[field.name] = given
    drawn = st.fixed_dictionaries(required, optional=optional)
    rule = RULES.get(cls, lambda fields: fields)
    return drawn.map(lambda fields: cls(**rule(fields))).filter(lambda made: not list(made.check()))


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def one_price(fields: dict[str, Any]) -> dict[str, Any]:
    return without(fields, "cost_per_hour") if "machine" in fields else fields


def _chances(of: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the rule that gives equal probabilities to what the field `of` holds."""
    return lambda fields: {**fields, "probabilities": (1 / len(fields[of]),) * len(fields[of])}


def _cache(fields: dict[str, Any]) -> dict[str, Any]:
    fields = one_price(fields)
    if fields.get("placement") == "in_process":
        fields = without(fields, "machine", "cost_per_hour")
    if "capacity" in fields:
        return without(fields, "hit_ratio", *(["time_to_idle"] if "ttl" in fields else []))
    by_key = ("ttl", "time_to_idle", "start", "coalesce", "eviction")
    return without({"hit_ratio": 0.25, **fields}, *by_key)


def _parallel(fields: dict[str, Any]) -> dict[str, Any]:
    wanted = fields.get("wait_for")
    if wanted is None:
        return without(fields, "cancel")
    return {**fields, "wait_for": min(wanted, len(fields["branches"]))}


def _scatter(fields: dict[str, Any]) -> dict[str, Any]:
    wanted = {"wait_for": 1} if "wait_for" in fields else {}
    return {**fields, "to": "db.read", **wanted}  # the others can't be called node by node


def _database(fields: dict[str, Any]) -> dict[str, Any]:
    fields = {"disk_iops": 100.0, **_cores(one_price(fields))}
    if fields.get("read_replicas"):
        return fields
    return without(fields, "apply", "apply_delay", "apply_workers", "count_stale_reads")


def _cores(fields: dict[str, Any]) -> dict[str, Any]:
    """Let what is said of the cores go together."""
    if "core_speeds" in fields:
        fields = {**fields, "cores": len(fields["core_speeds"])}
    else:
        fields = without(fields, "core_choice")
    if "core_speeds" in fields or "failures" in fields:
        fields = {**fields, "cpu_discipline": "fifo"}
    if fields.get("cpu_discipline", "ps") != "ps":
        fields = without(fields, "contention", "coherency")
    return fields


def _service(fields: dict[str, Any]) -> dict[str, Any]:
    fields = _cores(one_price(fields))
    if fields.get("memory_base", 0.0) >= fields.get("memory", 0.0):
        return without(fields, "memory_base", "memory", "memory_per_request")
    return fields


def _balancer(fields: dict[str, Any]) -> dict[str, Any]:
    fields = {**one_price(fields), "targets": tuple(dict.fromkeys(fields["targets"]))}
    if "weights" in fields:
        weights = iter(fields["weights"].values())
        fields["weights"] = dict(zip(fields["targets"], weights, strict=False))
    return fields


def _replay(fields: dict[str, Any]) -> dict[str, Any]:
    n = min(len(value) for name, value in fields.items() if name in _PER_ARRIVAL)
    cut = {name: fields[name][:n] for name in _PER_ARRIVAL if name in fields}
    return {**fields, **cut, "at": tuple(sorted(cut["at"]))}


def _retry(fields: dict[str, Any]) -> dict[str, Any]:
    backoff = fields.get("backoff", 0.0)
    if isinstance(backoff, tuple):
        fields["backoff"] = backoff[: fields.get("attempts", 9) - 1]
    elif not getattr(backoff, "mean", backoff):
        fields = {"attempts": 4, **fields}
    return fields if isinstance(backoff, (int, float)) else without(fields, "factor", "cap")


def _breaker(fields: dict[str, Any]) -> dict[str, Any]:
    if fields.get("consecutive_failures"):
        return without(fields, "failure_ratio", "window", "minimum_calls")
    return {**fields, "minimum_calls": 1} if "minimum_calls" in fields else fields


def _workflow(fields: dict[str, Any]) -> dict[str, Any]:
    start, (following, *_) = fields["start"], fields["routes"].values()
    shares = {place: probability / len(following) / 2 for place, probability in following.items()}
    return {**fields, "routes": {start: shares}}


def _queue(fields: dict[str, Any]) -> dict[str, Any]:
    fields = one_price(fields)
    if "batch" not in fields:
        fields = without(fields, "batch_handling", "linger")
    elif fields["batch"][0] == 1:
        fields = without(fields, "linger")
    if "prefetch" in fields:
        fields = without(fields, "batch", "batch_handling", "linger", "poll_interval", "partitions")
    if not isinstance(fields.get("poll_interval"), d.Constant):
        fields = without(fields, "poll")
    return {**fields, "capacity": fields["capacity"] or 1} if "capacity" in fields else fields


def _limiter(fields: dict[str, Any]) -> dict[str, Any]:
    fields = one_price(fields)
    if fields.get("algorithm", "token_bucket") == "token_bucket":
        fields = without(fields, "window")
    else:
        fields = {**without(fields, "burst"), "rate": 2.0, "window": 30.0}
    return fields if fields.get("on_excess") == "delay" else without(fields, "queue_limit")


_PER_ARRIVAL = ("at", "endpoint", "key", "client")


def _bursts(fields: dict[str, Any]) -> dict[str, Any]:
    n = len(fields["rates"])
    ring = tuple(tuple(float(j == (i + 1) % n and n > 1) for j in range(n)) for i in range(n))
    return {"rates": (1.0, *fields["rates"][1:]), "switch_rates": ring}


def _steady(fields: dict[str, Any]) -> dict[str, Any]:
    bursts = isinstance(fields.get("arrivals"), t.Bursts)
    return {**fields, "rate": 5.0} if bursts else fields


RULES: dict[type, Callable[[dict[str, Any]], dict[str, Any]]] = {
    d.HyperExponential: _chances("means"),
    d.Mixture: _chances("parts"),
    d.Empirical: lambda f: {"quantiles": tuple(sorted((0.0, *f["quantiles"])))},
    d.Uniform: lambda f: {"low": min(f.values()), "high": max(f.values())},
    t.Measured: lambda f: f if f.get("tail_keys") else without(f, "tail_count"),
    t.Batches: lambda f: {**f, "size": float(int(f["size"]))},
    t.Bursts: _bursts,
    t.ReplayTraffic: _replay,
    t.Traffic: _steady,
    c.Cache: _cache,
    c.CircuitBreaker: _breaker,
    c.Database: _database,
    c.Service: _service,
    c.LoadBalancer: _balancer,
    c.MessageQueue: _queue,
    c.RateLimiter: _limiter,
    c.Retry: _retry,
    Call: lambda f: f if f.get("timeout") else without(f, "cancel"),
    Parallel: _parallel,
    Scatter: _scatter,
    c.Workflow: _workflow,
    Objective: lambda f: f if "error_ratio" in f else {"latency": 0.5, **f},
}

_QUIET = {name: step for name, step in STEPS.members.items() if name in ("sleep", "call")}
HANDLERS = st.lists(members(_QUIET), min_size=1, max_size=3).map(tuple)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Return models edge -> gate -> web -> cache, db, emails, with all fields drawn."""
    endpoints = draw(values(params(c.Service)["endpoints"].kind))
    everything = c.parallel([c.call("cache.get")], [c.call("db.read"), c.publish("emails")])
    endpoints["all"] = (everything, Sleep(0.1))  # type: ignore[arg-type]
    handler = tuple(
        step
        for step in draw(HANDLERS)
        if step.type_name == "sleep" or step.to.partition(".")[0] in ("db", "cache")
    ) or (Sleep(1.0),)  # type: ignore[arg-type]
    weight = draw(values(Number(above=0, at_most=1e6)))
    edge = descriptions(c.LoadBalancer, name="edge", targets=("gate",), weights={"gate": weight})
    parts = [
        draw(edge),
        draw(descriptions(c.RateLimiter, name="gate", target="web")),
        draw(descriptions(c.Service, name="web", endpoints=endpoints)),
        draw(descriptions(c.Cache, name="cache", origin="db.read")),
        draw(descriptions(c.Database, name="db")),
        draw(descriptions(c.MessageQueue, name="emails", handler=handler)),
    ]
    try:
        topology = Topology(*parts, entry="edge")
    except InvalidModel:  # such as a hedged call of the only instance: no single field tells that
        reject()
    mix = {name: draw(st.floats(0.1, 1)) for name in endpoints}
    known = dict(mix=mix, keys=t.Zipf(10, 0.9), clients=t.UniformKeys(9))
    known |= dict(request_bytes=300, response_bytes=d.Exponential(4e3))
    kinds = {**t.TRAFFIC.members}
    kinds.pop("replay")  # its endpoints are names of our own
    cls = kinds[draw(st.sampled_from(sorted(kinds)))]
    if cls is t.UserGroups:
        users = descriptions(t.Users, mix=st.none() | st.just(mix))
        known |= dict(groups=st.dictionaries(st.sampled_from(NAMES), users, min_size=1, max_size=2))
    return Model(
        topology,
        draw(st.none() | descriptions(cls, **known)),
        draw(st.none() | values(growth_kind())),
        draw(st.none() | descriptions(Objective)),
    )
