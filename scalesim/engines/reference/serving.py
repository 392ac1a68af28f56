"""The operations on cores one by one, on their failures, and on levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesim import ops
from scalesim.engines.reference.clock import after
from scalesim.engines.reference.cores import Core, take_down, take_up
from scalesim.engines.reference.model import Strand, Waits
from scalesim.kernels.draws import child_key

if TYPE_CHECKING:
    from scalesim.engines.reference.engine import Trial

__all__ = ["breaks", "enter", "leave", "repair", "wear", "work"]


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
