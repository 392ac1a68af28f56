"""Systems: the stations of a model put together behind balancer, cache, queue or rate limit.

A piece of a system is a *script*: the steps that a request of each class runs. Stations give
scripts of one call; a sequence joins scripts; a balancer, a cache or a fan-out wraps them. What is
left at the end becomes the entry of the topology: the component called, or a gateway that has
a worker for everyone and runs the script.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accuracy.blocking import blocking_line
from accuracy.breakers import callee, guarded
from accuracy.caches import behind_caches, fixed_cache
from accuracy.machines import machines
from accuracy.replication import replicated
from accuracy.shards import sharded
from accuracy.stations import MANY, Class, Place, Station, make, queue_place, read_station
from accuracy.words import Unsupported, Words, distribution

import scalesim as ss
from scalesim import components
from scalesim.distributions import Constant
from scalesim.policies import load_balancing

__all__ = ["Script", "System", "read_system"]

Script = dict[str, tuple[Any, ...]]


@dataclass
class System:
    """The components so far, where the stations are measured, and the classes of requests.

    Parameters
    ----------
    spans : which stations (and ``miss``) to measure for each class apart
    levels : whether stations keep the shares of time with each number in flight
    needed : of groups of machines, how many have to be up
    queue : the message queue in which requests end, "" if they wait for an answer
    """

    classes: Sequence[Class]
    spans: frozenset[str] = frozenset()
    levels: bool = False
    components: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    caches: list[str] = field(default_factory=list)
    needed: dict[str, int] = field(default_factory=dict)
    queue: str = ""
    entry: str = ""

    def add(self, *parts: Any) -> None:
        for each in parts:
            self.components[each.name] = each

    def call(self, name: str) -> Script:
        """Return the script that calls a component, each class its endpoint."""
        return {each.name: (ss.call(f"{name}.{each.name}"),) for each in self.classes}

    def only_class(self, what: str) -> str:
        """Return the name of the only class of requests; `what` needs that there is one."""
        if len(self.classes) != 1:
            raise Unsupported(f"{what} with several classes")
        return self.classes[0].name

    def each_class(self, *steps: Any) -> Script:
        """Return the script in which every class does the same."""
        return {each.name: steps for each in self.classes}

    def gateway(self, script: Script, name: str) -> str:
        """Return a new component that has a worker for everyone and runs `script`."""
        endpoints = {c: ss.Endpoint(steps) for c, steps in script.items()}
        self.add(ss.Service(name, workers=MANY, endpoints=endpoints))
        self.places[name] = Place((name,))
        return name

    def target(self, script: Script, name: str) -> str:
        """Return a component that runs `script`: the one it calls, or a new one called `name`."""
        for part in self.components:
            if script == self.call(part):
                return part
        return self.gateway(script, name)

    def span(self, name: str, script: Script) -> Script:
        """Return the same script, its time measured: as what is in flight at a gateway."""
        for c, steps in script.items():
            part = f"{name}_{c}"
            self.gateway({c: steps}, part)
            self.places[f"{name}[{c}]"] = self.places.pop(part)
        return {c: (ss.call(f"{name}_{c}.{c}"),) for c in script}


def read_system(
    model: Words, classes: Sequence[Class], spans: frozenset[str], levels: bool = False
) -> System:
    """Translate everything of a model but its arrivals."""
    arrival, routing = (model.mapping.get(word) for word in ("arrival", "routing"))
    by_station = isinstance(arrival, dict) and isinstance(arrival.get("rate_per_s"), dict)
    if by_station and not isinstance(routing, list):
        raise Unsupported("arrival.rate_per_s by station, without routing by probabilities")
    system = System(classes, spans, levels)
    words = {}
    if "stations" in model:
        words = {each.take("name"): each for each in model.each("stations")}
    if "message_queue" in model:
        script = _message_queue(model, system)
    elif "machines" in model or "tiers" in model:
        script = machines(model, system)
    elif "database" in model:
        script = replicated(model.inner("database"), system, "keys" in model)
    elif "chain" in model:
        script = _chain(model, system)
    elif "callee" in model:
        script = callee(model.inner("callee"), system)
    else:
        script = _stations(model, system, words)
    script = behind_caches(model, system, script)
    if "circuit_breaker" in model:
        script = guarded(model, system, script)
    if "rate_limit" in model:
        script = _rate_limit(model.inner("rate_limit"), system, script)
    system.entry = system.target(script, "entrance")
    return system


# The way through the stations -------------------------------------------------------------------


def _stations(model: Words, system: System, words: dict[str, Words]) -> Script:
    held = {
        step["acquire"] for each in words.values() for step in each.mapping.get("steps", ())
        if "acquire" in step
    }  # fmt: skip
    visited = [name for name in words if name not in held]
    pools = {f"{each.name}_pool": each.name for each in system.classes}
    if "sharding" in model:
        if len(visited) != 1:
            raise Unsupported("sharding of one of several stations")
        return sharded(model.inner("sharding"), words[visited[0]], system)
    if any("when_next_full" in words[name] for name in visited):
        if model.take("routing", ROUTINGS[0]) not in ROUTINGS[:2]:
            raise model.unsupported("routing")
        return blocking_line(visited, words, system)
    bulkhead = set(pools) == set(visited)
    found: dict[str, Station] = {}
    for name in visited:
        if "fixed_hit_ratio" not in words[name]:
            station = found[name] = read_station(
                words[name], system.classes, words, apart="fan_out" in model,
                serves=(pools[name],) if bulkhead else None, record=system.levels,
            )  # fmt: skip
            system.add(*station.components)
            system.places[name] = station.place
            for each in station.acquires:
                slots = next(part.workers for part in station.components if part.name == each)
                system.places[each] = Place((each,), slots=slots)
                system.places["slot"] = station.place
    if "fan_out" in model:
        return _fan_out(model.inner("fan_out"), system, [found[name] for name in visited])
    if "hedge" in model:
        return _hedge(model.inner("hedge"), system, found[visited[0]])
    if bulkhead:  # each class has a station of its own
        total = sum(words[name].mapping["servers"] for name in visited)
        model.expect(variant=f"one station of {total} slots for both")
        return {c: (ss.call(f"{pool}.{c}"),) for pool, c in pools.items()}
    if isinstance(model.mapping.get("routing"), list):
        return _workflow(model, system)
    return _in_order(model, system, visited, words, found)


def _in_order(
    model: Words, system: System, visited: list[str], words: dict[str, Words],
    found: dict[str, Station],
) -> Script:  # fmt: skip
    """Translate stations that are visited one after another, whole numbers of times."""
    if model.take("routing", "in order") not in ROUTINGS:
        raise model.unsupported("routing")
    balancer = model.inner("balancer") if "balancer" in model and visited else None
    balanced = _balanced(balancer, visited, words)

    def own(name: str) -> Script:
        station = found[name]
        if station.queue:
            system.queue = name
            return system.each_class(ss.publish(name))
        call = system.call(name)
        if balancer is not None and name == balanced:
            call = _balance(balancer, system, station)
        return system.span(name, call) if name in system.spans else call

    def sequence(names: list[str]) -> Script:
        if not names:
            return system.each_class()
        first, rest = names[0], names[1:]
        if first not in found:  # a cache in front of what follows
            return fixed_cache(words[first], first, system, sequence(rest))
        return {c: (*steps, *sequence(rest)[c]) for c, steps in own(first).items()}

    visits = {name: words[name].take("visit_ratio", 1) for name in visited}
    if set(visits.values()) <= {1}:
        return sequence(visited)
    if any(not isinstance(n, int) for n in visits.values()):
        raise Unsupported("visit_ratio that is not a whole number")
    # Product form depends on the visit ratios alone: each station so often, in turn.
    turns = [name for i in range(max(visits.values())) for name in visited if i < visits[name]]
    return {c: tuple(own(name)[c][0] for name in turns) for c in system.each_class()}


ROUTINGS = (
    "in order",
    "each request visits the stations once each, in order",
    "each request makes visit_ratio visits on average to each station (geometric return to the "
    "first station, or any order; product form depends on visit ratios only)",
)


def _workflow(model: Words, system: System) -> Script:
    """Translate routing by probabilities: a request holds nothing between its visits."""
    c = system.only_class("routing by probabilities")
    routes: dict[str, dict[str, float]] = {}
    for each in model.each("routing"):
        start, end, chance = each.take("from"), each.take("to"), each.take("probability")
        if end != "out" and chance:
            routes.setdefault(f"{start}.{c}", {})[f"{end}.{c}"] = float(chance)
    arrival = model.mapping.get("arrival")
    entries = arrival.get("rate_per_s") if isinstance(arrival, dict) else None
    if not isinstance(entries, dict) or set(entries) - set(system.places):
        raise Unsupported("arrival.rate_per_s, which has to be by station")
    starts = [f"{name}.{c}" for name in entries]
    if len(starts) > 1:  # a place that takes no time, from where requests go where they come in
        total = sum(entries.values())
        system.add(ss.Service("outside", workers=MANY, endpoints={c: [ss.sleep(0.0)]}))
        routes[f"outside.{c}"] = {f"{n}.{c}": r / total for n, r in entries.items()}
        starts = [f"outside.{c}"]
    system.add(components.Workflow("workflow", start=starts[0], routes=routes))
    return system.each_class(ss.call("workflow.run"))


def _balanced(balancer: Words | None, visited: list[str], words: dict[str, Words]) -> str:
    """Return the station whose instances the balancer spreads requests over."""
    if balancer is None:
        return ""
    targets = balancer.take("targets", None)
    if isinstance(targets, str):
        return targets
    many = [name for name in visited if words[name].mapping.get("instances", 1) > 1]
    if len(many) != 1 or targets not in (None, words[many[0]].mapping["instances"]):
        raise Unsupported("balancer: which station it is in front of")
    return many[0]


def _balance(words: Words, system: System, station: Station) -> Script:
    names = [each.name for each in station.components]
    fields: dict[str, Any] = {"targets": tuple(names), "policy": balancing(words)}
    if "weights" in words:
        weights = [float(each) for each in words.take("weights")]
        pairs = zip(names, [(w,) for w in weights], strict=True)
        fields["weights"] = dict(pairs) if len(names) > 1 else {names[0]: tuple(weights)}
    system.add(make(ss.LoadBalancer, "balancer", **fields))
    return system.call("balancer")


def balancing(words: Words) -> Any:
    """Return a balancing policy."""
    name = words.take("policy")
    if name == "power_of_d":
        distinct = words.phrase("sampled", SAMPLED, False)
        words.expect(ties="any (symmetric)")
        return load_balancing.PowerOfTwo(choices=words.take("choices"), distinct=distinct)
    if name == "ip_hash":
        words.expect(hash_input="first three octets of IPv4")
        return name
    plain = {"smooth_weighted_round_robin": "round_robin"}
    if name not in ("random", "round_robin", "least_connections", *plain):
        raise words.unsupported("policy")
    words.expect(ties=("any (symmetric)", "lowest index", TIES))
    return plain.get(name, name)


SAMPLED = {"with replacement": False, "without replacement": True}
TIES = (
    "round robin: first equal target at or after the cursor, which then moves one past it; "
    "cursor starts at 0"
)


# Copies of a request ----------------------------------------------------------------------------


def _fan_out(words: Words, system: System, stations: list[Station]) -> Script:
    """Translate copies that run at once: one at each instance, or one at each station."""
    names = [name for station in stations for name in station.place.components]
    branches, join = words.take("branches"), words.take("join")
    words.expect(others="run to their end, result discarded")
    if branches != len(names):
        raise words.unsupported("branches")
    system.places["branches"] = Place(tuple(names), slots=stations[0].place.slots)
    extra = {} if join in ("all", branches) else {"wait_for": join}
    return {
        c: (ss.parallel(*([ss.call(f"{name}.{c}")] for name in names), **extra),)
        for c in system.each_class()
    }


def _hedge(words: Words, system: System, station: Station) -> Script:
    """Translate copies that are sent later, if there is no answer yet."""
    if not hasattr(components, "Hedge"):
        raise Unsupported("hedge")
    times = words.take("send_copies_after_s")
    gaps = {round(b - a, 12) for a, b in zip([0.0, *times], times, strict=False)}
    if len(gaps) > 1:
        raise words.unsupported("send_copies_after_s")
    distinct = words.phrase("targets", {"distinct, uniformly random": True}, False)
    hedge = components.Hedge(gaps.pop(), copies=len(times), cancel=words.take("cancel_losers"),
                             distinct=distinct)  # fmt: skip
    return {c: (ss.call(f"{station.name}.{c}", hedge=hedge),) for c in system.each_class()}


def _chain(model: Words, system: System) -> Script:
    """Translate services that call one another, each with the client's retries."""
    names = model.take("chain")
    if not isinstance(names, list) or not 1 <= len(names) <= 3:
        raise model.unsupported("chain")
    retry = model.inner("client").inner("retry")
    retry.expect(at_each_layer=True)
    attempts, backoff = retry.take("attempts_max"), float(retry.take("backoff_s"))
    again = ss.Retry(attempts, backoff=backoff, jitter="none")
    model.expect(bottom="always fails, takes 1 ms")
    c = system.only_class("chain")
    steps: list[Any] = [ss.sleep(0.001), components.fail(1.0)]
    for name, place in zip(reversed(names), ("bottom", "middle", "top"), strict=False):
        system.add(make(ss.Service, name, workers=MANY, endpoints={c: steps}))
        system.places[place] = Place((name,))
        steps = [ss.call(f"{name}.{c}", retry=again)]
    return {c: (steps[0],)}


# Message queues and rate limits -----------------------------------------------------------------


def _message_queue(model: Words, system: System) -> Script:
    """Translate a queue that has the consumers of `consumer`."""
    words = model.inner("message_queue")
    if "kind" not in words:
        return _sender(words, system)
    kind = words.take("kind")
    if "messages" in model:
        service = system.classes[0].service
        fields: dict[str, Any] = {"consumers": model.take("consumers")}
    else:
        consumer = model.inner("consumer")
        service = distribution(consumer.inner("service"))
        consumer.expect(concurrency=1)
        fields = {"consumers": consumer.take("count", 1)}
    if kind == "work_queue":
        words.expect(acknowledge=("after processing", "at the end of processing"))
        prefetch = words.take("prefetch", 1)
        if "delivery" in words:
            words.expect(delivery=IN_TURN)
            fields["prefetch"] = prefetch
        elif prefetch != 1:
            raise Unsupported(f"{words.path}.prefetch={prefetch!r} without delivery")
    elif kind == "partitioned_log":
        words.expect(
            assignment="as even as possible, first consumers get one more", batch=1,
            partition_choice="uniform random key", poll="instant", unbounded=True,
        )  # fmt: skip
        fields = {"consumers": words.take("consumers"), "partitions": words.take("partitions"),
                  "partition_by": "random"}  # fmt: skip
    elif kind == "polled_queue":
        fields |= {"batch": (1, words.take("batch_max")), "batch_handling": "one_by_one",
                   "poll_interval": words.take("poll_interval_s"), "poll": "fixed"}  # fmt: skip
    else:
        raise words.unsupported("kind")
    system.add(make(ss.MessageQueue, "queue", handler=[ss.sleep(service)], **fields))
    apart = "partitions" in fields or "prefetch" in fields
    place = queue_place("queue", 1 if apart else fields["consumers"], service)
    if "prefetch" in fields:
        place = dataclasses.replace(place, before="unacknowledged")
    system.places["queue"] = place
    system.queue = "queue"
    return system.each_class(ss.publish("queue"))


IN_TURN = (
    "round robin over consumers with room, consumer 0 first; a consumer that acknowledges gets the "
    "next message"
)


def _sender(words: Words, system: System) -> Script:
    """Translate a sender that collects messages: so many, or those of so long, go at once."""
    size = words.take("batch_size_max")
    linger = float(words.take("linger_s"))
    system.add(make(ss.MessageQueue, "queue", handler=[ss.sleep(0.0)], consumers=MANY,
                    batch=(size, size), linger=linger))  # fmt: skip
    system.places["queue"] = queue_place("queue", MANY, Constant(0.0))
    system.queue = "queue"
    return system.each_class(ss.publish("queue"))


def _rate_limit(words: Words, system: System, script: Script) -> Script:
    if not hasattr(components, "RateLimiter"):
        raise Unsupported("rate_limit")
    rate, kind = float(words.take("rate_per_s")), words.take("kind")
    if kind == "token_bucket":
        words.expect(refill="continuous", on_empty="reject")
        fields: dict[str, Any] = {"burst": words.take("burst")}
    elif kind == "leaky_bucket":
        fields = {"on_excess": words.take("on_excess"), "queue_limit": words.take("queue_limit")}
    else:
        raise words.unsupported("kind")
    system.add(make(components.RateLimiter, "limiter", rate=rate, **fields))
    system.places["limiter"] = Place(("limiter",), "rate", "rate", "rate")
    return {c: (ss.call("limiter.admit"), *steps) for c, steps in script.items()}
