"""MessageQueue: messages wait for consumers; publishers go on, are rejected or are held back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.components.steps import (
    Scope,
    Step,
    computations_at_once,
    lower_steps,
    steps_kind,
    steps_references,
)
from scalesim.distributions import Constant, Distribution, times
from scalesim.distributions.base import AsDistributionOrNone
from scalesim.errors import Problem
from scalesim.fields import AsTuple, Given, Integer, Name, Number, Span, described, param
from scalesim.policies.load_balancing import InTurn
from scalesim.policies.sharding import PARTITION_BY

__all__ = ["MessageQueue"]

_UNBOUNDED = 2**62


@COMPONENTS.add("message_queue")
@described
class MessageQueue(MachineComponent):
    """A queue with its consumers: a work queue, or with `partitions` a log.

    ``publish`` puts a message in and returns at once; if the queue is full it is rejected or waits
    for room (back-pressure). Each consumer takes the oldest message, runs `handler` and takes the
    next. A handler whose call fails loses its message (or batch), which is counted.

    Parameters
    ----------
    handler : sequence of Step
        What a consumer does with a message: ``sleep``, ``call``, ``publish``, ``parallel``.
        For processor time call a `Service`.
    consumers : int [>= 1]
        Messages (or batches) handled at once.
    capacity : int, optional [messages, >= 0]
        Messages that may wait; None: no bound. With 0 a message goes straight to a free consumer.
    when_full : {"reject", "block"}
    batch : (int, int or None) [messages, >= 1], optional
        A consumer takes several messages at once: it waits until there are as many as the first
        number and takes at most as many as the second. None: one.
    batch_handling : {"together", "one_by_one"}
        Run the handler once for a batch (with the key and the luck of its first message), or for
        each of its messages in turn.
    linger : float, optional [s, > 0]
        A batch is started with fewer messages once the first has waited this long.
    poll_interval : Distribution or float, optional [s, > 0]
        A consumer that looks and finds no batch sleeps this long and looks again. None: it starts
        the moment that there is one.
    poll : {"when_empty", "fixed"}
        Look again right after a batch, sleeping only when there is none; or look at the multiples
        of `poll_interval` and at no other time (the next one after a batch has ended).
    partitions : int, optional [>= 1]
        Each message falls into one of so many partitions, each of which belongs to one consumer,
        as evenly as possible, the first consumers having one more.
    partition_by : {"key", "client", "random"}
        What decides the partition.
    prefetch : int, optional [1 .. 1,000,000]
        Messages that one consumer may have been handed and not have finished (AMQP 0-9-1's
        ``basic.qos``; RabbitMQ's ``prefetch_count``). They are handed out in turn, as soon as there
        are any, and wait behind each other even if another consumer is idle by then. None: a
        consumer is handed a message when it is idle.
    """

    handler: AsTuple[Step] = param(steps_kind(), "what a consumer does with a message")
    consumers: int = param(Integer(1, 10_000_000), "messages handled at once", default=1)
    capacity: int | None = param(Integer(0), "messages that may wait", default=None)
    when_full: str = param(
        Name(choices=("reject", "block")), "what a full queue does", default="reject"
    )
    batch: Given[tuple[int, int | None] | None, Sequence[int | None] | None] = param(
        Span(Integer(1)), "fewest and most messages that a consumer takes at once", default=None
    )
    batch_handling: str = param(
        Name(choices=("together", "one_by_one")), "how a batch is handled", default="together"
    )
    linger: float | None = param(
        Number("s", above=0), "wait after which too small a batch is started", default=None
    )
    poll_interval: AsDistributionOrNone = param(
        times(), "sleep of a consumer that finds nothing", default=None
    )
    poll: str = param(
        Name(choices=("when_empty", "fixed")), "when a consumer looks", default="when_empty"
    )
    partitions: int | None = param(
        Integer(1, 1_000_000), "partitions, each with one consumer", default=None
    )
    partition_by: str = param(Name(choices=PARTITION_BY), "what decides a partition", default="key")

    prefetch: int | None = param(
        Integer(1, 1_000_000), "unfinished messages of a consumer", default=None
    )

    def endpoint_names(self) -> tuple[str, ...]:
        return ("publish",)

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        if isinstance(self.handler, tuple) and computations_at_once(self.handler):
            yield Problem(
                "",
                "a queue's consumers have no processors of their own; let the handler call a "
                "service that computes",
                ("handler",),
            )
        if self.linger is not None and (self.batch is None or self.batch[:1] == (1,)):
            yield Problem("", "linger needs a batch of at least 2: batch=(2, None)", ("linger",))
        if self.batch_handling != "together" and self.batch is None:
            yield Problem("", "batch_handling needs batch", ("batch_handling",))
        if self.poll == "fixed" and not isinstance(self.poll_interval, Constant):
            yield Problem("", "poll fixed needs a constant poll_interval", ("poll",))
        if isinstance(self.poll_interval, Distribution) and not self.poll_interval.mean > 0:
            yield Problem("", "the mean is 0; a sleep takes time", ("poll_interval",))
        if self.capacity == 0 and self._gathers:
            yield Problem(
                "",
                "capacity 0 leaves no messages to take together, to poll or to partition",
                ("capacity",),
            )

        if self.prefetch is not None:
            for name in ("batch", "poll_interval", "partitions"):
                if getattr(self, name) is not None:
                    message = f"prefetch and {name} are both given: give one way to get messages"
                    yield Problem("", message, ("prefetch",))
            if self.capacity == 0:
                message = "capacity 0 leaves no messages to prefetch"
                yield Problem("", message, ("prefetch",))

    def references(self) -> Iterator[Reference]:
        if isinstance(self.handler, tuple):
            for each in steps_references(self.handler):
                yield each._replace(path=("handler", *each.path))

    @property
    def _gathers(self) -> bool:
        """Whether consumers do more than take one message as soon as there is one.

        Or have their own lines but one room: RELEASE knows only the room of an instance.
        """
        shared_room = self.partitions is not None and self.capacity is not None
        return self.batch is not None or self.poll_interval is not None or shared_room

    def lower(self, emit: Emitter) -> None:
        limit = 0 if self.when_full == "reject" else None
        apart = self.partitions is not None or self.prefetch is not None
        consumers = emit.station(
            self.name,
            "consumers",
            count=self.consumers if apart else 1,
            slots=1 if apart else self.consumers,
            kind="batches" if self._gathers else "slots",
            queue_limit=limit if self.capacity == 0 else None,
        )
        room = -1
        if self.capacity:
            room = emit.station(self.name, "room", slots=self.capacity, queue_limit=limit)
        self._publish(emit, room, consumers)
        if self._gathers:
            self._gathered(emit, room, consumers)
        else:
            self._handled(emit, room, consumers)

    def _publish(self, emit: Emitter, room: int, consumers: int) -> None:
        emit.program(f"{self.name}.publish")
        if room >= 0:
            emit.op(ops.ACQUIRE, a=room, on_fail="end")
        elif self.capacity == 0:
            emit.op(ops.ACQUIRE, a=consumers, on_fail="end")
        message, tag = f"{self.name}.message", (self.name, "message")
        if self.partitions is None:
            emit.op(ops.SPAWN, a=message, tag=tag, on_fail="withdrawn")
        else:
            rule = emit.rule(
                "partition",
                partitions=self.partitions,
                consumers=self.consumers,
                by=PARTITION_BY.index(self.partition_by),
            )
            site = (self.name, "partition")
            emit.op(ops.SEND, a=message, b=rule, site=site, tag=tag, on_fail="withdrawn")
        emit.label("end")
        emit.op(ops.RETURN)
        emit.label("withdrawn")
        if room >= 0 or self.capacity == 0:
            emit.op(ops.RELEASE, a=room if room >= 0 else consumers)
        emit.op(ops.RETURN)

    def _prefetched(self, emit: Emitter, room: int) -> None:
        """Emit a message's program: be handed to a consumer that may have more, and wait there."""
        assert self.prefetch is not None
        handed = emit.station(self.name, "unacknowledged", slots=self.consumers * self.prefetch)
        emit.program(f"{self.name}.message")
        emit.op(ops.COUNT, a=emit.counter(self.name, "published"))
        emit.op(ops.ACQUIRE, a=handed, on_fail="end")
        if room >= 0:
            emit.op(ops.RELEASE, a=room)
        emit.op(ops.CALL, a=f"{self.name}.deliver", on_fail="end")
        emit.label("end")
        emit.op(ops.RELEASE, a=handed)
        emit.op(ops.RETURN)
        program = f"{self.name}.handle@consumer"
        members = [(program, consumer, 1.0) for consumer in range(self.consumers)]
        balancer = emit.balancer(self.name, InTurn(limit=self.prefetch), members)
        emit.program(f"{self.name}.deliver")
        emit.route(balancer, 0)
        emit.program(program)

    def _handled(self, emit: Emitter, room: int, consumers: int) -> None:
        """Emit a message's program: hold a consumer while the handler runs."""
        if self.prefetch is not None:
            self._prefetched(emit, room)
            room = -1
        else:
            emit.program(f"{self.name}.message")
            emit.op(ops.COUNT, a=emit.counter(self.name, "published"))
        if self.capacity != 0:
            emit.op(ops.ACQUIRE, a=consumers, on_fail="end")
        if room >= 0:
            emit.op(ops.RELEASE, a=room)
        lower_steps(emit, self.handler, Scope(self.name, "handler"), "lost")
        self._record(emit)
        emit.op(ops.JUMP, a="release")
        emit.label("lost")
        emit.op(ops.COUNT, a=emit.counter(self.name, "lost"))
        emit.label("release")
        emit.op(ops.RELEASE, a=consumers)
        emit.label("end")
        emit.op(ops.RETURN)

    def _gathered(self, emit: Emitter, room: int, consumers: int) -> None:
        """Emit a message's program: wait to be taken, lead a batch or ride with it.

        A consumer that polls is the strand of the last message it handled: that goes on polling.
        """
        least, most = self.batch or (1, 1)
        rule = emit.rule(
            "batch",
            station=consumers,
            room=room,
            counter=emit.counter(self.name, "batches"),
            least=least,
            most=_UNBOUNDED if most is None else most,
            linger=float("inf") if self.linger is None else self.linger,
            polls=int(self.poll_interval is not None),
            one_by_one=int(self.batch_handling == "one_by_one"),
        )
        look = f"{self.name}.look"
        emit.program(f"{self.name}.message")
        emit.op(ops.COUNT, a=emit.counter(self.name, "published"))
        emit.op(ops.GATHER, a=rule, on_fail="overdue")
        emit.label("taken")
        lower_steps(emit, self.handler, Scope(self.name, "handler"), "lost")
        emit.op(ops.DISMISS, a=rule, b="done")
        if self.poll_interval is not None:
            self._record(emit)
            emit.op(ops.JUMP, a=look)
        emit.label("done")
        self._record(emit)
        emit.op(ops.RETURN)
        emit.label("lost")
        emit.op(ops.DISMISS, a=rule, b="gone")
        if self.poll_interval is not None:
            emit.op(ops.COUNT, a=emit.counter(self.name, "lost"))
            emit.op(ops.JUMP, a=look)
        emit.label("gone")
        emit.op(ops.COUNT, a=emit.counter(self.name, "lost"))
        emit.op(ops.RETURN)
        emit.label("overdue")
        emit.op(ops.OVERDUE, a=rule)
        emit.op(ops.JUMP, a="taken")
        if self.poll_interval is not None:
            emit.program(look)
            self._look(emit, rule)
            for consumer in range(self.consumers):
                instance = 0 if self.partitions is None else consumer
                emit.background(look, instance, (self.name, "consumer", consumer))

    def _look(self, emit: Emitter, rule: int) -> None:
        """Emit the program of a consumer without a batch."""
        fixed = self.poll == "fixed"
        assert self.poll_interval is not None
        if not fixed:
            emit.label("again")
            emit.op(ops.POLL, a=rule, b="sleep")
            emit.op(ops.RETURN)
        emit.label("sleep")
        emit.op(
            ops.NAP,
            b=-1 if fixed else emit.sampler(self.poll_interval),
            x=self.poll_interval.mean,
            site=(self.name, "poll"),
        )
        if fixed:
            emit.op(ops.POLL, a=rule, b="sleep")
            emit.op(ops.RETURN)
        else:
            emit.op(ops.JUMP, a="again")

    def _record(self, emit: Emitter) -> None:
        emit.op(ops.RECORD, a=emit.tally(self.name, "message_time"))
        emit.op(ops.RECORD, a=emit.tally(self.name, "end_to_end_time"), b=1)
