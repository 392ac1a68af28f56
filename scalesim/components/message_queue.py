"""MessageQueue: messages wait for consumers; publishers go on, are rejected or are held back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.components.steps import (
    Compute,
    Parallel,
    Scope,
    Step,
    lower_steps,
    steps_kind,
    steps_references,
)
from scalesim.errors import Problem
from scalesim.fields import Integer, Name, param

__all__ = ["MessageQueue"]


@COMPONENTS.add("message_queue")
@dataclass(frozen=True)
class MessageQueue(MachineComponent):
    """A work queue with its consumers.

    ``publish`` puts a message in and returns at once; if the queue is full it is rejected or waits
    for room (back-pressure). Each consumer takes the oldest message, runs `handler` and takes the
    next. A handler whose call fails loses its message, which is counted.

    Parameters
    ----------
    handler : sequence of Step
        What a consumer does with a message: ``sleep``, ``call``, ``publish``, ``parallel``.
        For processor time call a `Service`.
    consumers : int [>= 1]
        Messages handled at once.
    capacity : int, optional [messages, >= 1]
        Messages that may wait; None: no bound.
    when_full : {"reject", "block"}
    """

    handler: tuple[Step, ...] = param(steps_kind(), "what a consumer does with a message")
    consumers: int = param(Integer(1, 10_000_000), "messages handled at once", default=1)
    capacity: int | None = param(Integer(1), "messages that may wait", default=None)
    when_full: str = param(
        Name(choices=("reject", "block")), "what a full queue does", default="reject"
    )

    def endpoint_names(self) -> tuple[str, ...]:
        return ("publish",)

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        if isinstance(self.handler, tuple) and _computes(self.handler):
            yield Problem(
                "",
                "a queue's consumers have no processors of their own; let the handler call a "
                "service that computes",
                ("handler",),
            )

    def references(self) -> Iterator[Reference]:
        if isinstance(self.handler, tuple):
            for each in steps_references(self.handler):
                yield each._replace(path=("handler", *each.path))

    def lower(self, emit: Emitter) -> None:
        consumers = emit.station(self.name, "consumers", slots=self.consumers)
        room = -1
        if self.capacity is not None:
            limit = 0 if self.when_full == "reject" else None
            room = emit.station(self.name, "room", slots=self.capacity, queue_limit=limit)

        emit.program(f"{self.name}.publish")
        if room >= 0:
            emit.op(ops.ACQUIRE, a=room, on_fail="end")
        emit.op(ops.SPAWN, a=f"{self.name}.message", tag=(self.name, "message"))
        emit.label("end")
        emit.op(ops.RETURN)

        emit.program(f"{self.name}.message")
        emit.op(ops.COUNT, a=emit.counter(self.name, "published"))
        emit.op(ops.ACQUIRE, a=consumers, on_fail="end")
        if room >= 0:
            emit.op(ops.RELEASE, a=room)
        lower_steps(emit, self.handler, Scope(self.name, "handler"), "lost")
        emit.op(ops.RECORD, a=emit.tally(self.name, "message_time"))
        emit.op(ops.JUMP, a="release")
        emit.label("lost")
        emit.op(ops.COUNT, a=emit.counter(self.name, "lost"))
        emit.label("release")
        emit.op(ops.RELEASE, a=consumers)
        emit.label("end")
        emit.op(ops.RETURN)


def _computes(steps: tuple[Step, ...]) -> bool:
    return any(
        isinstance(step, Compute)
        or (isinstance(step, Parallel) and any(_computes(branch) for branch in step.branches))
        for step in steps
    )
