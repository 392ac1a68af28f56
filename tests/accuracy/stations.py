"""Stations: the words of one station turned into a component and where to measure it.

What a station is in scalesim:

* ``fifo``, ``lcfs``, ``priority_np``: `workers` slots that hold a request while it sleeps;
* ``ps``, ``sjf`` and all that interrupt: any number of workers, and `cores` that compute;
* ``infinite``: any number of workers that sleep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accuracy.words import Unsupported, Words, distribution, mean_of

import scalesim as ss
from scalesim import components
from scalesim.distributions import Constant

__all__ = [
    "MANY",
    "Class",
    "Place",
    "Station",
    "make",
    "make_fields",
    "queue_place",
    "read_discipline",
    "read_service",
    "read_station",
]

MANY = 10_000_000
"""Slots that are never all taken."""

CPU_DISCIPLINES = {
    "ps": "ps",
    "sjf": "sjf",
    "lcfs_pr": "lcfs_preemptive",
    "srpt": "srpt",
    "priority_pr": "priority_preemptive",
}
BACKLOG_ORDERS = {"fifo": "fifo", "lcfs": "lcfs", "priority_np": "priority"}


@dataclass(frozen=True)
class Class:
    """One class of requests: an endpoint of every station."""

    name: str
    priority: int | None = None
    service: Any = None
    """A distribution, a mapping of station to distribution, or None: the station says."""
    shed_above: int | None = None
    payload: float | None = None
    """Size of the request [bytes]."""


@dataclass(frozen=True)
class Place:
    """Where a station of the case is measured.

    Parameters
    ----------
    components : names of the components that are its instances
    waiting, serving : resource with the waiting line; resource that is busy while it serves
        ``""``: there is no line.
    holding : resource that all who are there wait for or have
    slots : int or None
        Of one instance; None: any number.
    service_mean : mapping of class to mean service time [s]
    held_for : component and resource, of which those wait who have been served here
    before : resource for which some wait before they come to the waiting line
    """

    components: tuple[str, ...]
    waiting: str = "workers"
    serving: str = "workers"
    holding: str = "workers"
    slots: int | None = None
    service_mean: dict[str, float] = dataclasses.field(default_factory=dict)
    held_for: tuple[str, str] | None = None
    before: str = ""

    def instance(self, index: int) -> Place:
        """Return the place of one instance, if each is a component of its own."""
        return dataclasses.replace(self, components=(self.components[index],))


@dataclass(frozen=True)
class Station:
    """A component and its place; `acquires` names the stations it holds while it works."""

    components: tuple[Any, ...]
    place: Place
    acquires: tuple[str, ...] = ()
    queue: bool = False
    """Whether requests are published to it, and nobody waits for the answer."""

    @property
    def name(self) -> str:
        return self.components[0].name


def make_fields(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a description; one that the library lacks makes the case unsupported."""
    known = {each.name for each in dataclasses.fields(kind)}
    for field in fields:
        if field not in known:
            raise Unsupported(f"{kind.__name__}.{field}")
    return fields


def make(kind: type, name: str, **fields: Any) -> Any:
    """Describe a component."""
    return kind(name, **make_fields(kind, fields))


def read_station(
    words: Words, classes: Sequence[Class], others: dict[str, Words], *, apart: bool = False,
    serves: Sequence[str] | None = None, record: bool = False,
) -> Station:  # fmt: skip
    """Translate one station.

    Parameters
    ----------
    classes : the classes of requests that visit it
    others : the model's other stations, of which this one may hold slots
    apart : whether each instance has to be a component of its own
    serves : names of the classes that come here, None for all
    record : whether to keep the shares of time with each number in flight
    """
    name = words.take("name")
    instances = words.take("instances", 1)
    if not isinstance(instances, int):
        raise words.unsupported("instances")
    if "vacation" in words or "batch_service" in words:
        return _queue(words, name, classes)
    if "steps" in words:
        return _nested(words, name, instances, classes, others)
    if "cpu_demand" in words:
        fields, place = _limited_sharing(words)
        services = {each.name: distribution(words.inner("cpu_demand")) for each in classes}
    else:
        fields, place = read_discipline(words)
        services = read_service(words, name, classes)
    fields, place = _with_options(words, fields, place)
    if record:
        fields["record_in_flight"] = True
    if "service_per_server" in words:
        services = dict.fromkeys((each.name for each in classes), _core_speeds(words, fields))
    failing = _failing(words)
    step = ss.compute if place.serving == "cpu" else ss.sleep
    own = words.each("service_per_instance") if "service_per_instance" in words else []
    names = [f"{name}_{i}" for i in range(instances)] if apart or own else [name]
    if own and len(own) != instances:
        raise words.unsupported("instances")
    parts = []
    for i, part in enumerate(names):
        if own:
            services = dict.fromkeys((each.name for each in classes), distribution(own[i]))
        count = instances // len(names)
        endpoints = {
            c.name: make_endpoint([step(services[c.name]), *failing], c)
            for c in classes if serves is None or c.name in serves
        }  # fmt: skip
        parts.append(make(ss.Service, part, instances=count, endpoints=endpoints, **fields))
    means = {each: mean_of(found) for each, found in services.items()}
    place = dataclasses.replace(place, components=tuple(names), service_mean=means)
    return Station(tuple(parts), place)


def _with_options(
    words: Words, fields: dict[str, Any], place: Place
) -> tuple[dict[str, Any], Place]:
    """Return the same station with the fields that the words of `OPTIONS` stand for."""
    if COMPUTING & set(words.mapping):
        fields, place = _on_cores(fields, place)
    if "abandonment" in words and place.waiting != "workers":
        raise Unsupported(f"{words.path}.abandonment while waiting for a core")
    if "setup" in words:
        place = _switched_off(words, place)
    for option, translate in OPTIONS.items():
        if option in words:
            fields = fields | translate(words)
    return fields, place


def _on_cores(fields: dict[str, Any], place: Place) -> tuple[dict[str, Any], Place]:
    """Return the same station with a core for each slot, whose work is computing."""
    if place.serving == "cpu":
        return fields, place
    cores = place.slots or 100_000
    rule = "fifo" if place.slots else "ps"
    limit = fields.pop("backlog", None)
    room = {"workers": MANY} if limit is None else {"workers": cores + limit, "backlog": 0}
    if fields.pop("backlog_order", "fifo") != "fifo":
        raise Unsupported("backlog_order of unequal, failing or sleeping servers")
    return {**room, "cores": cores, "cpu_discipline": rule}, Place(
        (), "cpu", "cpu", slots=place.slots
    )


def _switched_off(words: Words, place: Place) -> Place:
    """Return the place of a station where some wait for the start: all servers start together."""
    if place.slots != 1:
        raise Unsupported(f"{words.path}.setup of servers that start one by one")
    if words.mapping.get("discipline") == "sjf":  # all go on at the start, the first come first
        raise Unsupported(f"{words.path}.setup with discipline='sjf'")
    if words.mapping.get("queue_limit") is not None:
        raise Unsupported(f"{words.path}.setup with queue_limit: where who causes it waits")
    return dataclasses.replace(place, holding="cpu", before="start")


def make_endpoint(steps: Sequence[Any], of: Class) -> Any:
    """Return an endpoint with what its class says of it."""
    extra = {"priority": of.priority, "shed_above": of.shed_above, "request_bytes": of.payload}
    extra = {name: value for name, value in extra.items() if value is not None}
    return ss.Endpoint(tuple(steps), **make_fields(ss.Endpoint, extra))


def _failing(words: Words) -> list[Any]:
    """Return the step, if there is one, in which a request fails after its service."""
    words.expect(failure_takes="a full service time")
    probability = words.take("failure_probability", 0.0)
    if "fails_always_after_s" in words:
        probability = 1.0
    return [components.fail(probability)] if probability else []


def _core_speeds(words: Words, fields: dict[str, Any]) -> Any:
    """Translate servers of different speed: the fastest one's service, and speeds beside it."""
    services = [distribution(each) for each in words.each("service_per_server")]
    fastest = min(services, key=mean_of)
    for each in services:
        if type(each) is not type(fastest) or abs(each.scv - fastest.scv) > 1e-9:
            raise Unsupported("service_per_server of different shapes")
    fields["core_speeds"] = tuple(fastest.mean / each.mean for each in services)
    choices = {"fastest_idle": "fastest", "random_idle": "random"}
    fields["core_choice"] = words.phrase("assignment", choices)
    return fastest


def read_service(words: Words, name: str, classes: Sequence[Class]) -> dict[str, Any]:
    """Return the service time of each class at one station."""
    if all(each.payload is not None for each in classes):  # only the network takes time
        return dict.fromkeys((each.name for each in classes), Constant(0.0))
    if "fails_always_after_s" in words:
        after = Constant(words.take("fails_always_after_s"))
        return dict.fromkeys((each.name for each in classes), after)
    if "service_by_class" in words:
        inner = words.inner("service_by_class")
        return {each.name: distribution(inner.inner(each.name)) for each in classes}
    if isinstance(words.mapping.get("service"), dict):
        found = distribution(words.inner("service"))
        return {each.name: found for each in classes}
    words.expect(service="by class")
    if "service_per_instance" in words or "service_per_server" in words:
        return {}
    found = {
        each.name: each.service[name] if isinstance(each.service, dict) else each.service
        for each in classes
    }
    if None in found.values():
        raise Unsupported(f"{words.path} without service")
    return found


def read_discipline(words: Words) -> tuple[dict[str, Any], Place]:
    """Return the fields of `Service` that say who is served, and where that is measured."""
    sizes = [word for word in ("servers", "servers_per_instance", "slots") if word in words]
    slots = words.take(sizes[0]) if sizes else None
    if "bandwidth_bytes_per_s" in words and not sizes:
        words.expect(discipline="fifo")
        bandwidth = float(words.take("bandwidth_bytes_per_s"))
        place = Place((), "network_in", "network_in", slots=1)
        return {"workers": MANY, "network_in": bandwidth}, place
    if "fails_always_after_s" in words and not sizes:
        slots = "infinite"
    discipline = words.take("discipline", "infinite" if slots == "infinite" else "fifo")
    limit = words.take("queue_limit", None)
    words.expect(
        ties={
            "fifo within a class; priority 0 first",
            "fifo within a class; a preempted request resumes",
        },
        slot_held="own service only",
    )  # fmt: skip
    if slots == "infinite":
        if discipline not in ("infinite", "fifo", "ps") or limit is not None:
            raise words.unsupported("discipline")
        return {"workers": MANY}, Place(())
    if not isinstance(slots, int):
        raise Unsupported(f"{words.path}: servers={slots!r}")
    if discipline in BACKLOG_ORDERS:
        fields = {"workers": slots, "backlog": limit}
        if discipline != "fifo":
            fields["backlog_order"] = BACKLOG_ORDERS[discipline]
        return fields, Place((), slots=slots)
    if discipline in CPU_DISCIPLINES:
        # All who are admitted hold a worker; so the line's limit is one of workers.
        room = {"workers": MANY} if limit is None else {"workers": slots + limit, "backlog": 0}
        rule = CPU_DISCIPLINES[discipline]
        return {**room, "cores": slots, "cpu_discipline": rule}, Place(
            (), "cpu", "cpu", slots=slots
        )
    raise words.unsupported("discipline")


def _limited_sharing(words: Words) -> tuple[dict[str, Any], Place]:
    """Translate worker slots whose holders share the cores."""
    slots, cores = words.take("slots"), words.take("cores")
    fields = {"workers": slots, "backlog": words.take("backlog_limit", None), "cores": cores}
    rule = words.take("cpu_discipline", "ps")
    if rule not in CPU_DISCIPLINES:
        raise words.unsupported("cpu_discipline")
    fields["cpu_discipline"] = CPU_DISCIPLINES[rule]
    order = words.take("backlog_discipline", "fifo")
    if order not in BACKLOG_ORDERS:
        raise words.unsupported("backlog_discipline")
    if order != "fifo":
        fields["backlog_order"] = BACKLOG_ORDERS[order]
    return fields, Place((), "workers", "cpu", slots=cores)


# A slot that is held while something else is waited for -----------------------------------------


def _nested(
    words: Words, name: str, instances: int, classes: Sequence[Class], others: dict[str, Words]
) -> Station:
    """Translate a station whose steps work, and acquire, hold and release slots elsewhere."""
    slots = words.take("slots")
    words.expect(slot_held="from admission until the last step ends", discipline="fifo")
    fields = {"workers": slots, "backlog": words.take("queue_limit", None)}
    cores = words.take("cores", "no contention")
    if cores in ("no contention", "no contention for cores"):
        work = ss.sleep
    else:
        work, fields["cores"] = ss.compute, cores
    holders: dict[str, dict[str, Any]] = {}
    script = _script(words.each("steps"), name, work, holders)
    held = [
        make(ss.Service, each, workers=others[each].take("slots"),
             backlog=others[each].take("queue_limit", None), endpoints=endpoints)
        for each, endpoints in holders.items()
    ]  # fmt: skip
    for each in holders:
        others[each].take("name")
        others[each].expect(discipline="fifo")
    main = make(ss.Service, name, instances=instances, **fields,
                endpoints={each.name: make_endpoint(script, each) for each in classes})  # fmt: skip
    return Station((main, *held), Place((name,), slots=slots), tuple(holders))


def _script(
    steps: list[Words], owner: str, work: Callable[[Any], Any], holders: dict[str, dict[str, Any]]
) -> list[Any]:
    """Return steps; what lies between acquire and release runs while the other's slot is held."""
    script: list[Any] = []
    while steps:
        step = steps.pop(0)
        if "work" in step or "work_s" in step:
            script.append(work(_time(step, "work")))
        elif "hold" in step or "hold_s" in step:
            script.append(ss.sleep(_time(step, "hold")))
        elif "acquire" in step:
            other = step.take("acquire")
            inside = []
            while steps and steps[0].mapping.get("release") != other:
                inside.append(steps.pop(0))
            if not steps:
                raise Unsupported(f"{step.path}: {other} is not released")
            steps.pop(0).take("release")
            if work is ss.compute and any("work" in each or "work_s" in each for each in inside):
                raise Unsupported(f"{step.path}: computing while {other} is held")
            own = holders.setdefault(other, {})
            endpoint = f"hold_{len(own)}"
            own[endpoint] = ss.Endpoint(tuple(_script(inside, owner, work, holders)))
            script.append(ss.call(f"{other}.{endpoint}"))
        else:
            raise Unsupported(", ".join(step.left()))
    return script


def _time(step: Words, word: str) -> Any:
    return distribution(step.inner(word)) if word in step else Constant(step.take(f"{word}_s"))


# A server that takes several at once, or sleeps when it finds nothing, is a queue's consumer ----


def _queue(words: Words, name: str, classes: Sequence[Class]) -> Station:
    words.expect(discipline="fifo", queue_limit=None)
    fields: dict[str, Any] = {"consumers": words.take("servers")}
    if "batch_service" in words:
        service = distribution(words.inner("batch_service"))
        fields["batch"] = (words.take("batch_size_min", 1), words.take("batch_size_max"))
    else:
        (service,) = read_service(words, name, classes[:1]).values()
    if "vacation" in words:
        inner = words.inner("vacation")
        inner.expect(when="queue empty after a completion or after a sleep", repeat=True)
        fields["poll_interval"] = distribution(inner.inner("time"))
    queue = make(ss.MessageQueue, name, handler=[ss.sleep(service)], **fields)
    return Station((queue,), queue_place(name, fields["consumers"], service), queue=True)


def queue_place(name: str, consumers: int, service: Any) -> Place:
    """Return where a message queue is measured."""
    return Place((name,), "consumers", "consumers", "consumers", consumers,
                 {"serve": mean_of(service)})  # fmt: skip


# Options: one word, one or two fields -----------------------------------------------------------


def _abandonment(words: Words) -> dict[str, Any]:
    inner = words.inner("abandonment")
    inner.expect(**{"while": "waiting"})
    return {"queue_timeout": distribution(inner.inner("patience"))}


def _slowdown(words: Words) -> dict[str, Any]:
    inner = words.inner("slowdown")
    inner.expect(kind="usl", rule=USL)
    return {"contention": inner.take("contention"), "coherency": inner.take("coherency")}


USL = (
    "with n in service each runs at 1/(1 + contention (n-1) + coherency n (n-1)) of full speed, "
    "re-evaluated at every arrival and departure"
)


def _setup(words: Words) -> dict[str, Any]:
    inner = words.inner("setup")
    inner.expect(
        when="a request arrives at an idle (switched-off) server",
        switch_off="at once when idle",
    )
    return {"cold_start": distribution(inner.inner("time"))}


def _failures(words: Words) -> dict[str, Any]:
    inner = words.inner("failures")
    always = inner.take("fails_when_idle")
    inner.expect(
        per="slot", interrupted_work="resume",
        clock=f"failure clock runs only while {'up' if always else 'serving'}",
    )  # fmt: skip
    try:
        from scalesim.components import Failures
    except ImportError:
        raise Unsupported("Service.failures") from None
    return {"failures": Failures(
        time_to_failure=distribution(inner.inner("time_to_failure")),
        repair_time=distribution(inner.inner("repair_time")),
        crews=inner.take("repair_crew", None),
        when="always" if always else "busy",
    )}  # fmt: skip


OPTIONS: dict[str, Callable[[Words], dict[str, Any]]] = {
    "abandonment": _abandonment,
    "slowdown": _slowdown,
    "setup": _setup,
    "failures": _failures,
}
"""Word of a station -> the fields of `Service` it stands for."""

COMPUTING = frozenset({"slowdown", "setup", "failures", "service_per_server"})
"""Words about the cores, so that serving is computing."""
