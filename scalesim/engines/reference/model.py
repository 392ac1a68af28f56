"""What the reference engine keeps: rows as objects, strands, caches as dictionaries, counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import simpy

from scalesim.engines.reference.clock import fire
from scalesim.ops import COMPLETED
from scalesim.policies.eviction import EVICTION

__all__ = ["CacheModel", "Frame", "Message", "Strand", "Waits", "as_objects", "fail", "go_on"]

Waits = Generator[simpy.Event, Any, None]
"""What a strand waits for, one event after another."""


def as_objects(table: np.ndarray) -> list[Any]:
    """Return the rows of a structured array as objects with plain Python values."""
    names = table.dtype.names or ()
    return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in table.tolist()]


@dataclass
class Frame:
    """The registers of one running program."""

    pc: int
    instance: int
    key: int
    attempt: int = 0


@dataclass(eq=False)
class Strand:
    """One thread of control.

    `parent` awaits its end, as one of several branches if `branch`; `children` are those whose end
    it awaits. `resume` is what it waits for while it does so, `undo` how to stop waiting.
    """

    frame: Frame
    item: int
    client: int
    endpoint: int
    started: float
    calls: list[Frame] = field(default_factory=list)
    status: int = COMPLETED
    parent: Strand | None = None
    branch: bool = False
    children: list[Strand] = field(default_factory=list)
    completed: int = 0
    joined: int = COMPLETED
    resume: simpy.Event | None = None
    undo: Callable[[], object] | None = None
    process: simpy.Process | None = None
    request: int = -1
    origin: int = -1
    begun: float = 0.0
    since: float = 0.0
    message: Message | None = None
    hit: bool = False
    version: int = 0
    ticket: int = 0

    @property
    def number(self) -> int:
        """The number of the request on whose behalf this strand runs."""
        return self.request if self.request >= 0 else self.origin

    def wait(self, event: simpy.Event, undo: Callable[[], object]) -> Waits:
        """Wait for `event`; who is withdrawn meanwhile does `undo`."""
        self.undo = undo
        yield event
        self.undo = None

    def leave_parent(self) -> None:
        """Be awaited by nobody from now on."""
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent = None

    def enough(self, wanted: int) -> bool:
        """Whether `wanted` branches (0: all) have completed, or no longer can."""
        if wanted == 0:
            return not self.children
        return self.completed >= wanted or self.completed + len(self.children) < wanted


def go_on(strand: Strand) -> None:
    """Let the strand go on with the next operation."""
    strand.frame.pc += 1


def fail(strand: Strand, row: Any, status: int) -> None:
    """Let the strand go on where a failure of the operation `row` leads."""
    strand.status = status
    strand.frame.pc = row.on_fail


class Message:
    """A strand in the line of consumers that take batches; the leader of one keeps its riders."""

    def __init__(self, strand: Strand, env: simpy.Environment) -> None:
        self.strand = strand
        self.event = simpy.Event(env)
        self.since = env.now
        self.taken = self.overdue = False
        self.riders: list[Message] = []


class CacheModel:
    """A cache: which keys are where is a dictionary here; the order of entries is the policy's."""

    def __init__(self, row: Any) -> None:
        row.first = row.first_history = 0
        self.row = [row]
        self.place: dict[int, int] = {}
        self.spare: list[int] = []
        self.entry: list[Any] = []
        self.history: dict[int, int] = defaultdict(int)
        self.fetching: dict[int, list[simpy.Event]] = {}
        self.policy = list(EVICTION.members.values())[row.eviction]
        if row.warm:
            for item in reversed(range(row.capacity)):
                self.fill(item, 0, 0.0)

    def lookup(self, item: int, now: float) -> bool:
        """Whether the key is present and fresh; counts and touches."""
        row, entry = self.row, self.entry
        e = self.place.get(item, -1)
        if e >= 0 and now < entry[e].expires:
            row[0].hits += 1
            self.policy.touched(row, entry, self.history, 0, e)
            if row[0].renewed:
                entry[e].expires = now + row[0].ttl
            return True
        row[0].misses += 1
        return False

    def fill(self, item: int, key: int, now: float) -> None:
        """Store the key. A fresh one is touched, an expired one counts as new."""
        row, entry, history = self.row, self.entry, self.history
        e = self.place.get(item, -1)
        if e >= 0 and now < entry[e].expires:
            self.policy.touched(row, entry, history, 0, e)
        else:
            if e >= 0:
                self.policy.left(row, entry, history, 0, e)
            elif self.spare:
                e = self.spare.pop()
            elif len(entry) < row[0].capacity:
                e = len(entry)
                entry.append(
                    SimpleNamespace(newer=-1, older=-1, key=-1, expires=0.0, count=0, used=0)
                )
            else:
                e = self.policy.victim(row, entry, 0, key)
                self.policy.left(row, entry, history, 0, e)
                del self.place[entry[e].key]
                row[0].evictions += 1
            entry[e].key = item
            self.place[item] = e
            self.policy.entered(row, entry, history, 0, e)
        entry[e].expires = now + row[0].ttl

    def end_fetch(self, item: int, status: int) -> None:
        """Let all who wait for the fetch of the key go on."""
        for waiting in self.fetching.pop(item):
            fire(waiting, status)

    def drop(self, item: int) -> None:
        """Remove the key if present."""
        e = self.place.pop(item, -1)
        if e >= 0:
            self.policy.left(self.row, self.entry, self.history, 0, e)
            self.spare.append(e)
