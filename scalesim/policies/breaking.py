"""Circuit breaking: whether a call is let through, and what its outcome does to the breaker.

`permits` asks, `report` tells the outcome, `give_back` that there will be none. Row b of the table
`breaker` has the settings and what the breaker knows; `meter` holds the outcomes of its window, 1
for a failure, in a ring from ``first`` on. A breaker's ``generation`` counts its changes of state:
outcomes of calls that an earlier generation let through are ignored.
"""

from __future__ import annotations

__all__ = ["CLOSED", "HALF_OPEN", "OPEN", "STATES", "give_back", "permits", "report"]

CLOSED, HALF_OPEN, OPEN = 0, 1, 2
STATES = 3


def change(breaker, b, state):
    """Go over to a state, in which nothing is known yet."""
    here = breaker[b]
    here.state = state
    here.generation += 1
    here.calls = 0
    here.failures = 0
    here.position = 0
    here.begun = 0


def permits(breaker, b, now):
    """Whether the breaker lets a call through at time `now` [s]."""
    here = breaker[b]
    if here.state == OPEN and now >= here.until:
        change(breaker, b, HALF_OPEN)
    if here.state == CLOSED:
        return True
    if here.state == OPEN or here.begun >= here.trials:
        return False
    here.begun += 1
    return True


def give_back(breaker, b, generation):
    """Note that a call which `generation` let through has no outcome: another may be tried."""
    if breaker[b].generation == generation:
        breaker[b].begun -= 1


def report(breaker, meter, b, generation, failed, now):
    """Note the outcome, at time `now` [s], of a call that `generation` let through."""
    here = breaker[b]
    if here.generation != generation:
        return
    in_a_row = here.in_a_row > 0
    if here.state == HALF_OPEN:
        here.calls += 1
        here.failures += failed
        over = here.failures >= here.failure_ratio * here.trials
        if in_a_row:
            over = here.failures > 0
        if over and (in_a_row or here.calls == here.trials):
            here.until = now + here.open_time
            change(breaker, b, OPEN)
        elif here.calls == here.trials:
            change(breaker, b, CLOSED)
        return
    if in_a_row:
        here.failures = here.failures + 1 if failed else 0
        over = here.failures >= here.in_a_row
    else:
        place = here.first + here.position
        if here.calls == here.window:
            here.failures -= int(meter[place])
        else:
            here.calls += 1
        meter[place] = failed
        here.failures += failed
        here.position = (here.position + 1) % here.window
        over = here.calls >= here.minimum and here.failures >= here.failure_ratio * here.calls
    if over:
        here.until = now + here.open_time
        change(breaker, b, OPEN)
