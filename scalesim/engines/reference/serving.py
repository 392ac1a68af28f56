"""The operations on cores one by one, on their failures, on cold starts, and on levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesim import ops
from scalesim.engines.reference.clock import after, fire
from scalesim.engines.reference.cores import Core, take_down, take_up
from scalesim.engines.reference.model import Frame, Strand, Waits
from scalesim.kernels.draws import child_key

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = [
    "breaks",
    "enter",
    "leave",
    "repair",
    "start",
    "started",
    "stop",
    "switch_off",
    "wear",
    "work",
]


def work(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Have a demand done by a core (WORK)."""
    frame = strand.frame
    demand = trial.draw(row.b, frame.key, row.site, strand.number)
    key = child_key(frame.key, row.site, 0)
    station = trial.stations[row.a + frame.instance]
    done = station.work(demand, key)
    yield from strand.wait(done, lambda: station.leave(done))
    strand.frame.pc += 1


def enter(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Raise a level (ENTER)."""
    trial.levels[row.a + strand.frame.instance].change(1)
    strand.frame.pc += 1
    yield from ()


def leave(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Lower a level (LEAVE)."""
    trial.levels[row.a + strand.frame.instance].change(-1)
    strand.frame.pc += 1
    yield from ()


def _unit(trial: Trial, strand: Strand, row: Any) -> list[Core]:
    """Return the cores that WEAR, BREAK and REPAIR are about."""
    station = trial.plan.station[row.a + strand.frame.instance]
    first = int(station["first_core"]) + strand.item * row.c
    return trial.cores[first : first + row.c]


def wear(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Wait until a unit fails (WEAR)."""
    time = trial.draw(row.b, strand.frame.key, row.site, strand.number)
    if row.x:
        (core,) = _unit(trial, strand, row)
        yield core.station.wear_out(core, time)
    else:
        yield after(trial.env, time, ops.TIMER)
    strand.frame.pc += 1


def breaks(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Take a unit down (BREAK)."""
    take_down(_unit(trial, strand, row))
    strand.frame.pc += 1
    yield from ()


def repair(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Take a unit up (REPAIR)."""
    take_up(_unit(trial, strand, row))
    strand.origin += 1
    strand.frame.pc += 1
    yield from ()


def start(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Wait until an instance runs, and start it if it is off (START)."""
    frame = strand.frame
    station = trial.stations[row.a + frame.instance]
    if not station.switched_on:
        if not station.busy:
            station.advance(trial.env.now)
            station.busy = 1
            key = child_key(frame.key, row.tag, 0)
            trial.spawn(strand, Frame(row.b, frame.instance, key))
        station.arrived += 1
        waiter = station.wait(0)
        assert waiter is not None

        def undo() -> None:
            if not station.leave(waiter.event):
                frame.pc += 1

        yield from strand.wait(waiter.event, undo)
    frame.pc += 1


def started(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Let an instance run, and all who wait for it go on (STARTED)."""
    station = trial.stations[row.a + strand.frame.instance]
    now = trial.env.now
    station.switched_on = True
    station.advance(now)
    station.busy -= 1
    for waiter in station.line:
        station.record_wait(now - waiter.since)
        station.served += 1
        fire(waiter.event)
    station.line.clear()
    strand.frame.pc += 1
    yield from ()


def stop(trial: Trial, strand: Strand, row: Any) -> Waits:
    """Switch an instance off if it is idle (STOP)."""
    switch_off(trial, row, strand.frame.instance)
    strand.frame.pc += 1
    yield from ()


def switch_off(trial: Trial, row: Any, instance: int) -> None:
    """Switch the instance off that a STOP is about, if nobody holds a slot."""
    if not trial.stations[row.b + instance].busy:
        trial.stations[row.a + instance].switched_on = False
