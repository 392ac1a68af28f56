"""Arrivals: the words of arrivals, clients, classes and keys turned into traffic."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from accuracy.breakers import keys_of_failures
from accuracy.machines import RATE
from accuracy.shards import in_ranges
from accuracy.stations import Class, make_fields
from accuracy.words import Unsupported, Words, distribution

import scalesim as ss
from scalesim import traffic
from scalesim.distributions import Constant, Recorded

__all__ = ["Arrivals", "read_arrivals", "read_keys"]

ONE = (Class("serve"),)
DAY = 86_400.0


@dataclass(frozen=True)
class Arrivals:
    """Traffic, its classes, and how long to run.

    Parameters
    ----------
    rate : float [requests/s]
        Roughly, to size runs; nan if not known before.
    once : bool
        The arrivals are a list; all is over by `duration` [s], and `count` requests came.
    """

    traffic: Any
    classes: Sequence[Class]
    rate: float
    once: bool = False
    count: int = 0
    duration: float = math.nan

    def warmup(self, run: dict[str, Any]) -> float:
        """Return when the first of a list's requests that is measured arrives, less a little."""
        first = run["warmup_requests"]
        return float(self.traffic.at[first]) - 1e-6 if 0 < first < self.count else 0.0


def read_arrivals(model: Words, requests: int, apart: bool = False) -> Arrivals:
    """Translate `arrival`, `classes` or `clients`, with keys and what the client does.

    Parameters
    ----------
    requests : how many keys to repeat, if they are a sequence
    apart : whether each request of a recording is a class of its own
    """
    fields: dict[str, Any] = {}
    if "client" in model:
        fields |= _client(model.inner("client"))
    if "keys" in model:
        fields |= read_keys(model.inner("keys"), requests)
        sharding = model.mapping.get("sharding")
        if isinstance(sharding, dict) and sharding.get("kind") == "range" and "keys" in fields:
            fields["keys"] = in_ranges(fields["keys"], sharding.get("shards"))
    if "classes" in model:
        return _classes(model, fields)
    clients = model.mapping.get("clients", {})
    if "kind" in clients:
        if "key" in fields:
            raise Unsupported("keys.kind='sequence' with closed clients")
        return _closed(model.inner("clients"), fields)
    if clients:
        fields |= _networks(model.inner("clients"))
    return _open(model, fields, apart)


def _open(model: Words, fields: dict[str, Any], apart: bool) -> Arrivals:
    """Translate `arrival`, or lookups and machines, which need none."""
    if "arrival" not in model:
        if "key" in fields:  # lookups one after another
            return _replay([float(i + 1) for i in range(len(fields["key"]))], fields)
        if "messages" in model:
            return _messages(model.inner("messages"), fields)
        if "machines" in model or "tiers" in model:
            return Arrivals(ss.Traffic(RATE), ONE, RATE)
        others = ", ".join(word for word in model.mapping if word not in ("run", "keys"))
        raise Unsupported(f"{others} (a model without arrival, classes or closed clients)")
    words = model.inner("arrival")
    kind = words.take("kind") if "kind" in words else "by class"
    if kind not in KINDS:
        raise words.unsupported("kind")
    if "key" in fields and kind not in ("deterministic", "trace", "trace_segments"):
        raise Unsupported(f"keys.kind='sequence' with arrival.kind={kind!r}")
    found = KINDS[kind](words, fields)
    if "callee" in model:
        found = _failing(Words(model.mapping["callee"], "callee"), found, fields)
    if apart:
        return _apart(found)
    return dataclasses.replace(found, classes=found.classes or ONE)


def _failing(callee: Words, found: Arrivals, fields: dict[str, Any]) -> Arrivals:
    """Return the same arrivals, with keys that say which calls fail."""
    if "fails_when_started_in_s" not in callee:
        return found
    if not found.once or fields:
        raise Unsupported("callee.fails_when_started_in_s without a recording of its calls")
    key = keys_of_failures(callee, found.traffic.at)
    return dataclasses.replace(found, traffic=dataclasses.replace(found.traffic, key=key))


def _apart(found: Arrivals) -> Arrivals:
    """Return the same arrivals, each a class of its own."""
    if not found.once:
        raise Unsupported("requests told apart without a recording of them")
    if found.classes not in ((), ONE):
        return found
    classes = tuple(Class(f"r{i}") for i in range(found.count))
    names = tuple(each.name for each in classes)
    told = dataclasses.replace(found.traffic, endpoint=names)
    return dataclasses.replace(found, classes=classes, traffic=told)


def _messages(words: Words, fields: dict[str, Any]) -> Arrivals:
    """Translate recorded messages, each with its own time of processing."""
    times, at = words.take("processing_s"), words.take("at_s")
    if not isinstance(times, list) or not times:
        raise words.unsupported("processing_s")
    if not isinstance(at, list):
        at = [at] * len(times)
    if len(at) != len(times) or at != sorted(at):
        raise words.unsupported("at_s")
    service = Recorded(tuple(map(float, times)))
    found = _replay(list(map(float, at)), fields)
    return dataclasses.replace(found, classes=(Class("serve", service=service),))


def _poisson(words: Words, fields: dict[str, Any]) -> Arrivals:
    rate = words.take("rate_per_s")
    if isinstance(rate, dict):  # by the station where they come in; see the routing
        rate = math.fsum(rate.values())
    return _spaced(rate, "poisson", fields)


def _by_class(words: Words, fields: dict[str, Any]) -> Arrivals:
    """Translate one Poisson stream for each class: ``write`` and ``read``."""
    rates = {}
    for name in words.mapping:
        inner = words.inner(name)
        inner.expect(kind="poisson")
        rates[name] = float(inner.take("rate_per_s"))
    return _streams(rates, [Class(name) for name in rates], fields)


def _streams(rates: dict[str, float], classes: Sequence[Class], fields: dict[str, Any]) -> Arrivals:
    """Return independent Poisson streams: one stream with a mix."""
    total = math.fsum(rates.values())
    return Arrivals(ss.Traffic(total, mix=rates, **fields), tuple(classes), total)


def _deterministic(words: Words, fields: dict[str, Any]) -> Arrivals:
    """Translate evenly spaced arrivals: without end, or `count` of them."""
    if "count" in words:
        first, gap, n = words.take("first_at_s"), words.take("interarrival_s"), words.take("count")
        return _replay([first + i * gap for i in range(n)], fields)
    rate = words.take("rate_per_s") if "rate_per_s" in words else 1 / words.take("interarrival_s")
    if abs(words.take("first_at_s", 1 / rate) * rate - 1) > 1e-9:
        raise words.unsupported("first_at_s")
    if "key" in fields:
        return _replay([(i + 1) / rate for i in range(len(fields["key"]))], fields)
    return _spaced(rate, "constant", fields)


def _renewal(words: Words, fields: dict[str, Any]) -> Arrivals:
    gap = distribution(words.inner("interarrival"))
    if abs(words.take("rate_per_s", 1 / gap.mean) * gap.mean - 1) > 1e-6:
        raise words.unsupported("rate_per_s")
    even = isinstance(gap, Constant)
    return _spaced(1 / gap.mean, "constant" if even else traffic.Renewal(gap), fields)


def _batches(words: Words, fields: dict[str, Any]) -> Arrivals:
    rate, inner = words.take("batch_rate_per_s"), words.inner("batch_size")
    law = inner.take("kind")
    size = inner.take("size") if law == "fixed" else 1 / inner.take("success_probability")
    return _spaced(rate * size, traffic.Batches(size, law=law), fields)


def _mmpp(words: Words, fields: dict[str, Any]) -> Arrivals:
    switch = tuple(tuple(map(float, row)) for row in words.take("switch_rates_per_s"))
    bursts = traffic.Bursts(rates=tuple(map(float, words.take("rates_per_s"))), switch_rates=switch)
    return _spaced(bursts.mean_rate, bursts, fields)


def _spaced(rate: float, arrivals: Any, fields: dict[str, Any]) -> Arrivals:
    return Arrivals(ss.Traffic(float(rate), arrivals=arrivals, **fields), (), float(rate))


def _nonhomogeneous(words: Words, fields: dict[str, Any]) -> Arrivals:
    inner = words.inner("rate")
    form = inner.take("form")
    if form == "steps":
        profile = _steps(inner.take("from_s"), inner.take("rate_per_s"))
    elif form == "base + amplitude*sin(2 pi t/period)":
        profile = _sinusoid(
            *(inner.take(each) for each in ("base_per_s", "amplitude_per_s", "period_s"))
        )
    else:
        raise inner.unsupported("form")
    return Arrivals(ss.Traffic(profile, **fields), (), profile.mean)


def _steps(starts: Sequence[float], rates: Sequence[float]) -> ss.RateProfile:
    """Return a rate that keeps its last value as long again as all before."""
    bucket = math.gcd(*(round(each * 1000) for each in starts)) / 1000
    count = round(starts[-1] / bucket)
    level = [
        rates[max(i for i, start in enumerate(starts) if start <= (b + 0.5) * bucket)]
        for b in range(count * 20)
    ]
    return ss.RateProfile(tuple(map(float, level)), bucket=bucket, repeat=False)


def _sinusoid(base: float, amplitude: float, period: float) -> ss.RateProfile:
    """Return the means of a sinusoid over short buckets: their steps are within 2e-6 of it."""
    n, turn = 1000, 2 * math.pi
    edges = [-math.cos(turn * i / n) * n / turn for i in range(n + 1)]
    rates = tuple(base + amplitude * (b - a) for a, b in pairwise(edges))
    return ss.RateProfile(rates, bucket=period / n)


def _trace(words: Words, fields: dict[str, Any]) -> Arrivals:
    """Translate recorded arrivals; with service times of their own each is a class of its own."""
    at = [float(each) for each in words.take("at_s")]
    own = {
        word: words.take(word)
        for word in ("service_s", "priority", "payload_bytes")
        if word in words
    }
    if not own:
        return _replay(at, fields)
    classes = tuple(
        Class(
            f"r{i}",
            priority=own["priority"][i] if "priority" in own else None,
            service=Constant(float(own["service_s"][i])) if "service_s" in own else None,
            payload=float(own["payload_bytes"][i]) if "payload_bytes" in own else None,
        )
        for i in range(len(at))
    )
    return _replay(at, fields, classes)


def _segments(words: Words, fields: dict[str, Any]) -> Arrivals:
    at = []
    for each in words.each("segments"):
        first, gap, n = each.take("first_at_s"), each.take("interarrival_s"), each.take("count")
        at += [first + i * gap for i in range(n)]
    return _replay(sorted(at), fields)


def _replay(at: Sequence[float], fields: dict[str, Any], classes: Sequence[Class] = ()) -> Arrivals:
    """Replay arrivals, and run on for a day, until all is over."""
    endpoint = tuple(each.name for each in classes) or None
    replay = ss.ReplayTraffic(tuple(at), endpoint=endpoint, **fields)
    rate = len(at) / max(at[-1], 1e-9)
    return Arrivals(replay, tuple(classes) or ONE, rate, True, len(at), at[-1] + DAY)


KINDS = {
    "poisson": _poisson,
    "by class": _by_class,
    "deterministic": _deterministic,
    "renewal": _renewal,
    "batch_poisson": _batches,
    "mmpp": _mmpp,
    "nonhomogeneous_poisson": _nonhomogeneous,
    "trace": _trace,
    "trace_segments": _segments,
}


def _classes(model: Words, fields: dict[str, Any]) -> Arrivals:
    """Translate classes that arrive independently."""
    classes, rates, groups = [], {}, {}
    for words in model.each("classes"):
        name = words.take("name")
        if "clients" in words:
            inner = words.inner("clients")
            inner.expect(kind="closed")
            think = distribution(inner.inner("think_time"))
            groups[name] = (inner.take("users"), think)
            classes.append(Class(name, words.take("priority", None), _own_service(words)))
            continue
        arrival = words.inner("arrival")
        arrival.expect(kind="poisson")
        rates[name] = float(arrival.take("rate_per_s"))
        shed = words.take("shed_when_in_flight_at_least", None)
        classes.append(Class(name, words.take("priority", None), _own_service(words), shed))
    if groups:
        if rates:
            raise Unsupported("open and closed classes together")
        users = {
            name: traffic.Users(
                count, think_time=think, mix={each: float(each == name) for each in groups}
            )
            for name, (count, think) in groups.items()
        }
        return Arrivals(traffic.UserGroups(groups=users, **fields), tuple(classes), math.nan)
    return _streams(rates, classes, fields)


def _own_service(words: Words) -> Any:
    """Return the service time that a class has everywhere, or at each station, or None."""
    if "service" not in words:
        return None
    inner = words.inner("service")
    if "kind" in inner:
        return distribution(inner)
    return {name: distribution(inner.inner(name)) for name in inner.mapping}


def _closed(words: Words, fields: dict[str, Any]) -> Arrivals:
    words.expect(kind="closed")
    users, think = words.take("users"), distribution(words.inner("think_time"))
    return Arrivals(ss.ClosedTraffic(users, think_time=think, **fields), ONE, math.nan)


# Keys and clients -------------------------------------------------------------------------------


def read_keys(words: Words, requests: int) -> dict[str, Any]:
    """Return the field of traffic that says which keys requests are about."""
    kind = words.take("kind")
    if kind == "single":
        return {"keys": ss.UniformKeys(1)}
    if kind == "uniform":
        return {"keys": ss.UniformKeys(words.take("count"))}
    if kind == "sequence":
        if "keys" in words:
            return {"key": _numbered(words.take("keys"))}
        repeat = _numbered(words.take("repeat"))
        return {"key": tuple(repeat[i % len(repeat)] for i in range(requests))}
    if kind != "zipf":
        raise words.unsupported("kind")
    words.expect(ranks="key k (from 0) has rank k+1", same_for_reads_and_writes=True)
    found = ss.Zipf(words.take("count"), words.take("exponent"))
    weights = found.weights()
    stated = words.take("probabilities", None)
    if stated is not None and max(abs(weights / weights.sum() - stated)) > 1e-9:
        raise words.unsupported("probabilities")
    return {"keys": found}


def _numbered(keys: Sequence[Any]) -> tuple[int, ...]:
    """Return keys as numbers, in order of appearance."""
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return tuple(number[key] for key in keys)


def _networks(words: Words) -> dict[str, Any]:
    """Return the field of traffic that says which networks requests come from."""
    count = words.take("count")
    words.expect(request_share="equal", networks="all different in the first three octets")
    if "addresses" in words:
        first, _, last = words.take("addresses").partition(" to ")
        if first.split(".")[:3] != last.split(".")[:3]:
            raise words.unsupported("addresses")
        count = 1  # what ip_hash looks at, the first three octets, is the same for all
    return {"clients": ss.UniformKeys(count)}


# What the client does with failures -------------------------------------------------------------


def _client(words: Words) -> dict[str, Any]:
    """Return the fields of traffic: time-out and retries."""
    fields: dict[str, Any] = {}
    if "timeout_s" in words:
        fields["timeout"] = float(words.take("timeout_s"))
    if words.take("cancel_on_timeout", False):
        fields["cancel"] = True
    if words.mapping.get("retry") is None:
        words.take("retry", None)
    elif words.mapping["retry"].get("at_each_layer"):  # the chain has them
        retry = words.inner("retry")
        for word in ("attempts_max", "backoff_s", "at_each_layer"):
            retry.take(word)
    else:
        fields["retry"] = _retry(words.inner("retry"))
    return make_fields(ss.Traffic, fields)


def _retry(words: Words) -> ss.Retry:
    fields: dict[str, Any] = {"attempts": words.take("attempts_max")}
    words.expect(jitter=None)
    backoff = words.mapping.get("backoff_s", 0)
    if "delay" in words:
        fields["backoff"] = distribution(words.inner("delay"))
    elif isinstance(backoff, dict):
        inner = words.inner("backoff_s")
        for field, word in (("backoff", "base_s"), ("factor", "factor"), ("cap", "cap_s")):
            fields[field] = inner.take(word)
        fields["jitter"] = "none"
    else:
        words.take("backoff_s", 0)
        fields["backoff"] = tuple(backoff) if isinstance(backoff, list) else float(backoff)
        fields["jitter"] = "none"
    outcomes = {"timeout": "timed_out", "failed": "failed", "rejected": "rejected"}
    if "on" in words:
        fields["on"] = words.phrase("on", outcomes)
    fields["give_up"] = words.take("give_up_probability", 0.0)
    return ss.Retry(**fields)
